"""Time limits, retries, modes, missed times and retention, as the functions set them."""

import psycopg
import pytest
from jobs import add_job, add_step, batch, job, runs
from transitions import claim, register


def columns(conn, table, key, value, *names):
    query = f"SELECT {', '.join(names)} FROM pgagent.{table} WHERE {key} = %s"
    return conn.execute(query, [value]).fetchone()


RULES = (
    *("jobtimeout::text", "joboverlap", "jobmissed", "jobmissedlimit::text"),
    *("jobkeepfor::text", "jobkeepruns"),
    *("joblateafter::text", "joblongafter::text", "joblongfactor", "jobdisableafter"),
)


def test_a_job_has_the_rules_of_4_2_unless_told_otherwise(conn):
    conn.execute("SELECT pgagent.create_job('a')")

    assert columns(conn, "pga_job", "jobname", "a", *RULES) == (
        *(None, "skip", "latest", None),
        *("30 days", 10000),
        *("00:05:00", None, None, None),
    )


def test_rules_are_set_changed_and_taken_away(conn):
    conn.execute(
        "SELECT pgagent.create_job('a', timeout => '5 s', overlap => 'queue',"
        " missed => 'all', missed_limit => '1 h', keep_for => '2 days', keep_runs => 7,"
        " late_after => '1 min', long_after => '2 h', long_factor => 2.5, disable_after => 3)"
    )
    told = ("00:01:00", "02:00:00", 2.5, 3)
    rules = ("00:00:05", "queue", "all", "01:00:00", "2 days", 7, *told)
    assert columns(conn, "pga_job", "jobname", "a", *RULES) == rules

    conn.execute(
        "SELECT pgagent.alter_job('a', timeout => '0', missed => 'skip',"
        " keep_runs => 0, late_after => '0', long_after => '0', long_factor => 0,"
        " disable_after => 0)"
    )
    none = (None, None, None, None)
    changed = (None, "queue", "skip", "01:00:00", "2 days", None, *none)
    assert columns(conn, "pga_job", "jobname", "a", *RULES) == changed


def test_a_job_that_is_replaced_is_late_when_a_new_one_would_be(conn):
    conn.execute(
        "ALTER TABLE pgagent.pga_job ALTER COLUMN joblateafter SET DEFAULT '1 h'"
    )
    conn.execute(
        "SELECT pgagent.create_job('a', late_after => '0', disable_after => 3)"
    )

    conn.execute("SELECT pgagent.create_job('a', on_conflict => 'replace')")

    assert columns(conn, "pga_job", "jobname", "a", *RULES)[-4:] == (
        *("01:00:00", None, None, None),
    )


def test_explain_job_says_when_it_is_late_long_and_disabled(conn):
    conn.execute(
        "SELECT pgagent.create_job('a', late_after => '10 min', long_after => '1 h',"
        " long_factor => 2.5, disable_after => 3)"
    )

    said = conn.execute(
        "SELECT detail FROM pgagent.explain_job('a') WHERE gate = 'rules'"
    ).fetchone()[0]

    assert said.endswith(
        "it is late 00:10:00 after it was due; a run of more than 01:00:00 or one of more"
        " than 2.5 times as long as usual is long; it is disabled after 3 failures in a row"
    )


