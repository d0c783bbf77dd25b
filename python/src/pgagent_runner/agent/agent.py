"""The agent: register, have due jobs executed, and stop in good order."""

import asyncio
import logging
import math
import signal
import threading
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from pgagent_runner.agent.lease import Lease, exit_at_once
from pgagent_runner.agent.service import Service
from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog import CatalogError, CatalogLostError, RefusedError
from pgagent_runner.logs import Repeated
from pgagent_runner.model import Pulse, Standing
from pgagent_runner.options import AgentOptions
from pgagent_runner.steps import Nursery, SessionPool, reap
from pgagent_runner.systemd import notify
from pgagent_runner.waiting import Waiter, wait, wake

if TYPE_CHECKING:
    from pgagent_runner.listening import Listening

log = logging.getLogger(__name__)
log_repeated = Repeated(log)

T = TypeVar("T")

# Seconds.
_FIRST_RETRY = 0.1  # until the first attempt to reconnect
_MENDABLE = 10.0  # at most, until another look at what somebody may put right
_CLOSE_TIME = 60.0  # from the end of the service to that of all connections
_ABORT_TIME = 5.0  # that what was aborted may take to end and to be recorded
_LEAVE_TIME = 5.0  # that the server may take to let the agent go
_GIVE_UP_TIME = 1.0  # the same, if something else has failed already

_SILENCE = 0.5  # of a lease, after which an agent is not ready: it renews it oftener


class _StoppedError(Exception):
    """Asked to stop where there is nothing to be lost."""


