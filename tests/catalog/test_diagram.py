"""The state diagrams of docs/design.md show what the functions do, no more and no less.

Besides, every test of this folder fails that sees a transition which is not drawn: see
conftest.py.
"""

import json
from contextlib import closing

import psycopg
import pytest
from alerts import telling
from catalog.diagram import PAGE, drawn, observed, writers
from jobs import add_job, add_schedule, batch
from transitions import (
    RefusedError,
    claim,
    claim_rows,
    finish_run,
    finish_step,
    leave,
    record,
    start_step,
    sweep,
)

RESTORING = "SET check_function_bodies = off; SET row_security = off"


@pytest.fixture
def restoring(dsn):
    """A session that restores a dump, as far as triggers can tell."""
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        session.execute(RESTORING)
        yield session


def step_rows(conn, run_id):
    query = "SELECT jslid FROM pgagent.pga_jobsteplog WHERE jsljlgid = %s ORDER BY 1"
    return [row[0] for row in conn.execute(query, [run_id])]


def restore_what_was_running(session):
    session.execute(
        """
        INSERT INTO pgagent.pga_job (jobid, jobname, jobjclid, jobagentid)
            VALUES (1000, 'restored', 1, 77);
        INSERT INTO pgagent.pga_jobstep (jstid, jstjobid, jstname, jstkind, jstcode)
            VALUES (1000, 1000, 'restored', 'b', 'true');
        INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgagentid, jlgstart)
            VALUES (1000, 1000, 77, '2020-01-01');
        INSERT INTO pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstart)
            VALUES (1000, 1000, 1000, '2020-01-01');
        """
    )


def run_in_every_way(conn, agent):
    """Have runs and steps end in every way; run steps one by one and atomically."""
    for status in "sfid":
        add_job(conn, batch("a"), batch("b"), jobkeepfor="1 microsecond")
        (run_id, *_), (_, _, _, second_step, *_) = claim_rows(agent)
        finish_step(agent, run_id, step_rows(conn, run_id)[0], status)
        row = start_step(agent, run_id, second_step)
        record(agent, run_id, step_log_id=row, step_status=status, run_status=status)
    add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    agent.execute("SELECT pgagent.pga_step_finish(%s, 1, '')", step_rows(conn, run_id))
    finish_run(agent, run_id)


GUARD = """
    CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
    CREATE TRIGGER refuse BEFORE {} FOR EACH ROW EXECUTE FUNCTION public.refuse()
"""


PROMISE = """
    ; SELECT pgagent.run_job(max(jobid)) FROM pgagent.pga_job
"""


def salvage_in_every_way(conn, agent):
    """Have runs and steps end in every way while triggers refuse that."""
    for status in "sfid":
        salvage_run(conn, agent, status)
    for guarded in (
        "INSERT ON pga_jobskip",
        "UPDATE ON pga_joblog",
        "UPDATE ON pga_jobsteplog",
    ):
        event = guarded.replace("ON ", "ON pgagent.")
        for status in "sfid":
            salvage_run(conn, agent, status, GUARD.format(event))
            conn.execute(
                f"DROP TRIGGER refuse {event.removeprefix('INSERT ').removeprefix('UPDATE ')}"
            )
    salvage_run(
        conn, agent, "s", GUARD.format("INSERT ON pgagent.pga_jobskip") + PROMISE
    )
    conn.execute("DROP TRIGGER refuse ON pgagent.pga_jobskip")
    conn.execute("SELECT pgagent.cancel_run(jrqid) FROM pgagent.pga_jobrequest")


