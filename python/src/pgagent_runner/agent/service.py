"""The work under one registration: who claims, who executes, who records."""

import asyncio
import logging
import os
import resource
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pgagent_runner.agent.arming import Arming
from pgagent_runner.agent.claimer import Claimer
from pgagent_runner.agent.crew import Crew
from pgagent_runner.agent.ear import Ear
from pgagent_runner.agent.housekeeping import Housekeeping
from pgagent_runner.agent.journal import write_down
from pgagent_runner.agent.lease import Lease, Registered
from pgagent_runner.agent.review import Review
from pgagent_runner.agent.server_clock import ServerClock
from pgagent_runner.agent.suspects import PATIENCE
from pgagent_runner.agent.sweeper import Sweeper
from pgagent_runner.agent.teller import Pinger, Teller
from pgagent_runner.catalog import Claims, Ledger, Tickets, listen
from pgagent_runner.events import Events
from pgagent_runner.model import Pulse, Run, Standing
from pgagent_runner.options import AgentOptions, descriptors_for
from pgagent_runner.steps import (
    Nursery,
    SessionPool,
    StepExecutor,
    StepSettings,
    batch_environment,
)
from pgagent_runner.systemd import notify

if TYPE_CHECKING:
    from pgagent_runner.listening.figures import Figures

log = logging.getLogger(__name__)

_SICK_AFTER = 10.0  # seconds that a claim, or all records, have waited for an answer
_DEFECT_PAUSE = 60.0  # seconds before what has failed unforeseen begins anew


