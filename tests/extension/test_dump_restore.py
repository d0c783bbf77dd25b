"""What is dumped here and restored there is the same installation, but for its agents."""

from contextlib import closing

import psycopg
import pytest
from documents import block, inline
from jobs import add_job, add_schedule, job
from transitions import seconds_until_due

from .contents import add_everywhere, columns, contents
from .members import definitions

UPGRADE = "ALTER EXTENSION pgagent UPDATE"


@pytest.fixture
def busy(conn_42, agent_42):
    """A busy installation of ours."""
    conn_42.execute(UPGRADE)
    return conn_42


def as_restored(tables):
    """Return what has to be in the tables after a restore."""
    for row in tables["pga_job"]:
        row["jobagentid"] = None
    for row in tables["pga_joblog"]:
        if row["jlgstatus"] == "r":
            row |= {"jlgstatus": "d"}
            if "jlgmessage" in row:
                row["jlgmessage"] = "was running when the database was dumped"
    for row in tables["pga_jobsteplog"]:
        if row["jslstatus"] == "r":
            row |= {"jslstatus": "d", "jslresult": "-1"}
    return tables | {"pga_jobagent": []}


def assert_complete(restored, source):
    assert contents(restored, columns(source)) == as_restored(contents(source))
    add_everywhere(restored)


@pytest.mark.parametrize(
    "options",
    [
        ["-Fp"],
        ["-Fc"],
        ["-Fd"],
        ["-Fp", "--inserts"],
        pytest.param(
            ["-Fc", "--extension=pgagent"],
            marks=pytest.mark.needs("pg_dump_of_extensions"),
        ),
    ],
    ids=" ".join,
)
def test_a_dump_is_restored_complete(busy, conn, new_database, dump, restore, options):
    restored = new_database("restored")
    restore(dump(busy, *options), restored)
    assert definitions(restored) == definitions(conn)
    assert_complete(restored, busy)


@pytest.mark.parametrize(
    "options", [["-Fp"], ["-Fc"], ["-Fp", "--inserts"]], ids=" ".join
)
def test_a_dump_of_4_2_is_restored_complete_where_only_ours_is_installed(
    conn, conn_42, agent_42, new_database, dump, restore, options
):
    restored = new_database("restored")
    restore(dump(conn_42, *options), restored)
    assert definitions(restored) == definitions(conn)
    assert_complete(restored, conn_42)


def test_a_dump_replaces_an_installation_with_clean(busy, conn, dump, restore):
    add_everywhere(conn)
    restore(dump(busy, "-Fc"), conn, "--clean", "--if-exists")
    assert_complete(conn, busy)


def test_jobs_alone_are_restored_into_a_fresh_installation(busy, conn, dump, restore):
    restore(dump(busy, "-Fc", "--data-only", "--schema=pgagent"), conn)
    assert_complete(conn, busy)


def test_a_parallel_restore_leaves_the_jobs_to_a_second_pass(
    busy, new_database, dump, shell
):
    restored = new_database("restored")
    archive = dump(busy, "-Fc")
    passes = block("docs/upgrading.md", "pg_restore -j 4 -N pgagent")
    done = shell(passes, DATABASE="restored", DUMP=archive)
    assert (done.returncode, done.stderr) == (0, "")
    assert_complete(restored, busy)


def test_a_parallel_restore_that_failed_is_repaired_by_a_serial_one(
    busy, new_database, dump, pg, shell
):
    restored = new_database("restored")
    archive = dump(busy, "-Fc")
    database = f"--dbname={restored.info.dbname}"
    failed = pg("pg_restore", archive, database, "--jobs=2")
    assert "violates foreign key constraint" in failed.stderr

    repair = inline("docs/upgrading.md", "pg_restore -a -n pgagent")
    shell(repair, DATABASE="restored", DUMP=archive)

    assert_complete(restored, busy)


def test_a_restored_job_that_was_due_or_under_way_is_due(
    busy, new_database, dump, restore
):
    restored = new_database("restored")
    restore(dump(busy, "-Fc"), restored)
    assert job(restored, 1, "jobagentid") is None
    assert job(restored, 1, "jobnextrun::text") == "2024-07-07 07:07:00+00"
    assert seconds_until_due(restored) == 0


