"""Taking over the chains of pg_timetable: when they run, what they do, what is said."""

import json
import subprocess
import tomllib
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from daemon.runner_process import Runner
from jobs import runs, step_runs
from pgagent_runner.cli import main
from psycopg.conninfo import make_conninfo
from support import poll

from .timetable import TABLES, add_chain, clocks_change, times

# A while before clocks go forward, and before they go back.
AFTER = [datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 10, 1, tzinfo=UTC)]
MANY = 100

# What people write, and what pg_timetable reads unlike cron: both kinds of days must hold.
SCHEDULES = [
    *(("* * * * *", "UTC"), ("*/5 * * * *", "UTC"), ("0 * * * *", "Europe/Berlin")),
    *(("30 2 * * *", "UTC"), ("30 2 * * *", "Europe/Berlin"), ("0 9 * * 1-5", "UTC")),
    *(
        ("30 1 * * *", "America/New_York"),
        ("0 0 1 * *", "UTC"),
        ("0 0 1,15 * *", "UTC"),
    ),
    *(
        ("0 9 1-7 * 1", "Europe/Berlin"),
        ("0 0 13 * 5", "UTC"),
        ("10/20 * * * *", "UTC"),
    ),
    *(("5 4 * * 7", "UTC"), ("0 0 * * 0", "Asia/Kolkata"), ("*/7 * * * *", "UTC")),
    *(("0 */6 * * *", "Asia/Kolkata"), ("0 0 29 2 *", "UTC"), ("0 0 31 * *", "UTC")),
    *(("15 8-17 * * 1-5", "UTC"), ("0 12 */2 * *", "UTC"), ("0 12 * * */2", "UTC")),
    *(("30 4 1 1,7 *", "UTC"), ("0 0 5/10 * 1/2", "UTC"), ("45 23 28-31 * 5", "UTC")),
    *(
        ("*/30 2 * * *", "Europe/Berlin"),
        ("0 0 */2 * */3", "UTC"),
        ("1 1 1 1 1", "UTC"),
    ),
]
OTHERS = {  # what times can't be equal of, and what is said
    "@every 1 hour 30 minutes": "counts from the schedule's start",
    "@every 00:00:10": "counts from the schedule's start",
    "@after 5 minutes": "counted from the end of a run",
    "@every 0 seconds": "no schedule: the interval",
    "@every 2 years": "no schedule: the interval",
}


def notes_of(done, job):
    """Return what was said of a job."""
    return [line for line in done.err.splitlines() if f" {job}: " in line]


def test_chains_run_when_they_would_have_run_or_it_is_said_why_not(
    import_, pg_timetable
):
    assert len(SCHEDULES) >= 20
    for number, (run_at, zone) in enumerate(SCHEDULES):
        add_chain(
            *(pg_timetable, f"chain {number:02}", run_at, "SELECT 1"),
            run_at_time_zone=zone,
        )

    done = import_("pg_timetable", "--apply", "--yes")

    assert done.status == 0
    differing = set()
    for number, (run_at, zone) in enumerate(SCHEDULES):
        name = f"chain {number:02}"
        for after in AFTER:
            expected = [*islice(times(run_at, zone, after), MANY)]
            ours = next_runs(pg_timetable, name, after)
            if ours == expected:
                continue
            differing.add((run_at, zone))
            assert any("where the clocks of" in note for note in notes_of(done, name))
            last = min(ours[-1], expected[-1])
            for moment in {*ours} ^ {*expected}:
                day = moment.astimezone(ZoneInfo(zone)).date()
                assert moment > last or clocks_change(day, zone), (name, moment)
    assert differing == {
        ("30 2 * * *", "Europe/Berlin"),
        ("*/30 2 * * *", "Europe/Berlin"),
        ("30 1 * * *", "America/New_York"),
    }


def next_runs(conn, job, after):
    query = (
        "SELECT run_at FROM pgagent.next_runs(%s::text, after => %s, max_rows => %s)"
    )
    rows = conn.execute(query, [job, after, MANY]).fetchall()
    return [run.astimezone(UTC) for (run,) in rows]


