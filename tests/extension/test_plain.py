"""The catalogue without CREATE EXTENSION is the extension's, and becomes it later."""

import os
import subprocess
import sys

import psycopg
import pytest
from daemon.runner_process import Runner
from documents import block, inline
from jobs import add_job
from pgagent_runner.catalog import CatalogError
from pgagent_runner.catalog.install import init, update
from psycopg.conninfo import make_conninfo
from support import ROOT, poll

from .contents import (
    BUSY_42,
    add_everywhere,
    columns,
    contents,
    install_42_without_extension,
)
from .members import as_owned_by, catalogue, definitions

ADOPT = block("docs/plain.md", "CREATE EXTENSION pgagent VERSION 'plain'")
assert inline("docs/plain.md", "ALTER EXTENSION pgagent UPDATE") in ADOPT
VERSION = "SELECT pgagent.pgagent_version()"


@pytest.fixture
def theirs(alice, new_database):
    """The session of an ordinary owner of an empty database."""
    return new_database("theirs", alice)


@pytest.fixture
def dsn_of(cluster):
    """Give the connection string by which a session's role reaches its database."""

    def dsn(session):
        info = session.info
        return make_conninfo(cluster.conninfo(info.dbname), user=info.user)

    return dsn


@pytest.fixture
def plain(theirs, dsn_of):
    """The same with a catalogue."""
    init(dsn_of(theirs))
    return theirs


def pgagent(*arguments):
    """Run the command; return the process."""
    return subprocess.run(
        [sys.executable, "-m", "pgagent_runner", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def twenty_jobs(session):
    for number in range(20):
        job = f"job {number}"
        session.execute("SELECT pgagent.schedule(%s, '30 2 * * *', 'SELECT 1')", [job])
        session.execute(
            "SELECT pgagent.add_exception(%s, on_date => '2040-01-01')", [job]
        )
    add_everywhere(session)


def test_it_is_the_same_catalogue(conn, plain):
    assert catalogue(plain) == as_owned_by("alice", catalogue(conn))
    add_everywhere(plain)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE pgagent.pga_job ALTER COLUMN jobdesc DROP DEFAULT",
        "ALTER TABLE pgagent.pga_joblog ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE pgagent.pga_job OWNER TO pg_monitor",
        "CREATE POLICY everybody ON pgagent.pga_job",
        "DROP INDEX pgagent.pga_job_due",
        "COMMENT ON COLUMN pgagent.pga_job.jobid IS 'else'",
        "GRANT SELECT ON pgagent.pga_job TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION pgagent.pga_agent_shorten() TO PUBLIC",
        "ALTER FUNCTION pgagent.pga_agent_shorten() STABLE",
        "ALTER FUNCTION pgagent.pga_agent_shorten() RESET search_path",
        "CREATE FUNCTION pgagent.more() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "ALTER SEQUENCE pgagent.pga_job_jobid_seq CYCLE",
    ],
)
def test_a_difference_would_be_seen(cluster, plain, change):
    before = catalogue(plain)
    with psycopg.connect(cluster.conninfo("theirs")) as superuser:
        superuser.execute(change)
    assert catalogue(plain) != before


def test_the_database_may_be_named_by_the_file_or_by_a_variable(
    theirs, dsn_of, tmp_path, monkeypatch
):
    file = tmp_path / "pgagent.toml"
    file.write_text(f'[run]\nconninfo = "{dsn_of(theirs)}"\n')
    done = pgagent("init", "--config", file)
    assert (done.returncode, "was installed" in done.stderr) == (0, True)

    monkeypatch.setenv("PGAGENT_CONNINFO", dsn_of(theirs))
    again = pgagent("init")
    assert (again.returncode, "nothing to do" in again.stderr) == (0, True)


