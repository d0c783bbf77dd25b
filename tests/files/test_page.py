"""docs/files.md, followed to the letter."""

import os
import re
import subprocess

import pytest
from daemon.runner_process import PGAGENT
from documents import block, inline
from support import ROOT

PAGE = (ROOT / "docs/files.md").read_text()
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def shell(pgagent, elsewhere, tmp_path):
    """Execute commands of the page in a folder, with two services to speak of."""
    services = "".join(
        f"[{name}]\nhost={pgagent.environ['PGHOST']}\nport={pgagent.environ['PGPORT']}\n"
        f"user={pgagent.environ['PGUSER']}\ndbname={dbname}\n"
        for name, dbname in (
            ("old", pgagent.environ["PGDATABASE"]),
            ("new", "elsewhere"),
        )
    )
    (tmp_path / "services").write_text(services)

    def run(command):
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            env=pgagent.environ
            | {
                "PATH": f"{PGAGENT.parent}:{os.environ['PATH']}",
                "PGSERVICEFILE": str(tmp_path / "services"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_first_steps(conn, shell, tmp_path):
    (tmp_path / "jobs.toml").write_text(EXAMPLE)
    done = shell(inline("docs/files.md", "pgagent apply jobs.toml --yes"))
    assert (done.returncode, done.stderr) == (0, ""), done
    assert conn.execute(
        "SELECT jobname, jobtimeout::text, jobset FROM pgagent.pga_job"
    ).fetchall() == [("nightly", "02:00:00", "jobs")]
    export, plan, apply = block(
        "docs/files.md", "pgagent export >jobs.toml"
    ).splitlines()
    for command in (export, plan, apply):
        done = shell(command)
        assert (done.returncode, done.stderr) == (0, ""), done
    assert "nothing differs" in done.stdout


def test_prune(conn, shell, tmp_path):
    (tmp_path / "jobs.toml").write_text('format = 1\nset = "backup"\n')
    conn.execute(
        "SELECT pgagent.create_job('nightly'), pgagent.create_job('of nobody')"
    )
    conn.execute(inline("docs/files.md", "UPDATE pgagent.pga_job SET jobset"))
    done = shell(f"{inline('docs/files.md', 'pgagent apply jobs.toml --prune')} --yes")
    assert done.returncode == 0, done
    assert conn.execute("SELECT jobname FROM pgagent.pga_job").fetchall() == [
        ("of nobody",)
    ]


def test_files_beside_and_over_it(conn, shell, tmp_path):
    conn.execute(
        "SELECT pgagent.create_job('x'), pgagent.add_step('x', '1', 'SELECT 1')"
    )
    for command in (
        inline("docs/files.md", "pgagent export --output jobs.toml --command-files"),
        inline("docs/files.md", "pgagent export -o jobs.toml"),
    ):
        done = shell(command)
        assert (done.returncode, done.stderr) == (0, ""), done
    assert (tmp_path / "jobs/x/1.sql").read_text() == "SELECT 1"
    assert "command_file" in (tmp_path / "jobs.toml").read_text()


def test_from_server_to_server(conn, elsewhere, shell):
    conn.execute("SELECT pgagent.create_job('x'), pgagent.create_job('y')")
    elsewhere.execute("SELECT pgagent.create_job('y'), pgagent.create_job('z')")
    export, plan, apply = block(
        "docs/files.md", "pgagent export -d service=old"
    ).splitlines()
    assert shell(export).returncode == 0
    assert shell(plan).returncode == 2
    done = shell(f"{apply} --yes")
    assert done.returncode == 0, done
    assert elsewhere.execute(
        "SELECT jobname FROM pgagent.pga_job ORDER BY 1"
    ).fetchall() == [
        ("x",),
        ("y",),
        ("z",),
    ]
