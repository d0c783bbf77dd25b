"""What was exported makes the same jobs elsewhere, and differs from nothing here."""

import json

import psycopg
import pytest
from support import ROOT

from .many import definitions, make

BUSY_42 = (ROOT / "tests/extension/busy_42.sql").read_text()

XMINS = """
SELECT 'pga_job', jobid, xmin::text FROM pgagent.pga_job
UNION ALL SELECT 'pga_jobstep', jstid, xmin::text FROM pgagent.pga_jobstep
UNION ALL SELECT 'pga_schedule', jscid, xmin::text FROM pgagent.pga_schedule
UNION ALL SELECT 'pga_exception', jexid, xmin::text FROM pgagent.pga_exception
UNION ALL SELECT 'pga_jobclass', jclid, xmin::text FROM pgagent.pga_jobclass
ORDER BY 1, 2
"""

# Of each column that people define, that some job has something else in it than the default.
DIFFERS = """
SELECT a.attrelid::regclass::text, a.attname
FROM pg_attribute AS a
WHERE a.attrelid = ANY ('{pgagent.pga_job,pgagent.pga_jobstep,pgagent.pga_schedule}'::regclass[])
      AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attname <> ALL ('{jobid,jobcreated,jobchanged,jobagentid,jobnextrun,joblastrun,jobrunid,
          jobfromstep,jobdeaths,jobownerid,jobchangeid,jobaskedby,jobset,
          jobfailures,joblastsuccess,jobsucceeded,jobfailed,jobaborted,jobempty,
          jstid,jstjobid,jscnextrun,jstrunasid,jscid,jscjobid}')
"""


# Of a catalogue of 4.2, all that is not odd.
SOUND = [
    """
    SELECT jobname, jobdesc, jobhostagent, jobenabled, jobkeepfor, jobkeepruns, jclname
    FROM pgagent.pga_job JOIN pgagent.pga_jobclass ON jclid = jobjclid ORDER BY 1
    """,
    """
    SELECT jobname, jstname, jstkind, jstcode, jstdbname, jstconnstr, jstonerror, jstenabled
    FROM pgagent.pga_jobstep JOIN pgagent.pga_job ON jobid = jstjobid ORDER BY 1, 2
    """,
    """
    SELECT jobname, jscname, jscend, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths, jsctimezone
    FROM pgagent.pga_schedule JOIN pgagent.pga_job ON jobid = jscjobid
    WHERE jobname <> 'job 200' ORDER BY 1, 2
    """,
    """
    SELECT jobname, jexdate, jextime FROM pgagent.pga_exception
    JOIN pgagent.pga_schedule ON jscid = jexscid JOIN pgagent.pga_job ON jobid = jscjobid
    WHERE jobname <> 'job 200' ORDER BY 1, 2, 3
    """,
]


def export(conn):
    return conn.execute("SELECT pgagent.export_jobs()").fetchone()[0]


def apply(conn, document, *, dry_run=False):
    return conn.execute(
        "SELECT * FROM pgagent.apply_jobs(%s, dry_run => %s)",
        [json.dumps(document), dry_run],
    ).fetchall()


def test_all_columns_of_many_jobs_are_the_same_elsewhere(conn, elsewhere):
    assert make(conn) >= 60
    for table, column in conn.execute(DIFFERS).fetchall():
        values = conn.execute(
            f"SELECT count(DISTINCT COALESCE({column}::text, '(none)')) FROM {table}"
        ).fetchone()[0]
        assert values > 1, f"{table}.{column} is the same in all jobs"

    document = export(conn)
    assert apply(elsewhere, document)

    # A step in the transaction of its log row is in the database of the jobs.
    here = [
        (*row[:4], row[4] | {"jstdbname": "elsewhere"})
        if row[:2] == ("step", "step atomic")
        else row
        for row in definitions(conn)
    ]
    assert definitions(elsewhere) == here
    assert export(elsewhere) == document


def test_what_was_exported_differs_from_nothing_and_writes_nothing(conn):
    make(conn)
    document = export(conn)
    before = conn.execute(XMINS).fetchall()
    assert apply(conn, document, dry_run=True) == []
    assert apply(conn, document) == []
    assert conn.execute(XMINS).fetchall() == before
    assert export(conn) == document


def test_a_plan_writes_nothing(conn, elsewhere):
    make(conn)
    planned = apply(elsewhere, export(conn), dry_run=True)
    assert elsewhere.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)
    assert apply(elsewhere, export(conn)) == planned


def test_jobs_of_a_4_2_catalogue_go_to_another_server(conn_42, elsewhere):
    conn_42.execute(BUSY_42)
    conn_42.execute("DELETE FROM pgagent.pga_jobagent")
    conn_42.execute("ALTER EXTENSION pgagent UPDATE")

    document = export(conn_42)
    assert len(document["jobs"]) == 200
    assert apply(conn_42, document, dry_run=True) == []
    apply(elsewhere, document)

    assert apply(elsewhere, document, dry_run=True) == []
    assert export(elsewhere) == document
    for query in SOUND:
        assert elsewhere.execute(query).fetchall() == conn_42.execute(query).fetchall()


def test_odd_schedules_of_a_dump_mean_the_same_elsewhere(conn_42, elsewhere):
    conn_42.execute(BUSY_42)
    conn_42.execute("DELETE FROM pgagent.pga_jobagent")
    conn_42.execute("ALTER EXTENSION pgagent UPDATE")
    apply(elsewhere, export(conn_42))
    query = """
        SELECT jscname, pgagent.pga_schedule_next(s, '2091-01-01 00:00+00')
        FROM pgagent.pga_schedule AS s JOIN pgagent.pga_job ON jobid = jscjobid
        WHERE jobname = 'job 200' ORDER BY 1
    """
    assert elsewhere.execute(query).fetchall() == conn_42.execute(query).fetchall()


