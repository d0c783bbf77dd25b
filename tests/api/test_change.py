"""Jobs and their parts changed, replaced, renamed, copied and dropped by the SQL functions."""

import threading
from contextlib import closing
from datetime import UTC, datetime

import psycopg
import pytest
from documents import block
from history import NO_DEFINITION, definition, make_job
from jobs import add_job, add_schedule, job
from support import poll


def call(conn, text, *parameters):
    return conn.execute(f"SELECT pgagent.{text}", parameters).fetchone()[0]


@pytest.fixture
def etl(conn):
    """A job with a step and a schedule of each function's defaults; return its id."""
    job_id = call(conn, "create_job('etl')")
    call(conn, "add_step('etl', 'load', 'SELECT 1')")
    call(conn, "add_schedule('etl', '@every 1 day', name => 'daily')")
    return job_id


@pytest.fixture
def notices(conn):
    found = []
    conn.add_notice_handler(lambda notice: found.append(notice.message_primary))
    return found


def step(conn):
    """Return the columns of the only step that differ from those of a new one."""
    (row,) = conn.execute(
        "SELECT to_jsonb(s) - '{jstid,jstjobid,jstname,jstcode,jscnextrun,jstrunasid}'::text[] FROM pgagent.pga_jobstep AS s"
    ).fetchone()
    usual = {
        "jstdesc": "",
        "jstenabled": True,
        "jstkind": "s",
        "jstconnstr": "",
        "jstdbname": conn.info.dbname,
        "jstonerror": "f",
        "jsttimeout": None,
        "jstretries": 0,
        "jstretrydelay": "00:00:10",
        "jstretrybackoff": 2,
        "jstretryon": None,
        "jstmode": "single",
        "jstrunas": None,
    }
    return {key: value for key, value in row.items() if usual[key] != value}


def schedule(conn, name="daily"):
    return conn.execute(
        "SELECT pgagent.pga_schedule_text(s), jsctimezone, jscenabled, jscdesc, jscend"
        " FROM pgagent.pga_schedule AS s WHERE jscname = %s ORDER BY jscid",
        [name],
    ).fetchall()


CHANGES = [
    ("kind => 'batch'", {"jstkind": "b", "jstdbname": ""}),
    ("conninfo => 'service=x'", {"jstconnstr": "service=x", "jstdbname": ""}),
    ("database => 'postgres'", {"jstdbname": "postgres"}),
    ("database => ''", {}),
    ("conninfo => ''", {}),
    (
        "on_error => 'Ignore', enabled => false",
        {"jstonerror": "i", "jstenabled": False},
    ),
    (
        "description => 'x', mode => 'AUTOCOMMIT'",
        {"jstdesc": "x", "jstmode": "autocommit"},
    ),
    (
        "timeout => '90 s', retries => 2, retry_delay => '1 s', retry_backoff => 3",
        {
            "jsttimeout": "00:01:30",
            "jstretries": 2,
            "jstretrydelay": "00:00:01",
            "jstretrybackoff": 3,
        },
    ),
    ("retry_on => '{40001}'", {"jstretryon": ["40001"]}),
]
# What is set can be taken back.
BACK = (
    "alter_step('etl', 'load', kind => 'sql', conninfo => '', database => '', on_error => 'fail', enabled => true,"
    " description => '', mode => 'single', timeout => '0', retries => 0, retry_delay => '10 s', retry_backoff => 2,"
    " retry_on => '{}', run_as => '')"
)


@pytest.mark.parametrize(("change", "differs"), CHANGES)
def test_of_a_step_changes_what_is_given_and_can_be_taken_back(
    conn, etl, change, differs
):
    call(conn, f"alter_step('etl', 'load', {change})")
    assert step(conn) == differs

    call(conn, "alter_step('etl', 'load')")
    assert step(conn) == differs

    call(conn, BACK)
    assert step(conn) == {}


def test_a_database_and_a_connection_string_take_each_others_place(conn, etl):
    call(conn, "alter_step('etl', 'load', mode => 'autocommit', conninfo => 'host=h')")
    call(conn, "alter_step('etl', 'load', database => 'postgres')")
    assert step(conn) == {"jstdbname": "postgres", "jstmode": "autocommit"}

    call(conn, "alter_step('etl', 'load', kind => 'batch')")
    assert step(conn) == {"jstdbname": "", "jstkind": "b"}

    call(conn, "alter_step('etl', 'load', kind => 'sql')")
    assert step(conn) == {}


