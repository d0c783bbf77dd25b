"""Jobs defined, changed and started by the SQL functions."""

import psycopg
import pytest
from jobs import job, runs
from transitions import claim_rows, finish_run, register


def call(conn, text, *parameters):
    return conn.execute(f"SELECT pgagent.{text}", parameters).fetchone()[0]


def schedules(conn):
    return [
        row[0]
        for row in conn.execute(
            "SELECT pgagent.pga_schedule_text(s) FROM pgagent.pga_schedule AS s"
            " ORDER BY jscid"
        )
    ]


def test_one_line_makes_a_job_that_is_due_at_its_time(conn):
    job_id = call(
        conn,
        "schedule('nightly', '30 2 * * *', 'VACUUM', timezone => 'Europe/Berlin')",
    )

    assert conn.execute(
        "SELECT jobname, jstname, jstkind, jstcode, jstdbname::text, jsctimezone,"
        " to_char(jobnextrun AT TIME ZONE 'Europe/Berlin', 'HH24:MI')"
        " FROM pgagent.pga_job JOIN pgagent.pga_jobstep ON jstjobid = jobid"
        " JOIN pgagent.pga_schedule ON jscjobid = jobid WHERE jobid = %s",
        [job_id],
    ).fetchall() == [
        (
            *("nightly", "command", "s", "VACUUM"),
            *(conn.info.dbname, "Europe/Berlin", "02:30"),
        )
    ]


def test_the_same_name_replaces_schedule_and_command(conn):
    first = call(conn, "schedule('nightly', '@daily', 'SELECT 1')")
    call(conn, "add_exception('nightly', on_date => '2040-01-01')")

    assert call(conn, "schedule('nightly', '15 3 13 * fri', 'SELECT 2')") == first

    assert schedules(conn) == ["15 3 13 * *", "15 3 * * 5"]
    assert conn.execute("SELECT jstcode FROM pgagent.pga_jobstep").fetchall() == [
        ("SELECT 2",)
    ]
    assert conn.execute("SELECT count(*) FROM pgagent.pga_exception").fetchone() == (2,)


def test_calls_of_pg_cron_are_understood(conn):
    unnamed = call(conn, "schedule('30 seconds', 'SELECT 1')")
    call(conn, "schedule_in_database('v', '0 3 * * *', 'VACUUM', 'postgres')")
    call(
        conn, "alter_job(job_id := %s, schedule := '@hourly', active := false)", unnamed
    )

    # A schedule that is changed keeps its id.
    assert schedules(conn) == ["0 * * * *", "0 3 * * *"]
    assert job(conn, unnamed, "jobenabled") is False
    assert call(conn, "unschedule('v')") is True
    assert call(conn, "unschedule(%s::bigint)", unnamed) is True
    assert conn.execute("SELECT FROM pgagent.pga_job").rowcount == 0


def test_a_job_is_put_together_of_steps_schedules_and_exceptions(conn):
    job_id = call(conn, "create_job('etl', class => 'Data Import', host => 'here')")
    call(
        conn, "add_step('etl', '2 report', 'df', kind => 'batch', on_error => 'ignore')"
    )
    call(
        conn, "add_step(%s::bigint, '1 load', 'SELECT 1', conninfo => 'host=x')", job_id
    )
    (schedule_id,) = call(
        conn, "add_schedule('etl', '0 9 1-7 * &mon', end_at => '2099-01-01')"
    )
    assert (
        call(conn, "add_exception('etl', at_time => '09:00', on_date => '2030-01-07')")
        == 1
    )
    with pytest.raises(psycopg.Error, match="has the exception 2030-01-07 09:00"):
        call(conn, "add_exception('etl', at_time => '09:00', on_date => '2030-01-07')")

    assert schedule_id
    assert schedules(conn) == ["0 9 1-7 * &1"]
    register(conn)
    call(conn, "run_job('etl')")
    assert [row[4:10] for row in claim_rows(conn)] == [
        ("1 load", "s", "SELECT 1", "", "host=x", "f"),
        ("2 report", "b", "df", "", "", "i"),
    ]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("*/20 8-9 * jan,7 sat-sun", "0,20,40 8,9 * 1,7 0,6"),
        ("0 0 $ * *", "0 0 L * *"),
        ("0 0 L * *", "0 0 L * *"),
        ("0 0 1,L * *", "0 0 1,L * *"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("5/30 * * * *", "5,35 * * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@yearly", "0 0 1 1 *"),
        ("90 s", "@every 90 seconds"),
        ("@every 1h30m", "@every 5400 seconds"),
        ("@at 2091-05-01 09:00 Europe/Berlin", "@at 2091-05-01 09:00:00 Europe/Berlin"),
        ("@at 2091-05-01T09:00:30+02", "@at 2091-05-01 07:00:30 UTC"),
        ("@at 2091-05-01 09:00:29.5", "@at 2091-05-01 09:00:30 UTC"),
        ("@at 2091-12-31 23:59:59.654321 UTC", "@at 2092-01-01 00:00:00 UTC"),
        ("@reboot", "@reboot"),
    ],
)
def test_a_schedule_is_kept_as_it_was_meant(conn, text, stored):
    conn.execute("ALTER TABLE pgagent.pga_schedule ALTER jsctimezone SET DEFAULT 'UTC'")
    call(conn, "schedule('x', %s, 'SELECT 1')", text)

    assert schedules(conn) == [stored]

    call(conn, "alter_job('x', schedule => %s)", stored)
    assert schedules(conn) == [stored]


