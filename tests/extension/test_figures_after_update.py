"""What the log knows of runs so far is known of the jobs after an update."""

import psycopg
import pytest

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


def known(conn):
    return {row[0]: row[1:] for row in conn.execute(KNOWN)}


def test_it_is_what_the_log_says(older):
    # One drops an i that is inserted: the daemon of 4.2 writes it if it came too late.
    older.execute("ALTER TABLE pgagent.pga_joblog DISABLE TRIGGER USER")
    for name, (statuses, _) in LOGS.items():
        job_id = add(older, name)
        for hour, status in enumerate(statuses, 1):
            log(older, job_id, status, f"'2031-01-01 0{hour}:00+00', '30 s'")
    older.execute("ALTER TABLE pgagent.pga_joblog ENABLE TRIGGER USER")

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
    heard = []
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


def test_what_uses_rows_of_jobs_is_named_before_anything_changes(older):
    older.execute("CREATE TABLE public.kept (job pgagent.pga_job)")

    with pytest.raises(psycopg.Error) as refusal:
        older.execute(UPDATE)

    assert "column job of kept holds rows of" in refusal.value.diag.message_detail
