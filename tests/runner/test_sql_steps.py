"""SQL steps: their sessions, what comes back, and what can go wrong."""

import asyncio
import select
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager

import psycopg
import pytest
from pgagent_runner.catalog import CatalogError
from pgagent_runner.model import Ending, Run, Step
from pgagent_runner.steps import SessionPool, StepSettings
from pgagent_runner.steps.sql.connecting import is_shortage
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support import poll

RUN = Run(id=7, job_id=3, job_name="nightly", steps=())
NEVER_STOPS_TALKING = """DO $$ BEGIN LOOP
    BEGIN
        LOOP RAISE NOTICE 'never'; END LOOP;
    EXCEPTION WHEN query_canceled THEN
    END;
END LOOP; END $$"""
CANNOT_BE_CANCELLED = """DO $$ BEGIN LOOP
    BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN END;
END LOOP; END $$"""
LEFT_OPEN = "the step left a transaction open; it has been rolled back"


def sql_step(code, database="", conninfo=""):
    return Step(5, "step", "s", code, database, conninfo, "f")


@pytest.fixture
def executor_for(executor_of):
    """Make executors for steps on a server, with these settings."""
    return lambda dsn, **settings: executor_of(StepSettings(dsn, **settings), RUN)


@pytest.fixture
def executor(executor_for, server):
    with executor_for(server) as executor:
        yield executor


@pytest.fixture
def execute(executor):
    return lambda code: executor.execute(sql_step(code, "postgres"))


@pytest.fixture
def execute_at(executor):
    """Execute a trifle at a target of one's own."""
    return lambda **target: executor.execute(sql_step("SELECT 1", **target))


def step_sessions(conn):
    return [
        pid
        for (pid,) in conn.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgagent job %'"
        )
    ]


def running(conn, text):
    return conn.execute(
        "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s"
        " AND pid <> pg_backend_pid()",
        [f"%{text}%"],
    ).fetchone()


# --- what must not happen


def test_a_defect_becomes_the_outcome_of_the_step_and_the_next_one_goes_on(
    executor_for, server, caplog
):
    defects = [KeyError("x")]

    async def on_session(_):
        if defects:
            raise defects.pop()

    with executor_for(server, on_session=on_session) as executor:
        outcome = executor.execute(sql_step("SELECT 1", "postgres"))
        following = executor.execute(sql_step("SELECT 1", "postgres"))

    assert outcome.ending is Ending.FAILED
    assert outcome.reason == "an error in the runner itself: KeyError: 'x'"
    assert outcome.reason in outcome.output
    assert caplog.records[0].exc_info[0] is KeyError
    assert caplog.records[0].step_id == 5
    assert following.ending is Ending.SUCCEEDED


def test_after_a_defect_no_session_is_used_again(executor_for, server, monkeypatch):
    with executor_for(server) as executor:
        executor.execute(sql_step("CREATE TEMPORARY TABLE t ()", "postgres"))
        with monkeypatch.context() as patch:
            patch.setattr("pgagent_runner.steps.sql.sql_steps._LARGEST_RESULT", None)
            assert (
                "TypeError"
                in executor.execute(sql_step("SELECT FROM t", "postgres")).reason
            )
        outcome = executor.execute(sql_step("SELECT FROM t", "postgres"))

    assert 'relation "t" does not exist' in outcome.reason


def test_what_cannot_be_recorded_is_no_outcome_of_a_step(executor_for, server):
    async def on_session(_):
        raise CatalogError("no")

    with (
        executor_for(server, on_session=on_session) as executor,
        pytest.raises(CatalogError),
    ):
        executor.execute(sql_step("SELECT 1", "postgres"))


@pytest.mark.parametrize("name", ["a..b", "x" * 70, "a." + "x" * 64 + ".b", "."])
@pytest.mark.parametrize("others", ["", "127.0.0.1,"])
def test_a_name_that_no_host_can_have_is_told(execute_at, name, others):
    outcome = execute_at(conninfo=f"host={others}{name} port=1 user=u dbname=d")

    assert outcome.ending is Ending.FAILED
    assert outcome.cause == "connection"
    assert "host" in outcome.reason
    assert name in outcome.reason
    assert "error in the runner" not in outcome.output