def salvage_run(conn, agent, status, guard=""):
    """Have a late run of a job of every minute end, behind a guard."""
    job_id = add_job(conn, "SELECT 1", jobkeepfor="1 microsecond")
    add_schedule(conn, job_id)
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [job_id]
    )
    ((run_id, _),) = claim(agent)
    (row,) = step_rows(conn, run_id)
    hour = "date_trunc('hour', now()) - interval '1 hour'"
    conn.execute(
        f"UPDATE pgagent.pga_joblog SET jlgstart = {hour} WHERE jlgid = %s", [run_id]
    )
    conn.execute(
        f"UPDATE pgagent.pga_job SET joblastrun = {hour}, jobnextrun = {hour} WHERE jobid = %s",
        [job_id],
    )
    conn.execute(guard)
    entry = {
        "run_id": run_id,
        "step_log_id": row,
        "step_status": status,
        "run_status": status,
    }
    agent.execute(
        "SELECT pgagent.pga_run_salvage(pg_backend_pid(), %s)", [json.dumps(entry)]
    )
    # Another minute may begin meanwhile, and make this job due beside the next one.
    conn.execute(
        "UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = %s", [job_id]
    )


def release_one_that_is_gone(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    conn.execute("DELETE FROM pgagent.pga_joblog WHERE jlgid = %s", [run_id])
    with pytest.raises(RefusedError):
        record(agent, run_id, job_id=job_id, run_status="s")


def take_the_other_ways(conn, agent):
    """Promise, take back and drop jobs; die with and without a run."""
    for held in ("free", "promised", "held"):
        conn.execute("SELECT pgagent.create_job(%s)", [held])
    conn.execute("SELECT pgagent.run_job('held')")
    claim(agent)
    run_id = conn.execute("SELECT pgagent.run_job('promised')").fetchone()[0]
    conn.execute("SELECT pgagent.cancel_run(%s)", [run_id])
    conn.execute("SELECT pgagent.run_job('promised')")
    for job in ("free", "promised", "held"):
        conn.execute("SELECT pgagent.drop_job(%s)", [job])
    make_and_drop_by_a_file(conn, agent)
    free_what_is_promised_in_every_way(conn, agent)
    kill_three_runners(conn, agent)
    add_job(conn, "SELECT 1")
    without_run = add_job(conn, "SELECT 1")
    claim(agent)
    conn.execute("DELETE FROM pgagent.pga_joblog WHERE jlgjobid = %s", [without_run])
    add_a_run_that_is_none(conn, agent)
    leave(agent)


def make_and_drop_by_a_file(conn, agent):
    apply = "SELECT FROM pgagent.apply_jobs(%s, prune => true)"
    jobs = [{"name": name} for name in ("free", "promised", "held")]
    conn.execute(apply, [json.dumps({"format": 1, "set": "x", "jobs": jobs})])
    conn.execute("SELECT pgagent.run_job('held')")
    claim(agent)
    conn.execute("SELECT pgagent.run_job('promised')")
    conn.execute(apply, [json.dumps({"format": 1, "set": "x"})])


def free_what_is_promised_in_every_way(conn, agent):
    """Have a job let go of that is to run again."""

    def held_and_promised():
        job_id = add_job(conn, "SELECT 1")
        run_id = next(run for run, job in claim(agent) if job == job_id)
        conn.execute("SELECT pgagent.run_job(%s::bigint)", [job_id])
        return job_id, run_id

    finish_run(agent, held_and_promised()[1])
    job_id, run_id = held_and_promised()
    conn.execute("DELETE FROM pgagent.pga_joblog WHERE jlgid = %s", [run_id])
    with pytest.raises(RefusedError):
        record(agent, run_id, job_id=job_id, run_status="s")
    job_id, run_id = held_and_promised()
    conn.execute("DELETE FROM pgagent.pga_joblog WHERE jlgid = %s", [run_id])
    agent.execute("SELECT pgagent.pga_agent_free(%s, pg_backend_pid())", [job_id])


def kill_three_runners(conn, agent):
    """Have a job disabled whose next run is promised."""
    job_id = add_job(conn, "SELECT 1", jobdeaths=2)
    claim(agent)
    conn.execute("SELECT pgagent.run_job(%s::bigint)", [job_id])
    conn.execute("SELECT pgagent.pga_agent_bury_run(%s, true, 'killed')", [job_id])


def add_a_run_that_is_none(conn, agent):
    """Add a row for a job beside its run under way; have it swept."""
    job_id = add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    conn.execute(
        """
        WITH run AS (
            INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstart)
            VALUES (%s, now() - interval '1 h') RETURNING jlgid
        )
        INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid)
        SELECT jlgid, (SELECT max(jstid) FROM pgagent.pga_jobstep) FROM run""",
        [job_id],
    )
    sweep(agent, runs=[run_id], jobs=[job_id])


def delete_by_hand(conn):
    job_id = add_job(conn, due=None)
    for status in "sfid":
        # An i that is inserted is dropped: the daemon of 4.2 does so if it came too late.
        conn.execute(
            "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart)"
            " VALUES (%s, 's', now() - interval '1 d')",
            [job_id],
        )
        conn.execute(
            "UPDATE pgagent.pga_joblog SET jlgstatus = %s"
            " WHERE jlgid = (SELECT max(jlgid) FROM pgagent.pga_joblog)",
            [status],
        )
    conn.execute("SELECT pgagent.delete_log(%s::bigint)", [job_id])


def tell_in_every_way(conn):
    """Have events be sent, fail, be given up and forgotten; leave the catalogue armed."""
    conn.execute("SELECT pgagent.add_alert('all', 'mail', events => '{disabled}')")

    def write(state="pending"):
        conn.execute(
            "SELECT pgagent.pga_alert_write(a, NULL, 'late', NULL, %s, '{}') FROM pgagent.pga_alert AS a",
            [state],
        )
        telling.later(conn)

    def claimed(after="0"):
        telling.later(conn, after)
        return telling.claim(conn)[0]

    conn.execute("SELECT pgagent.test_alert('all')")
    telling.watch(conn)
    telling.sent(conn, claimed())
    write()
    message = claimed()
    telling.sent(conn, message, 1, "no")
    telling.sent(conn, message)
    write()
    claimed()
    message = claimed("73 hours")
    telling.sent(conn, message, 2, "no")
    telling.sent(conn, message)
    for way in (lambda: None, claimed):
        write()
        way()
        telling.later(conn, "4 days")
        telling.watch(conn)
    write("silenced")
    write()
    claimed()
    telling.later(conn, "2 minutes")
    write()
    conn.execute("UPDATE pgagent.pga_arming SET armdatabaseid = 1")
    telling.watch(conn)
    conn.execute("SELECT pgagent.arm()")
    telling.later(conn, "31 days")
    conn.execute("SELECT pgagent.pga_log_prune_alerts(100)")


def test_every_transition_that_is_drawn_takes_place(conn, agent, restoring):
    run_in_every_way(conn, agent)
    salvage_in_every_way(conn, agent)
    release_one_that_is_gone(conn, agent)
    conn.execute("SELECT pgagent.pga_log_prune(0, 100, 100)")
    delete_by_hand(conn)
    take_the_other_ways(conn, agent)
    restore_what_was_running(restoring)
    tell_in_every_way(conn)

    assert observed(conn) == drawn()


def test_the_functions_that_move_something_are_those_that_are_drawn(conn):
    assert writers(conn) == {(thing, by) for thing, _, _, by in drawn()}


def test_a_transition_that_is_only_drawn_is_noticed(conn):
    edge = "    f --> r: pga_run_retry\n"
    page = PAGE.read_text().replace(
        "    r --> f: pga_run_close, pga_run_salvage_end\n", edge
    )

    assert drawn(page) - drawn() == {("run", "f", "r", "pga_run_retry")}
    assert ("run", "pga_run_retry") not in writers(conn)


def test_a_transition_that_is_not_drawn_is_noticed(conn, agent):
    """A run that has ended is opened again: by the fence, nothing may do that."""
    conn.execute(
        """
        CREATE FUNCTION pgagent.pga_run_reopen(p_run_id bigint) RETURNS void
        LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
            UPDATE pgagent.pga_joblog SET jlgstatus = 'r' WHERE jlgid = p_run_id
        $$
        """
    )
    add_job(conn)
    ((run_id, _),) = claim(agent)
    finish_run(agent, run_id, "f")

    conn.execute("SELECT pgagent.pga_run_reopen(%s)", [run_id])

    assert observed(conn) - drawn() == {("run", "f", "r", "pga_run_reopen")}
    assert ("run", "pga_run_reopen") in writers(conn)
    conn.execute("TRUNCATE public.transition")  # the fixture would fail this test
