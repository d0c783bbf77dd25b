"""Wishes that a job run: each has an id, which is kept, and has its run once."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from jobs import add_job, add_schedule, batch, job, runs
from support import poll
from transitions import claim, claim_rows, finish_run, leave, sweep

STARTED = """
    SELECT jlgid, jlgstartedby::text, jlgstartedvia FROM pgagent.pga_joblog ORDER BY jlgid
"""
RESTORING = "SET check_function_bodies = off; SET row_security = off"


def promise(conn, job_id, step=None):
    """Have the job run; return the id that its run will have."""
    query = "SELECT pgagent.run_job(%s::bigint, %s)"
    return conn.execute(query, [job_id, step]).fetchone()[0]


def wishes(conn, job_id=None):
    """Return the ids of the rows of a job, or of all, in order."""
    query = """
        SELECT jrqid FROM pgagent.pga_jobrequest
        WHERE jrqjobid = COALESCE(%s, jrqjobid) ORDER BY jrqat, jrqid"""
    return [row[0] for row in conn.execute(query, [job_id])]


def cancel(conn, run_id):
    return conn.execute("SELECT pgagent.cancel_run(%s)", [run_id]).fetchone()[0]


def explained(conn, job_id, gate="promised"):
    """Return (ok, detail) of the lines of this gate."""
    query = "SELECT ok, detail FROM pgagent.explain_job(%s::bigint) WHERE gate = %s"
    return conn.execute(query, [job_id, gate]).fetchall()


def of_job(agent, job_id):
    """Claim; return the ids of the runs of this job."""
    return [run for run, claimed in claim(agent) if claimed == job_id]


def run_all(agent, limit=20):
    """Run all that is due, one after the other; return the ids of the runs."""
    found = []
    while claimed := claim(agent, 1):
        ((run_id, _),) = claimed
        found.append(run_id)
        assert len(found) < limit, "there is no end to it"
        finish_run(agent, run_id)
    return found


@pytest.fixture
def two_steps(conn):
    """A job with two steps that nothing starts."""
    return add_job(conn, "SELECT 1", "SELECT 2", due=None)


# Queueing


def test_a_job_that_is_running_runs_again_when_it_has_ended(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)

    next_id = promise(conn, job_id)

    assert promise(conn, job_id) == next_id
    assert job(conn, job_id, "jobrunid") == next_id
    assert claim(agent) == []
    finish_run(agent, run_id)
    assert claim(agent) == [(next_id, job_id)]
    assert promise(conn, job_id) not in {run_id, next_id}


def test_wishes_are_granted_in_the_order_in_which_they_came(conn, agent, two_steps):
    asked = [
        promise(conn, two_steps, "step 02"),
        promise(conn, two_steps),
        promise(conn, two_steps, "step 01"),
    ]
    assert wishes(conn) == asked

    steps = []
    for run_id in asked:
        rows = claim_rows(agent)
        assert {row[0] for row in rows} == {run_id}
        steps.append(len(rows))
        finish_run(agent, run_id)

    assert steps == [1, 2, 2]
    assert claim(agent) == []
    assert wishes(conn) == []
    assert job(conn, two_steps, "(jobrunid, jobnextrun)::text") == "(,)"


def test_a_wish_does_not_take_the_place_of_a_time_of_the_schedule(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    add_schedule(conn, job_id)
    (due,) = conn.execute("SELECT jobnextrun FROM pgagent.pga_job").fetchone()

    run_id = promise(conn, job_id)
    assert claim(agent) == [(run_id, job_id)]
    promise(conn, job_id)
    finish_run(agent, run_id)
    run_all(agent)

    assert job(conn, job_id, "jobnextrun") >= due
    assert conn.execute("TABLE pgagent.skipped_runs").fetchall() == []


def test_one_run_serves_a_wish_and_a_time_that_is_due(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None, jobmissed="all")
    add_schedule(conn, job_id, jscstart="2020-01-01")
    (due,) = conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = date_trunc('minute', now()) - interval '2 min'"
        " RETURNING jobnextrun"
    ).fetchone()

    run_id = promise(conn, job_id)

    assert claim(agent) == [(run_id, job_id)]
    assert conn.execute("SELECT jlgscheduled FROM pgagent.pga_joblog").fetchone() == (
        due,
    )
    finish_run(agent, run_id)
    assert len(run_all(agent)) == 2, "the times after that one have their own runs"


def test_a_disabled_job_keeps_what_it_is_promised(conn, agent, two_steps):
    run_id = promise(conn, two_steps)

    conn.execute("UPDATE pgagent.pga_job SET jobenabled = false")

    assert run_all(agent) == [run_id]
    assert job(conn, two_steps, "jobnextrun") is None


def test_a_disabled_job_that_is_running_runs_again_if_asked_to(conn, agent):
    job_id = add_job(conn, "SELECT 1", jobenabled=False)
    ((run_id, _),) = claim(agent)
    next_id = promise(conn, job_id)

    finish_run(agent, run_id)

    assert run_all(agent) == [next_id]


def test_a_wish_is_granted_though_somebody_has_put_the_job_off(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    next_id = promise(conn, job_id)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now() + interval '1 year'")

    finish_run(agent, run_id)

    assert claim(agent) == [(next_id, job_id)]


def test_whoever_inserts_a_wish_has_the_job_run(conn, agent, two_steps):
    (run_id,) = conn.execute(
        "INSERT INTO pgagent.pga_jobrequest (jrqjobid, jrqvia, jrqrestartof)"
        " VALUES (%s, 'retry', 7) RETURNING jrqid",
        [two_steps],
    ).fetchone()

    assert claim(agent) == [(run_id, two_steps)]

    assert conn.execute(
        "SELECT DISTINCT run_id, started_by::text, started_via, restart_of FROM pgagent.run_history"
    ).fetchall() == [(run_id, "postgres", "retry", 7)]


CLAIMED = (
    "SELECT step_name, run_input FROM pgagent.pga_run_claim(pg_backend_pid(), 9, 60)"
)


def ask_with(conn, job_id, parameters, step=None):
    """Have the job run with this input; return the id that its run will have."""
    query = """
        INSERT INTO pgagent.pga_jobrequest (jrqjobid, jrqvia, jrqinput, jrqfromstep)
        VALUES (%s, 'alert', %s::jsonb, %s) RETURNING jrqid"""
    return conn.execute(query, [job_id, parameters, step]).fetchone()[0]


def test_a_claim_hands_out_the_input_of_a_run_once(conn, agent, two_steps):
    other = add_job(conn, "SELECT 3", due=None)
    ask_with(conn, two_steps, '{"event": "it\'s"}')
    promise(conn, other)
    add_job(conn, "SELECT 4")

    assert sorted(agent.execute(CLAIMED).fetchall(), key=str) == [
        ("step 01", '{"event": "it\'s"}'),
        ("step 01", None),
        ("step 01", None),
        ("step 02", None),
        (None, None),  # when to look again
    ]


def test_an_input_stays_with_its_wish(conn, agent, two_steps):
    plain = promise(conn, two_steps)
    with_input = ask_with(conn, two_steps, "[1]")
    assert promise(conn, two_steps) == plain
    last = ask_with(conn, two_steps, "2")
    assert len({plain, with_input, last}) == 3
    told = [detail for _, detail in explained(conn, two_steps)]
    assert ["it has an input" in str(line) for line in told] == [False, True, True]

    found = []
    for run_id in plain, with_input, last:
        found.append(agent.execute(CLAIMED).fetchone()[1])
        finish_run(agent, run_id)

    assert found == [None, "[1]", "2"]


def test_an_input_comes_with_the_step_from_which_the_run_begins(conn, agent, two_steps):
    second = "SELECT max(jstid) FROM pgagent.pga_jobstep"
    ask_with(conn, two_steps, "[1]", conn.execute(second).fetchone()[0])

    assert agent.execute(CLAIMED).fetchone() == ("step 02", "[1]")


def test_a_runner_of_5_0_runs_what_has_an_input_without_it(conn, agent, two_steps):
    run_id = ask_with(conn, two_steps, "[1]")

    claimed = agent.execute("SELECT * FROM pgagent.pga_run_claim(pg_backend_pid(), 9)")

    assert [(row[0], row[6]) for row in claimed] == [
        (run_id, "step 01"),
        (run_id, "step 02"),
    ]


@pytest.mark.parametrize("character", ["x", "é", "€", "🎉"])
def test_an_input_is_refused_that_no_variable_can_hold(conn, two_steps, character):
    most = 99_998 // len(character.encode())
    ask_with(conn, two_steps, f'"{character * most}"')

    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        ask_with(conn, two_steps, f'"{character * (most + 1)}"')

    assert "jrqinput" in str(refused.value)
    assert "100000" in str(refused.value)


def test_nobody_can_make_up_an_id_or_ask_in_anothers_name(conn, agent, two_steps):
    first = promise(conn, two_steps)

    conn.execute(
        "INSERT INTO pgagent.pga_jobrequest (jrqid, jrqjobid, jrqat, jrqby, jrqvia)"
        " VALUES (%s, %s, '2000-01-01', 'alice', 'mail')",
        [first + 1000, two_steps],
    )

    second = first + 1
    assert wishes(conn) == [first, second]
    assert run_all(agent) == [first, second]
    assert [row[1] for row in conn.execute(STARTED)] == ["postgres"] * 2


def test_those_who_ask_at_once_have_one_id(conn, dsn, agent, two_steps):
    def ask(_):
        with closing(psycopg.connect(dsn, autocommit=True)) as session:
            return promise(session, two_steps)

    with ThreadPoolExecutor(8) as threads:
        given = set(threads.map(ask, range(8)))

    assert run_all(agent) == [*given]


def test_a_runner_of_another_host_is_told_of_a_job_that_it_can_have(
    conn, agent, other, two_steps
):
    """As of one that pgAgent's daemon has run, which does not listen."""
    run_id = promise(conn, two_steps)
    claim(agent)
    promise(conn, two_steps)
    other.execute("LISTEN pgagent")

    finish_run(agent, run_id)

    assert [note.channel for note in other.notifies(timeout=10, stop_after=1)] == [
        "pgagent"
    ]