def test_what_fields_cannot_say_is_named(import_, pg_timetable):
    for run_at in OTHERS:
        add_chain(pg_timetable, run_at, run_at, "SELECT 1")
    add_chain(pg_timetable, "reboot", "@reboot", "SELECT 1")
    add_chain(pg_timetable, "never", None, "SELECT 1", max_instances=0)
    add_chain(pg_timetable, "each minute", None, "SELECT 1")

    done = import_("pg_timetable", "--apply", "--yes")

    for run_at, note in OTHERS.items():
        assert any(note in line for line in notes_of(done, run_at)), run_at
    schedules = pg_timetable.execute(
        "SELECT j.jobname, CASE WHEN s.jscid IS NOT NULL"
        " THEN pgagent.pga_schedule_text(s) END, j.jobenabled"
        " FROM pgagent.pga_job AS j"
        " LEFT JOIN pgagent.pga_schedule AS s ON s.jscjobid = j.jobid ORDER BY j.jobid"
    ).fetchall()
    assert {name: (text, enabled) for name, text, enabled in schedules} == {
        "@every 1 hour 30 minutes": ("@every 5400 seconds", True),
        "@every 00:00:10": ("@every 10 seconds", True),
        "@after 5 minutes": ("@every 300 seconds", True),
        "@every 0 seconds": (None, False),
        "@every 2 years": (None, False),
        "reboot": ("@reboot", True),
        "never": ("* * * * *", False),
        "each minute": ("* * * * *", True),
    }
    assert notes_of(done, "reboot") == []


# Columns of a chain, and what is said of it.
DIFFERENCES: list[tuple[dict[str, Any], str]] = [
    ({"live": False}, "disabled, as it was"),
    ({"max_instances": 3}, "max_instances = 3"),
    ({"exclusive_execution": True}, "exclusive_execution"),
    ({"self_destruct": True}, "self_destruct"),
    ({"client_name": "worker 1"}, "client_name = worker 1"),
    ({"on_error": "CALL tell_everybody()"}, "on_error"),
]


def test_each_attribute_without_a_counterpart_is_named(import_, pg_timetable):
    for number, (columns, _) in enumerate(DIFFERENCES):
        add_chain(pg_timetable, f"chain {number}", "0 0 * * *", "SELECT 1", **columns)
    add_chain(pg_timetable, "plain", "0 0 * * *", "SELECT 1", max_instances=1)

    done = import_("pg_timetable")

    for number, (_, word) in enumerate(DIFFERENCES):
        (note,) = notes_of(done, f"chain {number}")
        assert word in note
    assert notes_of(done, "plain") == []
    jobs = {job["name"]: job for job in tomllib.loads(done.out)["jobs"]}
    assert "CALL tell_everybody()" in jobs["chain 5"]["description"]
    assert jobs["chain 0"]["enabled"] is False


TASKS: dict[
    str, tuple[dict[str, object], str]
] = {  # what is unlike with a task, and what is said of it
    "mail": ({"kind": "BUILTIN", "command": "SendMail"}, "nothing here that does what"),
    "copy": (
        {"kind": "BUILTIN", "command": "CopyToFile"},
        "nothing here that does what",
    ),
    "empty": ({"command": "  "}, "its command is empty"),
    "too few": ({"command": "SELECT $2", "parameters": [["a"]]}, "no value for $2"),
    "no array": ({"command": "SELECT $1", "parameters": ["a"]}, "are no array"),
    "role elsewhere": (
        {"command": "SELECT 1", "run_as": "bob", "database_connection": "host=h"},
        "run_as = bob with a database_connection",
    ),
    "nowhere": (
        {"command": "SELECT 1", "database_connection": "host=h pool_max_conns=3"},
        "its database_connection can't be used",
    ),
    "kept host": (
        {"command": "SELECT 1", "database_connection": "host=${secret:h} dbname=x"},
        "more than the password",
    ),
    "kept": (
        {"kind": "PROGRAM", "command": "curl", "parameters": [["${secret:token}"]]},
        "a secret of pg_timetable",
    ),
}


