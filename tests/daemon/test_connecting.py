"""The ways to name the catalogue's database are those of libpq."""

import pytest
from jobs import add_job, batch, step_runs

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
