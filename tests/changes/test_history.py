"""Every change of a definition is recorded, by whoever it was, and nothing else is."""

from contextlib import closing
from threading import Thread

import psycopg
import pytest
from documents import block, inline
from history import NO_DEFINITION, last_change, make_job, now, revert
from jobs import add_job, add_schedule, add_step, job
from psycopg import sql
from support import poll
from transitions import claim, finish_run, register

COUNT = "SELECT count(*) FROM pgagent.pga_jobchange"
EDITOR = """
CREATE ROLE {role} LOGIN;
GRANT USAGE ON SCHEMA pgagent TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO {role};
GRANT INSERT, UPDATE, DELETE ON pgagent.pga_job, pgagent.pga_jobstep,
    pgagent.pga_schedule, pgagent.pga_exception TO {role};
GRANT USAGE ON SEQUENCE pgagent.pga_job_jobid_seq, pgagent.pga_jobstep_jstid_seq,
    pgagent.pga_schedule_jscid_seq, pgagent.pga_exception_jexid_seq TO {role};
"""


def count(conn):
    return conn.execute(COUNT).fetchone()[0]


@pytest.fixture
def role(conn, dsn):
    """Make a role with rights on the tables, as pgAdmin's users have; return its name."""
    name = f"editor_{conn.info.dbname}"
    conn.execute(EDITOR.format(role=name))
    yield name
    conn.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@pytest.fixture
def editor(dsn, role):
    with closing(psycopg.connect(dsn, user=role, autocommit=True)) as session:
        yield session


def test_every_column_is_a_definition_or_known_to_be_none(conn):
    """A new column of a job has to be named in two triggers, or in the function."""
    make_job(conn)
    images = dict(
        conn.execute(
            "SELECT 'pga_' || replace(jchobject, 'step', 'jobstep'), array_agg(DISTINCT k)"
            " FROM pgagent.pga_jobchange, jsonb_object_keys(jchnew) AS k"
            " WHERE jchaction = 'insert' GROUP BY 1"
        ).fetchall()
    )
    columns = dict(
        conn.execute(
            "SELECT table_name::text, array_agg(column_name::text) FROM information_schema.columns"
            " WHERE table_schema = 'pgagent' AND table_name = ANY (%s) GROUP BY 1",
            [list(images)],
        ).fetchall()
    )
    assert {table: set(names) for table, names in images.items()} == {
        table: set(names) - NO_DEFINITION[table] for table, names in columns.items()
    }
    triggers = dict(
        conn.execute(
            "SELECT t.tgname::text, ARRAY(SELECT a.attname::text FROM pg_attribute AS a"
            " WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::smallint[]))"
            " FROM pg_trigger AS t WHERE t.tgname IN ('pga_job_change_id', 'pga_job_changed')"
        ).fetchall()
    )
    assert set(triggers["pga_job_changed"]) == set(images["pga_job"])
    assert set(triggers["pga_job_change_id"]) == {*images["pga_job"], "jobchanged"}


def test_the_view_says_it_in_words(conn, dsn):
    job_id = add_job(conn, "SELECT 1", name="etl", due=None)
    conn.execute("SELECT pgagent.add_schedule('etl', '0,30 9 L * *')")
    conn.execute("SELECT pgagent.add_exception('etl', on_date => '2040-12-25')")
    start = now(conn)
    conn.execute(
        "SELECT pgagent.alter_job('etl', class => 'Data Import', active => false)"
    )
    conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstonerror = 'i', jstcode = 'SELECT 2'"
    )
    conn.execute(
        "UPDATE pgagent.pga_schedule SET jscweekdays[1] = true, jscend = '2060-01-01 00:00Z'"
    )
    conn.execute("UPDATE pgagent.pga_exception SET jextime = '12:00'")
    conn.execute("DELETE FROM pgagent.pga_schedule")
    conn.execute("DELETE FROM pgagent.pga_job")

    rows = conn.execute(
        "SELECT job_id, job, object, name, action, attribute, old, new FROM pgagent.job_changes"
        " WHERE changed_at > %s AND changed_by = 'postgres' AND login = 'postgres'"
        " ORDER BY change_id, object_id",
        [start],
    ).fetchall()

    assert {row[:2] for row in rows} == {(job_id, "etl")}
    changes = [row[2:] for row in rows]
    for change in [
        ("job", "etl", "changed", "class", "Routine Maintenance", "Data Import"),
        ("job", "etl", "changed", "enabled", "true", "false"),
        ("step", "step 01", "changed", "on_error", "fail", "ignore"),
        ("step", "step 01", "changed", "command", "SELECT 1", "SELECT 2"),
        ("schedule", "0,30 9 L * *", "changed", "weekdays", "*", "0"),
        (
            "schedule",
            "0,30 9 L * *",
            "changed",
            "end_at",
            None,
            "2060-01-01T00:00:00+00:00",
        ),
        ("exception", "0,30 9 L * *", "changed", "time", None, "12:00:00"),
        ("schedule", "0,30 9 L * *", "deleted", "monthdays", "L", None),
        ("schedule", "0,30 9 L * *", "deleted", "minutes", "0,30", None),
        (
            "schedule",
            "0,30 9 L * *",
            "deleted",
            "exceptions",
            "2040-12-25 12:00:00",
            None,
        ),
        ("step", "step 01", "deleted", "kind", "sql", None),
        ("job", "etl", "deleted", "name", "etl", None),
    ]:
        assert change in changes
    assert not [c for c in changes if c[2] == "deleted" and c[4] in ("", "false", None)]


