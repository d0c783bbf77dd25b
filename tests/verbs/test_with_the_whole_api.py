"""Verbs whose functions come with the rest of the API: pause, unpause, copy, next."""

import shlex
import subprocess

import pytest
from daemon.runner_process import PGAGENT
from documents import commands_of, inline
from jobs import add_job


def paused(conn):
    """Return how many pauses there are, of jobs and of all."""
    current = "SELECT FROM pgagent.pga_jobpause WHERE jpsuntil > now()"
    return conn.execute(current).rowcount


def test_a_job_is_paused_and_unpaused(conn, pgagent, nightly):
    assert pgagent.prints("pause", "nightly") == 'job "nightly" is paused\n'
    assert paused(conn) == 1
    assert pgagent.prints("unpause", "nightly") == 'job "nightly" is paused no more\n'
    assert paused(conn) == 0
    done = pgagent("unpause", "nightly")
    assert done.returncode == 0
    assert "nightly" in done.stderr  # a notice: it was not paused


def test_a_pause_has_an_end_and_a_reason(conn, pgagent, nightly):
    printed = pgagent.prints(
        *("pause", "nightly", "--until", "2099-01-31 06:00", "--reason", "new disks")
    )
    assert printed == 'job "nightly" is paused until 2099-01-31 06:00:00+01\n'
    rows = conn.execute("SELECT p::text FROM pgagent.pga_jobpause AS p").fetchall()
    assert "new disks" in rows[0][0]
    assert "2099-01-31" in rows[0][0]
    (row,) = pgagent.json("pause", "nightly", "--for", "2 hours")
    assert row["job"] == "nightly"
    assert row["paused_until"] < "2099"
    assert paused(conn) == 1


def test_all_jobs_are_paused_and_a_single_pause_outlives_that(conn, pgagent, nightly):
    pgagent.prints("pause", "nightly")
    assert pgagent.prints("pause", "--all") == "all jobs are paused\n"
    assert paused(conn) == 2
    printed = pgagent.prints("unpause", "--all")
    assert printed == (
        "there is no pause of all jobs any more; paused by themselves, and still so: 1\n"
    )
    assert paused(conn) == 1
    pgagent.prints("unpause", "nightly")
    printed = pgagent("unpause", "--all").stdout
    assert printed == "there is no pause of all jobs any more\n"


def test_a_job_whose_own_pause_ends_is_said_to_be_paused_if_all_are(
    conn, pgagent, nightly
):
    pgagent.prints("pause", "nightly")
    pgagent.prints("pause", "--all")
    printed = pgagent.prints("unpause", "nightly")
    assert printed == 'job "nightly" is still paused, as all jobs are\n'


def test_of_several_jobs_all_are_paused_or_none(conn, pgagent, nightly):
    add_job(conn, name="other", due=None)
    pgagent.refuses("pause", "nightly", "x")
    assert paused(conn) == 0
    printed = pgagent.prints("pause", "nightly", "other")
    assert printed == 'jobs "nightly", "other" are paused\n'
    assert paused(conn) == 2


def test_a_pause_is_seen_in_the_list_and_in_what_explains_it(conn, pgagent, nightly):
    pgagent.prints("pause", "nightly", "--reason", "new disks")
    assert "paused" in str(pgagent.json("show", "nightly"))
    assert "new disks" in pgagent.prints("explain", "nightly")


def test_a_job_is_copied(conn, pgagent, nightly):
    printed = pgagent.prints("copy", "nightly", "weekly")
    assert printed.startswith('job "weekly" has been made, with the id ')
    assert printed.endswith("; it is disabled\n")
    copy, original = pgagent.json("show", "weekly"), pgagent.json("show", "nightly")
    assert copy["enabled"] is False
    assert [s["command"] for s in copy["steps"]] == [
        s["command"] for s in original["steps"]
    ]
    assert [s["text"] for s in copy["schedules"]] == ["30 2 * * *"]
    assert copy["exceptions"] == original["exceptions"]
    (row,) = pgagent.json("copy", "nightly", "monthly", "--enable")
    assert row["enabled"] is True
    assert pgagent.json("show", "monthly")["enabled"] is True
    assert '"weekly"' in pgagent.refuses("copy", "nightly", "weekly")


def test_the_next_runs_of_all_jobs_come_in_order(conn, pgagent, nightly):
    conn.execute("""
        SELECT pgagent.schedule('often', '*/5 * * * *', 'SELECT 1');
        SELECT pgagent.schedule('not', '* * * * *', 'SELECT 1', active => false);
    """)
    rows = pgagent.json("next", "--limit", 1000, "--until", "now")
    assert rows == []
    rows = pgagent.json("next", "--limit", 600)
    assert [row["run_at"] for row in rows] == sorted(row["run_at"] for row in rows)
    assert {row["job"] for row in rows} == {"often", "nightly"}
    assert len(rows) == 600
    assert len(pgagent.json("next")) == 10
    # A disabled one is asked for by its name only.
    assert pgagent.json("next", "not", "-n", 1)[0]["job"] == "not"


def test_where_no_job_has_a_schedule_nothing_comes_next(conn, pgagent):
    assert pgagent.prints("next") == "No schedule starts any job.\n"


def test_where_nothing_comes_next_until_then_that_is_said(conn, pgagent, nightly):
    printed = pgagent.prints("next", "nightly", "--until", "yesterday")
    assert printed == "No schedule starts it until then.\n"


def test_the_pauses_of_the_documents_are_pauses(conn, pgagent):
    add_job(conn, name="etl", due=None)
    for command, count in (
        (inline("README.md", "pgagent pause"), 1),
        (inline("docs/operating.md", "pgagent pause --all"), 1),
        (inline("docs/operating.md", "pgagent pause etl"), 2),
        (inline("docs/operating.md", "pgagent unpause"), 1),
    ):
        pgagent.prints(*shlex.split(command)[1:])
        assert paused(conn) == count, command
    assert pgagent.json("next") == []


@pytest.mark.parametrize("verb", ["pause", "unpause", "copy", "next"])
def test_the_commands_of_the_page_work(conn, pgagent, nightly, verb):
    environ = pgagent.environ | {"PATH": f"{PGAGENT.parent}:/usr/bin:/bin"}
    lines = [
        line
        for command in commands_of("docs/cli.md")
        for line in command.text.splitlines()
        if line.split()[:2] == ["pgagent", verb]
    ]
    assert lines
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)


def test_the_levels_of_the_table_suffice(conn, dsn, pgagent, nightly):
    for level, words in (
        ("operator", ("pause", "nightly")),
        ("operator", ("unpause", "--all")),
        ("editor", ("copy", "nightly", "other")),
    ):
        conn.execute("CREATE ROLE pga_helper LOGIN")
        try:
            conn.execute("SELECT pgagent.grant_access(%s, 'pga_helper')", [level])
            done = pgagent(*words, PGUSER="pga_helper")
            assert done.returncode == 0, done.stderr
        finally:
            conn.execute("DROP OWNED BY pga_helper; DROP ROLE pga_helper")