@pytest.mark.parametrize("seed", range(5))
def test_the_text_of_random_fields_makes_the_same_fields(asking, seed):
    """All of a schedule by fields can be said by text, to the bit."""
    wrong = (
        asking.execute("SELECT setseed(%s)", [seed / 10])
        .connection.execute("""
        WITH field AS MATERIALIZED (
            SELECT n, m.density, ARRAY(SELECT random() < m.density FROM generate_series(1, 60) WHERE n > 0) AS minutes,
                   ARRAY(SELECT random() < m.density FROM generate_series(1, 24) WHERE n > 0) AS hours,
                   ARRAY(SELECT random() < m.density FROM generate_series(1, 7) WHERE n > 0) AS weekdays,
                   ARRAY(SELECT random() < m.density FROM generate_series(1, 32) WHERE n > 0) AS monthdays,
                   ARRAY(SELECT random() < m.density FROM generate_series(1, 12) WHERE n > 0) AS months
            FROM generate_series(1, 60) AS n, unnest('{0,0.1,0.5,0.9,0.97,1}'::float[]) AS m (density)
        ), said AS (
            SELECT f.*, pgagent.pga_file_schedule_text(jsonb_populate_record(NULL::pgagent.pga_schedule, jsonb_build_object(
                'jscminutes', f.minutes, 'jschours', f.hours, 'jscweekdays', f.weekdays, 'jscmonthdays', f.monthdays,
                'jscmonths', f.months, 'jscreboot', false))) AS text
            FROM field AS f
        )
        SELECT s.text FROM said AS s
        WHERE (SELECT array_agg((p.minutes, p.hours, p.weekdays, p.monthdays, p.months)::text) FROM pgagent.pga_schedule_parse(s.text) AS p)
              IS DISTINCT FROM ARRAY[(s.minutes, s.hours, s.weekdays, s.monthdays, s.months)::text]
    """)
        .fetchall()
    )
    assert wrong == []


def test_attributes_that_are_as_if_nothing_were_said_are_left_out(conn, export):
    conn.execute(
        "SELECT pgagent.create_job('plain'), pgagent.add_step('plain', 'one', 'SELECT 1'),"
        " pgagent.add_schedule('plain', '@daily', timezone => 'UTC')"
    )
    assert export() == {
        "format": 1,
        "jobs": [
            {
                "name": "plain",
                "steps": [
                    {"name": "one", "database": conn.info.dbname, "command": "SELECT 1"}
                ],
                "schedules": [{"schedule": "@daily", "timezone": "UTC"}],
            }
        ],
    }


def test_either_of_two_days_is_one_schedule_of_the_document(conn, export):
    conn.execute(
        "SELECT pgagent.create_job('x'),"
        " pgagent.add_schedule('x', '0 9 13 * fri', timezone => 'UTC')"
    )
    (job,) = export()["jobs"]
    assert job["schedules"] == [{"schedule": "0 9 13 * fri", "timezone": "UTC"}]
    conn.execute("SELECT pgagent.add_exception('x', '2090-01-01')")
    (job,) = export()["jobs"]
    assert job["schedules"] == [
        {
            "schedule": "0 9 13 * fri",
            "timezone": "UTC",
            "exceptions": [{"date": "2090-01-01"}],
        }
    ]
    conn.execute(
        "DELETE FROM pgagent.pga_exception WHERE jexid = (SELECT min(jexid) FROM pgagent.pga_exception)"
    )
    (job,) = export()["jobs"]
    assert [one["schedule"] for one in job["schedules"]] == ["0 9 13 * *", "0 9 * * 5"]


def test_named_jobs_alone_are_exported_with_their_classes(conn, export):
    make(conn)
    document = export("twin", "job of a class of its own")
    assert [job["name"] for job in document["jobs"]] == [
        "job of a class of its own",
        "twin",
        "twin",
    ]
    assert document["classes"] == [{"name": 'Our "own"'}]
    assert "classes" not in export("twin")


def test_a_name_that_no_job_has_is_refused(conn, export):
    with pytest.raises(psycopg.Error, match='there is no job "nobody"') as refusal:
        export("nobody")
    assert refusal.value.sqlstate == "42704"


def test_what_has_a_blank_name_is_the_same_elsewhere(conn, elsewhere):
    """The tables take such names, as those of 4.2 did."""
    conn.execute(
        """
        INSERT INTO pgagent.pga_jobclass (jclname) VALUES ('');
        INSERT INTO pgagent.pga_job (jobjclid, jobname)
            SELECT jclid, n FROM pgagent.pga_jobclass, unnest('{"", " "}'::text[]) AS n WHERE jclname = '';
        INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)
            SELECT jobid, n, 's', 'SELECT 1', 'x' FROM pgagent.pga_job, unnest('{"", ""," "}'::text[]) AS n;
        INSERT INTO pgagent.pga_schedule (jscjobid, jscname)
            SELECT jobid, n FROM pgagent.pga_job, unnest('{"", "", " "}'::text[]) AS n;
        """
    )
    document = export(conn)
    assert apply(elsewhere, document)
    assert export(elsewhere) == document
    assert apply(conn, document) == apply(elsewhere, document) == []