def test_a_second_init_changes_nothing(plain, dsn_of):
    twenty_jobs(plain)
    state = "SELECT xmin, oid FROM pg_class WHERE relname LIKE 'pga_%' ORDER BY oid"
    before = plain.execute(state).fetchall(), contents(plain)

    again = pgagent("init", dsn_of(plain))

    assert (again.returncode, "nothing to do" in again.stderr) == (0, True)
    assert (plain.execute(state).fetchall(), contents(plain)) == before


def test_a_dry_run_prints_what_psql_can_execute(conn, theirs, dsn_of, pg):
    printed = pgagent("init", "--dry-run", dsn_of(theirs))
    assert (printed.returncode, printed.stderr) == (0, "")
    schema = "SELECT to_regnamespace('pgagent')"
    assert theirs.execute(schema).fetchone() == (None,)

    command = ["psql", "-Xq", "-vON_ERROR_STOP=1", dsn_of(theirs)]
    done = subprocess.run(
        command, input=printed.stdout, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert catalogue(theirs) == as_owned_by("alice", catalogue(conn))


def test_a_dry_run_that_nobody_reads_to_its_end_ends_quietly(theirs, dsn_of):
    reading, writing = os.pipe()
    os.close(reading)
    # Without PYTHONUNBUFFERED, with which Python may not notice.
    command = [sys.executable, "-E", "-m", "pgagent_runner", "init", "--dry-run"]
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [*command, dsn_of(theirs)],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_update_takes_over_what_the_script_of_4_2_made(conn, theirs, dsn_of):
    install_42_without_extension(theirs)
    theirs.execute(BUSY_42)
    of, before = columns(theirs), contents(theirs)

    done = pgagent("update", dsn_of(theirs))

    assert (done.returncode, "was 4.2 before" in done.stderr) == (0, True)
    for job in before["pga_job"]:
        if job["jobenabled"] == "false":
            job["jobnextrun"] = None  # it would have been a wish from now on
    assert contents(theirs, of) == before
    assert catalogue(theirs) == as_owned_by("alice", catalogue(conn))


def test_an_update_takes_over_nothing_of_others(
    alice, administration, new_database, dsn_of
):
    ours = new_database("ours")
    install_42_without_extension(ours)
    ours.execute(f"GRANT USAGE, CREATE ON SCHEMA pgagent TO {alice}")
    # CREATE OR REPLACE would have left it hers.
    planted = "pgagent.pga_jobstep_trigger()"
    ours.execute(
        f"SET ROLE {alice}; CREATE FUNCTION {planted} RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'; RESET ROLE"
    )
    before = catalogue(ours)
    with pytest.raises(CatalogError, match=r"pga_jobstep_trigger\(\) of alice"):
        update(dsn_of(ours))
    assert catalogue(ours) == before

    ours.execute(f"DROP FUNCTION {planted}")
    update(dsn_of(ours))
    assert ours.execute(VERSION).fetchone() != (None,)


def test_an_update_calls_nothing_of_the_owner_with_more_rights(cluster, theirs):
    install_42_without_extension(theirs)
    with pytest.raises(CatalogError, match="other roles own tables"):
        update(cluster.conninfo("theirs"))
    update(make_conninfo(cluster.conninfo("theirs"), user="alice"))


def test_a_dry_run_of_an_update_changes_nothing(theirs, dsn_of):
    install_42_without_extension(theirs)
    before = catalogue(theirs)
    printed = pgagent("update", "--dry-run", dsn_of(theirs))
    assert "ADD COLUMN jobkeepfor" in printed.stdout
    assert catalogue(theirs) == before


def test_an_update_that_has_to_wait_for_a_lock_gives_up_and_changes_nothing(
    cluster, theirs, dsn_of
):
    install_42_without_extension(theirs)
    before = catalogue(theirs)
    with psycopg.connect(cluster.conninfo("theirs")) as other:
        other.execute("SELECT FROM pgagent.pga_job")
        done = pgagent("update", dsn_of(theirs))
    assert (done.returncode, "lock timeout" in done.stderr) == (1, True)
    assert done.stderr.endswith("; nothing was changed, try again later\n")
    assert catalogue(theirs) == before


def test_what_makes_no_sense_is_refused_in_words(conn, conn_42, theirs, dsn_of):
    with pytest.raises(CatalogError, match="pgagent init makes it"):
        update(dsn_of(theirs))
    with pytest.raises(
        CatalogError, match=r"extension pgagent 4\.2; the statement ALTER"
    ):
        update(dsn_of(conn_42))
    assert init(dsn_of(conn)).script == ""
    init(dsn_of(theirs))
    theirs.execute(
        "CREATE OR REPLACE FUNCTION pgagent.pgagent_version() RETURNS text"
        " LANGUAGE sql AS $$ SELECT '99.0.0'::text $$"
    )
    with pytest.raises(CatalogError, match=r"of version 99\.0\.0, from which no way"):
        update(dsn_of(theirs))
    with pytest.raises(CatalogError, match=r"there already, in version 99\.0\.0"):
        init(dsn_of(theirs))


def test_a_role_that_may_not_create_a_schema_is_told_so(
    alice, conn, new_database, cluster
):
    new_database("strange")
    done = pgagent("init", make_conninfo(cluster.conninfo("strange"), user=alice))
    assert done.returncode == 1
    assert done.stderr == ("pgagent init: permission denied for database strange\n")


def test_a_connection_that_fails_is_told_in_one_line():
    done = pgagent("init", "host=/nowhere dbname=x")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    refused = pgagent("init", "nonsense")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith("pgagent init: the connection string is wrong: mi")


def test_a_dump_is_restored_complete(plain, alice, new_database, dump, restore):
    twenty_jobs(plain)
    restored = new_database("restored", alice)
    restore(dump(plain, "-Fc"), restored, "--no-owner", "--role=alice")
    assert catalogue(restored) == catalogue(plain)
    assert contents(restored) == contents(plain)
    add_everywhere(restored)


def test_runs_of_the_dumped_server_are_closed_by_the_first_runner(
    plain, alice, new_database, dump, restore, dsn_of
):
    add_job(plain, "SELECT pg_sleep(60)")
    restored = new_database("restored", alice)
    with Runner(dsn_of(plain)):
        running = "SELECT jlgstatus FROM pgagent.pga_joblog"
        poll(lambda: plain.execute(running).fetchall() == [("r",)])
        restore(dump(plain, "-Fc"), restored, "--no-owner", "--role=alice")
    restored.execute("UPDATE pgagent.pga_job SET jobenabled = false")
    with Runner(dsn_of(restored)):
        poll(lambda: restored.execute(running).fetchall() == [("d",)])
    held = "SELECT count(jobagentid) FROM pgagent.pga_job"
    assert restored.execute(held).fetchone() == (0,)


def test_it_becomes_the_extension_with_every_row(conn, plain):
    twenty_jobs(plain)
    before = contents(plain)
    plain.execute(ADOPT)
    assert contents(plain) == before
    assert definitions(plain) == as_owned_by("alice", definitions(conn))
    add_everywhere(plain)


def test_what_people_have_beside_it_stays_theirs(plain):
    plain.execute(
        "CREATE FUNCTION pgagent.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    )
    plain.execute("CREATE TABLE pgagent.my_table (id serial)")
    plain.execute(ADOPT)
    plain.execute("DROP FUNCTION pgagent.mine(); DROP TABLE pgagent.my_table")


def test_only_the_same_version_becomes_the_extension(plain):
    plain.execute(
        "CREATE OR REPLACE FUNCTION pgagent.pgagent_version() RETURNS text"
        " LANGUAGE sql AS $$ SELECT '5.0.99'::text $$"
    )
    with pytest.raises(
        psycopg.Error, match=r"is of version 5\.0\.99, this extension is"
    ):
        plain.execute(ADOPT)


def test_the_version_is_that_of_the_control_file(plain):
    control = (ROOT / "extension/pgagent.control").read_text()
    (version,) = plain.execute(VERSION).fetchone()
    assert f"default_version = '{version}'" in control