def test_both_the_role_and_the_login_are_recorded(conn, dsn, editor, role):
    job_id = add_job(conn, due=None)
    assert last_change(conn)[:2] == ("postgres", "postgres")
    editor.execute("UPDATE pgagent.pga_job SET jobdesc = 'x'")
    assert last_change(conn)[:2] == (role, role)
    conn.execute(
        f"SET ROLE {role}; UPDATE pgagent.pga_job SET jobdesc = 'y'; RESET ROLE"
    )
    assert last_change(conn)[:2] == (role, "postgres")
    assert (
        job(conn, job_id, "jobchangeid")
        == conn.execute("SELECT max(jchid) FROM pgagent.pga_jobchange").fetchone()[0]
    )


def test_nothing_is_recorded_where_nothing_was_changed(conn):
    make_job(conn)
    before = count(conn)
    for table in NO_DEFINITION:
        columns = conn.execute(
            "SELECT string_agg(format('%%1$I = %%1$I', column_name), ', ') FROM information_schema.columns"
            " WHERE table_schema = 'pgagent' AND table_name = %s",
            [table],
        ).fetchone()[0]
        conn.execute(
            sql.SQL("UPDATE pgagent.{} SET " + columns).format(sql.Identifier(table))
        )
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    assert count(conn) == before


def test_runs_neither_write_nor_call_anything(conn):
    """So runs cost what they did."""
    job_id = make_job(conn)
    add_schedule(conn, job_id, jscat="2001-01-01 00:00+00")
    register(conn)
    conn.execute("SET track_functions = 'all'")
    before = count(conn)
    change = job(conn, job_id, "jobchangeid")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    [(run_id, _)] = claim(conn)
    finish_run(conn, run_id, "s")
    [run] = conn.execute(
        "SELECT jlgstatus, jlgchangeid FROM pgagent.pga_joblog"
    ).fetchall()
    assert run == ("s", change)
    assert count(conn) == before
    assert conn.execute(
        "SELECT bool_or(jscenabled) FROM pgagent.pga_schedule WHERE jscat < now()"
    ).fetchone() == (False,)

    plain = add_job(conn, "SELECT 1", due=None)
    edit = "UPDATE pgagent.pga_job SET jobdesc = 'x' WHERE jobid = %s"
    due = "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s"
    with conn.transaction():
        before = calls(conn)
        conn.execute(due, [plain])
        [(run_id, _)] = claim(conn)
        finish_run(conn, run_id, "s")
        assert calls(conn) == before
        conn.execute(edit, [plain])
        assert calls(conn) != before


def calls(conn):
    """Return which functions of the history were called how often."""
    return conn.execute(
        "SELECT funcname, calls FROM pg_stat_xact_user_functions"
        " WHERE funcname ~ 'chang|pga_job_dropped|pga_jobchange' ORDER BY 1"
    ).fetchall()


PASSWORDS = {
    "host=h password=secret dbname=d": "host=h password='' dbname=d",
    "password = 'a \\' secret' host=h": "password='' host=h",
    "password=a\\ secret host=h": "password='' host=h",
    "host=h sslpassword=secret": "host=h sslpassword=''",
    "host=h oauth_client_secret=secret": "host=h oauth_client_secret=''",
    "postgresql://u:secret@h:1/d?x=y": "postgresql://u:@h:1/d?x=y",
    "postgres://u@h/d?sslmode=require&password=secret": "postgres://u@h/d?sslmode=require&password=",
    "postgres://h?p%61ssword=secret": None,
    "password='secret host=h": None,
    "host=h passwort secret": None,
    "options='-c my.password=secret' dbname=d": None,
    "dbname='postgresql://u:secret@h/d' host=h": None,
    # Somebody's mistakes, which no server is reached by.
    "postgresql://u:sec@secret@h/d": None,
    "postgresql://u:secret/sec@h/d": None,
    "host=h PASSWORD=secret": "host=h PASSWORD=''",
    "host=h passw\\ord=secret": None,
}