def test_a_password_in_such_a_name_is_not_shown(execute_at, caplog):
    outcome = execute_at(conninfo="postgresql://u:p@secret..word@localhost/d")

    assert outcome.ending is Ending.FAILED
    assert "secret" not in outcome.output
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "parameter", ["connect_timeout=" + "9" * 400, "port=99999999999", "port=x"]
)
def test_numbers_out_of_range_are_told(execute_at, parameter):
    outcome = execute_at(conninfo=f"host=127.0.0.1 user=u dbname=d {parameter}")

    assert outcome.ending is Ending.FAILED
    assert "error in the runner" not in outcome.output


# --- what comes back


@pytest.mark.parametrize(
    ("code", "result", "output"),
    [
        ("SELECT 1", 1, "SELECT 1\n"),
        ("SELECT generate_series(1, 1000)", 1000, "SELECT 1000\n"),
        ("SELECT generate_series(1, 1001)", 1001, "SELECT 1001\n"),
        ("SELECT 1 WHERE false", 0, "SELECT 0\n"),
        ("SELECT", 1, "SELECT 1\n"),
        ("CREATE TEMP TABLE t ()", 0, "CREATE TABLE\n"),
        ("CREATE TEMP TABLE t AS SELECT 1 AS x", 1, "SELECT 1\n"),
        (
            (
                "CREATE TEMP TABLE t (x int); INSERT INTO t VALUES (1), (2); TABLE t;"
                " UPDATE t SET x = 3 WHERE x = 1; DELETE FROM t"
            ),
            2,
            "CREATE TABLE\nINSERT 0 2\nSELECT 2\nUPDATE 1\nDELETE 2\n",
        ),
        ("SELECT 1;;", 1, "SELECT 1\n"),
        ("VACUUM pg_am", 0, "VACUUM\n"),
        ("LISTEN c; NOTIFY c; SELECT 1", 1, "LISTEN\nNOTIFY\nSELECT 1\n"),
        ("COMMIT", 0, "WARNING:  there is no transaction in progress\nCOMMIT\n"),
        ("DO $$ BEGIN RAISE NOTICE 'grün'; END $$", 0, "NOTICE:  grün\nDO\n"),
        (
            (
                "DO $$ BEGIN RAISE WARNING 'w' USING DETAIL = 'd', HINT = 'h'; END $$;"
                " SELECT 1"
            ),
            1,
            "WARNING:  w\nDETAIL:  d\nHINT:  h\nDO\nSELECT 1\n",
        ),
        ("COPY (VALUES (1), (2)) TO STDOUT", 2, "1\n2\nCOPY 2\n"),
        (
            "COPY (SELECT 'é') TO STDOUT (ENCODING LATIN1); SELECT 1",
            1,
            "\\xe9\nCOPY 1\nSELECT 1\n",
        ),
    ],
)
def test_the_output_is_psqls_and_the_result_that_of_the_last_command(
    execute, code, result, output
):
    outcome = execute(code)
    assert outcome.output == output
    assert (outcome.ending, outcome.result) == (Ending.SUCCEEDED, result)
    assert outcome.reason == ""


def test_binary_data_becomes_text(execute):
    output = execute("COPY (SELECT 1) TO STDOUT (FORMAT binary)").output
    assert output.startswith("PGCOPY\n\\xff\r\n\\x00\\x00")


def test_a_flood_of_notices_is_bounded(executor_for, server):
    code = "DO $$ BEGIN FOR i IN 1..9999 LOOP RAISE NOTICE '%', i; END LOOP; END $$"
    with executor_for(server, output_limit=100) as executor:
        output = executor.execute(sql_step(code, "postgres")).output
    assert output.startswith("NOTICE:  1\n")
    assert "bytes omitted" in output
    assert output.endswith("NOTICE:  9999\nDO\n")