def test_a_step_that_is_replaced_has_the_defaults_where_nothing_is_given(conn, etl):
    step_id = call(
        conn,
        "add_step('etl', 'load', 'true', kind => 'batch', retries => 3, timeout => '1 h', description => 'x',"
        " enabled => false, on_conflict => 'replace')",
    )
    assert step(conn).keys() > {"jstkind", "jstretries", "jsttimeout", "jstdesc"}

    assert step_id == call(
        conn, "add_step('etl', 'load', 'SELECT 2', on_conflict => 'replace')"
    )
    assert step(conn) == {}


def test_a_job_that_is_replaced_has_the_defaults_but_keeps_its_parts(conn, etl):
    new = definition(conn, call(conn, "create_job('new')"))["pga_job"]
    parts = definition(conn, etl)
    conn.execute("UPDATE pgagent.pga_job SET jobkeepfor = NULL, jobtimeout = '1 h'")

    assert etl == call(conn, "create_job('etl', on_conflict => 'replace')")

    now = definition(conn, etl)
    (row,) = now.pop("pga_job").values()
    (expected,) = new.values()
    same = {"jobname": "etl", "jobcreated": row["jobcreated"]}
    assert row == expected | same
    del parts["pga_job"]
    assert now == parts


def test_a_job_that_is_replaced_keeps_its_owner_unless_another_one_is_given(conn, etl):
    """What others have written does not come to run with the login of the runner."""
    conn.execute("CREATE ROLE keeper")
    try:
        call(conn, "alter_job('etl', owner => 'keeper')")

        call(conn, "create_job('etl', description => 'x', on_conflict => 'replace')")
        assert job(conn, etl, "jobowner") == "keeper"

        call(conn, "create_job('etl', owner => '', on_conflict => 'replace')")
        assert job(conn, etl, "jobowner") is None
    finally:
        conn.execute("DROP ROLE keeper")


def test_a_job_whose_owner_is_gone_can_be_replaced(conn, etl):
    conn.execute("CREATE ROLE keeper")
    call(conn, "alter_job('etl', owner => 'keeper')")
    call(
        conn,
        "add_step('etl', 'load', 'SELECT 1', run_as => 'keeper', on_conflict => 'replace')",
    )
    conn.execute("DROP ROLE keeper")

    call(conn, "create_job('etl', description => 'x', on_conflict => 'replace')")
    call(conn, "alter_step('etl', 'load', 'SELECT 2')")

    assert job(conn, etl, "(jobowner, jobdesc)") == ("keeper", "x")
    assert step(conn) == {"jstrunas": "keeper"}


def test_an_interval_that_is_replayed_goes_on_from_its_start(conn, etl):
    conn.execute("UPDATE pgagent.pga_schedule SET jscstart = '2020-01-01 00:00Z'")
    due = job(conn, etl, "jobnextrun")

    call(
        conn,
        "add_schedule('etl', '@every 1 day', name => 'daily', on_conflict => 'replace')",
    )
    assert job(conn, etl, "jobnextrun") == due

    call(conn, "alter_schedule('etl', 'daily', '@every 2 days')")
    assert job(
        conn,
        etl,
        "(jobnextrun - '2020-01-01 00:00Z') / 2 = make_interval(days => extract(day FROM (jobnextrun - '2020-01-01 00:00Z') / 2)::integer)",
    )


def test_one_time_that_has_passed_can_be_replayed_and_does_not_come_again(conn, etl):
    one = "add_schedule('etl', '@at 2091-05-01 09:00Z', name => 'once', on_conflict => 'replace')"
    (schedule_id,) = call(conn, one)
    # The clock of the server is not set for tests.
    conn.execute(
        "UPDATE pgagent.pga_schedule SET jscat = '2021-05-01 09:00Z', jscenabled = false WHERE jscid = %s",
        [schedule_id],
    )

    past = one.replace("2091", "2021")
    assert call(conn, past) == [schedule_id]
    assert [row[2] for row in schedule(conn, "once")] == [False]

    with pytest.raises(psycopg.Error, match="lies in the past"):
        call(conn, past.replace("05-01", "05-02"))