class Agent:
    """An agent: `run` it in a loop; signals stop it."""

    def __init__(
        self, options: AgentOptions, listening: "Listening | None" = None
    ) -> None:
        """Prepare; nothing is connected yet. `listening` tells others how it stands."""
        self._options = options
        self._listening = listening
        self._trouble = "it has not registered yet"
        self._heard = -math.inf
        self._runner = uuid4()
        self._pool = SessionPool(options.target_sessions)
        self._nursery = Nursery()
        self._backoff = Backoff(_FIRST_RETRY, options.retry)
        self._starting = True
        self._stops = 0
        self._pause: Waiter | None = None
        self._service: Service | None = None

    def stop(self) -> None:
        """Ask to stop: running jobs may end in peace; asked again, they are aborted."""
        self._stops += 1
        self._wake()

    def reload(self) -> None:
        """Let go of idle sessions, and look for due jobs."""
        self._pool.renew()
        if self._service is not None:
            self._service.look()
        log.info("reloaded")

    async def run(self) -> None:
        """Serve until asked to stop, whatever becomes of the database meanwhile."""
        self._listen_to_signals()
        if self._listening is not None:
            self._listening.start(self.standing)
            log.info("listens on %s", self._listening.where)
        while not self._stops:
            try:
                await self._register_and_serve()
            except _StoppedError:
                break
            except (CatalogError, OSError, RuntimeError) as e:
                # The latter: no descriptor, or no thread, is left.
                if self._stops:
                    log.error("%s", e)  # noqa: TRY400
                    break
                delay = self.pause_after(e)
                then = f"; next attempt in {delay:.1f} s"
                log_repeated(logging.ERROR, "%s", e, then=then)
                self._trouble = str(e)
                notify("WATCHDOG=1", f"STATUS=Not connected: {e}")
                await self._rest(delay)
        notify("STOPPING=1")
        self._pool.close_idle(0)
        self._nursery.close()
        if self._listening is not None:
            await self._listening.close()
        log.info("stopped")
        _ignore_signals()

    def pause_after(self, error: Exception) -> float:
        """Return the seconds to the next attempt.

        Only a server that does not answer is spared for as long as --retry says.
        """
        delay = self._backoff.next()
        is_out_of_reach = isinstance(error, CatalogLostError)
        if is_out_of_reach and not isinstance(error, RefusedError):
            return delay
        return min(delay, _MENDABLE)

    def standing(self) -> Standing:
        """Return how it stands now."""
        sessions, idle, targets = self._pool.counts()
        known = Standing(self._why_not_ready())._replace(
            sessions=sessions, idle_sessions=idle, targets=targets
        )
        if self._service is None:
            return known
        return self._service.complete(known)

    def _why_not_ready(self) -> str | None:
        if self._stops:
            return "it has been asked to stop"
        if self._service is None:
            return self._trouble
        silent = time.monotonic() - self._heard
        if silent > self._options.lease * _SILENCE:
            return f"the database has not answered for {silent:.0f} s"
        return None

    def _listen_to_signals(self) -> None:
        add = asyncio.get_running_loop().add_signal_handler
        add(signal.SIGTERM, self.stop)
        add(signal.SIGINT, self.stop)
        add(signal.SIGHUP, self.reload)
        add(signal.SIGCHLD, reap)

    async def _register_and_serve(self) -> None:
        """Work under one registration, until asked to stop or until it is lost."""
        lease = Lease(
            *(self._options, self._note_pulse, self._wake),
            runner=self._runner,
            starting=self._starting,
        )
        try:
            await self._unless_stopped(1, lease.connected)
            # An agent that registers leaves again, unless that takes too long as well.
            registered = await self._unless_stopped(2, lease.registered)
            self._starting = False
            listening = self._listening
            service = Service(
                *(self._options, lease, registered, self._pool, self._nursery),
                figures=None if listening is None else listening.figures,
            )
            try:
                await self._unless_stopped(2, service.open())
                self._backoff.reset()
                await self._serve(service, lease)
            finally:
                await service.close()
        finally:
            lease.close()
            # Sessions for steps are noted as this agent's, and end when it is buried.
            self._pool.close_idle(0)

    async def _serve(self, service: Service, lease: Lease) -> None:
        """Work, and let nothing go on in the end, whatever ends it."""
        failure: Exception | None = None
        last_resort = threading.Timer(
            _CLOSE_TIME, exit_at_once, ["it could not be closed"]
        )
        last_resort.daemon = True
        # The group only owns the runs: neither they nor this may raise in it, because
        # it would cancel all others.
        async with asyncio.TaskGroup() as runs:
            service.start(runs, self._wake)
            self._heard = time.monotonic()
            self._service = service
            try:
                await self._work(service)
                await self._drain(service)
                await self._leave(lease)
            except Exception as e:  # noqa: BLE001 (raised below)
                failure = e
            self._service = None
            self._trouble = "it has lost its registration"
            try:
                last_resort.start()
            except RuntimeError:
                log.warning("no thread is left to watch over the end")
            await service.end("the agent lost its registration")
        last_resort.cancel()
        if failure is not None:
            await self._give_up(lease, failure)
            raise failure

    async def _work(self, service: Service) -> None:
        """Let the service work until asked to stop."""
        while not self._stops:
            service.check()
            await self._wait()

    async def _drain(self, service: Service) -> None:
        """Let running jobs end; abort them when time is up or patience is."""
        deadline = time.monotonic() + self._options.grace
        given_up = math.inf
        service.claim_no_more()
        notify("STOPPING=1", "STATUS=Running jobs may end")
        if not service.is_idle:
            log.info("stopping: running jobs have %g s to end", self._options.grace)
        while not (service.has_claimed and service.is_idle):
            service.check()
            now = time.monotonic()
            if now >= given_up:
                log.warning("stopped before all runs could be recorded")
                return
            if self._stops > 1 or now >= deadline:
                deadline = now
                given_up = min(given_up, now + _ABORT_TIME)
                service.abort("the agent was stopped")
            await self._wait((given_up if deadline <= now else deadline) - now)

    async def _leave(self, lease: Lease) -> None:
        """End the registration, unless the server keeps us waiting: it ends anyway."""
        try:
            async with asyncio.timeout(_LEAVE_TIME):
                await lease.leave()
        except TimeoutError:
            log.warning("the server does not answer; its lease ends by itself")

    async def _give_up(self, lease: Lease, failure: Exception) -> None:
        """Leave a reason behind, if the session still answers: else others guess."""
        try:
            async with asyncio.timeout(_GIVE_UP_TIME):
                await lease.leave(f"it has given up its registration: {failure}")
        except (CatalogError, OSError, TimeoutError) as e:
            log.debug("no reason could be left behind: %s", e)

    def _note_pulse(self, pulse: Pulse, silent: float) -> None:
        self._heard = time.monotonic()
        if self._service is not None:
            self._service.note_pulse(pulse, silent)

    def _wake(self) -> None:
        wake(self._pause)

    async def _wait(self, seconds: float = math.inf) -> None:
        """Wait until something has changed, or for so many seconds."""
        self._pause = asyncio.get_running_loop().create_future()
        await wait(self._pause, seconds)

    async def _rest(self, seconds: float) -> None:
        """Wait for so many seconds, or to be stopped; nothing else matters now."""
        end = time.monotonic() + seconds
        while not self._stops and (left := end - time.monotonic()) > 0:
            await self._wait(left)

    async def _unless_stopped(self, stops: int, awaitable: Awaitable[T]) -> T:
        """Await something, and break that off when asked so often to stop."""
        awaited = asyncio.ensure_future(awaitable)
        awaited.add_done_callback(lambda _: self._wake())
        try:
            while not awaited.done():
                if self._stops >= stops:
                    raise _StoppedError
                await self._wait()
            return awaited.result()
        finally:
            awaited.cancel()
            await asyncio.wait([awaited])


def _ignore_signals() -> None:
    """Have nothing kill this process, now that it ends by itself.

    The loop, when it is closed, has signals do again what they do by default.
    """
    remove = asyncio.get_running_loop().remove_signal_handler
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        remove(number)
        signal.signal(number, signal.SIG_IGN)
