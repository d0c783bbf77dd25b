"""Whatever becomes of the task of a run, the run is nobody's at no time."""

import asyncio
import gc
import types
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from jobs import add_job, runs
from pgagent_runner import run as run_module
from pgagent_runner.agent.crew import Crew
from pgagent_runner.agent.journal import write_down
from pgagent_runner.events import Events, RunStarted
from pgagent_runner.steps import Nursery, SessionPool, StepExecutor, StepSettings
from support import poll

OPEN_RUNS = """
    SELECT 'run', jlgid FROM pgagent.pga_joblog WHERE jlgstatus = 'r'
    UNION ALL SELECT 'step', jslid FROM pgagent.pga_jobsteplog WHERE jslstatus = 'r'
    UNION ALL SELECT 'job', jobid FROM pgagent.pga_job WHERE jobagentid IS NOT NULL
"""
TWICE = """
    SELECT jsljlgid, jsljstid FROM pgagent.pga_jobsteplog
    GROUP BY jsljlgid, jsljstid, jslattempt HAVING count(*) > 1
"""
SESSIONS = """
    SELECT pid, query FROM pg_stat_activity WHERE application_name ~ '^pgagent job'
"""
MOMENTS = ["begins", "goes on", "ends"]  # of a wait


@types.coroutine
def cancelled_at(coroutine, number, moment, reached):
    """Await it, and have its task cancelled when it waits for the nth time."""
    task: Any = asyncio.current_task()
    loop = asyncio.get_running_loop()
    awaiting, thrown = coroutine.__await__(), None
    for wait in count(1):
        try:
            future = awaiting.throw(thrown) if thrown else awaiting.send(None)
        except StopIteration as end:
            return end.value
        if wait == number:
            reached.append(number)
            if moment == "begins" or future is None:
                task.cancel()
            elif moment == "goes on":
                loop.call_later(0.003, task.cancel)
            else:
                # Its future is done, and it has not heard of that yet.
                future.add_done_callback(lambda _: task.cancel())
        try:
            thrown = yield future
        except BaseException as e:  # noqa: BLE001 (CancelledError too)
            thrown = e


class CancellingGroup(asyncio.TaskGroup):
    """Creates tasks in another group, of which one is cancelled, if asked for."""

    def __init__(self, group):
        super().__init__()
        self._group = group
        self._cancel = None
        self.reached = []

    def cancel_next(self, number, moment):
        self.reached.clear()
        self._cancel = (number, moment)

    def create_task(self, coro, **options):
        if self._cancel:
            coro = self._cancelled(coro, *self._cancel)
            self._cancel = None
        self.last = self._group.create_task(coro, **options)
        return self.last

    async def _cancelled(self, coroutine, number, moment):
        if number == 0:
            task: Any = asyncio.current_task()
            task.cancel()
        return await cancelled_at(coroutine, number, moment, self.reached)


@contextmanager
def crew_of(size, loop, ledger, dsn, pool, *listeners):
    nursery = Nursery()
    settings = StepSettings(dsn, on_session=ledger.itself.note_session)

    def executor_of(run):
        return StepExecutor(settings, run, pool, nursery)

    with loop.task_group() as tasks:
        group = CancellingGroup(tasks)
        crew = Crew(
            *(size, group, ledger.itself, Events(write_down, *listeners), executor_of),
            on_free=lambda: None,
            on_idle=lambda: None,
        )
        try:
            yield loop.holding(crew), group
        finally:
            loop.call(crew.abort, "the test is over")
            ledger.close()
    loop.call(pool.close_idle, 0)
    loop.call(nursery.close)


def start(crew, claims, number=1):
    claimed = claims.claim(number, 60).runs
    assert len(claimed) == number
    crew.start(claimed)


def add_slow_record(conn):
    conn.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$"
    )
    conn.execute(
        "CREATE TRIGGER slow BEFORE UPDATE ON pgagent.pga_jobsteplog"
        " FOR EACH ROW EXECUTE FUNCTION slow()"
    )


def somebody_waits(pool):
    """Whether a run waits for a session that another one has."""
    return any(sessions.waiting for sessions in list(pool._targets.values()))  # noqa: SLF001


