"""Passwords are shown nowhere, whatever goes wrong."""

import psycopg
import pytest
from jobs import add_job, batch
from psycopg import sql
from psycopg.conninfo import make_conninfo

from .runner_process import Runner, ended_runs

SECRET = "open sesame"
TABLES = ["pga_job", "pga_jobstep", "pga_joblog", "pga_jobsteplog", "pga_jobagent"]


@pytest.fixture
def tcp(frail, frail_dsn):
    """The database by TCP, which asks for a password; whose it is, is reset."""
    yield make_conninfo(frail_dsn, host="127.0.0.1", port=frail.port)
    set_password(frail, frail.password)


def set_password(server, password):
    with psycopg.connect(server.conninfo()) as conn:
        role, literal = sql.Identifier(server.user), sql.Literal(password)
        conn.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, literal))


def test_a_runner_with_a_wrong_password_goes_on_trying(frail, tcp, frail_conn):
    add_job(frail_conn, "SELECT 1")
    with Runner("--retry", "0.2", make_conninfo(tcp, password=SECRET)) as runner:
        runner.says("password authentication failed")
        assert "next attempt in" in runner.log

        set_password(frail, SECRET)

        assert ended_runs(frail_conn) == "s"
        assert SECRET not in runner.log


def test_a_password_on_the_command_line_is_warned_of_and_shown_nowhere(
    frail, tcp, frail_conn
):
    set_password(frail, SECRET)
    nowhere = {"jstcode": "SELECT 1", "jstdbname": "nowhere", "jstonerror": "i"}
    add_job(frail_conn, nowhere, batch("env"), "SELECT 1")
    with Runner("--retry", "0.2", make_conninfo(tcp, password=SECRET)) as runner:
        assert ended_runs(frail_conn) == "s"
        set_password(frail, "another")
        frail_conn.execute(
            "SELECT pg_terminate_backend(jagpid) FROM pgagent.pga_jobagent"
        )
        runner.says("password authentication failed")

        assert "the password on the command line can be read" in runner.log
        assert SECRET not in runner.log
    assert SECRET not in everything_stored(frail_conn)


def test_a_malformed_connection_string_of_a_step_is_not_shown(conn, runner):
    for conninfo in (f"password='{SECRET}", f"postgresql://me:{SECRET}@[::1/x"):
        add_job(conn, {"jstcode": "SELECT 1", "jstconnstr": conninfo})

    assert ended_runs(conn, count=2) == "ff"

    assert SECRET not in runner.log
    conn.execute("UPDATE pgagent.pga_jobstep SET jstconnstr = 'service=x'")
    assert SECRET not in everything_stored(conn)


def test_a_password_that_breaks_its_uri_is_not_shown():
    # libpq takes what follows the first "@" for the host.
    uri = f"postgresql://me:pass@{SECRET.replace(' ', '')}@127.0.0.1:1/x"
    with Runner(uri) as runner:
        runner.says("next attempt in")
        assert "sesame" not in runner.log


def everything_stored(conn):
    """Return all rows of the catalogue as text."""
    return "\n".join(
        conn.execute(
            f"SELECT string_agg(t::text, '') FROM pgagent.{table} AS t"
        ).fetchone()[0]
        or ""
        for table in TABLES
    )


def test_a_service_in_the_environment_is_for_the_runners_own_server(
    frail, frail_dsn, frail_conn, tmp_path
):
    # Whatever it sets besides, here something that this server can't do by TCP, is not
    # added to what a step says of another server.
    services = tmp_path / "services"
    lines = frail_dsn.replace(" ", "\n")
    services.write_text(f"[mine]\n{lines}\nsslmode=require\n")
    with Runner(
        environ={"PGSERVICE": "mine", "PGSERVICEFILE": str(services)}
    ) as runner:
        runner.ready()
        elsewhere = {"jstcode": "SELECT 1", "jstconnstr": frail.conninfo(tcp=True)}
        add_job(frail_conn, "SELECT 1", elsewhere)

        assert ended_runs(frail_conn) == "s"


def test_a_user_can_allow_connection_strings_more(conn, dsn):
    step = {"jstcode": "SELECT 1", "jstconnstr": f"{dsn} options=-E"}
    for options, status in ([], "f"), (["--allow-parameter", "options"], "s"):
        with Runner(*options, dsn) as runner:
            runner.ready()
            assert ended_runs(conn, add_job(conn, step)) == status


def test_a_password_may_stand_in_the_folder_beside_the_file_of_options(
    frail, frail_dsn, frail_conn, tmp_path
):
    config = tmp_path / "pgagent.toml"
    config.write_text(f"[run]\nconninfo = '''{frail_dsn}'''\n")
    (tmp_path / "secrets").mkdir(mode=0o700)
    secret = tmp_path / "secrets/mine"
    secret.touch(mode=0o600)
    secret.write_text(f"*:*:*:*:{frail.password}\n")
    where = f"host=127.0.0.1 port={frail.port} user={frail.user} dbname=frail"
    step = {"jstcode": "SELECT 1", "jstconnstr": f"{where} passfile=secrets/mine"}
    with Runner(environ={"PGAGENT_CONFIG": str(config)}) as runner:
        runner.ready()
        assert ended_runs(frail_conn, add_job(frail_conn, step)) == "s"
