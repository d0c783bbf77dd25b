"""Having jobs end, time pass and messages be sent, for tests of alerts."""

import transitions

CHANNELS = ["mail", "hook"]

# All times that are known of alerts and runs: so much time passes.
TIMES = """
    UPDATE pgagent.pga_alertevent SET aleat = aleat - %(by)s::interval,
        aledue = aledue - %(by)s::interval, alelease = alelease - %(by)s::interval;
    UPDATE pgagent.pga_alertstate SET alssince = alssince - %(by)s::interval,
        alsended = alsended - %(by)s::interval, alstold = alstold - %(by)s::interval,
        alshour = alshour - %(by)s::interval;
    UPDATE pgagent.pga_joblog SET jlgstart = jlgstart - %(by)s::interval;
    UPDATE pgagent.pga_job SET joblastsuccess = joblastsuccess - %(by)s::interval
"""


def run(agent, job_id, status="s", message=None):
    """Have a run of a job end; return its id."""
    agent.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [job_id]
    )
    ((run_id,),) = [run[:1] for run in transitions.claim(agent) if run[1] == job_id]
    transitions.finish_run(agent, run_id, status, message)
    return run_id


def fail(agent, job_id, message=None):
    return run(agent, job_id, "f", message)


def later(conn, by="6 seconds"):
    """Have so much time pass."""
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
    """Watch, and send all that is due; return the events, message by message."""
    watch(session)
    told = []
    while claimed := claim(session, channels):
        message, attempt, _, _, events = claimed
        told.append(events)
        assert sent(session, message, attempt)
    return told


def names(messages):
    """Return the names of the events of messages."""
    return [[event["event"] for event in events] for events in messages]


def log(conn):
    """Return (event, state) of all events, in order."""
    query = "SELECT event, state FROM pgagent.alert_log ORDER BY at, event_id"
    return conn.execute(query).fetchall()
