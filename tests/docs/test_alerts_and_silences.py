"""docs/operating.md: what it tells of alerts and silences."""

import re

from documents import block
from support import ROOT


def test_alerts_are_made_and_tried_as_the_page_says(conn):
    conn.execute("SELECT pgagent.create_job('etl')")

    shown = conn.execute(
        block("docs/operating.md", "SELECT pgagent.add_alert('everything'")
    )

    while shown.nextset():
        pass
    assert shown.fetchall() == []
    conn.execute("SELECT pgagent.pga_alert_watch()")
    query = "SELECT event, alert, state FROM pgagent.alert_log"
    assert conn.execute(query).fetchall() == [("test", "nightly", "pending")]


def test_jobs_are_silenced_as_the_page_says(conn):
    conn.execute("SELECT pgagent.create_job('etl')")

    conn.execute(block("docs/operating.md", "SELECT pgagent.silence('etl'"))

    query = "SELECT jsijobid IS NULL, jsiuntil > now() FROM pgagent.pga_jobsilence ORDER BY 1"
    assert conn.execute(query).fetchall() == [(False, True), (True, False)]


def test_the_page_lists_all_events(conn):
    page = (ROOT / "docs/operating.md").read_text()
    table = page.split("| event | told when |")[1].split("\n\n")[0]
    listed = {
        event
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for event in re.findall(r"`(\w+)`", row)
    }
    known = conn.execute("SELECT unnest(pgagent.pga_events_known())").fetchall()
    assert listed == {event for (event,) in known}