@pytest.mark.parametrize("connection", PASSWORDS)
def test_no_password_is_kept(conn, connection):
    add_job(conn, {"jstcode": "SELECT 1", "jstconnstr": connection}, due=None)
    conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstname = 'n', jstconnstr = jstconnstr || ' '"
    )
    conn.execute("DELETE FROM pgagent.pga_job")

    kept = "SELECT c::text FROM pgagent.pga_jobchange AS c UNION ALL SELECT v::text FROM pgagent.job_changes AS v"
    assert [
        row
        for row in conn.execute(kept)
        if "secret" in row[0].replace("client_secret", "")
    ] == []
    [first] = conn.execute(
        "SELECT jchnew -> 'jstconnstr' FROM pgagent.pga_jobchange WHERE jchobject = 'step' AND jchaction = 'insert'"
    ).fetchone()
    assert first == {"without_password": PASSWORDS[connection]}


@pytest.mark.parametrize(
    "connection",
    [
        "",
        "host=h dbname=d",
        "passfile=/x  user = 'a b'",
        "postgresql://u@[::1]:5432/d?x=a@b",
        "service=s",
    ],
)
def test_a_connection_string_without_a_password_is_kept_as_it_is(conn, connection):
    kept = conn.execute(
        "SELECT pgagent.pga_change_connection(%s)", [connection]
    ).fetchone()[0]
    assert kept == connection


def test_the_longest_connection_string_takes_no_time(conn):
    conn.execute("SET statement_timeout = '5 s'")
    for connection in (
        "=" * 100_000,
        "a=b " * 25_000,
        "a=" + "\\ " * 49_000 + "'",
        "'" * 99_999,
        "x:" * 50_000,
    ):
        conn.execute("SELECT pgagent.pga_change_connection(%s)", [connection])
        conn.execute(
            "SELECT pgagent.pga_change_connection(%s)", ["postgres://" + connection]
        )


FORGED = {
    "a row": "INSERT INTO pgagent.pga_jobchange (jchjobid, jchobject, jchobjectid, jchaction, jchname)"
    " SELECT jobid, 'job', jobid, 'update', 'x' FROM pgagent.pga_job",
    "a row of the last change": "INSERT INTO pgagent.pga_jobchange (jchid, jchjobid, jchobject, jchobjectid, jchaction, jchname)"
    " SELECT jobchangeid, jobid, 'job', jobid, 'update', 'x' FROM pgagent.pga_job",
    "that a job is gone": "INSERT INTO pgagent.pga_jobchange"
    " (jchjobid, jchdropped, jchobject, jchobjectid, jchaction, jchname)"
    " SELECT jobid, true, 'job', jobid, 'delete', 'x' FROM pgagent.pga_job",
    "through the function": "SET client_min_messages = error;"
    " SELECT pgagent.pga_change_record(jobid, 'job', jobid, 'x', '{}', NULL, NULL) FROM pgagent.pga_job",
    "a change of others": "UPDATE pgagent.pga_jobchange SET jchby = 'postgres'",
    "that there was none": "DELETE FROM pgagent.pga_jobchange",
    "a restore": "SET row_security = off; SET check_function_bodies = off;"
    "INSERT INTO pgagent.pga_jobchange (jchjobid, jchobject, jchobjectid, jchaction, jchname)"
    " SELECT jobid, 'job', jobid, 'update', 'x' FROM pgagent.pga_job",
}


@pytest.mark.parametrize("forgery", FORGED)
def test_an_editor_writes_no_history_by_hand(conn, editor, forgery):
    add_job(conn, due=None)
    before = conn.execute(
        "SELECT * FROM pgagent.pga_jobchange ORDER BY jchid"
    ).fetchall()

    if forgery == "through the function":
        editor.execute(FORGED[forgery])
    else:
        with pytest.raises(
            psycopg.errors.InsufficientPrivilege,
            match=r"pgagent: pga_jobchange is written by triggers only|permission denied",
        ):
            editor.execute(FORGED[forgery])

    assert (
        conn.execute("SELECT * FROM pgagent.pga_jobchange ORDER BY jchid").fetchall()
        == before
    )