class Service:
    """Everything that works as long as an agent is registered.

    `open`, `start` and in the end `close`; `check` in between.
    """

    def __init__(  # noqa: PLR0913
        self,
        options: AgentOptions,
        lease: Lease,
        registered: Registered,
        pool: SessionPool,
        nursery: Nursery,
        *,
        figures: "Figures | None" = None,
    ) -> None:
        """Prepare; nothing is connected yet. `figures` count what happens."""
        self._options = options
        self._lease = lease
        self._registered = registered
        self._pool = pool
        self._nursery = nursery
        self._arming = Arming(registered.where)
        conninfo = registered.conninfo
        self._figures = figures
        self._claims = self._new_claims(PATIENCE)
        self._ledger = Ledger(
            *(conninfo, registered.agent_id, self._note_due),
            on_record=None if figures is None else figures.note_record,
        )
        self._tickets = Tickets(conninfo)
        self._events = Events(write_down)
        if figures is not None:
            self._events.listen(figures.note)
        self._clock = ServerClock(options.lease)
        self._agents = registered.agents
        self._settings = StepSettings(
            server_conninfo=registered.server_conninfo,
            output_limit=options.output_limit,
            allowed_parameters=options.allow_parameter,
            clear_password=options.allow_clear_password,
            environment=batch_environment(os.environ, options.env),
            batch_users=options.batch_users,
            passfiles=options.secrets,
            lease=lease.seconds_left,
            on_session=self._ledger.note_session,
            log_in=self._tickets.log_in,
        )

    async def open(self) -> None:
        """Open the sessions with the catalogue; raises `CatalogLostError`."""
        await self._ledger.open()
        await self._claims.open()

    def start(self, tasks: asyncio.TaskGroup, on_change: Callable[[], None]) -> None:
        """Work from now on; runs are tasks of the group.

        `on_change` is called when `check`, `is_idle` or `has_claimed` may say something
        else than before.
        """
        size = self._workers()
        _have_descriptors(size)
        self._crew = Crew(
            *(size, tasks, self._ledger, self._events, self._executor),
            on_free=self.look,
            on_idle=on_change,
        )
        self._claimer = Claimer(
            self._claims, self._crew, self._options.poll, self._new_claims
        )
        errands = self._options.errands
        teller = Teller(self._registered.conninfo, errands, Review())
        ear = Ear(
            lambda: listen(self._registered.conninfo),
            on_change=self.look,
            on_cancel=self._lease.beat,
            on_alert=teller.hear,
        )
        self._events.listen(ear.note)
        self._sweeper = Sweeper(
            *(self._registered.conninfo, self._registered.agent_id),
            *(self._crew.under_way, self.look),
        )
        self._lease.guard(self._crew)
        self._claiming = asyncio.create_task(self._claimer.work())
        self._claiming.add_done_callback(lambda _: on_change())
        housekeeping = Housekeeping(self._registered.conninfo)
        works = [
            *(ear.work, housekeeping.work),
            *(self._sweeper.work, teller.work),
        ]
        if errands.alive_every is not None:
            works.append(Pinger(errands, self._is_well).work)
        self._others = [asyncio.create_task(_goes_on(work)) for work in works]
        where = self._registered.where
        log.info(
            'agent on host "%s" serves %s, %s jobs at a time',
            *(self._options.station, where, size),
        )
        for text in self._registered.notes:
            log.warning("%s", text)
        self._arming.note(self._registered.unarmed)
        notify("READY=1", self._arming.status)

    @property
    def is_idle(self) -> bool:
        """Whether no run is under way, and all that were have been recorded."""
        return self._crew.is_idle

    @property
    def has_claimed(self) -> bool:
        """Whether no run will be claimed any more."""
        return self._claiming.done()

    def complete(self, standing: Standing) -> Standing:
        """Say what it knows of how the agent stands."""
        return standing._replace(
            unarmed=self._arming.unarmed,
            conninfo=self._registered.conninfo,
            workers=self._crew.size,
            busy=self._crew.busy,
            unrecorded=self._crew.unrecorded,
            scripts=self._crew.scripts,
        )

    def check(self) -> None:
        """Raise why this can't go on, if it can't: CatalogError and its kinds."""
        self._lease.check()
        if self._claiming.done():
            self._claiming.result()

    def look(self) -> None:
        """Look for due jobs at once."""
        self._claimer.look()

    def note_pulse(self, pulse: Pulse, silent: float) -> None:
        """Learn what the server has said to a sign of life.

        It has just answered: another session that has been waiting for an answer for
        `silent` seconds waits for nothing.
        """
        self._note_clock(pulse)
        if pulse.dead:
            self._sweeper.look(judges=self._clock.can_judge)
        if self._arming.note(pulse.unarmed):
            self.look()
        self._ledger.break_off_silent(silent)
        self._tickets.break_off_silent(silent)
        self._claimer.break_off_silent(silent)
        self._crew.cancel(pulse.lost)
        self._crew.resume()
        self._share_with(pulse.agents)
        self._pool.close_idle()

    def claim_no_more(self) -> None:
        """Let running jobs end; what is being claimed still starts."""
        self._claimer.stop()

    def abort(self, reason: str) -> None:
        """Stop all runs; they end as aborted."""
        self._crew.abort(reason)
        self._claimer.break_off()

    async def end(self, reason: str) -> None:
        """Stop everything, for the registration is over: nothing is recorded any more.

        Others take the runs that are still under way for dead, and may start their jobs
        anew: nothing of these may go on.
        """
        self._ledger.stop()
        self._tickets.close()
        self.abort(reason)
        for task in self._others:
            task.cancel()
        # Broken off, they may raise something, which is no news.
        await asyncio.gather(self._claiming, *self._others, return_exceptions=True)
        await self._ledger.close()

    async def close(self) -> None:
        """Close the sessions with the catalogue."""
        self._claims.close()
        self._tickets.close()
        await self._ledger.close()

    def _is_well(self) -> bool:
        """Tell whether runs are claimed and recorded, as far as there are any."""
        is_stuck = self._ledger.is_stuck(_SICK_AFTER)
        return self._claimer.is_well(_SICK_AFTER) and not is_stuck

    def _new_claims(self, patience: float = 0) -> Claims:
        known, lock_timeout = self._registered, self._options.lease / 4
        figures = self._figures
        return Claims(
            *(known.conninfo, known.agent_id, lock_timeout),
            patience=patience,
            on_claim=None if figures is None else figures.note_claim,
        )

    def _note_clock(self, pulse: Pulse) -> None:
        """Look again if the server's clock was set: other jobs are due now."""
        if step := self._clock.note(pulse):
            text = (
                "the database's clock was set %s by %.0f s: jobs go by it from now on"
            )
            log.warning(text, "forward" if step > 0 else "back", abs(step))
            self.look()

    def _share_with(self, agents: int | None) -> None:
        """Leave the other agents their part of the server's connections."""
        if agents is None or agents == self._agents:
            return
        before, self._agents = self._workers(), agents
        if (size := self._workers()) != before:
            log.info("%s runners share the server: %s jobs at a time", agents, size)
            _have_descriptors(size)
            self._crew.resize(size)

    def _workers(self) -> int:
        connections = self._registered.max_connections
        return self._options.workers_for(connections, self._agents)

    def _note_due(self, moment: float) -> None:
        self._claimer.note_due(moment)

    def _executor(self, run: Run) -> StepExecutor:
        return StepExecutor(self._settings, run, self._pool, self._nursery)


def _have_descriptors(workers: int) -> None:
    """Have this process open as many as so many runs may need, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = descriptors_for(workers)
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def _goes_on(work: Callable[[], Awaitable[None]]) -> None:
    """Begin anew after an error that was not foreseen; nobody else would hear of it."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("an error in the runner itself")
            await asyncio.sleep(_DEFECT_PAUSE)
