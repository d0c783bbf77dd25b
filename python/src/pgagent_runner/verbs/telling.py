"""Verbs about who is told of what: alerts, test-alert, silence, unsilence."""

from typing import LiteralString

from pgagent_runner.verbs.chosen import are, listed, named, refuse_both, until_when
from pgagent_runner.verbs.database import connect, fetch, value
from pgagent_runner.verbs.frame import Given
from pgagent_runner.verbs.output import Table, report, show, shown

_ALERTS: LiteralString = """
    SELECT a.alert, a.channel,
           pg_catalog.array_to_string(a.events, ' ') AS events, a.job, a.class,
           a.after_failures, a.repeat_every, a.enabled, a.pending, a.last_sent
    FROM pgagent.alerts AS a ORDER BY a.alert
"""
_LOG: LiteralString = """
    SELECT l.at, l.event, l.alert, l.job_id, l.job, l.run_id, l.state, l.attempts,
           l.sent, COALESCE(l.last_error, w.why) AS last_error, l.detail, l.event_id,
           l.message_id
    FROM pgagent.alert_log AS l
    CROSS JOIN LATERAL (
        -- A sender that knows it asks for it within seconds.
        SELECT CASE WHEN l.state = 'pending' AND l.attempts = 0
                         AND l.due < pg_catalog.now() - interval '30 seconds'
                    THEN 'no sender that knows this channel has asked for it' END AS why
    ) AS w
    WHERE (%(failed)s::boolean IS NOT TRUE OR l.state = 'failed'
           OR l.state <> 'sent' AND COALESCE(l.last_error, w.why) IS NOT NULL)
    ORDER BY l.at DESC, l.event_id LIMIT %(limit)s::bigint
"""
# What people have room for; CSV, JSON and -x have all columns.
_OF_THE_LOG = (
    *("at", "event", "alert", "job", "run_id", "state", "attempts"),
    "last_error",
)


def list_alerts(given: Given) -> int:
    """Print the alerts, or what they have told lately."""
    with connect(given) as session:
        if given.log or given.failed:
            chosen = {"failed": given.failed, "limit": given.limit}
            found = fetch(session, _LOG, chosen)
            shown_columns = list(_OF_THE_LOG)
            nothing = "No alert has told anything."
        else:
            found = fetch(session, _ALERTS)
            shown_columns = list(found.columns)
            nothing = "There are no alerts: pgagent.add_alert() makes one."
    show(given, Table(found.columns, found.rows, nothing, shown_columns))
    return 0


def try_alert(given: Given) -> int:
    """Have an alert tell a test."""
    with connect(given) as session:
        query: LiteralString = "SELECT pgagent.test_alert(%s::text)::text"
        event: str = value(session, query, [given.alert])
    told = (
        f'alert "{given.alert}" tells a test as soon as a runner, or pgagent'
        f" send-alerts, looks: pgagent alerts --log has event {event}"
    )
    report(given, told, Table(("alert", "event_id"), [(given.alert, event)]))
    return 0


def silence(given: Given) -> int:
    """Have nobody told of jobs, or of all, for a while."""
    refuse_both(given)
    with connect(given) as session:
        until = until_when(session, given)
        jobs = named(session, given.jobs)
        if given.all:
            session.execute(
                "SELECT pgagent.silence_all(%s::timestamptz, %s::text)",
                [until, given.reason],
            )
        for job in jobs:
            session.execute(
                "SELECT pgagent.silence(%s::bigint, %s::timestamptz, %s::text)",
                [job, until, given.reason],
            )
        end = value(session, "SELECT %s::timestamptz", [until])
    till = f" until {shown(end)}" if until else ""
    which: list[tuple[object, ...]] = [*jobs.items()] or [(None, None)]
    rows = [(job, name, end) for job, name in which]
    what = listed(jobs) if jobs else "anything"
    told = f"nobody is told of {what}{till}; runs go on as ever"
    report(given, told, Table(("job_id", "job", "silenced_until"), rows))
    return 0


def unsilence(given: Given) -> int:
    """End the silence of jobs, or the one of all."""
    refuse_both(given)
    with connect(given) as session:
        jobs = named(session, given.jobs)
        if given.all:
            session.execute("SELECT pgagent.unsilence_all()")
        for job in jobs:
            session.execute("SELECT pgagent.unsilence(%s::bigint)", [job])
    rows: list[tuple[object, ...]] = [*jobs.items()] or [(None, None)]
    told = f"{listed(jobs)} {are(jobs)} silenced no more"
    if given.all:
        told = "there is no silence of all jobs any more"
    report(given, told, Table(("job_id", "job"), rows))
    return 0
