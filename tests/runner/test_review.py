"""The runner tells of time zones that the server does not know, and knows again."""

import logging

from jobs import add_job, add_schedule, job
from pgagent_runner.agent.review import Review
from support import poll


def set_zone(conn, zone):
    """Store a zone as a restore does: a server learns, and forgets, without a word."""
    with conn.transaction():
        conn.execute(
            "SET LOCAL check_function_bodies = off; SET LOCAL row_security = off"
        )
        conn.execute("UPDATE pgagent.pga_schedule SET jsctimezone = %s", [zone])


def test_a_job_comes_back_when_its_time_zone_is_known_again(conn, dsn, loop, caplog):
    caplog.set_level(logging.INFO, "pgagent_runner")
    job_id = add_job(conn, "SELECT 1", due=None, name="abroad")
    add_schedule(conn, job_id, jscname="daily")
    set_zone(conn, "Mars/Olympus")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL")

    loop.started(Review(dsn, pause=0.05).work)
    text = 'job 1 (abroad): the time zone of its schedule "daily" is '
    unknown = text + "not known to this server, so it starts no run: Mars/Olympus"
    poll(lambda: unknown in caplog.messages, what="the warning")
    assert job(conn, job_id, "jobnextrun") is None

    set_zone(conn, "Europe/Berlin")
    poll(lambda: text + "known again: Europe/Berlin" in caplog.messages)
    assert job(conn, job_id, "jobnextrun - now() < interval '1 minute'")
    assert caplog.messages.count(unknown) == 1
