"""Migrations as people publish them: they look for pg_cron before they make a job.

If what they look for is missing they skip the job, most without an error. `cron.` is
replaced by `pgagent.`, also in the name of the schema.
"""

import pytest

# What is there before, the migration, and the jobs that there are afterwards.
MIGRATIONS = {
    "the function, and a text that is put together": (
        "",
        """
        DO $$ BEGIN
            IF to_regprocedure('cron.schedule(text,text,text)') IS NOT NULL THEN
                EXECUTE format('SELECT cron.schedule(%L, %L, %L)', 'clean up', '0 3 * * *', 'DELETE FROM t');
            ELSE
                RAISE NOTICE 'skipped: there is no pg_cron';
            END IF;
        END $$
        """,
        [("clean up", "0 3 * * *", True)],
    ),
    "the function, and the job in its table": (
        "SELECT cron.schedule('clean up', '0 1 * * *', 'SELECT 1')",
        """
        DO $$ BEGIN
            IF to_regprocedure('cron.schedule(text,text,text)') IS NOT NULL THEN
                IF EXISTS (SELECT 1 FROM cron.job WHERE jobname = 'clean up') THEN
                    PERFORM cron.unschedule('clean up');
                END IF;
                PERFORM cron.schedule('clean up', '0 */6 * * *', $job$DELETE FROM t$job$);
            END IF;
        END $$
        """,
        [("clean up", "0 */6 * * *", True)],
    ),
    "the function, or the migration ends": (
        "",
        """
        DO $$ BEGIN
            IF to_regprocedure('cron.schedule(text, text, text)') IS NULL THEN
                RAISE EXCEPTION 'pg_cron is not available' USING ERRCODE = 'feature_not_supported';
            END IF;
        END $$;
        SELECT cron.schedule('publish', '*/5 * * * *', 'SELECT publish();');
        DO $$ BEGIN
            IF (SELECT count(*) FROM cron.job WHERE jobname = 'publish' AND active) <> 1 THEN
                RAISE EXCEPTION 'one active job was expected';
            END IF;
        END $$
        """,
        [("publish", "*/5 * * * *", True)],
    ),
    "schema and functions, removed by id, made active by position": (
        "SELECT cron.schedule('old', '0 1 * * *', 'SELECT 1'), cron.schedule('hourly', '1 * * * *', 'SELECT 1')",
        """
        DO $$
        DECLARE
            v_job record;
            v_id bigint;
        BEGIN
            IF to_regnamespace('cron') IS NULL OR to_regprocedure('cron.schedule(text,text,text)') IS NULL
               OR to_regprocedure('cron.unschedule(bigint)') IS NULL THEN
                RAISE EXCEPTION 'pg_cron is required';
            END IF;
            FOR v_job IN SELECT jobid FROM cron.job WHERE jobname IN ('old', 'hourly', 'gone') LOOP
                PERFORM cron.unschedule(v_job.jobid);
            END LOOP;
            v_id := cron.schedule('hourly', '18 * * * *', 'SELECT purge(now(), 1000);');
            PERFORM cron.alter_job(v_id, NULL, NULL, NULL, NULL, true);
        END $$
        """,
        [("hourly", "18 * * * *", True)],
    ),
    "the function, called with parameters": (
        "",
        """
        DO $$ BEGIN
            IF to_regprocedure('cron.schedule(text,text,text)') IS NOT NULL THEN
                EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING 'often', '5 seconds', 'SELECT 1';
                EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING 'hourly', '1 hour', 'SELECT 1';
            END IF;
        END $$
        """,
        [("hourly", "1 hour", True), ("often", "5 seconds", True)],
    ),
    "the function, and a row for each job": (
        "",
        """
        DO $$
        DECLARE
            v_job record;
        BEGIN
            IF to_regprocedure('cron.schedule(text,text,text)') IS NULL THEN
                RETURN;
            END IF;
            FOR v_job IN SELECT * FROM (VALUES ('a', '*/2 * * * *'), ('b', '15 6 * * *')) AS t (name, schedule) LOOP
                PERFORM cron.schedule(v_job.name, v_job.schedule, format('SELECT %L', v_job.name));
            END LOOP;
        END $$
        """,
        [("a", "*/2 * * * *", True), ("b", "15 6 * * *", True)],
    ),
    "a function with an integer, that pg_cron has not": (
        "SELECT cron.schedule('hold', '0 1 * * *', 'SELECT 1')",
        """
        DO $$
        DECLARE
            v_id int;
        BEGIN
            IF to_regprocedure('cron.schedule(text, text, text)') IS NULL OR to_regclass('cron.job') IS NULL THEN
                RETURN;
            END IF;
            SELECT jobid INTO v_id FROM cron.job WHERE jobname = 'hold' LIMIT 1;
            IF v_id IS NOT NULL AND to_regprocedure('cron.unschedule(integer)') IS NOT NULL THEN
                RAISE EXCEPTION 'there is none';
            END IF;
            PERFORM cron.schedule('hold', '*/5 * * * *', $job$SELECT clean_up();$job$);
        END $$
        """,
        [("hold", "*/5 * * * *", True)],
    ),
    "functions, tables, user and database": (
        "SELECT cron.schedule('race', '0 1 * * *', 'SELECT 1')",
        """
        DO $$
        DECLARE
            v_count integer;
            v_id bigint;
        BEGIN
            IF to_regclass('cron.job') IS NULL OR to_regclass('cron.job_run_details') IS NULL
               OR to_regprocedure('cron.schedule(text,text,text)') IS NULL
               OR to_regprocedure('cron.alter_job(bigint,text,text,text,text,boolean)') IS NULL THEN
                RAISE EXCEPTION 'pg_cron is required';
            END IF;
            IF EXISTS (SELECT 1 FROM cron.job WHERE jobname = 'race'
                       AND (username <> current_user OR database <> current_database())) THEN
                RAISE EXCEPTION 'the job is of another user or database';
            END IF;
            SELECT count(*), min(jobid) INTO v_count, v_id FROM cron.job
            WHERE jobname = 'race' AND username = current_user AND database = current_database();
            IF v_count <> 1 THEN
                RAISE EXCEPTION 'one job was expected';
            END IF;
            PERFORM cron.alter_job(job_id := v_id, schedule := '*/10 * * * *', active := true);
            DELETE FROM cron.job_run_details WHERE runid IN (
                SELECT d.runid FROM cron.job_run_details AS d JOIN cron.job AS j USING (jobid)
                WHERE j.jobname = 'race' AND d.username = current_user
                      AND COALESCE(d.end_time, d.start_time) < clock_timestamp() - interval '7 days'
            );
        END $$
        """,
        [("race", "*/10 * * * *", True)],
    ),
    "both functions, whatever the first says": (
        "",
        """
        DO $$ BEGIN
            IF to_regprocedure('cron.unschedule(text)') IS NOT NULL AND to_regprocedure('cron.schedule(text,text,text)') IS NOT NULL THEN
                BEGIN
                    PERFORM cron.unschedule('prune');
                EXCEPTION WHEN OTHERS THEN
                    NULL;
                END;
                PERFORM cron.schedule('prune', '40 3 * * *', 'SELECT prune();');
            END IF;
        END $$
        """,
        [("prune", "40 3 * * *", True)],
    ),
    "three functions or two": (
        "SELECT cron.schedule('remind', '0 1 * * *', 'SELECT 1')",
        """
        DO $$
        DECLARE
            v_job record;
        BEGIN
            FOR v_job IN SELECT jobid FROM cron.job WHERE jobname = 'remind' LOOP
                IF to_regprocedure('cron.unschedule(integer)') IS NOT NULL THEN
                    PERFORM cron.unschedule(v_job.jobid::integer);
                ELSIF to_regprocedure('cron.unschedule(bigint)') IS NOT NULL THEN
                    PERFORM cron.unschedule(v_job.jobid);
                END IF;
            END LOOP;
            IF to_regprocedure('cron.schedule(text,text,text)') IS NOT NULL THEN
                PERFORM cron.schedule('remind', '*/5 * * * *', 'SELECT remind();');
            ELSIF to_regprocedure('cron.schedule(text,text)') IS NOT NULL THEN
                PERFORM cron.schedule('*/5 * * * *', 'SELECT remind();');
            END IF;
        END $$
        """,
        [("remind", "*/5 * * * *", True)],
    ),
    "no function, a subquery that finds nothing": (
        "",
        """
        SELECT cron.unschedule((SELECT jobid FROM cron.job WHERE jobname = 'sweep'));
        SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = 'sweep' AND username = current_user;
        SELECT cron.schedule('sweep', '*/60 * * * *', 'SELECT 1');
        UPDATE cron.job SET active = false WHERE jobname = 'sweep'
        """,
        [("sweep", "*/60 * * * *", False)],
    ),
    "the function, whatever may be missing": (
        "",
        """
        DO $$ BEGIN
            IF to_regprocedure('cron.schedule(text,text,text)') IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM cron.job WHERE jobname = 'audit') THEN
                PERFORM cron.schedule('audit', '17 3 * * *', 'SELECT audit();');
            END IF;
        EXCEPTION WHEN undefined_table OR invalid_schema_name THEN
            NULL;
        END $$
        """,
        [("audit", "17 3 * * *", True)],
    ),
}


SHOWN = "SELECT jobname, schedule, active FROM pgagent.job ORDER BY jobname"


@pytest.mark.parametrize("guard", MIGRATIONS)
def test_a_migration_that_looks_for_pg_cron_makes_its_jobs(conn, guard):
    before, migration, jobs = (
        part.replace("cron.", "pgagent.").replace("'cron'", "'pgagent'")
        if isinstance(part, str)
        else part
        for part in MIGRATIONS[guard]
    )
    # The owner of the tables: who is shown as the user of jobs without one.
    conn.execute(
        "SELECT set_config('role', pg_get_userbyid(relowner)::text, false)"
        " FROM pg_class WHERE oid = 'pgagent.pga_job'::regclass"
    )
    conn.execute(before)

    for _ in range(3):  # migrations are run again
        conn.execute(migration)
        assert conn.execute(SHOWN).fetchall() == jobs
