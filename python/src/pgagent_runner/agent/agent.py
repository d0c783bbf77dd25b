"""The agent's own thread: connect, claim what is due, watch, and stop in good order."""

import logging
import random
import time

from pgagent_runner.agent.crew import Crew
from pgagent_runner.agent.options import AgentOptions
from pgagent_runner.agent.waker import Waker
from pgagent_runner.catalog import (
    Catalog,
    CatalogError,
    CatalogLostError,
    Ledger,
    NotRegisteredError,
)
from pgagent_runner.steps import StepSettings

log = logging.getLogger(__name__)

# Seconds.
LEASE = 20.0  # how long the agent counts as alive after a heartbeat
HEARTBEAT = 5.0
FIRST_RETRY = 0.1  # until the first attempt to reconnect; then doubled
LOCKED_RETRY = 0.1  # until another look at a due job that somebody has locked
REFUSED_RETRY = 1.0  # until another look if the database refused this one

LEDGER_SESSIONS = 4


class _StopConnectingError(Exception):
    """Raised by `Agent.stop` where there is nothing to be lost yet."""


class Agent:
    """An agent: `run()` it in one thread, `stop()` it from a signal handler."""

    def __init__(self, options: AgentOptions) -> None:
        """Prepare; nothing is connected yet."""
        self._options = options
        self._waker = Waker()
        self._next_beat = 0.0
        self._retry = FIRST_RETRY
        self._starting = True
        self._connecting = False
        self._stops = 0

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
        if self._connecting:
            raise _StopConnectingError

    def run(self) -> None:
        """Serve until asked to stop, whatever becomes of the database meanwhile."""
        while not self._stops:
            try:
                self._connect_and_serve()
            except _StopConnectingError:
                break
            except CatalogError as e:
                self._connecting = False
                delay = random.uniform(self._retry / 2, self._retry)  # noqa: S311
                log.error("%s; next attempt in %.1f s", e, delay)  # noqa: TRY400
                self._retry = min(2 * self._retry, self._options.retry)
                self._waker.wait(delay)
        log.info("stopped")

    def _connect_and_serve(self) -> None:
        options = self._options
        self._connecting = True
        with Catalog(
            options.conninfo, options.station, LEASE, starting=self._starting
        ) as catalog:
            self._starting = False
            ledger = Ledger(options.conninfo, min(LEDGER_SESSIONS, options.workers))
            self._connecting = False
            self._serve(catalog, ledger)

    def _serve(self, catalog: Catalog, ledger: Ledger) -> None:
        """Work under one registration, until asked to stop or until it is lost."""
        options = self._options
        settings = StepSettings(
            server_conninfo=catalog.server_conninfo,
            output_limit=options.output_limit,
            environment=options.environment,
        )
        self._retry = FIRST_RETRY
        self._next_beat = 0.0
        crew = Crew(options.workers, ledger, settings, on_end=self._waker.wake)
        log.info('agent on host "%s" serves %s', options.station, catalog.where)
        try:
            self._work(catalog, crew)
            self._drain(catalog, crew)
            catalog.leave()
        finally:
            # If the registration is lost, others take the runs for dead and may start
            # the jobs anew: nothing of these may go on.
            crew.abort("the agent lost its registration")
            ledger.close()
            crew.dismiss()

    def _work(self, catalog: Catalog, crew: Crew) -> None:
        """Beat, claim what is due and wait, in turn, until asked to stop."""
        next_look = 0.0
        while not self._stops:
            self._beat(catalog)
            crew.check()
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + self._look(catalog, crew)
            until = min(self._next_beat, next_look)
            # It may have come with the answer to a query, and the socket be idle now.
            noted = catalog.take_notifications()
            if noted or self._waker.wait(until - time.monotonic(), catalog):
                catalog.take_notifications()
                next_look = 0.0

    def _drain(self, catalog: Catalog, crew: Crew) -> None:
        """Let running jobs end; abort them when time is up or patience is."""
        deadline = time.monotonic() + self._options.grace
        if not crew.idle:
            log.info("stopping: running jobs have %g s to end", self._options.grace)
        while not crew.idle:
            self._beat(catalog)
            if self._stops > 1 or time.monotonic() >= deadline:
                crew.abort("the agent was stopped")
                deadline = self._next_beat
            until = min(self._next_beat, deadline)
            if self._waker.wait(until - time.monotonic(), catalog):
                catalog.take_notifications()

    def _beat(self, catalog: Catalog) -> None:
        """Renew the lease, if it is time to."""
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + HEARTBEAT
        if aborted := catalog.heartbeat():
            log.warning("aborted %s runs of agents that are gone", aborted)

    def _look(self, catalog: Catalog, crew: Crew) -> float:
        """Start what is due and can start; return the seconds until the next look.

        A worker that becomes free, and a change of any job, bring it forward.
        """
        poll = self._options.poll
        if not crew.free:
            return poll
        try:
            runs = catalog.claim(crew.free)
            for run in runs:
                crew.start(run)
            if not crew.free:
                return poll
            due = catalog.seconds_until_due()
        except (CatalogLostError, NotRegisteredError):
            raise
        except CatalogError as e:
            log.error("could not look for due jobs: %s", e)  # noqa: TRY400
            return min(REFUSED_RETRY, poll)
        if due is None:
            return poll
        if due == 0 and not runs:
            return min(LOCKED_RETRY, poll)
        return min(due, poll)
