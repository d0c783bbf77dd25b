"""list, show, next, runs, logs and explain say what views and functions say."""

import csv
import io
import re

import pytest


def test_a_list_has_a_line_for_each_job(conn, pgagent, nightly):
    conn.execute("SELECT pgagent.create_job('by hand', enabled => false)")
    head, rule, first, second = pgagent.prints("list").splitlines()
    assert [word.strip() for word in head.split("|")] == [
        *("job_id", "job", "state", "next_run", "last_run", "last_status", "schedule")
    ]
    assert set(rule) == {"-", "+"}
    cells = [cell.strip() for cell in first.split("|")]
    assert cells[1:3] == ["by hand", "disabled"]
    cells = [cell.strip() for cell in second.split("|")]
    assert cells[:3] == [str(nightly), "nightly", "waiting"]
    assert cells[5:] == ["failed", "30 2 * * *"]


def test_a_list_for_programs_has_all_columns_of_the_view(conn, pgagent, nightly):
    columns = [c.name for c in conn.execute("TABLE pgagent.job_status").description]
    (job,) = pgagent.json("list")
    assert list(job) == columns
    head, row = csv.reader(io.StringIO(pgagent.prints("list", "--csv")))
    assert head == columns
    assert row[columns.index("enabled")] == "true"
    expanded = pgagent.prints("list", "-x").splitlines()
    assert expanded[0].startswith("-[ RECORD 1 ]-")
    assert {line.split("|")[0].strip() for line in expanded[1:]} == set(columns)


def test_a_list_of_what_has_failed_leaves_out_the_rest(conn, pgagent, nightly):
    conn.execute("SELECT pgagent.create_job('by hand')")
    assert [job["job"] for job in pgagent.json("list", "--failed")] == ["nightly"]
    conn.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 's'")
    assert pgagent.prints("list", "--failed") == "No job has failed.\n"
    assert pgagent.json("list", "--failed") == []


def test_a_list_says_what_keeps_a_job_from_running(conn, pgagent, nightly):
    assert "problem" not in pgagent.prints("list")
    # As a restored copy may have it, from a server that knows more of the world.
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute("UPDATE pgagent.pga_schedule SET jsctimezone = 'Mars/Olympus'")
    assert "a time zone that this server does not know" in pgagent.prints("list")


def test_an_empty_database_has_no_jobs_and_says_so(conn, pgagent):
    assert pgagent.prints("list") == "There are no jobs.\n"
    assert pgagent.prints("runs") == "There is no such run.\n"
    for verb in ("list", "runs"):
        assert pgagent.json(verb) == []
        assert pgagent.prints(verb, "--csv").count("\n") == 1


def test_a_job_is_shown_with_all_its_parts(pgagent, nightly):
    shown = pgagent.json("show", "nightly")
    assert (shown["job_id"], shown["description"]) == (nightly, "all of it")
    assert shown["timeout"] == "01:00:00"
    assert [shown[name] for name in ("late_after", "disable_after")] == [
        "00:05:00",
        None,
    ]
    assert [shown[name] for name in ("succeeded", "failed", "aborted", "empty")] == [
        0
    ] * 4
    dump, report = shown["steps"]
    assert (dump["step"], dump["kind"], dump["on_error"]) == ("1 dump", "sql", "fail")
    assert (report["kind"], report["command"]) == ("batch", "echo a\necho b")
    (schedule,) = shown["schedules"]
    assert schedule["text"] == "30 2 * * *"
    assert schedule["timezone"] == "Europe/Berlin"
    assert shown["exceptions"] == [
        {"schedule": "at night", "date": "2099-12-25", "time": None}
    ]

    text = pgagent.prints("show", nightly)
    for part in ("all of it", "steps:", "2 report", "schedules:", "at night", "2099"):
        assert part in text
    assert re.search(r"^timeout +\| 1 h 0 min$", text, re.MULTILINE)
    assert re.search(r"\| echo a\n[ |]+echo b$", text, re.MULTILINE)
    assert "overlap" in text
    assert "problem" not in text  # there is none

    rows = list(csv.reader(io.StringIO(pgagent.prints("show", "nightly", "--csv"))))
    assert ["job", "nightly", "description", "all of it"] in rows
    assert ["step", "2 report", "kind", "batch"] in rows
    assert "schedule | at night" in pgagent.prints("show", "nightly", "-x").replace(
        "_id", ""
    )


