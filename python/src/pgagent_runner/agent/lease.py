"""The agent's registration, and its signs of life: in a thread beside the loop."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol
from uuid import UUID

from pgagent_runner.agent.fence import Fence
from pgagent_runner.agent.waker import Waker
from pgagent_runner.catalog import Registration
from pgagent_runner.logs import log_in_time
from pgagent_runner.model import Pulse
from pgagent_runner.options import AgentOptions
from pgagent_runner.systemd import notify, watchdog_seconds

log = logging.getLogger(__name__)

# Of the lease: when to renew it, and when to stop everything if that did not succeed,
# so that all has ended before others take the runs for dead.
_HEARTBEAT = 1 / 5
_FENCE = 13 / 20
_KILL_MARGIN = 1.0  # seconds before the end of the lease
_REFUSED = 1 / 20  # until the next attempt if somebody is in the way
_STOPPED = "it was stopped"
_MOMENTS = 20  # in which a lease that lasts no longer is divided


class Guarded(Protocol):
    """What may go on as long as the lease lasts: see `Crew`."""

    def abort(self, reason: str) -> None:
        """Stop all steps: in the loop's thread."""

    def break_off(self) -> None:
        """Stop all steps without a turn of the loop: from any thread."""

    def keep_alive(self, seconds: float) -> None:
        """Let scripts go on for so many seconds: from any thread."""

    def under_way(self) -> Mapping[int, int]:
        """Return the runs that are under way, and their jobs: from any thread."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What an agent knows once it is registered."""

    agent_id: int
    max_connections: int
    agents: int  # that were alive
    where: str  # for people
    conninfo: str  # how to reach the catalogue, names looked up by ourselves
    server_conninfo: str  # how to reach any database of the same server
    unarmed: str | None = None  # why it may not start any job, if it may not
    notes: Sequence[str] = ()  # of where the jobs are armed