def test_a_change_of_the_fields_takes_over_from_an_interval(conn):
    job_id = call(conn, "schedule('x', '@every 1 second', 'SELECT 1')")
    conn.execute("UPDATE pgagent.pga_schedule SET jscname = 'renamed'")
    assert schedules(conn) == ["@every 1 seconds"]

    conn.execute(
        "UPDATE pgagent.pga_schedule SET jschours[4] = true, jscminutes[1] = true"
    )

    assert schedules(conn) == ["0 3 * * *"]
    assert job(conn, job_id, "jobnextrun > now()")


def test_a_job_runs_at_its_interval_however_long_it_takes(conn):
    job_id = call(conn, "schedule('x', '@every 10 seconds', 'SELECT 1')")
    conn.execute("UPDATE pgagent.pga_schedule SET jscstart = now() - interval '25 s'")

    assert job(
        conn,
        job_id,
        "(SELECT extract(epoch FROM jobnextrun - jscstart) FROM pgagent.pga_schedule)",
    ) in (30, 40)


def test_a_one_shot_runs_once_and_disables_itself(conn):
    job_id = call(conn, "schedule('once', '@at 2091-05-01 09:00', 'SELECT 1')")
    conn.execute("UPDATE pgagent.pga_schedule SET jscat = now() - interval '1 s'")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 s'")
    register(conn)
    ((run_id, *_),) = claim_rows(conn)

    finish_run(conn, run_id)

    assert job(conn, job_id, "jobnextrun") is None
    assert conn.execute("SELECT jscenabled FROM pgagent.pga_schedule").fetchall() == [
        (False,)
    ]


def test_reboot_jobs_are_due_when_an_agent_starts_not_when_it_reconnects(conn):
    job_id = call(conn, "schedule('x', '@reboot', 'SELECT 1')")
    conn.execute("SELECT pgagent.pga_agent_register('here', '20 s', false)")
    assert job(conn, job_id, "jobnextrun") is None

    conn.execute("SELECT pgagent.pga_agent_register('here', '20 s')")

    assert job(conn, job_id, "jobnextrun <= now()")


def test_run_job_promises_the_id_of_the_run(conn):
    register(conn)
    job_id = call(conn, "create_job('x', enabled => false)")
    for name in "ab":
        call(conn, "add_step('x', %s, 'SELECT 1')", name)

    run_id = call(conn, "run_job('x', from_step => 'b')")

    assert call(conn, "run_job('x', from_step => 'b')") == run_id
    whole = call(conn, "run_job('x')")
    assert whole > run_id
    assert [(row[0], row[4]) for row in claim_rows(conn)] == [(run_id, "b")]
    assert call(conn, "run_job('x')") == whole
    finish_run(conn, run_id)
    assert runs(conn, job_id) == [("s", None)]
    assert [(row[0], row[4]) for row in claim_rows(conn)] == [
        (whole, "a"),
        (whole, "b"),
    ]
    finish_run(conn, whole)
    assert call(conn, "run_job('x')") > whole


def test_run_job_warns_where_no_runner_is_alive(conn):
    heard = []
    conn.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    call(conn, "schedule('x', '@daily', 'SELECT 1')")

    call(conn, "run_job('x')")

    assert "is alive; it will run as soon as one is" in heard[0]


def test_the_views_tell_what_ran_in_words(conn):
    register(conn)
    call(conn, "schedule('x', '@daily', 'SELECT 1')")
    run_id = call(conn, "run_job('x')")
    claim_rows(conn)
    assert conn.execute("SELECT run_id, job FROM pgagent.running").fetchall() == [
        (run_id, "x")
    ]

    finish_run(conn, run_id, "f", "step failed")

    assert conn.execute(
        "SELECT job, state, last_status, last_message, consecutive_failures, schedule"
        " FROM pgagent.job_status"
    ).fetchall() == [("x", "waiting", "failed", "step failed", 1, "0 0 * * *")]
    assert conn.execute(
        "SELECT status, message FROM pgagent.run_history"
    ).fetchall() == [("failed", "step failed")]
    assert conn.execute("SELECT station, alive FROM pgagent.agents").fetchall() == [
        ("here", True)
    ]


def test_a_time_may_be_what_now_shows(conn):
    call(conn, "create_job('x')")
    call(conn, "add_schedule('x', '@at ' || now() + interval '2 seconds')")
    assert conn.execute(
        "SELECT jscat - jscstart BETWEEN '1.5 seconds' AND '3 seconds' FROM pgagent.pga_schedule"
    ).fetchone() == (True,)
