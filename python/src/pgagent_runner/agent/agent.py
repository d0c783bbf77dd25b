"""The agent's own thread: connect, show that it lives, and stop in good order."""

import logging
import math
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from uuid import uuid4

from pgagent_runner.agent.claimer import Claimer
from pgagent_runner.agent.crew import Crew
from pgagent_runner.agent.ear import Ear
from pgagent_runner.agent.housekeeping import Housekeeping
from pgagent_runner.agent.waker import Waker
from pgagent_runner.catalog import CatalogError, Claims, Ledger, Listener, Registration
from pgagent_runner.options import AgentOptions
from pgagent_runner.steps import SessionPool, StepSettings, batch_environment
from pgagent_runner.systemd import notify, watchdog_seconds
from pgagent_runner.tasks import Flag, TaskLoop

log = logging.getLogger(__name__)

# Seconds.
FIRST_RETRY = 0.1  # until the first attempt to reconnect; then doubled
DYING_RETRY = 0.2  # until another look at a dead agent whose sessions are ending

# Of the lease: when to renew it, and when to stop everything if that did not succeed,
# so that all has ended before others take the runs for dead.
HEARTBEAT = 1 / 5
FENCE = 13 / 20
KILL_MARGIN = 1.0  # seconds before the end of the lease

CLOSE_TIME = 60.0  # seconds from the end of the service to that of all connections
ABORT_TIME = 5.0  # seconds that what was aborted may take to end and to be recorded


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
        self._look = Flag()  # set when something may be due, or a worker is free

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
            self._breaks_off_at = math.inf
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
            except (CatalogError, OSError, RuntimeError) as e:
                # The latter: no descriptor, or no thread, is left.
                if self._stops:
                    log.error("%s", e)  # noqa: TRY400
                    break
                delay = random.uniform(self._retry / 2, self._retry)  # noqa: S311
                log.error("%s; next attempt in %.1f s", e, delay)  # noqa: TRY400
                notify("WATCHDOG=1", f"STATUS=Not connected: {e}")
                self._retry = min(2 * self._retry, self._options.retry)
                self._waker.wait(delay)
        notify("STOPPING=1")
        self._pool.close_idle(0)
        log.info("stopped")

    def _connect_and_serve(self) -> None:
        conninfo = self._options.conninfo
        began = time.monotonic()
        with ExitStack() as opened:
            with self._breaking_off(after=1):
                catalog = opened.enter_context(self._catalog())
            # An agent that has registered leaves, unless that takes too long as well.
            with self._breaking_off(after=2):
                catalog.register(starting=self._starting, runner=self._runner)
            self._starting = False
            # Sessions for steps are noted as this agent's, and end when it is buried.
            opened.callback(self._pool.close_idle, 0)
            last_resort = threading.Timer(CLOSE_TIME, _exit, ["it could not be closed"])
            last_resort.daemon = True
            opened.callback(last_resort.cancel)
            tasks = opened.enter_context(TaskLoop())
            with self._breaking_off(after=2):
                ledger = opened.enter_context(closing(Ledger(conninfo, tasks)))
                claims = opened.enter_context(closing(self._claims(catalog)))
            opened.enter_context(closing(Housekeeping(conninfo)))
            crew = self._crew(catalog, tasks, ledger)
            claimer = self._claimer(claims, crew)
            self._extend(crew, claimer, began)
            ear = opened.enter_context(closing(self._ear(crew)))
            tasks.start(claimer.work, ear.work)
            self._serve(catalog, crew, claimer, last_resort)

    @contextmanager
    def _breaking_off(self, *, after: int) -> Iterator[None]:
        """Have so many stops break off what the block does: nothing can be lost."""
        self._breaks_off_at = after
        try:
            yield
        finally:
            self._breaks_off_at = math.inf

    def _catalog(self) -> Registration:
        options = self._options
        return Registration(options.conninfo, options.station, options.lease)

    def _claims(self, catalog: Registration) -> Claims:
        options = self._options
        lock_timeout = options.lease / 4
        return Claims(options.conninfo, catalog.agent_id, options.station, lock_timeout)

    def _claimer(self, claims: Claims, crew: Crew) -> Claimer:
        return Claimer(
            *(claims, crew, self._look, self._options.poll),
            is_stopping=lambda: self._stops > 0,
            on_end=self._waker.wake,
        )

    def _ear(self, crew: Crew) -> Ear:
        return Ear(
            partial(Listener, self._options.conninfo),
            count_runs=lambda: crew.started,
            on_change=self._look.set,
            on_cancel=self._beat_at_once,
        )

    def _crew(self, catalog: Registration, tasks: TaskLoop, ledger: Ledger) -> Crew:
        options = self._options
        settings = StepSettings(
            server_conninfo=catalog.server_conninfo,
            output_limit=options.output_limit,
            allowed_parameters=options.allow_parameter,
            clear_password=options.allow_clear_password,
            environment=batch_environment(os.environ, options.env),
            lease=lambda: max(self._killed_at - time.monotonic(), 0.0),
            on_session=lambda pid: ledger.note_session(catalog.agent_id, pid),
        )
        workers = options.workers_for(catalog.max_connections)
        return Crew(
            *(workers, tasks, ledger, settings, self._pool),
            on_free=self._look.set,
            on_idle=self._waker.wake,
            on_silence=catalog.break_off,
        )

    def _serve(
        self,
        catalog: Registration,
        crew: Crew,
        claimer: Claimer,
        last_resort: threading.Timer,
    ) -> None:
        """Work under one registration, until asked to stop or until it is lost."""
        self._retry = FIRST_RETRY
        self._next_beat = 0.0
        try:
            where = catalog.where
            log.info(
                'agent on host "%s" serves %s, %s jobs at a time',
                *(self._options.station, where, crew.size),
            )
            notify("READY=1", f"STATUS=Serves {where}")
            self._work(catalog, crew, claimer)
            self._drain(catalog, crew, claimer)
            catalog.leave()
        finally:
            # If the registration is lost, others take the runs for dead and may start
            # the jobs anew: nothing of these may go on, whatever it takes.
            with suppress(RuntimeError):  # no thread left
                last_resort.start()
            crew.abort("the agent lost its registration")
            crew.dismiss()
            claimer.close()

    def _work(self, catalog: Registration, crew: Crew, claimer: Claimer) -> None:
        """Beat, and tell the claimer when to look, until asked to stop."""
        while not self._stops:
            if self._beat(catalog, crew, claimer):
                self._look.set()
            crew.check()
            claimer.check()
            if self._reload:
                self._reload = False
                self._pool.renew()
                self._look.set()
                log.info("reloaded")
            self._waker.wait(self._next_beat - time.monotonic(), catalog)
            catalog.check()

    def _drain(self, catalog: Registration, crew: Crew, claimer: Claimer) -> None:
        """Let running jobs end; abort them when time is up or patience is."""
        deadline = time.monotonic() + self._options.grace
        given_up = math.inf
        self._look.set()  # for the claimer to end
        notify("STOPPING=1", "STATUS=Running jobs may end")
        if not crew.idle:
            log.info("stopping: running jobs have %g s to end", self._options.grace)
        while not (claimer.ended and crew.idle):
            self._beat(catalog, crew, claimer)
            crew.check()
            now = time.monotonic()
            if now >= given_up:
                log.warning("stopped before all runs could be recorded")
                return
            if self._stops > 1 or now >= deadline:
                deadline = now
                given_up = min(given_up, now + ABORT_TIME)
                crew.abort("the agent was stopped")
                claimer.break_off()
            until = min(self._next_beat, given_up if deadline <= now else deadline)
            self._waker.wait(until - now, catalog)
            catalog.check()

    def _beat_at_once(self) -> None:
        """Have the next beat, which tells what is to be cancelled, from any thread."""
        self._next_beat = 0.0
        self._waker.wake()

    def _beat(self, catalog: Registration, crew: Crew, claimer: Claimer) -> bool:
        """Renew the lease, if it is time to; tell whether that has freed jobs."""
        began = time.monotonic()
        if began < self._next_beat:
            return False
        # An agent that was frozen, and is late, can't judge its tasks yet.
        if began < self._next_beat + HEARTBEAT * self._options.lease:
            self._exit_if_stuck(crew)
        self._next_beat = began + min(
            HEARTBEAT * self._options.lease, watchdog_seconds() / 2
        )
        pulse = catalog.heartbeat()
        self._extend(crew, claimer, began)
        notify("WATCHDOG=1")
        if pulse.swept:
            log.warning("aborted %s runs of agents that are gone", pulse.swept)
        if pulse.dying:
            self._next_beat = began + DYING_RETRY
        crew.cancel(pulse.cancelled)
        self._pool.close_idle()
        return pulse.swept > 0

    def _exit_if_stuck(self, crew: Crew) -> None:
        if (seconds := crew.stuck_for) > self._options.lease:
            _exit(f"nothing has gone on for {seconds:.0f} s")

    def _extend(self, crew: Crew, claimer: Claimer, began: float) -> None:
        """Let steps go on as long as a lease allows that was renewed after `began`.

        The server has just answered: another session that has been waiting for an
        answer for so long waits for nothing.
        """
        self._killed_at = began + self._options.lease - KILL_MARGIN
        now = time.monotonic()
        fence = began + FENCE * self._options.lease - now
        crew.extend(fence, self._killed_at - now)
        claimer.break_off_silent(fence)


def _exit(reason: str) -> None:
    """End this process at once; others find its agent gone, and clear up."""
    log.critical("%s; the runner ends", reason)
    os._exit(os.EX_SOFTWARE)
