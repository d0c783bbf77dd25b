"""Whatever apprise knows: Slack, Teams, PagerDuty, and more than a hundred others."""

import logging
import threading
from typing import Any

from pgagent_runner.sending.channels import Channel
from pgagent_runner.sending.failures import NotSentError
from pgagent_runner.sending.messages import Message

_MISSING = (
    "apprise is not installed: pipx inject pgagent-runner apprise, or pip install"
    " 'pgagent-runner[alerts]'"
)


def send(
    channel: Channel, message: Message, subject: str, text: str, deadline: float
) -> str:
    """Have apprise send a message; raises NotSentError."""
    del message, deadline  # whoever calls sees to the time
    try:
        import apprise  # noqa: PLC0415 (an extra, and it takes half a second)
    except ImportError as e:
        why = _MISSING if e.name == "apprise" else f"{_MISSING} ({e})"
        raise NotSentError(why) from None
    chosen = channel.values
    failed = []
    urls = chosen.get("urls") or [chosen["url"]]
    for place, url in enumerate(urls, 1):
        sender = apprise.Apprise()
        if not sender.add(url):
            failed.append(f"URL {place} is none that apprise understands")
        elif why := _why_not(sender, subject, text, apprise.NotifyFormat.TEXT):
            failed.append(f"URL {place} failed{why}")
    if len(failed) == len(urls):
        raise NotSentError("; ".join(failed))
    # Repeated, it would reach the others again and again.
    return f"not to all: {'; '.join(failed)}" if failed else ""


def _why_not(sender: Any, subject: str, text: str, form: object) -> str:  # noqa: ANN401
    """Send it; return '' if that has succeeded, or else what apprise says."""
    told = _Told()
    logger = logging.getLogger("apprise")
    logger.addHandler(told)
    try:
        is_sent = sender.notify(body=text, title=subject, body_format=form)
    finally:
        logger.removeHandler(told)
    return "" if is_sent else told.last


class _Told(logging.Handler):
    """Remembers the last thing that apprise has to complain of, in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.last = ": apprise does not say why"

    def emit(self, record: logging.LogRecord) -> None:
        if threading.get_ident() == self._thread:
            self.last = f": {record.getMessage()}"