@pytest.mark.needs("contrib")
@pytest.mark.parametrize("options", [["-Fp"], ["-Fc"]], ids=" ".join)
def test_another_extension_in_the_schema_is_restored_with_it(
    alice, new_database, dump, restore, options
):
    # Whoever may create in the database may have a trusted extension there.
    theirs, restored = new_database("theirs", alice), new_database("restored")
    theirs.execute("CREATE EXTENSION pgagent; CREATE EXTENSION hstore SCHEMA pgagent")
    add_everywhere(theirs)

    restore(dump(theirs, *options), restored)

    assert_complete(restored, theirs)
    restored.execute("SELECT 'a=>1'::pgagent.hstore")


@pytest.mark.needs("contrib")
def test_a_strangers_member_of_another_extension_is_not_tolerated(alice, new_database):
    theirs = new_database("theirs", alice)
    theirs.execute("CREATE SCHEMA pgagent; CREATE EXTENSION hstore SCHEMA pgagent")
    theirs.execute(
        "CREATE FUNCTION pgagent.f() RETURNS integer LANGUAGE sql AS 'SELECT 1';"
        "ALTER EXTENSION hstore ADD FUNCTION pgagent.f()"
    )
    theirs.execute("SET check_function_bodies = off; SET row_security = off")
    with pytest.raises(psycopg.Error, match="is not empty") as e:
        theirs.execute("CREATE EXTENSION pgagent")
    assert "It holds function pgagent.f(). " in str(e.value)


def test_a_schema_that_belonged_to_somebody_else_is_restored(
    busy, alice, new_database, dump, restore
):
    busy.execute("ALTER SCHEMA pgagent OWNER TO alice")
    restored = new_database("restored")
    for setting in ("row_security", "check_function_bodies"):
        restored.execute(f"ALTER DATABASE restored SET {setting} = on")

    restore(dump(busy, "-Fc"), restored)

    busy.execute("ALTER SCHEMA pgagent OWNER TO postgres")
    owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'pgagent'"
    assert restored.execute(owner).fetchone() == ("alice",)
    assert_complete(restored, busy)


def test_a_database_that_prescribes_the_settings_of_a_restore_is_not_restored(
    conn, dsn
):
    for setting in ("row_security", "check_function_bodies"):
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET {setting} = off")
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        job_id = add_job(session, "SELECT 1", due=None)
        add_schedule(session, job_id)
        assert job(session, job_id, "jobnextrun") is not None
        session.execute("SET row_security = off; SET check_function_bodies = off")
        other = add_job(session, "SELECT 1", due=None)
        add_schedule(session, other)
        assert job(session, other, "jobnextrun") is None


def test_a_long_log_is_restored_in_time(conn):
    job_id = add_job(conn, due=None)
    conn.execute("SET row_security = off; SET check_function_bodies = off")
    conn.execute("SET statement_timeout = '20s'")
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstart)"
        " SELECT %s, now() - interval '1 day' FROM generate_series(1, 30000)",
        [job_id],
    )
    status = "SELECT DISTINCT jlgstatus FROM pgagent.pga_joblog"
    assert conn.execute(status).fetchall() == [("d",)]


def test_the_owner_of_a_database_can_restore(busy, alice, new_database, dump, restore):
    restored = new_database("restored", alice)
    restore(dump(busy, "-Fc"), restored, "--no-owner", "--role=alice")
    assert_complete(restored, busy)


def test_grants_survive_an_upgrade_and_a_restore(
    alice, conn_42, new_database, dump, restore
):
    function = "pgagent.pga_seconds_until_due(text)"
    conn_42.execute("GRANT SELECT ON pgagent.pga_job TO alice")
    conn_42.execute(UPGRADE)
    conn_42.execute(f"GRANT EXECUTE ON FUNCTION {function} TO alice")
    restored = new_database("restored")

    restore(dump(conn_42, "-Fc"), restored)

    granted = f"""
        SELECT has_function_privilege('alice', '{function}', 'EXECUTE'),
               has_table_privilege('alice', 'pgagent.pga_job', 'SELECT'),
               has_table_privilege('alice', 'pgagent.pga_job', 'INSERT')"""
    assert restored.execute(granted).fetchone() == (True, True, False)


