"""Mail."""

import smtplib

from pgagent_runner.sending.channels import Channel
from pgagent_runner.sending.failures import NotSentError, in_words
from pgagent_runner.sending.messages import Message
from pgagent_runner.sending.refusal import RefusalError
from pgagent_runner.sending.smtp import hand_over
from pgagent_runner.sending.smtp import message as mail_of

_PORTS = {"tls": 465}
_USUAL_PORT = 25


def send(
    channel: Channel, message: Message, subject: str, text: str, deadline: float
) -> str:
    """Hand a mail to the server; return what is to be said of it.

    It is sent as soon as one recipient gets it: repeated because of the others, it
    would reach that one again and again. Raises NotSentError.
    """
    chosen = channel.values
    security = security_of(channel)
    login = (chosen["login"], chosen["password"]) if "login" in chosen else None
    try:
        mail = mail_of(chosen["from"], chosen["to"], subject, text, message.id)
        # So that nobody answers that he is on holiday.
        mail["Auto-Submitted"] = "auto-generated"
        refused = hand_over(
            mail,
            chosen["host"],
            port_of(channel),
            security,
            login,
            deadline,
        )
    except RefusalError as e:
        raise NotSentError(f"{e}: {e.detail}") from None
    except smtplib.SMTPRecipientsRefused as e:
        raise NotSentError(f"refused: {_reasons(e.recipients)}") from None
    except smtplib.SMTPResponseException as e:
        raise NotSentError(f"{type(e).__name__}: {_answer(e)}") from None
    except (OSError, smtplib.SMTPException, ValueError) as e:
        place = f"{chosen['host']}:{port_of(channel)}"
        raise NotSentError(f"mail server {place}: {in_words(e)}") from None
    return f"not to all: {_reasons(refused)}" if refused else ""


def security_of(channel: Channel) -> str:
    """Return how what is sent is kept from others."""
    return str(channel.values.get("security", "starttls"))


def port_of(channel: Channel) -> int:
    """Return the port of the mail server."""
    usual = _PORTS.get(security_of(channel), _USUAL_PORT)
    return int(channel.values.get("port", usual))


def _reasons(refused: dict[str, tuple[int, bytes]]) -> str:
    return ", ".join(
        f"{recipient} ({code} {_decoded(answer)})"
        for recipient, (code, answer) in refused.items()
    )


def _answer(error: smtplib.SMTPResponseException) -> str:
    return f"{error.smtp_code} {_decoded(error.smtp_error)}"


def _decoded(answer: bytes | str) -> str:
    if isinstance(answer, str):
        return answer
    return answer.decode(errors="backslashreplace")
