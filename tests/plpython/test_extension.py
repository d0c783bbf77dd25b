"""The second extension: what it brings, and that the first one needs none of it."""

import contextlib
import re

import psycopg
import pytest
from documents import block, inline
from exact import Calls, overloads
from support import ROOT

pytestmark = pytest.mark.needs("plpython")


def test_cascade_brings_all_of_it_and_dropping_it_leaves_the_core(conn):
    names = "SELECT extname FROM pg_extension WHERE extname ~ 'pgagent|plpython'"
    assert {name for (name,) in conn.execute(names)} == {
        "pgagent",
        "pgagent_python",
        "plpython3u",
    }
    conn.execute("DROP EXTENSION pgagent_python")
    assert conn.execute("SELECT pgagent.schedule('a', '@daily', 'SELECT 1')").fetchone()


def test_both_extensions_have_one_version():
    versions = [
        re.findall(r"default_version = '(.*)'", path.read_text())
        for path in (ROOT / "extension").glob("*.control")
    ]
    assert len(versions) == 2
    assert versions[0] == versions[1] != []


MEMBERS = """
    SELECT p.* FROM pg_proc AS p
    JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
    JOIN pg_extension AS e ON e.oid = d.refobjid AND d.deptype = 'e'
    WHERE e.extname = 'pgagent_python'
"""


def test_every_helper_has_a_comment_and_pins_its_search_path(conn):
    loose = f"""
        SELECT proname FROM ({MEMBERS}) AS m
        WHERE obj_description(m.oid, 'pg_proc') IS NULL OR m.prosecdef
              OR m.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp']"""
    assert conn.execute(loose).fetchall() == []


def test_what_connects_elsewhere_is_not_for_everybody(conn):
    conn.execute("DROP ROLE IF EXISTS anybody; CREATE ROLE anybody")
    conn.execute("GRANT USAGE ON SCHEMA pgagent TO anybody; SET ROLE anybody")
    for call in ("send_mail('{a@b}', 'x', 'y')", "post_webhook('http://x', '{}')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(f"SELECT pgagent.{call}")
    conn.execute("RESET ROLE; REVOKE USAGE ON SCHEMA pgagent FROM anybody")
    conn.execute("DROP ROLE anybody")


# Examples that would connect to a server that there is not.
ELSEWHERE = ("send_mail", "post_webhook", "import_pg_cron")


def test_the_examples_in_the_comments_run(conn):
    comments = conn.execute(
        f"SELECT proname, obj_description(oid, 'pg_proc') FROM ({MEMBERS}) AS m"
    ).fetchall()
    ran = 0
    for name, comment in comments:
        example = comment.partition("Example: ")[2].rstrip(".")
        if example and name not in ELSEWHERE:
            conn.execute(example)
            ran += 1
    assert ran == 5


def test_the_examples_of_the_page_run(conn):
    conn.execute(block("docs/python.md", "SELECT pgagent.describe_schedule"))
    conn.execute(block("docs/python.md", "SELECT * FROM pgagent.import_crontab"))
    conn.execute(block("docs/python.md", "SELECT * FROM pgagent.schedule_from_rrule"))
    conn.execute(block("docs/python.md", "CREATE FUNCTION public.tell_ops"))

    # The last one lets a role use a secret that it could not name itself.
    conn.execute("DROP ROLE IF EXISTS ops; CREATE ROLE ops")
    conn.execute("GRANT EXECUTE ON FUNCTION public.tell_ops TO ops; SET ROLE ops")
    with pytest.raises(psycopg.Error, match=r"/etc/postgresql/ops.* can't be read"):
        conn.execute("SELECT public.tell_ops('{}')")
    conn.execute("RESET ROLE; DROP OWNED BY ops; DROP ROLE ops")


def test_what_the_page_sends_elsewhere_is_called_rightly(conn):
    # It is planned, not executed: there is no such server.
    sendings = block("docs/python.md", "SELECT pgagent.send_mail").split(";")[:2]
    for sending in sendings:
        conn.execute(f"EXPLAIN {sending}")


def test_a_calendar_is_written_by_the_command_of_the_page(conn, shell, tmp_path):
    conn.execute("SELECT pgagent.schedule('a', '@daily', 'SELECT 1')")
    command = inline("docs/python.md", "psql -XAtc").replace(
        "psql", f"psql -d {conn.info.dbname}"
    )
    done = shell(f"cd {tmp_path}; {command}")
    assert done.stderr == ""
    assert (tmp_path / "jobs.ics").read_text().startswith("BEGIN:VCALENDAR")


def test_no_helper_calls_what_is_planted_in_the_schema(conn):
    exact = Calls(conn)
    for statement in overloads(conn):
        with contextlib.suppress(psycopg.Error):
            conn.execute(
                f"{statement} LANGUAGE plpgsql"
                " AS 'BEGIN RAISE EXCEPTION $m$caught by a trap$m$; END'"
            )
    for call in (
        "import_crontab(crontab => '30 2 * * 1-5 a', dry_run => false)",
        "schedule_from_rrule(rrule => 'DTSTART;TZID=Europe/Berlin:20310501T090000\nRRULE:FREQ=DAILY;UNTIL=20320101')",
        "describe_schedule(schedule => '0 9 1 * mon')",
        "describe_schedule(schedule_id => 1)",
        "upcoming_ics(job => 'crontab line 1')",
    ):
        conn.execute(exact(f"SELECT pgagent.{call}"))
    with pytest.raises(psycopg.Error, match="caught by a trap"):
        conn.execute("SELECT pgagent.pga_job_name(1)")
