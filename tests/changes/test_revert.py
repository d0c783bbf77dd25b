"""Going back to what a job was."""

import psycopg
import pytest
from history import definition, make_job, now, revert
from jobs import add_job, add_schedule, add_step, job, runs
from transitions import claim, finish_run, register

# One statement for each kind of edit; of a step, a schedule and an exception each of insert,
# update and delete.
EDITS = {
    "the job": "UPDATE pgagent.pga_job SET jobname = 'other', jobdesc = 'd', jobenabled = false,"
    " jobjclid = 2, jobtimeout = NULL, joboverlap = 'queue', jobkeepruns = 3, jobhostagent = 'h'",
    "a step": "UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 2', jstname = 'x', jsttimeout = NULL,"
    " jstretryon = NULL, jstretrybackoff = 1.1, jstretrydelay = '-1 day 25:00' WHERE jstkind = 's'",
    "the kind of a step": "UPDATE pgagent.pga_jobstep SET jstkind = 'b', jstmode = 'single', jstdbname = ''",
    "a connection": "UPDATE pgagent.pga_jobstep SET jstconnstr = 'host=x', jstdbname = '' WHERE jstkind = 's'",
    "a new step": "INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode)"
    " SELECT jobid, 'new', 'b', 'true' FROM pgagent.pga_job",
    "a deleted step": "DELETE FROM pgagent.pga_jobstep WHERE jstkind = 's'",
    "fields of a schedule": "UPDATE pgagent.pga_schedule SET jschours[3] = true, jsctimezone = 'Asia/Tokyo',"
    " jscend = '2060-01-01'",
    "an interval": "UPDATE pgagent.pga_schedule SET jscevery = '7 s' WHERE jscevery IS NOT NULL",
    "an interval from fields": "UPDATE pgagent.pga_schedule SET jscevery = '1 day' WHERE jscname = 'nightly'",
    "fields from one time": "UPDATE pgagent.pga_schedule SET jscat = NULL, jscname = 'n' WHERE jscat IS NOT NULL",
    "a start of agents": "UPDATE pgagent.pga_schedule SET jscreboot = true, jscevery = NULL, jscat = NULL",
    "a new schedule": "INSERT INTO pgagent.pga_schedule (jscjobid, jscname) SELECT jobid, 'new' FROM pgagent.pga_job",
    "a deleted schedule": "DELETE FROM pgagent.pga_schedule WHERE jscname = 'nightly'",
    "all schedules": "SELECT pgagent.alter_job(jobid, schedule => '0 9 * * mon') FROM pgagent.pga_job",
    "an exception": "UPDATE pgagent.pga_exception SET jexdate = '2041-01-01', jextime = '00:00'"
    " WHERE jextime IS NULL",
    "a new exception": "INSERT INTO pgagent.pga_exception (jexscid, jextime)"
    " SELECT jscid, '03:00' FROM pgagent.pga_schedule",
    "a deleted exception": "DELETE FROM pgagent.pga_exception WHERE jexdate IS NOT NULL",
    "the whole job": "DELETE FROM pgagent.pga_job",
}
EDITS["all of it"] = "; ".join(
    EDITS[edit]
    for edit in (
        "the job",
        "a step",
        "a new step",
        "an exception",
        "a new exception",
        "all schedules",
        "a new schedule",
        "the kind of a step",
    )
)


@pytest.mark.parametrize("edit", EDITS)
def test_a_job_is_what_it_was(conn, edit):
    job_id = make_job(conn)
    before = definition(conn, job_id)
    then = now(conn)
    conn.execute("BEGIN; " + EDITS[edit] + "; COMMIT")
    after = definition(conn, job_id)
    later = now(conn)
    assert after != before

    conn.execute("SET TimeZone = 'Asia/Kolkata'; SET IntervalStyle = sql_standard")
    conn.execute("SET DateStyle = 'German'; SET extra_float_digits = -3")
    assert revert(conn, job_id, then) > 0
    assert revert(conn, job_id, then) == 0
    reverted = definition(conn, job_id)

    conn.execute("RESET ALL")
    assert definition(conn, job_id) == before
    if after["pga_job"]:
        assert revert(conn, job_id, later) > 0
        assert definition(conn, job_id) == after
        name = job(conn, job_id, "jobname")
        assert revert(conn, name, then) > 0
    assert reverted["pga_job"]


def test_each_of_many_states_can_be_reached_from_any(conn):
    job_id = make_job(conn)
    states = []
    for edit in (
        "a step",
        "a deleted schedule",
        "the job",
        "a new step",
        "a new exception",
    ):
        states.append((now(conn), definition(conn, job_id)))
        conn.execute(EDITS[edit])

    for place in (2, 0, 4, 1, 3, 0):
        revert(conn, job_id, states[place][0])
        assert definition(conn, job_id) == states[place][1]


