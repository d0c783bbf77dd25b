"""The agent's own thread: connect, claim what is due, watch, and stop in good order."""

import logging
import math
import random
import threading
import time
from uuid import uuid4

from pgagent_runner.agent.crew import Crew
from pgagent_runner.agent.options import AgentOptions
from pgagent_runner.agent.waker import Waker
from pgagent_runner.catalog import (
    Catalog,
    CatalogError,
    CatalogLostError,
    Ledger,
    NotRegisteredError,
    prune_log,
)
from pgagent_runner.steps import SessionPool, StepSettings
from pgagent_runner.systemd import notify, watchdog_seconds

log = logging.getLogger(__name__)

# Seconds.
FIRST_RETRY = 0.1  # until the first attempt to reconnect; then doubled
LOCKED_RETRY = 0.1  # until another look at a due job that somebody has locked
REFUSED_RETRY = 1.0  # until another look if the database refused this one
DYING_RETRY = 0.2  # until another look at a dead agent whose sessions are ending
CROWDED_RETRY = 0.003  # until another look if more is due than there were workers
PRUNE_PAUSE = 600.0  # between two rounds of deleting old log rows

# Of the lease: when to renew it, and when to stop everything if that did not succeed,
# so that all has ended before others take the runs for dead.
HEARTBEAT = 1 / 5
FENCE = 13 / 20
KILL_MARGIN = 1.0  # seconds before the end of the lease

LEDGER_SESSIONS = 3


class _StopConnectingError(Exception):
    """Raised by `Agent.stop` where there is nothing to be lost yet."""