@pytest.mark.parametrize("limit", [1000, 4 << 20])
def test_of_what_a_server_says_as_much_is_kept_as_the_output_may_have(
    executor_for, server, limit
):
    code = "DO $$ BEGIN RAISE NOTICE '<%>', repeat('x', 20000000); END $$"
    with executor_for(server, output_limit=limit) as executor:
        output = executor.execute(sql_step(code, "postgres")).output
    assert output.startswith("NOTICE:  <xxx")
    assert output.endswith("xxx>\nDO\n")
    assert limit <= len(output) <= limit + 100
    assert "bytes omitted" in output


def test_an_error_of_megabytes_is_shortened_before_anything_is_done_with_it(
    executor_for, server, target
):
    text = "repeat('x', 20000000)"
    code = f"DO $$ BEGIN RAISE '<%>', {text} USING DETAIL = {text}; END $$"
    with executor_for(server, output_limit=1 << 29) as executor:
        outcome = executor.execute(sql_step(code, "postgres"))
    assert outcome.output.startswith("ERROR:  <xxx")
    assert outcome.output.endswith(f"SQLSTATE: P0001\n{target}")
    assert len(outcome.output) < 300_000
    assert outcome.reason.startswith("ERROR:  <xxx")
    assert outcome.reason.endswith("xxx…")
    assert len(outcome.reason) <= 1001
    assert outcome.cause == "P0001"


def test_rows_cost_no_memory(server):
    program = f"""if True:
        import asyncio
        import resource
        from pgagent_runner.model import Run, Step
        from pgagent_runner.steps import Nursery, SessionPool, StepExecutor, StepSettings
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        def step(rows):
            code = f"SELECT repeat('x', 1000) FROM generate_series(1, {{rows}})"
            return Step(1, "", "s", code, "postgres", "", "f")
        async def work():
            settings, run = StepSettings({server!r}), Run(1, 1, "", ())
            with StepExecutor(settings, run, SessionPool(), Nursery()) as executor:
                await executor.execute(step(1000))
                before = peak()
                result = (await executor.execute(step(100000))).result
            print(result, peak() - before)
        asyncio.run(work())
    """
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    result, kilobytes = run.stdout.split()
    assert result == "100000"
    assert int(kilobytes) < 10 * 1024  # of 100 MB


def test_a_text_of_megabytes_is_sent_whole(execute):
    assert execute(f"SELECT 1/(length('{'x' * 2_000_000}') / 2000000)").result == 1


def test_bytes_that_are_not_utf_8_reach_a_database_that_takes_them(watcher, executor):
    kind = "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"
    watcher.execute(f"CREATE DATABASE ascii {kind}")
    code = "DO $$ BEGIN RAISE NOTICE '% \udcff', octet_length('\udcff'); END $$"
    outcome = executor.execute(sql_step(code, "ascii"))
    watcher.execute("DROP DATABASE ascii WITH (FORCE)")
    assert outcome.output == "NOTICE:  1 \\xff\nDO\n"


# --- transactions


@pytest.fixture
def execute_here(executor_for, dsn, conn):
    """Execute an SQL text in the test's own database, `conn`."""
    with executor_for(dsn) as executor:
        yield lambda code: executor.execute(sql_step(code, conn.info.dbname))


def exists(conn, table):
    return conn.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()[0]


def test_the_statements_of_a_step_are_one_transaction(watcher, execute):
    assert execute("CREATE TABLE t (); SELECT 1/0").ending is Ending.FAILED
    assert not exists(watcher, "t")


def test_a_step_may_commit_on_its_own(conn, execute_here):
    execute_here("BEGIN; CREATE TABLE t (); COMMIT; SELECT 1/0")
    assert exists(conn, "t")


@pytest.mark.parametrize(
    "code",
    [
        "BEGIN; CREATE TABLE t ()",
        "BEGIN; CREATE TABLE t (); SELECT 1/0",
        "BEGIN; ROLLBACK AND CHAIN; CREATE TABLE t ()",
    ],
)
def test_a_transaction_left_open_is_rolled_back(watcher, execute, code):
    outcome = execute(code)
    assert (outcome.ending, outcome.result) == (Ending.FAILED, -1)
    assert LEFT_OPEN in outcome.output
    assert execute("SELECT 1").ending is Ending.SUCCEEDED
    assert not exists(watcher, "t")


# --- failures


