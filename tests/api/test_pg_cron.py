"""What pg_cron's README shows, and what scripts written for it do, with `cron.` replaced."""

from contextlib import closing
from typing import Any

import psycopg
import pytest
from transitions import claim, finish_run, register

# The SQL of its section "What is pg_cron?", in order, with what it shows there.
EXAMPLES = [
    (
        "SELECT cron.schedule('30 3 * * 6', $$DELETE FROM events WHERE event_time < now() - interval '1 week'$$)",
        42,
    ),
    ("SELECT cron.schedule('nightly-vacuum', '0 10 * * *', 'VACUUM')", 43),
    ("SELECT cron.schedule('nightly-vacuum', '0 3 * * *', 'VACUUM')", 43),
    ("SELECT cron.unschedule('nightly-vacuum' )", True),
    ("SELECT cron.unschedule(42)", True),
    (
        "SELECT cron.schedule_in_database('weekly-vacuum', '0 4 * * 0', 'VACUUM', 'some_other_database')",
        44,
    ),
    (
        "SELECT cron.schedule('process-updates', '5 seconds', 'CALL process_updates()')",
        45,
    ),
    (
        "SELECT cron.schedule('process-payroll', '0 12 $ * *', 'CALL process_payroll()')",
        46,
    ),
]
CLEAN_UP = "SELECT  cron.schedule('delete-job-run-details', '0 12 * * *', $$DELETE FROM cron.job_run_details WHERE end_time < now() - interval '7 days'$$)"
DETAILS = "select * from cron.job_run_details order by start_time desc limit 5"


def moved(text):
    return text.replace("cron.", "pgagent.")


@pytest.fixture
def owner(conn):
    """Who is shown as the user of jobs that have no owner."""
    return conn.execute(
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'pgagent.pga_job'::regclass"
    ).fetchone()[0]


@pytest.fixture
def at_42(conn):
    """The database of the README has had 41 jobs, and its zone is GMT."""
    conn.execute("SELECT setval('pgagent.pga_job_jobid_seq', 41)")
    conn.execute("ALTER TABLE pgagent.pga_schedule ALTER jsctimezone SET DEFAULT 'UTC'")


def test_the_examples_of_its_readme_run(conn, at_42):
    for example, shown in EXAMPLES:
        assert conn.execute(moved(example)).fetchone() == (shown,)
        if shown == 42:
            assert conn.execute("SELECT jobname FROM pgagent.job").fetchone() == (
                "job 42",
            )

    assert conn.execute(
        "SELECT jobid, jobname, schedule, command, database, active FROM pgagent.job ORDER BY jobid"
    ).fetchall() == [
        (44, "weekly-vacuum", "0 4 * * 0", "VACUUM", "some_other_database", True),
        (
            *(45, "process-updates", "5 seconds"),
            *("CALL process_updates()", conn.info.dbname, True),
        ),
        (
            *(46, "process-payroll", "0 12 $ * *"),
            *("CALL process_payroll()", conn.info.dbname, True),
        ),
    ]


def test_its_log_is_read_and_cleaned_up_by_its_own_statements(conn):
    register(conn)
    for name in "abc":
        conn.execute("SELECT pgagent.schedule(%s, '5 seconds', 'SELECT 1')", [name])
        conn.execute("SELECT pgagent.run_job(%s)", [name])
    (a, _), (b, _), (c, _) = claim(conn)
    finish_run(conn, a)
    finish_run(conn, b, "f", "job canceled")
    conn.execute(
        "UPDATE pgagent.pga_joblog SET jlgstart = now() - interval '8 days' WHERE jlgid = %s",
        [a],
    )
    conn.execute(moved(CLEAN_UP))

    rows = conn.execute(moved(DETAILS))
    columns = [column.name for column in rows.description]
    found = [dict(zip(columns, row, strict=True)) for row in rows]

    assert {(row["runid"], row["status"], row["return_message"]) for row in found} == {
        (a, "succeeded", None),
        (b, "failed", "job canceled"),
        (c, "running", None),
    }
    assert found[-1]["runid"] == a
    assert {row["command"] for row in found} == {"SELECT 1"}
    (clean_up,) = conn.execute(
        "SELECT command FROM pgagent.job WHERE jobname = 'delete-job-run-details'"
    ).fetchone()
    assert conn.execute(clean_up).rowcount == 1
    assert {run for (run,) in conn.execute("SELECT jlgid FROM pgagent.pga_joblog")} == {
        b,
        c,
    }


