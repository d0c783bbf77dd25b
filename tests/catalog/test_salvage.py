"""A record that is refused: the run is closed with what can be recorded of it."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest
from jobs import add_job, add_schedule, job, runs, step_runs
from support import end_session, poll
from transitions import (
    RefusedError,
    claim,
    claim_rows,
    finish_run,
    record,
    start_step,
    sweep,
)

SALVAGE = "SELECT * FROM pgagent.pga_run_salvage(pg_backend_pid(), %s::json)"
SECRET = "this output"  # which the bad things below do not like

# Bad things on the tables of the log; [where they are, what is done there].
FUNCTION = """
    CREATE FUNCTION public.bad() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        {body}
        RETURN NEW;
    END$$
"""
TRIGGER = "CREATE TRIGGER bad {when} ON pgagent.{table} FOR EACH ROW {only} EXECUTE FUNCTION public.bad()"
CONSTRAINT = TRIGGER.replace("CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER").replace(
    "FOR EACH ROW", "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
)
FAILS = FUNCTION.format(body="RAISE EXCEPTION 'SMTP server not reachable';")
LEAVES = FUNCTION.format(body="RETURN NULL;")
STEP_FAILS = "WHEN (NEW.jslstatus = 'f')"
RUN_FAILS = "WHEN (NEW.jlgstatus = 'f')"


def trigger(table, only="", when="AFTER UPDATE", pattern=TRIGGER):
    return pattern.format(table=table, only=only, when=when)


@pytest.fixture
def run(conn, agent):
    """A run under way of a job with a schedule: (run id, row of its step, job id)."""
    agent.execute("SET search_path = pg_catalog, pg_temp")  # as a runner does
    job_id = add_job(conn, "SELECT 1")
    add_schedule(conn, job_id)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    ((run_id, *_),) = claim_rows(agent)
    ((step_log_id,),) = conn.execute("SELECT jslid FROM pgagent.pga_jobsteplog")
    return run_id, step_log_id, job_id


def ended(run, status="f"):
    """Return the entry with which this run ends."""
    run_id, step_log_id, job_id = run
    step = {"step_log_id": step_log_id, "step_status": status, "result": -1}
    end = {"run_status": status, "message": "it failed" if status == "f" else None}
    return {"run_id": run_id, "job_id": job_id, "output": SECRET, **step, **end}


def end(agent, run, status="f"):
    """Record the end of a run: first as usual; return what was left out of it."""
    entry = ended(run, status)
    with pytest.raises(psycopg.Error):
        record(agent, **entry)
    return salvage(agent, entry)


def salvage(agent, entry):
    step_log_id, refusal, reason, _ = agent.execute(
        SALVAGE, [json.dumps(entry)]
    ).fetchone()
    assert refusal == ("PGA04" if reason else None)
    assert step_log_id is None
    return reason


@pytest.mark.parametrize(
    ("bad", "expected_run", "expected_step", "said"),
    [
        pytest.param(
            [FAILS, trigger("pga_jobsteplog", STEP_FAILS)],
            "f", "d", 'that step "step 01" ended as "f" could not be recorded: SMTP',
            id="a trigger on steps that fail",
        ),
        pytest.param(
            [FAILS, trigger("pga_joblog", RUN_FAILS)],
            "d", "f", 'that it ended as "f" could not be recorded: SMTP',
            id="a trigger on runs that fail",
        ),
        pytest.param(
            [FAILS, trigger("pga_jobsteplog", STEP_FAILS, pattern=CONSTRAINT)],
            "f", "d", "SMTP server not reachable, in function public.bad()",
            id="a deferred trigger",
        ),
        pytest.param(
            ["ALTER TABLE pgagent.pga_jobsteplog ADD CONSTRAINT neat CHECK (jsloutput <> 'this output')"],
            "f", "f", 'the output of step "step 01" could not be recorded: new row for',
            id="a check",
        ),
        pytest.param(
            ["CREATE UNIQUE INDEX ON pgagent.pga_jobsteplog (jslresult) WHERE jslstatus = 'f'",
             ("INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslresult)"
             " SELECT jsljlgid, jsljstid, 'f', -1 FROM pgagent.pga_jobsteplog")],
            "f", "d", "duplicate key",
            id="a unique index",
        ),
        pytest.param(
            [FAILS, trigger("pga_jobsteplog")],
            "f", "d", 'that step "step 01" ended as "f" could not be recorded: SMTP',
            id="a trigger on every step",
        ),
        pytest.param(
            [FAILS, trigger("pga_joblog")],
            "d", "f", 'that it ended as "f" could not be recorded: SMTP',
            id="a trigger on every run",
        ),
        pytest.param(
            [LEAVES, trigger("pga_jobsteplog", when="BEFORE UPDATE")],
            "f", "d", "a row of pgagent.pga_jobsteplog was left as it was",
            id="a trigger that leaves steps as they are",
        ),
        pytest.param(
            [LEAVES, trigger("pga_joblog", when="BEFORE UPDATE")],
            "d", "f", "a row of pgagent.pga_joblog was left as it was",
            id="a trigger that leaves runs as they are",
        ),
        pytest.param(
            ["CREATE RULE bad AS ON UPDATE TO pgagent.pga_joblog DO INSTEAD NOTHING"],
            "d", "f", "a row of pgagent.pga_joblog was left as it was",
            id="a rule instead",
        ),
        pytest.param(
            [FAILS, trigger("pga_jobskip", when="BEFORE INSERT"),
             ("UPDATE pgagent.pga_joblog SET jlgstart = date_trunc('hour', now()) - interval '1 h',"
             " jlgscheduled = date_trunc('hour', now()) - interval '1 h'"),
             ("UPDATE pgagent.pga_job SET joblastrun = date_trunc('hour', now()) - interval '1 h',"
             " jobnextrun = date_trunc('hour', now()) - interval '1 h'")],
            "f", "f", "the times that its job has missed could not be recorded: SMTP",
            id="a trigger on skipped times",
        ),
        pytest.param(
            [FAILS, "ALTER TABLE pgagent.pga_schedule DISABLE TRIGGER USER",
             "UPDATE pgagent.pga_schedule SET jscat = now() - interval '1 minute'",
             trigger("pga_schedule", "WHEN (NOT NEW.jscenabled)")],
            "f", "f", "its schedule could not be disabled: SMTP",
            id="a trigger on schedules",
        ),
    ],
)  # fmt: skip
def test_only_what_is_refused_is_left_out_and_the_run_says_so(
    conn, agent, run, bad, expected_run, expected_step, said
):
    for statement in bad:
        conn.execute(statement)

    reason = end(agent, run)

    ((status, message), *_) = runs(conn)
    assert status == expected_run
    assert step_runs(conn)[0][1] == expected_step
    assert message.startswith("it failed; ")
    assert said in message
    assert said in reason
    assert job(conn, run[2], "jobagentid") is None
    assert job(conn, run[2], "jobnextrun <= now()") is not True
    assert not conn.execute(
        "SELECT FROM pgagent.pga_joblog JOIN pgagent.pga_jobsteplog ON jsljlgid = jlgid"
        " WHERE COALESCE(jlgduration, '-1') < '0' OR jlgstatus <> 'r' AND jslstatus = 'r'"
    ).fetchall()


def test_what_a_rule_forbids_to_records_of_many_is_recorded_in_full(conn, agent, run):
    conn.execute("CREATE TABLE public.audit (id bigint)")
    conn.execute(
        "CREATE RULE audit AS ON UPDATE TO pgagent.pga_joblog"
        " DO ALSO INSERT INTO public.audit VALUES (NEW.jlgid)"
    )

    assert end(agent, run) is None

    assert runs(conn) == [("f", "it failed")]
    assert step_runs(conn) == [("step 01", "f", -1, SECRET)]
    assert conn.execute("SELECT id FROM public.audit").fetchall() == [(run[0],)]


@pytest.mark.parametrize("table", ["pga_joblog", "pga_jobsteplog"])
def test_a_row_that_can_be_deleted_only_is_deleted(conn, agent, run, table):
    conn.execute(FAILS)
    conn.execute(trigger(table, when="BEFORE INSERT OR UPDATE"))

    assert "had to be deleted: SMTP" in end(agent, run)

    rows = conn.execute(f"SELECT FROM pgagent.{table}").fetchall()
    assert rows == []
    assert job(conn, run[2], "jobagentid") is None


def test_rows_of_others_do_not_go_with_one_that_is_replaced(conn, agent, run):
    conn.execute(FAILS)
    conn.execute(trigger("pga_joblog"))
    conn.execute(
        "CREATE TABLE public.note AS SELECT jlgid AS run, 'mine' AS text FROM pgagent.pga_joblog"
    )
    conn.execute(
        "ALTER TABLE public.note ADD FOREIGN KEY (run)"
        " REFERENCES pgagent.pga_joblog ON DELETE CASCADE"
    )

    assert "it could not be closed: SMTP" in end(agent, run)

    assert conn.execute("SELECT text FROM public.note").fetchall() == [("mine",)]
    assert job(conn, run[2], "jobagentid") is None


@pytest.mark.parametrize("bad", [FAILS, LEAVES])
def test_a_job_that_cannot_be_freed_is_told_of(conn, agent, run, bad):
    conn.execute(bad)
    conn.execute(
        trigger("pga_job", "WHEN (NEW.jobagentid IS NULL)", when="BEFORE UPDATE")
    )

    assert "its job could not be freed: " in end(agent, run)

    ((status, message),) = runs(conn)
    assert status == "f"
    assert "its job could not be freed" in message


def test_a_name_that_a_trigger_does_not_qualify_is_told_with_what_helps(
    conn, agent, run
):
    conn.execute('CREATE SCHEMA "My alerts"')
    conn.execute("CREATE TABLE public.mails (text text)")
    bad = FUNCTION.format(body="INSERT INTO mails VALUES ('it failed');")
    conn.execute(bad.replace("public.bad", '"My alerts".bad'))
    conn.execute(trigger("pga_jobsteplog").replace("public.bad", '"My alerts".bad'))

    reason = end(agent, run)

    assert 'relation "mails" does not exist' in reason
    remedy = reason[reason.index("ALTER FUNCTION") :]
    assert remedy in runs(conn)[0][1]
    conn.execute(remedy)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    ((run_id, *_),) = claim_rows(agent)
    ((row,),) = conn.execute(
        "SELECT jslid FROM pgagent.pga_jobsteplog WHERE jslstatus = 'r'"
    )
    record(agent, **ended((run_id, row, run[2])))
    assert conn.execute("SELECT text FROM public.mails").fetchall() == [("it failed",)]


@pytest.fixture
def two_steps(conn, agent):
    """A run under way of a job with two steps: its row, and an entry to go on with."""
    job_id = add_job(conn, "SELECT 1", "SELECT 2")
    rows = claim_rows(agent)
    ((step_log_id,),) = conn.execute("SELECT jslid FROM pgagent.pga_jobsteplog")
    return {
        "run_id": rows[0][0],
        "job_id": job_id,
        "step_log_id": step_log_id,
        "step_status": "s",
        "output": SECRET,
        "next_step_id": rows[1][3],
        "attempt": 1,
    }


@pytest.mark.parametrize("bad", [FAILS, LEAVES])
def test_a_run_whose_next_step_cannot_start_is_aborted(conn, agent, two_steps, bad):
    conn.execute(bad)
    conn.execute(trigger("pga_jobsteplog", when="BEFORE INSERT"))
    with pytest.raises(psycopg.Error):
        record(agent, **two_steps)

    reason = salvage(agent, two_steps)

    assert reason.startswith('aborted: step "step 02" could not start: ')
    assert runs(conn) == [("d", reason)]
    assert step_runs(conn) == [("step 01", "s", None, SECRET)]
    assert job(conn, two_steps["job_id"], "jobagentid") is None


def test_a_run_goes_on_without_the_output_that_is_refused(conn, agent, two_steps):
    conn.execute(
        "ALTER TABLE pgagent.pga_jobsteplog ADD CHECK (jsloutput <> 'this output')"
    )

    step_log_id, refusal, reason, _ = agent.execute(
        SALVAGE, [json.dumps(two_steps)]
    ).fetchone()

    assert refusal is None
    assert 'the output of step "step 01" could not be recorded' in reason
    assert step_log_id is not None
    assert [row[1] for row in step_runs(conn)] == ["s", "r"]
    assert runs(conn) == [("r", None)]


def test_a_step_whose_attempt_fails_is_closed_as_far_as_can_be(conn, agent, two_steps):
    del two_steps["next_step_id"]
    conn.execute(
        "ALTER TABLE pgagent.pga_jobsteplog ADD CHECK (jsloutput <> 'this output')"
    )
    row = agent.execute(SALVAGE, [json.dumps(two_steps)]).fetchone()

    assert row[:2] == (None, None)
    assert [r[1] for r in step_runs(conn)] == ["s"]
    assert runs(conn) == [("r", None)]


def test_what_was_recorded_meanwhile_is_not_salvaged_again(conn, agent, run):
    entry = ended(run)
    record(agent, **entry)

    assert salvage(agent, entry) is None
    assert runs(conn) == [("f", "it failed")]


def test_what_somebody_else_has_closed_stays_so(conn, agent, run):
    conn.execute("SELECT pgagent.pga_run_abort(%s, 'by hand')", [run[0]])

    _, refusal, reason, _ = agent.execute(SALVAGE, [json.dumps(ended(run))]).fetchone()

    assert refusal == "PGA01"
    assert "by hand" in reason
    assert runs(conn) == [("d", "by hand")]


def test_a_salvage_waits_for_no_lock(conn, dsn, agent, run):
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM pgagent.pga_job FOR UPDATE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            agent.execute(SALVAGE, [json.dumps(ended(run))])


@pytest.mark.parametrize(
    ("table", "when"),
    [("pga_jobsteplog", "AFTER UPDATE"), ("pga_joblog", "BEFORE UPDATE")],
)
@pytest.mark.parametrize("bad", [FAILS, LEAVES])
def test_a_run_is_aborted_whatever_a_trigger_says(conn, agent, run, table, when, bad):
    conn.execute(bad)
    conn.execute(trigger(table, when=when))

    assert conn.execute(
        "SELECT pgagent.pga_run_abort(%s, 'its agent is gone')", [run[0]]
    ).fetchone() == (1,)

    ((status, message),) = runs(conn)
    assert status == "d"
    assert message.startswith("its agent is gone")
    assert [row[1] for row in step_runs(conn)] == ["d"]
    assert job(conn, run[2], "jobagentid") is None


def test_an_agent_whose_runs_a_trigger_guards_is_buried(conn, dsn, agent):
    conn.execute(FAILS)
    conn.execute(trigger("pga_jobsteplog", "WHEN (NEW.jslstatus = 'd')"))
    jobs = [add_job(conn, "SELECT 1") for _ in range(3)]
    claim(agent)
    end_session(conn, agent)

    with closing(psycopg.connect(dsn, autocommit=True)) as other:
        assert sweep(other) == 3

    assert [status for status, _ in runs(conn)] == ["d"] * 3
    assert all("SMTP" in message for _, message in runs(conn))
    assert [job(conn, job_id, "jobagentid") for job_id in jobs] == [None] * 3


def test_an_atomic_step_whose_row_is_left_as_it_was_says_so(conn, run):
    conn.execute(LEAVES)
    conn.execute(trigger("pga_jobsteplog", when="BEFORE UPDATE"))

    with pytest.raises(psycopg.Error, match="was left as it was") as e:
        conn.execute("SELECT pgagent.pga_step_finish(%s, 0, '')", [run[1]])

    assert e.value.sqlstate == "PGA04"


@pytest.mark.parametrize(
    ("context", "name"),
    [
        ("PL/pgSQL function public.f() line 1 at RAISE", "public.f()"),
        (
            "CONTEXT:  PL/pgSQL-Funktion public.f(integer,text) Zeile 3",
            "public.f(integer,text)",
        ),
        ("PL/pgSQL関数public.f()の2行目のRAISE", "public.f()"),
        ('fonction PL/pgSQL "My ""f".g2(), ligne 2', '"My ""f".g2()'),
        (
            (
                'SQL statement "SELECT a.b()"\nPL/pgSQL function pgagent.pga_x(text) line 3'
                "\nPL/pgSQL function b.c() line 5\nPL/pgSQL function d.e() line 1"
            ),
            "b.c()",
        ),
        ("PL/pgSQL function pgagent.pga_x(text) line 3", None),
        ("", None),
    ],
)
def test_the_function_that_is_in_the_way_is_found_in_any_language(
    asking, context, name
):
    query = "SELECT pgagent.pga_run_culprit(%s)"
    assert asking.execute(query, [context]).fetchone() == (name,)


def test_no_duration_is_negative_and_none_is_infinite(conn, agent):
    add_job(conn, "SELECT 1")
    add_job(conn, "SELECT 1")
    rows = claim_rows(agent)
    for row, start in zip(rows, ["2100-01-01", "infinity"], strict=True):
        conn.execute(
            "UPDATE pgagent.pga_joblog SET jlgstart = %s WHERE jlgid = %s",
            [start, row[0]],
        )
        conn.execute(
            "UPDATE pgagent.pga_jobsteplog SET jslstart = %s WHERE jsljlgid = %s",
            [start, row[0]],
        )
        step = "SELECT jslid FROM pgagent.pga_jobsteplog WHERE jsljlgid = %s"
        ((step_log_id,),) = conn.execute(step, [row[0]])
        record(agent, row[0], run_status="s", step_log_id=step_log_id, step_status="s")

    for name, table in [("jlg", "pga_joblog"), ("jsl", "pga_jobsteplog")]:
        durations = conn.execute(
            f"SELECT extract(epoch FROM {name}duration) FROM pgagent.{table}"
            f" ORDER BY {name}id"
        ).fetchall()
        assert durations == [(0,), (None,)]


REMOVED = [
    "DELETE FROM pgagent.pga_joblog",
    "TRUNCATE pgagent.pga_joblog CASCADE",
    "DELETE FROM pgagent.pga_jobsteplog; DELETE FROM pgagent.pga_joblog",
    "TRUNCATE pgagent.pga_jobsteplog; DELETE FROM pgagent.pga_joblog",
    "DELETE FROM pgagent.pga_jobstep; DELETE FROM pgagent.pga_joblog",
    "DELETE FROM pgagent.pga_joblog; DELETE FROM pgagent.pga_schedule",
]


@pytest.mark.parametrize(
    ("removed", "what"),
    [
        *((removed, "the end") for removed in REMOVED),
        *((REMOVED[1], what) for what in ("a step", "an attempt")),
    ],
)
def test_a_job_is_freed_by_who_ends_a_run_that_is_gone(
    conn, agent, other, run, removed, what
):
    """All the jobs that are held are, and none else."""
    job_id = run[2]
    of_other = add_job(conn, "SELECT 1")
    claim(other)
    conn.execute(removed)
    entry = ended(run)
    if what != "the end":
        del entry["run_status"], entry["message"]
    if what == "a step":
        entry |= {"next_step_id": 1, "attempt": 2}

    with pytest.raises(RefusedError, match="It is not in the log") as e:
        record(agent, **entry)

    assert e.value.sqlstate == "PGA01"
    assert job(conn, job_id, "jobagentid") is None
    assert job(conn, job_id, "jobnextrun > now() OR NOT jobenabled OR NOT EXISTS"
               " (SELECT FROM pgagent.pga_schedule)")  # fmt: skip
    assert job(conn, of_other, "jobagentid") == other.info.backend_pid


def test_a_run_that_is_deleted_while_it_is_recorded_leaves_its_job_free(
    conn, dsn, agent, run
):
    """By somebody whose transaction comes to its end later."""
    with psycopg.connect(dsn) as other:
        other.execute("DELETE FROM pgagent.pga_joblog")
        with waiting(agent, conn, ended(run)) as recording:
            other.commit()
            with pytest.raises(RefusedError, match="It is not in the log"):
                recording.result(10)

    assert job(conn, run[2], "jobagentid") is None


@contextmanager
def waiting(session, conn, entry):
    """Have a record wait for a lock while the block lasts."""
    waits = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as threads:
        recording = threads.submit(lambda: record(session, **entry))
        poll(lambda: conn.execute(waits, [session.info.backend_pid]).fetchall())
        yield recording


def test_a_job_that_somebody_has_locked_is_freed_later(conn, dsn, agent, run):
    conn.execute("DELETE FROM pgagent.pga_joblog")
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM pgagent.pga_job FOR UPDATE")
        with pytest.raises(RefusedError, match="locked by another") as e:
            record(agent, **ended(run))
        assert e.value.sqlstate == "55P03"

    with pytest.raises(RefusedError, match="It is not in the log"):
        record(agent, **ended(run))
    assert job(conn, run[2], "jobagentid") is None


def test_a_wish_to_run_that_came_meanwhile_is_kept_though_the_run_is_gone(
    conn, agent, run
):
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    conn.execute("DELETE FROM pgagent.pga_joblog")

    with pytest.raises(RefusedError):
        record(agent, **ended(run))

    assert [job_id for _, job_id in claim(agent)] == [run[2]]


def test_the_job_of_another_run_is_not_freed(conn, agent, run):
    """Whoever adds an open run by hand has the job held until both have ended."""
    first, _, job_id = run
    (second,) = conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (%s) RETURNING jlgid",
        [job_id],
    ).fetchone()

    finish_run(agent, first)
    assert job(conn, job_id, "jobagentid IS NOT NULL")
    finish_run(agent, second)

    assert job(conn, job_id, "jobagentid") is None
    assert job(conn, job_id, "jobnextrun > now()")


def test_the_job_of_another_run_is_not_freed_for_one_that_is_gone(conn, agent, run):
    job_id = run[2]
    conn.execute("DELETE FROM pgagent.pga_joblog")
    conn.execute("SET pgagent.freeing = 'on'")  # as our own functions do
    conn.execute("UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = now()")
    ((second, _),) = claim(agent)

    with pytest.raises(RefusedError, match="It is not in the log"):
        record(agent, **ended(run))

    assert job(conn, job_id, "jobagentid IS NOT NULL")
    finish_run(agent, second)
    assert job(conn, job_id, "jobagentid") is None


def test_a_step_that_starts_in_no_run_starts_nothing(conn, agent, run):
    conn.execute("DELETE FROM pgagent.pga_joblog")

    with pytest.raises(RefusedError, match="It is not in the log"):
        start_step(agent, run[0], 1)
