"""Before an update changes anything, it names what people have made that is in its way."""

import re
import subprocess

import psycopg
import pytest
from pgagent_runner.catalog.install import update
from pgagent_runner.cli import main
from support import ROOT

from .contents import add_everywhere, contents, install_42_without_extension
from .members import definitions

UPGRADE = "ALTER EXTENSION pgagent UPDATE"

# What is made around the tables of 4.2, how that is named, and how it is removed.
OBSTACLES = {
    "CREATE VIEW public.long_runs AS SELECT * FROM pgagent.pga_joblog": (
        "view public.long_runs uses jlgid of pgagent.pga_joblog, whose type changes",
        "DROP VIEW public.long_runs",
    ),
    "CREATE MATERIALIZED VIEW public.m AS SELECT jslid FROM pgagent.pga_jobsteplog": (
        "materialized view public.m uses jslid of pgagent.pga_jobsteplog",
        "DROP MATERIALIZED VIEW public.m",
    ),
    "CREATE RULE r AS ON DELETE TO pgagent.pga_joblog WHERE OLD.jlgid < 0 DO INSTEAD NOTHING": (
        "rule r on table pgagent.pga_joblog uses jlgid",
        "DROP RULE r ON pgagent.pga_joblog",
    ),
    "CREATE FUNCTION public.n() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT max(jlgid) FROM pgagent.pga_joblog; END": (
        "function public.n() uses jlgid of pgagent.pga_joblog",
        "DROP FUNCTION public.n()",
    ),
    "CREATE TRIGGER t BEFORE UPDATE ON pgagent.pga_joblog FOR EACH ROW WHEN (OLD.jlgid <> NEW.jlgid)"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()": (
        "trigger t on table pgagent.pga_joblog uses jlgid",
        "DROP TRIGGER t ON pgagent.pga_joblog",
    ),
    "CREATE POLICY p ON pgagent.pga_jobsteplog USING (jsljlgid > 0)": (
        "policy p on table pgagent.pga_jobsteplog uses jsljlgid",
        "DROP POLICY p ON pgagent.pga_jobsteplog",
    ),
    "CREATE PUBLICATION log FOR TABLE pgagent.pga_joblog WHERE (jlgid > 0)": (
        "publication of table pgagent.pga_joblog in publication log uses jlgid",
        "DROP PUBLICATION log",
    ),
    "ALTER TABLE pgagent.pga_joblog ADD COLUMN half integer GENERATED ALWAYS AS (jlgid / 2) STORED": (
        "half of table pgagent.pga_joblog uses jlgid",
        "ALTER TABLE pgagent.pga_joblog DROP COLUMN half",
    ),
    "CREATE TABLE public.kept (run pgagent.pga_joblog)": (
        "column run of public.kept holds rows of pgagent.pga_joblog",
        "DROP TABLE public.kept",
    ),
    "CREATE TABLE public.jobs (job pgagent.pga_job[])": (
        "column job of public.jobs holds rows of pgagent.pga_job",
        "DROP TABLE public.jobs",
    ),
    "ALTER TABLE pgagent.pga_job ADD COLUMN jobtimeout interval": (
        "column jobtimeout of pgagent.pga_job is yours: rename or drop it",
        "ALTER TABLE pgagent.pga_job RENAME jobtimeout TO mine",
    ),
    "ALTER TABLE pgagent.pga_jobsteplog ADD COLUMN jslcpu float": (
        "column jslcpu of pgagent.pga_jobsteplog is yours: rename or drop it",
        "ALTER TABLE pgagent.pga_jobsteplog DROP jslcpu",
    ),
    "ALTER TABLE pgagent.pga_job ADD COLUMN jobkeepfor interval": (
        "column jobkeepfor of pgagent.pga_job is yours: rename or drop it",
        "ALTER TABLE pgagent.pga_job DROP jobkeepfor",
    ),
    "CREATE TABLE pgagent.running (a integer)": (
        "table pgagent.running is yours: rename or drop it",
        "DROP TABLE pgagent.running",
    ),
    "CREATE INDEX pga_job_due ON pgagent.pga_job (jobname)": (
        "index pgagent.pga_job_due is yours: rename or drop it",
        "DROP INDEX pgagent.pga_job_due",
    ),
    "CREATE FUNCTION pgagent.job_status() RETURNS integer LANGUAGE sql AS 'SELECT 1';"
    "CREATE FUNCTION pgagent.cancel_run(bigint) RETURNS text LANGUAGE sql AS 'SELECT NULL'": (
        "function pgagent.cancel_run(bigint) is yours: rename or drop it",
        "ALTER FUNCTION pgagent.cancel_run(bigint) SET SCHEMA public",
    ),
}
NEWER = {"BEGIN ATOMIC": 140000, "CREATE PUBLICATION": 150000}


