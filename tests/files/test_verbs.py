"""pgagent export, plan and apply, as they are typed."""

import os
import pty
import select
import subprocess
import time

import psycopg
import pytest
from daemon.runner_process import PGAGENT

from .many import definitions, make

NIGHTLY = """\
format = 1

[[jobs]]
name = "nightly"

[[jobs.steps]]
name = "1 load"
command = '''
SELECT 1;
SELECT 2;
'''

[[jobs.schedules]]
schedule = "@daily"
timezone = "UTC"
"""


@pytest.fixture
def nightly(tmp_path):
    path = tmp_path / "nightly.toml"
    path.write_text(NIGHTLY)
    return path


def test_what_is_printed_makes_the_same_jobs_elsewhere(
    conn, elsewhere, pgagent, pgagent_elsewhere, tmp_path
):
    make(conn)
    text = pgagent.prints("export")
    (tmp_path / "jobs.toml").write_bytes(text.encode())

    assert pgagent.prints("plan", "jobs.toml") == "nothing differs\n"
    pgagent_elsewhere.prints("plan", "jobs.toml", status=2)
    pgagent_elsewhere.prints("apply", "jobs.toml", "--yes")
    assert pgagent_elsewhere.prints("plan", "jobs.toml") == "nothing differs\n"
    assert pgagent_elsewhere.prints("export") == f'{text[:11]}set = "jobs"\n{text[11:]}'
    assert len(definitions(elsewhere)) == len(definitions(conn))


def test_a_plan_reads_well(pgagent, nightly):
    assert (
        pgagent.prints("plan", "nightly.toml", status=2)
        == f"""\
+ job nightly
    + step 1 load
        database: {pgagent.environ["PGDATABASE"]}
        command:
            @@ -0,0 +1,2 @@
            +SELECT 1;
            +SELECT 2;
    + schedule @daily
        schedule: 0 0 * * *
        timezone: UTC
3 to create, 0 to alter, 0 to drop.
"""
    )
    pgagent.prints("apply", "nightly.toml", "--yes")
    nightly.write_text(
        NIGHTLY.replace("SELECT 2", "SELECT 3").replace("@daily", "@hourly")
        + '[[jobs]]\nname = "x"\ntimeout = 90\n[[classes]]\nname = "c"\n'
    )
    assert (
        pgagent.prints("plan", "nightly.toml", status=2)
        == """\
+ class c
~ job nightly
    ~ step 1 load
        command:
            @@ -1,2 +1,2 @@
             SELECT 1;
            -SELECT 2;
            +SELECT 3;
    + schedule @hourly
        schedule: 0 * * * *
        timezone: UTC
    - schedule @daily
+ job x
    timeout: 00:01:30
3 to create, 1 to alter, 1 to drop.
"""
    )


def test_rows_are_for_programs(pgagent, nightly):
    lines = pgagent.prints("plan", "nightly.toml", "--csv", status=2).splitlines()
    assert lines[0] == "job,object,action,attribute,old,new"
    assert "nightly,job,create,,," in lines


def test_control_characters_reach_no_terminal(pgagent, nightly):
    nightly.write_text('format = 1\n[[jobs]]\nname = "a\\u001b[31mb"\n')
    assert "\x1b" not in pgagent.prints("plan", "nightly.toml", status=2)


def test_without_a_terminal_nothing_is_done_unasked(conn, pgagent, nightly):
    done = pgagent("apply", "nightly.toml")
    assert done.returncode == 1
    assert b"Say --yes" in done.stderr
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)


class Terminal:
    """The command at a terminal, to be answered."""

    def __init__(self, pgagent, *words):
        self.main, other = pty.openpty()
        self.process = subprocess.Popen(
            [PGAGENT, *words], cwd=pgagent.folder, env=pgagent.environ,
            stdin=other, stdout=other, stderr=other, close_fds=True,
        )  # fmt: skip
        os.close(other)
        self.seen = b""

    def await_(self, text, deadline=20):
        end = time.monotonic() + deadline
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.main], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.main, 65536)
                except OSError:
                    break
        assert text in self.seen

    def answer(self, text):
        os.write(self.main, text)
        while True:
            try:
                data = os.read(self.main, 65536)
            except OSError:
                break
            if not data:
                break
            self.seen += data
        os.close(self.main)
        return self.process.wait(timeout=20)


@pytest.mark.parametrize(
    ("answer", "count", "status"), [(b"y\n", 1, 0), (b"n\n", 0, 1), (b"\n", 0, 1)]
)
def test_at_a_terminal_the_plan_is_shown_and_asked_for(
    conn, pgagent, nightly, answer, count, status
):
    terminal = Terminal(pgagent, "apply", "nightly.toml")
    terminal.await_(b"[y/N]")
    assert b"+ job nightly" in terminal.seen
    assert conn.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    ).fetchone() == (0,)
    assert terminal.answer(answer) == status
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (count,)