def test_a_job_is_switched_off_in_its_table(conn):
    job_id = conn.execute(
        "SELECT pgagent.schedule('x', '@daily', 'SELECT 1')"
    ).fetchone()[0]

    conn.execute("UPDATE pgagent.job SET active = false WHERE jobid = %s", [job_id])

    assert conn.execute(
        "SELECT jobenabled, jobnextrun FROM pgagent.pga_job"
    ).fetchone() == (False, None)


SIGNATURES = [
    "schedule(text, text)",
    "schedule(text, text, text)",
    "schedule_in_database(text, text, text, text, text, boolean)",
    "alter_job(bigint, text, text, text, text, boolean)",
    "unschedule(bigint)",
    "unschedule(text)",
    "unschedule(name)",
    "job_cache_invalidate()",
]


@pytest.mark.parametrize("signature", SIGNATURES)
def test_its_functions_are_found_by_their_signatures(conn, signature):
    function = f"pgagent.{signature}"
    assert conn.execute(
        "SELECT to_regprocedure(%s) IS NOT NULL", [function]
    ).fetchone()[0]
    conn.execute(f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC")
    conn.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")


# A call, and what is not as a job has it by default.
CALLS: dict[str, dict[str, Any]] = {
    "schedule('a', '@daily', 'SELECT 1')": {},
    "schedule('a'::text, '@daily'::varchar, 'SELECT 1'::name)": {},
    "schedule(job_name => 'a', schedule => '@daily', command => 'SELECT 1')": {},
    "schedule('a', command => 'SELECT 1', schedule => '@daily')": {},
    "schedule('a', '@daily', 'SELECT 1', 'other')": {"database": "other"},
    "schedule('a', '@daily', 'SELECT 1', NULL, 'Asia/Tokyo')": {"zone": "Asia/Tokyo"},
    "schedule('a', '@daily', 'SELECT 1', 'other', NULL, false)": {
        "database": "other",
        "active": False,
    },
    "schedule('a', '@daily', 'SELECT 1', timezone => 'Asia/Tokyo')": {
        "zone": "Asia/Tokyo"
    },
    "schedule('a', '@daily', 'SELECT 1', active => false)": {"active": False},
    "schedule('a', '@daily', 'SELECT 1', active => false, timezone => 'Asia/Tokyo')": {
        "active": False,
        "zone": "Asia/Tokyo",
    },
    "schedule(command => 'SELECT 1', timezone => 'Asia/Tokyo', schedule => '@daily', job_name => 'a')": {
        "zone": "Asia/Tokyo"
    },
    "schedule('a', '@daily', 'SELECT 1', database => 'other')": {"database": "other"},
    "schedule_in_database('a', '@daily', 'SELECT 1', 'other')": {"database": "other"},
    "schedule_in_database('a', '@daily', 'SELECT 1', 'other', NULL, false)": {
        "database": "other",
        "active": False,
    },
    "schedule_in_database('a', '@daily', 'SELECT 1', 'other', active := false)": {
        "database": "other",
        "active": False,
    },
}


def state(conn):
    """Return what calls change of the only job."""
    return conn.execute(
        "SELECT j.schedule, j.command, j.database, j.active, j.jobname, s.jsctimezone AS zone, p.jobdesc"
        " FROM pgagent.job AS j JOIN pgagent.pga_schedule AS s ON s.jscjobid = j.jobid"
        " JOIN pgagent.pga_job AS p ON p.jobid = j.jobid"
    ).fetchone()


@pytest.mark.parametrize("call", CALLS)
def test_a_job_is_scheduled_by_any_number_of_arguments(conn, at_42, call):
    (job_id,) = conn.execute(f"SELECT pgagent.{call}").fetchone()
    given = {"database": conn.info.dbname, "active": True, "zone": "UTC"} | CALLS[call]

    assert job_id == 42
    assert state(conn) == (
        *("@daily", "SELECT 1", given["database"], given["active"], "a"),
        *(given["zone"], ""),
    )


CHANGES: dict[str, dict[int, Any]] = {
    "alter_job(42, '@hourly')": {0: "@hourly"},
    "alter_job(42::bigint, schedule => '@hourly'::text)": {0: "@hourly"},
    "alter_job(42::smallint, schedule => '@hourly')": {0: "@hourly"},
    "alter_job(42, NULL, NULL, NULL, NULL, false)": {3: False},
    "alter_job(42, NULL, 'SELECT 2', 'other', NULL, false)": {
        1: "SELECT 2",
        2: "other",
        3: False,
    },
    "alter_job(job_id := 42, active := false)": {3: False},
    "alter_job(job_id => 42, active => 'f')": {3: False},
    "alter_job(42, command => 'SELECT 2'::varchar)": {1: "SELECT 2"},
    "alter_job(42, database => 'other'::name)": {2: "other"},
    "alter_job(42, name => 'b')": {4: "b"},
    "alter_job(42::bigint, name => 'b', active => false)": {3: False, 4: "b"},
    "alter_job(42, schedule => '@hourly', timezone => 'Asia/Tokyo')": {
        0: "@hourly",
        5: "Asia/Tokyo",
    },
    "alter_job(42, NULL, NULL, NULL, NULL, NULL, 'b', 'said')": {4: "b", 6: "said"},
    "alter_job(job_id => 42, description => 'said', active => false, command => 'SELECT 2'::text)": {
        1: "SELECT 2",
        3: False,
        6: "said",
    },
    "alter_job('a', active => false)": {3: False},
    "alter_job('a', '@hourly', name => 'b')": {0: "@hourly", 4: "b"},
    "alter_job(job_name => 'a', command => 'SELECT 2')": {1: "SELECT 2"},
    "alter_job('a'::text, active => false, timezone => 'Asia/Tokyo')": {
        3: False,
        5: "Asia/Tokyo",
    },
}


@pytest.mark.parametrize("call", CHANGES)
def test_a_job_is_altered_by_any_number_of_arguments(conn, at_42, call):
    conn.execute("SELECT pgagent.schedule('a', '@daily', 'SELECT 1')")
    before = state(conn)

    conn.execute(f"SELECT pgagent.{call}")

    expected = [CHANGES[call].get(i, value) for i, value in enumerate(before)]
    assert [*state(conn)] == expected


def test_to_alter_nothing_is_an_error(conn, at_42):
    conn.execute("SELECT pgagent.schedule('a', '@daily', 'SELECT 1')")
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match="nothing is to be changed"
    ):
        conn.execute("SELECT pgagent.alter_job(jobid) FROM pgagent.job")
    # An integer would suit pg_cron's and ours alike.
    with pytest.raises(psycopg.errors.AmbiguousFunction):
        conn.execute("SELECT pgagent.alter_job(42)")