def test_a_task_without_a_counterpart_disables_step_and_job(import_, pg_timetable):
    for name, (task, _) in TASKS.items():
        add_chain(pg_timetable, name, "0 0 * * *", "SELECT 1", task)

    done = import_("pg_timetable", "--apply", "--yes")

    for name, (_, note) in TASKS.items():
        assert any(note in line for line in notes_of(done, name)), name
    disabled = pg_timetable.execute(
        "SELECT j.jobname FROM pgagent.pga_job AS j JOIN pgagent.pga_jobstep AS s"
        " ON s.jstjobid = j.jobid WHERE NOT j.jobenabled AND NOT s.jstenabled"
    ).fetchall()
    assert {name for (name,) in disabled} == {*TASKS}


def test_passwords_are_neither_shown_nor_written(import_, pg_timetable, tmp_path):
    for number, connection in enumerate(
        (
            "host=h user=u password=hunter2 dbname=d",
            "postgresql://u:hunter2@h/d",
            "postgresql://u:${secret:pw}@h/d",
        )
    ):
        task = {"command": "SELECT 1", "database_connection": connection}
        add_chain(pg_timetable, f"chain {number}", "0 0 * * *", task)
    mail = {
        "kind": "BUILTIN",
        "command": "SendMail",
        "parameters": [{"password": "hunter2"}],
    }
    add_chain(pg_timetable, "mail", "0 0 * * *", mail)
    file = tmp_path / "jobs.toml"

    done = import_("pg_timetable", "--output", file)

    text = file.read_text()
    assert "hunter2" not in done.out + done.err + text
    assert done.out == ""
    conninfos = [
        step["conninfo"]
        for job in tomllib.loads(text)["jobs"]
        for step in job["steps"]
        if "conninfo" in step
    ]
    assert [dict(p.split("=") for p in c.split()) for c in conninfos] == 3 * [
        {"host": "h", "user": "u", "dbname": "d"}
    ]
    assert all("password" in notes_of(done, f"chain {n}")[0] for n in range(3))


def test_a_chain_does_as_a_job_what_it_did(import_, pg_timetable, dsn, tmp_path):
    marks = tmp_path / "it's here"
    pg_timetable.execute("CREATE TABLE public.done (what text, number integer)")
    insert = "INSERT INTO public.done VALUES ($1, $2)"
    add_chain(
        pg_timetable,
        "everything",
        "0 0 1 1 *",
        {"command": insert, "parameters": [["it's", 1], [None, 2]]},
        {"command": "SELECT 1/0", "ignore_error": True},
        {
            "kind": "PROGRAM",
            "command": "sh",
            "parameters": [
                ["-c", 'echo "$0" >> "$1"', f"a $b {n}", str(marks)] for n in "12"
            ],
        },
        {"kind": "BUILTIN", "command": "Sleep", "parameters": [0]},
        {"kind": "BUILTIN", "command": "Log", "parameters": [{"a": "it's"}]},
        {"kind": "BUILTIN", "command": "NoOp"},
        {"command": "VACUUM public.done", "autonomous": True},
        self_destruct=True,
    )
    import_("pg_timetable", "--apply", "--yes")
    pg_timetable.execute("SELECT pgagent.run_job('everything'::text)")

    with Runner(dsn):
        poll(lambda: runs(pg_timetable) and runs(pg_timetable)[0][0] != "r", 20)

    assert [row[1] for row in step_runs(pg_timetable)] == [*"sissssss"]
    assert runs(pg_timetable)[0][0] == "s"
    done = pg_timetable.execute("SELECT * FROM public.done ORDER BY number").fetchall()
    assert done == [("it's", 1), (None, 2)]
    assert marks.read_text() == "a $b 1\na $b 2\n"
    enabled = "SELECT jobenabled FROM pgagent.pga_job"
    assert pg_timetable.execute(enabled).fetchone() == (False,)