@pytest.fixture
def target(server):
    where = conninfo_to_dict(server)
    return "target: host={host} port={port} dbname=postgres user={user}\n".format(
        **where
    )


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("SELECT 1/0", "ERROR:  division by zero\nSQLSTATE: 22012\n"),
        (
            "SELECT 1;\nSELECT 1/0; SELECT 2",
            "ERROR:  division by zero\nSQLSTATE: 22012\nin statement 2\n{}SELECT 1\n",
        ),
        (
            "SELECT 1;\n  SELEC 2",
            (
                'ERROR:  syntax error at or near "SELEC"\n'
                "LINE 2:   SELEC 2\n"
                "          ^\n"
                "SQLSTATE: 42601\n"
            ),
        ),
        (
            "SELECT pg_am.amnam FROM pg_am",
            (
                "ERROR:  column pg_am.amnam does not exist\n"
                "LINE 1: SELECT pg_am.amnam FROM pg_am\n"
                "               ^\n"
                'HINT:  Perhaps you meant to reference the column "pg_am.amname".\n'
                "SQLSTATE: 42703\n"
            ),
        ),
        (
            (
                "CREATE TEMP TABLE t (x int UNIQUE DEFERRABLE INITIALLY DEFERRED);"
                "INSERT INTO t VALUES (1), (1)"
            ),
            (
                'ERROR:  duplicate key value violates unique constraint "t_x_key"\n'
                "DETAIL:  Key (x)=(1) already exists.\n"
                "SQLSTATE: 23505\n"
                "in statement 2\n{}CREATE TABLE\n"
            ),
        ),
        (
            "DO $$ BEGIN RAISE 'ours' USING ERRCODE = 'PGX01'; END $$",
            (
                "ERROR:  ours\n"
                "CONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE\n"
                "SQLSTATE: PGX01\n"
            ),
        ),
        ("", "the step contains no SQL statement\n"),
        (" ;-- nothing\n/* at all */ ;", "the step contains no SQL statement\n"),
        (
            "CREATE TEMP TABLE t (x int); COPY t FROM STDIN; SELECT 1",
            (
                "ERROR:  COPY from stdin failed:"
                " COPY FROM STDIN is not possible in a job step\n"
                "CONTEXT:  COPY t, line 1\n"
                "SQLSTATE: 57014\n"
                "in statement 2\n{}CREATE TABLE\n"
            ),
        ),
        ("BEGIN", f"{LEFT_OPEN}\n{{}}BEGIN\n"),
    ],
)
def test_a_failure_is_told_first_as_psql_would_and_where(execute, target, code, output):
    outcome = execute(code)
    assert outcome.output == (output if "{}" in output else output + "{}").format(
        target
    )
    assert (outcome.ending, outcome.result) == (Ending.FAILED, -1)
    assert outcome.reason in outcome.output.splitlines()
    assert outcome.reason != ""


TAKES_EFFECT_BY_ITSELF = "DO $$ BEGIN COMMIT; END $$"
USE_AUTOCOMMIT = (
    "With mode autocommit each statement commits by itself:"
    " UPDATE pgagent.pga_jobstep SET jstmode = 'autocommit' WHERE jstid = 5."
)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("SELECT 1; VACUUM pg_class", USE_AUTOCOMMIT),
        ("CREATE DATABASE never; SELECT 1", USE_AUTOCOMMIT),
        (f"SELECT 1; {TAKES_EFFECT_BY_ITSELF}", USE_AUTOCOMMIT),
        ("SELECT 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", ""),
        ("DO $$ BEGIN EXECUTE 'VACUUM pg_class'; END $$", ""),
        ("BEGIN; SELECT 1; SAVEPOINT a; ROLLBACK TO b", ""),
        ("SELECT 1;\n\\copy t FROM 'file'", r"\copy is a command of psql"),
        ("\\i file.sql", r"\i is a command of psql"),
        ("COPY t FROM STDIN;\n1\tone\n\\.\n", r"\. is a command of psql"),
        ("SELECT :'who'", ":'who looks like a variable of psql"),
        ("""SELEC '{"a":"b"}'::json""", ""),
    ],
)
def test_what_another_mode_or_kind_of_step_can_do_is_told(execute, code, hint):
    outcome = execute(code)
    hints = [line for line in outcome.output.splitlines() if "HINT:" in line]
    assert outcome.ending is Ending.FAILED
    assert [hint in line for line in hints] == [True] * bool(hint), outcome.output
    assert outcome.output.startswith("ERROR: ")