EXACT = [
    "schedule('@daily', 'SELECT 1')",
    "schedule('b', '@daily', 'SELECT 1')",
    "schedule(job_name := 'c', schedule := '@daily', command := 'SELECT 1')",
    "alter_job(42, '@hourly')",
    "alter_job(42, NULL, NULL, NULL, NULL, true)",
    "alter_job(42::bigint, command => 'SELECT 2')",
    "alter_job(job_id := 42, schedule := '@hourly', active := false)",
    "alter_job(job_id := 42, database := current_database())",
]


@pytest.fixture
def granted(conn, dsn, at_42):
    """A session of an editor who may execute pg_cron's functions, and none of ours."""
    conn.execute(
        "CREATE ROLE cron_user LOGIN; SELECT pgagent.grant_access('editor', 'cron_user')"
    )
    try:
        conn.execute(
            "SELECT pgagent.schedule('a', '@daily', 'SELECT 1', timezone => 'UTC')"
        )
        for (function,) in conn.execute(
            "SELECT p.oid::regprocedure::text FROM pg_proc AS p"
            " WHERE p.pronamespace = 'pgagent'::regnamespace"
            " AND p.proname IN ('schedule', 'alter_job')"
        ).fetchall():
            conn.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        for signature in SIGNATURES[:4]:
            conn.execute(f"GRANT EXECUTE ON FUNCTION pgagent.{signature} TO cron_user")
        with closing(
            psycopg.connect(dsn, user="cron_user", autocommit=True)
        ) as session:
            yield session
    finally:
        conn.execute("DROP OWNED BY cron_user; DROP ROLE cron_user")