def test_chains_of_other_clients_are_left_out_if_one_is_named(import_, pg_timetable):
    for name, client in (("ours", "a"), ("theirs", "b"), ("anybody's", None)):
        add_chain(pg_timetable, name, "0 0 * * *", "SELECT 1", client_name=client)
    pg_timetable.execute(
        "INSERT INTO timetable.task (task_order, command) VALUES (1, 'SELECT 1')"
    )

    done = import_("pg_timetable", "--client", "a")

    names = {job["name"] for job in tomllib.loads(done.out)["jobs"]}
    assert names == {"ours", "anybody's"}
    assert "2 jobs, 2 left out" in done.err
    assert "left out: only the client b runs it" in done.err
    assert "left out: it belongs to no chain" in done.err


def test_a_file_of_chains_can_be_applied_and_differs_from_nothing_then(
    import_, pg_timetable, dsn, tmp_path
):
    for number, (run_at, zone) in enumerate(SCHEDULES):
        chain = f"chain {number:02}"
        add_chain(pg_timetable, chain, run_at, "SELECT 1", run_at_time_zone=zone)
    for name, (task, _) in TASKS.items():
        add_chain(pg_timetable, name, "@every 90 seconds", task, timeout=1500)
    for number, (columns, _) in enumerate(DIFFERENCES):
        add_chain(pg_timetable, f"other {number}", "@reboot", "SELECT 1", **columns)
    file = str(tmp_path / "chains.toml")
    assert import_("pg_timetable", "--output", file).status == 0

    assert main(["apply", file, "--yes", "-d", dsn]) == 0
    assert main(["plan", file, "-d", dsn]) == 0

    jobs = "SELECT count(*) FROM pgagent.pga_job"
    chains = "SELECT count(*) FROM timetable.chain"
    assert (
        pg_timetable.execute(jobs).fetchone() == pg_timetable.execute(chains).fetchone()
    )


def test_chains_may_come_from_another_database(import_, conn, cluster):
    conn.execute("CREATE DATABASE elsewhere")
    elsewhere = cluster.conninfo("elsewhere")
    with closing(psycopg.connect(elsewhere, autocommit=True)) as theirs:
        theirs.execute(TABLES)
        add_chain(theirs, "a", "0 0 * * *", "SELECT 1")
    try:
        done = import_(
            "pg_timetable", "--from", elsewhere, "--apply", "--yes", "--json"
        )
    finally:
        conn.execute("DROP DATABASE elsewhere")
    databases = "SELECT jstdbname FROM pgagent.pga_jobstep"
    assert conn.execute(databases).fetchall() == [("elsewhere",)]
    assert "all jobs: its database is one of the runner's server" in done.err
    assert {row["action"] for row in json.loads(done.out)} == {"create"}


def test_a_second_import_leaves_alone_what_is_there(import_, pg_timetable):
    add_chain(pg_timetable, "a", "0 0 * * *", "SELECT 1")
    assert import_("pg_timetable", "--apply", "--yes").status == 0
    pg_timetable.execute("UPDATE timetable.task SET command = 'SELECT 2'")
    code = "SELECT jstcode FROM pgagent.pga_jobstep"

    again = import_("pg_timetable", "--apply", "--yes")

    assert "left out: there is a job of this name" in again.err
    assert pg_timetable.execute(code).fetchall() == [("SELECT 1",)]
    import_("pg_timetable", "--apply", "--yes", "--replace")
    assert pg_timetable.execute(code).fetchall() == [("SELECT 2",)]


def test_chains_of_older_versions_have_the_zone_of_the_server(import_, pg_timetable):
    pg_timetable.execute(
        "ALTER TABLE timetable.chain DROP COLUMN run_at_time_zone, DROP COLUMN on_error"
    )
    add_chain(pg_timetable, "a", "0 0 * * *", "SELECT 1")
    done = import_("pg_timetable")
    assert "times are in" in done.err
    (schedule,) = tomllib.loads(done.out)["jobs"][0]["schedules"]
    assert schedule["timezone"]