def made(conn, obstacle):
    """Whether this server can make it."""
    if any(s in obstacle and conn.info.server_version < NEWER[s] for s in NEWER):
        return False
    conn.execute(obstacle)
    return True


def refusal(conn, statement):
    """Expect an obstacle to be named, and return how."""
    before = contents(conn), definitions(conn)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as e:
        conn.execute(statement)
    assert (contents(conn), definitions(conn)) == before
    return e.value.diag


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_stops_an_update_is_named_before_anything_is_changed(conn_42, obstacle):
    named, removed = OBSTACLES[obstacle]
    if not made(conn_42, obstacle):
        return
    told = refusal(conn_42, UPGRADE)
    assert "stopped by an object of yours" in told.message_primary
    assert [
        line for line in told.message_detail.splitlines() if named not in line
    ] == []

    conn_42.execute(removed)
    conn_42.execute(UPGRADE)
    add_everywhere(conn_42)


def test_all_that_stops_an_update_is_named_at_once(conn_42):
    named = [OBSTACLES[o][0] for o in OBSTACLES if made(conn_42, o)]
    told = refusal(conn_42, UPGRADE)
    assert f"stopped by {len(named)} objects of yours" in told.message_primary
    lines = told.message_detail.splitlines()
    assert [name for name in named if not any(name in line for line in lines)] == []


HARMLESS = """
CREATE VIEW public.names AS SELECT jobid, jobname FROM pgagent.pga_job;
CREATE VIEW public.statuses AS SELECT jlgstatus FROM pgagent.pga_joblog;
CREATE TABLE public.notes (run integer REFERENCES pgagent.pga_joblog, agent pgagent.pga_jobagent);
CREATE INDEX own_index ON pgagent.pga_joblog (jlgid, jlgstatus);
CREATE STATISTICS pgagent.own ON jlgid, jlgjobid FROM pgagent.pga_joblog;
ALTER TABLE pgagent.pga_joblog ADD COLUMN note text, ADD CHECK (jlgid > 0);
CREATE FUNCTION pgagent.own() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE TABLE public.pga_jobskip (a integer);
"""


def test_what_is_in_nobodys_way_stays_as_it_is(conn_42):
    conn_42.execute(HARMLESS)
    conn_42.execute(UPGRADE)
    assert conn_42.execute("TABLE public.names").fetchall() == []


def test_a_deferred_trigger_of_the_users_does_not_stop_an_update(conn_42):
    conn_42.execute(
        "INSERT INTO pgagent.pga_job (jobjclid, jobname, jobenabled, jobnextrun)"
        " VALUES (1, 'a', false, now());"
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON pgagent.pga_job"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.f()"
    )
    conn_42.execute(UPGRADE)
    assert conn_42.execute("SELECT jobnextrun FROM pgagent.pga_job").fetchone() == (
        None,
    )


@pytest.mark.needs("pgagent_4_2")
def test_an_adoption_names_what_stops_it_too(cluster, new_database):
    plain = new_database("plain")
    install_42_without_extension(plain)
    plain.execute("ALTER TABLE pgagent.pga_job ADD COLUMN jobkeepfor interval")
    named = "column jobkeepfor of pgagent.pga_job is yours"
    with pytest.raises(Exception, match=named):
        update(cluster.conninfo("plain"))
    plain.execute("CREATE EXTENSION pgagent VERSION 'unpackaged'")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist, match=named):
        plain.execute(UPGRADE)


