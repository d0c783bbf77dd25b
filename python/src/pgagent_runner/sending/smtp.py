"""Handing a message to a mail server."""

import contextlib
import io
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from pgagent_runner.sending.limited import LimitedReader, pieces, rest_until
from pgagent_runner.sending.refusal import RefusalError

READY = 220  # what a server says first
LONGEST_HEADER = 5000  # characters: parsing an address takes longer than reading it
DOMAIN = "pgagent.invalid"  # of ids of messages


def message(
    sender: str,
    recipients: "list[str]",
    subject: str,
    body: str,
    identity: "str | None" = None,
) -> EmailMessage:
    """Compose a message; headers with line breaks are refused.

    identity: what makes its Message-ID, which is the same then in each repetition.
    """
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
    mail["Message-ID"] = (
        f"<{identity}@{DOMAIN}>" if identity else make_msgid(domain=DOMAIN)
    )
    mail.set_content(body)
    return mail


class InUtf8(str):
    """A secret in UTF-8, as RFC 4616 has it; smtplib would take nothing but ASCII."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return it in UTF-8, whatever is asked for."""
        del encoding
        return super().encode("utf-8", errors)


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

    def auth(
        self,
        mechanism: str,
        authobject: Any,  # noqa: ANN401
        *,
        initial_response_ok: bool = True,
    ) -> "tuple[int, bytes]":
        """Log in by a mechanism."""

        def answer(*challenge: Any) -> Any:  # noqa: ANN401
            told = authobject(*challenge)
            return None if told is None else InUtf8(told)

        return super().auth(mechanism, answer, initial_response_ok=initial_response_ok)

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


def hand_over(  # noqa: PLR0913, PLR0917
    mail: EmailMessage,
    host: str,
    port: "int | None",
    security: str,
    login: "tuple[str, str] | None",
    deadline: float,
    context: "ssl.SSLContext | None" = None,
) -> "dict[str, tuple[int, bytes]]":
    """Hand a message to a server; return the recipients that it has refused, and why.

    security: "tls", "starttls", "offered" (that, where the server has it) or "none". A
    login, user and password, is told to nobody without TLS. Raises RefusalError,
    OSError or SMTPException, the latter if nobody at all gets it.
    """
    tls = context or ssl.create_default_context()
    rest = rest_until(deadline)
    connection = (
        Secure(timeout=rest, context=tls) if security == "tls" else Plain(timeout=rest)
    )
    connection.deadline = deadline
    connection._host = host  # noqa: SLF001
    try:
        code, answer = connection.connect(
            host, port or (465 if security == "tls" else 25)
        )
        if code != READY:
            raise smtplib.SMTPConnectError(code, answer)
        connection.ehlo()
        secure = security == "tls"
        if security in ("starttls", "offered") and connection.has_extn("starttls"):
            connection.starttls(context=tls)
            secure = True
        if not secure and security == "starttls":
            raise RefusalError("the mail server offers no TLS", "STARTTLS is wanted.")
        if not secure and login:
            raise RefusalError(
                "the mail server offers no TLS",
                "A password is sent through TLS only.",
            )
        if login:
            connection.login(*map(InUtf8, login))
        refused = connection.send_message(mail)
        # The server has it; whatever it says to that changes nothing.
        with contextlib.suppress(OSError, smtplib.SMTPException):
            connection.docmd("QUIT")
        return refused
    finally:
        connection.close()
