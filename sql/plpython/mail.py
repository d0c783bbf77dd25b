"""Sending a mail from the database server."""

import smtplib
from urllib.parse import urlsplit


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
    user, _, password = (login or "").partition(":")
    refused = hand_over(
        mail,
        server.hostname,
        port,
        "tls" if server.scheme == "smtps" else "offered",
        (user, password) if login else None,
        deadline,
        context,
    )
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