@pytest.mark.parametrize(
    "settings",
    [
        "SET row_security = off; SET check_function_bodies = off",
        "SET pgagent.restoring = 'on'; SET pgagent.freeing = 'on'",
        "SET pgagent.changing = 'x@y'",
        "DO $$BEGIN PERFORM set_config('pgagent.changing', pg_backend_pid()::text || now()::text || '@x', false); END$$",
        "SET plpgsql.extra_errors = 'all'; SET default_transaction_isolation = 'serializable'",
        "SET search_path = nowhere; SET array_nulls = off; SET quote_all_identifiers = on",
        "SET standard_conforming_strings = off",
    ],
)
def test_no_setting_keeps_a_change_from_the_history(conn, editor, role, settings):
    job_id = add_job(conn, due=None)
    editor.execute(settings)
    before = now(conn)
    with editor.transaction():
        editor.execute(settings)
        editor.execute("UPDATE pgagent.pga_job SET jobdesc = 'x'")
    assert last_change(conn)[0] == role
    assert last_change(conn)[-1] == {"jobdesc": "x"}
    assert conn.execute(
        "SELECT max(jchat) BETWEEN %s AND now() FROM pgagent.pga_jobchange", [before]
    ).fetchone()[0]
    assert revert(conn, job_id, before) == 1


def test_what_cannot_be_recorded_is_changed_with_a_warning(conn):
    """A trigger of somebody on the history, or a full disk, keeps nobody from editing."""
    job_id = make_job(conn)
    dropped = make_job(conn, "dropped")
    conn.execute(
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " RAISE EXCEPTION 'no mail today' USING ERRCODE = 'disk_full'; END$$;"
        "CREATE TRIGGER f BEFORE INSERT ON pgagent.pga_jobchange FOR EACH ROW EXECUTE FUNCTION public.f()"
    )
    notices = []
    conn.add_notice_handler(
        lambda n: notices.append((n.message_primary, n.message_detail))
    )

    conn.execute("UPDATE pgagent.pga_job SET jobdesc = 'x' WHERE jobid = %s", [job_id])
    conn.execute("DELETE FROM pgagent.pga_job WHERE jobid = %s", [dropped])

    assert job(conn, job_id, "jobdesc") == "x"
    assert job(conn, dropped, "jobid") is None
    assert notices[0][0] == f"pgagent: a change of job {job_id} is not in its history"
    assert (
        notices[1][0] == f"pgagent: that job {dropped} is deleted is not in its history"
    )
    assert all("no mail today" in detail for _, detail in notices)


def test_that_a_deadly_job_was_disabled_is_recorded(conn):
    job_id = add_job(conn, "SELECT 1", jobdeaths=2, name="deadly")

    conn.execute("SELECT pgagent.pga_agent_bury_run(%s, true, 'killed')", [job_id])

    change = ("job", "deadly", "update", {"jobenabled": True}, {"jobenabled": False})
    assert last_change(conn)[2:] == change


def committing(session, statement, parameters):
    session.execute(statement, parameters)
    session.commit()


def test_changes_of_one_job_at_once_are_in_the_order_of_their_commits(conn, dsn):
    job_id = add_job(conn, "SELECT 1", "SELECT 2", due=None)
    steps = [
        s for (s,) in conn.execute("SELECT jstid FROM pgagent.pga_jobstep ORDER BY 1")
    ]
    edit = "UPDATE pgagent.pga_jobstep SET jstcode = jstcode || '.' WHERE jstid = %s"
    with (
        closing(psycopg.connect(dsn)) as first,
        closing(psycopg.connect(dsn)) as second,
    ):
        first.execute(edit, [steps[0]])
        thread = Thread(target=committing, args=(second, edit, [steps[1]]))
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        poll(
            lambda: conn.execute(waiting, [second.info.backend_pid]).fetchone()[0],
            what="the wait",
        )
        first.execute("UPDATE pgagent.pga_job SET jobdesc = 'x'")
        first.commit()
        thread.join()
    changes = conn.execute(
        "SELECT jchobject, jchobjectid FROM pgagent.pga_jobchange ORDER BY jchid DESC LIMIT 3"
    ).fetchall()
    assert changes == [("step", steps[1]), ("job", job_id), ("step", steps[0])]
    assert conn.execute(
        "SELECT jobchangeid = (SELECT max(jchid) FROM pgagent.pga_jobchange) FROM pgagent.pga_job"
    ).fetchone()[0]