# Who has asked, and by what means


def test_a_run_says_what_and_who_has_started_it(conn, agent):
    add_schedule(conn, add_job(conn, "SELECT 1", due=None, jobname="scheduled"))
    conn.execute("ALTER TABLE pgagent.pga_job DISABLE TRIGGER pga_job_trigger")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 min'")
    conn.execute("ALTER TABLE pgagent.pga_job ENABLE TRIGGER pga_job_trigger")
    add_job(conn, "SELECT 1", due=None, jobname="asked", jobenabled=False)
    add_job(conn, "SELECT 1", due=None, jobname="set")
    with conn.transaction():
        conn.execute(
            "CREATE ROLE alice; GRANT USAGE ON SCHEMA pgagent TO alice;"
            "GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA pgagent TO alice;"
            "GRANT INSERT, DELETE ON pgagent.pga_jobrequest TO alice;"
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO alice; SET LOCAL ROLE alice"
        )
        conn.execute("SELECT pgagent.run_job('asked')")
        conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobname = 'set'"
        )
    try:
        claim(agent)

        assert conn.execute(
            "SELECT job, started_by::text, started_via FROM pgagent.running ORDER BY 1"
        ).fetchall() == [
            ("asked", "alice", "run_job"),
            ("scheduled", None, "schedule"),
            ("set", "alice", "jobnextrun"),
        ]
        leave(agent)
        assert conn.execute(
            "SELECT count(*) FROM pgagent.pga_job WHERE jobaskedby IS NOT NULL"
        ).fetchone() == (0,)
    finally:
        conn.execute("DROP OWNED BY alice; DROP ROLE alice")