def test_classes_that_were_made_anew_are_restored(conn, new_database, dump, restore):
    conn.execute("DELETE FROM pgagent.pga_jobclass WHERE jclid <= 4")
    classes = "(3, 'Data Summarisation'), (4, 'Mine'), (6, 'Data Import')"
    conn.execute(f"INSERT INTO pgagent.pga_jobclass VALUES {classes}")
    conn.execute("UPDATE pgagent.pga_jobclass SET jcllimit = jclid WHERE jclid >= 5")
    restored = new_database("restored")

    restore(dump(conn, "-Fc"), restored)

    assert restored.execute("TABLE pgagent.pga_jobclass ORDER BY 1").fetchall() == [
        (1, "Routine Maintenance", None),  # CREATE EXTENSION has made it
        (3, "Data Summarisation", None),
        (4, "Mine", None),
        (5, "Miscellaneous", 5),
        (6, "Data Import", 6),
    ]


@pytest.mark.parametrize("options", [["-Fc"], ["-Fp", "--inserts"]], ids=" ".join)
def test_alerts_and_silences_are_restored_and_what_was_to_be_told_is_not(
    conn, new_database, dump, restore, options
):
    restored = new_database("restored")
    job_id = add_job(conn, "SELECT 1", name="etl", due=None)
    add_job(conn, "SELECT 1", name="tell", due=None)
    conn.execute(
        """
        SELECT pgagent.add_alert('mine', 'mail', job => 'etl', repeat_every => '1 h');
        SELECT pgagent.add_alert('all', 'job:tell'), pgagent.test_alert('all');
        SELECT pgagent.add_alert('class', 'hook', class => 'Data Import');
        SELECT pgagent.silence_all(reason => 'x'), pgagent.silence('tell');
        """
    )
    conn.execute(
        "UPDATE pgagent.pga_job SET jobfailures = 1, jobfailed = 1 WHERE jobid = %s",
        [job_id],
    )
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES (%s, 'f')",
        [job_id],
    )
    conn.execute("SELECT pgagent.pga_alert_watch()")
    assert count(conn, "pga_alertevent") > 0
    assert count(conn, "pga_alertstate") > 0
    rules = (
        "SELECT to_jsonb(a) - 'alttest' FROM pgagent.pga_alert AS a ORDER BY altname"
    )
    silences = "SELECT to_jsonb(s) FROM pgagent.pga_jobsilence AS s ORDER BY jsiid"

    restore(dump(conn, *options), restored)

    for rows in (rules, silences):
        assert restored.execute(rows).fetchall() == conn.execute(rows).fetchall()
    assert (
        restored.execute(
            "SELECT FROM pgagent.pga_alert WHERE alttest IS NOT NULL"
        ).fetchall()
        == []
    )
    assert count(restored, "pga_alertevent") == count(restored, "pga_alertstate") == 0


def count(session, table):
    return session.execute(f"SELECT count(*) FROM pgagent.{table}").fetchone()[0]


@pytest.mark.parametrize("options", [["-Fc"], ["-Fp", "--inserts"]], ids=" ".join)
def test_what_was_paused_is_paused_where_it_is_restored(
    conn, new_database, dump, restore, options
):
    restored = new_database("restored")
    for name in ("paused", "was paused", "other"):
        add_job(conn, "SELECT 1", name=name)
    conn.execute(
        "CREATE ROLE pauser; GRANT USAGE ON SCHEMA pgagent TO pauser;"
        " SELECT pgagent.grant_access('operator', 'pauser'); SET ROLE pauser;"
        " SELECT pgagent.pause_job('paused', reason => 'disk'), pgagent.pause_all(),"
        " pgagent.pause_job('was paused'), pgagent.unpause_job('was paused'); RESET ROLE"
    )
    rows = "SELECT p::text FROM pgagent.pga_jobpause AS p ORDER BY jpsid"
    try:
        paused = conn.execute(rows).fetchall()
        restore(dump(conn, *options), restored)

        assert restored.execute(rows).fetchall() == paused
        assert len(paused) == 3
        assert all(row.endswith(",pauser)") for (row,) in paused)
        restored.execute("SELECT pgagent.unpause_all()")
        assert restored.execute(
            "SELECT job FROM pgagent.job_status WHERE paused"
        ).fetchall() == [("paused",)]
    finally:
        restored.execute("DROP OWNED BY pauser")
        conn.execute("DROP OWNED BY pauser; DROP ROLE pauser")