def test_its_calls_take_no_grant_on_any_function_but_its_own(granted):
    for call in EXACT:
        granted.execute(f"SELECT pgagent.{call}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="alter_job"):
        granted.execute("SELECT pgagent.alter_job(42, name => 'x')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schedule"):
        granted.execute(
            "SELECT pgagent.schedule('b', '@daily', 'SELECT 1', active => true)"
        )


def test_an_interval_that_is_scheduled_anew_does_not_begin_anew(conn):
    due = "SELECT jobnextrun FROM pgagent.pga_job"
    call = "SELECT pgagent.schedule('a', '@every 2 hours', 'SELECT 1')"
    conn.execute(call)
    conn.execute("UPDATE pgagent.pga_schedule SET jscstart = now() - interval '1 hour'")
    before = conn.execute(due).fetchall()
    conn.execute(call)
    assert conn.execute(due).fetchall() == before

    conn.execute(call.replace("2", "3"))
    assert conn.execute(f"{due} WHERE jobnextrun > now() + interval '2 h'").rowcount


def test_what_exceptions_a_job_has_all_schedules_in_its_place_have(conn):
    conn.execute("""
        SELECT pgagent.schedule('a', '@daily', 'SELECT 1'), pgagent.add_schedule('a', '@weekly'),
               pgagent.add_exception('a', '2040-01-01', schedule => '@daily'),
               pgagent.add_exception('a', '2040-01-02');
        SELECT pgagent.schedule('a', '0 9 13 * fri', 'SELECT 1')
    """)
    assert (
        conn.execute("""
        SELECT jscname, to_char(jexdate, 'DD') FROM pgagent.pga_schedule JOIN pgagent.pga_exception ON jexscid = jscid
        ORDER BY jscid, jexdate
    """).fetchall()
        == [("0 9 13 * fri", day) for day in ("01", "02")] * 2
    )


def test_its_functions_do_not_make_an_inactive_job_active(conn):
    def is_active(call):
        conn.execute(f"SELECT pgagent.{call}")
        return conn.execute("SELECT active FROM pgagent.job").fetchone()[0]

    assert is_active("schedule('a', '@daily', 'SELECT 1')")
    assert not is_active("alter_job((SELECT jobid FROM pgagent.job), active => false)")
    assert not is_active("schedule('a', '@hourly', 'SELECT 2')")
    assert not is_active("schedule_in_database('a', '@hourly', 'SELECT 2', 'x')")
    assert not is_active("schedule('a', '@hourly', 'SELECT 2', timezone => 'UTC')")
    assert is_active("schedule('a', '@hourly', 'SELECT 2', active => true)")
    assert not is_active(
        "schedule_in_database('a', '@daily', 'S', 'x', active => false)"
    )


def test_a_schedule_that_can_not_be_read_costs_no_id(conn, at_42):
    for schedule in ("* * * *", "@restar", "0 seconds"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            conn.execute("SELECT pgagent.schedule(%s, 'SELECT 1')", [schedule])
    assert conn.execute(
        "SELECT pgagent.schedule('@restart', 'SELECT 1')"
    ).fetchone() == (42,)


def test_to_unschedule_what_a_subquery_does_not_find_does_nothing(conn):
    for kind, column in (
        ("bigint", "jobid"),
        ("text", "jobname"),
        ("name", "jobname::name"),
    ):
        found = f"(SELECT {column} FROM pgagent.job WHERE jobname = 'x')"
        assert conn.execute(f"SELECT pgagent.unschedule({found})").fetchone() == (None,)
        conn.execute("SELECT pgagent.schedule('x', '@daily', 'SELECT 1')")
        assert conn.execute(
            f"SELECT pgagent.unschedule({found}::{kind})"
        ).fetchone() == (True,)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("*/5 * * * *", "*/5 * * * *"),
        ("*/5 */4 1-7/2 JAN-mar Mon", "*/5 */4 1-7/2 JAN-mar Mon"),
        ("30 seconds", "30 seconds"),
        (" 30 sEcOnDs ", "30 sEcOnDs"),
        ("0 9 13 * fri", "0 9 13 * fri"),
        ("59 23 $ * *", "59 23 $ * *"),
        ("@restart", "@restart"),
        ("@every 1h30m", "@every 1h30m"),
        ("@at 2091-05-01 09:00 UTC", "@at 2091-05-01 09:00 UTC"),
    ],
)
def test_a_schedule_is_shown_as_it_was_written(conn, given, shown):
    conn.execute("SELECT pgagent.schedule('a', %s, 'SELECT 1')", [given])
    assert conn.execute("SELECT schedule FROM pgagent.job").fetchone() == (shown,)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ("jschours[3] = true", "0,30 2 * * *"),
        ("jscname = 'nightly'", "0,30 * * * *"),
        ("jscname = '0 9 * * *'", "0,30 * * * *"),
        ("jscname = '99 9 * * *'", "0,30 * * * *"),
        ("jscname = '@every thing'", "0,30 * * * *"),
        ("jscevery = '90 seconds'", "@every 90 seconds"),
    ],
)
def test_a_schedule_that_is_not_as_it_is_named_is_shown_as_it_is(conn, change, shown):
    conn.execute("SELECT pgagent.schedule('a', '*/30 * * * *', 'SELECT 1')")
    conn.execute(f"UPDATE pgagent.pga_schedule SET {change}")
    assert conn.execute("SELECT schedule FROM pgagent.job").fetchone() == (shown,)