@pytest.mark.parametrize(
    "text",
    [
        "0 3 * * *",
        "@every 90 minutes",
        "@at 2091-05-01 09:00:00 UTC",
        "@reboot",
        "15 3 13 * fri",
    ],
)
@pytest.mark.parametrize(
    "before",
    [
        "30 2 1 * *",
        "@every 1 day",
        "@at 2090-01-01 00:00 UTC",
        "@reboot",
        "0 0 14 * mon",
    ],
)
def test_a_schedule_becomes_one_of_another_kind_and_keeps_its_exceptions(
    conn, before, text
):
    call(conn, "create_job('x')")
    old = call(conn, "add_schedule('x', %s, name => 's', timezone => 'UTC')", before)
    call(conn, "create_job('y')")
    call(conn, "add_schedule('y', %s, name => 'wanted', timezone => 'UTC')", text)
    call(conn, "add_exception('x', '2040-01-01')")

    for change in (
        "alter_schedule('x', 's', %s)",
        "add_schedule('x', %s, name => 's', timezone => 'UTC', on_conflict => 'replace')",
    ):
        new = call(conn, change, text)
        assert new[0] == old[0]
        # The end of @reboot is its start: when it was made.
        kept = 4 if text == "@reboot" else 5
        assert [row[:kept] for row in schedule(conn, "s")] == [
            row[:kept] for row in schedule(conn, "wanted")
        ]
        assert conn.execute(
            "SELECT jexscid FROM pgagent.pga_exception ORDER BY jexscid"
        ).fetchall() == [(schedule_id,) for schedule_id in sorted(new)]


def test_of_a_schedule_changes_what_is_given(conn, etl, notices):
    call(conn, "add_exception('etl', '2040-01-01')")
    (schedule_id,) = call(
        conn,
        "alter_schedule('etl', 'daily', timezone => 'Asia/Tokyo', enabled => false, description => 'x',"
        " end_at => '2051-01-01 00:00Z')",
    )
    end = datetime(2051, 1, 1, tzinfo=UTC)
    assert schedule(conn) == [("@every 86400 seconds", "Asia/Tokyo", False, "x", end)]

    call(conn, "alter_schedule('etl', 'daily', '0 9 13 * fri')")
    assert schedule(conn) == [
        ("0 9 13 * *", "Asia/Tokyo", False, "x", end),
        ("0 9 * * 5", "Asia/Tokyo", False, "x", end),
    ]
    assert conn.execute("SELECT FROM pgagent.pga_exception").rowcount == 2

    call(
        conn,
        "alter_schedule('etl', 'daily', '@hourly', description => '', end_at => 'infinity')",
    )
    assert schedule(conn) == [("0 * * * *", "Asia/Tokyo", False, "", None)]
    assert conn.execute("SELECT jexscid FROM pgagent.pga_exception").fetchall() == [
        (schedule_id,)
    ]


def test_a_part_is_named_by_its_id_too(conn, etl):
    (schedule_id,) = call(conn, "add_schedule('etl', '@hourly')")
    step_id = call(conn, "add_step('etl', 'report', 'SELECT 1')")

    for named in ("'etl'", f"{etl}"):
        call(conn, f"alter_step({named}, {step_id}, description => %s)", named)
        call(conn, f"rename_step({named}, {step_id}, %s)", f"step of {named}")
        call(conn, f"alter_schedule({named}, {schedule_id}, description => %s)", named)
        call(conn, f"rename_schedule({named}, {schedule_id}, %s)", f"of {named}")
        assert (
            call(conn, f"add_exception({named}, '2040-01-01', NULL, {schedule_id})")
            == 1
        )
        assert (
            call(
                conn,
                f"alter_exception({named}, '2040-01-01', NULL, NULL, '12:00', {schedule_id})",
            )
            == 1
        )
        assert (
            call(conn, f"drop_exception({named}, '2040-01-01', '12:00', {schedule_id})")
            == 1
        )
        assert schedule(conn, f"of {named}")[0][3] == named
    call(conn, f"drop_step('etl', {step_id})")
    call(conn, f"drop_schedule({etl}, {schedule_id})")

    assert definition(conn, etl)["pga_jobstep"].keys() != {step_id}
    assert schedule(conn, f"of {etl}") == []


