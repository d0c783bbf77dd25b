"""Sends a mail through the server that the settings name."""

import re
import smtplib
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid, parseaddr

from pga_answer import Refused
from pga_network import LOCAL, checked_timeout, failure, tls_context, without
from pga_settings import read_settings, section

KEYS = ("server", "port", "security", "user", "password", "sender", "ca_file")
PORTS = {"starttls": 587, "tls": 465, "none": 25}


def send_mail(path, recipients, subject, body, sender, timeout):
    """Send a mail, and return its Message-ID.

    path: of the settings file; recipients: a list of addresses; timeout: in seconds,
    for each answer of the server.
    """
    settings = section(read_settings(path), "mail", KEYS)
    message = composed(recipients, subject, body, sender or settings.get("sender"))
    transmit(settings, message, checked_timeout(timeout))
    return message["Message-ID"]


def composed(recipients, subject, body, sender):
    """Return the message."""
    if not recipients:
        raise wrong("recipients", "there are none", "Wanted is at least one address.")
    if not sender:
        raise wrong("sender", "there is none", "Name one, or let the settings have sender = … in [mail].")
    if subject is None or re.search(r"[\x00-\x1f\x7f]", subject):
        raise wrong("subject", "is NULL or has control characters", "Wanted is one line of text.")
    if body is None:
        raise wrong("body", "is NULL", "Wanted is a text.")
    origin = address("sender", sender)
    message = EmailMessage(policy=SMTP)
    message["From"] = origin
    message["To"] = [address("recipients", recipient) for recipient in recipients]
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=origin.domain)
    message.set_content(body)
    return message


def address(argument, text):
    """Return an address such as "a@b.example" or "Anna <a@b.example>"."""
    try:
        if re.search(r"[\x00-\x1f\x7f,;]", text or ""):
            raise ValueError
        name, plain = parseaddr(text or "")
        parsed = Address(display_name=name, addr_spec=plain)
        if not (parsed.username and parsed.domain):
            raise ValueError
    except (ValueError, IndexError, MessageError):
        raise wrong(argument, f'"{text}" is no address', "Wanted is one like anna@example.com or Anna <anna@example.com>.") from None
    return parsed


def wrong(argument, problem, detail):
    """Return the refusal of an argument."""
    return Refused("22023", f"send_mail({argument}): {problem}", detail)


def transmit(settings, message, timeout):
    """Hand the message to the server."""
    host = settings.get("server", "localhost")
    peer, secrets = f'mail server "{host}"', [settings.get("password")]
    smtp = None
    try:
        smtp = connected(settings, host, timeout)
        if "user" in settings:
            smtp.login(settings["user"], settings.get("password", ""))
        refused = smtp.send_message(message)
    except smtplib.SMTPException as error:
        raise rejection(peer, error, secrets) from None
    except OSError as error:
        raise failure(peer, error, secrets) from None
    finally:
        if smtp:
            smtp.close()
    if refused:
        raise Refused(
            "38000",
            "{}: sent, but not to {}".format(peer, ", ".join(refused)),
            replies(refused, secrets),
        )


def connected(settings, host, timeout):
    """Return a session with the server, encrypted unless it is on this machine."""
    security = settings.get("security", "starttls")
    port = settings.get("port", str(PORTS.get(security)))
    credentials = settings.get("user", "") + settings.get("password", "")
    if security not in PORTS or (security == "none" and host not in LOCAL):
        raise unsettled("security", "starttls, tls, and for localhost none")
    if not (port.isdigit() and 0 < int(port) < 65536):  # noqa: PLR2004
        raise unsettled("port", "1 to 65535")
    if not credentials.isascii():
        raise unsettled("user and password", "ASCII characters")
    if security == "none":
        return smtplib.SMTP(host, int(port), timeout=timeout)
    context = tls_context(settings.get("ca_file"))
    if security == "tls":
        return smtplib.SMTP_SSL(host, int(port), timeout=timeout, context=context)
    smtp = smtplib.SMTP(host, int(port), timeout=timeout)
    try:
        smtp.starttls(context=context)
    except BaseException:
        smtp.close()
        raise
    return smtp


def unsettled(key, allowed):
    """Return the refusal of a value in the settings, which is not shown."""
    return Refused("55000", f"settings: {key} in [mail] can't be used", f"Allowed are {allowed}.")


def rejection(peer, error, secrets):
    """Return the refusal that says what the server did not like."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        state, problem = "28000", "user or password are wrong"
    elif isinstance(error, smtplib.SMTPNotSupportedError):
        state, problem = "08001", "it lacks what is needed"
    elif isinstance(error, (smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError)):
        state, problem = "08006", "the connection broke"
    else:
        state, problem = "38000", "it does not take the mail"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        detail = replies(error.recipients, secrets)
    elif isinstance(error, smtplib.SMTPResponseException):
        detail = reply(error.smtp_code, error.smtp_error, secrets)
    else:
        detail = without(secrets, f"{error}.")
    return Refused(state, f"{peer}: {problem}", detail)


def replies(refused, secrets):
    """Return what the server said of each recipient."""
    return "; ".join(f"{who}: {reply(*said, secrets)}" for who, said in refused.items())


def reply(code, text, secrets):
    """Return what the server said."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return without(secrets, f"{code} {text}")