def test_a_connection_string_is_not_shown(conn, pgagent, nightly):
    conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstdbname = '', jstconnstr = 'host=x password=secret'"
        " WHERE jstname = '1 dump'"
    )
    for words in ((), ("--json",), ("--csv",), ("-x",)):
        assert "secret" not in pgagent.prints("show", "nightly", *words)
    assert pgagent.json("show", "nightly")["steps"][0]["has_conninfo"] is True


def test_the_next_runs_are_those_of_the_function(conn, pgagent, nightly):
    wanted = conn.execute(
        "SELECT to_char(run_at AT TIME ZONE 'Europe/Berlin', 'YYYY-MM-DD HH24:MI:SS')"
        " FROM pgagent.next_runs('nightly', max_rows => 3)"
    ).fetchall()
    got = pgagent.json("next", "nightly", "-n", 3)
    assert [row["run_at"][:19].replace("T", " ") for row in got] == [
        w for (w,) in wanted
    ]
    assert {row["schedule"] for row in got} == {"at night"}


def test_what_is_special_about_a_time_is_said(conn, pgagent, nightly):
    conn.execute("SELECT pgagent.add_exception('nightly', current_date + 1)")
    conn.execute("SELECT pgagent.add_exception('nightly', current_date + 2)")
    (row, *_) = pgagent.json("next", "nightly")[1:]
    printed = pgagent.prints("next", "nightly", "-n", 3)
    assert "an exception leaves out" in printed
    assert row["note"] is None or "exception" in row["note"]


def test_runs_are_listed_the_latest_first(pgagent, nightly):
    latest, first = pgagent.json("runs")
    assert (latest["run_id"], latest["status"]) == (47, "failed")
    assert latest["message"] == 'step "2 report" failed: exit code 3'
    assert (first["run_id"], first["status"]) == (46, "succeeded")
    assert latest["started"] == "2020-01-05T02:30:00.25+01:00"
    assert latest["duration"] == "00:01:30.5"
    assert pgagent.json("runs", "nightly") == [latest, first]
    assert pgagent.json("runs", nightly, "--failed") == [latest]
    assert pgagent.json("runs", "-n", 1) == [latest]
    assert pgagent.json("runs", "--running") == []

    line = pgagent.prints("runs", "-n", 1).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")] == [
        *("47", "nightly", "failed", "2020-01-05 02:30:00+01", "1 min 30 s"),
        'step "2 report" failed: exit code 3',
    ]


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2020-01-05 02:30:00", 2),
        ("2020-01-05 02:30:01", 0),
        ("2020-01-05 01:30:00 UTC", 2),
        ("yesterday", 0),
        ("00:00", 0),
        ("100 years", 2),
        ("-100 years", 2),
        ("1 hour", 0),
    ],
)
def test_runs_since_a_time_or_for_so_long(pgagent, nightly, since, count):
    assert len(pgagent.json("runs", f"--since={since}")) == count


def test_what_is_no_time_is_refused(pgagent, nightly):
    assert pgagent.refuses("runs", "--since", "soon") == (
        "pgagent runs: 'soon' is not a point in time such as '2030-01-31 06:00', nor a"
        " span of time"
    )
    assert "is not a point in time" in pgagent.refuses("next", "--until", "soon")


def test_since_lists_all_and_not_only_the_latest(conn, pgagent, nightly):
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus)"
        " SELECT %s, 's' FROM generate_series(1, 50)",
        [nightly],
    )
    assert len(pgagent.json("runs")) == 20
    assert len(pgagent.json("runs", "--since", "2000-01-01")) == 52
    assert len(pgagent.json("runs", "--since", "2000-01-01", "-n", 5)) == 5


def test_a_run_under_way_has_a_duration_that_grows(conn, pgagent, nightly):
    conn.execute(
        "UPDATE pgagent.pga_joblog SET jlgstatus = 'r', jlgduration = NULL,"
        " jlgstart = now() - interval '2 h' WHERE jlgid = 47"
    )
    assert "| 2 h 0 min" in pgagent.prints("runs", "--running")
    assert pgagent.json("runs", "--running")[0]["duration"].startswith("02:00:0")
    assert "running after 2 h" not in pgagent.prints("logs", 47)