def test_one_of_two_days_alone_is_not_shown_as_either(conn):
    conn.execute("SELECT pgagent.schedule('a', '0 9 13 * fri', 'SELECT 1')")
    conn.execute(
        "UPDATE pgagent.pga_schedule SET jscenabled = false WHERE jscmonthdays[13]"
    )
    assert conn.execute("SELECT schedule FROM pgagent.job").fetchone() == ("0 9 * * 5",)


ROW = (
    "SELECT jobid, schedule, command, nodename, nodeport, database, username, active, jobname"
    " FROM pgagent.job"
)
INSERTS: dict[str, dict[str, Any]] = {
    "(schedule, command) VALUES ('0 4 * * *', 'VACUUM')": {},
    "(schedule, command, jobname, active) VALUES ('0 4 * * *', 'VACUUM', 'v', false)": {
        "jobname": "v",
        "active": False,
    },
    "(schedule, command, nodename, nodeport, database, username) VALUES ('0 4 * * *', 'VACUUM', 'localhost', current_setting('port')::int, 'other', current_user)": {
        "database": "other"
    },
    "(schedule, command, nodename, database, jobname) VALUES ('0 4 * * *', 'VACUUM', '/tmp', 'other', 'v')": {
        "database": "other",
        "jobname": "v",
    },
    "(schedule, command, nodename, nodeport, database, username) VALUES ('0 4 * * *', 'VACUUM', 'node1', 5433, $$o'ther$$, 'marco')": {
        "nodename": "node1",
        "nodeport": 5433,
        "database": "o'ther",
        "connection": "host='node1' port='5433' dbname='o\\'ther' user='marco'",
    },
    "(schedule, command, nodename, nodeport, username) VALUES ('0 4 * * *', 'VACUUM', 'localhost', 1, 'marco')": {
        "nodeport": 1,
        "connection": "host='localhost' port='1' dbname='{here}' user='marco'",
    },
}


