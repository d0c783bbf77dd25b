"""An interval of one second is kept: EVERY_SECOND_RUNS=300 does so for five minutes."""

import os

import pytest
from support import poll

RUNS = int(os.environ.get("EVERY_SECOND_RUNS", "5"))

LOG = """
SELECT count(*), count(DISTINCT jlgscheduled), string_agg(DISTINCT jlgstatus, ''),
       extract(epoch FROM max(jlgscheduled) - min(jlgscheduled))::integer,
       max(extract(epoch FROM jlgscheduled)::numeric % 1)::float8,
       max(extract(epoch FROM jlgstart - jlgscheduled))::float8
FROM pgagent.pga_joblog WHERE jlgstatus <> 'r'"""


@pytest.mark.timeout(60 + RUNS)
def test_a_job_of_every_second_runs_every_second_without_drift(
    conn, runner, record_property
):
    conn.execute("SELECT pgagent.schedule('tick', '@every 1 second', 'SELECT 1')")

    def log():
        row = conn.execute(LOG).fetchone()
        return row if row[0] >= RUNS else None

    count, times, status, period, off, late = poll(log, deadline=RUNS + 20)

    assert status == "s"
    assert count == times, "a second came twice"
    assert period + 1 - count <= 1, "seconds were left out"
    assert off == 0, "the runs have drifted off the full seconds"
    record_property("runs", count)
    record_property("seconds", period + 1)
    record_property("latest start", round(late, 4))
