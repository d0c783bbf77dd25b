"""The ways to name the catalogue's database are those of libpq."""

import pytest
from jobs import add_job, batch, step_runs
from pgagent_runner.catalog import CatalogError, Registration
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from .runner_process import Runner, ended_runs

DEAD_PORT = 1


@pytest.fixture
def parts(frail, frail_dsn, tmp_path):
    """What the ways are made of; with them come the files that some of them need."""
    parts = {
        "host": frail.host,
        "port": frail.port,
        "user": frail.user,
        "password": frail.password,
        "files": tmp_path,
    }
    (tmp_path / "service").write_text(
        "[ours]\nhost={host}\nport={port}\nuser={user}\ndbname=frail\n".format(**parts)
    )
    pgpass = tmp_path / "pgpass"
    pgpass.write_text("127.0.0.1:*:*:{user}:{password}\n".format(**parts))
    pgpass.chmod(0o600)
    return parts


TCP = "user={user} dbname=frail port={port} host=127.0.0.1"
WAYS = {
    "several words": "host={host} port={port} user={user} dbname=frail",
    "a URI": "postgresql://{user}:{password}@127.0.0.1:{port}/frail",
    "a service": "PGSERVICEFILE={files}/service service=ours",
    "a service by variable": "PGSERVICEFILE={files}/service PGSERVICE=ours",
    "a password file": "PGPASSFILE={files}/pgpass " + TCP,
    "a password by variable": "PGPASSWORD={password} " + TCP,
    "variables": "PGHOST={host} PGPORT={port} PGUSER={user} PGDATABASE=frail",
    "several hosts, the first one dead": (
        "PGPASSFILE={files}/pgpass user={user} dbname=frail"
        f" host=127.0.0.1,127.0.0.1 port={DEAD_PORT}," + "{port}"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_runner_connects_by(frail_conn, parts, way):
    words = WAYS[way].format(**parts).split()
    environ = dict(word.split("=") for word in words if word.startswith("PG"))
    conninfo = [word for word in words if not word.startswith("PG")]
    other_database = {"jstcode": "SELECT 1", "jstdbname": "postgres"}
    add_job(frail_conn, "SELECT 1", other_database, batch("env"))

    with Runner(*conninfo, environ=environ) as runner:
        assert ended_runs(frail_conn) == "s"

        assert ("password" in runner.log) == (way == "a URI")
        environment = step_runs(frail_conn)[2][3]
        assert "\nPG" not in environment.replace("\nPGAGENT_", "")
        assert parts["password"] not in environment + runner.log


def test_the_hosts_of_a_service_are_looked_up_by_the_runner(frail, frail_conn, parts):
    """As long as libpq looks names up, nothing else goes on."""
    (parts["files"] / "service").write_text(
        f"[ours]\nhost=nowhere.invalid,localhost\nport={frail.port},{frail.port}\n"
        f"user={frail.user}\npassword={frail.password}\ndbname=frail\n"
    )
    environ = {"PGSERVICEFILE": str(parts["files"] / "service")}
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PGSERVICEFILE", environ["PGSERVICEFILE"])
        with Registration("service=ours", "here", 20) as catalog:
            found = conninfo_to_dict(catalog.conninfo)
    assert found["host"] == "nowhere.invalid,localhost"
    assert found["service"] == "ours"

    job_id = add_job(frail_conn, "SELECT 1")
    with Runner("service=ours", environ=environ) as runner:
        assert ended_runs(frail_conn, job_id) == "s"
        assert frail.password not in runner.log


def refusal(dsn):
    """Return what is said instead of registering."""
    with (
        Registration(dsn, "here", 20) as catalog,
        pytest.raises(CatalogError) as refused,
    ):
        catalog.register()
    return str(refused.value)


def test_a_database_without_the_schema_is_told_how_to_get_it(cluster):
    assert refusal(cluster.conninfo()) == (
        'database "postgres": it has no pgagent: CREATE EXTENSION pgagent, or pgagent init'
    )


def test_an_older_schema_is_told_how_to_get_newer(conn_42):
    dsn = conn_42.info.dsn
    told = refusal(dsn)

    assert told.startswith(f'database "{conn_42.info.dbname}": it has pgagent 4.2, and')
    assert told.endswith(": ALTER EXTENSION pgagent UPDATE")


@pytest.mark.parametrize(
    "grants",
    ["", "USAGE ON SCHEMA pgagent", "EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent"],
)
def test_a_login_without_rights_is_told_where_they_are_listed(conn, dsn, grants):
    conn.execute("DROP ROLE IF EXISTS nobody; CREATE ROLE nobody LOGIN")
    try:
        if grants:
            conn.execute(
                f"GRANT USAGE ON SCHEMA pgagent TO nobody; GRANT {grants} TO nobody"
            )
        told = refusal(make_conninfo(dsn, user="nobody"))
    finally:
        conn.execute("DROP OWNED BY nobody; DROP ROLE nobody")

    assert '": permission denied: the role "nobody" lacks what a runner needs' in told
    assert told.endswith(
        "; or all at once: SELECT pgagent.grant_access('runner', 'nobody')"
    )


def test_a_runner_says_that_its_own_host_cannot_have_that_name():
    with Runner("host=a..b dbname=x") as runner:
        runner.says('database "x": the host name "a..b" can\'t be looked up; check the')
