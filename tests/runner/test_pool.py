"""How runs share the sessions of a target: each gets one, and not all open their own."""

import asyncio
import resource
from concurrent.futures import CancelledError, wait
from contextlib import closing

import psycopg
import pytest
from pgagent_runner.model import Ending, Run, Step
from pgagent_runner.steps import SessionPool, StepExecutor, StepSettings
from psycopg.conninfo import make_conninfo
from support import poll

from .in_loop import CancelledAt
from .lossy_proxy import LossyProxy

RUN = Run(id=7, job_id=3, job_name="nightly", steps=())
MARK = "SELECT length(set_config('my.mark', 'x', false))"
LOCK = "SELECT pg_advisory_lock_shared(77)"  # free when the test says so


@pytest.fixture
def gate(server):
    """A session that keeps steps at `LOCK` waiting until it is closed."""
    with closing(psycopg.connect(server, autocommit=True)) as conn:
        conn.execute("SELECT pg_advisory_lock(77)")
        yield conn


@pytest.fixture
def opened():
    """The process ids of all sessions that were opened."""
    return []


@pytest.fixture
def settings(server, opened):
    """Settings of steps whose sessions are noted in `opened`."""
    return noting(server, opened)


@pytest.fixture
def executors(settings, executor_of):
    """Open an executor for a run of these steps that shares a pool."""

    def open_executor(pool, *steps):
        return executor_of(settings, RUN._replace(steps=steps), pool.itself)

    return open_executor


@pytest.fixture
def start(loop, nursery, settings):
    """Execute the steps of a run as a task; return the executor, and its outcomes."""

    def start(pool, *targets):
        steps = [step(*target) for target in targets]
        run = RUN._replace(steps=tuple(steps))
        executor = StepExecutor(settings, run, pool.itself, nursery)

        async def work():
            with executor:
                return [(await executor.execute(step)).ending for step in steps]

        return loop.holding(executor), loop.started(work)

    return start


@pytest.fixture
def pool(loop):
    pool = loop.holding(SessionPool())
    yield pool
    pool.close_idle(0)


@pytest.fixture
def single(loop):
    """A pool that allows one session for each target."""
    pool = loop.holding(SessionPool(1))
    yield pool
    pool.close_idle(0)


@pytest.fixture
def table(watcher):
    """Leave a table and a procedure that commits in the database."""
    watcher.execute("CREATE TABLE things (i int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    watcher.execute(
        "CREATE PROCEDURE act() LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO things VALUES (1); COMMIT; RAISE NOTICE $x$done$x$; END'"
    )
    yield
    watcher.execute("DROP TABLE things")
    watcher.execute("DROP PROCEDURE act")


def noting(server, opened):
    """Return settings for steps on this server; note there who has been opened."""

    async def note(session):
        opened.append(session.pid)

    return StepSettings(server, on_session=note)


def step(code, conninfo="", timeout=None, mode="single"):
    database = "" if conninfo else "postgres"
    return Step(5, "step", "s", code, database, conninfo, "f", mode, timeout)