def test_a_connection_lost_in_the_middle_leaves_a_doubt(execute, target):
    outcome = execute("SELECT 1; SELECT pg_terminate_backend(pg_backend_pid())")
    assert (outcome.ending, outcome.result) == (Ending.FAILED, -1)
    assert outcome.reason == (
        "the connection was lost while the step was running;"
        " whether its last statement took effect is unknown"
    )
    assert "server closed the connection unexpectedly" in outcome.output
    assert "due to administrator command" in outcome.output
    assert outcome.output.endswith(f"\nin statement 2\n{target}SELECT 1\n")


def test_a_connection_lost_in_a_copy_is_noticed(watcher, execute):
    code = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1e9)) TO STDOUT"
    with ThreadPoolExecutor() as threads:
        future = threads.submit(execute, code)
        (pid,) = poll(lambda: running(watcher, "COPY"))
        watcher.execute("SELECT pg_terminate_backend(%s)", [pid])
    assert "the connection was lost" in future.result().reason


# --- sessions


def test_the_steps_of_a_run_share_a_session(watcher, execute):
    execute("CREATE TEMP TABLE t AS SELECT 1; CREATE ROLE r; SET ROLE r")
    try:
        execute("RESET ROLE")
        assert execute("TABLE t").output == "SELECT 1\n"
        assert len(step_sessions(watcher)) == 1
    finally:
        watcher.execute("DROP ROLE r")


def test_two_runs_share_nothing(executor_for, server, execute):
    execute("CREATE TEMP TABLE t ()")
    with executor_for(server) as other:
        assert other.execute(sql_step("TABLE t", "postgres")).ending is Ending.FAILED


def test_each_target_has_its_session(watcher, server, execute, execute_at):
    execute("SELECT 1")
    execute_at(conninfo=make_conninfo(server, connect_timeout=9))
    # Those of the test before may still be ending.
    poll(lambda: len(step_sessions(watcher)) == 2)


def test_the_sessions_end_with_the_executor(executor_for, watcher, server):
    with executor_for(server) as executor:
        executor.execute(sql_step("SELECT 1", "postgres"))
        assert len(step_sessions(watcher)) == 1
    poll(lambda: step_sessions(watcher) == [])


def test_a_session_is_opened_only_for_its_first_step(watcher, executor):
    assert executor is not None
    assert step_sessions(watcher) == []


def test_a_session_lost_between_two_steps_is_opened_again(watcher, execute):
    execute("SELECT 1")
    (pid,) = step_sessions(watcher)
    watcher.execute("SELECT pg_terminate_backend(%s)", [pid])
    outcome = execute("SELECT 2")
    assert outcome.ending is Ending.SUCCEEDED
    assert "the session of the earlier steps was lost" in outcome.output


def test_a_session_lost_in_a_step_is_opened_again_by_the_next(execute):
    execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert execute("SELECT 2").ending is Ending.SUCCEEDED


def test_a_session_says_what_it_works_for(execute):
    assert (
        execute(
            "SELECT 1 / (current_setting('application_name') = 'pgagent job 3 run 7')::int"
        ).ending
        is Ending.SUCCEEDED
    )


def test_a_session_speaks_utf_8(server, execute_at):
    conninfo = make_conninfo(server, client_encoding="LATIN1")
    assert execute_at(conninfo=conninfo).ending is Ending.SUCCEEDED


def test_the_password_is_not_shown_with_the_settings():
    assert "secret" not in repr(StepSettings("password=secret"))


# --- targets


def test_the_connection_string_wins_over_the_database(server, execute_at):
    assert execute_at(database="no such", conninfo=server).ending is Ending.SUCCEEDED


