"""What pga_job knows of its runs without the log, however a run ends."""

import json
from contextlib import closing

import psycopg
import pytest
from jobs import add_job, job, runs
from support import poll
from transitions import RECORD, claim, claim_rows, finish_run, record, register, sweep

FIGURES = "jobfailures", "jobsucceeded", "jobfailed", "jobaborted", "jobempty"
BY_STATUS = {"s": "jobsucceeded", "f": "jobfailed", "d": "jobaborted", "i": "jobempty"}
SALVAGE = "SELECT * FROM pgagent.pga_run_salvage(pg_backend_pid(), %s::json)"
# As runners of 5.0 call it.
RECORD_50 = """
    SELECT refusal FROM pgagent.pga_run_record(
        ARRAY[%s]::bigint[], NULL, NULL, NULL, NULL, NULL, NULL, ARRAY[%s]::text[], NULL)
"""
REFUSE = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        RAISE EXCEPTION 'hands off';
    END$$;
    CREATE TRIGGER refuse BEFORE UPDATE ON pgagent.{} FOR EACH ROW {} EXECUTE FUNCTION public.refuse()
"""


def figures(conn, job_id):
    """Return those of a job that are not 0."""
    row = conn.execute(
        f"SELECT {', '.join(FIGURES)} FROM pgagent.pga_job WHERE jobid = %s", [job_id]
    ).fetchone()
    return {name: value for name, value in zip(FIGURES, row, strict=True) if value}


def counted(status):
    """Return the figures of a job whose first run has ended so."""
    failures = {"jobfailures": 1} if status in "fd" else {}
    return {BY_STATUS[status]: 1} | failures


def start(conn, agent, job_id):
    """Have a job run; return the run's id."""
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [job_id]
    )
    ((run_id, _),) = claim(agent)
    return run_id


def run(conn, agent, job_id, *statuses, message=None):
    """Have a job run, and end so, time and again."""
    for status in statuses:
        finish_run(agent, start(conn, agent, job_id), status, message)


def take_away(conn, job_id, holder=None):
    """Give a job to nobody, or to another agent, though a runner executes it."""
    conn.execute("SET pgagent.freeing = 'on'")
    conn.execute(
        "UPDATE pgagent.pga_job SET jobagentid = %s WHERE jobid = %s", [holder, job_id]
    )
    conn.execute("RESET pgagent.freeing")


def last_success(conn, job_id):
    return job(conn, job_id, "joblastsuccess")


@pytest.mark.parametrize("status", "sfdi")
def test_a_run_that_is_recorded_is_counted(conn, agent, status):
    job_id = add_job(conn, "SELECT 1", due=None)

    run(conn, agent, job_id, status)

    assert figures(conn, job_id) == counted(status)
    assert (last_success(conn, job_id) is not None) == (status == "s")


@pytest.mark.parametrize("status", "sfdi")
def test_a_run_that_a_runner_of_5_0_records_is_counted(conn, agent, status):
    job_id = add_job(conn, "SELECT 1", due=None)
    run_id = start(conn, agent, job_id)

    assert agent.execute(RECORD_50, [run_id, status]).fetchall() == [(None,)]

    assert figures(conn, job_id) == counted(status)


