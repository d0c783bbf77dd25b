"""Sending a message by SMTP."""

import io
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any
from urllib.parse import urlsplit

LONGEST_HEADER = 5000  # characters: parsing an address takes longer than reading it


def message(
    sender: str, recipients: "list[str]", subject: str, body: str
) -> EmailMessage:
    """Compose a message; headers with line breaks are refused."""
    for header in (sender, subject, ", ".join(recipients)):
        if len(header) > LONGEST_HEADER:
            raise RefusalError(
                f"a header is not allowed: it has {len(header)} characters",
                f"Allowed are {LONGEST_HEADER} at most; send several mails.",
            )
    mail = EmailMessage()
    try:
        mail["From"] = sender
        mail["To"] = ", ".join(recipients)
        mail["Subject"] = subject
    except Exception as error:  # noqa: BLE001  # parsers of addresses raise many
        raise RefusalError(
            f"a header is not allowed: {error}", "Headers have one line."
        ) from None
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain="pgagent.invalid")
    mail.set_content(body)
    return mail


class Plain(smtplib.SMTP):
    """Without TLS, at first; what a server answers is bounded."""

    deadline: float
    _host: str  # whose certificate is wanted

    def getreply(self) -> "tuple[int, bytes]":
        """Return the next answer."""
        if self.file is None and self.sock is not None:
            reader = LimitedReader(self.sock, self.deadline)
            self.file = io.BufferedReader(reader)
        return super().getreply()

    def send(self, s: Any) -> None:  # noqa: ANN401
        """Send, piece by piece."""
        for piece in pieces(s.encode("ascii") if isinstance(s, str) else bytes(s)):
            try:
                if self.sock is not None:
                    self.sock.settimeout(rest_until(self.deadline))
            except OSError as error:
                self.close()
                raise smtplib.SMTPServerDisconnected(str(error)) from None
            super().send(piece)


class Secure(Plain, smtplib.SMTP_SSL):
    """With TLS."""


def send(
    mail: EmailMessage,
    url: str,
    login: "str | None",
    timeout: "float | None",
    context: "ssl.SSLContext | None" = None,
) -> None:
    """Hand a message to the server: smtps://, or smtp:// with STARTTLS if offered.

    A login, `user:password`, is told to nobody without TLS.
    """
    deadline = deadline_of(timeout)
    try:
        server = urlsplit(url)
        port = server.port
    except ValueError:
        server, port = urlsplit(""), None
    if server.scheme not in ("smtp", "smtps") or not server.hostname or server.username:
        raise RefusalError(
            "server: that is no mail server",
            "Wanted is smtp://host[:port] or smtps://host[:port].",
        )
    tls = context or ssl.create_default_context()
    rest = rest_until(deadline)
    connection = (
        Secure(timeout=rest, context=tls)
        if server.scheme == "smtps"
        else Plain(timeout=rest)
    )
    connection.deadline = deadline
    connection._host = server.hostname  # noqa: SLF001
    with connection:
        code, answer = connection.connect(
            server.hostname, port or (465 if server.scheme == "smtps" else 25)
        )
        if code != 220:
            raise smtplib.SMTPConnectError(code, answer)
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
        refused = connection.send_message(mail)
    if refused:  # by some, while others get it
        raise smtplib.SMTPRecipientsRefused(refused)


def send_mail(
    recipients: "list[str] | None",
    subject: "str | None",
    body: "str | None",
    sender: "str | None",
    server: "str | None",
    credentials: "str | None",
    timeout: "float | None",
) -> None:
    """Send a mail, or raise an error of the database."""
    try:
        if not recipients or not all(recipients):
            raise RefusalError(
                "there is no recipient", "Wanted is an array of addresses."
            )
        mail = message(sender or "", recipients, subject or "", body or "")
        send(mail, server or "", secret(credentials, may_read_secrets()), timeout)
    except RefusalError as e:
        plpy.error(f"pgagent: send_mail: {e}", detail=e.detail, sqlstate="22023")
    except (OSError, smtplib.SMTPException) as e:
        plpy.error(
            f"pgagent: send_mail: {type(e).__name__}: {e}",
            sqlstate="08000",
            detail=f"The server is {server}, the time limit {timeout:g} s.",
        )