def test_what_one_transaction_has_changed_is_undone_as_a_whole(conn):
    job_id = make_job(conn)
    before = definition(conn, job_id)
    with conn.transaction():
        conn.execute(EDITS["a step"])
        half = now(conn)
        conn.execute(EDITS["the job"])
    after = definition(conn, job_id)

    (first,) = conn.execute(
        "SELECT DISTINCT changed_at FROM pgagent.job_changes"
        " WHERE action = 'changed' AND (attribute = 'command' OR old = 'etl')"
    ).fetchone()
    assert first <= half
    assert revert(conn, job_id, first) == 0
    assert definition(conn, job_id) == after
    conn.execute("SELECT pgagent.revert_job(%s, %s - interval '1 us')", [job_id, first])
    assert definition(conn, job_id) == before


def test_the_log_stays_and_a_later_step_that_has_run_is_disabled(conn):
    job_id = add_job(conn, "SELECT 1")
    then = now(conn)
    new = add_step(conn, job_id, "SELECT 2", name="step 00")
    idle = add_step(conn, job_id, "SELECT 3", name="step 03")
    register(conn)
    [(run_id, _)] = claim(conn)
    finish_run(conn, run_id, "s")
    steps = "SELECT jslid, jsljstid FROM pgagent.pga_jobsteplog"
    before = conn.execute(steps).fetchall()
    assert before[0][1] == new
    notices = []
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    assert revert(conn, job_id, then) == 2

    assert (
        'step "step 00" was added later: it is disabled rather than deleted'
        in notices[0]
    )
    assert conn.execute(steps).fetchall() == before
    assert runs(conn, job_id) == [("s", None)]
    enabled = (
        "SELECT jstid, jstenabled FROM pgagent.pga_jobstep WHERE jstid IN (%s, %s)"
    )
    assert conn.execute(enabled, [new, idle]).fetchall() == [(new, False)]
    assert revert(conn, job_id, then) == 0


def test_a_deleted_job_comes_back_by_its_name_without_its_log(conn):
    job_id = make_job(conn)
    add_job(conn, name="etl of others")
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgagentid) VALUES (%s, 's', 1)",
        [job_id],
    )
    before = definition(conn, job_id)
    then = now(conn)
    conn.execute("SELECT pgagent.drop_job('etl')")
    notices = []
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    assert revert(conn, "etl", then) == 1 + 2 + 3 + 2

    assert notices == ['pgagent: job "etl" is back, its log is not']
    assert definition(conn, job_id) == before
    assert job(conn, job_id, "jobnextrun > now()")
    assert runs(conn, job_id) == []
    assert conn.execute(
        "SELECT pgagent.create_job('next') > %s", [job_id]
    ).fetchone() == (True,)


@pytest.mark.parametrize(
    ("job", "as_of", "sqlstate", "message"),
    [
        ("none", "now", "42704", 'there is no job "none"'),
        (4711, "now", "42704", "there is no job with the id 4711"),
        (-(2**40), "now", "42704", "there is no job with the id"),
        ("etl", "-infinity", "22023", "pgagent: there was no job"),
        ("gone", "infinity", "22023", "pgagent: there was no job"),
        ("gone", None, "22023", "is NULL"),
        ("twice", "now", "42P09", "2 jobs have the name"),
        (
            "gone twice",
            "now",
            "42P09",
            '2 jobs that are deleted had the name "gone twice"',
        ),
    ],
)
def test_what_can_not_be_is_refused_in_words(conn, job, as_of, sqlstate, message):
    make_job(conn)
    make_job(conn, "gone")
    for name in ("twice", "twice", "gone twice", "gone twice"):
        add_job(conn, name=name)
    conn.execute("DELETE FROM pgagent.pga_job WHERE jobname IN ('gone', 'gone twice')")
    kind = "text" if isinstance(job, str) else "bigint"

    with pytest.raises(psycopg.Error, match=message) as refusal:
        conn.execute(
            f"SELECT pgagent.revert_job(%s::{kind}, %s::timestamptz)", [job, as_of]
        )

    assert refusal.value.sqlstate == sqlstate


def test_an_old_password_is_not_kept_and_one_of_today_is(conn):
    job_id = add_job(
        conn, {"jstcode": "SELECT 1", "jstconnstr": "host=a password=old"}, due=None
    )
    connection = "SELECT jstconnstr FROM pgagent.pga_jobstep"
    notices = []
    first = now(conn)
    conn.execute("UPDATE pgagent.pga_jobstep SET jstconnstr = 'host=a password=new'")
    second = now(conn)
    conn.execute("UPDATE pgagent.pga_jobstep SET jstconnstr = 'host=b password=third'")
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    # A password is never taken along to another host.
    assert revert(conn, job_id, second) == 1
    assert conn.execute(connection).fetchone() == ("host=a password=''",)
    assert [
        "pgagent: the password in the connection string of" in notice
        for notice in notices
    ] == [True]

    conn.execute("UPDATE pgagent.pga_jobstep SET jstconnstr = 'host=a password=fourth'")
    assert revert(conn, job_id, first) == 0
    assert conn.execute(connection).fetchone() == ("host=a password=fourth",)
    (texts,) = conn.execute(
        "SELECT string_agg(c::text, '') FROM pgagent.pga_jobchange AS c"
    ).fetchone()
    assert [
        word
        for word in ("old", "new'", "third", "fourth")
        if word in texts.replace("jchold", "")
    ] == []