@pytest.mark.parametrize("statement", INSERTS)
def test_a_row_that_is_inserted_into_its_table_is_a_job(conn, at_42, owner, statement):
    row = conn.execute(
        f"INSERT INTO pgagent.job {statement} RETURNING jobid, jobname, active, nodename, nodeport"
    ).fetchone()
    given = {
        "jobname": "job 42",
        "active": True,
        "database": conn.info.dbname,
        "nodename": "localhost",
        "nodeport": conn.info.port,
        "connection": "",
    } | INSERTS[statement]

    assert conn.execute(ROW).fetchall() == [
        (
            *(42, "0 4 * * *", "VACUUM", given["nodename"], given["nodeport"]),
            *(given["database"], owner, given["active"], given["jobname"]),
        )
    ]
    names = ("jobname", "active", "nodename", "nodeport")
    assert row == (42, *(given[name] for name in names))
    assert conn.execute("SELECT jstconnstr FROM pgagent.pga_jobstep").fetchall() == [
        (given["connection"].format(here=conn.info.dbname),)
    ]
    next_run = "SELECT jobnextrun IS NOT NULL FROM pgagent.pga_job"
    assert conn.execute(next_run).fetchone() == (given["active"],)


def test_the_username_of_a_row_is_the_owner(conn, owner):
    conn.execute("CREATE ROLE cron_owner LOGIN")
    try:
        conn.execute(
            "INSERT INTO pgagent.job (jobname, schedule, command, username)"
            " VALUES ('a', '@daily', 'SELECT 1', 'cron_owner')"
        )
        shown = "SELECT j.username, p.jobowner FROM pgagent.job AS j JOIN pgagent.pga_job AS p USING (jobid)"
        assert conn.execute(shown).fetchone() == ("cron_owner", "cron_owner")
        conn.execute("UPDATE pgagent.job SET username = current_user")
        assert conn.execute(shown).fetchone() == (owner, None)
        conn.execute("UPDATE pgagent.job SET username = 'cron_owner'")
        assert conn.execute(shown).fetchone() == ("cron_owner", "cron_owner")
        conn.execute("UPDATE pgagent.job SET username = NULL")
        assert conn.execute(shown).fetchone() == (owner, None)
    finally:
        conn.execute("DELETE FROM pgagent.job")
        conn.execute("DROP ROLE cron_owner")