class Lease:
    """Registers an agent, and renews its lease in time: in a thread of its own.

    Nothing that the loop does can delay that. But if the loop does not turn for longer
    than the lease, nothing goes on, and the process ends. If the lease can't be
    renewed, all steps are stopped before others take the runs for dead: by the loop,
    and if that does not turn, without it.
    """

    def __init__(
        self,
        options: AgentOptions,
        on_pulse: Callable[[Pulse, float], None],
        on_end: Callable[[], None],
        *,
        runner: UUID,
        starting: bool,
    ) -> None:
        """Start to register.

        `on_pulse` is called in the loop with each answer to a sign of life, and the
        seconds for which nobody may have waited for the same server in vain; `on_end`
        when it has ended.
        """
        self._options = options
        self._on_pulse = on_pulse
        self._runner = runner
        self._starting = starting
        self._loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[None] = self._loop.create_future()
        self.registered: asyncio.Future[Registered] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._waker = Waker()
        self._closed = False
        self._leaves = False
        self._leaves_because = _STOPPED
        self._is_refused = False
        self._is_seen = False
        self._next_beat = 0.0
        self._killed_at = 0.0  # scripts, if nobody extends that
        self._turn_asked: float | None = None  # since when the loop has not turned
        self._guarded: Guarded | None = None
        self._registration: Registration | None = None
        self._end_is_noted = threading.Event()
        self.ended.add_done_callback(lambda _: on_end())
        try:
            self._fence = Fence(self._stop, self._stop_without_loop, self.break_off)
            try:
                threading.Thread(target=self._work, name="lease", daemon=True).start()
            except BaseException:
                self._fence.close()
                raise
        except BaseException:
            self._waker.close()
            raise

    def guard(self, guarded: Guarded) -> None:
        """Stop this when the lease can't be renewed."""
        self._guarded = guarded

    def seconds_left(self) -> float:
        """Return for how many seconds a script may go on that starts now."""
        return max(self._killed_at - time.monotonic(), 0.0)

    def beat(self) -> None:
        """Show a sign of life at once, whose answer says what is to be cancelled."""
        self._next_beat = 0.0
        self._waker.wake()

    def check(self) -> None:
        """Raise why the registration has ended, if it has."""
        if self.ended.done():
            self.ended.result()

    async def leave(self, reason: str = _STOPPED) -> None:
        """End the registration, for a reason; raises what `Registration.leave` does."""
        self._leaves_because = reason
        self._leaves = True
        self._waker.wake()
        await asyncio.shield(self.ended)

    def break_off(self) -> None:
        """Have whatever waits for the server's answer fail: from any thread."""
        if self._registration is not None:
            self._registration.break_off()

    def close(self) -> None:
        """End it, and do not wait: others will find this agent gone."""
        self._closed = True
        self._fence.close()
        self.break_off()
        self._waker.wake()

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            self._serve()
        except BaseException as e:  # noqa: BLE001 (raised where it is waited for)
            error = e
        self._post(self._note_end, error)
        # A loop that is stuck does not hear of it. Of a process that was frozen, one of
        # these moments has passed at most.
        for _ in range(_MOMENTS):
            is_noted = self._end_is_noted.wait(self._options.lease / _MOMENTS)
            if is_noted or self._loop.is_closed():
                return
        exit_at_once("nothing has gone on since the registration was lost")

    def _serve(self) -> None:
        options = self._options
        began = time.monotonic()
        with Registration(options.conninfo, options.station, options.lease) as it:
            self._registration = it
            if self._closed:
                return
            self._post(self._note_connected)
            # A server that does not answer is left, as it is later on.
            self._fence.extend([time.monotonic() + options.lease] * 3)
            arm = options.arm and self._starting
            it.register(starting=self._starting, runner=self._runner, arm=arm)
            self._extend(began)
            known = Registered(
                *(it.agent_id, it.max_connections, it.agents, it.where),
                *(it.conninfo, it.server_conninfo),
                unarmed=it.unarmed,
                notes=it.notes,
            )
            self._post(self._note_registered, known)
            while not (self._closed or self._leaves):
                if time.monotonic() >= self._next_beat:
                    self._beat(it)
                self._waker.wait(self._next_beat - time.monotonic(), it)
                it.check()
            if self._leaves:
                it.leave(self._leaves_because)

    def _beat(self, registration: Registration) -> None:
        """Renew the lease, unless the loop is stuck."""
        began = time.monotonic()
        every = _HEARTBEAT * self._options.lease
        # An agent that was frozen, and is late, can't judge its loop yet.
        if began < self._next_beat + every:
            self._exit_if_stuck(began)
        self._next_beat = began + min(every, watchdog_seconds() / 2)
        guarded = self._guarded
        pulse = registration.heartbeat(list(guarded.under_way()) if guarded else ())
        self._note_refusal(pulse)
        if pulse.refused is None or self._is_seen:
            self._extend(began)
        else:
            self._next_beat = began + _REFUSED * self._options.lease
        notify("WATCHDOG=1")
        if self._turn_asked is None:
            self._turn_asked = time.monotonic()
        silent = began + _FENCE * self._options.lease - time.monotonic()
        self._post(self._note_pulse, pulse, silent)

    def _note_refusal(self, pulse: Pulse) -> None:
        """Tell when somebody keeps the lease from being renewed, and when that is over.

        Others who see in the server that this agent has asked know that it lives.
        """
        if pulse.seen is not None:
            self._is_seen = pulse.seen
        if (pulse.refused is not None) is self._is_refused:
            return
        self._is_refused = not self._is_refused
        if self._is_refused:
            text = "the lease could not be renewed, trying again: %s"
            log_in_time(log, logging.WARNING, text, pulse.refused)
        else:
            log_in_time(log, logging.INFO, "the lease is renewed again")

    def _extend(self, began: float) -> None:
        """Let steps go on as long as a lease allows that was renewed after `began`."""
        lease = self._options.lease
        self._killed_at = began + lease - _KILL_MARGIN
        fence = began + _FENCE * lease
        self._fence.extend((fence, (fence + self._killed_at) / 2, self._killed_at))
        if self._guarded is not None:
            self._guarded.keep_alive(self.seconds_left())

    def _exit_if_stuck(self, now: float) -> None:
        asked = self._turn_asked
        if asked is not None and now - asked > self._options.lease:
            exit_at_once(f"nothing has gone on for {now - asked:.0f} s")

    def _stop(self) -> None:
        if self._guarded is not None:
            reason = "the agent could not show a sign of life in time"
            self._turn_asked = self._turn_asked or time.monotonic()
            self._post(self._abort, self._guarded, reason)

    def _stop_without_loop(self) -> None:
        if self._turn_asked is not None and self._guarded is not None:
            self._guarded.break_off()

    def _abort(self, guarded: Guarded, reason: str) -> None:
        self._turn_asked = None
        guarded.abort(reason)

    def _note_pulse(self, pulse: Pulse, silent: float) -> None:
        self._turn_asked = None
        if not self.ended.done():
            self._on_pulse(pulse, silent)

    def _note_connected(self) -> None:
        if not self.connected.done():
            self.connected.set_result(None)

    def _note_registered(self, known: Registered) -> None:
        if not self.registered.done():
            self.registered.set_result(known)

    def _note_end(self, error: BaseException | None) -> None:
        self._end_is_noted.set()
        self._fence.close()
        self._waker.close()
        for future in (self.connected, self.registered, self.ended):
            if not future.done() and error is not None:
                future.set_exception(error)
                future.exception()  # nobody need ask for all
        if not self.ended.done():
            self.ended.set_result(None)

    def _post(self, function: Callable[..., None], *values: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *values)
        except RuntimeError:  # the loop has ended, and the process is about to
            log.debug("the loop has ended")


def exit_at_once(reason: str) -> NoReturn:
    """End this process; others find its agent gone, and clear up."""
    log_in_time(log, logging.CRITICAL, "%s; the runner ends", reason)
    os._exit(os.EX_SOFTWARE)