def test_one_of_two_of_a_name_is_changed_by_its_id_only(conn, etl):
    conn.execute(
        "INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)"
        " SELECT jstjobid, jstname, jstkind, jstcode, jstdbname FROM pgagent.pga_jobstep"
    )
    add_schedule(conn, etl, jscname="daily")
    for text, message in {
        "alter_step('etl', 'load', 'SELECT 2')": '2 steps of job "etl" have the name "load"',
        "drop_step('etl', 'load', if_exists => true)": '2 steps of job "etl" have the name "load"',
        "add_step('etl', 'load', 'SELECT 2', on_conflict => 'nothing')": 'have the name "load"',
        "alter_schedule('etl', 'daily', '@hourly')": '2 schedules of job "etl" have the name "daily"',
        "drop_schedule('etl', 'daily')": 'schedules of job "etl" have the name "daily"',
        "add_schedule('etl', '@hourly', 'daily', on_conflict => 'replace')": 'schedules of job "etl" have',
    }.items():
        with pytest.raises(psycopg.Error, match=message) as refused:
            call(conn, text)
        assert refused.value.sqlstate == "42P09"

    call(
        conn,
        "rename_step('etl', (SELECT max(jstid) FROM pgagent.pga_jobstep), 'other')",
    )
    call(
        conn,
        "rename_schedule('etl', (SELECT max(jscid) FROM pgagent.pga_schedule), 'other')",
    )

    call(conn, "alter_step('etl', 'load', 'SELECT 2')")
    call(conn, "drop_schedule('etl', 'daily')")


def test_an_exception_is_moved_and_taken_away(conn, etl):
    (hourly,) = call(conn, "add_schedule('etl', '@hourly')")
    assert call(conn, "add_exception('etl', '2040-12-25', '09:00')") == 2
    assert (
        call(
            conn,
            "add_exception('etl', '2040-12-25', '09:00:30', on_conflict => 'nothing')",
        )
        == 0
    )

    assert (
        call(
            conn,
            "alter_exception('etl', '2040-12-25', '09:00', new_date => '2040-12-26')",
        )
        == 2
    )
    assert (
        call(
            conn,
            "alter_exception('etl', '2040-12-26', '09:00', new_time => '24:00', schedule => '@hourly')",
        )
        == 1
    )
    assert (
        call(
            conn,
            "alter_exception('etl', '2040-12-26', '09:00', new_date => 'infinity')",
        )
        == 1
    )

    assert conn.execute(
        "SELECT jexscid = %s, jexdate::text, jextime::text FROM pgagent.pga_exception ORDER BY jexscid",
        [hourly],
    ).fetchall() == [(False, None, "09:00:00"), (True, "2040-12-26", None)]
    assert call(conn, "drop_exception('etl', at_time => '09:00')") == 1
    assert call(conn, "drop_exception('etl', '2040-12-26', schedule => '@hourly')") == 1


@pytest.mark.parametrize(
    "text",
    [
        "drop_job('none', if_exists => true)",
        "drop_job(4711, if_exists => true)",
        "drop_step('none', 'load', true)",
        "drop_step('etl', 'none', true)",
        "drop_step('etl', 4711, true)",
        "drop_schedule('etl', 'none', true)",
        "drop_schedule('etl', 4711, true)",
        "drop_exception('etl', '2040-01-01', if_exists => true)",
        "drop_class('none', if_exists => true)",
    ],
)
def test_what_is_not_there_is_passed_over_with_one_notice(conn, etl, notices, text):
    call(conn, text)

    assert len(notices) == 1
    assert notices[0].endswith(", skipping")


