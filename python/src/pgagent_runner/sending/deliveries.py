"""Sending what waits: a thread a channel, so that none waits for another one."""

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pgagent_runner.sending import command, mail, services, webhook
from pgagent_runner.sending.channels import Channel
from pgagent_runner.sending.failures import NotSentError
from pgagent_runner.sending.messages import Event, Message, subject, text, values
from pgagent_runner.visible import visible

log = logging.getLogger(__name__)

ATTEMPT_TIME = 10.0  # seconds that one attempt may take
_MARGIN = 1.0  # after which it is left to itself
_PAUSE = 1.0  # between two looks, while other channels are busy
_LONGEST_ERROR = 1000  # characters

_SENDERS: Mapping[str, Callable[[Channel, Message, str, str, float], str]] = {
    "smtp": mail.send,
    "webhook": webhook.send,
    "command": command.send,
    "apprise": services.send,
}


class Claimed(Protocol):
    """A message as the catalogue gives it."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def attempt(self) -> int: ...  # noqa: D102
    @property
    def alert(self) -> str: ...  # noqa: D102
    @property
    def channel(self) -> str: ...  # noqa: D102
    @property
    def events(self) -> Sequence[Event]: ...  # noqa: D102


class Queue(Protocol):
    """Where messages come from: see `catalog/alerts.py`."""

    def claim(self, channel: str) -> Claimed | None:
        """Claim the next message for a channel."""

    def note_sent(self, message: str, attempt: int, error: str | None) -> None:
        """Note that a message was sent, or why not."""


@dataclass(slots=True)
class Report:
    """What has become of it."""

    sent: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Channels that have failed, and why; each is tried once."""

    error: Exception | None = None
    """Why the database could be asked no more, if so."""


class Deliveries:
    """Sends messages until none is left for these channels, or the time is over."""

    def __init__(
        self,
        waiting: Queue,
        channels: Mapping[str, Channel],
        where: str,
        say: Callable[[str], object],
        note: Callable[[str], object],
    ) -> None:
        """Prepare.

        where: the server and the database, for people. `say` is called with sentences
        about what went wrong, `note` with what went well: by any thread.
        """
        self._waiting = waiting
        self._channels = channels
        self._where = where
        self._say = say
        self._note = note
        self._report = Report()
        self._changed = threading.Condition()
        self._busy: set[str] = set()
        self._stops = False

    def stop(self) -> None:
        """Claim no more."""
        self._stops = True
        with self._changed:
            self._changed.notify_all()

    def run(self, seconds: float) -> Report:
        """Send; begin no attempt when the seconds are over."""
        end = time.monotonic() + seconds
        self._busy = set(self._channels)
        workers = [
            threading.Thread(target=self._work, args=(channel, end), daemon=True)
            for channel in self._channels.values()
        ]
        for worker in workers:
            worker.start()
        last = end + ATTEMPT_TIME + 2 * _MARGIN
        for worker in workers:
            worker.join(max(last - time.monotonic(), 0))
        return self._report

    def _work(self, channel: Channel, end: float) -> None:
        """Send what waits for a channel, as long as others are busy, too."""
        try:
            while not self._stops and time.monotonic() < end:
                claimed = self._waiting.claim(channel.name)
                if claimed is not None:
                    self._note_busy(channel, is_busy=True)
                    if not self._send(channel, claimed):
                        return
                    continue
                self._note_busy(channel, is_busy=False)
                with self._changed:
                    if not self._busy:
                        return
                    self._changed.wait(_PAUSE)
        except Exception as e:  # noqa: BLE001 (told to whoever waits)
            self._report.error = self._report.error or e
            self.stop()
        finally:
            self._note_busy(channel, is_busy=False)

    def _note_busy(self, channel: Channel, *, is_busy: bool) -> None:
        with self._changed:
            before = len(self._busy)
            (self._busy.add if is_busy else self._busy.discard)(channel.name)
            if before and not self._busy:
                self._changed.notify_all()

    def _send(self, channel: Channel, claimed: Claimed) -> bool:
        """Send a message, and note that; tell whether that has succeeded."""
        message = Message(
            *(claimed.id, claimed.attempt, claimed.alert, claimed.channel),
            *(claimed.events, self._where),
        )
        name = visible(channel.name)
        try:
            remark = self._hidden(attempt(channel, message))
        except NotSentError as e:
            error = self._hidden(str(e))
            self._report.failed[channel.name] = error
            self._say(f"channel {name}: message {message.id} was not sent: {error}")
            self._waiting.note_sent(message.id, message.attempt, error)
            return False
        self._report.sent += 1
        if remark:
            self._say(f"channel {name}: message {message.id} was sent, but {remark}")
        else:
            self._note(f"channel {name}: message {message.id} was sent")
        self._waiting.note_sent(message.id, message.attempt, None)
        return True

    def _hidden(self, told: str) -> str:
        """Return what may be told to everybody, in a line that is not too long."""
        for channel in self._channels.values():
            told = channel.hidden(told)
        line = visible(" ".join(told.split()))
        is_long = len(line) > _LONGEST_ERROR
        return f"{line[: _LONGEST_ERROR - 1]}…" if is_long else line


def attempt(channel: Channel, message: Message, seconds: float = ATTEMPT_TIME) -> str:
    """Send a message once; return a remark, if there is one to be made.

    Raises NotSentError, whatever hangs after so many seconds: not all of it can be
    given a time limit, such as looking up a name.
    """
    outcome: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()
    deadline = time.monotonic() + seconds

    def work() -> None:
        try:
            told = _texts(channel, message)
            outcome.put(_SENDERS[channel.type](channel, message, *told, deadline))
        except Exception as e:  # noqa: BLE001 (raised where it is waited for)
            outcome.put(e)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = outcome.get(timeout=seconds + _MARGIN)
    except queue.Empty:
        raise NotSentError(f"it has taken more than {seconds:g} s") from None
    if isinstance(result, NotSentError):
        raise result
    if isinstance(result, Exception):
        raise NotSentError(f"{type(result).__name__}: {result}") from result
    return result


def _texts(channel: Channel, message: Message) -> tuple[str, str]:
    """Return subject and text: the channel's own, or else the usual ones."""
    own = channel.values.get("subject"), channel.values.get("text")
    found = values(message) if any(own) else {}
    subject_, text_ = own
    return (
        subject(message) if subject_ is None else one_line(subject_.fill(found)),
        text(message) if text_ is None else visible(text_.fill(found)),
    )


def one_line(filled: str) -> str:
    """Return what was filled into a template as a subject."""
    return visible(" ".join(filled.split()))


def where(host: str, database: str) -> str:
    """Return a server and its database, for people."""
    is_here = not host or host.startswith(("/", "@")) or host in _LOCAL
    return f"{socket.gethostname() if is_here else host}/{database}"


_LOCAL = ("localhost", "127.0.0.1", "::1")
