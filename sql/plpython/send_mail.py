"""Sends a mail through the server that the settings name."""

import re
import smtplib
import socket
import ssl
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid, parseaddr

from pga_answer import Refused
from pga_settings import LOCAL, checked_timeout, read_settings, section, without

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
    secrets = [settings.get("password")]
    try:
        with connected(settings, host, timeout) as smtp:
            if "user" in settings:
                smtp.login(settings["user"], settings.get("password", ""))
            refused = smtp.send_message(message)
    except (OSError, ValueError) as error:
        raise failure(f'mail server "{host}"', error, secrets) from None
    if refused:
        replies = (f"{who}: {code} {text.decode(errors='replace')}" for who, (code, text) in refused.items())
        raise Refused(
            "38000",
            "mail was sent, but not to all: {} refused".format(", ".join(refused)),
            without(secrets, "; ".join(replies)),
        )


def connected(settings, host, timeout):
    """Return a session with the server, encrypted unless it is on this machine."""
    security = settings.get("security", "starttls")
    if security not in PORTS or (security == "none" and host not in LOCAL):
        raise Refused("55000", f"settings: security = {security} for mail server \"{host}\"",
                      "Allowed are starttls and tls, and none for localhost.")
    port = settings.get("port", str(PORTS[security]))
    if not port.isdigit():
        raise Refused("55000", f"settings: port = {port}", "Wanted is a number.")
    if security == "none":
        return smtplib.SMTP(host, int(port), timeout=timeout)
    context = ssl.create_default_context(cafile=settings.get("ca_file"))
    if security == "tls":
        return smtplib.SMTP_SSL(host, int(port), timeout=timeout, context=context)
    smtp = smtplib.SMTP(host, int(port), timeout=timeout)
    try:
        smtp.starttls(context=context)
    except BaseException:
        smtp.close()
        raise
    return smtp