class Agent:
    """An agent: `run()` it in one thread, `stop()` it from a signal handler."""

    def __init__(self, options: AgentOptions) -> None:
        """Prepare; nothing is connected yet."""
        self._options = options
        self._runner = uuid4()
        self._waker = Waker()
        self._pool = SessionPool(options.target_sessions)
        self._next_beat = 0.0
        self._killed_at = 0.0  # scripts, if nobody extends that
        self._retry = FIRST_RETRY
        self._starting = True
        self._stops = 0
        self._breaks_off_at = math.inf  # so many stops, where there is nothing to lose
        self._reload = False
        self._passed_over = False
        self._expectant = True  # whether something may be due at the next look

    @property
    def signal_fileno(self) -> int:
        """What `signal.set_wakeup_fd` takes, so that a signal is noticed at once."""
        return self._waker.signal_fileno

    def stop(self) -> None:
        """Ask to stop: running jobs may end in peace; asked again, they are aborted.

        To be called in the thread of `run()`: by a signal handler.
        """
        self._stops += 1
        self._waker.wake()
        if self._stops >= self._breaks_off_at:
            raise _StopConnectingError

    def reload(self) -> None:
        """Ask to let go of idle sessions and to look for due jobs: for a signal."""
        self._reload = True
        self._waker.wake()

    def run(self) -> None:
        """Serve until asked to stop, whatever becomes of the database meanwhile."""
        while not self._stops:
            try:
                self._connect_and_serve()
            except _StopConnectingError:
                break
            except CatalogError as e:
                self._breaks_off_at = math.inf
                delay = random.uniform(self._retry / 2, self._retry)  # noqa: S311
                log.error("%s; next attempt in %.1f s", e, delay)  # noqa: TRY400
                notify("WATCHDOG=1", f"STATUS=Not connected: {e}")
                self._retry = min(2 * self._retry, self._options.retry)
                self._waker.wait(delay)
        notify("STOPPING=1")
        self._pool.close_idle(0)
        log.info("stopped")

    def _connect_and_serve(self) -> None:
        options = self._options
        self._breaks_off_at = 1
        began = time.monotonic()
        with Catalog(options.conninfo, options.station, options.lease) as catalog:
            # Who has registered leaves, unless that, too, takes too long.
            self._breaks_off_at = 2
            catalog.register(starting=self._starting, runner=self._runner)
            self._starting = False
            ledger = Ledger(options.conninfo, min(LEDGER_SESSIONS, options.workers + 1))
            self._breaks_off_at = math.inf
            self._serve(catalog, ledger, began)

    def _serve(self, catalog: Catalog, ledger: Ledger, began: float) -> None:
        """Work under one registration, until asked to stop or until it is lost."""
        options = self._options
        settings = StepSettings(
            server_conninfo=catalog.server_conninfo,
            output_limit=options.output_limit,
            environment=options.environment,
            lease=lambda: max(self._killed_at - time.monotonic(), 0.0),
            on_session=lambda pid: ledger.note_session(catalog.agent_id, pid),
        )
        self._retry = FIRST_RETRY
        self._next_beat = 0.0
        crew = Crew(
            *(options.workers, ledger, settings, self._pool),
            on_end=self._waker.wake,
            on_silence=catalog.break_off,
        )
        self._extend(crew, began)
        housekeeping = _Housekeeping(options.conninfo)
        log.info('agent on host "%s" serves %s', options.station, catalog.where)
        notify("READY=1", f"STATUS=Serves {catalog.where}")
        try:
            self._work(catalog, crew)
            self._drain(catalog, crew)
            catalog.leave()
        finally:
            # If the registration is lost, others take the runs for dead and may start
            # the jobs anew: nothing of these may go on.
            crew.abort("the agent lost its registration")
            housekeeping.stop()
            ledger.close()
            crew.dismiss()
            # They are noted as this agent's, and end when it is buried.
            self._pool.close_idle(0)

    def _work(self, catalog: Catalog, crew: Crew) -> None:
        """Beat, claim what is due and wait, in turn, until asked to stop."""
        next_look = 0.0
        while not self._stops:
            if self._beat(catalog, crew):
                self._expectant = True
                next_look = 0.0
            crew.check()
            if self._reload:
                self._reload = False
                self._pool.close_idle(0)
                self._expectant = True
                next_look = 0.0
                log.info("reloaded")
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + self._look(catalog, crew)
            until = min(self._next_beat, next_look)
            # It may have come with the answer to a query, and the socket be idle now.
            heard = self._hear(catalog)
            if heard or self._waker.wait(until - time.monotonic(), catalog):
                self._hear(catalog)
                self._expectant = True
                next_look = 0.0

    def _drain(self, catalog: Catalog, crew: Crew) -> None:
        """Let running jobs end; abort them when time is up or patience is."""
        deadline = time.monotonic() + self._options.grace
        crew.wakes_at = 1
        notify("STOPPING=1", "STATUS=Running jobs may end")
        if not crew.idle:
            log.info("stopping: running jobs have %g s to end", self._options.grace)
        while not crew.idle:
            self._beat(catalog, crew)
            crew.check()
            if self._stops > 1 or time.monotonic() >= deadline:
                crew.abort("the agent was stopped")
                deadline = self._next_beat
            until = min(self._next_beat, deadline)
            if self._waker.wait(until - time.monotonic(), catalog):
                self._hear(catalog)

    def _hear(self, catalog: Catalog) -> bool:
        """Take notifications, and tell whether there were any."""
        heard = catalog.take_notifications()
        if "cancel" in heard:
            self._next_beat = 0.0  # which tells what is to be cancelled
        return bool(heard)

    def _beat(self, catalog: Catalog, crew: Crew) -> bool:
        """Renew the lease, if it is time to; tell whether that has freed jobs."""
        began = time.monotonic()
        if began < self._next_beat:
            return False
        self._next_beat = began + min(
            HEARTBEAT * self._options.lease, watchdog_seconds() / 2
        )
        pulse = catalog.heartbeat()
        self._extend(crew, began)
        notify("WATCHDOG=1")
        if pulse.swept:
            log.warning("aborted %s runs of agents that are gone", pulse.swept)
        if pulse.dying:
            self._next_beat = began + DYING_RETRY
        crew.cancel(pulse.cancelled)
        self._pool.close_idle()
        return pulse.swept > 0

    def _extend(self, crew: Crew, began: float) -> None:
        """Let steps go on as long as a lease allows that was renewed after `began`."""
        self._killed_at = began + self._options.lease - KILL_MARGIN
        now = time.monotonic()
        crew.extend(began + FENCE * self._options.lease - now, self._killed_at - now)

    def _look(self, catalog: Catalog, crew: Crew) -> float:
        """Start what is due and can start; return the seconds until the next look.

        A worker that becomes free, and a change of any job, bring it forward.
        """
        poll = self._options.poll
        crew.wakes_at = 1
        if not (free := crew.free):
            return min(poll, REFUSED_RETRY)
        try:
            return min(self._start_what_is_due(catalog, crew, free), poll)
        except (CatalogLostError, NotRegisteredError):
            raise
        except CatalogError as e:
            log.error("could not look for due jobs: %s", e)  # noqa: TRY400
            return min(REFUSED_RETRY, poll)

    def _start_what_is_due(self, catalog: Catalog, crew: Crew, free: int) -> float:
        """Claim as many runs as workers are free; return when to look again."""
        # When nothing is expected to be due, a question is cheaper than an attempt.
        if not self._expectant and (left := self._until_due(catalog)) > 0:
            return left
        runs = catalog.claim(free)
        for run in runs:
            crew.start(run)
        if len(runs) == free:
            # More may be due. Single places are filled several at a time.
            crew.wakes_at = max(1, self._options.workers // 4)
            return CROWDED_RETRY if crew.free else self._options.poll
        left = self._until_due(catalog)
        # What was not due a moment ago may be now; what still is not is locked.
        nothing = left == 0 and not runs
        self._passed_over = nothing and not self._passed_over
        return LOCKED_RETRY if nothing and not self._passed_over else left

    def _until_due(self, catalog: Catalog) -> float:
        """Return the seconds until something is due, the poll interval at most."""
        poll = self._options.poll
        due = catalog.seconds_until_due()
        self._expectant = due is not None and due <= poll
        return poll if due is None else min(due, poll)


class _Housekeeping:
    """Deletes old log rows now and then, in a thread of its own."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="housekeeping", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Break off, and do not wait: what is under way is a transaction."""
        self._stopped.set()

    def _work(self) -> None:
        # Runners that are started together do not begin together.
        pause = random.uniform(0.05, 0.1) * PRUNE_PAUSE  # noqa: S311
        while not self._stopped.wait(pause):
            try:
                if deleted := prune_log(self._conninfo, self._stopped.wait):
                    log.info("deleted %s runs that need not be kept", deleted)
            except CatalogError as e:
                log.warning("could not delete old runs: %s", e)
            pause = PRUNE_PAUSE