def test_a_run_that_is_recorded_twice_is_counted_once(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    run_id = start(conn, agent, job_id)

    finish_run(agent, run_id, "f", "it failed")
    finish_run(agent, run_id, "f", "it failed")

    assert figures(conn, job_id) == counted("f")


def test_failures_in_a_row_end_with_a_success_and_not_with_nothing_to_do(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)

    run(conn, agent, job_id, "f", "d", "i", "f")
    assert job(conn, job_id, "jobfailures") == 3
    run(conn, agent, job_id, "i")
    assert job(conn, job_id, "jobfailures") == 3
    run(conn, agent, job_id, "s")

    assert figures(conn, job_id) == {
        "jobsucceeded": 1, "jobfailed": 2, "jobaborted": 1, "jobempty": 2
    }  # fmt: skip


def test_the_last_success_is_when_it_ended(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    run_id = start(conn, agent, job_id)
    before = conn.execute("SELECT clock_timestamp()").fetchone()[0]
    finish_run(agent, run_id)
    after = conn.execute("SELECT clock_timestamp()").fetchone()[0]

    run(conn, agent, job_id, "f", "i", "d")

    assert before < last_success(conn, job_id) < after


def test_figures_outlive_the_log(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    run(conn, agent, job_id, "s", "f", "f")

    conn.execute("DELETE FROM pgagent.pga_joblog")

    assert figures(conn, job_id) == {
        "jobfailures": 2,
        "jobsucceeded": 1,
        "jobfailed": 2,
    }
    assert last_success(conn, job_id)


def test_the_view_says_how_many_failed_in_a_row_though_the_log_does_not(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    run(conn, agent, job_id, *"fff")

    conn.execute("DELETE FROM pgagent.pga_joblog")

    query = "SELECT consecutive_failures, recent_runs FROM pgagent.job_status"
    assert conn.execute(query).fetchall() == [(3, 0)]


@pytest.mark.parametrize("status", "sfdi")
@pytest.mark.parametrize("to_another", [False, True], ids=["nobody", "another agent"])
def test_a_run_whose_job_was_taken_from_its_agent_is_counted(
    conn, agent, other, status, to_another
):
    job_id = add_job(conn, "SELECT 1", due=None)
    run_id = start(conn, agent, job_id)
    holder = other.info.backend_pid if to_another else None
    take_away(conn, job_id, holder)

    finish_run(agent, run_id, status)

    assert figures(conn, job_id) == counted(status)
    assert job(conn, job_id, "jobagentid") == holder


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("status", "sfdi")
def test_each_of_two_runs_for_which_a_job_is_held_is_counted(
    conn, agent, status, at_once
):
    job_id = add_job(conn, "SELECT 1", due=None)
    run_ids = [start(conn, agent, job_id)]
    run_ids += conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgagentid) VALUES (%s, %s) RETURNING jlgid",
        [job_id, agent.info.backend_pid],
    ).fetchone()

    if at_once:
        entries = [{"run_id": run_id, "run_status": status} for run_id in run_ids]
        agent.execute(RECORD, [json.dumps(entries)])
    else:
        for run_id in run_ids:
            finish_run(agent, run_id, status)

    assert figures(conn, job_id) == dict.fromkeys(counted(status), 2)
    assert job(conn, job_id, "jobagentid") is None


def test_many_jobs_that_are_recorded_at_once_are_counted_each(conn, agent):
    job_ids = {add_job(conn, "SELECT 1"): status for status in "sfdi"}
    entries = [
        {"run_id": run_id, "run_status": job_ids[job_id]}
        for run_id, job_id in claim(agent)
    ]

    agent.execute(RECORD, [json.dumps(entries)])

    for job_id, status in job_ids.items():
        assert figures(conn, job_id) == counted(status)


def test_a_run_whose_agent_is_gone_is_counted_as_aborted(conn, dsn, other):
    job_id = add_job(conn, "SELECT 1")
    with closing(psycopg.connect(dsn, autocommit=True)) as dying:
        register(dying)
        claim(dying)
    poll(lambda: sweep(other))

    assert figures(conn, job_id) == counted("d")


def test_a_run_that_turns_out_to_be_complete_is_counted_as_succeeded(conn, dsn, other):
    job_id = add_job(conn, {"jstcode": "SELECT 1", "jstmode": "atomic"})
    with closing(psycopg.connect(dsn, autocommit=True)) as dying:
        register(dying)
        claim(dying)
        dying.execute(
            "SELECT pgagent.pga_step_finish(jslid, 1, '') FROM pgagent.pga_jobsteplog"
        )
    poll(lambda: sweep(other))

    assert figures(conn, job_id) == counted("s")


def test_an_open_run_that_nobody_executes_is_counted_as_aborted(conn, agent):
    job_id = add_job(conn, due=None)
    conn.execute("INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (%s)", [job_id])

    assert sweep(agent, runs=[], jobs=[]) == 1

    assert figures(conn, job_id) == counted("d")


def test_a_run_that_is_none_is_counted_as_aborted(conn, agent):
    """Another run of its job is under way, and goes on."""
    job_id = add_job(conn, "SELECT 1", due=None)
    run_id = start(conn, agent, job_id)
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstart) VALUES (%s, now() - interval '1 h')",
        [job_id],
    )

    assert sweep(agent, runs=[run_id], jobs=[job_id]) == 1

    assert figures(conn, job_id) == counted("d")
    assert job(conn, job_id, "jobagentid") == agent.info.backend_pid
    finish_run(agent, run_id)
    assert figures(conn, job_id) == {"jobsucceeded": 1, "jobaborted": 1}