def test_a_copy_has_all_that_the_job_has_and_is_disabled(conn):
    """But for ids, times, and the name."""
    original = make_job(conn)
    conn.execute(
        "UPDATE pgagent.pga_job SET jobtimeout = '1 h', joboverlap = 'queue', jobmissed = 'all', jobmissedlimit = '2 h',"
        " jobkeepfor = NULL, jobkeepruns = NULL, jobdesc = 'x', jobhostagent = 'here', joblateafter = NULL,"
        " joblongafter = '3 h', joblongfactor = 1.5, jobdisableafter = 3, jobfailures = 2, jobsucceeded = 7"
    )
    call(
        conn,
        "add_schedule('etl', '0 9 13 * fri', timezone => 'Asia/Tokyo', end_at => '2051-01-01')",
    )

    copy = call(conn, "copy_job('etl', 'copy')")

    old, new = definition(conn, original), definition(conn, copy)
    (row,), (copied,) = old.pop("pga_job").values(), new.pop("pga_job").values()
    assert copied == row | {
        "jobname": "copy",
        "jobenabled": False,
        "jobcreated": copied["jobcreated"],
    }
    # The nth schedule of the copy is that of the nth.
    pairs = dict(zip(old["pga_schedule"], new["pga_schedule"], strict=True))
    exceptions = old.pop("pga_exception").values()
    assert [e | {"jexscid": pairs[e["jexscid"]]} for e in exceptions] == list(
        new.pop("pga_exception").values()
    )
    assert [list(part.values()) for part in old.values()] == [
        list(part.values()) for part in new.values()
    ]
    assert job(conn, copy, "(jobfailures, jobsucceeded)") == ("0", "0")
    assert job(conn, call(conn, "copy_job('etl', 'third', true)"), "jobenabled")


def test_a_new_column_of_a_job_is_copied_or_it_is_said_why_not(conn):
    columns = {
        name
        for (name,) in conn.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'pgagent.pga_job'::regclass"
            " AND attnum > 0 AND NOT attisdropped"
        )
    } - NO_DEFINITION["pga_job"]
    copied = {
        *("jobjclid", "jobname", "jobdesc", "jobhostagent", "jobenabled", "jobtimeout"),
        *("joboverlap", "jobmissed", "jobmissedlimit", "jobkeepfor", "jobkeepruns"),
        *("joblateafter", "joblongafter", "joblongfactor", "jobdisableafter"),
    }
    # As of any new job.
    assert columns - copied == {"jobcreated", "jobowner", "jobset"}


def test_a_class_has_a_limit_that_can_be_taken_away(conn):
    class_id = call(conn, "create_class('Reports', 2)")
    limit = "SELECT jclname, jcllimit FROM pgagent.pga_jobclass WHERE jclid = %s"
    assert conn.execute(limit, [class_id]).fetchone() == ("Reports", 2)

    call(conn, """alter_class('Reports', "limit" => 5, name => 'Paper')""")
    assert conn.execute(limit, [class_id]).fetchone() == ("Paper", 5)

    call(conn, "alter_class('Paper', 0)")
    assert conn.execute(limit, [class_id]).fetchone() == ("Paper", None)

    call(conn, "create_job('x', class => 'Paper')")
    with pytest.raises(psycopg.Error, match='pgagent: job class "Paper" has jobs') as e:
        call(conn, "drop_class('Paper')")
    assert e.value.sqlstate == "2BP01"
    call(conn, "drop_job('x')")
    call(conn, "drop_class('Paper')")


@pytest.mark.parametrize(
    ("made", "counted"),
    [
        (
            "create_job('new', on_conflict => 'nothing')",
            "pga_job WHERE jobname = 'new'",
        ),
        ("schedule('new', '@daily', 'SELECT 1')", "pga_job WHERE jobname = 'new'"),
        (
            "add_step('etl', 'new', 'SELECT 1', on_conflict => 'replace')",
            "pga_jobstep WHERE jstname = 'new'",
        ),
        ("add_step('etl', 'new', 'SELECT 1')", "pga_jobstep WHERE jstname = 'new'"),
        (
            "add_schedule('etl', '@hourly', on_conflict => 'nothing')",
            "pga_schedule WHERE jscname = '@hourly'",
        ),
        (
            "add_exception('etl', '2040-01-01', on_conflict => 'nothing')",
            "pga_exception",
        ),
        ("create_class('New', 1, 'nothing')", "pga_jobclass WHERE jclname = 'New'"),
    ],
)
def test_of_two_who_make_the_same_at_once_one_does(conn, dsn, etl, made, counted):
    with (
        closing(psycopg.connect(dsn)) as first,
        closing(psycopg.connect(dsn)) as second,
    ):
        first.execute(f"SELECT pgagent.{made}")
        outcome = []
        other = threading.Thread(target=lambda: outcome.append(_tried(second, made)))
        other.start()
        poll(lambda: _waits(conn, second))
        first.commit()
        other.join()

    is_replayed = "on_conflict" in made or made.startswith(("create_class", "schedule"))
    assert outcome == [None if is_replayed else "42710"]
    assert conn.execute(f"SELECT FROM pgagent.{counted}").rowcount == 1