@pytest.mark.timeout(240)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    "kind",
    [
        "one statement",
        "autocommit",
        "atomic",
        "retry",
        "several targets",
        "waits for a session",
        "slow record",
    ],
)
def test_a_run_whose_task_is_cancelled_is_closed_wherever_that_is(
    conn, cluster, dsn, claims, ledger, loop, kind, moment
):
    conn.execute("CREATE TABLE effect ()")
    pool = SessionPool(1)
    slow = "SELECT pg_sleep(0.01)"
    elsewhere = {"jstcode": slow, "jstconnstr": cluster.conninfo()}
    kinds: dict[str, list[Any]] = {
        "one statement": [slow],
        "autocommit": [{"jstcode": f"{slow}; {slow};", "jstmode": "autocommit"}],
        "atomic": [{"jstcode": "INSERT INTO effect SELECT", "jstmode": "atomic"}],
        "retry": [
            {
                "jstcode": "SELECT 1/0",
                "jstretries": 1,
                "jstretrydelay": "0.01 s",
                "jstretryon": "{any}",
            }
        ],
        "several targets": [slow, elsewhere, slow],
        "waits for a session": ["SELECT 1"],
        "slow record": [slow, slow],
    }
    if kind == "slow record":
        add_slow_record(conn)
    waits = 0
    with crew_of(2, loop, ledger, dsn, pool) as (crew, group):
        for number in count():
            if kind == "waits for a session":
                conn.execute("SELECT pg_advisory_lock(7)")
                add_job(conn, "SELECT pg_advisory_xact_lock(7)")
                start(crew, claims)
                poll(lambda: conn.execute(SESSIONS).fetchall(), what="the session")
            add_job(conn, *kinds[kind])
            group.cancel_next(number, moment)
            start(crew, claims)
            if kind == "waits for a session":
                poll(lambda: somebody_waits(pool) or group.last.done())
                conn.execute("SELECT pg_advisory_unlock(7)")
            poll(lambda: crew.is_idle, what=f"the end, when cancelled at {number}")

            assert conn.execute(OPEN_RUNS).fetchall() == []
            assert conn.execute(TWICE).fetchall() == []
            assert crew.free == 2
            if kind == "atomic":
                assert_atomic(conn)
            loop.call(pool.close_idle, 0)
            assert not pool._targets  # noqa: SLF001 (what is counted there)
            if number and not group.reached:
                break
            waits = number
        assert runs(conn)[-1][0] == ("f" if kind == "retry" else "s")
        assert waits >= 4
        poll(lambda: not conn.execute(SESSIONS).fetchall(), what="no session")


def test_what_a_cancelled_task_has_started_keeps_no_other_run_waiting(
    conn, dsn, claims, ledger, loop
):
    asleep = "SELECT FROM pg_stat_activity WHERE query ~ 'pg_sleep.600'"
    asleep += " AND state = 'active' AND pid <> pg_backend_pid()"
    with crew_of(2, loop, ledger, dsn, SessionPool(1)) as (crew, group):
        for is_used in (False, True):
            if is_used:  # the statement is sent along with a reset of the session
                add_job(conn, "SELECT 0")
                start(crew, claims)
                poll(lambda: crew.is_idle)
            add_job(conn, "SELECT pg_sleep(600)")
            start(crew, claims)
            poll(lambda: conn.execute(asleep).fetchall(), what="the step to run")
            loop.call(group.last.cancel)
            add_job(conn, "SELECT 1")
            start(crew, claims)
            poll(lambda: crew.is_idle, 5, "the end of the other run")
            poll(lambda: not conn.execute(asleep).fetchall(), 5, "the statement's end")
    assert "".join(status for status, _ in runs(conn)) == "dssds"


def assert_atomic(conn):
    """A step has had its effect exactly when its row says so."""
    poll(lambda: not conn.execute(SESSIONS).fetchall(), what="no session")
    effects, steps = conn.execute(
        "SELECT (SELECT count(*) FROM effect), (SELECT count(*)"
        " FROM pgagent.pga_jobsteplog WHERE jslstatus = 's')"
    ).fetchone()
    assert effects == steps


@pytest.mark.parametrize("where", ["run", "step"])
def test_an_error_in_one_of_thirty_runs_ends_that_one_only(
    conn, dsn, claims, ledger, loop, where, monkeypatch, caplog
):
    """A group of tasks cancels all others when one raises."""
    jobs = [add_job(conn, "SELECT pg_sleep(0.3)", "SELECT 1") for _ in range(30)]
    broken = jobs[11]
    execute_step, end_of_run = run_module._execute_step, run_module._end_of_run  # noqa: SLF001
    (broken_step,) = conn.execute(
        "SELECT min(jstid) FROM pgagent.pga_jobstep WHERE jstjobid = %s", [broken]
    ).fetchone()

    async def fail_in_run(run, *args):
        if run.job_id == broken:
            await asyncio.sleep(0.1)  # the others are under way
            raise TypeError("a defect")
        return await execute_step(run, *args)

    def fail_after_step(step, ended):
        if step.id == broken_step:
            raise TypeError("a defect")
        return end_of_run(step, ended)

    if where == "run":
        monkeypatch.setattr(run_module, "_execute_step", fail_in_run)
    else:
        monkeypatch.setattr(run_module, "_end_of_run", fail_after_step)
    with crew_of(30, loop, ledger, dsn, SessionPool()) as (crew, _):
        start(crew, claims, 30)
        poll(lambda: crew.is_idle, what="the end of all")
        assert crew.free == 30

    for job_id in jobs:
        reason = "an error in the runner itself: TypeError: a defect"
        assert runs(conn, job_id) == [
            ("d", reason) if job_id == broken else ("s", None)
        ]
    assert conn.execute(OPEN_RUNS).fetchall() == []
    (record,) = caplog.records
    assert record.exc_info[0] is TypeError


def test_runs_are_not_collected_while_they_wait(conn, dsn, claims, ledger, loop):
    """The loop refers to tasks but weakly."""
    for _ in range(30):
        add_job(conn, "SELECT pg_sleep(0.3)", "SELECT 1")
    began = []

    def note(event):
        began.append(1) if isinstance(event, RunStarted) else None

    with crew_of(30, loop, ledger, dsn, SessionPool(), note) as (crew, _):
        gc.freeze()  # what was there before need not be looked at each time
        try:
            start(crew, claims, 30)

            def collect():
                loop.call(gc.collect)
                return crew.is_idle

            poll(collect, what="the end of all")
        finally:
            gc.unfreeze()
    assert len(began) == 30
    assert runs(conn) == [("s", None)] * 30