@pytest.mark.parametrize(
    "name", ["a=b", "postgresql://host/x", "x host=elsewhere", "it's", "back\\slash"]
)
def test_a_database_name_is_taken_literally(execute_at, name):
    outcome = execute_at(database=name)
    assert f'FATAL:  database "{name}" does not exist' in outcome.output


@pytest.mark.parametrize(
    ("step_target", "reason"),
    [
        ({}, "the step names neither a database nor a connection string"),
        ({"database": "no such"}, 'database "no such" does not exist'),
        ({"database": "\udcff"}, "it is not UTF-8"),
        ({"conninfo": "\udcff=1"}, "it is not UTF-8"),
        ({"conninfo": "nonsense"}, 'missing "=" after "nonsense"'),
        ({"conninfo": "nonsense=1"}, 'invalid connection option "nonsense"'),
        ({"conninfo": "host=/no/such"}, "No such file or directory"),
        ({"conninfo": "host=127.0.0.1 port=1"}, "Connection refused"),
        ({"conninfo": "host=a,b port=1,2,3"}, "could not match"),
        ({"conninfo": "host=no.such.invalid"}, "failed to resolve host"),
        ({"conninfo": "host=/no/such connect_timeout=x"}, "is not a number"),
    ],
)
def test_a_target_that_cannot_be_reached_fails_the_step(
    execute_at, step_target, reason
):
    outcome = execute_at(**step_target)
    assert (outcome.ending, outcome.result) == (Ending.FAILED, -1)
    assert reason in outcome.reason


@pytest.mark.parametrize(
    "where", [{"conninfo": "password="}, {"database": ""}, {"conninfo": "host="}]
)
def test_a_target_of_megabytes_is_not_looked_at(execute_at, where):
    outcome = execute_at(**{name: text + "x" * 70000 for name, text in where.items()})
    assert outcome.reason == (
        "the connection string, or the name of the database, is longer than 65536"
        " characters"
    )


def test_thousands_of_hosts_keep_nobody_waiting(execute_at, loop):
    """None of them needs a wait: their sockets are missing."""
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    loop.started(count)
    outcome = execute_at(conninfo="host=" + ",".join(["/x"] * 2000))
    assert turns > 2000
    assert "/x/.s.PGSQL" in outcome.reason
    assert "1900 more failures" in outcome.output


def test_who_is_stopped_tries_no_more_hosts(executor, loop):
    conninfo = "host=" + ",".join(["/x"] * 20000)
    step = sql_step("SELECT 1", conninfo=conninfo)
    outcome = loop.started(executor.itself.execute, step)
    executor.cancel("enough")
    assert outcome.result(20).ending is Ending.ABORTED


def test_a_step_does_not_stream_the_log(executor_for, server):
    conninfo = make_conninfo(server, replication="database")
    step = sql_step("START_REPLICATION 0/0", conninfo=conninfo)
    with executor_for(
        server, allowed_parameters=frozenset({"replication"})
    ) as executor:
        assert "syntax error" in executor.execute(step).reason
    with executor_for(conninfo) as executor:
        step = sql_step("START_REPLICATION 0/0", "postgres")
        assert "syntax error" in executor.execute(step).reason


def test_the_next_host_is_tried(server, execute_at):
    where = conninfo_to_dict(server)
    several = where | {"host": f"/no/such,{where['host']}"}
    assert execute_at(conninfo=make_conninfo("", **several)).result == 1


def test_all_hosts_that_failed_are_told(execute_at):
    output = execute_at(conninfo="host=/no/1,/no/2 dbname=d user=u").output
    assert "/no/1/.s.PGSQL" in output
    assert "/no/2/.s.PGSQL" in output
    assert output.endswith("target: host=/no/1,/no/2 port=5432 dbname=d user=u\n")


@pytest.mark.parametrize(
    "conninfo",
    [
        "host=127.0.0.1 port=1 password=geheim",
        "password=top geheim",
        "password='geheim",
        "password='top' geheim=1",
        "password=geheim nonsense=1",
        "postgresql://u:geheim@h:x:y/d",
        "postgresql://u:geheim%zz@h/d",
        "postgresql://u:top@geheim@127.0.0.1:1/d",
        "postgresql://u:top/geheim@127.0.0.1:1/d",
        "postgresql://u:geheim@[::1/d",
        'postgresql://u:"geheim"%@h/d',
    ],
)
def test_no_password_is_shown(execute_at, conninfo):
    outcome = execute_at(conninfo=conninfo)
    assert outcome.ending is Ending.FAILED
    assert "geheim" not in outcome.output
    assert outcome.output != ""


