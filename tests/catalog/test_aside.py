"""Jobs that could not be claimed are left alone for a while, and told of."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from jobs import add_job, add_schedule, job, runs
from support import poll
from transitions import claim, claim_rows, finish_run, register, seconds_until_due

SET_ASIDE = "SELECT pgagent.pga_job_set_aside(%s, 'a trigger fails')"
LOOK_AGAIN = (
    "SELECT max(look_again) FROM pgagent.pga_run_claim(pg_backend_pid(), %s, 60)"
)
DUE = "SELECT job_id, due_in FROM pgagent.pga_run_due(pg_backend_pid(), 9, %s, %s)"


def set_aside(session, job_id):
    return session.execute(SET_ASIDE, [job_id]).fetchone()[0]


def end_pause(conn):
    conn.execute("UPDATE pgagent.pga_jobaside SET jsauntil = now()")


def gates(conn, job_id):
    query = "SELECT gate, detail FROM pgagent.explain_job(%s)"
    return dict(conn.execute(query, [job_id]).fetchall())


def test_the_pause_grows_up_to_a_minute(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    pauses = []
    for _ in range(9):
        pauses.append(round(set_aside(agent, job_id)))
        end_pause(conn)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_what_is_set_aside_is_neither_claimed_nor_looked_for(conn, agent):
    aside = add_job(conn, "SELECT 1")
    other = add_job(conn, "SELECT 1")
    assert set_aside(agent, aside) == pytest.approx(1, abs=0.5)

    assert [job_id for _, job_id in claim(agent)] == [other]
    ((look_again,),) = agent.execute(LOOK_AGAIN, [9])
    assert 0 < look_again <= 1
    assert 0 < seconds_until_due(agent) <= 1
    assert agent.execute(DUE, [None, None]).fetchall() == []
    always = add_job(conn, "SELECT 1", due="'-infinity'")
    assert agent.execute(DUE, [None, None]).fetchall() == [(always, 0)]
    assert agent.execute(DUE, [None, [always]]).fetchall() == []
    conn.execute("DELETE FROM pgagent.pga_job WHERE jobid = %s", [always])
    ((found, due_in),) = agent.execute(DUE, [[aside], None]).fetchall()
    assert found == aside
    assert 0 < due_in <= 1

    end_pause(conn)
    assert [job_id for _, job_id in claim(agent)] == [aside]
    assert conn.execute("SELECT FROM pgagent.pga_jobaside").fetchall() == []


def test_a_pause_from_a_clock_that_was_ahead_is_over(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    set_aside(agent, job_id)
    conn.execute("UPDATE pgagent.pga_jobaside SET jsauntil = now() + interval '1 hour'")

    assert [found for _, found in claim(agent)] == [job_id]


def test_a_job_that_is_gone_or_held_is_not_set_aside(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    claim(agent)

    assert set_aside(agent, job_id) is None
    assert set_aside(agent, 77) is None
    assert conn.execute("SELECT FROM pgagent.pga_jobaside").fetchall() == []


def test_what_was_set_aside_long_ago_is_forgotten(conn, agent):
    old, new = (add_job(conn, "SELECT 1") for _ in range(2))
    for job_id in (old, new):
        set_aside(agent, job_id)
    conn.execute(
        "UPDATE pgagent.pga_jobaside SET jsauntil = now() - interval '25 hours'"
        " WHERE jsajobid = %s",
        [old],
    )
    conn.execute("SELECT pgagent.pga_log_prune(0, 10, 10)")

    assert conn.execute("SELECT jsajobid FROM pgagent.pga_jobaside").fetchall() == [
        (new,)
    ]


def test_people_are_told_what_keeps_a_job_from_starting(conn, agent):
    job_id = add_job(conn, "SELECT 1", name="slow")
    assert "set aside" not in gates(conn, job_id)
    set_aside(agent, job_id)
    end_pause(conn)
    set_aside(agent, job_id)

    told = gates(conn, job_id)["set aside"]
    assert told.startswith("it could not be started 2 times, since ")
    assert ": a trigger fails; the next attempt is in 2 s" in told
    status = "SELECT state, problem FROM pgagent.job_status"
    state, problem = conn.execute(status).fetchone()
    assert state == "set aside"
    assert problem.endswith(": a trigger fails")


def test_only_the_job_that_is_named_is_claimed_and_none_that_is_excepted(conn, agent):
    first, second, third = (add_job(conn, "SELECT 1") for _ in range(3))
    only = (
        "SELECT run_job_id FROM pgagent.pga_run_claim(pg_backend_pid(), 9, 60, %s, %s)"
    )

    def ids(*parameters):
        return [row[0] for row in agent.execute(only, parameters) if row[0]]

    assert ids(second, None) == [second]
    assert ids(None, [first]) == [third]
    # What is left out is not looked for either.
    query = "SELECT max(look_again) FROM pgagent.pga_run_claim(pg_backend_pid(), 9, 60, NULL, %s)"
    assert agent.execute(query, [[first]]).fetchone() == (60,)
    assert ids(None, None) == [first]


def test_a_job_with_an_open_run_is_not_claimed(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgagentid) VALUES (1000, %s, 77)",
        [job_id],
    )

    assert claim(agent) == []
    assert "run 1000 is still open" in gates(conn, job_id)["running"]
    conn.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'd'")
    assert [found for _, found in claim(agent)] == [job_id]


def test_long_texts_are_not_in_the_answer_to_a_claim(conn, agent):
    add_job(conn, "SELECT 1", "SELECT 2 --" + "x" * 300_000)

    short, long = claim_rows(agent)
    assert short[6] == "SELECT 1"
    assert long[6] is None


@pytest.mark.parametrize("promised", [False, True])
def test_sequences_that_are_behind_are_put_right_when_a_runner_registers(
    conn, dsn, promised
):
    job_id = add_job(conn, "SELECT 1", due=None, jobid=40)
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus) VALUES (50, %s, 's')",
        [job_id],
    )
    conn.execute(
        "INSERT INTO pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstatus)"
        " SELECT 60, 50, jstid, 's' FROM pgagent.pga_jobstep"
    )
    if promised:
        conn.execute("ALTER TABLE pgagent.pga_job DISABLE TRIGGER pga_job_trigger")
        conn.execute("UPDATE pgagent.pga_job SET jobrunid = 70, jobnextrun = now()")
        conn.execute("ALTER TABLE pgagent.pga_job ENABLE TRIGGER pga_job_trigger")
    else:
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        register(session)
        ((run_id, *_, _),) = claim_rows(session)
        assert run_id == (70 if promised else 51)
        finish_run(session, run_id)
        other = add_job(conn, "SELECT 1")
        ((run_id, claimed),) = claim(session)
        assert (run_id, claimed) == (71 if promised else 52, other)
        assert other == 41
    assert conn.execute("SELECT max(jslid) FROM pgagent.pga_jobsteplog").fetchone() == (
        62,
    )


def test_an_id_that_somebody_has_made_up_is_not_gone_on_from(conn, agent):
    add_job(conn, "SELECT 1")
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus)"
        " VALUES (9223372036854775807, 1, 's'), (30, 1, 's')"
    )

    assert conn.execute("SELECT pgagent.pga_sequences_forward()").fetchone() == (1,)
    assert claim(agent) == [(31, 1)]


def test_whoever_may_only_draw_numbers_draws_those_that_are_taken(conn):
    add_job(conn, "SELECT 1", due=None)
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus) VALUES (30, 1, 's')"
    )
    with conn.transaction(force_rollback=True):
        conn.execute(
            "CREATE ROLE drawer; GRANT USAGE ON SCHEMA pgagent TO drawer;"
            "GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO drawer;"
            "GRANT USAGE ON SEQUENCE pgagent.pga_joblog_jlgid_seq TO drawer;"
            "SET LOCAL ROLE drawer"
        )
        assert conn.execute("SELECT pgagent.pga_sequences_forward()").fetchone() == (1,)
        assert conn.execute(
            "SELECT nextval('pgagent.pga_joblog_jlgid_seq')"
        ).fetchone() == (31,)


def test_a_run_is_promised_an_id_that_nobody_has(conn):
    first, second = (add_job(conn, "SELECT 1", due=None) for _ in range(2))
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus)"
        " SELECT n, 1, 's' FROM generate_series(1, 20) AS n"
    )

    promise = "SELECT pgagent.run_job(%s)"
    assert conn.execute(promise, [first]).fetchone() == (21,)
    conn.execute("SELECT setval('pgagent.pga_joblog_jlgid_seq', 20)")
    assert conn.execute(promise, [second]).fetchone() == (22,)


def test_a_job_whose_run_is_gone_from_the_log_is_explained(conn, agent):
    job_id = add_job(conn, "SELECT 1", name="purged")
    claim(agent)
    conn.execute("TRUNCATE pgagent.pga_joblog CASCADE")

    assert "its run is not in the log any more" in gates(conn, job_id)["running"]


def test_an_explanation_is_of_one_moment(conn, dsn, agent):
    """The run ends after the job has been read, and before the log is."""
    job_id = add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'explain_job'"
    with closing(psycopg.connect(dsn)) as reader, ThreadPoolExecutor() as threads:
        with conn.transaction():
            conn.execute("LOCK TABLE pgagent.pga_jobstep")
            explained = threads.submit(gates, reader, job_id)
            poll(lambda: agent.execute(waiting).rowcount, what="the reader")
            finish_run(agent, run_id)
        told = explained.result()

    assert told["running"].startswith(f"run {run_id} is under way since 20")
    assert told["last run"] == "has not run yet"


def test_a_job_that_was_for_one_time_is_done(conn, agent):
    once = "now() + interval '200 ms'"
    job_id = add_job(conn, "SELECT 1", due=None, name="once")
    conn.execute(
        f"INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscat) VALUES (%s, 'once', {once})",
        [job_id],
    )
    status = "SELECT state FROM pgagent.job_status"
    assert conn.execute(status).fetchone() == ("waiting",)
    conn.execute("UPDATE pgagent.pga_schedule SET jscat = now() - interval '1 s'")
    assert conn.execute(status).fetchone() == ("never due",)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    ((run_id, _),) = claim(agent)
    finish_run(agent, run_id)

    assert conn.execute(status).fetchone() == ("done",)
    add_schedule(conn, job_id, jscreboot=True)
    assert conn.execute(status).fetchone() == ("never due",)


RESTORING = "SET LOCAL check_function_bodies = off; SET LOCAL row_security = off;"
REVIEW = "SELECT schedule_id, is_unknown FROM pgagent.pga_job_review(%s)"


def set_zone(conn, zone):
    """Have the schedules mean a zone without anybody's telling the job.

    A server comes to know a zone, and to know it no more, without a word either.
    """
    with conn.transaction():
        conn.execute(RESTORING)
        conn.execute("UPDATE pgagent.pga_schedule SET jsctimezone = %s", [zone])


def test_a_time_zone_that_is_not_known_is_told_and_the_job_comes_back(conn):
    job_id = add_job(conn, "SELECT 1", due=None, name="abroad")
    add_schedule(conn, job_id, jscid=7, jscname="daily")
    set_zone(conn, "Mars/Olympus")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL")
    assert job(conn, job_id, "jobnextrun") is None

    assert conn.execute(REVIEW, [[]]).fetchall() == [(7, True)]
    problem = "SELECT problem FROM pgagent.job_status"
    assert conn.execute(problem).fetchone() == (
        'schedule "daily" is in a time zone that this server does not know: Mars/Olympus',
    )
    told = gates(conn, job_id)['schedule "daily"']
    assert "is in a time zone that this server does not know: Mars/Olympus" in told

    set_zone(conn, "Europe/Berlin")
    assert conn.execute(REVIEW, [[7]]).fetchall() == [(7, False)]
    assert job(conn, job_id, "jobnextrun - now() < interval '1 minute'")
    assert conn.execute(REVIEW, [[]]).fetchall() == []
    assert conn.execute(problem).fetchone() == (None,)


def test_a_zone_that_is_known_again_counts_beside_other_schedules(conn):
    job_id = add_job(conn, "SELECT 1", due=None)
    add_schedule(conn, job_id, jscid=7)
    set_zone(conn, "Mars/Olympus")
    add_schedule(conn, job_id, jscid=8, jscat="2090-01-01")
    assert job(conn, job_id, "jobnextrun > now() + interval '1 day'")

    set_zone(conn, "Europe/Berlin")
    conn.execute(REVIEW, [[]])
    assert job(conn, job_id, "jobnextrun > now() + interval '1 day'")
    conn.execute(REVIEW, [[7]])
    assert job(conn, job_id, "jobnextrun - now() < interval '1 minute'")


def test_a_next_run_that_somebody_has_put_off_stays(conn):
    job_id = add_job(conn, "SELECT 1", due=None)
    add_schedule(conn, job_id, jscid=7)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = '2090-01-01'")

    conn.execute(REVIEW, [[]])

    assert job(conn, job_id, "jobnextrun = '2090-01-01'")
    assert runs(conn) == []


def test_saving_a_schedule_whose_zone_is_not_known_says_so(conn):
    add_schedule(conn, add_job(conn, due=None), jscname="daily")
    set_zone(conn, "Mars/Olympus")
    told = []
    conn.add_notice_handler(
        lambda d: told.append((d.message_primary, d.message_detail))
    )

    conn.execute("UPDATE pgagent.pga_schedule SET jscminutes[1] = true")

    assert len(told) == 1
    assert "never runs as long as this server does not know its time zone" in told[0][0]
    assert told[0][1].startswith("The time zone is Mars/Olympus; the view ")


def test_the_review_goes_on_where_a_trigger_refuses_a_job(conn):
    first, second = (add_job(conn, "SELECT 1", due=None) for _ in range(2))
    for job_id in (first, second):
        add_schedule(conn, job_id)
    with conn.transaction():
        conn.execute("ALTER TABLE pgagent.pga_job DISABLE TRIGGER pga_job_trigger")
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL")
        conn.execute("ALTER TABLE pgagent.pga_job ENABLE TRIGGER pga_job_trigger")
    conn.execute(
        f"ALTER TABLE pgagent.pga_job ADD CHECK (jobid <> {first} OR jobnextrun IS NULL)"
    )
    told = []
    conn.add_notice_handler(lambda d: told.append(d.message_primary))

    conn.execute(REVIEW, [[]])

    assert job(conn, second, "jobnextrun IS NOT NULL")
    assert told[0].startswith(
        f"pgagent: the next run of job {first} could not be set: "
    )
