"""What pg_cron's README shows, with `cron.` replaced by `pgagent.`."""

import pytest
from transitions import claim, finish_run, register

# The SQL of its section "What is pg_cron?", in order, with what it shows there.
EXAMPLES = [
    (
        "SELECT cron.schedule('30 3 * * 6', $$DELETE FROM events WHERE event_time < now() - interval '1 week'$$)",
        42,
    ),
    ("SELECT cron.schedule('nightly-vacuum', '0 10 * * *', 'VACUUM')", 43),
    ("SELECT cron.schedule('nightly-vacuum', '0 3 * * *', 'VACUUM')", 43),
    ("SELECT cron.unschedule('nightly-vacuum' )", True),
    ("SELECT cron.unschedule(42)", True),
    (
        "SELECT cron.schedule_in_database('weekly-vacuum', '0 4 * * 0', 'VACUUM', 'some_other_database')",
        44,
    ),
    (
        "SELECT cron.schedule('process-updates', '5 seconds', 'CALL process_updates()')",
        45,
    ),
    (
        "SELECT cron.schedule('process-payroll', '0 12 $ * *', 'CALL process_payroll()')",
        46,
    ),
]
CLEAN_UP = "SELECT  cron.schedule('delete-job-run-details', '0 12 * * *', $$DELETE FROM cron.job_run_details WHERE end_time < now() - interval '7 days'$$)"
DETAILS = "select * from cron.job_run_details order by start_time desc limit 5"


def moved(text):
    return text.replace("cron.", "pgagent.")


@pytest.fixture
def at_42(conn):
    """The database of the README has had 41 jobs, and its zone is GMT."""
    conn.execute("SELECT setval('pgagent.pga_job_jobid_seq', 41)")
    conn.execute("ALTER TABLE pgagent.pga_schedule ALTER jsctimezone SET DEFAULT 'UTC'")


def test_the_examples_of_its_readme_run(conn, at_42):
    for example, shown in EXAMPLES:
        assert conn.execute(moved(example)).fetchone() == (shown,)
        if shown == 42:
            assert conn.execute("SELECT jobname FROM pgagent.job").fetchone() == (
                "job 42",
            )

    assert conn.execute(
        "SELECT jobid, jobname, schedule, command, database, active FROM pgagent.job ORDER BY jobid"
    ).fetchall() == [
        (44, "weekly-vacuum", "0 4 * * 0", "VACUUM", "some_other_database", True),
        (
            *(45, "process-updates", "@every 5 seconds"),
            *("CALL process_updates()", conn.info.dbname, True),
        ),
        (
            *(46, "process-payroll", "0 12 L * *"),
            *("CALL process_payroll()", conn.info.dbname, True),
        ),
    ]


def test_its_log_is_read_and_cleaned_up_by_its_own_statements(conn):
    register(conn)
    for name in "abc":
        conn.execute("SELECT pgagent.schedule(%s, '5 seconds', 'SELECT 1')", [name])
        conn.execute("SELECT pgagent.run_job(%s)", [name])
    (a, _), (b, _), (c, _) = claim(conn)
    finish_run(conn, a)
    finish_run(conn, b, "f", "job canceled")
    conn.execute(
        "UPDATE pgagent.pga_joblog SET jlgstart = now() - interval '8 days' WHERE jlgid = %s",
        [a],
    )
    conn.execute(moved(CLEAN_UP))

    rows = conn.execute(moved(DETAILS))
    columns = [column.name for column in rows.description]
    found = [dict(zip(columns, row, strict=True)) for row in rows]

    assert {(row["runid"], row["status"], row["return_message"]) for row in found} == {
        (a, "succeeded", None),
        (b, "failed", "job canceled"),
        (c, "running", None),
    }
    assert found[-1]["runid"] == a
    assert {row["command"] for row in found} == {"SELECT 1"}
    (clean_up,) = conn.execute(
        "SELECT command FROM pgagent.job WHERE jobname = 'delete-job-run-details'"
    ).fetchone()
    assert conn.execute(clean_up).rowcount == 1
    assert {run for (run,) in conn.execute("SELECT jlgid FROM pgagent.pga_joblog")} == {
        b,
        c,
    }


def test_a_job_is_switched_off_in_its_table(conn):
    job_id = conn.execute(
        "SELECT pgagent.schedule('x', '@daily', 'SELECT 1')"
    ).fetchone()[0]

    conn.execute("UPDATE pgagent.job SET active = false WHERE jobid = %s", [job_id])

    assert conn.execute(
        "SELECT jobenabled, jobnextrun FROM pgagent.pga_job"
    ).fetchone() == (False, None)


def test_no_name_of_its_functions_and_tables_is_missing(conn):
    names = {
        name
        for (name,) in conn.execute(
            "SELECT proname::text FROM pg_proc WHERE pronamespace = 'pgagent'::regnamespace"
            " UNION SELECT relname::text FROM pg_class WHERE relnamespace = 'pgagent'::regnamespace"
        )
    }
    assert names >= {
        *("schedule", "schedule_in_database", "alter_job", "unschedule"),
        *("job", "job_run_details"),
    }