def test_columns_of_the_version_before_are_nobodys_obstacle(new_database):
    before = new_database("before")
    before.execute("CREATE EXTENSION pgagent VERSION '5.0.0'")
    before.execute("ALTER TABLE pgagent.pga_jobsteplog ADD COLUMN jslmemory bigint")
    told = refusal(before, UPGRADE)
    assert told.message_detail.count("\n") == 0
    assert "column jslmemory of pgagent.pga_jobsteplog is yours" in told.message_detail


# Hung on the tables, by way of a function that finds its names by the session's path.
UNQUALIFIED = """
CREATE FUNCTION public.mail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM tell(); RETURN NEW; END';
CREATE TRIGGER mail AFTER UPDATE ON pgagent.pga_jobsteplog FOR EACH ROW EXECUTE FUNCTION public.mail();
CREATE FUNCTION public.allowed(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 <> ''x''';
ALTER TABLE pgagent.pga_job ADD CONSTRAINT permitted CHECK (public.allowed(jobname));
CREATE FUNCTION public.pinned() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER pinned AFTER UPDATE ON pgagent.pga_joblog FOR EACH ROW EXECUTE FUNCTION public.pinned();
CREATE TRIGGER internal BEFORE UPDATE ON pgagent.pga_joblog FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
"""
REMEDIES = [
    f'ALTER FUNCTION public.{function} SET search_path = "$user", public;  -- {what}'
    for function, what in (
        ("allowed(text)", "constraint permitted on table pgagent.pga_job"),
        ("mail()", "trigger mail on table pgagent.pga_jobsteplog"),
    )
]


def warnings(session):
    told = []
    session.add_notice_handler(
        lambda d: told.append((d.message_primary, d.message_detail))
    )
    return told


def test_an_update_names_functions_that_depend_on_a_search_path(conn_42):
    conn_42.execute(UNQUALIFIED)
    told = warnings(conn_42)

    conn_42.execute(UPGRADE)

    ((message, detail),) = told
    assert "without a search_path" in message
    assert detail.splitlines()[1:] == REMEDIES


def test_the_remedy_that_an_update_names_ends_its_warning(conn_42):
    conn_42.execute(UNQUALIFIED)
    conn_42.execute("\n".join(REMEDIES))
    told = warnings(conn_42)
    conn_42.execute(UPGRADE)
    assert told == []


@pytest.mark.needs("pgagent_4_2")
def test_pgagent_update_prints_the_same_warning(cluster, new_database, capfd):
    plain = new_database("plain")
    install_42_without_extension(plain)
    plain.execute(UNQUALIFIED)
    assert main(["update", cluster.conninfo("plain")]) == 0
    told = capfd.readouterr().err
    assert "without a search_path" in told
    assert REMEDIES[1] in told


def test_the_changes_are_taken_from_all_deltas():
    text = (ROOT / "build/sql/obstacles.sql").read_text()
    deltas = "\n".join(
        p.read_text() for p in (ROOT / "sql/upgrade").glob("[0-9]*--*.sql")
    )
    assert text.count("'column', 'pga_") == deltas.count("ADD COLUMN ") > 20
    retyped = re.findall(r"ALTER COLUMN \w+ TYPE", deltas)
    assert text.count("'type', 'pga_") == len(retyped) > 2


def test_a_function_that_a_delta_drops_is_one_of_its_changes(tmp_path):
    delta = tmp_path / "5.1.0--5.2.0.sql"
    delta.write_text(
        "DROP FUNCTION IF EXISTS pgagent.a(integer, text[]),\n    pgagent.b();\n"
        "DROP FUNCTION pgagent.c(bigint);  -- DROP FUNCTION x\n"
    )
    rows = subprocess.check_output([ROOT / "dev/changes", delta], text=True)
    assert rows.replace("('5.2.0', 'dropped', '', ", "").split(",\n") == [
        "'pgagent.a(integer, text[])')",
        "'pgagent.b()')",
        "'pgagent.c(bigint)')\n",
    ]
