"""docs/importing.md: its commands do what it says."""

import shlex
import subprocess
import tomllib

import pytest
from cluster import Cluster
from daemon.runner_process import PGAGENT
from documents import block
from verbs.imports.timetable import TABLES, add_chain

CRONTAB = "0 3 * * * /bin/true\n"


@pytest.fixture
def follow(cluster, tmp_path):
    """Execute a command of the page, with words replaced; return the process."""

    def follow(command, **replaced):
        for word, text in replaced.values():
            assert word in command
            command = command.replace(word, text)
        environ = cluster.client_environ()
        return subprocess.run(
            ["/bin/sh", "-ec", command],
            env=environ | {"PATH": f"{tmp_path}:{PGAGENT.parent}:{environ['PATH']}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )

    return follow


def test_the_chains_of_pg_timetable_come_into_a_file(follow, conn, dsn, tmp_path):
    conn.execute(TABLES)
    add_chain(conn, "nightly", "0 3 * * *", "SELECT 1")
    follow(
        block("docs/importing.md", "pgagent import pg_timetable -d app --output"),
        database=("-d app", f"-d {shlex.quote(dsn)}"),
    )
    (job,) = tomllib.loads((tmp_path / "chains.toml").read_text())["jobs"]
    assert job["name"] == "nightly"


def test_the_chains_of_pg_timetable_move_at_one_moment(follow, conn, dsn):
    conn.execute(TABLES)
    add_chain(conn, "nightly", "0 3 * * *", "SELECT 1")
    add_chain(conn, "off", "0 3 * * *", "SELECT 1", live=False)
    mail = {"kind": "BUILTIN", "command": "SendMail"}
    add_chain(conn, "mail", "0 3 * * *", mail)
    follow(
        block("docs/importing.md", "pgagent import pg_timetable -d app --disabled"),
        database=("-d app", f"-d {shlex.quote(dsn)}"),
        answer=("--apply", "--apply --yes"),
    )
    enabled = "SELECT jobname FROM pgagent.pga_job WHERE jobenabled"
    assert conn.execute(enabled).fetchall() == []

    conn.execute(block("docs/importing.md", "WITH stopped AS"))

    assert conn.execute(enabled).fetchall() == [("nightly",)]
    live = "SELECT count(*) FROM timetable.chain WHERE live"
    assert conn.execute(live).fetchone() == (0,)


@pytest.mark.needs("pg_cron")
def test_the_jobs_of_pg_cron_come_into_a_file(tmp_path, follow):
    settings = {
        "shared_preload_libraries": "pg_cron",
        "cron.launch_active_jobs": "off",
    }
    with Cluster(settings) as server:
        add = (
            "CREATE EXTENSION pg_cron; SELECT cron.schedule('a', '@daily', 'SELECT 1')"
        )
        psql = [str(server.bindir / "psql"), "-c", add]
        subprocess.run(psql, env=server.client_environ(), check=True)
        follow(
            block("docs/importing.md", "pgagent import pg_cron"),
            database=("-d postgres", f"-d {shlex.quote(server.conninfo())}"),
        )
    (job,) = tomllib.loads((tmp_path / "jobs.toml").read_text())["jobs"]
    assert job["name"] == "a"


def test_a_crontab_comes_into_a_file(follow, tmp_path):
    program = tmp_path / "crontab"
    program.write_text(f"#!/bin/sh\ntest \"$1\" = -l && printf '%s' '{CRONTAB}'\n")
    program.chmod(0o755)
    follow(block("docs/importing.md", "crontab -l"))
    (job,) = tomllib.loads((tmp_path / "crontab.toml").read_text())["jobs"]
    assert job["name"] == "crontab line 1"


def test_crontabs_of_the_system_come_into_a_file(follow, tmp_path):
    (tmp_path / "system").write_text("0 3 * * * root /bin/true\n")
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (folder / "own").write_text("0 3 * * * postgres /bin/true\n")
    follow(
        block("docs/importing.md", "pgagent import crontab /etc/crontab"),
        system=("/etc/crontab", "system"),
        folder=("/etc/cron.d/", "cron.d/"),
    )
    jobs = tomllib.loads((tmp_path / "system.toml").read_text())["jobs"]
    assert [(job["name"], job.get("enabled", True)) for job in jobs] == [
        ("system line 1", False),
        ("own line 1", True),
    ]
