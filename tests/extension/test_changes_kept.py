"""The history of jobs outlives updates, dumps and restores, which write none themselves."""

from contextlib import closing

import psycopg
import pytest
from documents import inline
from history import definition, make_job, now, revert

UPGRADE = inline("docs/upgrading.md", "ALTER EXTENSION pgagent UPDATE")
HISTORY = "SELECT to_jsonb(c) FROM pgagent.pga_jobchange AS c ORDER BY jchid"
CHANGES = (
    "SELECT to_jsonb(c) FROM pgagent.job_changes AS c ORDER BY change_id, attribute"
)
EDIT = """
UPDATE pgagent.pga_job SET jobdesc = 'edited';
UPDATE pgagent.pga_jobstep SET jstcode = '#!/bin/sh', jstname = 'edited' WHERE jstkind = 'b';
INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode)
    SELECT jobid, 'new', 'b', 'true' FROM pgagent.pga_job;
UPDATE pgagent.pga_schedule SET jschours[1] = NOT jschours[1];
DELETE FROM pgagent.pga_exception;
"""


def rows(conn, query):
    return conn.execute(query).fetchall()


@pytest.mark.parametrize(
    "options", [["-Fp"], ["-Fc"], ["-Fc", "--inserts"]], ids=" ".join
)
def test_a_dump_has_the_history_and_a_restore_adds_nothing(
    conn, new_database, dump, restore, options
):
    job_id, gone = make_job(conn), make_job(conn, "gone")
    before, then = definition(conn, job_id), now(conn)
    conn.execute(EDIT)
    conn.execute("DELETE FROM pgagent.pga_job WHERE jobid = %s", [gone])
    history, changes = rows(conn, HISTORY), rows(conn, CHANGES)
    restored = new_database("restored")

    restore(dump(conn, *options), restored)

    assert rows(restored, HISTORY) == history
    assert rows(restored, CHANGES) == changes
    ids = "SELECT jobchangeid FROM pgagent.pga_job"
    assert rows(restored, ids) == rows(conn, ids)
    revert(restored, job_id, then)
    assert definition(restored, job_id) == before
    revert(restored, "gone", then)
    assert definition(restored, gone)["pga_exception"]
    assert rows(restored, HISTORY)[: len(history)] == history


@pytest.fixture(params=["4.2", "5.0.0"])
def old(request, new_database):
    """A catalogue of an older version with a job."""
    if request.param == "4.2":
        request.getfixturevalue("conn_42")  # which lacks where 4.2 does
    conn = new_database("old")
    conn.execute(f"CREATE EXTENSION pgagent VERSION '{request.param}'")
    conn.execute("""
        INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'old');
        INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) VALUES (1, 'a', 'b', 'true');
        INSERT INTO pgagent.pga_schedule (jscjobid, jscname) VALUES (1, 's');
        INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES (1, '2040-01-01');
    """)
    return conn


def test_an_update_writes_no_history_and_the_first_change_after_it_can_be_undone(old):
    old.execute(UPGRADE)
    assert rows(old, HISTORY) == []
    before, then = definition(old, 1), now(old)
    old.execute(EDIT)
    assert definition(old, 1) != before

    assert revert(old, "old", then) > 0

    assert definition(old, 1) == before


def test_whoever_could_edit_jobs_before_the_update_can_still(
    old, cluster, administration
):
    administration.execute("CREATE ROLE old_editor LOGIN")
    old.execute("""
        GRANT USAGE ON SCHEMA pgagent TO old_editor;
        GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO old_editor;
        GRANT INSERT, UPDATE, DELETE ON pgagent.pga_jobstep, pgagent.pga_schedule, pgagent.pga_exception TO old_editor;
        GRANT DELETE ON pgagent.pga_job TO old_editor;
        GRANT INSERT (jobjclid, jobname, jobdesc, jobhostagent, jobenabled),
              UPDATE (jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobnextrun, jobchanged)
            ON pgagent.pga_job TO old_editor;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO old_editor;
    """)
    old.execute(UPGRADE)
    before, then = definition(old, 1), now(old)
    try:
        with closing(
            psycopg.connect(old.info.dsn, user="old_editor", autocommit=True)
        ) as editor:
            notices = []
            editor.add_notice_handler(lambda n: notices.append(n.message_primary))
            editor.execute(EDIT)
            assert notices == []
            assert {row["jchby"] for (row,) in rows(editor, HISTORY)} == {"old_editor"}
            assert revert(editor, 1, then) > 0
            assert definition(old, 1) == before
            editor.execute("DELETE FROM pgagent.pga_job")
            assert notices == ["pgagent: the history of job 1 begins later"]
    finally:
        old.execute("DROP OWNED BY old_editor; DROP ROLE old_editor")