def _tried(session, call_):
    try:
        session.execute(f"SELECT pgagent.{call_}")
        session.commit()
    except psycopg.Error as e:
        return e.sqlstate
    return None


def _waits(conn, session):
    return conn.execute(
        "SELECT cardinality(pg_blocking_pids(%s)) > 0", [session.info.backend_pid]
    ).fetchone()[0]


def test_to_make_a_job_takes_no_lock_of_its_own_unless_it_is_replayed(conn):
    """There is room for some thousand locks: many jobs may be made in one transaction."""
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    with conn.transaction():
        call(conn, "create_job('x')")
        call(conn, "add_step('x', 's', 'SELECT 1', on_conflict => 'replace')")
        assert conn.execute(locks).fetchone() == (0,)


def test_the_next_runs_of_all_jobs_are_those_of_each_in_order(conn):
    for n in range(12):
        add_job(conn, name=f"job {n}", due=None)
        call(conn, f"add_schedule('job {n}', '{n} {n} * * *', timezone => 'UTC')")
        call(
            conn,
            f"add_schedule('job {n}', '@every {7 * n + 50} seconds', start_at => '2020-01-01 00:00Z')",
        )
    add_job(conn, name="never", due=None)
    call(conn, "create_job('disabled', enabled => false)")
    call(conn, "add_schedule('disabled', '* * * * *')")
    call(conn, "add_exception('job 3', '2031-01-02')")

    for rows in (1, 2, 10, 57, 400):
        each = conn.execute(
            "SELECT n.run_at, n.local_time, n.schedule_name, n.note, j.jobid, j.jobname"
            " FROM pgagent.pga_job AS j, pgagent.next_runs(j.jobid::bigint, '2031-01-01 23:50Z', NULL, %s) AS n"
            " WHERE j.jobenabled ORDER BY n.run_at, j.jobid LIMIT %s",
            [rows, rows],
        ).fetchall()
        together = conn.execute(
            "SELECT * FROM pgagent.next_runs(after => '2031-01-01 23:50Z', max_rows => %s)",
            [rows],
        ).fetchall()
        assert together == each
        assert len(together) == rows

    until = conn.execute(
        "SELECT count(*), max(run_at) <= '2031-01-01 23:55Z' FROM pgagent.next_runs("
        "after => '2031-01-01 23:50Z', until => '2031-01-01 23:55Z', max_rows => 1000)"
    ).fetchone()
    assert until[0] > 12
    assert until[1]


def test_without_jobs_nothing_runs_next(conn):
    assert conn.execute("SELECT FROM pgagent.next_runs()").rowcount == 0
    call(conn, "create_job('x')")
    assert conn.execute("SELECT FROM pgagent.next_runs()").rowcount == 0


def test_the_jobs_of_the_docs_are_changed_and_replayed(conn):
    conn.execute(block("README.md", "SELECT pgagent.schedule('nightly'"))
    call(conn, "add_step('nightly', 'report', 'SELECT 1')")
    conn.execute(block("docs/operating.md", "SELECT pgagent.alter_step('nightly'"))
    assert schedule(conn, "at night")[0][0] == "0 4 * * *"

    for _ in range(3):
        conn.execute(
            block("docs/operating.md", "SELECT pgagent.create_class('Backups'")
        )
    made = [len(part) for part in definition(conn, 3).values()]
    assert made == [1, 1, 1, 1]


def is_enabled(conn):
    query = "SELECT jobenabled FROM pgagent.pga_job WHERE jobname = 'etl'"
    return conn.execute(query).fetchone()[0]


def test_whether_a_job_is_enabled_has_one_word_and_pg_crons(conn):
    call(conn, "create_job('etl')")
    call(conn, "alter_job('etl', enabled => false)")
    assert not is_enabled(conn)
    call(conn, "alter_job(pgagent.pga_job_id('etl'), enabled => true)")
    assert is_enabled(conn)
    call(conn, "alter_job('etl', active => false, enabled => false)")
    assert not is_enabled(conn)


def test_the_two_words_may_not_say_the_contrary(conn):
    call(conn, "create_job('etl')")
    refused = pytest.raises(
        psycopg.errors.InvalidParameterValue,
        match=r"active, enabled.*one is true, the other false",
    )
    with refused:
        call(conn, "alter_job('etl', active => false, enabled => true)")
