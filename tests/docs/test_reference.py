"""docs/reference.md is what the catalogue says, and what the catalogue says works."""

import re

import pytest
import reference
from documents import commands_of
from support import ROOT
from transitions import register

EXAMPLES = r"""
SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
       obj_description(p.oid, 'pg_proc')
FROM pg_proc AS p
WHERE p.pronamespace = 'pgagent'::regnamespace AND p.proname NOT LIKE 'pga\_%'
      AND p.proname <> 'pgagent_schema_version'
UNION ALL
SELECT c.relname, obj_description(c.oid, 'pg_class')
FROM pg_class AS c WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind = 'v'
      AND c.relname NOT LIKE 'pga\_%'
"""

# The jobs that the examples are about.
JOBS = """
SELECT setval('pgagent.pga_job_jobid_seq', 41);
SELECT pgagent.create_job('report'), pgagent.add_step('report', '2 report', 'SELECT 1'),
       pgagent.add_schedule('report', '@daily');
SELECT pgagent.schedule('nightly-vacuum', '30 2 * * *', 'VACUUM');
INSERT INTO pgagent.pga_job (jobname, jobjclid) VALUES ('etl', 1);
SELECT pgagent.add_schedule('etl', '@daily');
CREATE ROLE reporting;
"""


def test_the_reference_is_up_to_date(conn):
    assert reference.PAGE.read_text() == reference.page(conn), "run `make docs`"


def test_defaults_are_shown_without_their_casts():
    declaration = "a text[] DEFAULT NULL::text[], b text DEFAULT 'c, d::e'::text"
    assert (
        reference.plain(declaration)
        == "a text[] DEFAULT NULL, b text DEFAULT 'c, d::e'"
    )


def test_every_function_and_view_has_an_example_that_runs(conn):
    register(conn)
    found = conn.execute(EXAMPLES).fetchall()
    assert len(found) > 20
    shown = {command.text.strip() for command in commands_of("docs/reference.md")}
    assert shown == {reference.parts(comment)[1] for _, comment in found}
    for name, comment in found:
        _, example = reference.parts(comment)
        assert example, f"{name} has no example"
        with conn.transaction(force_rollback=True):
            if not example.startswith("SELECT pgagent.create_job('etl'"):
                conn.execute(JOBS)
            if "disallow_run_as" in example:
                conn.execute("SELECT pgagent.allow_run_as('reporting')")
            if "_alert(" in example and "add_alert" not in example:
                conn.execute("SELECT pgagent.add_alert('nightly', 'notify')")
            conn.execute(example)


def test_every_function_and_view_is_on_the_page(conn):
    page = reference.PAGE.read_text()
    for name, *_ in conn.execute(reference.FUNCTIONS).fetchall():
        assert f"{name}(" in page
    for name, *_ in conn.execute(reference.VIEWS).fetchall():
        assert f"### {name}\n" in page or f"view `{name}`" in page


def schedules():
    page = (ROOT / "docs/schedules.md").read_text()
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


@pytest.mark.parametrize("text", schedules())
def test_the_schedules_of_the_docs_can_be_read(conn, text):
    conn.execute("SELECT pgagent.schedule('x', %s, 'SELECT 1')", [text])

    rows = conn.execute("SELECT FROM pgagent.pga_schedule").rowcount
    assert rows == (2 if text == "0 9 13 * fri" else 1)


def test_the_docs_show_every_kind_of_schedule():
    assert len(schedules()) == 14
