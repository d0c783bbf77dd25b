"""Sessions that are ended or held up, one at a time: nothing is lost or doubled."""

from contextlib import closing, contextmanager

import psycopg
from jobs import add_job, batch, job, runs, step_runs
from psycopg.conninfo import make_conninfo
from support import poll

from .runner_process import Runner, agents, ended_runs, running_step
from .stubborn import busy_sessions

OTHERS = (
    "application_name = 'pgagent' AND datname = current_database()"
    " AND pid NOT IN (SELECT jagpid FROM pgagent.pga_jobagent)"
)
LEDGER = f"{OTHERS} AND query !~ 'pga_run_claim|LISTEN'"
# A claim whose answer is lost ends the registration: one that is idle, and stays so.
CLAIMS = (
    f"{OTHERS} AND query ~ 'pga_run_claim' AND state = 'idle'"
    " AND state_change < clock_timestamp() - interval '0.3 s'"
)
LISTENER = f"{OTHERS} AND query ~ 'LISTEN'"
STEP = "application_name LIKE 'pgagent job %' AND datname = current_database()"
AGENT = "pid IN (SELECT jagpid FROM pgagent.pga_jobagent)"


def test_a_lost_control_session_is_opened_anew(conn, runner):
    lost = add_job(conn, "SELECT pg_sleep(60)")
    running_step(conn)
    (old_agent,) = agents(conn)

    terminate(conn, AGENT)

    poll(lambda: agents(conn) not in ([], [old_agent]))
    next_job = add_job(conn, "SELECT 1")
    assert ended_runs(conn, next_job) == "s"
    assert ended_runs(conn, lost) == "d"
    ((_, reason),) = runs(conn, lost)
    assert reason.startswith(f"aborted: agent {old_agent} on ")
    runner.says("next attempt in")


def test_an_idle_session_for_claims_that_is_lost_aborts_nothing(conn, runner, gate):
    code, open_gate = gate
    under_way = add_job(conn, batch(code))
    runner.says(" starts")  # so it has heard what it has claimed
    agents_before = agents(conn)
    poll(lambda: terminate(conn, CLAIMS))
    poll(lambda: not count_sessions(conn, CLAIMS), what="its end")

    next_job = add_job(conn, "SELECT 1")
    assert ended_runs(conn, next_job) == "s"
    open_gate()
    assert ended_runs(conn, under_way) == "s"
    assert agents(conn) == agents_before


def test_the_session_that_hears_of_changes_is_opened_anew(conn, runner, gate):
    code, open_gate = gate
    under_way = add_job(conn, batch(code))
    running_step(conn)
    agents_before = agents(conn)
    assert poll(lambda: terminate(conn, LISTENER)) == 1
    runner.says("could not listen for changes of jobs")

    assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"  # heard when it is back

    poll(lambda: count_sessions(conn, LISTENER))
    assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"
    open_gate()
    assert ended_runs(conn, under_way) == "s"
    assert agents(conn) == agents_before


def test_lost_sessions_of_the_ledger_are_opened_anew(conn, runner, gate):
    code, open_gate = gate
    add_job(conn, batch(code), "SELECT 1")
    running_step(conn)

    assert terminate(conn, LEDGER) == 2
    open_gate()

    assert ended_runs(conn) == "s"
    assert [row[1] for row in step_runs(conn)] == ["s", "s"]


def test_a_lost_session_of_a_step_fails_the_step(conn, runner):
    lost = add_job(conn, "SELECT pg_sleep(60)")
    running_step(conn)
    poll(lambda: terminate(conn, f"{STEP} AND query LIKE '%pg_sleep%'"))

    assert ended_runs(conn, lost) == "f"

    ((_, _, result, output),) = step_runs(conn)
    assert result == -1
    assert "the connection was lost while the step was running" in output
    assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"


def test_a_statement_of_the_ledger_that_is_cancelled_is_repeated(
    conn, dsn, runner, gate
):
    code, open_gate = gate
    job_id = add_job(conn, batch(code))
    running_step(conn)
    with locked(dsn, "pga_jobsteplog"):
        open_gate()
        poll(lambda: signal_sessions(conn, "cancel", f"{LEDGER} AND {WAITING}"))

    assert ended_runs(conn) == "s"
    assert job(conn, job_id, "jobagentid") is None


def test_a_lock_on_the_table_of_jobs_only_delays_them(conn, dsn):
    with Runner("--poll", "0.5", dsn) as runner:
        runner.ready()
        with locked(dsn, "pga_job") as holder:
            add_job(holder, "SELECT 1")
            runner.says("could not look for due jobs")
        assert ended_runs(conn) == "s"
        assert len(agents(conn)) == 1


WAITING = "wait_event_type = 'Lock'"


@contextmanager
def locked(dsn, table):
    with closing(psycopg.connect(dsn)) as holder:
        holder.execute(f"LOCK TABLE pgagent.{table} IN ACCESS EXCLUSIVE MODE")
        yield holder
        holder.commit()


def count_sessions(conn, which):
    query = f"SELECT count(*) FROM pg_stat_activity WHERE {which}"
    return conn.execute(query).fetchone()[0]


def terminate(conn, which):
    return signal_sessions(conn, "terminate", which)


def signal_sessions(conn, verb, which):
    """Terminate or cancel such sessions; return how many there were."""
    (count,) = conn.execute(
        f"SELECT count(pg_{verb}_backend(pid)) FROM pg_stat_activity WHERE {which}"
    ).fetchone()
    return count


def test_a_step_as_another_role_on_the_same_server_is_noted(conn, dsn, runner):
    conn.execute("DROP ROLE IF EXISTS another; CREATE ROLE another LOGIN")
    where = {"jstconnstr": make_conninfo(dsn, user="another")}
    job_id = add_job(conn, {"jstcode": "SELECT pg_sleep(600)"} | where)
    ((pid, _),) = poll(lambda: busy_sessions(conn))

    noted = "SELECT jsspid FROM pgagent.pga_jobsession"
    poll(lambda: (pid,) in conn.execute(noted).fetchall())
    conn.execute("SELECT pgagent.cancel_run(%s)", [job_id])
    assert ended_runs(conn, job_id) == "d"