@contextmanager
def silent_server():
    """Give the conninfo of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        yield f"host=127.0.0.1 port={port} sslmode=disable gssencmode=disable", server


@pytest.mark.parametrize("own", ["", " connect_timeout=1"])
def test_a_server_that_does_not_answer_is_given_up(executor_for, server, own):
    default = 60 if own else 1
    with (
        executor_for(server, connect_timeout=default) as executor,
        silent_server() as (
            conninfo,
            _,
        ),
    ):
        outcome = executor.execute(sql_step("SELECT 1", conninfo=conninfo + own))
    assert outcome.reason == "could not connect: no connection within 1 s"


# --- a shortage of connections


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("FATAL:  sorry, too many clients already", True),
        ("FATAL:  remaining connection slots are reserved for superusers", True),
        ('FATAL:  too many connections for role "x"', True),
        ('FATAL:  too many connections for database "x"', True),
        ("FATAL:  no more connections allowed (max_client_conn)", True),
        (
            "connection to server on socket failed: Resource temporarily unavailable",
            True,
        ),
        ('FATAL:  database "x" does not exist', False),
        ("Connection refused", False),
    ],
)
def test_a_shortage_is_told_from_other_refusals(reason, expected):
    assert is_shortage(reason) is expected


@pytest.fixture
def crowded(watcher, server):
    """A conninfo whose only connection is taken, and what takes it."""
    role = "crowded"
    watcher.execute(f'CREATE ROLE "{role}" LOGIN CONNECTION LIMIT 1')
    crowded = make_conninfo(server, user=role)
    with closing(psycopg.connect(crowded)) as holder:
        yield crowded, holder
    poll(lambda: running_sessions_of(watcher, role) == 0)
    watcher.execute(f'DROP ROLE "{role}"')


def running_sessions_of(watcher, role):
    return watcher.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [role]
    ).fetchone()[0]


def was_refused(cluster, role):
    refusal = f'too many connections for role "{role}"'
    return refusal in cluster.log.read_text(errors="replace")


def test_a_shortage_of_connections_only_delays_a_step(
    executor_for, cluster, server, crowded
):
    conninfo, holder = crowded
    role = holder.info.user
    with executor_for(server) as executor, ThreadPoolExecutor() as threads:
        step = sql_step("SELECT 1", conninfo=conninfo)
        future = threads.submit(executor.execute, step)
        poll(lambda: was_refused(cluster, role))
        holder.close()
        outcome = future.result()
    assert (outcome.ending, outcome.result) == (Ending.SUCCEEDED, 1)
    assert outcome.output.startswith("waiting for a free connection: ")


def test_a_step_that_waits_for_a_connection_can_be_cancelled(
    executor_for, cluster, server, crowded
):
    conninfo, holder = crowded
    role = holder.info.user
    with (
        executor_for(server) as executor,
        cancelled_when(executor, lambda: was_refused(cluster, role)),
    ):
        outcome = executor.execute(sql_step("SELECT 1", conninfo=conninfo))
    assert outcome.ending is Ending.ABORTED


# --- cancelling


@contextmanager
def cancelled_when(executor, condition, reason="the agent stops"):
    """Cancel from another thread as soon as the condition holds."""

    def wait_and_cancel():
        poll(condition)
        executor.cancel(reason)

    thread = threading.Thread(target=wait_and_cancel)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize(
    "code",
    [
        "SELECT 1; SELECT pg_sleep(60)",
        "SELECT generate_series(1, 1e12)",
        "COPY (SELECT generate_series(1, 1e12)) TO STDOUT",
        "BEGIN; SELECT pg_sleep(60)",
    ],
)
def test_a_cancelled_statement_ends_at_the_server(watcher, executor, execute, code):
    with cancelled_when(executor, lambda: running(watcher, code[:20])):
        outcome = execute(code)
    assert (outcome.ending, outcome.result) == (Ending.ABORTED, -1)
    assert outcome.reason == "the agent stops"
    assert "the agent stops\nERROR:  canceling statement due to user request\n" in (
        outcome.output
    )
    assert running(watcher, code[:20]) is None


def test_a_statement_that_cannot_be_cancelled_is_terminated_with_its_session(
    executor_for, watcher, server
):
    asleep = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with (
        executor_for(server) as executor,
        cancelled_when(executor, lambda: watcher.execute(asleep).rowcount),
    ):
        outcome = executor.execute(sql_step(CANNOT_BE_CANCELLED, "postgres"))
    assert outcome.ending is Ending.ABORTED
    assert "its session was terminated" in outcome.output
    assert running(watcher, "query_canceled") is None


def test_no_session_of_another_server_is_terminated(watcher, executor_for, server):
    """The first host of the step comes back meanwhile, and knows other sessions."""
    where = conninfo_to_dict(server)
    asleep = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        conninfo = make_conninfo(
            server,
            host=f"127.0.0.1,{where['host']}",
            port=f"{first.getsockname()[1]},{where['port']}",
        )

        def is_asleep():
            if watcher.execute(asleep).rowcount:
                first.listen()
                return True
            return False

        with executor_for(server) as executor, cancelled_when(executor, is_asleep):
            outcome = executor.execute(sql_step(CANNOT_BE_CANCELLED, conninfo=conninfo))
        assert not select.select([first], [], [], 0)[0]
    assert "its session was terminated" in outcome.output
    assert running(watcher, "query_canceled") is None


def test_a_connection_attempt_can_be_cancelled(executor, execute_at):
    with silent_server() as (conninfo, server):

        def is_tried():
            return select.select([server], [], [], 0)[0]

        with cancelled_when(executor, is_tried):
            outcome = execute_at(conninfo=conninfo)
    assert (outcome.ending, outcome.reason) == (Ending.ABORTED, "the agent stops")


def test_a_step_that_never_stops_talking_is_ended_all_the_same(
    executor_for, loop, server, watcher
):
    talking = sql_step(NEVER_STOPS_TALKING, "postgres")
    with ExitStack() as stack:
        executors = [stack.enter_context(executor_for(server)) for _ in range(30)]
        futures = [loop.started(e.itself.execute, talking) for e in executors]
        try:
            poll(lambda: len(step_sessions(watcher)) == len(executors))
            executors[0].cancel("enough")
            assert futures[0].result(4).ending is Ending.ABORTED
        finally:
            for executor in executors:
                executor.cancel("enough")
            wait(futures, 30)


def test_the_search_for_the_statements_of_a_large_text_can_be_cancelled(
    executor, loop, watcher
):
    step = sql_step(";" * 50_000_000, "postgres")._replace(mode="autocommit")
    outcome = loop.started(executor.itself.execute, step)
    poll(lambda: step_sessions(watcher))
    executor.cancel("enough")
    assert outcome.result(5).ending is Ending.ABORTED


def test_nothing_starts_after_a_cancellation(watcher, executor, execute):
    executor.cancel("the agent stops")
    outcome = execute("CREATE TABLE t ()")
    assert (outcome.ending, outcome.output) == (Ending.ABORTED, "the agent stops\n")
    assert step_sessions(watcher) == []


def test_a_session_that_cannot_be_used_takes_nobodys_place(executor_of, loop, server):
    async def refuse(_):
        raise CatalogError("not yours")

    pool = loop.holding(SessionPool(1))
    for _ in range(2):
        settings = StepSettings(server, on_session=refuse)
        with (
            executor_of(settings, RUN, pool.itself) as executor,
            pytest.raises(CatalogError),
        ):
            executor.execute(sql_step("SELECT 1", "postgres"))
    with executor_of(StepSettings(server), RUN, pool.itself) as executor:
        outcome = executor.execute(sql_step("SELECT 1", "postgres"))
    pool.close_idle(0)
    assert outcome.ending is Ending.SUCCEEDED
