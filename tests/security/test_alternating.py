"""Jobs of different roles, one after the other in sessions that are kept: nothing passes.

RUNS=1000 in the environment for the number of runs that `make gates` has.
"""

import os

import pytest
from jobs import add_job, runs, step_runs
from support import poll

from .conftest import ROLES

RUNS = int(os.environ.get("RUNS", "100"))

# Raises an exception unless the session is as if it were new, and the role's own.
CHECK = """DO $check$
BEGIN
    ASSERT current_user = '@ROLE@', 'current_user is ' || current_user;
    ASSERT session_user = '@LOGIN@', 'session_user is ' || session_user;
    ASSERT current_setting('is_superuser') = 'off', 'a superuser';
    ASSERT current_setting('work_mem') = '4MB', 'a setting is left';
    ASSERT current_setting('app.secret', true) IS NULL
           OR current_setting('app.secret') = '', 'a setting of its own is left';
    ASSERT to_regclass('pg_temp.left_over') IS NULL, 'a table is left';
    ASSERT NOT EXISTS (SELECT FROM pg_prepared_statements), 'a statement is left';
    ASSERT NOT EXISTS (SELECT FROM pg_cursors WHERE is_holdable), 'a cursor is left';
    ASSERT NOT EXISTS (SELECT FROM pg_listening_channels()), 'a channel is left';
    ASSERT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
                       AND pid = pg_backend_pid()), 'a lock is left';
END $check$"""
LEAVE = """
    DO $$ BEGIN RAISE NOTICE 'pid %', pg_backend_pid(); END $$;
    SET work_mem = '77MB';
    SELECT set_config('app.secret', session_user::text, false);
    CREATE TEMP TABLE left_over ();
    CREATE FUNCTION pg_temp.now() RETURNS int LANGUAGE sql AS 'SELECT 1';
    PREPARE p AS SELECT 1;
    LISTEN gossip;
    SELECT pg_advisory_lock(7);
    SELECT set_config('search_path', 'pg_temp, public', false);
    SELECT set_config('role', 'none', false)
"""


def made_due(admin, job_ids):
    admin.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = ANY (%s)",
        [job_ids],
    )


def wait_for_runs(admin, job_ids, count):
    query = (
        "SELECT count(*) FROM pgagent.pga_joblog"
        " WHERE jlgstatus <> 'r' AND jlgjobid = ANY (%s)"
    )
    poll(lambda: admin.execute(query, [job_ids]).fetchone() == (count,), 30)


@pytest.mark.timeout(600)
def test_jobs_of_different_roles_find_nothing_of_each_other(admin, agent):
    job_ids = []
    for role in ROLES.values():
        (login,) = admin.execute(
            "SELECT raslogin FROM pgagent.pga_run_as WHERE rasrole = %s", [role]
        ).fetchone()
        check = CHECK.replace("@ROLE@", role).replace("@LOGIN@", login)
        job_ids.append(add_job(admin, check, LEAVE, due=None, jobowner=role))
    unowned = CHECK.replace("@ROLE@", "postgres").replace("@LOGIN@", "postgres")
    unowned = unowned.replace("'is_superuser') = 'off'", "'is_superuser') = 'on'")
    job_ids.append(add_job(admin, unowned, LEAVE, due=None))

    for number in range(RUNS):
        made_due(admin, [job_ids[number % len(job_ids)]])
        wait_for_runs(admin, job_ids, number + 1)

    assert {letter for letter, _ in runs(admin)} == {"s"}, runs(admin)
    pids = [
        output.partition("pid ")[2].split()[0]
        for *_, output in step_runs(admin)
        if "pid " in output
    ]
    assert len(pids) == RUNS
    # Sessions were kept, or this would show nothing.
    assert len(set(pids)) < RUNS / 4


def test_roles_take_turns_in_one_run_and_with_many_at_once(admin, agent):
    """Each step in the session of its role, however often the roles change."""
    by_role = "DO $$ BEGIN ASSERT current_user = '@ROLE@'; SET ROLE NONE; END $$"
    job_ids = [
        add_job(
            admin,
            *(
                {"jstcode": by_role.replace("@ROLE@", role), "jstrunas": role}
                for role in (*ROLES.values(), *ROLES.values())
            ),
            name=f"mixed {number}",
        )
        for number in range(40)
    ]

    wait_for_runs(admin, job_ids, len(job_ids))

    assert {letter for letter, _ in runs(admin)} == {"s"}, step_runs(admin)