def test_going_back_and_editing_a_part_do_not_block_each_other_for_ever(conn, dsn):
    job_id = add_job(conn, "SELECT 1", due=None)
    then = now(conn)
    conn.execute("UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 2'")
    with (
        closing(psycopg.connect(dsn)) as editing,
        closing(psycopg.connect(dsn)) as other,
    ):
        editing.execute("UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 3'")
        back = "SELECT pgagent.revert_job(%s, %s)"
        thread = Thread(target=committing, args=(other, back, [job_id, then]))
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        poll(
            lambda: conn.execute(waiting, [other.info.backend_pid]).fetchone()[0],
            what="the wait",
        )
        add_step(editing, job_id, "SELECT 4", name="new")
        editing.execute("UPDATE pgagent.pga_job SET jobdesc = 'x'")
        editing.commit()
        thread.join()
    assert conn.execute("SELECT jstcode FROM pgagent.pga_jobstep").fetchall() == [
        ("SELECT 1",)
    ]
    assert job(conn, job_id, "jobdesc") == ""


def age(conn, condition, by):
    conn.execute(
        f"UPDATE pgagent.pga_jobchange SET jchat = jchat - %s::interval WHERE {condition}",
        [by],
    )


@pytest.mark.parametrize(
    ("setting", "age_of", "left"),
    [
        (None, "11 months", 4),
        (None, "13 months", 2),
        ("90 days", "91 days", 2),
        ("90 days", "89 days", 4),
        ("", "13 months", 2),
        ("for ever", "11 months", 4),
        ("for ever", "13 months", 2),
        ("-1 day", "1 second", 2),
        ("1000000 years", "1000 years", 4),
    ],
)
def test_old_changes_are_deleted_but_the_last_of_each_job(conn, setting, age_of, left):
    kept, dropped = add_job(conn, due=None), add_job(conn, due=None)
    conn.execute("UPDATE pgagent.pga_job SET jobdesc = 'x'")
    conn.execute("DELETE FROM pgagent.pga_job WHERE jobid = %s", [dropped])
    conn.execute("DELETE FROM pgagent.pga_jobchange WHERE jchaction = 'delete'")
    add_job(conn, due=None)
    conn.execute("DELETE FROM pgagent.pga_jobchange WHERE jchjobid > %s", [dropped])
    age(conn, "true", age_of)
    add_job(conn, due=None)
    notices = []
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    if setting is not None:
        conn.execute("SELECT set_config('pgagent.keep_changes', %s, false)", [setting])

    conn.execute("SELECT pgagent.pga_log_prune(0, 100, 100)")
    conn.execute("SELECT pgagent.pga_log_prune(2147483647, 100, 100)")

    assert count(conn) - 1 == left - (left == 2)
    last = "SELECT jobid FROM pgagent.pga_job JOIN pgagent.pga_jobchange ON jobchangeid = jchid ORDER BY 1"
    assert conn.execute(last).fetchone() == (kept,)
    complaint = "pgagent: the setting pgagent.keep_changes is no span of time"
    assert any(complaint in notice for notice in notices) == (setting == "for ever")


def test_no_more_than_ten_thousand_changes_of_a_job_are_kept(conn):
    job_id = add_job(conn, due=None)
    other = add_job(conn, due=None)
    conn.execute(
        "DO $$BEGIN FOR i IN 1..10005 LOOP UPDATE pgagent.pga_job SET jobdesc = i::text"
        # In one transaction each would look through all versions of the row.
        f" WHERE jobid = {job_id}; IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END$$"
    )
    conn.execute("SELECT pgagent.pga_log_prune(2147483647, 100, 100)")
    counted = "SELECT jchjobid, count(*), min(jchid) FROM pgagent.pga_jobchange GROUP BY 1 ORDER BY 1"
    rows = conn.execute(counted).fetchall()
    assert [row[:2] for row in rows] == [(job_id, 10000), (other, 1)]


def test_a_login_of_a_runner_without_rights_on_the_history_goes_on_pruning(
    conn, dsn, role
):
    conn.execute(
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO {role}; GRANT DELETE ON pgagent.pga_joblog,"
        f" pgagent.pga_jobskip, pgagent.pga_jobaside TO {role}; REVOKE SELECT ON pgagent.pga_jobchange FROM {role}"
    )
    add_job(conn, due=None)
    age(conn, "true", "2 years")
    with closing(psycopg.connect(dsn, user=role, autocommit=True)) as session:
        session.execute("SELECT pgagent.pga_log_prune(0, 100, 100)")
        session.execute("SELECT pgagent.pga_log_prune(2147483647, 100, 100)")
    assert count(conn) == 1


