"""Having jobs end, time pass and messages be sent, for tests of alerts."""

CHANNELS = ["mail", "hook"]

FAIL = """
    WITH run AS (
        INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgmessage, jlgduration)
        VALUES (%(job)s, %(status)s, %(message)s, interval '1 second')
    )
    UPDATE pgagent.pga_job
    SET jobfailures = jobfailures + 1, jobfailed = jobfailed + (%(status)s = 'f')::integer,
        jobaborted = jobaborted + (%(status)s = 'd')::integer
    WHERE jobid = %(job)s
"""
SUCCEED = """
    WITH run AS (
        INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgduration)
        VALUES (%(job)s, 's', interval '1 second')
    )
    UPDATE pgagent.pga_job
    SET jobfailures = 0, jobsucceeded = jobsucceeded + 1, joblastsuccess = now()
    WHERE jobid = %(job)s
"""
TIMES = """
    UPDATE pgagent.pga_alertevent SET aleat = aleat - %(by)s::interval,
        aledue = aledue - %(by)s::interval, alelease = alelease - %(by)s::interval;
    UPDATE pgagent.pga_alertstate SET alssince = alssince - %(by)s::interval,
        alsended = alsended - %(by)s::interval, alstold = alstold - %(by)s::interval,
        alshour = alshour - %(by)s::interval;
    UPDATE pgagent.pga_joblog SET jlgstart = jlgstart - %(by)s::interval;
    UPDATE pgagent.pga_alert SET altcreated = altcreated
"""


def fail(conn, job_id, status="f", message=None):
    """Have a run of a job fail, or be aborted (d), as the end of a run writes it."""
    conn.execute(FAIL, {"job": job_id, "status": status, "message": message})


def succeed(conn, job_id):
    conn.execute(SUCCEED, {"job": job_id})


def later(conn, by="6 seconds"):
    """Have so much time pass for all that alerts have noted."""
    for statement in TIMES.split(";"):
        conn.execute(statement, {"by": by})


def watch(session):
    """Return how many messages wait for a sender, and when to look again."""
    return session.execute("SELECT * FROM pgagent.pga_alert_watch()").fetchone()


def claim(session, channels=CHANNELS, lease="1 minute"):
    """Return (message, attempt, alert, channel, events), or None."""
    query = "SELECT * FROM pgagent.pga_alert_claim(%s, %s)"
    return session.execute(query, [channels, lease]).fetchone()


def sent(session, message, attempt=1, error=None):
    query = "SELECT pgagent.pga_alert_sent(%s, %s, %s)"
    return session.execute(query, [message, attempt, error]).fetchone()[0]


def send_all(session, channels=CHANNELS):
    """Watch, and send all that is due; return the names of events, message by message."""
    watch(session)
    told = []
    while claimed := claim(session, channels):
        message, attempt, _, _, events = claimed
        told.append([event["event"] for event in events])
        assert sent(session, message, attempt)
    return told


def log(conn):
    """Return (event, state) of all events, in order."""
    query = "SELECT event, state FROM pgagent.alert_log ORDER BY at, event_id"
    return conn.execute(query).fetchall()
