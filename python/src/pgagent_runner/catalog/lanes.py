"""How entries are written: together as long as that is quick, else in lanes.

Users hang triggers and constraints on the tables of the log. Whatever these do with the
record of one run, those of others must not wait for it.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog.connection import Connection, Row
from pgagent_runner.catalog.entries import Entry, all_escaped, escaped
from pgagent_runner.catalog.errors import (
    BY_SQLSTATE,
    CatalogError,
    CatalogLostError,
    LockedError,
)
from pgagent_runner.catalog.habits import Habits, Way
from pgagent_runner.catalog.reopening import GIVEN_UP, Reopening, is_set_within
from pgagent_runner.model import RunStatus

log = logging.getLogger(__name__)

Ask = Callable[[LiteralString, Row], Awaitable[Row | None]]

_FIRST_DELAY = 0.05  # seconds between attempts
_LONGEST_DELAY = 2.0
_MOST_REFUSALS = 20  # that may pass, before they are taken for good
_MOST_AT_ONCE = 200  # entries in a transaction
_MOST_CHARACTERS = 4 << 20  # of output in a transaction of several entries
_LOCKED = "55P03"
_CANCELLED = "57014"
_TERMINATED = "57P01"
_LAST_WORDS = 1.0  # seconds that the server has to answer in the end
PATIENCE = 0.3  # seconds after which others do not wait any longer
_MOST_LANES = 12
# Of those that do not keep others waiting: see `_is_room_for`.
_MOST_OF = {Way.TOGETHER: 1, Way.ALONE: 3, Way.ASIDE: 4}
_IDLE_TIME = 10.0  # seconds until a session that is not needed is closed

_RECORD: LiteralString = """
    SELECT place, step_log_id, refusal, reason, look_again
    FROM pgagent.pga_run_record(%s::integer, %s::json) ORDER BY place NULLS LAST
"""

_SALVAGE: LiteralString = """
    SELECT step_log_id, refusal, reason, look_again
    FROM pgagent.pga_run_salvage(%s::integer, %s::json -> 0)
"""

_ABORT: LiteralString = "SELECT pgagent.pga_run_abort(%s::bigint, %s::text)"

_CANCEL: LiteralString = "SELECT pg_catalog.pg_cancel_backend(%s::integer)"

_IS_WORKING: LiteralString = """
    SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity AS s
    WHERE s.pid = %s::integer AND s.state = 'active'::text