def test_a_run_whose_first_step_is_gone_is_counted_as_failed(conn, agent):
    job_id = add_job(conn, "SELECT 1", "SELECT 2", due=None)
    conn.execute("SELECT pgagent.run_job(%s::bigint, 'step 02')", [job_id])
    conn.execute("DELETE FROM pgagent.pga_jobstep WHERE jstname = 'step 02'")

    claim_rows(agent)

    assert [status for status, _ in runs(conn)] == ["f"]
    assert figures(conn, job_id) == counted("f")


def test_promised_runs_that_never_began_are_counted_as_aborted(conn, agent):
    job_id = add_job(conn, "SELECT 1", "SELECT 2", jobdeaths=2)
    claim(agent)
    for step in ("step 01", "step 02", None):
        conn.execute("SELECT pgagent.run_job(%s::bigint, %s)", [job_id, step])

    conn.execute("SELECT pgagent.pga_agent_bury_run(%s, true, 'killed')", [job_id])

    assert [status for status, _ in runs(conn)] == ["d"] * 4
    assert figures(conn, job_id) == {"jobfailures": 4, "jobaborted": 4}
    assert not job(conn, job_id, "jobenabled")


def test_a_run_that_was_running_when_it_was_dumped_is_counted_where_it_is_armed(
    conn, dsn
):
    with closing(psycopg.connect(dsn, autocommit=True)) as restoring:
        restoring.execute("SET check_function_bodies = off; SET row_security = off")
        restoring.execute(
            "INSERT INTO pgagent.pga_job (jobid, jobname, jobjclid, jobsucceeded, jobnextrun)"
            " VALUES (1000, 'restored', 1, 7, '2020-01-01')"
        )
        restoring.execute(
            "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgscheduled, jlgstart)"
            " VALUES (1, 1000, 'r', '2020-01-01', '2020-01-01')"
        )
    assert figures(conn, 1000) == {"jobsucceeded": 7}

    for _ in range(2):
        conn.execute("SELECT pgagent.arm()")

    assert figures(conn, 1000) == {"jobsucceeded": 7} | counted("d")


# What users have hung on the tables.


def refused(conn, agent, table, condition, status="f"):
    """Have a run's record be refused, and salvaged; return job and reason."""
    job_id = add_job(conn, "SELECT 1", due=None)
    run_id = start(conn, agent, job_id)
    conn.execute(REFUSE.format(table, condition))
    ((step,),) = conn.execute("SELECT jslid FROM pgagent.pga_jobsteplog")
    entry = {"run_id": run_id, "run_status": status, "job_id": job_id}
    entry |= {"step_log_id": step, "step_status": status, "result": 0}
    with pytest.raises(psycopg.Error):
        record(agent, **entry)
    _, _, reason, _ = agent.execute(SALVAGE, [json.dumps(entry)]).fetchone()
    return job_id, reason


@pytest.mark.parametrize("status", "sfi")
def test_a_run_whose_status_is_refused_is_counted_as_the_log_has_it(
    conn, agent, status
):
    job_id, _ = refused(
        conn, agent, "pga_joblog", f"WHEN (NEW.jlgstatus = '{status}')", status
    )

    assert [status for status, _ in runs(conn)] == ["d"]
    assert figures(conn, job_id) == counted("d")


@pytest.mark.parametrize("status", "sfdi")
def test_a_run_whose_row_had_to_be_made_anew_is_counted_once(conn, agent, status):
    job_id, _ = refused(conn, agent, "pga_joblog", "", status)

    assert [status for status, _ in runs(conn)] == ["d"]
    assert figures(conn, job_id) == counted("d")


