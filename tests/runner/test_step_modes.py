"""Modes of SQL steps: statement by statement, and together with the log row."""

import pytest
from jobs import add_job, runs, step_runs
from pgagent_runner.catalog import NotRunningError
from pgagent_runner.steps import StepSettings
from psycopg.conninfo import make_conninfo

from .lossy_proxy import LossyProxy
from .recording import execute_and_record

ENDED = "an atomic step can't end its own transaction, which its log row is part of"


@pytest.fixture
def execute(conn, dsn, claims, ledger, loop, executor_of):
    """Run a job of these steps, in a mode, and wait until that is recorded."""

    def execute(*codes, mode="atomic", settings=None, **columns):
        step = {"jstmode": mode} | columns
        add_job(conn, *({"jstcode": code} | step for code in codes))
        (run,) = claims.claim(1, 60).runs
        with executor_of(settings or StepSettings(dsn), run) as executor:
            execute_and_record(loop, run, ledger, executor)
        return outputs(conn)

    return execute


@pytest.fixture
def effects(conn):
    """A table, and how to look what is in it."""
    conn.execute("CREATE TABLE effects (x integer)")
    return lambda: [x for (x,) in conn.execute("TABLE effects")]


def outputs(conn):
    return [row[3] for row in step_runs(conn)]


def statuses(conn):
    return "".join(row[1] for row in step_runs(conn))


# --- autocommit


@pytest.mark.parametrize(
    "code",
    [
        "CREATE TABLE t (x integer); VACUUM t; ANALYZE t",
        "CREATE TABLE t (x integer); CREATE INDEX CONCURRENTLY ON t (x)",
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN COMMIT; ROLLBACK; END'; CALL p()",
        "SELECT 1; ALTER SYSTEM RESET work_mem",
    ],
)
def test_autocommit_takes_what_no_transaction_can(conn, execute, code):
    execute(code, mode="single")
    assert statuses(conn) == "f"

    execute(code, mode="autocommit")
    assert statuses(conn) == "fs"


def test_autocommit_keeps_what_succeeded_and_stops_at_the_first_error(
    conn, execute, effects
):
    code = (
        "INSERT INTO effects VALUES (1);\n-- ; \nINSERT INTO effects VALUES (2);"
        " SELECT 1/0; INSERT INTO effects VALUES (3)"
    )
    (output,) = execute(code, mode="autocommit")

    assert effects() == [1, 2]
    assert runs(conn) == [
        ("f", 'step "step 01" failed: ERROR:  division by zero'),
    ]
    assert "in statement 3\n" in output


def test_autocommit_gives_the_rows_of_the_last_statement(conn, execute):
    execute("SELECT 1; SELECT generate_series(1, 7);", mode="autocommit")

    ((_, status, result, output),) = step_runs(conn)
    assert (status, result, output) == ("s", 7, "SELECT 1\nSELECT 7\n")


def test_autocommit_leaves_no_transaction_open(conn, execute, effects):
    (output,) = execute(
        "BEGIN; INSERT INTO effects VALUES (1); SELECT 2", mode="autocommit"
    )

    assert effects() == []
    assert statuses(conn) == "f"
    assert "left a transaction open" in output


@pytest.mark.parametrize("code", ["", "-- nothing", " ; ;"])
def test_autocommit_wants_a_statement(conn, execute, code):
    (output,) = execute(code, mode="autocommit")

    assert statuses(conn) == "f"
    assert "the step contains no SQL statement" in output


# --- atomic


def test_the_effect_of_an_atomic_step_commits_with_its_row(conn, execute, effects):
    """The rows themselves show that both have the same transaction."""
    execute("INSERT INTO effects VALUES (1), (2)")

    assert effects() == [1, 2]
    ((status, result, output),) = [row[1:] for row in step_runs(conn)]
    assert (status, result, output) == ("s", 2, "INSERT 0 2\n")
    assert conn.execute(
        "SELECT count(DISTINCT x) FROM (SELECT xmin::text FROM pgagent.pga_jobsteplog"
        " UNION ALL SELECT xmin::text FROM effects) AS t (x)"
    ).fetchone() == (1,)


def test_an_atomic_step_whose_row_a_trigger_guards_says_what_helps(
    conn, execute, effects
):
    conn.execute(
        """
        CREATE FUNCTION public.alert() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN INSERT INTO mails VALUES (1); RETURN NEW; END $$;
        CREATE TRIGGER alert BEFORE UPDATE ON pgagent.pga_jobsteplog FOR EACH ROW
            WHEN (NEW.jslstatus = 's') EXECUTE FUNCTION public.alert()
        """
    )
    (output,) = execute("INSERT INTO effects VALUES (1)")

    assert effects() == []
    assert statuses(conn) == "f"
    assert "with its row in the log, in function public.alert()" in output
    assert "ALTER FUNCTION public.alert() SET search_path = public, pg_temp" in output


def test_the_effect_of_an_atomic_step_that_fails_is_undone(conn, execute, effects):
    (output,) = execute("INSERT INTO effects VALUES (1); SELECT 1/0")

    assert effects() == []
    assert statuses(conn) == "f"
    assert "division by zero" in output


def test_what_fails_at_the_commit_fails_the_atomic_step(conn, execute, effects):
    conn.execute("ALTER TABLE effects ADD UNIQUE (x) DEFERRABLE INITIALLY DEFERRED")
    (output,) = execute("INSERT INTO effects VALUES (1), (1)")

    assert effects() == []
    assert statuses(conn) == "f"
    assert "duplicate key value" in output
    assert "SQLSTATE: 23505" in output