"""

# One of two transactions had to give way.
_GAVE_WAY = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)
_MOST_WAYS_GIVEN = 3
# Classes of refusals that may pass: a full disk, a cancelled statement, a restart.
_PASSING = ("40001", "40P01", "53", "55P03", "57")


@dataclass(slots=True, eq=False)
class _Lane:
    """A session, and what is written in it now."""

    session: Reopening
    way: Way = Way.TOGETHER
    entries: list[Entry] = field(default_factory=list)
    is_stuck: bool = False  # others do not wait for it
    cancelling: asyncio.Task[None] | None = None
    judging: asyncio.Task[None] | None = None
    idle_since: float = 0.0


class Lanes:
    """Write entries: what is handed in while others are written, goes next, together.

    What takes too long together is cancelled, and then written one by one, as is what
    was refused. An entry that takes its time by itself is left to it: others go on in
    another lane. It is cancelled only if no lane is left for these. What is refused by
    itself is salvaged: the run is closed with what can be recorded of it.

    A lane's task is not cancelled; a session that is lost is opened anew.
    """

    def __init__(
        self,
        conninfo: str,
        agent_id: int,
        closed: asyncio.Event,
        ask: Ask,
        on_due: Callable[[float], None],
    ) -> None:
        """Prepare to write for an agent, until `closed` is set; `open` comes first.

        `ask` is for short questions beside what is being written.
        """
        self._conninfo = conninfo
        self._agent_id = agent_id
        self._closed = closed
        self._ask = ask
        self._on_due = on_due
        self._habits = Habits()
        self._cuts: dict[int, str] = {}  # runs that go on with a part left out
        self._queues: dict[Way, deque[Entry]] = {way: deque() for way in Way}
        self._idle: list[_Lane] = []
        self._busy: dict[_Lane, asyncio.Task[None]] = {}
        self._later: set[asyncio.Task[None]] = set()
        self._cancelled_at = 0.0
        self._most_lanes = _MOST_LANES

    async def open(self) -> None:
        """Open the first session; raises `CatalogLostError`."""
        lane = _Lane(Reopening(self._conninfo, self._closed))
        await lane.session.get()
        self._idle.append(lane)

    def hand_in(self, entry: Entry) -> None:
        """Have an entry written."""
        self._put(entry, self._habits.way_of(entry))

    def pop_cut(self, run_id: int) -> str | None:
        """Return what of a run could not be recorded while it went on, once."""
        return self._cuts.pop(run_id, None)

    def stop(self) -> None:
        """Refuse what is not being written yet; nothing more may be handed in."""
        for queue in self._queues.values():
            while queue:
                queue.popleft().end(None, CatalogLostError(GIVEN_UP))

    async def let_end(self) -> None:
        """Wait a little for what is being written."""
        if writing := list(self._busy.values()):
            await asyncio.wait(writing, timeout=_LAST_WORDS)

    async def close(self) -> None:
        """Close the sessions; what is being written fails."""
        if writing := list(self._busy.values()):
            for lane in self._busy:
                lane.session.break_off()
            await asyncio.wait(writing)
        if self._later:
            await asyncio.wait(self._later)
        for lane in self._idle:
            lane.session.finish()

    def are_stuck(self, seconds: float) -> bool:
        """Tell whether some are at work, and none has had an answer for so long."""
        return bool(self._busy) and all(
            lane.session.now is None or lane.session.is_silent(seconds)
            for lane in self._busy
        )

    def break_off_silent(self, seconds: float) -> None:
        """Break off sessions whose answer of so long ago must have been lost.

        And close those that are not needed any more.
        """
        self._most_lanes = _MOST_LANES  # the server may have room for them again
        self._fill()
        for lane in self._busy:
            if lane.session.is_silent(seconds) and lane.judging is None:
                lane.judging = asyncio.create_task(self._judge(lane, seconds))
        earliest = time.monotonic() - _IDLE_TIME
        for lane in self._idle[:-1]:
            if lane.idle_since < earliest:
                self._idle.remove(lane)
                lane.session.finish()

    async def _judge(self, lane: _Lane, seconds: float) -> None:
        """Break a session off unless the server is still at work for it."""
        try:
            is_working = await self._ask(_IS_WORKING, (lane.session.pid,)) != (0,)
        except CatalogError:
            return
        finally:
            lane.judging = None
        if not is_working and lane.session.is_silent(seconds):
            log.warning("a session has not answered for %.0f s", seconds)
            lane.session.break_off()

    def _put(self, entry: Entry, way: Way, *, first: bool = False) -> None:
        if self._closed.is_set():
            entry.end(None, CatalogLostError(GIVEN_UP))
            return
        queue = self._queues[way]
        if first:
            queue.appendleft(entry)
        else:
            queue.append(entry)
        self._fill()

    def _fill(self) -> None:
        """Have as many lanes at work as there is work for."""
        for way, queue in self._queues.items():
            if not queue:
                continue
            missing = _MOST_OF[way] - self._count_moving(way)
            for _ in range(min(missing, len(queue))):
                if not self._start_lane(way):
                    break
            if way is not Way.ASIDE and missing == _MOST_OF[way]:
                self._make_room(way)

    def _count_moving(self, way: Way) -> int:
        """Count the lanes of one way that others may wait for."""
        return sum(
            lane.way is way and (way is Way.ASIDE or not lane.is_stuck)
            for lane in self._busy
        )

    def _start_lane(self, way: Way) -> bool:
        """Have one more lane at work, if there may be one; tell whether there is."""
        if len(self._busy) >= self._most_lanes - (way is not Way.TOGETHER):
            return False
        if self._idle:
            lane = self._idle.pop()
        else:
            lane = _Lane(Reopening(self._conninfo, self._closed))
        lane.way = way
        lane.is_stuck = False
        self._busy[lane] = asyncio.create_task(self._work(lane))
        return True

    def _make_room(self, way: Way) -> None:
        """If all lanes are stuck, cancel what others wait for: it has to come later."""
        now = time.monotonic()
        if self._count_moving(way) or now < self._cancelled_at + PATIENCE:
            return
        stuck = [lane for lane in self._busy if lane.cancelling is None]
        if stuck:
            self._cancelled_at = now
            self._cancel(min(stuck, key=lambda lane: lane.way is Way.ASIDE))
            asyncio.get_running_loop().call_later(PATIENCE, self._fill)

    async def _work(self, lane: _Lane) -> None:
        """Write what there is to be written on a lane's way."""
        while not lane.is_stuck and (entries := self._take(lane.way)):
            lane.entries = entries
            try:
                await self._write(lane)
            except Exception as e:  # noqa: BLE001 (told to whoever waits for them)
                for entry in entries:
                    entry.end(None, e)
        lane.entries = []
        if lane.cancelling is not None:  # it must not hit what is written next
            await asyncio.wait([lane.cancelling])
            lane.cancelling = None
        del self._busy[lane]
        if lane.session.now is not None:
            lane.idle_since = time.monotonic()
            self._idle.append(lane)
        self._fill()

    def _take(self, way: Way) -> list[Entry]:
        """Return what is to be written next: what has room in a transaction, or one."""
        queue = self._queues[way]
        most = _MOST_AT_ONCE if way is Way.TOGETHER else 1
        entries: list[Entry] = []
        characters = 0
        while queue and len(entries) < most:
            characters += queue[0].size
            if characters > _MOST_CHARACTERS and entries:
                break
            entries.append(queue.popleft())
        return entries

    async def _write(self, lane: _Lane) -> None:
        """Write what a lane has, or have it written later, in another way."""
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        while True:
            try:
                await self._try_to_write(lane)
            except CatalogLostError as e:
                if lane.session.now is None and len(self._busy) > 1:
                    self._do_without(lane)
                    return
                if _sqlstate(e) == _TERMINATED and not self._closed.is_set():
                    self._note_terminated(lane, e)
                    return
                log.warning("could not record, trying again: %s", e)
                if await is_set_within(self._closed, backoff):
                    raise
            except CatalogError as e:
                self._note_refused(lane, e)
                return
            else:
                return

    def _do_without(self, lane: _Lane) -> None:
        """Leave its entries to the lanes that there are: it can have no session."""
        self._most_lanes = len(self._busy) - 1
        lane.is_stuck = True
        self._queues[lane.way].extendleft(reversed(lane.entries))
        if self._closed.is_set():
            self.stop()

    async def _try_to_write(self, lane: _Lane) -> None:
        session = await lane.session.get()
        timer = asyncio.get_running_loop().call_later(PATIENCE, self._note_stuck, lane)
        asked = time.monotonic()
        entries = lane.entries
        try:
            if entries[0].abort is not None:
                answers = await self._abort(session, entries[0])
            elif entries[0].is_refused:
                answers = await self._salvage(session, entries[0])
            else:
                answers = await self._record(session, entries)
        finally:
            timer.cancel()
        if time.monotonic() - asked > PATIENCE:
            if len(entries) == 1:
                self._habits.note_trouble(entries[0])
        elif not entries[0].is_refused:
            for entry in entries:
                self._habits.note_quick(entry)
        self._settle(entries, answers, asked)

    async def _record(self, session: Connection, entries: Sequence[Entry]) -> list[Row]:
        """Record entries, and return the answer to each, and when to look again."""
        await session.renew_plans()
        rows = await self._call(session, _RECORD, entries)
        session.note_rows(len(entries))
        return rows

    async def _salvage(self, session: Connection, entry: Entry) -> list[Row]:
        """Have as much recorded of one entry as can be; return the same answers."""
        ((step_log_id, refusal, reason, look_again),) = await self._call(
            session, _SALVAGE, [entry]
        )
        if refusal is None and reason is not None:
            run = entry.run
            text = "run %s of job %s (%s): %s"
            log.warning(
                *(text, run.id, run.job_id, run.job_name, reason), extra=run.about()
            )
            if entry.status is None:
                self._cuts[run.id] = reason
        return [
            (1, step_log_id, refusal, reason, None),
            (None, None, None, None, look_again),
        ]

    async def _abort(self, session: Connection, entry: Entry) -> list[Row]:
        await session.ask(_ABORT, (entry.run.id, escaped(entry.abort or "")))
        # When its job is due again is not said.
        return [(1, None, None, None, None), (None, None, None, None, 0.0)]

    async def _call(
        self, session: Connection, query: LiteralString, entries: Sequence[Entry]
    ) -> list[Row]:
        """Call a function with the agent and the entries, and return its answer."""
        records = [entry.as_record() for entry in entries]
        document = json.dumps(records, ensure_ascii=False)
        characters = sum(entry.size for entry in entries)
        ways_given = 0
        while True:
            try:
                cursor = await session.ask(
                    query, (self._agent_id, document), characters=characters
                )
                return await cursor.fetchall()
            except CatalogError as e:
                if isinstance(e.__cause__, _GAVE_WAY) and ways_given < _MOST_WAYS_GIVEN:
                    ways_given += 1
                    continue
                if not isinstance(e.__cause__, psycopg.errors.UntranslatableCharacter):
                    raise
                document = json.dumps([all_escaped(record) for record in records])

    def _note_stuck(self, lane: _Lane) -> None:
        """Have others go on without a lane that takes too long."""
        lane.is_stuck = True
        if len(lane.entries) > 1:
            self._cancel(lane)
        self._fill()

    def _cancel(self, lane: _Lane) -> None:
        if lane.cancelling is None:
            lane.cancelling = asyncio.create_task(self._have_cancelled(lane))

    async def _have_cancelled(self, lane: _Lane) -> None:
        try:
            await self._ask(_CANCEL, (lane.session.pid,))
        except CatalogError as e:
            log.debug("could not cancel a record: %s", e)

    def _note_refused(self, lane: _Lane, error: CatalogError) -> None:
        """Have what was refused written in another way, or later."""
        if len(lane.entries) > 1:
            log.debug("could not record %s runs together: %s", len(lane.entries), error)
            self._split(lane.entries)
            return
        (entry,) = lane.entries
        is_last = entry.is_refused or entry.abort is not None
        if is_last and isinstance(error, LockedError):
            self._put_later(entry, entry.locked)
            return
        self._habits.note_trouble(entry)
        if lane.cancelling is not None and _sqlstate(error) == _CANCELLED:
            self._put(entry, Way.ASIDE)
        elif entry.refusals < _MOST_REFUSALS and (
            is_last or _sqlstate(error).startswith(_PASSING)
        ):
            self._try_again_later(entry, error)
        elif is_last:
            raise error
        else:
            entry.is_refused = True
            entry.refusals = 0
            way = Way.ALONE if lane.way is Way.TOGETHER else lane.way
            self._put(entry, way, first=True)

    def _note_terminated(self, lane: _Lane, error: CatalogError) -> None:
        """Have entries written apart: the trigger of one may have ended the session."""
        if len(lane.entries) > 1:
            self._split(lane.entries)
            return
        (entry,) = lane.entries
        self._habits.note_trouble(entry)
        if entry.refusals == _MOST_REFUSALS:
            raise error
        self._try_again_later(entry, error)

    def _try_again_later(self, entry: Entry, error: CatalogError) -> None:
        """Have it tried again: a run must not count as running for ever."""
        run = entry.run
        log.warning(
            *("could not record run %s of job %s (%s), trying again: %s", run.id),
            *(run.job_id, run.job_name, error),
            extra=run.about(),
        )
        backoff = Backoff(_FIRST_DELAY * 2**entry.refusals, _LONGEST_DELAY)
        entry.refusals += 1
        self._put_later(entry, backoff)

    def _split(self, entries: list[Entry]) -> None:
        """Write those together that have always been quick, and each other alone."""
        quick = [e for e in entries if not e.was_split and self._habits.is_quick(e)]
        if len(quick) == len(entries):
            quick = []
        for entry in entries:
            entry.was_split = True
            if entry in quick:
                continue
            # Triggers wait for failures rather than for successes.
            if entry.status is RunStatus.SUCCEEDED:
                self._queues[Way.ALONE].appendleft(entry)
            else:
                self._queues[Way.ALONE].append(entry)
        self._queues[Way.TOGETHER].extendleft(reversed(quick))
        if self._closed.is_set():
            self.stop()
        self._fill()

    def _settle(self, entries: list[Entry], answers: list[Row], asked: float) -> None:
        *answers, (_, _, _, _, look_again) = answers
        if look_again is not None:
            self._on_due(asked + look_again)
        for entry, answer in zip(entries, answers, strict=True):
            _, step_log_id, refusal, reason, _ = answer
            if refusal is None:
                entry.end(step_log_id)
            elif refusal == _LOCKED:
                self._put_later(entry, entry.locked)
            else:
                self._cuts.pop(entry.run.id, None)
                entry.end(None, BY_SQLSTATE[refusal](reason))

    def _put_later(self, entry: Entry, backoff: Backoff) -> None:
        later = asyncio.create_task(self._pause_and_put(entry, backoff))
        self._later.add(later)
        later.add_done_callback(self._later.discard)

    async def _pause_and_put(self, entry: Entry, backoff: Backoff) -> None:
        await is_set_within(self._closed, backoff)
        way = Way.ALONE if entry.is_refused else self._habits.way_of(entry)
        self._put(entry, way)


def _sqlstate(error: CatalogError) -> str:
    cause = error.__cause__
    return (cause.sqlstate or "") if isinstance(cause, psycopg.Error) else ""