def test_a_run_of_which_the_figures_are_refused_is_closed_and_says_so(conn, agent):
    job_id, reason = refused(
        conn, agent, "pga_job", "WHEN (OLD.jobfailed <> NEW.jobfailed)"
    )

    assert reason == "it could not be counted: hands off, in function public.refuse()"
    assert [status for status, _ in runs(conn)] == ["f"]
    assert job(conn, job_id, "jobagentid") is None


def test_a_run_whose_job_can_not_be_freed_is_counted_as_soon_as_it_is_closed(
    conn, agent
):
    job_id, _ = refused(
        conn, agent, "pga_job", "WHEN (OLD.jobagentid IS DISTINCT FROM NEW.jobagentid)"
    )

    assert [status for status, _ in runs(conn)] == ["f"]
    assert figures(conn, job_id) == counted("f")


@pytest.mark.parametrize("column", FIGURES)
def test_figures_that_somebody_has_set_too_high_keep_no_run_from_being_closed(
    conn, agent, column
):
    job_id = add_job(conn, "SELECT 1", due=None)
    bits = 31 if column == "jobfailures" else 63
    conn.execute(f"UPDATE pgagent.pga_job SET {column} = {2**bits - 1}")

    run(conn, agent, job_id, *"fdi")

    assert job(conn, job_id, column) == 2**bits - 1
    run(conn, agent, job_id, "s")
    assert [status for status, _ in runs(conn)] == list("fdis")


# Runs that others close.


@pytest.mark.parametrize("status", "sfdi")
def test_a_run_that_pgagents_own_daemon_closes_is_counted(conn, other, status):
    """It says so in the log, and frees the job, each in a transaction of its own."""
    job_id = add_job(conn, "SELECT 1", due=None)
    run_id = start(conn, other, job_id)

    conn.execute(
        "UPDATE pgagent.pga_joblog SET jlgstatus = %s, jlgduration = now() - jlgstart"
        " WHERE jlgid = %s",
        [status, run_id],
    )
    conn.execute(
        "UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL WHERE jobid = %s",
        [job_id],
    )

    assert figures(conn, job_id) == counted(status)
    assert (last_success(conn, job_id) is not None) == (status == "s")


def test_a_run_that_somebody_closes_by_hand_is_counted_once(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    run_id = start(conn, agent, job_id)

    conn.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'f'")
    with pytest.raises(Exception, match="is not running"):
        finish_run(agent, run_id)

    assert figures(conn, job_id) == counted("f")
    assert job(conn, job_id, "jobagentid") is None


def test_each_run_that_somebody_closes_in_one_transaction_is_counted(conn):
    """Though the first was one failure in a row too many."""
    job_ids = [add_job(conn, due=None, jobdisableafter=1) for _ in range(2)]

    with conn.transaction():
        for job_id in job_ids:
            conn.execute(
                "INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (%s)", [job_id]
            )
            conn.execute(
                "UPDATE pgagent.pga_joblog SET jlgstatus = 'f' WHERE jlgstatus = 'r'"
            )

    for job_id in job_ids:
        assert figures(conn, job_id) == counted("f")
        assert not job(conn, job_id, "jobenabled")


def test_a_run_that_a_daemon_with_rights_on_tables_alone_closes_is_counted(
    conn, agent, dsn
):
    """As they were granted for pgAgent 4.2, where everybody could call its functions."""
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=1)
    start(conn, agent, job_id)
    conn.execute(
        "CREATE ROLE daemon LOGIN; GRANT USAGE ON SCHEMA pgagent TO daemon;"
        "GRANT ALL ON ALL TABLES IN SCHEMA pgagent TO daemon;"
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA pgagent TO daemon"
    )
    try:
        with closing(psycopg.connect(dsn, user="daemon", autocommit=True)) as daemon:
            daemon.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'f'")
    finally:
        conn.execute("DROP OWNED BY daemon; DROP ROLE daemon")

    assert figures(conn, job_id) == counted("f")
    assert not job(conn, job_id, "jobenabled")


