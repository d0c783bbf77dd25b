"""The tasks that see to it that people are told: alerts, and signs of life."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from pgagent_runner.agent.children import Answer, errand
from pgagent_runner.agent.review import Review
from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog import (
    CatalogError,
    Watched,
    session_for,
    watch_alerts,
)
from pgagent_runner.errands import Errands
from pgagent_runner.logs import Repeated
from pgagent_runner.waiting import Waiter, wait, wake

log = logging.getLogger(__name__)
log_repeated = Repeated(log)

_AT_ONCE = 10  # looks because of notifications that may follow each other at once

# Seconds.
_LOCK_TIMEOUT = 10.0
_BEGINNING = 3.0  # in which runners that are started together begin
_LONGEST_PAUSE = 60.0  # from one look to the next
_SHORTEST_PAUSE = 1.0
_TURN = 0.5  # within which each looks at another moment: one child is enough
_PACE = 5.0  # from one look because of a notification to the next, whoever notifies
_FIRST_REST = 10.0  # of a channel that has failed
_LONGEST_REST = 300.0
_FOREIGN = 600.0  # until a child is started although it may know none of the channels


class Teller:
    """Watches over alerts, and has a child send what waits: `work` is a task.

    What needs no sender is delivered by the look itself. A child is one at a time, and
    only for a file that has channels. Each look has a session of its own, which the
    review of time zones uses as well.
    """

    def __init__(self, conninfo: str, errands: Errands, review: Review) -> None:
        """Prepare; nothing is connected yet."""
        self._conninfo = conninfo
        self._errands = errands
        self._review = review
        self._pause: Waiter | None = None
        self._look_at = 0.0
        self._looks = float(_AT_ONCE)  # that notifications are worth
        self._counted_at = time.monotonic()
        self._child: asyncio.Task[None] | None = None
        self._left = 0  # messages that the last child could not send
        self._left_at = 0.0
        self._resting: dict[str, tuple[float, Backoff]] = {}

    def hear(self) -> None:
        """Hear that something is due earlier: that may be anybody's joke."""
        now = time.monotonic()
        looks = self._looks + (now - self._counted_at) / _PACE
        self._looks, self._counted_at = min(looks, _AT_ONCE), now
        moment = now + max(1 - self._looks, 0) * _PACE
        if moment < self._look_at:
            self._look_by(moment)
            self._looks -= 1

    async def work(self) -> None:
        """Look until cancelled; a child under way ends then."""
        await asyncio.sleep(random.uniform(0, _BEGINNING))  # noqa: S311
        try:
            if self._errands.has_channels:
                self._start_child(only_checks=True)
            while True:
                self._look_at = math.inf
                self._look_by(await self._look())
                await self._rest()
        finally:
            if self._child is not None:
                self._child.cancel()
                await asyncio.wait([self._child])
                self._child = None

    async def _rest(self) -> None:
        while (left := self._look_at - time.monotonic()) > 0:
            self._pause = asyncio.get_running_loop().create_future()
            await wait(self._pause, left)

    def _look_by(self, moment: float) -> None:
        if moment < self._look_at:
            self._look_at = moment
            wake(self._pause)

    async def _look(self) -> float:
        """Look once; return the moment of the next look."""
        try:
            async with session_for(self._conninfo, _LOCK_TIMEOUT) as session:
                await self._review.look(session)
                watched = await watch_alerts(session)
        except CatalogError as e:
            log_repeated(logging.WARNING, "could not look after alerts: %s", e)
            watched = None
        if watched is None:  # or of an older version
            return time.monotonic() + _LONGEST_PAUSE
        if watched.claimable and self._is_worth_a_child(watched):
            self._start_child(only_checks=False)
        now = time.monotonic()
        pause = max(watched.look_again, _SHORTEST_PAUSE)
        if watched.claimable:
            rests = [until - now for until, _ in self._resting.values() if until > now]
            pause = min([pause, *rests])
        return now + min(pause, _LONGEST_PAUSE) + random.uniform(0, _TURN)  # noqa: S311

    def _is_worth_a_child(self, watched: Watched) -> bool:
        """Tell whether a child may know what to do with what waits."""
        if not self._errands.has_channels or self._child is not None:
            return False
        now = time.monotonic()
        is_new = watched.claimable > self._left
        self._left = min(self._left, watched.claimable)
        rested = any(until <= now for until, _ in self._resting.values())
        return is_new or rested or now - self._left_at > _FOREIGN

    def _start_child(self, *, only_checks: bool) -> None:
        now = time.monotonic()
        resting = [name for name, (until, _) in self._resting.items() if until > now]
        task = {
            "file": str(self._errands.file),
            "conninfo": self._conninfo,
            "pings": False,
            "only_checks": only_checks,
            "without": resting,
        }
        self._child = asyncio.create_task(self._send(task))

    async def _send(self, task: Mapping[str, Any]) -> None:
        """Have a child send what waits, and look again at once."""
        try:
            answer = await _answered(task)
            if not task["only_checks"]:
                self._note(answer.report or {}, task["without"])
        finally:
            self._child = None
            self._look_by(time.monotonic() + _SHORTEST_PAUSE)

    def _note(self, report: Mapping[str, Any], resting: list[str]) -> None:
        """Learn what was left, and let channels that have failed rest."""
        now = time.monotonic()
        if sent := report.get("sent"):
            log.info("messages of alerts that were sent: %s", sent)
        self._left, self._left_at = int(report.get("left", 0)), now
        failed = report.get("failed", ())
        for name in list(self._resting):
            if name not in failed and name not in resting:
                del self._resting[name]
        for name in failed:
            _, backoff = self._resting.get(
                name, (0.0, Backoff(_FIRST_REST, _LONGEST_REST, spread=0.1))
            )
            self._resting[name] = now + backoff.next(), backoff
        if not report:  # it has broken down, and may do so again
            self._left = 1 << 30
            self._left_at = now - _FOREIGN + _LONGEST_PAUSE


class Pinger:
    """Has a child ping the URL of [alive], as long as all is well: `work` is a task.

    For a file that has one.
    """

    def __init__(self, errands: Errands, is_well: Callable[[], bool]) -> None:
        """Prepare; `is_well` tells whether this runner claims and records."""
        self._errands = errands
        self._is_well = is_well

    async def work(self) -> None:
        """Ping until cancelled."""
        every = self._errands.alive_every or math.inf
        await asyncio.sleep(random.uniform(0, _BEGINNING))  # noqa: S311
        while True:
            began = time.monotonic()
            is_told = self._is_well() and await self._ping()
            pause = every if is_told else min(every, _LONGEST_PAUSE)
            await asyncio.sleep(max(began + pause - time.monotonic(), 0))

    async def _ping(self) -> bool:
        task = {"file": str(self._errands.file), "pings": True}
        answer = await _answered(task)
        return answer.report is not None and not answer.report.get("failed")


async def _answered(task: Mapping[str, Any]) -> Answer:
    """Have a child do something, and log what it says."""
    try:
        answer = await errand(task)
    except OSError as e:
        log_repeated(logging.WARNING, "no child could be started: %s", e)
        return Answer(None, [])
    for line in answer.lines:
        log_repeated(logging.WARNING, "%s", line)
    return answer