def test_times_that_are_computed_are_nobodys_wish(conn, agent):
    """After a run, when put off, at @reboot."""
    job_id = add_job(conn, "SELECT 1", due=None, jobmissed="skip")
    conn.execute(
        "SELECT pgagent.add_schedule(%s::bigint, '@every 1 hour', start_at => now() - interval '90 min'),"
        " pgagent.add_schedule(%s::bigint, '@reboot')",
        [job_id, job_id],
    )
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = pgagent.pga_job_next_run(jobid, now() - interval '1 h')"
    )
    assert job(conn, job_id, "jobaskedby") == "postgres"
    assert claim(agent) == [], "it is too late"
    assert job(conn, job_id, "jobaskedby") is None
    leave(agent)

    agent.execute("SELECT pgagent.pga_agent_register('here', '20 s')")

    claim(agent)
    assert conn.execute(STARTED).fetchone()[1:] == (None, "schedule")


def test_a_job_that_was_set_to_run_while_it_ran_says_who_did_that(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    ((first, _),) = claim(agent)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    finish_run(agent, first)

    assert len(of_job(agent, job_id)) == 1

    assert [row[1:] for row in conn.execute(STARTED)] == [
        ("postgres", "jobnextrun")
    ] * 2


# Taking a wish back


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("running", [False, True])
def test_a_wish_in_any_place_can_be_taken_back(conn, agent, two_steps, place, running):
    held = []
    if running:
        held = [promise(conn, two_steps)]
        claim(agent)
    asked = [promise(conn, two_steps, step) for step in ("step 02", None, "step 01")]

    assert cancel(conn, asked[place]) is True

    if running:
        finish_run(agent, held[0])
    taken_back = asked.pop(place)
    assert run_all(agent) == asked
    with pytest.raises(psycopg.errors.UndefinedObject, match="there is no run"):
        cancel(conn, taken_back)


def test_by_the_jobs_name_the_run_and_all_wishes_are_taken_back(conn, agent):
    job_id = add_job(conn, "SELECT 1", name="etl")
    ((run_id, _),) = claim(agent)
    for step in (None, "step 01"):
        promise(conn, job_id, step)

    conn.execute("SELECT pgagent.cancel_run('etl')")

    assert wishes(conn) == []
    assert job(conn, job_id, "jobrunid") is None
    (cancelled,) = conn.execute("SELECT jlgcancel FROM pgagent.pga_joblog").fetchone()
    assert cancelled.startswith("cancelled by postgres")
    finish_run(agent, run_id, "d")
    assert claim(agent) == []


def test_what_was_due_without_a_wish_still_is_when_that_is_taken_back(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    add_schedule(conn, job_id)
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = date_trunc('minute', now()) - interval '1 min'"
    )

    cancel(conn, promise(conn, job_id))

    assert len(of_job(agent, job_id)) == 1


def test_a_wish_that_is_taken_back_leaves_a_job_its_next_time(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    add_schedule(conn, job_id)

    cancel(conn, promise(conn, job_id))

    assert job(conn, job_id, "jobnextrun > now()")


# A promise is kept


def test_a_claim_that_is_undone_leaves_the_wish(conn, agent, two_steps):
    asked = [promise(conn, two_steps), promise(conn, two_steps, "step 02")]
    with agent.transaction(force_rollback=True):
        assert claim(agent) == [(asked[0], two_steps)]

    assert wishes(conn) == asked
    assert run_all(agent) == asked


def test_a_wish_outlives_the_runner_that_was_running_the_job(conn, dsn, agent, other):
    job_id = add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    next_id = promise(conn, job_id)
    agent.close()
    poll(lambda: sweep(other), what="the runner to be buried")

    assert run_all(other) == [next_id]
    assert runs(conn) == [
        ("d", runs(conn)[0][1]),
        ("s", None),
    ]
    assert next_id != run_id


@pytest.mark.parametrize("statement", ["TRUNCATE", "DELETE FROM"])
def test_the_next_run_keeps_its_id_though_the_wishes_are_gone(
    conn, agent, two_steps, statement
):
    run_id = promise(conn, two_steps, "step 02")
    conn.execute(f"{statement} pgagent.pga_jobrequest")
    assert promise(conn, two_steps, "step 02") == run_id

    assert [(row[0], row[4]) for row in claim_rows(agent)] == [(run_id, "step 02")]

    assert conn.execute(STARTED).fetchone() == (run_id, None, "run_job")
    finish_run(agent, run_id)
    assert claim(agent) == []


@pytest.mark.parametrize("number", [0, -7, 9223372036854775807])
def test_an_id_that_is_written_by_hand_is_drawn(conn, agent, two_steps, number):
    """So does run_job() of 5.0 in a session that has begun before an update."""
    (run_id,) = conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now(), jobrunid = %s RETURNING jobrunid",
        [number],
    ).fetchone()
    conn.execute("INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (%s)", [two_steps])
    assert run_id == 1

    assert promise(conn, two_steps) == run_id
    conn.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'd'")
    assert run_all(agent) == [run_id]
    assert conn.execute(STARTED).fetchall()[0] == (run_id, "postgres", "run_job")


def test_a_promise_is_not_written_over(conn, agent, two_steps):
    run_id = promise(conn, two_steps, "step 02")

    conn.execute("UPDATE pgagent.pga_job SET jobrunid = 0, jobfromstep = NULL")

    assert [(row[0], row[4]) for row in claim_rows(agent)] == [(run_id, "step 02")]


def test_a_promise_that_is_emptied_by_hand_has_the_next_move_up(conn, agent, two_steps):
    """So does cancel_run() of 5.0."""
    first, second = promise(conn, two_steps), promise(conn, two_steps, "step 02")

    conn.execute(
        "UPDATE pgagent.pga_job SET jobrunid = NULL, jobfromstep = NULL, jobnextrun = NULL"
        " WHERE jobrunid = %s",
        [first],
    )

    assert [(row[0], row[4]) for row in claim_rows(agent)] == [(second, "step 02")]
    finish_run(agent, second)
    assert claim(agent) == []


def test_a_copy_of_a_promised_job_has_an_id_of_its_own(conn, agent, two_steps):
    run_id = promise(conn, two_steps)
    conn.execute(
        "INSERT INTO pgagent.pga_job (jobname, jobjclid, jobnextrun, jobrunid)"
        " SELECT 'copy', jobjclid, jobnextrun, jobrunid FROM pgagent.pga_job"
    )

    claimed = [run for run, _ in claim(agent)]

    assert claimed[0] == run_id
    assert len(set(claimed)) == 2


def test_a_promised_id_is_given_to_no_other_run(conn, agent, two_steps):
    run_id = promise(conn, two_steps, "step 02")
    queued = promise(conn, two_steps)
    conn.execute("SELECT setval('pgagent.pga_joblog_jlgid_seq', 1, false)")

    other_id = promise(conn, add_job(conn, "SELECT 1", due=None))

    assert other_id not in {run_id, queued}
    conn.execute("SELECT setval('pgagent.pga_joblog_jlgid_seq', 1, false)")
    leave(agent)
    agent.execute("SELECT pgagent.pga_agent_register('here', '20 s')")
    assert sorted(run_all(agent)) == [run_id, queued, other_id]


def test_a_run_whose_promised_id_has_been_taken_begins_under_another(
    conn, agent, two_steps
):
    """The sequence was set back while the runner was there."""
    run_id = promise(conn, two_steps)
    add_job(conn, "SELECT 1")
    conn.execute("SELECT setval('pgagent.pga_joblog_jlgid_seq', 1, false)")
    conn.execute(
        "UPDATE pgagent.pga_job SET jobhostagent = 'there' WHERE jobid = %s",
        [two_steps],
    )
    assert [run for run, _ in claim(agent)] == [run_id]
    conn.execute("UPDATE pgagent.pga_job SET jobhostagent = ''")

    (found,) = of_job(agent, two_steps)

    assert found != run_id
    finish_run(agent, found)
    assert claim(agent) == []


def test_a_wish_that_a_trigger_keeps_is_not_granted_twice(conn, agent, two_steps):
    run_id = promise(conn, two_steps)
    conn.execute(
        "CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE DELETE ON pgagent.pga_jobrequest"
        " FOR EACH ROW EXECUTE FUNCTION public.keep()"
    )
    with pytest.raises(
        psycopg.errors.DataException,
        match=f"the wish for run {run_id} has not been deleted",
    ):
        claim(agent)
    conn.execute("DROP TRIGGER keep ON pgagent.pga_jobrequest")

    assert run_all(agent) == [run_id]


def test_a_claim_that_a_trigger_refuses_leaves_the_wish(conn, agent, two_steps):
    run_id = promise(conn, two_steps)
    conn.execute(
        "CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE UPDATE ON pgagent.pga_job"
        " FOR EACH ROW EXECUTE FUNCTION public.keep()"
    )
    assert claim(agent) == []
    assert wishes(conn) == [run_id]
    conn.execute("DROP TRIGGER keep ON pgagent.pga_job")

    assert run_all(agent) == [run_id]


def test_a_wish_that_has_had_its_run_is_not_granted_again_when_it_is_restored(
    conn, dsn, agent, two_steps
):
    run_id = promise(conn, two_steps)
    run_all(agent)
    with closing(psycopg.connect(dsn, autocommit=True)) as restoring:
        restoring.execute(RESTORING)
        restoring.execute(
            "INSERT INTO pgagent.pga_jobrequest (jrqid, jrqjobid, jrqvia) VALUES (%s, %s, 'run_job')",
            [run_id, two_steps],
        )
    assert claim(agent) == []
    next_id = promise(conn, two_steps)

    assert next_id != run_id
    assert run_all(agent) == [next_id]


def test_pgagents_own_daemon_leaves_a_promised_job_to_runners(
    conn, dsn, agent, two_steps
):
    """It would run it under another id, and from the first step."""
    run_id = promise(conn, two_steps, "step 02")
    with closing(psycopg.connect(dsn, autocommit=True)) as daemon:
        daemon.execute(
            "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'there')"
        )
        claimed = daemon.execute(
            "UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid(), joblastrun = now()"
            " WHERE jobagentid IS NULL AND jobid = %s",
            [two_steps],
        )
        assert claimed.rowcount == 0
        daemon.execute(
            "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus)"
            " VALUES (nextval('pgagent.pga_joblog_jlgid_seq'), %s, 'i')",
            [two_steps],
        )
        assert runs(conn) == []
        leave(agent)
        heard = []
        conn.add_notice_handler(lambda notice: heard.append(notice.message_detail))
        promise(conn, two_steps)
        assert "The daemon of pgAgent 4.2 leaves the job alone" in heard[0]
        ((ok, detail), *_) = explained(conn, two_steps)
        assert ok is False
        assert "leaves the job alone until it has run: start a runner" in detail

    agent.execute("SELECT pgagent.pga_agent_register('here', '20 s')")
    assert claim(agent) == [(run_id, two_steps)]


def test_a_wish_waits_while_pgagents_own_daemon_runs_the_job(conn, dsn, agent):
    job_id = add_job(conn, "SELECT 1")
    with closing(psycopg.connect(dsn, autocommit=True)) as daemon:
        daemon.execute(
            "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'there');"
            "UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid(), joblastrun = now()"
            " WHERE jobagentid IS NULL;"
            "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus)"
            " SELECT jobid, 'r' FROM pgagent.pga_job"
        )
        run_id = promise(conn, job_id)
        assert claim(agent) == []
        daemon.execute(
            "UPDATE pgagent.pga_joblog SET jlgstatus = 's', jlgduration = now() - jlgstart;"
            "UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL"
        )

    assert claim(agent) == [(run_id, job_id)]
    assert [row[1:] for row in conn.execute(STARTED)] == [
        ("postgres", "jobnextrun"),
        ("postgres", "run_job"),
    ]


# What can be seen


def test_what_is_promised_is_told_in_order(conn, agent, two_steps):
    first, second = promise(conn, two_steps), promise(conn, two_steps, "step 02")

    told = explained(conn, two_steps)

    assert [ok for ok, _ in told] == [True, True]
    assert told[0][1].startswith(f'run {first}, for run_job by "postgres" at ')
    assert told[1][1].endswith('; it begins from step "step 02"')
    status = "SELECT promised FROM pgagent.job_status"
    assert conn.execute(status).fetchone() == ([first, second],)
    claim(agent)
    assert conn.execute(status).fetchone() == ([second],)
    assert explained(conn, two_steps, "due") == [
        (False, f"run {second} begins when the one under way ends")
    ]
    run_all(agent)
    finish_run(agent, first)
    run_all(agent)
    assert conn.execute(status).fetchone() == (None,)
    assert explained(conn, two_steps) == []


def test_a_wish_whose_step_was_deleted_is_told_and_ends_in_the_log(
    conn, agent, two_steps
):
    first, second = promise(conn, two_steps, "step 02"), promise(conn, two_steps)
    conn.execute("DELETE FROM pgagent.pga_jobstep WHERE jstname = 'step 02'")

    ok, detail = explained(conn, two_steps)[0]

    assert ok is False
    assert detail.endswith("the step from which it was to begin has been deleted")
    assert claim(agent) == []
    assert claim(agent) == [(second, two_steps)]
    finish_run(agent, second)
    assert conn.execute(
        "SELECT run_id, status, message FROM pgagent.run_history ORDER BY run_id"
    ).fetchall() == [
        (
            first,
            "failed",
            "failed: the step from which it was to begin has been deleted",
        ),
        (second, "succeeded", None),
    ]


def test_whoever_may_read_the_views_sees_what_is_promised(conn, two_steps):
    asked = [promise(conn, two_steps), promise(conn, two_steps, "step 02")]
    with conn.transaction(force_rollback=True):
        conn.execute(
            "CREATE ROLE monitor; GRANT USAGE ON SCHEMA pgagent TO monitor;"
            "GRANT SELECT ON pgagent.job_status TO monitor; SET LOCAL ROLE monitor"
        )
        assert conn.execute("SELECT promised FROM pgagent.job_status").fetchone() == (
            asked,
        )


def test_what_5_0_had_promised_a_job_that_was_disabled_waits_to_be_asked_for(
    conn, agent, two_steps
):
    conn.execute("ALTER TABLE pgagent.pga_job DISABLE TRIGGER pga_job_trigger")
    conn.execute("UPDATE pgagent.pga_job SET jobrunid = 70, jobenabled = false")
    conn.execute("ALTER TABLE pgagent.pga_job ENABLE TRIGGER pga_job_trigger")
    conn.execute("UPDATE pgagent.pga_job SET jobdesc = 'nothing that starts a job'")
    assert claim(agent) == []

    assert promise(conn, two_steps) == 70

    assert run_all(agent) == [70]


def test_a_wish_waits_for_the_host_of_its_job(conn, agent, other, two_steps):
    conn.execute("UPDATE pgagent.pga_job SET jobhostagent = 'nowhere'")
    run_id = promise(conn, two_steps)
    assert claim(agent) == claim(other) == []
    assert explained(conn, two_steps, "runner")[0][0] is False
    assert conn.execute("SELECT promised FROM pgagent.job_status").fetchone() == (
        [run_id],
    )

    conn.execute("UPDATE pgagent.pga_job SET jobhostagent = 'there'")

    assert claim(other) == [(run_id, two_steps)]


def test_a_claim_of_many_gives_each_what_it_was_promised(conn, agent):
    plain = [add_job(conn, batch("true")) for _ in range(3)]
    wished = [add_job(conn, batch("true"), due=None) for _ in range(3)]
    given = {job_id: promise(conn, job_id) for job_id in wished}

    claimed = {job_id: run for run, job_id in claim(agent)}

    assert {job_id: claimed[job_id] for job_id in wished} == given
    assert set(claimed) == {*plain, *wished}
    assert len(set(claimed.values())) == 6