def test_nothing_keeps_a_run_from_being_closed_by_hand(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    start(conn, agent, job_id)
    conn.execute(REFUSE.format("pga_job", ""))
    told = []
    conn.add_notice_handler(lambda notice: told.append(notice.message_primary))

    conn.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'f'")

    assert [status for status, _ in runs(conn)] == ["f"]
    assert any(text.endswith("has ended, but could not be counted") for text in told)


@pytest.mark.parametrize("status", "sfd")
def test_a_run_that_somebody_records_when_it_is_over_is_counted(conn, status):
    job_id = add_job(conn, due=None)

    for _ in range(2):
        conn.execute(
            "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES (%s, %s)",
            [job_id, status],
        )

    assert figures(conn, job_id) == dict.fromkeys(counted(status), 2)


def test_runs_of_the_past_that_somebody_brings_are_not_counted(conn):
    job_id = add_job(conn, due=None)

    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart)"
        " VALUES (%s, 's', '2020-01-01'), (%s, 'f', '2020-01-02')",
        [job_id, job_id],
    )

    assert figures(conn, job_id) == {}


def test_the_row_that_pgagents_own_daemon_writes_if_it_was_too_late_is_not_counted(
    conn, agent
):
    job_id = add_job(conn, "SELECT 1", due=None)
    start(conn, agent, job_id)

    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES (%s, 'i')",
        [job_id],
    )

    assert figures(conn, job_id) == {}


# Disabled after failures in a row.


def test_a_job_is_disabled_after_as_many_failures_in_a_row_as_it_may_have(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=3)

    run(conn, agent, job_id, *"ffsfd", message="it failed")
    assert job(conn, job_id, "jobenabled")
    run(conn, agent, job_id, "f", message="it failed")

    assert not job(conn, job_id, "jobenabled")
    assert job(conn, job_id, "jobnextrun") is None
    assert runs(conn)[-2:] == [
        ("d", "it failed"),
        ("f", "it failed; it was failure 3 in a row: the job has been disabled"),
    ]


def test_it_is_said_why_a_job_has_been_disabled(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=1)
    run(conn, agent, job_id, "f", message="it failed")

    gates = conn.execute(
        "SELECT detail FROM pgagent.explain_job(%s) WHERE gate = 'enabled'", [job_id]
    )

    assert gates.fetchone()[0].endswith(
        "says: it failed; it was failure 1 in a row: the job has been disabled"
    )


def test_that_a_job_has_been_disabled_is_in_its_history(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=1)
    query = "SELECT jchnew FROM pgagent.pga_jobchange ORDER BY jchid DESC LIMIT 1"

    run(conn, agent, job_id, "f")

    assert conn.execute(query).fetchone() == ({"jobenabled": False},)


@pytest.mark.parametrize("message", ["it failed", "", None])
def test_the_record_of_the_last_failure_can_be_repeated(conn, agent, message):
    """A runner that has lost the answer sends it again."""
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=1)
    run_id = start(conn, agent, job_id)
    entry = {"run_id": run_id, "run_status": "f", "message": message}

    record(agent, **entry)
    record(agent, **entry)
    salvaged = agent.execute(SALVAGE, [json.dumps(entry)]).fetchone()

    assert salvaged[1] is None
    assert figures(conn, job_id) == counted("f")


def test_another_record_of_the_last_failure_is_refused(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=1)
    run_id = start(conn, agent, job_id)
    finish_run(agent, run_id, "f", "it failed")

    for status, message in (("f", "it was late"), ("d", "it failed"), ("s", None)):
        with pytest.raises(Exception, match="is not running"):
            finish_run(agent, run_id, status, message)


def test_a_job_that_is_enabled_again_may_fail_as_often_as_before(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=2)
    run(conn, agent, job_id, *"ff")
    assert not job(conn, job_id, "jobenabled")

    conn.execute("UPDATE pgagent.pga_job SET jobenabled = true")

    assert job(conn, job_id, "jobfailures") == 0
    run(conn, agent, job_id, "f")
    assert job(conn, job_id, "jobenabled")
    run(conn, agent, job_id, "f")
    assert not job(conn, job_id, "jobenabled")


def test_a_job_with_more_failures_than_it_may_have_now_is_disabled_by_the_next(
    conn, agent
):
    job_id = add_job(conn, "SELECT 1", due=None)
    run(conn, agent, job_id, *"ffff")
    conn.execute("UPDATE pgagent.pga_job SET jobdisableafter = 2")
    assert job(conn, job_id, "jobenabled")

    run(conn, agent, job_id, "f")

    assert not job(conn, job_id, "jobenabled")