def test_a_step_has_its_mode_its_limit_and_its_retries(conn):
    conn.execute("SELECT pgagent.create_job('a')")
    conn.execute(
        "SELECT pgagent.add_step('a', '1', 'VACUUM', mode => 'autocommit',"
        " timeout => '1 h', retries => 3, retry_delay => '1 s', retry_backoff => 1.5,"
        " retry_on => '{40001,08,connection}')"
    )

    names = ("jstmode", "jsttimeout::text", "jstretries", "jstretrydelay::text")
    assert columns(
        *(conn, "pga_jobstep", "jstname", "1"),
        *(*names, "jstretrybackoff", "jstretryon"),
    ) == ("autocommit", "01:00:00", 3, "00:00:01", 1.5, ["40001", "08", "connection"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("timeout => '-1 s'", 'timeout: "-00:00:01" is not a span of time'),
        ("missed_limit => '-1 s'", 'missed_limit: "-00:00:01" is not a span of time'),
        ("keep_for => '-1 day'", 'keep_for: "-1 days" is not a span of time'),
        ("overlap => 'twice'", 'overlap: "twice" is not known'),
        ("missed => 'none'", 'missed: "none" is not known'),
        ("keep_runs => -1", "keep_runs: -1 is out of range"),
        ("late_after => '-1 s'", 'late_after: "-00:00:01" is not a span of time'),
        ("long_after => '-1 s'", 'long_after: "-00:00:01" is not a span of time'),
        ("long_factor => 0.5", "long_factor: 0.5 is out of range"),
        ("long_factor => 'infinity'", "long_factor: Infinity is out of range"),
        ("long_factor => 'NaN'", "long_factor: NaN is out of range"),
        ("disable_after => -1", "disable_after: -1 is out of range"),
    ],
)
def test_a_wrong_rule_is_refused_and_no_job_is_made(conn, arguments, message):
    with pytest.raises(psycopg.Error, match=message) as e:
        conn.execute(f"SELECT pgagent.create_job('a', {arguments})")

    assert e.value.sqlstate == "22023"
    assert e.value.diag.message_detail
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("mode => 'fast'", 'jstmode: unknown mode "fast"'),
        (
            "mode => 'atomic', database => 'postgres'",
            "an atomic step runs in the database of the jobs",
        ),
        (
            "mode => 'atomic', conninfo => 'dbname=x'",
            "an atomic step runs in the database of the jobs",
        ),
        ("kind => 'batch', mode => 'autocommit'", "a batch step can't be autocommit"),
        ("timeout => '-1 s'", r"add_step\(timeout\): \"-00:00:01\" is not a span"),
        ("retry_delay => '-1 s'", r"add_step\(retry_delay\)"),
        ("retries => 1001", "jstretries: 1001 is out of range"),
        ("retry_backoff => 0.5", "jstretrybackoff: 0.5 is out of range"),
        ("retry_on => '{maybe}'", 'jstretryon: "maybe" is no reason to try again'),
    ],
)
def test_a_wrong_way_of_executing_a_step_is_refused(conn, arguments, message):
    conn.execute("SELECT pgagent.create_job('a')")

    with pytest.raises(psycopg.Error, match=message) as e:
        conn.execute(f"SELECT pgagent.add_step('a', '1', 'SELECT 1', {arguments})")

    assert e.value.sqlstate == "22023"
    assert e.value.diag.message_detail
    assert conn.execute("SELECT count(*) FROM pgagent.pga_jobstep").fetchone() == (0,)


def test_a_limit_that_is_no_time_is_refused_in_the_table_too(conn):
    job_id = add_job(conn, due=None)
    with pytest.raises(psycopg.Error, match='jsttimeout: "00:00:00" is not a span'):
        add_step(conn, job_id, batch("true", jsttimeout="0"))


@pytest.fixture
def agent(conn):
    register(conn)


def test_cancelling_a_run_tells_its_runner(conn, agent):
    add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(conn)

    for _ in range(2):
        assert conn.execute("SELECT pgagent.cancel_run(%s)", [run_id]).fetchone() == (
            True,
        )

    query = "SELECT cancelled, reasons FROM pgagent.pga_agent_heartbeat(%s, '20 s')"
    cancelled, (reason,) = conn.execute(query, [conn.info.backend_pid]).fetchone()
    assert cancelled == [run_id]
    assert reason.startswith("cancelled by postgres at ")


def test_a_promised_run_that_is_cancelled_does_not_begin(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    (run_id,) = conn.execute("SELECT pgagent.run_job(%s)", [job_id]).fetchone()

    assert conn.execute("SELECT pgagent.cancel_run(%s)", [run_id]).fetchone() == (True,)

    assert claim(conn) == []
    assert job(conn, job_id, "jobnextrun") is None


def test_a_run_that_has_ended_is_not_cancelled(conn, agent):
    add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(conn)
    conn.execute("SELECT pgagent.pga_run_abort(%s, 'by hand')", [run_id])

    assert conn.execute("SELECT pgagent.cancel_run(%s)", [run_id]).fetchone() == (
        False,
    )
    assert runs(conn) == [("d", "by hand")]


def test_a_run_that_there_is_not_cannot_be_cancelled(conn):
    with pytest.raises(psycopg.Error, match="pgagent: there is no run 99") as e:
        conn.execute("SELECT pgagent.cancel_run(99)")
    assert e.value.sqlstate == "42704"


def test_the_run_of_a_job_is_cancelled_by_the_jobs_name(conn, agent):
    job_id = add_job(conn, "SELECT 1", name="slow", due=None)
    assert cancelled(conn, "'slow'") is False

    conn.execute("SELECT pgagent.run_job('slow')")
    assert cancelled(conn, "'slow'") is True
    assert claim(conn) == []

    conn.execute("SELECT pgagent.run_job('slow')")
    claim(conn)
    assert cancelled(conn, "'slow'") is True
    assert conn.execute(
        "SELECT jlgcancel LIKE 'cancelled by postgres at %%' FROM pgagent.pga_joblog WHERE jlgjobid = %s",
        [job_id],
    ).fetchone() == (True,)

    with pytest.raises(psycopg.Error, match='there is no job "slower"'):
        cancelled(conn, "'slower'")


def test_the_id_of_a_run_may_be_quoted_unless_a_job_is_called_so(conn, agent):
    add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(conn)
    assert cancelled(conn, f"'{run_id}'") is True

    add_job(conn, name=str(run_id), due=None)
    assert cancelled(conn, f"'{run_id}'") is False


def cancelled(conn, argument):
    return conn.execute(f"SELECT pgagent.cancel_run({argument})").fetchone()[0]
