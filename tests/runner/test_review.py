"""The runner tells of time zones that the server does not know, and knows again."""

import logging

from jobs import add_job, add_schedule, job
from pgagent_runner.agent.review import Review
from pgagent_runner.catalog import session_for
from support import poll


def set_zone(conn, zone):
    """Store a zone as a restore does: a server learns, and forgets, without a word."""
    with conn.transaction():
        conn.execute(
            "SET LOCAL check_function_bodies = off; SET LOCAL row_security = off"
        )
        conn.execute("UPDATE pgagent.pga_schedule SET jsctimezone = %s", [zone])


async def look(review, dsn):
    async with session_for(dsn, 10) as session:
        await review.look(session)


def test_a_job_comes_back_when_its_time_zone_is_known_again(conn, dsn, loop, caplog):
    caplog.set_level(logging.INFO, "pgagent_runner")
    job_id = add_job(conn, "SELECT 1", due=None, name="abroad")
    add_schedule(conn, job_id, jscname="daily")
    set_zone(conn, "Mars/Olympus")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL")

    review = Review(pause=0)

    def says(text):
        loop.run(look(review, dsn))
        return text in caplog.messages

    text = 'job 1 (abroad): the time zone of its schedule "daily" is '
    unknown = text + "not known to this server, so it starts no run: Mars/Olympus"
    poll(lambda: says(unknown), what="the warning")
    assert job(conn, job_id, "jobnextrun") is None

    set_zone(conn, "Europe/Berlin")
    poll(lambda: says(text + "known again: Europe/Berlin"))
    assert job(conn, job_id, "jobnextrun - now() < interval '1 minute'")
    assert caplog.messages.count(unknown) == 1
