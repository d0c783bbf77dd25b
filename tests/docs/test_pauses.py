"""docs/operating.md: what it tells of pauses, and of limits of classes."""

from documents import block


def test_the_pause_of_one_job_outlives_that_of_all(conn):
    conn.execute("SELECT pgagent.schedule('etl', '@hourly', 'SELECT 1')")
    conn.execute("SELECT pgagent.schedule('other', '@hourly', 'SELECT 1')")

    conn.execute(block("docs/operating.md", "SELECT pgagent.pause_job('etl'"))

    assert conn.execute(
        "SELECT job, paused, paused_until > now() + interval '1 hour'"
        " FROM pgagent.job_status ORDER BY job"
    ).fetchall() == [("etl", True, True), ("other", False, None)]


def test_a_class_gets_a_limit_and_shows_it(conn):
    shown = conn.execute(
        block("docs/operating.md", "SELECT pgagent.alter_class('Data Import'")
    )

    while shown.nextset():
        pass
    assert ("Data Import", 2, 0, 0) in shown.fetchall()
