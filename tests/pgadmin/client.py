"""What pgAdmin 4 (8.0 to 9.18) says to the schema pgagent, and how it says it.

Tests spell out what it writes; what it reads stands here, since all of them use it.
"""

from datetime import UTC, datetime

LAST = 32  # the day of the month

NODE_IS_SHOWN = """
SELECT has_table_privilege('pgagent.pga_job', 'INSERT, SELECT, UPDATE') has_privilege
WHERE EXISTS(
    SELECT has_schema_privilege('pgagent', 'USAGE')
    WHERE EXISTS(
        SELECT cl.oid FROM pg_catalog.pg_class cl
        LEFT JOIN pg_catalog.pg_namespace ns ON ns.oid = relnamespace
        WHERE relname = 'pga_job' AND nspname = 'pgagent'
    )
)"""

STEPS_HAVE_CONNECTION_STRINGS = """
SELECT EXISTS(
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = 'pgagent' AND table_name = 'pga_jobstep'
          AND column_name = 'jstconnstr'
) has_connstr"""

CLASSES = "SELECT jclid AS value, jclname AS label FROM pgagent.pga_jobclass"

JOB_NODES = """
SELECT jobid, jobname, jobenabled, jobdesc FROM pgagent.pga_job ORDER BY jobname"""

JOB_NODE = """
SELECT jobid, jobname, jobenabled, jobdesc FROM pgagent.pga_job
WHERE jobid = {}::integer ORDER BY jobname"""

_JOBS = """
SELECT
    j.jobid AS jobid, j.jobname AS jobname, j.jobenabled AS jobenabled,
    j.jobdesc AS jobdesc, j.jobhostagent AS jobhostagent,
    j.jobcreated AS jobcreated, j.jobchanged AS jobchanged,
    ag.jagstation AS jagagent, sub.jlgstatus AS jlgstatus,
    j.jobagentid AS jobagentid, j.jobnextrun AS jobnextrun,
    j.joblastrun AS joblastrun, j.jobjclid AS jobjclid, jc.jclname AS jobclass
FROM pgagent.pga_job j
    LEFT OUTER JOIN pgagent.pga_jobagent ag ON ag.jagpid=jobagentid
    LEFT OUTER JOIN (
        SELECT DISTINCT ON (jlgjobid) jlgstatus, jlgjobid
        FROM pgagent.pga_joblog
        ORDER BY jlgjobid, jlgid DESC
    ) sub ON sub.jlgjobid = j.jobid
    LEFT JOIN pgagent.pga_jobclass jc ON (j.jobjclid = jc.jclid)
"""
GRID = _JOBS + "ORDER BY j.jobname"
JOB = _JOBS + "WHERE j.jobid = {}::integer ORDER BY j.jobname"

STEP_NODES = """
SELECT jstid, jstjobid, jstname, jstenabled, jstkind = 's'::bpchar AS jstkind, jstdesc
FROM pgagent.pga_jobstep WHERE jstjobid = {}::integer ORDER BY jstname"""

STEPS = """
SELECT
    jstid, jstjobid, jstname, jstdesc, jstenabled, jstkind = 's'::bpchar AS jstkind,
    jstcode,
    CASE WHEN (jstdbname != '' OR jstkind = 'b'::bpchar) THEN true ELSE false
    END AS jstconntype,
    jstconnstr, jstdbname, jstonerror, jscnextrun
FROM pgagent.pga_jobstep WHERE jstjobid = {}::integer ORDER BY jstname"""

SCHEDULE_NODES = """
SELECT jscid, jscjobid, jscname, jscenabled, jscdesc
FROM pgagent.pga_schedule WHERE jscjobid = {}::integer ORDER BY jscname"""

SCHEDULE_NODE = """
SELECT jscid, jscjobid, jscname, jscenabled, jscdesc
FROM pgagent.pga_schedule WHERE jscid = {}::integer ORDER BY jscname"""

SCHEDULES = """
SELECT
    jscid, jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend,
    jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths,
    jexid, jexdate, jextime
FROM pgagent.pga_schedule s
    LEFT JOIN (
        SELECT jexscid, array_agg(jexid) AS jexid,
            array_agg(to_char(jexdate, 'YYYY-MM-DD')) AS jexdate,
            array_agg(jextime) AS jextime
        FROM (SELECT * FROM pgagent.pga_exception ORDER BY jexid) ex
        GROUP BY jexscid
    ) e ON s.jscid = e.jexscid
WHERE s.jscjobid = {}::integer ORDER BY jscname"""

JOB_STATISTICS = """
SELECT jlgid AS "Run", jlgstatus AS "Status", jlgstart AS "Start time",
    jlgduration AS "Duration", (jlgstart + jlgduration) AS "End time"
FROM pgagent.pga_joblog WHERE jlgjobid = {}::integer ORDER BY jlgid DESC LIMIT 250"""

STEP_STATISTICS = """
SELECT jslid AS "Run", jslstatus AS "Status", jslresult AS "Result",
    jslstart AS "Start time", (jslstart + jslduration) AS "End time",
    jslduration AS "Duration", jsloutput AS "Output"
FROM pgagent.pga_jobsteplog WHERE jsljstid = {}::integer ORDER BY jslid DESC LIMIT 250"""

THE_NEW_JOB = """
SELECT jobid FROM pgagent.pga_job
WHERE xmin::text = (txid_current() % (2^32)::bigint)::text;"""

THE_NEW_SCHEDULE = """
SELECT jscid FROM pgagent.pga_schedule
WHERE xmin::text = (txid_current() % (2^32)::bigint)::text;"""

RUN_NOW = (
    "UPDATE pgagent.pga_job SET jobnextrun=now()::timestamptz WHERE jobid={}::integer"
)


def send(session, query):
    """Send statements in one string; return the rows of the last, as dicts."""
    cursor = session.execute(query)
    while cursor.nextset():
        pass
    return cursor.fetchall() if cursor.description else []


def send_for_row(session, query):
    (row,) = send(session, query)
    return row


def create(session, query, node):
    """Create an object, and return its node, which the id from `query` leads to.

    END closes the transaction after an error, too.
    """
    send(session, "BEGIN")
    try:
        (new_id,) = send_for_row(session, query).values()
        return send_for_row(session, node.format(new_id))
    finally:
        send(session, "END")


def minutes(*numbers):
    return _field(range(60), numbers)


def hours(*numbers):
    return _field(range(24), numbers)


def weekdays(*numbers):
    """1 is Sunday."""
    return _field(range(1, 8), numbers)


def monthdays(*numbers):
    return _field(range(1, LAST + 1), numbers)


def months(*numbers):
    return _field(range(1, 13), numbers)


def _field(span, numbers):
    values = ",".join("t" if number in numbers else "f" for number in span)
    return f"'{{{values}}}'::bool[]::boolean[]"


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