def test_a_large_step_leaves_a_small_history(conn):
    job_id = add_job(conn, "x", due=None)
    for size in (30_000_000, 60_000_000):
        conn.execute(
            "UPDATE pgagent.pga_jobstep SET jstcode = repeat('x', %s), jstdesc = repeat('d', 300000)",
            [size],
        )
        conn.execute("UPDATE pgagent.pga_jobstep SET jstname = jstname || 'n'")
    conn.execute("DELETE FROM pgagent.pga_job WHERE jobid = %s", [job_id])
    largest = "SELECT max(pg_column_size(c.*)) < 400000, max(length(c::text)) FROM pgagent.pga_jobchange AS c"
    assert conn.execute(largest).fetchone()[0]
    assert conn.execute(
        "SELECT DISTINCT new FROM pgagent.job_changes WHERE attribute = 'command' AND new LIKE '(%'"
    ).fetchall() == [
        ("(30000000 bytes, which are not kept)",),
        ("(60000000 bytes, which are not kept)",),
    ]


def test_the_page_shows_what_was_changed_goes_back_and_keeps_it_for_less(conn, dsn):
    """The times are moved, for the page speaks of a day and more."""
    make_job(conn)
    age(conn, "true", "100 days")
    conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 2' WHERE jstkind = 's'"
    )
    shown = conn.execute(block("docs/operating.md", "SELECT changed_at")).fetchall()
    assert len(shown) == 20
    assert shown[0][2:6] == ("step", "step 01", "changed", "command")

    reverted = conn.execute(
        block("docs/operating.md", "SELECT pgagent.revert_job('etl'")
    )
    assert reverted.fetchone() == (1,)

    setting = inline("docs/operating.md", "ALTER DATABASE")
    conn.execute(setting.replace("…", f'"{conn.info.dbname}"'))
    try:
        with closing(psycopg.connect(dsn, autocommit=True)) as session:
            session.execute("SELECT pgagent.pga_log_prune(2147483647, 100, 100)")
    finally:
        conn.execute(f'ALTER DATABASE "{conn.info.dbname}" RESET ALL')
    assert count(conn) == 2


# As row security keeps two teams apart.


@pytest.fixture
def apart(conn, role):
    """Two teams with a job each: return the id of the other team's."""
    conn.execute("CREATE ROLE other_team")
    job_id = add_job(
        conn, "SELECT 'theirs'", name="theirs", jobowner="other_team", due=None
    )
    add_job(conn, "SELECT 'ours'", name="ours", jobowner=role, due=None)
    conn.execute("SELECT pgagent.isolate()")
    yield job_id
    conn.execute("DROP ROLE other_team")


def test_a_team_edits_drops_and_reverts_its_job_under_row_security(conn, editor, apart):
    then = now(conn)
    notices = []
    editor.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    editor.execute("UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 1'")
    editor.execute("DELETE FROM pgagent.pga_job")
    assert notices == []
    (owners,) = conn.execute(
        "SELECT array_agg(DISTINCT jchowner::text) FROM pgagent.pga_jobchange WHERE jchat > %s",
        [then],
    ).fetchone()
    assert owners == [editor.info.user]

    assert revert(editor, "ours", then) == 2

    code = "SELECT jstcode FROM pgagent.pga_jobstep"
    assert editor.execute(code).fetchall() == [("SELECT 'ours'",)]


def test_nobody_writes_the_history_of_another_teams_job(conn, editor, apart):
    """revert_job() would bring it back, and its owner would run it."""
    forge = f"""
        CREATE TEMP TABLE t (); CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        INSERT INTO pgagent.pga_jobchange
            (jchjobid, jchdropped, jchowner, jchobject, jchobjectid, jchaction, jchname, jchold)
        VALUES ({apart}, true, current_user, 'job', {apart}, 'delete', 'x', '{{"jobdesc": "evil"}}');
        RETURN NULL; END$$;
        CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.f()"""
    editor.execute(forge)
    before = count(conn)

    with pytest.raises(
        psycopg.errors.InsufficientPrivilege,
        match="pgagent: pga_jobchange is written by triggers only",
    ):
        editor.execute("INSERT INTO t DEFAULT VALUES")

    assert count(conn) == before