def test_what_is_gone_stays_as_it_is_today_and_a_notice_says_so(conn):
    conn.execute(
        "CREATE ROLE gone_owner; INSERT INTO pgagent.pga_jobclass (jclname) VALUES ('mine')"
    )
    (mine,) = conn.execute("SELECT max(jclid) FROM pgagent.pga_jobclass").fetchone()
    kept = add_job(conn, jobjclid=mine, due=None)
    dropped = add_job(conn, "SELECT 1", jobjclid=mine, name="dropped", due=None)
    then = now(conn)
    conn.execute("UPDATE pgagent.pga_job SET jobjclid = 2 WHERE jobid = %s", [kept])
    conn.execute("DELETE FROM pgagent.pga_job WHERE jobid = %s", [dropped])
    conn.execute(
        "DELETE FROM pgagent.pga_jobclass WHERE jclname = 'mine'; DROP ROLE gone_owner"
    )
    notices = []
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    assert revert(conn, kept, then) == 0
    assert job(conn, kept, "jobjclid") == 2
    assert "keeps something that it has today" in notices.pop(0)
    assert revert(conn, dropped, then) == 2
    assert "comes back incomplete" in notices[0]
    assert job(conn, dropped, "jobenabled") is False


def test_a_text_too_long_for_the_history_is_not_brought_back(conn):
    long = "--" + "x" * 2_000_000
    job_id = add_job(conn, long, due=None, name="long")
    then = now(conn)
    code = "SELECT md5(jstcode) = md5(%s) FROM pgagent.pga_jobstep"
    conn.execute("UPDATE pgagent.pga_jobstep SET jstname = 'n'")
    assert revert(conn, job_id, then) == 1
    assert conn.execute(code, [long]).fetchone() == (True,)

    conn.execute("UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 1', jstname = 'n'")
    assert revert(conn, job_id, then) == 1
    assert conn.execute(code, ["SELECT 1"]).fetchone() == (True,)

    conn.execute("DELETE FROM pgagent.pga_job")
    revert(conn, job_id, then)
    step = conn.execute(
        "SELECT jstcode, jstenabled FROM pgagent.pga_jobstep"
    ).fetchone()
    assert step == ("(not kept)", False)
    size = "SELECT sum(pg_column_size(c.*)) FROM pgagent.pga_jobchange AS c"
    assert conn.execute(size).fetchone()[0] < 10_000


def test_a_time_that_has_passed_does_not_come_again(conn):
    """That the runner has disabled it is no change that could be undone."""
    job_id = add_job(conn, "SELECT 1", due=None)
    schedule_id = add_schedule(conn, job_id, jscat="2001-01-01 00:00+00")
    then = now(conn)
    conn.execute("UPDATE pgagent.pga_schedule SET jscenabled = false")
    conn.execute("UPDATE pgagent.pga_job SET jobdesc = 'x', jobnextrun = NULL")

    assert revert(conn, job_id, then) == 1

    row = conn.execute("SELECT jscid, jscenabled FROM pgagent.pga_schedule").fetchone()
    assert row == (schedule_id, False)
    assert job(conn, job_id, "jobnextrun") is None


def test_a_step_that_has_moved_to_another_job_stays_there(conn):
    job_id = add_job(conn, "SELECT 1", due=None)
    other = add_job(conn, due=None)
    then = now(conn)
    conn.execute("UPDATE pgagent.pga_jobstep SET jstjobid = %s", [other])
    notices = []
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    assert revert(conn, job_id, then) == 0
    assert "belongs to another job now" in notices[0]
    assert revert(conn, other, then) == 1
    assert revert(conn, job_id, then) == 1
    assert definition(conn, job_id)["pga_jobstep"]


def test_who_begins_without_a_history_is_told_so(conn):
    job_id = make_job(conn)
    then = now(conn)
    # As an update from before there was one leaves it.
    conn.execute(
        "DELETE FROM pgagent.pga_jobchange; UPDATE pgagent.pga_job SET jobchangeid = NULL"
    )
    before = definition(conn, job_id)
    conn.execute(EDITS["all of it"])
    notices = []
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    assert revert(conn, job_id, then) > 0

    assert definition(conn, job_id) == before
    assert [n for n in notices if "the history of job" in n and "begins later" in n]


def test_a_run_refers_to_the_state_that_it_ran(conn):
    job_id = add_job(conn, "SELECT 'one'")
    then = now(conn)
    register(conn)
    [(first, _)] = claim(conn)
    conn.execute("UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT ''two'''")
    finish_run(conn, first, "s")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    [(second, _)] = claim(conn)

    since = """
        SELECT h.run_id, (
            SELECT count(*) FROM pgagent.job_changes AS c
            WHERE c.job_id = h.job_id AND c.change_id > h.change_id
        ) FROM pgagent.run_history AS h ORDER BY 1"""
    assert conn.execute(since).fetchall() == [(first, 1), (second, 0)]
    assert revert(conn, job_id, then) == 1
    assert conn.execute(since).fetchall() == [(first, 2), (second, 1)]
