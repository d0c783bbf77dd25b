"""What the log knows of runs so far is known of the jobs after an update."""

from typing import TYPE_CHECKING

import pytest
from transitions import register

if TYPE_CHECKING:
    import psycopg

UPDATE = "ALTER EXTENSION pgagent UPDATE"

# A job for each thing that may be in a log; what is known then: failures in a row,
# successes, failures, aborted and empty runs, and when the last success ended.
LOGS = {
    "nothing": ("", (0, 0, 0, 0, 0, None)),
    "running": ("r", (0, 0, 0, 0, 0, None)),
    "empty only": ("ii", (0, 0, 0, 0, 2, None)),
    "never succeeded": ("fdif", (3, 0, 2, 1, 1, None)),
    "succeeded last": ("ffs", (0, 1, 2, 0, 0, "2031-01-01 03:00:30+00")),
    "all of it": ("sfsidfr", (2, 2, 2, 1, 1, "2031-01-01 03:00:30+00")),
}
ODD = {
    "without a duration": ("'2031-01-01 03:00+00', NULL", "2031-01-01 03:00:00+00"),
    "from before": ("'-infinity', '1 s'", None),
    "from then on": ("'infinity', '1 s'", None),
    "of the end": ("'294276-12-31 23:59:59+00', '1 day'", None),
    "very long": ("'2031-01-01 03:00+00', '170000000 years'", "2031-01-01 03:00:00+00"),
    "backwards": ("'2031-01-01 03:00+00', '-1 day'", "2031-01-01 03:00:00+00"),
}
KNOWN = """
    SELECT jobname, jobfailures, jobsucceeded, jobfailed, jobaborted, jobempty,
           to_char(joblastsuccess AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"+00"')
    FROM pgagent.pga_job
"""
HANDS_OFF = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        RAISE EXCEPTION 'hands off';
    END$$;
    CREATE TRIGGER refuse BEFORE UPDATE ON pgagent.pga_job FOR EACH ROW EXECUTE FUNCTION public.refuse();
    CREATE TRIGGER never BEFORE UPDATE ON pgagent.pga_job FOR EACH ROW EXECUTE FUNCTION public.refuse();
    ALTER TABLE pgagent.pga_job DISABLE TRIGGER never;
    CREATE RULE refuse AS ON UPDATE TO pgagent.pga_job DO INSTEAD NOTHING
"""


@pytest.fixture(params=["5.0.0", "4.2"])
def older(request, new_database, conn_42):
    if request.param == "4.2":
        return conn_42
    conn = new_database("older")
    conn.execute(f"CREATE EXTENSION pgagent VERSION '{request.param}'")
    return conn


def add(conn, name):
    return conn.execute(
        "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, %s) RETURNING jobid",
        [name],
    ).fetchone()[0]


def log(conn, job_id, status, when):
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration)"
        f" VALUES (%s, %s, {when})",
        [job_id, status],
    )


def fill(conn):
    """Make the jobs of LOGS with their logs."""
    # A trigger drops an i that is inserted: the daemon of 4.2 writes it if it came too late.
    conn.execute("ALTER TABLE pgagent.pga_joblog DISABLE TRIGGER USER")
    for name, (statuses, _) in LOGS.items():
        job_id = add(conn, name)
        for hour, status in enumerate(statuses, 1):
            log(conn, job_id, status, f"'2031-01-01 0{hour}:00+00', '30 s'")
    conn.execute("ALTER TABLE pgagent.pga_joblog ENABLE TRIGGER USER")


def known(conn):
    return {row[0]: row[1:] for row in conn.execute(KNOWN)}


def test_it_is_what_the_log_says(older):
    fill(older)

    older.execute(UPDATE)

    assert known(older) == {name: expected for name, (_, expected) in LOGS.items()}


def test_odd_times_in_the_log_keep_no_update_from_being_made(older):
    for name, (when, _) in ODD.items():
        log(older, add(older, name), "s", when)

    older.execute(UPDATE)

    assert known(older) == {
        name: (0, 1, 0, 0, 0, ended) for name, (_, ended) in ODD.items()
    }


def test_what_people_have_hung_on_jobs_has_no_say_in_it_and_nobody_is_woken(older):
    log(older, add(older, "job"), "f", "now(), '1 s'")
    older.execute("SET client_min_messages = error")
    older.execute(HANDS_OFF)
    rows = "SELECT jobid, jobnextrun, jobagentid, jobchanged FROM pgagent.pga_job"
    before = older.execute(rows).fetchall()
    heard: list[psycopg.Notify] = []
    older.add_notify_handler(heard.append)
    older.execute("LISTEN pgagent")

    older.execute(UPDATE)

    assert known(older) == {"job": (1, 0, 1, 0, 0, None)}
    assert older.execute(rows).fetchall() == before
    assert older.execute(
        "SELECT tgname, tgenabled FROM pg_trigger WHERE tgname IN ('never', 'refuse') ORDER BY 1"
    ).fetchall() == [("never", "D"), ("refuse", "O")]
    assert heard == []


def test_nothing_is_left_of_what_it_takes(older):
    older.execute(UPDATE)

    left = older.execute(
        "SELECT to_regclass('pgagent.pga_figures'), to_regproc('pgagent.pga_figure')"
    )
    assert left.fetchone() == (None, None)


def with_one_more_aborted(known):
    """Return what is known of a job of which a run was under way when it was dumped."""
    failures, succeeded, failed, aborted, *others = known
    return failures + 1, succeeded, failed, aborted + 1, *others


def test_a_dump_of_an_older_version_brings_it_to_where_a_runner_finds_it(
    older, new_database, dump, restore
):
    fill(older)
    restored = new_database("restored")
    restore(dump(older, "-Fc"), restored)

    register(restored)

    assert known(restored) == {
        name: with_one_more_aborted(expected) if "r" in statuses else expected
        for name, (statuses, expected) in LOGS.items()
    }


def test_what_is_known_already_is_not_asked_of_the_log(
    conn, new_database, dump, restore
):
    fill(conn)
    conn.execute(
        "UPDATE pgagent.pga_job SET jobsucceeded = 100, jobfailures = 7 WHERE jobname = 'all of it'"
    )
    restored = new_database("restored")
    restore(dump(conn, "-Fc"), restored)

    restored.execute("SELECT pgagent.arm()")

    assert known(restored)["all of it"] == (7, 100, 0, 0, 0, None)


def test_a_runner_finds_it_though_somebody_keeps_jobs_from_being_changed(
    older, new_database, dump, restore
):
    fill(older)
    restored = new_database("restored")
    restore(dump(older, "-Fc"), restored)
    restored.execute("DELETE FROM pgagent.pga_joblog WHERE jlgmessage IS NOT NULL")
    restored.execute(HANDS_OFF.partition("CREATE RULE")[0].rstrip("; \n"))
    told = []
    restored.add_notice_handler(lambda notice: told.append(notice.message_primary))

    register(restored)

    assert told == [
        "pgagent: how the runs of jobs have ended so far is not known of them"
    ]