def test_the_notices_of_an_atomic_step_are_kept(conn, execute):
    (output,) = execute("DO $$ BEGIN RAISE NOTICE 'seen'; END $$")

    assert output == "NOTICE:  seen\nDO\n"
    assert statuses(conn) == "s"


def test_an_atomic_step_may_change_its_role(conn, execute, effects):
    conn.execute("CREATE ROLE nobody")
    conn.execute("GRANT INSERT ON effects TO nobody")
    try:
        execute(
            "SET ROLE nobody; INSERT INTO effects VALUES (1)",
            "SET LOCAL ROLE nobody; INSERT INTO effects VALUES (2)",
            "SET SESSION AUTHORIZATION nobody; INSERT INTO effects VALUES (3)",
        )
    finally:
        conn.execute("DROP OWNED BY nobody; DROP ROLE nobody")

    assert effects() == [1, 2, 3]
    assert statuses(conn) == "sss"


def test_a_role_that_was_set_in_an_atomic_step_is_gone_in_the_next(conn, execute):
    conn.execute("CREATE ROLE nobody")
    try:
        execute("SET ROLE nobody", "SELECT 1 / (current_user = session_user)::integer")
    finally:
        conn.execute("DROP ROLE nobody")

    assert statuses(conn) == "ss"


@pytest.mark.parametrize(
    "settings",
    [
        "SET search_path = ''",
        "SET client_min_messages = error; SET standard_conforming_strings = off",
        "SET statement_timeout = '1min'",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SET bytea_output = escape; SET DateStyle = 'German'",
        "CREATE TEMP TABLE pga_jobsteplog ()",
    ],
)
def test_no_setting_keeps_an_atomic_step_from_its_row(conn, execute, settings):
    execute(settings)

    assert statuses(conn) == "s"


@pytest.mark.parametrize(
    "end", ["COMMIT", "ROLLBACK", "END; SELECT 1", "PREPARE TRANSACTION 'x'"]
)
def test_an_atomic_step_that_ends_its_transaction_fails(conn, execute, end):
    (output,) = execute(f"SELECT 1; {end}")

    assert statuses(conn) == "f"
    if not end.startswith("PREPARE"):  # which is disabled here
        assert ENDED in output


@pytest.mark.parametrize("end", ["COMMIT AND CHAIN", "COMMIT; BEGIN"])
def test_an_atomic_step_that_begins_another_transaction_fails(
    conn, execute, effects, end
):
    """The first part is committed, and the log must not say that all is well."""
    (output,) = execute(f"INSERT INTO effects VALUES (1); {end}")

    assert statuses(conn) == "f"
    assert ENDED in output


@pytest.mark.needs("contrib")
def test_the_effect_is_undone_if_the_run_was_aborted_meanwhile(
    conn, dsn, claims, ledger, effects, loop, executor_of
):
    abort = "SELECT pgagent.pga_run_abort(jlgid, 'by hand') FROM pgagent.pga_joblog"
    conn.execute("CREATE EXTENSION IF NOT EXISTS dblink")
    code = f"""INSERT INTO effects VALUES (1);
        SELECT * FROM dblink($${dsn}$$, $${abort}$$) AS t (x integer)"""
    add_job(conn, {"jstcode": code, "jstmode": "atomic"})
    (run,) = claims.claim(1, 60).runs

    with (
        executor_of(StepSettings(dsn), run) as executor,
        pytest.raises(NotRunningError, match="by hand"),
    ):
        execute_and_record(loop, run, ledger, executor)

    assert effects() == []
    assert statuses(conn) == "d"
    assert runs(conn) == [("d", "by hand")]


@pytest.mark.parametrize("lost", ["question", "answer"])
def test_a_commit_whose_answer_is_lost_is_looked_up(
    conn, dsn, cluster, tmp_path, execute, effects, lost
):
    with LossyProxy(tmp_path, cluster.host, cluster.port) as proxy:
        proxy.lose(lost, at=b"COMMIT")
        settings = StepSettings(make_conninfo(dsn, host=str(tmp_path)))
        execute("INSERT INTO effects VALUES (1)", settings=settings)
        assert proxy.has_lost()

    happened = lost == "answer"
    assert effects() == ([1] if happened else [])
    assert statuses(conn) == ("s" if happened else "f")


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("INSERT INTO effects VALUES (1); {}", "its transaction has been rolled back"),
        ("INSERT INTO effects VALUES (1); /* /* so */ */ commit ;\n{}", "is unknown"),
    ],
)
def test_what_becomes_of_the_effect_is_told_when_the_session_is_lost(
    execute, effects, code, meaning
):
    (output,) = execute(code.format("SELECT pg_terminate_backend(pg_backend_pid())"))

    assert output.splitlines()[0].endswith(meaning)
    assert effects() == [1] * (meaning == "is unknown")


def test_all_but_the_last_atomic_step_stand_if_a_later_one_fails(
    conn, execute, effects
):
    execute(
        "INSERT INTO effects VALUES (1)",
        "INSERT INTO effects VALUES (2); SELECT 1/0",
        jstonerror="i",
    )

    assert effects() == [1]
    assert statuses(conn) == "si"
    assert runs(conn) == [("s", None)]


def test_a_script_cannot_be_atomic(conn, execute, effects):
    with pytest.raises(Exception, match="a batch step can't be atomic"):
        execute("true", jstkind="b", jstdbname="")