def test_logs_print_what_each_step_has_written(pgagent, nightly):
    printed = pgagent.prints("logs", 47)
    assert printed == (
        'run 47 of job "nightly", failed after 1 min 30 s\n'
        "started 2020-01-05 02:30:00+01\n"
        'step "2 report" failed: exit code 3\n'
        "\n"
        '--- step "1 dump", succeeded after 12 ms, result 1\n'
        "one row\n"
        "\n"
        '--- step "2 report", failed after 12 ms, result 3\n'
        "no such luck\n"
    )
    assert pgagent.prints("logs", "nightly") == printed
    assert "one row" not in pgagent.prints("logs", 47, "--step", "2 report")
    assert [row["output"] for row in pgagent.json("logs", 47)] == [
        *("one row\n", "no such luck\n")
    ]


def test_logs_of_what_is_not_there_are_refused(conn, pgagent, nightly):
    assert pgagent.refuses("logs", 99) == "pgagent logs: there is no run 99 in the log"
    told = pgagent.refuses("logs", 47, "--step", "3")
    assert told == 'pgagent logs: run 47 has no step "3"'
    conn.execute("SELECT pgagent.create_job('new')")
    assert (
        pgagent.refuses("logs", "new")
        == 'pgagent logs: the log has no run of job "new"'
    )
    assert 'there is no job "old"' in pgagent.refuses("logs", "old")


def test_explain_says_what_the_function_says(conn, pgagent, nightly):
    wanted = conn.execute("SELECT gate FROM pgagent.explain_job('nightly')").fetchall()
    got = pgagent.json("explain", "nightly")
    assert [(row["gate"],) for row in got] == wanted
    assert {row["ok"] for row in got} >= {True, False}
    assert "no runner is alive" in pgagent.prints("explain", "nightly")


@pytest.mark.parametrize("verb", ["show", "next", "runs", "logs", "explain", "start"])
def test_a_job_that_is_not_there_is_named_with_those_that_are(pgagent, nightly, verb):
    assert pgagent.refuses(verb, "weekly") == (
        f'pgagent {verb}: there is no job "weekly" (Jobs of this database are "nightly".)'
    )


def test_a_job_is_found_by_its_id_unless_one_has_that_for_its_name(
    conn, pgagent, nightly
):
    assert pgagent.json("show", nightly)["job"] == "nightly"
    conn.execute("SELECT pgagent.create_job(%s)", [str(nightly)])
    assert pgagent.json("show", nightly)["job"] == str(nightly)


def test_of_two_jobs_with_one_name_the_ids_are_told(conn, pgagent, nightly):
    conn.execute(
        "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'nightly')"
    )
    told = pgagent.refuses("show", "nightly")
    assert f"Their ids are {nightly}, " in told
    assert pgagent.json("show", nightly)["job_id"] == nightly


def test_what_is_beyond_pythons_calendar_is_shown(conn, pgagent, nightly):
    conn.execute("""
        UPDATE pgagent.pga_job SET jobnextrun = 'infinity', joblastrun = '-infinity';
        UPDATE pgagent.pga_joblog SET jlgstart = '20000-01-01' WHERE jlgid = 46;
        UPDATE pgagent.pga_joblog SET jlgstart = '4000-01-01 BC', jlgduration = '-1 year -1 h'
        WHERE jlgid = 47;
    """)
    (job,) = pgagent.json("list")
    assert (job["next_run"], job["last_run"]) == ("infinity", "-infinity")
    latest, first = pgagent.json("runs")
    assert latest["started"].endswith(" BC")
    assert first["started"].startswith("20000-01-01T01:00:00+")
    assert "20000-01-01" in pgagent.prints("runs")
    assert "-365 d 7 h" in pgagent.prints("runs")


def test_looking_needs_no_right_to_write(pgagent, nightly):
    pgagent.environ["PGOPTIONS"] = "-c default_transaction_read_only=on"
    for words in (
        *(
            ("list",),
            ("show", "nightly"),
            ("next", "nightly"),
            ("runs",),
            ("logs", "47"),
        ),
        ("explain", "nightly"),
    ):
        assert pgagent.prints(*words)
