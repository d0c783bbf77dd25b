"""An upgrade keeps every row, and ends where a fresh installation begins."""

import psycopg
import pytest
from documents import block, inline
from support import poll
from transitions import register, sweep

from .contents import (
    BUSY_42,
    add_everywhere,
    columns,
    contents,
    install_42,
    install_42_without_extension,
)
from .members import as_owned_by, definitions, members

UPGRADE = inline("docs/upgrading.md", "ALTER EXTENSION pgagent UPDATE")
ADOPT = block("docs/upgrading.md", "CREATE EXTENSION pgagent VERSION 'unpackaged'")


def default_timezone(conn):
    return conn.execute("SELECT pgagent.pga_default_timezone()").fetchone()[0]


def assert_nothing_is_lost(conn, upgrade):
    of, before = columns(conn), contents(conn)

    conn.execute(upgrade)

    for job in before["pga_job"]:
        if job["jobenabled"] == "false":
            job["jobnextrun"] = None  # it would have been a wish from now on
    assert contents(conn, of) == before


@pytest.mark.parametrize("version", ["3.4", "4.0", "4.1", "4.2"])
def test_an_upgrade_keeps_every_row(conn, conn_42, agent_42, version):
    # The older versions had the same tables, and other functions.
    conn_42.execute("UPDATE pg_extension SET extversion = %s", [version])
    assert_nothing_is_lost(conn_42, UPGRADE)
    assert definitions(conn_42) == definitions(conn)


def test_an_upgrade_ends_where_a_fresh_installation_begins(conn, conn_42):
    conn_42.execute(UPGRADE)
    assert members(conn_42) == members(conn)


@pytest.mark.needs("pgagent_4_2")
def test_a_plain_installation_is_adopted_with_every_row(conn, new_database):
    plain = new_database("plain")
    install_42_without_extension(plain)
    plain.execute(BUSY_42)
    assert_nothing_is_lost(plain, ADOPT)
    assert definitions(plain) == definitions(conn)


@pytest.mark.needs("pgagent_4_2")
def test_an_adoption_ends_where_a_fresh_installation_begins(conn, new_database):
    plain = new_database("plain")
    install_42_without_extension(plain)
    plain.execute(ADOPT)
    assert members(plain) == members(conn)


def test_sequences_that_lagged_behind_go_on_after_the_last_id(conn_42, agent_42):
    with pytest.raises(psycopg.errors.UniqueViolation):
        add_everywhere(conn_42)
    conn_42.execute(UPGRADE)
    add_everywhere(conn_42)


def test_an_untouched_sequence_still_begins_with_1(conn_42):
    conn_42.execute(UPGRADE)
    conn_42.execute("INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'a')")
    assert conn_42.execute("SELECT jobid FROM pgagent.pga_job").fetchall() == [(1,)]


def test_a_run_under_way_stays_its_agents_until_that_is_gone(conn_42, agent_42):
    pid = agent_42.info.backend_pid
    conn_42.execute(UPGRADE)
    register(conn_42)

    # Only the run of the agent that was dead already is aborted.
    assert sweep(conn_42) == 1
    running = "SELECT jlgjobid, jlgagentid, jlgstation, jlgscheduled::text FROM pgagent.pga_joblog WHERE jlgstatus = 'r'"
    assert conn_42.execute(running).fetchall() == [
        (1, pid, "here", "2024-07-07 07:07:00+00")
    ]

    agent_42.close()
    assert poll(lambda: sweep(conn_42)) == 1
    assert conn_42.execute(running).fetchall() == []


@pytest.fixture
def special_50(new_database):
    """A catalogue of 5.0.0 with schedules that do not go by their fields, one job due."""
    conn = new_database("special")
    conn.execute("CREATE EXTENSION pgagent VERSION '5.0.0'")
    for schedule in ("@every 90 seconds", "@at 2091-05-01 09:00:30", "@reboot"):
        conn.execute(
            "SELECT pgagent.schedule(%s::text, %s, 'SELECT 1')", [schedule] * 2
        )
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = '2026-01-01' WHERE jobid = 1")
    return conn