def test_what_changes_meanwhile_is_not_overwritten_unseen(conn, pgagent, nightly):
    pgagent.prints("apply", "nightly.toml", "--yes")
    nightly.write_text(NIGHTLY.replace("SELECT 2", "SELECT 3"))
    terminal = Terminal(pgagent, "apply", "nightly.toml")
    terminal.await_(b"[y/N]")
    conn.execute("UPDATE pgagent.pga_job SET jobdesc = 'by hand'")
    assert terminal.answer(b"y\n") == 1
    assert b"changed meanwhile" in terminal.seen
    assert conn.execute("SELECT jobdesc FROM pgagent.pga_job").fetchone() == (
        "by hand",
    )


def test_the_name_of_the_file_is_its_set(conn, pgagent, nightly):
    pgagent.prints("apply", "nightly.toml", "--yes")
    assert conn.execute("SELECT jobset FROM pgagent.pga_job").fetchone() == ("nightly",)
    nightly.write_text("format = 1\n")
    assert pgagent.prints("plan", "nightly.toml") == "nothing differs\n"
    assert "- job nightly\n" in pgagent.prints(
        "plan", "nightly.toml", "--prune", status=2
    )
    pgagent.prints("apply", "nightly.toml", "--prune", "--yes")
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)


def test_errors_are_one_sentence(pgagent, nightly):
    assert pgagent.refuses("plan", "none.toml") == (
        "pgagent plan: none.toml can't be read: No such file or directory"
    )
    nightly.write_text("jobs = \n")
    assert pgagent.refuses("apply", "nightly.toml").startswith(
        "pgagent apply: nightly.toml is not TOML: "
    )
    nightly.write_bytes(b'jobs = "\xff"\n')
    assert (
        pgagent.refuses("plan", "nightly.toml")
        == "pgagent plan: nightly.toml is not UTF-8, at byte 8"
    )
    nightly.write_text("jobs = " + "[" * 2000)
    assert (
        pgagent.refuses("plan", "nightly.toml")
        == "pgagent plan: nightly.toml is nested too deeply"
    )
    nightly.write_text('format = 1\njobs = [{ name = "x", timeouts = 1 }]\n')
    assert pgagent.refuses("plan", "nightly.toml").startswith(
        'pgagent plan: jobs[1]: "timeouts" is not known (Known are name, description,'
    )
    assert pgagent.refuses("export", "nobody").startswith(
        'pgagent export: there is no job "nobody"'
    )
    # 2 would say that something differs.
    assert pgagent("plan", "nightly.toml", "-d", "host").returncode == 1


def test_commands_stand_in_files_of_their_own(conn, pgagent, tmp_path):
    conn.execute(
        "SELECT pgagent.create_job('a/b'), pgagent.add_step('a/b', '../1', E'SELECT 1\\r\\n'),"
        " pgagent.add_step('a/b', '..?1', 'true', kind => 'batch'), pgagent.add_step('a/b', '..*1', 'SELECT 2')"
    )
    pgagent.prints("export", "--output", "jobs.toml", "--command-files")
    files = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    text = files.pop("jobs.toml").decode()
    assert files == {
        "jobs/a_b/.._1.sql": b"SELECT 2",
        "jobs/a_b/.._1_.sql": b"SELECT 1\r\n",
        "jobs/a_b/.._1.sh": b"true",
    }
    assert "command = " not in text
    assert pgagent.prints("plan", "jobs.toml") == "nothing differs\n"
    (tmp_path / "jobs/a_b/.._1.sh").write_text("false")
    assert "command: true -> false" in pgagent.prints("plan", "jobs.toml", status=2)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", "link"])
def test_no_file_elsewhere_is_sent_to_the_database(pgagent, tmp_path, name):
    (tmp_path.parent / "x").write_text("secret")
    (tmp_path / "link").symlink_to("/etc/passwd")
    text = f'format = 1\n[[jobs]]\nname = "x"\n[[jobs.steps]]\nname = "1"\ncommand_file = "{name}"\n'
    (tmp_path / "jobs.toml").write_text(text)
    assert "jobs[1], steps[1], command_file: " in pgagent.refuses("plan", "jobs.toml")


def test_bytes_that_toml_can_not_have_are_refused(cluster, conn, pgagent):
    conn.execute("DROP DATABASE IF EXISTS files_ascii")
    conn.execute(
        "CREATE DATABASE files_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    try:
        with psycopg.connect(
            cluster.conninfo("files_ascii"), autocommit=True
        ) as ascii_:
            ascii_.execute("CREATE EXTENSION pgagent")
            ascii_.execute(
                b"SELECT pgagent.create_job('\xe9t\xe9'), pgagent.create_job('sound')"
            )
        pgagent.environ = pgagent.environ | {"PGDATABASE": "files_ascii"}
        assert pgagent.refuses("export") == (
            'pgagent export: job "\\xe9t\\xe9" has bytes that are not UTF-8, as TOML has to be'
        )
        assert "sound" in pgagent.prints("export", "sound")
    finally:
        conn.execute("DROP DATABASE files_ascii WITH (FORCE)")
