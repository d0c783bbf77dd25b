"""Sending a message by SMTP."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import urlsplit


def message(
    sender: str, recipients: "list[str]", subject: str, body: str
) -> EmailMessage:
    """Compose a message; headers with line breaks are refused."""
    mail = EmailMessage()
    try:
        mail["From"] = sender
        mail["To"] = ", ".join(recipients)
        mail["Subject"] = subject
    except ValueError as error:
        raise RefusalError(
            f"a header is not allowed: {error}", "Headers have one line."
        ) from None
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain="pgagent.invalid")
    mail.set_content(body)
    return mail


def send(
    mail: EmailMessage,
    url: str,
    login: "str | None",
    timeout: float,
    context: "ssl.SSLContext | None" = None,
) -> None:
    """Hand a message to the server: smtps://, or smtp:// with STARTTLS if offered.

    A login, `user:password`, is told to nobody without TLS.
    """
    server = urlsplit(url)
    if server.scheme not in ("smtp", "smtps") or not server.hostname:
        raise RefusalError(
            f'"{url}" is no mail server',
            "Wanted is smtp://host[:port] or smtps://host[:port].",
        )
    tls = context or ssl.create_default_context()
    if server.scheme == "smtps":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.hostname, server.port or 465, timeout=timeout, context=tls
        )
    else:
        connection = smtplib.SMTP(server.hostname, server.port or 25, timeout=timeout)
    with connection:
        connection.ehlo()
        secure = server.scheme == "smtps"
        if not secure and connection.has_extn("starttls"):
            connection.starttls(context=tls)
            secure = True
        if login:
            if not secure:
                raise RefusalError(
                    "the mail server offers no TLS",
                    "A password is sent through TLS only.",
                )
            user, _, password = login.partition(":")
            connection.login(user, password)
        connection.send_message(mail)