OF_IMAGES = [
    *("jscstart", "jscend", "jscminutes", "jschours"),
    *("jscweekdays", "jscmonthdays", "jscmonths"),
]


def columns_of(before, table, rows):
    """Return rows without the columns that the table has got since."""
    names = before[table][0].keys() if before[table] else ()
    return [{name: row[name] for name in names} for row in rows]


def assert_images(conn, before):
    after = contents(conn)
    images = [[row[name] for name in OF_IMAGES] for row in after["pga_schedule"]]
    for tables in (before, after):
        for row in tables["pga_schedule"]:
            for name in OF_IMAGES:
                del row[name]
    assert {
        table: columns_of(before, table, rows)
        for table, rows in after.items()
        if table in before
    } == before
    conn.execute("UPDATE pgagent.pga_schedule SET jscenabled = jscenabled")
    rows = contents(conn)["pga_schedule"]
    assert images == [[row[name] for name in OF_IMAGES] for row in rows]
    assert ["t" in row["jscminutes"] for row in rows] == [True] * 3


def test_schedules_of_5_0_get_an_image_by_the_update(special_50):
    before = contents(special_50)
    del before["pga_jobsteplog"]  # has got columns
    special_50.execute(UPGRADE)
    assert_images(special_50, before)


def test_schedules_of_5_0_get_an_image_by_a_restore(
    special_50, new_database, dump, restore
):
    restored = new_database("restored")
    restore(dump(special_50, "-Fc"), restored)
    before = contents(special_50)
    del before["pga_jobsteplog"]
    assert_images(restored, before)


def test_an_upgrade_describes_what_it_has_become(conn, conn_42):
    query = "SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'pgagent'"
    conn_42.execute("COMMENT ON EXTENSION pgagent IS 'A PostgreSQL job scheduler'")
    conn_42.execute(UPGRADE)
    assert conn_42.execute(query).fetchone() == conn.execute(query).fetchone()


def test_an_upgrade_keeps_a_description_of_ones_own(conn_42):
    conn_42.execute("COMMENT ON EXTENSION pgagent IS 'ours, ask Jo'")
    conn_42.execute(UPGRADE)
    assert conn_42.execute(
        "SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'pgagent'"
    ).fetchone() == ("ours, ask Jo",)


def test_the_owner_of_a_database_can_install(conn, alice, new_database):
    theirs = new_database("theirs", alice)
    theirs.execute("CREATE EXTENSION pgagent")
    assert members(theirs) == as_owned_by(alice, members(conn))
    add_everywhere(theirs)


@pytest.mark.needs("pgagent_4_2")
def test_the_owner_of_a_database_can_upgrade(conn, alice, new_database):
    theirs = new_database("theirs", alice)
    install_42(theirs)
    theirs.execute(UPGRADE)
    assert members(theirs) == as_owned_by(alice, members(conn))
    add_everywhere(theirs)


@pytest.mark.parametrize("role", ["postgres", "alice"])
def test_schedules_are_by_default_in_the_databases_time_zone(alice, new_database, role):
    ours = new_database("ours", role)
    ours.execute("ALTER DATABASE ours SET timezone = 'America/New_York'")
    ours.execute("SET timezone = 'Asia/Tokyo'")
    ours.execute("CREATE EXTENSION pgagent")
    assert default_timezone(ours) == "America/New_York"


@pytest.mark.needs("pgagent_4_2")
@pytest.mark.parametrize("role", ["postgres", "alice"])
def test_schedules_are_by_default_in_the_servers_time_zone(alice, new_database, role):
    ours = new_database("ours", role)
    ours.execute("SET timezone = 'Asia/Tokyo'")
    install_42(ours)
    ours.execute(UPGRADE)
    assert default_timezone(ours) == "UTC"