def test_names_and_texts_may_hold_anything(import_, pg_timetable):
    odd = ['it\'s "odd"', "two\nlines", "ü ∞ \t", "'''", '"""', "\\", "#[[jobs]]"]
    for name in odd:
        add_chain(pg_timetable, name, "0 0 * * *", f"SELECT $x${name}$x$")
    done = import_("pg_timetable")
    jobs = tomllib.loads(done.out)["jobs"]
    assert {job["name"] for job in jobs} == {*odd}
    assert {job["steps"][0]["command"] for job in jobs} == {
        f"SELECT $x${n}$x$" for n in odd
    }
    assert import_("pg_timetable", "--apply", "--yes").status == 0
    names = pg_timetable.execute("SELECT jobname FROM pgagent.pga_job").fetchall()
    assert {name for (name,) in names} == {*odd}


REFUSED = {
    "DROP SCHEMA timetable CASCADE": "there is no table timetable.chain",
    "DROP TABLE timetable.parameter": "timetable.parameter",
    # Somebody else's function would be called with our rights.
    "ALTER TABLE timetable.parameter RENAME TO p;"
    " CREATE VIEW timetable.parameter AS SELECT * FROM timetable.p": "timetable.parameter",
    "ALTER TABLE timetable.chain ENABLE ROW LEVEL SECURITY": "timetable.chain",
    "ALTER TABLE timetable.chain DROP COLUMN chain_name": "chain_name",
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_is_no_pg_timetable_is_not_read(import_, pg_timetable, change):
    pg_timetable.execute(change)
    done = import_("pg_timetable")
    assert done.status == 1
    assert REFUSED[change] in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    "granted", ["SELECT 1", "GRANT USAGE ON SCHEMA timetable TO weak"]
)
def test_a_role_that_may_not_read_it_is_told_so(pg_timetable, dsn, capsys, granted):
    pg_timetable.execute("CREATE ROLE weak LOGIN")
    try:
        pg_timetable.execute(granted)
        status = main(["import", "pg_timetable", "-d", make_conninfo(dsn, user="weak")])
    finally:
        pg_timetable.execute("DROP OWNED BY weak; DROP ROLE weak")
    assert status == 1
    told = capsys.readouterr().err
    assert 'the role "weak" may not read timetable.chain: that takes USAGE' in told


def test_no_function_of_the_owner_of_the_tables_is_called(import_, pg_timetable):
    add_chain(pg_timetable, "a", "0 0 * * *", "SELECT 1")
    for target in ("json", "text"):
        pg_timetable.execute(f"""
            CREATE FUNCTION timetable.catch_{target}(timetable.command_kind)
            RETURNS {target} LANGUAGE plpgsql AS
            $$BEGIN RAISE EXCEPTION 'caught'; END$$;
            CREATE CAST (timetable.command_kind AS {target})
            WITH FUNCTION timetable.catch_{target}(timetable.command_kind) AS IMPLICIT
        """)
    assert import_("pg_timetable").status == 0


def test_all_calls_of_a_program_are_made_and_one_that_fails_counts(
    import_, pg_timetable
):
    task = {
        "kind": "PROGRAM",
        "command": "sh",
        "parameters": [["-c", "exit 3"], ["-c", "echo b"]],
    }
    add_chain(pg_timetable, "a", "0 0 * * *", task)
    (job,) = tomllib.loads(import_("pg_timetable").out)["jobs"]
    script = job["steps"][0]["command"]
    run = subprocess.run(
        ["/bin/sh"], check=False, input=script, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (1, "b\n")


def test_json_of_the_structure_has_only_what_is_not_the_default(import_, pg_timetable):
    add_chain(pg_timetable, "a", "0 0 * * *", "SELECT 1", run_at_time_zone="UTC")
    (job,) = tomllib.loads(import_("pg_timetable").out)["jobs"]
    database = pg_timetable.info.dbname
    assert job == {
        "name": "a",
        "steps": [{"name": "1 task 1", "command": "SELECT 1", "database": database}],
        "schedules": [
            {"name": "0 0 * * *", "schedule": "0 0 * * *", "timezone": "UTC"}
        ],
    }, json.dumps(job)