def peak_memory():
    """Return how many kB this process has needed at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def at_the_gate(conn):
    query = "SELECT count(*) FROM pg_locks WHERE objid = 77 AND NOT granted"
    return conn.execute(query).fetchone()[0]


def test_a_burst_of_short_runs_shares_few_sessions(start, pool, opened):
    futures = [start(pool, ("SELECT 1",))[1] for _ in range(100)]

    assert [future.result(20) for future in futures] == [[Ending.SUCCEEDED]] * 100
    assert len(opened) < 60


def test_runs_that_last_have_a_session_each(start, pool, opened, gate, watcher):
    futures = [start(pool, (LOCK,))[1] for _ in range(12)]

    poll(lambda: at_the_gate(watcher) == 12)
    gate.close()
    assert [future.result(20) for future in futures] == [[Ending.SUCCEEDED]] * 12
    assert len(opened) == 12


def test_a_run_beside_one_that_lasts_has_a_session_at_once(
    start, pool, opened, gate, watcher
):
    lasting = start(pool, (LOCK,))[1]
    poll(lambda: at_the_gate(watcher) == 1)
    for _ in range(3):
        assert start(pool, ("SELECT 1",))[1].result(20) == [Ending.SUCCEEDED]
    gate.close()
    assert lasting.result(20) == [Ending.SUCCEEDED]
    assert len(opened) == 2


def test_where_one_session_is_allowed_runs_take_turns(
    start, single, opened, gate, watcher
):
    first = start(single, (LOCK,))[1]
    poll(lambda: at_the_gate(watcher) == 1)
    others = [start(single, ("SELECT 1",))[1] for _ in range(20)]

    assert not wait(others, 0.1).done
    gate.close()
    assert first.result(20) == [Ending.SUCCEEDED]
    assert [other.result(20) for other in others] == [[Ending.SUCCEEDED]] * 20
    assert len(opened) == 1


def test_who_is_cancelled_while_waiting_keeps_nobody_waiting(
    start, single, gate, watcher
):
    first = start(single, (LOCK,))[1]
    poll(lambda: at_the_gate(watcher) == 1)
    impatient, second = start(single, ("SELECT 1",))
    third = start(single, ("SELECT 1",))[1]

    impatient.cancel("enough")
    assert second.result(20) == [Ending.ABORTED]
    assert not third.done()
    gate.close()
    assert first.result(20) == third.result(20) == [Ending.SUCCEEDED]


def test_the_time_limit_of_a_step_does_not_count_the_wait_for_a_session(
    start, single, gate, watcher, executors
):
    first = start(single, (LOCK,))[1]
    poll(lambda: at_the_gate(watcher) == 1)
    second = start(single, ("SELECT 1", "", 0.3))[1]

    assert not wait([second], 0.6).done
    gate.close()
    assert first.result(20) == second.result(20) == [Ending.SUCCEEDED]
    with executors(single) as executor:
        outcome = executor.execute(step("SELECT pg_sleep(60)", timeout=0.3))
    assert outcome.reason == "the step took longer than 0.3 s"


@pytest.mark.parametrize("end", ["terminated", "cancelled"])
def test_a_session_that_is_not_given_back_makes_room_for_another(
    start, single, opened, gate, watcher, end
):
    executor, first = start(single, (LOCK,))
    poll(lambda: at_the_gate(watcher) == 1)
    others = [start(single, ("SELECT 1",))[1] for _ in range(3)]
    if end == "cancelled":
        executor.cancel("enough")
    else:
        watcher.execute("SELECT pg_terminate_backend(%s)", opened)

    ending = Ending.ABORTED if end == "cancelled" else Ending.FAILED
    assert first.result(20) == [ending]
    assert [other.result(20) for other in others] == [[Ending.SUCCEEDED]] * 3
    assert len(opened) == 2


def test_who_is_given_a_dead_session_opens_another_in_its_place(
    cluster, tmp_path, loop, nursery, single, opened, table, watcher
):
    with LossyProxy(tmp_path, cluster.host, cluster.port) as proxy:
        settings = noting(make_conninfo(cluster.conninfo(), host=str(tmp_path)), opened)

        async def run(code):
            with StepExecutor(settings, RUN, single.itself, nursery) as executor:
                return (await executor.execute(step(code))).ending

        with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as gate:
            gate.execute("SELECT pg_advisory_lock(77)")
            futures = [loop.started(run, LOCK)]
            poll(lambda: at_the_gate(watcher) == 1)
            insert = "INSERT INTO things VALUES ({})"
            for number in range(4):
                futures.append(loop.started(run, insert.format(number)))
                loop.call(lambda: None)
            proxy.lose("answer", at=b"DISCARD ALL")
        assert {future.result(20) for future in futures} == {Ending.SUCCEEDED}
        single.close_idle(0)
    done = watcher.execute("SELECT i FROM things ORDER BY ctid").fetchall()
    assert done == [(0,), (1,), (2,), (3,)]
    assert len(opened) == 2


@pytest.mark.parametrize("first", ["cancelled", "given back"])
def test_who_is_cancelled_when_given_a_session_executes_nothing(
    loop, nursery, settings, executors, single, table, watcher, first
):
    holder, waiting = (
        StepExecutor(settings, RUN, single.itself, nursery) for _ in range(2)
    )

    async def wait_for_it():
        with waiting:
            insert = step("INSERT INTO things VALUES (1)")
            return (await waiting.execute(insert)).ending

    async def race():
        with holder:
            await holder.execute(step("SELECT 1"))
            waited = asyncio.create_task(wait_for_it())
            await asyncio.sleep(0)
            if first == "cancelled":
                waiting.cancel("enough")
        waiting.cancel("enough")
        return await waited

    assert loop.call(race) is Ending.ABORTED
    assert watcher.execute("SELECT FROM things").rowcount == 0
    with executors(single) as executor:
        assert executor.execute(step("SELECT 1")).ending is Ending.SUCCEEDED


def test_no_session_is_handed_on_that_was_there_before_renewal(executors, pool, opened):
    with executors(pool) as executor:
        executor.execute(step("SELECT 1"))
        pool.renew()
    for _ in range(2):
        with executors(pool) as executor:
            executor.execute(step("SELECT 1"))
    assert len(opened) == 2


def test_a_run_that_has_a_connection_does_not_wait_for_one(server, pool, executor_of):
    waiting = []

    async def note(_):
        waiting.append(executor.itself.connecting_since)

    settings = StepSettings(server, on_session=note)
    with executor_of(settings, RUN, pool.itself) as executor:
        executor.execute(step("SELECT 1"))
    assert waiting == [None]


def test_a_server_that_refuses_keeps_nobody_waiting(start, single, server):
    nowhere = make_conninfo(server, dbname="nowhere")
    futures = [start(single, ("SELECT 1", nowhere))[1] for _ in range(5)]

    assert [future.result(20) for future in futures] == [[Ending.FAILED]] * 5


def test_runs_that_wait_for_each_others_sessions_go_on(
    start, single, server, gate, watcher
):
    here, there = server, make_conninfo(server, application_name="another target")
    one = start(single, (LOCK, here), ("SELECT 1", there))[1]
    other = start(single, (LOCK, there), ("SELECT 1", here))[1]
    poll(lambda: at_the_gate(watcher) == 2)
    others = [start(single, ("SELECT 1", target))[1] for target in (here, there)]
    gate.close()

    assert one.result(20) == other.result(20) == [Ending.SUCCEEDED] * 2
    assert [future.result(20) for future in others] == [[Ending.SUCCEEDED]] * 2


@pytest.mark.parametrize(
    "code",
    [
        "SELECT 1",
        " select\n1 ; ",
        "SELECT generate_series(1, 100)",
        "SELECT 1 WHERE false",
        "INSERT INTO things SELECT generate_series(1, 3) RETURNING i",
        "UPDATE things SET i = i",
        "DELETE FROM things",
        "MERGE INTO things USING (SELECT 1) AS s ON false WHEN MATCHED THEN DELETE",
        "WITH new AS (INSERT INTO things VALUES (5) RETURNING i) SELECT i FROM new",
        "CALL act()",
        "SELECT 1 / 0",
        "SELECT nonsense\nFROM nowhere",
        "INSERT INTO things VALUES ('x')",
        "SELECT 'Größe'",
        "SELECT $1",
        "SELECT 1; SELECT 2",
        "SELECT 1; SELECT 1 / 0; SELECT 3",
        "SELECT 'a;b'",
        "SELECT 'unterminated",
        "SELECT 1 -- ; SELECT 2",
        "/* SELECT 1 */ SELECT 2",
        "select1",
        "WITH",
        "INSERT INTO things VALUES (1), (1)",
        "INSERT INTO things VALUES (1), (1) RETURNING i",
        "DO 'BEGIN COMMIT; END'",
        "COPY things FROM STDIN",
        "COPY (SELECT 1) TO STDOUT",
        "VACUUM things",
        "BEGIN",
        "BEGIN; SELECT 1",
        "COMMIT",
        "SET work_mem = '1MB'",
        "DISCARD ALL",
        "",
        ";",
        "SELECT 1 / (current_setting('application_name') = 'pgagent job 3 run 7')::int",
        pytest.param(
            "SELECT 1 / (current_setting('client_connection_check_interval') = '1s')::int",
            marks=pytest.mark.needs("client_connection_check_interval"),
        ),
    ],
)
def test_a_step_does_the_same_in_a_session_that_was_handed_on(
    executors, pool, opened, table, watcher, code
):
    outcomes, effects = [], []
    for steps in [step(code)], [], [step(code)], [step(code)]:
        watcher.execute("TRUNCATE things")
        with executors(pool, *steps) as executor:
            outcomes.append(executor.execute(step(code)))
        effects.append(watcher.execute("SELECT i FROM things").fetchall())

    assert outcomes == outcomes[:1] * 4
    assert effects == effects[:1] * 4
    assert len(opened) == 1


def test_a_loss_is_told_alike_in_a_session_that_was_handed_on(executors, pool, opened):
    ending = step("SELECT pg_terminate_backend(pg_backend_pid())")
    outcomes = []
    for a_step in ending, step("SELECT 1"), ending:
        with executors(pool, a_step) as executor:
            outcomes.append(executor.execute(a_step))

    assert outcomes[0] == outcomes[2]
    assert outcomes[0].reason.startswith("the connection was lost")
    assert outcomes[0].output.splitlines()[1:3] == [
        "FATAL:  terminating connection due to administrator command",
        "SQLSTATE: 57P01",
    ]
    assert "server closed the connection unexpectedly" in outcomes[0].output
    assert len(opened) == 2


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("code", [MARK, f"{MARK} / 0"])
def test_what_a_run_has_set_is_gone_in_the_next_one(
    executors, pool, opened, code, retries
):
    marking = step(code)._replace(retries=retries)
    asking = step(
        "SELECT 1 / (current_setting('my.mark', true) IS DISTINCT FROM 'x')::int"
    )
    for a_step in step("SELECT 1"), marking, asking, marking, asking:
        with executors(pool, a_step) as executor:
            outcome = executor.execute(a_step)
        failed = a_step is marking and "/ 0" in code
        assert outcome.ending is (Ending.FAILED if failed else Ending.SUCCEEDED)
    assert len(opened) == 1


@pytest.mark.parametrize(
    "how", ["is terminated", "says that it ends", "is cut off", "never answers"]
)
def test_a_session_that_ends_while_nobody_has_it_fails_no_run(
    cluster, tmp_path, executor_of, pool, opened, watcher, how
):
    reset = (
        "SELECT FROM pg_stat_activity"
        " WHERE pid = %s AND query = 'DISCARD ALL' AND state = 'idle'"
    )
    alive = "SELECT FROM pg_stat_activity WHERE pid = %s"
    with LossyProxy(tmp_path, cluster.host, cluster.port) as proxy:
        settings = noting(make_conninfo(cluster.conninfo(), host=str(tmp_path)), opened)
        for number in (1, 2):
            if how == "never answers":
                proxy.lose("answer", at=b"DISCARD ALL")
            with executor_of(settings, RUN, pool.itself) as executor:
                outcome = executor.execute(step("SELECT 1"))
                assert outcome.ending is Ending.SUCCEEDED
            assert len(opened) == number
            if how == "never answers":
                poll(proxy.has_lost)
                continue
            poll(lambda: watcher.execute(reset, [opened[-1]]).rowcount)
            if how == "says that it ends":
                proxy.hold_ends()
            if how == "is cut off":
                proxy.drop()
            else:
                watcher.execute("SELECT pg_terminate_backend(%s)", opened[-1:])
                poll(lambda: watcher.execute(alive, opened[-1:]).rowcount == 0)
                poll(lambda: proxy.has_answered(b"57P01"))
        pool.close_idle(0)


@pytest.mark.parametrize("code", ["SELECT 1", "SELECT 1 / 0"])
def test_the_name_of_a_run_stays_for_its_later_steps(executors, pool, code):
    named = "SELECT 1 / (current_setting('application_name') LIKE 'pgagent job %')::int"
    for _ in range(2):
        with executors(pool) as executor:
            executor.execute(step(code))
            assert executor.execute(step(named)).ending is Ending.SUCCEEDED


def test_many_rows_are_not_kept_in_memory_by_a_session_that_was_handed_on(
    executors, pool
):
    with executors(pool) as executor:
        executor.execute(step("SELECT 1"))
    before = peak_memory()
    with executors(pool) as executor:
        many = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)"
        outcome = executor.execute(step(many))
    assert (outcome.ending, outcome.result) == (Ending.SUCCEEDED, 100_000)
    assert peak_memory() - before < 30_000


# --- tasks that are cancelled

STEPS = {
    "one statement": step("SELECT pg_sleep(0.02)"),
    "several": step("SELECT 1; SELECT pg_sleep(0.02)"),
    "copy": step("COPY (SELECT generate_series(1, 99999)) TO STDOUT"),
    "left open": step("BEGIN; SELECT pg_sleep(0.02)"),
    "autocommit": step("SELECT 1; SELECT pg_sleep(0.02)", mode="autocommit"),
    "atomic": step("SELECT pg_sleep(0.02)", mode="atomic"),
    "endless": step("SELECT pg_sleep(60)", timeout=0.05),
}


class Seal:
    """One that records nothing."""

    def statement(self, *_):
        return "SELECT", ()


@pytest.fixture
def cancelled_at(loop, nursery, settings, opened, single, watcher):
    """Cancel a task at its nth wait, in a step; tell whether it had so many."""

    def executor(a_step):
        run = RUN._replace(steps=(a_step,))
        return StepExecutor(settings, run, single.itself, nursery)

    async def execute(a_step, session, nth, *, late):
        with executor(a_step) as one:
            if session == "the run's own":
                await one.execute(step("SELECT 1"))
            seal = Seal() if a_step.mode == "atomic" else None
            await CancelledAt(one.execute(a_step, seal), nth, late=late)

    async def wait_for_it(a_step, session, nth, *, late):
        with executor(step("")) as holder:
            await holder.execute(step("SELECT 1"))
            task = asyncio.create_task(execute(a_step, session, nth, late=late))
            await asyncio.sleep(0.02 if session == "one that others need" else 0)
        await task

    def is_alive():
        alive = "SELECT FROM pg_stat_activity WHERE pid = %s"
        return watcher.execute(alive, opened[-1:]).rowcount

    def cancelled_at(a_step, session, nth, *, late):
        if session == "a new one":
            single.close_idle(0)
        if session == "a dead one":
            watcher.execute("SELECT pg_terminate_backend(%s)", opened[-1:])
            poll(lambda: not is_alive())
        waits = session in {"one that others need", "one that others give"}
        work = wait_for_it if waits else execute
        try:
            loop.call(work, a_step, session, nth, late=late)
        except CancelledError:
            return True
        return False

    return cancelled_at


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize(
    ("kind", "session"),
    [
        *((kind, "one handed on") for kind in STEPS),
        *((kind, "the run's own") for kind in STEPS),
        ("one statement", "a new one"),
        ("one statement", "a dead one"),
        ("one statement", "one that others need"),
        ("one statement", "one that others give"),
    ],
)
def test_a_task_that_is_cancelled_anywhere_leaves_the_sessions_in_order(
    start, single, gate, watcher, cancelled_at, kind, session, late
):
    nth = 0
    while True:
        assert start(single, ("SELECT 1",))[1].result(1) == [Ending.SUCCEEDED]
        nth += 1
        if not cancelled_at(STEPS[kind], session, nth, late=late):
            break
    assert nth > 1
    one = start(single, (LOCK,))[1]
    poll(lambda: at_the_gate(watcher) == 1)
    another = start(single, ("SELECT 1",))[1]
    assert not wait([another], 0.05).done
    gate.close()
    assert one.result(5) == another.result(5) == [Ending.SUCCEEDED]


@pytest.fixture
def fleeting(watcher):
    """The name of a database that a later step drops."""
    watcher.execute("CREATE DATABASE fleeting")
    yield "fleeting"
    watcher.execute("DROP DATABASE IF EXISTS fleeting WITH (FORCE)")


def test_a_step_may_drop_the_database_of_the_steps_before(
    executors, pool, server, fleeting
):
    steps = [
        step("SELECT 1", make_conninfo(server, dbname=fleeting))._replace(id=1),
        step(f"DROP DATABASE {fleeting}")._replace(id=2),
    ]
    with executors(pool, *steps) as executor:
        outcomes = [executor.execute(each) for each in steps]

    assert [outcome.ending for outcome in outcomes] == [Ending.SUCCEEDED] * 2, outcomes


def test_a_run_keeps_no_session_that_its_later_steps_do_not_name(
    executors, start, single
):
    first, following = step("SELECT 1"), Step(6, "s", "b", "true", "", "", "f")
    with executors(single, first, following) as executor:
        assert executor.execute(first).ending is Ending.SUCCEEDED
        assert executor.execute(following).ending is Ending.SUCCEEDED
        assert start(single, ("SELECT 1",))[1].result(10) == [Ending.SUCCEEDED]


def test_a_session_that_a_later_step_names_is_kept(executors, pool, opened):
    steps = [
        step("CREATE TEMP TABLE t (i int)")._replace(id=1),
        Step(2, "s", "b", "true", "", "", "f"),
        step("SELECT FROM t")._replace(id=3),
    ]
    with executors(pool, *steps) as executor:
        outcomes = [executor.execute(each) for each in steps]

    assert [outcome.ending for outcome in outcomes] == [Ending.SUCCEEDED] * 3
    assert len(opened) == 1


def test_waiting_for_a_connection_is_told(executors, pool, monkeypatch):
    monkeypatch.setattr("pgagent_runner.steps.sql.sql_steps._LONG", 0.0)
    with executors(pool) as executor:
        first, second = (executor.execute(step("SELECT 1")).output for _ in range(2))

    assert first == "waited 0.0 s for a connection\nSELECT 1\n"
    assert second == first