def test_a_disabled_job_that_somebody_runs_stays_as_it_is(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None, jobenabled=False, jobdisableafter=1)

    run(conn, agent, job_id, "f", message="it failed")

    assert runs(conn) == [("f", "it failed")]
    assert figures(conn, job_id) == counted("f")


def test_a_promised_run_of_a_job_that_is_disabled_takes_place(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=1)
    run_id = start(conn, agent, job_id)
    promised = conn.execute("SELECT pgagent.run_job(%s::bigint)", [job_id]).fetchone()[
        0
    ]

    finish_run(agent, run_id, "f")

    assert not job(conn, job_id, "jobenabled")
    assert claim(agent) == [(promised, job_id)]


@pytest.mark.parametrize("way", ["abort", "hand", "inserted", "salvage", "taken away"])
def test_a_job_is_disabled_whichever_way_its_last_run_has_failed(conn, agent, way):
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=1)
    run_id = start(conn, agent, job_id)

    if way == "abort":
        conn.execute("SELECT pgagent.pga_run_abort(%s, 'aborted')", [run_id])
    elif way == "hand":
        conn.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'f'")
    elif way == "inserted":
        conn.execute("DELETE FROM pgagent.pga_joblog")
        conn.execute(
            "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES (%s, 'f')",
            [job_id],
        )
    elif way == "salvage":
        entry = {"run_id": run_id, "run_status": "f", "job_id": job_id}
        agent.execute(SALVAGE, [json.dumps(entry)])
    else:
        take_away(conn, job_id)
        finish_run(agent, run_id, "f")

    assert not job(conn, job_id, "jobenabled")
    assert job(conn, job_id, "jobnextrun") is None
    assert runs(conn)[0][1].endswith(
        "it was failure 1 in a row: the job has been disabled"
    )


@pytest.mark.parametrize(
    "refusal",
    [
        "RAISE EXCEPTION 'hands off'",
        "RETURN NULL",
        "NEW.jobenabled := true; RETURN NEW",
    ],
)
def test_a_job_that_can_not_be_disabled_has_its_run_closed_and_says_so(
    conn, agent, refusal
):
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=1)
    run_id = start(conn, agent, job_id)
    conn.execute(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN {refusal}; END$$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON pgagent.pga_job FOR EACH ROW"
        " WHEN (NOT NEW.jobenabled) EXECUTE FUNCTION public.refuse()"
    )

    finish_run(agent, run_id, "f", "it failed")

    ((status, message),) = runs(conn)
    assert status == "f"
    assert message.startswith(
        "it failed; it was failure 1 in a row, and the job could not be disabled: "
    )
    assert figures(conn, job_id) == counted("f")
    assert job(conn, job_id, "jobenabled")
    assert job(conn, job_id, "jobagentid") is None


def test_a_job_is_disabled_though_the_log_can_not_say_so(conn, agent):
    """Somebody wants nothing to be changed in runs that are over."""
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=1)
    run_id = start(conn, agent, job_id)
    conn.execute(REFUSE.format("pga_joblog", "WHEN (OLD.jlgstatus <> 'r')"))
    told = []
    agent.add_notice_handler(lambda notice: told.append(notice.message_primary))

    finish_run(agent, run_id, "f", "it failed")

    assert runs(conn) == [("f", "it failed")]
    assert not job(conn, job_id, "jobenabled")
    assert told == [
        f"pgagent: run {run_id} can't say it in the log: it was failure 1 in a row: the job has been disabled"
    ]


def test_a_run_that_succeeds_sets_no_column_but_those_of_figures(conn, agent):
    """No trigger on jobenabled fires for it, whatever that costs."""
    job_id = add_job(conn, "SELECT 1", due=None, jobdisableafter=1)
    conn.execute(
        REFUSE.format("pga_job", "").replace("UPDATE ON", "UPDATE OF jobenabled ON")
    )

    run(conn, agent, job_id, "s")

    assert figures(conn, job_id) == counted("s")