def test_its_users_have_their_own_jobs_once_the_catalogue_is_isolated(conn, dsn):
    conn.execute(
        "CREATE ROLE cron_user LOGIN; CREATE ROLE cron_other LOGIN;"
        " SELECT pgagent.grant_access('editor', 'cron_user');"
        " SELECT pgagent.schedule('ours', '@daily', 'SELECT 1'); SELECT pgagent.isolate()"
    )
    conn.execute("SELECT pgagent.schedule('theirs', '@daily', 'SELECT 1')")
    (theirs,) = conn.execute(
        "SELECT jobid FROM pgagent.job WHERE jobname = 'theirs'"
    ).fetchone()
    try:
        with closing(psycopg.connect(dsn, user="cron_user", autocommit=True)) as user:
            ((job_id,),) = user.execute(
                "SELECT pgagent.schedule('My vacuum', '0 11 * * *', 'VACUUM')"
            ).fetchall()
            user.execute("SELECT pgagent.alter_job(%s, database => 'other')", [job_id])
            assert user.execute(
                "SELECT jobid, username, database FROM pgagent.job"
            ).fetchall() == [(job_id, "cron_user", "other")]
            for call, state in {
                "schedule_in_database('x', '@daily', 'VACUUM', 'postgres', 'cron_other')": "42501",
                f"alter_job(job_id := {job_id}, username := 'cron_other')": "42501",
                f"alter_job(job_id := {theirs}, database := 'other')": "42704",
                f"unschedule({theirs})": "42704",
                "unschedule('theirs')": "42704",
            }.items():
                with pytest.raises(psycopg.Error) as e:
                    user.execute(f"SELECT pgagent.{call}")
                assert e.value.sqlstate == state, call
            for statement in (
                "UPDATE pgagent.job SET active = false",
                "DELETE FROM pgagent.job",
            ):
                assert user.execute(statement).rowcount == 1
        assert conn.execute(
            "SELECT jobname, active FROM pgagent.job ORDER BY 1"
        ).fetchall() == [
            ("ours", True),
            ("theirs", True),
        ]
        conn.execute("SELECT pgagent.alter_job(%s, username => 'cron_user')", [theirs])
        assert conn.execute(
            "SELECT username FROM pgagent.job WHERE jobid = %s", [theirs]
        ).fetchone() == ("cron_user",)
    finally:
        conn.execute(
            "DELETE FROM pgagent.job; DROP OWNED BY cron_user; DROP ROLE cron_user, cron_other"
        )


def test_the_user_of_a_run_is_that_of_its_job(conn, owner):
    register(conn)
    conn.execute("SELECT pgagent.schedule('a', '5 seconds', 'SELECT 1')")
    conn.execute("SELECT pgagent.run_job('a')")
    ((run_id, _),) = claim(conn)
    finish_run(conn, run_id)
    shown = "SELECT username FROM pgagent.job_run_details WHERE username = %s"
    assert conn.execute(shown, [owner]).fetchall() == [(owner,)]


UPDATES: dict[str, dict[str, Any]] = {
    "schedule = '*/5 * * * *'": {"schedule": "*/5 * * * *"},
    "command = 'SELECT 2'": {"command": "SELECT 2"},
    "database = 'other'": {"database": "other"},
    "active = false": {"active": False},
    "jobname = 'b'": {"jobname": "b"},
    "nodename = ''": {},
    "nodename = '/var/run/postgresql'": {},
    "nodename = 'node1', nodeport = 5433": {"nodename": "node1", "nodeport": 5433},
    "schedule = '1 1 * * *', command = 'SELECT 2', database = 'x', active = false, jobname = 'b'": {
        "schedule": "1 1 * * *",
        "command": "SELECT 2",
        "database": "x",
        "active": False,
        "jobname": "b",
    },
    "schedule = schedule, command = command, nodename = nodename": {},
}


@pytest.mark.parametrize("change", UPDATES)
def test_each_column_of_its_table_can_be_updated(conn, at_42, change):
    conn.execute(
        "SELECT pgagent.schedule('a', '@daily', 'SELECT 1', timezone => 'Asia/Tokyo')"
    )
    names = ROW.removeprefix("SELECT ").partition(" FROM")[0].split(", ")
    before = dict(zip(names, conn.execute(ROW).fetchone(), strict=True))

    assert (
        conn.execute(f"UPDATE pgagent.job SET {change} WHERE jobid = 42").rowcount == 1
    )

    after = dict(zip(names, conn.execute(ROW).fetchone(), strict=True))
    assert after == before | UPDATES[change]
    assert conn.execute("SELECT jsctimezone FROM pgagent.pga_schedule").fetchall() == [
        ("Asia/Tokyo",)
    ]


def test_a_job_goes_to_another_node_and_comes_back(conn):
    conn.execute(
        "INSERT INTO pgagent.job (schedule, command, nodename, nodeport, database, username)"
        " VALUES ('@daily', 'SELECT 1', 'node1', 5433, 'a', 'marco')"
    )
    step = "SELECT jstconnstr, jstdbname FROM pgagent.pga_jobstep"
    conn.execute("UPDATE pgagent.job SET database = 'b', nodename = 'node2'")
    assert conn.execute(step).fetchone() == (
        *("host='node2' port='5433' dbname='b' user='marco'", ""),
    )
    conn.execute("UPDATE pgagent.job SET nodename = 'localhost', nodeport = NULL")
    assert conn.execute(step).fetchone() == ("", "b")
    conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstconnstr = 'service=x', jstdbname = ''"
    )
    for change in ("nodename = 'node1'", "database = 'c'"):
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState,
            match="has several steps, or a connection string that says more",
        ):
            conn.execute(f"UPDATE pgagent.job SET {change}")
    assert conn.execute(step).fetchone() == ("service=x", "")


@pytest.mark.parametrize(
    ("statement", "sqlstate", "message"),
    [
        (
            "INSERT INTO pgagent.job (schedule) VALUES ('@daily')",
            "22023",
            "add_step(command): is empty",
        ),
        ("INSERT INTO pgagent.job (command) VALUES ('SELECT 1')", "22023", "is empty"),
        (
            "INSERT INTO pgagent.job (schedule, command) VALUES ('61 * * * *', 'SELECT 1')",
            "22023",
            "field 1 (minute)",
        ),
        (
            "INSERT INTO pgagent.job (jobid, schedule, command) VALUES (7, '@daily', 'SELECT 1')",
            "22023",
            "job(jobid): 7 was given",
        ),
        (
            "INSERT INTO pgagent.job (jobname, schedule, command) VALUES ('a', '@daily', 'SELECT 1')",
            "42710",
            'a job "a" already',
        ),
        (
            "INSERT INTO pgagent.job (schedule, command, username) VALUES ('@daily', 'SELECT 1', 'nobody_is_so')",
            "42704",
            "nobody_is_so",
        ),
        ("UPDATE pgagent.job SET jobid = 7", "22023", "42 was to become 7"),
        ("UPDATE pgagent.job SET schedule = 'x'", "22023", "has 1 fields, 5 wanted"),
        (
            "UPDATE pgagent.job SET schedule = NULL",
            "22023",
            "job(schedule): NULL was given",
        ),
        (
            "UPDATE pgagent.job SET command = ''",
            "22023",
            "alter_job(command): is empty",
        ),
        (
            "UPDATE pgagent.job SET active = NULL, command = NULL",
            "22023",
            "job(command, active): NULL was given",
        ),
    ],
)
def test_what_its_table_would_not_hold_is_refused(
    conn, at_42, statement, sqlstate, message
):
    conn.execute("SELECT pgagent.schedule('a', '@daily', 'SELECT 1')")
    before = conn.execute(ROW).fetchall()
    with pytest.raises(psycopg.Error) as e:
        conn.execute(statement)
    assert e.value.sqlstate == sqlstate
    assert message in (e.value.diag.message_primary or "")
    assert conn.execute(ROW).fetchall() == before


def test_no_name_of_its_functions_and_tables_is_missing(conn):
    names = {
        name
        for (name,) in conn.execute(
            "SELECT proname::text FROM pg_proc WHERE pronamespace = 'pgagent'::regnamespace"
            " UNION SELECT relname::text FROM pg_class WHERE relnamespace = 'pgagent'::regnamespace"
        )
    }
    assert names >= {
        *("schedule", "schedule_in_database", "alter_job", "unschedule"),
        *("job", "job_run_details"),
    }
