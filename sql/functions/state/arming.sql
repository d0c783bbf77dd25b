-- arming.sql: may the jobs of this catalogue be started, or is it a copy of another one?
-- Writes pga_arming; judges an agent when it registers, and all of them when that changes.
--
-- The row of pga_arming says where the jobs are armed. It is dumped, and goes along into
-- every other kind of copy. Its identity is the server's system identifier and the
-- database's object id: while they are the same, nothing has been copied. Its place is how
-- runners reach it: the name of the database, the port, and the server's address, or the
-- runner's host where the address says nothing to other hosts. The same place with another
-- identity is an upgrade or a restore after a disaster, which goes on. Where both differ,
-- the catalogue is a copy. A physical clone has the same identity and can't be told.

-- PL/pgSQL, so that the right to call it is asked for only if it is called.
CREATE OR REPLACE FUNCTION pgagent.pga_system_id()
RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') THEN
        RETURN (SELECT c.system_identifier FROM pg_control_system() AS c);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_system_id() IS
'The system identifier of this server; NULL if the caller may not read it.';

CREATE OR REPLACE FUNCTION pgagent.pga_is_here(
    p_system bigint, p_database_id oid, p_table_id oid
)
RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p_database_id = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
           AND COALESCE(p_system = pgagent.pga_system_id(), p_table_id = 'pgagent.pga_arming'::regclass::oid)
$$;
COMMENT ON FUNCTION pgagent.pga_is_here(bigint, oid, oid) IS
'Whether this is the identity of this database; its table pga_arming counts if the system identifier is not known.';

CREATE OR REPLACE FUNCTION pgagent.pga_is_private(p_address inet)
RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p_address IS NULL OR p_address <<= inet '127.0.0.0/8' OR p_address = inet '::1'
             OR p_address <<= inet '169.254.0.0/16' OR p_address <<= inet 'fe80::/10' THEN 'local'
        WHEN p_address <<= inet '172.16.0.0/12' THEN 'bridge' END
$$;
COMMENT ON FUNCTION pgagent.pga_is_private(inet) IS
'"local" for an address of a server that every host has for itself, or none: a socket, loopback, link-local; "bridge" for one of those that containers get, which another host, or another container, may have too; else NULL.';

CREATE OR REPLACE FUNCTION pgagent.pga_server_address()
RETURNS inet LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- A runner tells how it has reached the server: by a published port of a container, or
    -- by a pooler, that is not what the server sees.
    SELECT CASE
        WHEN pgagent.pga_is_private(s.seen) IS NULL THEN s.seen
        WHEN s.told IS NULL THEN CASE WHEN pgagent.pga_is_private(s.seen) = 'bridge' THEN s.seen END
        WHEN pgagent.pga_is_private(nullif(s.told, '')::inet) IS DISTINCT FROM 'local' THEN s.told::inet
    END
    FROM (SELECT inet_server_addr() AS seen,
                 current_setting('pgagent.server_address'::text, true) AS told) AS s
$$;
COMMENT ON FUNCTION pgagent.pga_server_address() IS
'The address of this server as the client of this session''s host knows it; NULL: a socket, or a loopback or link-local address.';

CREATE OR REPLACE FUNCTION pgagent.pga_server_port()
RETURNS integer LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(nullif(current_setting('pgagent.server_port'::text, true), ''),
                    current_setting('port'::text))::integer
$$;
COMMENT ON FUNCTION pgagent.pga_server_port() IS
'The port by which the client of this session has reached the server, if it has told, else the server''s own.';

CREATE OR REPLACE FUNCTION pgagent.pga_is_same_place(
    p_database text, p_port integer, p_address inet, p_station text, p_agent pgagent.pga_jobagent
)
RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(
        p_database = current_database() AND p_port = p_agent.jagport
        AND (p_agent.jagaddress IS NULL OR p_address = p_agent.jagaddress)
        AND (pgagent.pga_is_private(p_agent.jagaddress) IS NULL OR p_station = p_agent.jagstation), false)
$$;
COMMENT ON FUNCTION pgagent.pga_is_same_place(text, integer, inet, text, pgagent.pga_jobagent) IS
'Whether an agent has reached this database in this place: what is not known counts as another one.';

CREATE OR REPLACE FUNCTION pgagent.pga_place(
    p_database text, p_port integer, p_address inet, p_station text, p_system bigint
)
RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('database "%s" on port %s%s%s (system %s)', p_database, p_port,
                  ' of ' || host(p_address),
                  CASE WHEN pgagent.pga_is_private(p_address) IS NOT NULL THEN ' of host "' || p_station || '"' END,
                  COALESCE(p_system::text, 'unknown'))
$$;
COMMENT ON FUNCTION pgagent.pga_place(text, integer, inet, text, bigint) IS
'A place where jobs are armed, in words.';

-- The row that tells a copy may come long after CREATE EXTENSION, and after the jobs, from
-- another session. A dump of pgAgent 4.2 has none. So whoever restores says so until his
-- session ends, whatever becomes of it: by an advisory lock.
CREATE OR REPLACE FUNCTION pgagent.pga_restore_begin()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('pgagent.restorer'::text, true) IS DISTINCT FROM pg_backend_pid()::text THEN
        PERFORM pg_advisory_lock_shared(742199025, 2);
        PERFORM set_config('pgagent.restorer'::text, pg_backend_pid()::text, false);
    END IF;
    IF has_table_privilege('pgagent.pga_arming', 'UPDATE') THEN
        UPDATE pgagent.pga_arming SET armrestored = clock_timestamp() WHERE armrestored IS NULL;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_restore_begin() IS
'Notes that this session restores jobs from a dump: none is started before it ends, or somebody arms.';

CREATE OR REPLACE FUNCTION pgagent.pga_restore_end()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('pgagent.restorer'::text, true) = pg_backend_pid()::text THEN
        PERFORM pg_advisory_unlock_shared(742199025, 2);
    END IF;
    PERFORM set_config('pgagent.restorer'::text, '', false);
    IF has_table_privilege('pgagent.pga_arming', 'UPDATE') THEN
        UPDATE pgagent.pga_arming SET armrestored = armrestored WHERE armrestored IS NOT NULL;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_restore_end() IS
'Notes that this session, which has restored jobs, writes others now: all agents are judged anew.';

CREATE OR REPLACE FUNCTION pgagent.pga_restorer()
RETURNS integer LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Anybody can take the lock.
    SELECT min(k.pid) FROM pg_locks AS k, pg_stat_get_activity(k.pid) AS s, pg_class AS c
    WHERE c.oid = 'pgagent.pga_job'::regclass
          AND (pg_has_role(s.usesysid, c.relowner, 'MEMBER') OR has_column_privilege(s.usesysid, c.oid, 'jobagentid', 'INSERT'))
          AND k.locktype = 'advisory' AND k.granted AND k.objsubid = 2 AND k.classid = 742199025 AND k.objid = 2
          AND k.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
$$;
COMMENT ON FUNCTION pgagent.pga_restorer() IS
'The process id of a session that restores jobs from a dump here; NULL: none does.';

CREATE OR REPLACE FUNCTION pgagent.pga_unarmed()
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_here boolean;
    v_restored boolean;
    v_restorer integer;
    v_armed pgagent.pga_arming;
BEGIN
    SELECT bool_and(pgagent.pga_is_here(r.armsystem, r.armdatabaseid, r.armtableid)),
           bool_or(r.armrestored IS NOT NULL)
    INTO v_here, v_restored FROM pgagent.pga_arming AS r;
    IF v_restored THEN
        v_restorer := pgagent.pga_restorer();
        IF v_restorer IS NOT NULL THEN
            RETURN format('the jobs are being restored from a dump, by session %s, and no job starts before that ends', v_restorer);
        END IF;
    END IF;
    IF v_here THEN
        RETURN NULL;
    END IF;
    SELECT r.* INTO v_armed FROM pgagent.pga_arming AS r
    WHERE NOT pgagent.pga_is_here(r.armsystem, r.armdatabaseid, r.armtableid) ORDER BY r.armedat DESC LIMIT 1;
    RETURN format('this is a copy of the jobs, which are armed %s, and no job starts here until SELECT pgagent.arm() or "pgagent run --arm"',
        CASE WHEN v_armed IS NULL THEN 'nowhere'
            ELSE 'in ' || pgagent.pga_place(v_armed.armdatabase, v_armed.armport, v_armed.armaddress,
                                            v_armed.armstation, v_armed.armsystem) END);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_unarmed() IS
'Why no agent may start jobs in this database, in one sentence: they are armed elsewhere, or are being restored; NULL if they are armed here. An agent that registers in the place where they are armed arms them here, too.';

-- A line for each thing that pgAgent 4.2 knows nothing of; the first that holds is told.
CREATE OR REPLACE FUNCTION pgagent.pga_job_gate(p_job pgagent.pga_job)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(
        pgagent.pga_unarmed(),
        CASE WHEN p_job.jobowner IS NOT NULL OR EXISTS (
            SELECT FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job.jobid AND s.jstrunas IS NOT NULL
        ) THEN 'steps of the job run as roles, which only a runner of 5.1 can become' END,
        CASE WHEN pgagent.pga_paused_until(p_job.jobid) IS NOT NULL THEN 'the job is paused' END
    )
$$;
COMMENT ON FUNCTION pgagent.pga_job_gate(pgagent.pga_job) IS
'Why an agent that does not say that it knows better may not claim this job, in one sentence; NULL if it may. The trigger of pga_job asks for everybody who claims without pga_run_claim(), as pgAgent''s own daemon does.';

CREATE OR REPLACE FUNCTION pgagent.pga_arming_write(p_agent pgagent.pga_jobagent)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE pgagent.pga_arming IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM pgagent.pga_arming;
    INSERT INTO pgagent.pga_arming (armsystem, armdatabaseid, armtableid, armdatabase, armport, armaddress, armstation)
    SELECT pgagent.pga_system_id(), d.oid, 'pgagent.pga_arming'::regclass::oid, d.datname,
           COALESCE(p_agent.jagport, pgagent.pga_server_port()), p_agent.jagaddress,
           CASE WHEN pgagent.pga_is_private(p_agent.jagaddress) IS NOT NULL THEN p_agent.jagstation END
    FROM pg_database AS d WHERE d.datname = current_database();
    UPDATE pgagent.pga_jobagent SET jagunarmed = NULL WHERE jagunarmed IS NOT NULL;
    -- Sessions of agents that are not here were noted where this was copied from.
    DELETE FROM pgagent.pga_jobsession AS x WHERE NOT EXISTS (
        SELECT FROM pgagent.agents AS a WHERE a.agent_id = x.jssagentid AND a.alive
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_arming_write(pgagent.pga_jobagent) IS
'Notes that the jobs are armed here: in this database, and in the place where this agent has reached it (NULL: no agent is known).';

CREATE OR REPLACE FUNCTION pgagent.pga_arming_begin()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pgagent.pga_job)
       OR NOT has_table_privilege('pgagent.pga_arming', 'SELECT') OR pgagent.pga_unarmed() IS NULL
       OR NOT has_table_privilege('pgagent.pga_arming', 'INSERT')
       OR NOT has_table_privilege('pgagent.pga_arming', 'DELETE')
       OR NOT has_table_privilege('pgagent.pga_jobagent', 'UPDATE')
       OR NOT has_table_privilege('pgagent.pga_jobsession', 'DELETE') THEN
        RETURN;
    END IF;
    PERFORM pgagent.pga_arming_write(NULL::pgagent.pga_jobagent);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_arming_begin() IS
'Arms a copy that has no jobs, as of a template with nothing but the extension, when its first one is created, if the caller may.';

CREATE OR REPLACE FUNCTION pgagent.pga_arming_recall()
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_recalled integer;
BEGIN
    -- Usually there is no such job, or it has never run. What the update to 5.1.0 does for
    -- all jobs at once is looked up here for each.
    UPDATE pgagent.pga_job AS j
    SET jobsucceeded = t.s, jobfailed = t.f, jobaborted = t.d, jobempty = t.i, jobfailures = t.failures,
        joblastsuccess = t.succeeded_at
    FROM (
        SELECT o.jobid, c.s, c.f, c.d, c.i, (
            SELECT count(*)::integer FROM pgagent.pga_joblog AS l
            WHERE l.jlgjobid = o.jobid AND l.jlgid > COALESCE(c.last_success, -9223372036854775808) AND l.jlgstatus IN ('f', 'd')
        ) AS failures, (
            SELECT l.jlgstart + CASE WHEN l.jlgduration BETWEEN interval '0' AND interval '10000 years' THEN l.jlgduration ELSE interval '0' END
            FROM pgagent.pga_joblog AS l
            WHERE l.jlgid = c.last_success AND l.jlgstart BETWEEN '0001-01-01 00:00 UTC' AND '10000-01-01 00:00 UTC'
        ) AS succeeded_at
        FROM pgagent.pga_job AS o
        CROSS JOIN LATERAL (
            SELECT max(l.jlgid) FILTER (WHERE l.jlgstatus = 's') AS last_success,
                   count(*) FILTER (WHERE l.jlgstatus = 's') AS s, count(*) FILTER (WHERE l.jlgstatus = 'f') AS f,
                   count(*) FILTER (WHERE l.jlgstatus = 'd') AS d, count(*) FILTER (WHERE l.jlgstatus = 'i') AS i
            FROM pgagent.pga_joblog AS l WHERE l.jlgjobid = o.jobid
        ) AS c
        WHERE (o.jobsucceeded, o.jobfailed, o.jobempty) = (0, 0, 0)
              AND ((c.s, c.f, c.i) <> (0, 0, 0) OR c.d > o.jobaborted)
    ) AS t
    WHERE j.jobid = t.jobid;
    GET DIAGNOSTICS v_recalled = ROW_COUNT;
    RETURN v_recalled;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'pgagent: how the runs of jobs have ended so far is not known of them' USING DETAIL = SQLERRM;
    RETURN 0;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_arming_recall() IS
'Has jobs know of their runs what the log does, if they know of none: a dump of a version before 5.1 brings only the log. Returns how many jobs that were; a WARNING says that it was refused.';

CREATE OR REPLACE FUNCTION pgagent.pga_arming_settle()
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_dumped timestamptz;
    v_one record;
    v_settled integer := 0;
BEGIN
    -- When the dump was made: the last that it knows of, not later than now.
    SELECT max(t.at) INTO v_dumped FROM (
        (SELECT unnest(ARRAY[l.jlgstart, l.jlgstart + l.jlgduration]) AS at
         FROM pgagent.pga_joblog AS l WHERE l.jlgstart BETWEEN '0001-01-01 00:00 UTC' AND now()
         ORDER BY l.jlgid DESC LIMIT 1000)
        UNION ALL
        (SELECT unnest(ARRAY[s.jslstart, s.jslstart + s.jslduration])
         FROM pgagent.pga_jobsteplog AS s WHERE s.jslstart BETWEEN '0001-01-01 00:00 UTC' AND now()
         ORDER BY s.jslid DESC LIMIT 1000)
    ) AS t WHERE t.at <= now();

    -- The time for which such a run was made has had its run. What has passed since, no
    -- runner has taken.
    FOR v_one IN
        SELECT j AS job, l.run
        FROM pgagent.pga_job AS j
        CROSS JOIN LATERAL (
            SELECT r AS run FROM pgagent.pga_joblog AS r WHERE r.jlgjobid = j.jobid ORDER BY r.jlgid DESC LIMIT 1
        ) AS l
        WHERE j.jobagentid IS NULL
              AND (l.run).jlgstatus = 'd' AND (l.run).jlgmessage = 'was running when the database was dumped'
              -- pgAgent 4.2 does not log for which time a run was made. A next run that was
              -- set meanwhile is somebody's wish.
              AND CASE WHEN (l.run).jlgscheduled IS NULL THEN j.jobnextrun <= (l.run).jlgstart
                  ELSE j.jobnextrun = (l.run).jlgscheduled END
        ORDER BY j.jobid FOR NO KEY UPDATE OF j
    LOOP
        PERFORM set_config('pgagent.freeing'::text, 'on'::text, true);     -- the trigger of pga_job asks
        UPDATE pgagent.pga_schedule SET jscenabled = false
        WHERE jscjobid = (v_one.job).jobid AND jscenabled AND jscat <= (v_one.run).jlgstart;
        UPDATE pgagent.pga_job AS j
        SET jobnextrun = pgagent.pga_job_after_run(
            j, (v_one.run).jlgid, COALESCE((v_one.run).jlgscheduled, (v_one.run).jlgstart),
            (v_one.run).jlgstart, greatest((v_one.run).jlgstart, v_dumped)),
            jobfailures = least(j.jobfailures, 2147483646) + 1,
            jobaborted = least(j.jobaborted, 9223372036854775806) + 1
        WHERE j.jobid = (v_one.job).jobid;
        v_settled := v_settled + 1;
        PERFORM set_config('pgagent.freeing'::text, ''::text, true);
    END LOOP;
    PERFORM pgagent.pga_arming_recall();
    UPDATE pgagent.pga_arming SET armrestored = NULL WHERE armrestored IS NOT NULL;
    RETURN v_settled;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_arming_settle() IS
'Gives jobs that were under way when this database was dumped their next run: the first time after the one for which they ran, or a later one by the job''s rules; counts those runs as aborted; and has jobs from a dump of an older version know how their runs have ended. Returns how many jobs that were under way.';

CREATE OR REPLACE FUNCTION pgagent.pga_arming_judge(p_agent pgagent.pga_jobagent)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_here boolean;
    v_known boolean;
    v_goes_on boolean;
    v_restored boolean;
    v_was text;
    v_note text;
BEGIN
    -- Usually nothing has changed, and nothing is written. Whoever writes looks again first:
    -- somebody may just have armed it.
    FOR i IN 1..2 LOOP
        SELECT bool_and(pgagent.pga_is_here(r.armsystem, r.armdatabaseid, r.armtableid)),
               bool_and(pgagent.pga_is_same_place(r.armdatabase, r.armport, r.armaddress, r.armstation, p_agent)),
               bool_and(pgagent.pga_is_here(r.armsystem, r.armdatabaseid, r.armtableid)
                        OR pgagent.pga_is_same_place(r.armdatabase, r.armport, r.armaddress, r.armstation, p_agent)),
               bool_or(r.armrestored IS NOT NULL),
               string_agg(pgagent.pga_place(r.armdatabase, r.armport, r.armaddress, r.armstation, r.armsystem), ', ')
                   FILTER (WHERE NOT pgagent.pga_is_here(r.armsystem, r.armdatabaseid, r.armtableid))
        INTO v_here, v_known, v_goes_on, v_restored, v_was
        FROM pgagent.pga_arming AS r;
        IF v_here AND v_known AND NOT v_restored THEN
            RETURN NULL;
        ELSIF v_restored AND pgagent.pga_restorer() IS NOT NULL THEN
            RETURN pgagent.pga_unarmed();
        -- A catalogue without jobs has nothing that could be started twice, unless a dump
        -- is about to bring them.
        ELSIF NOT (v_here IS TRUE OR v_goes_on IS TRUE
                   OR v_restored IS NOT TRUE AND NOT EXISTS (SELECT FROM pgagent.pga_job)) THEN
            RETURN pgagent.pga_unarmed();
        END IF;
        IF i = 1 THEN
            LOCK TABLE pgagent.pga_arming IN SHARE ROW EXCLUSIVE MODE;
        END IF;
    END LOOP;

    IF v_here THEN
        UPDATE pgagent.pga_arming
        SET armdatabase = current_database(), armport = p_agent.jagport,
            armaddress = COALESCE(p_agent.jagaddress, armaddress),
            armstation = CASE WHEN pgagent.pga_is_private(p_agent.jagaddress) IS NOT NULL
                THEN p_agent.jagstation ELSE armstation END;
    ELSE
        PERFORM pgagent.pga_arming_write(p_agent);
        IF v_goes_on THEN
            v_note := format('the jobs go on in the place where they are armed, in another database: %s now, %s before',
                pgagent.pga_place(current_database()::text, p_agent.jagport, p_agent.jagaddress, p_agent.jagstation,
                                  pgagent.pga_system_id()), v_was);
            RAISE LOG 'pgagent: %', v_note;
            PERFORM set_config('pgagent.note'::text, v_note, false);
        END IF;
    END IF;
    PERFORM pgagent.pga_arming_settle();
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_arming_judge(pgagent.pga_jobagent) IS
'Why this agent, which registers or was unarmed so far, may not start jobs here; NULL if it may: then the place is completed, and if it was another database before, which was armed in the same place, this one is armed from now on, which the server''s log and the setting pgagent.note of this session say.';

CREATE OR REPLACE FUNCTION pgagent.arm()
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_unarmed text;
    v_agent pgagent.pga_jobagent;
    v_settled integer;
    v_due bigint;
BEGIN
    -- Agents before arming, as they lock them themselves.
    PERFORM FROM pgagent.pga_jobagent AS a ORDER BY a.jagpid FOR NO KEY UPDATE;
    LOCK TABLE pgagent.pga_arming IN SHARE ROW EXCLUSIVE MODE;
    v_unarmed := pgagent.pga_unarmed();
    IF v_unarmed IS NULL AND NOT EXISTS (
        SELECT FROM pgagent.pga_jobagent AS a WHERE a.jagunarmed IS NOT NULL
    ) THEN
        RETURN format('the jobs of database "%s" are armed already: nothing was changed', current_database());
    END IF;
    SELECT a.* INTO v_agent FROM pgagent.pga_jobagent AS a
    WHERE a.jagunarmed IS NOT NULL ORDER BY a.jaglogintime DESC LIMIT 1;
    PERFORM pgagent.pga_arming_write(v_agent);
    v_settled := pgagent.pga_arming_settle();
    SELECT count(*) INTO v_due FROM pgagent.pga_job AS j WHERE j.jobagentid IS NULL AND j.jobnextrun <= now();
    PERFORM pg_notify('pgagent', '');
    RETURN format('the jobs of database "%s" are armed: %s of %s are due, by their rules for missed runs; of %s a run was under way when the database was dumped, and has been closed as aborted',
        current_database(), v_due, (SELECT count(*) FROM pgagent.pga_job), v_settled);
END;
$$;
COMMENT ON FUNCTION pgagent.arm() IS
'Has runners start the jobs in this database although it is a copy of another one: a restored dump, or made from a template. Nothing that has run is run again; times that have passed are made up for as each job''s rules say. Returns what it has done, in one sentence. It takes the rights to write pga_arming, pga_jobagent, pga_jobsession, and to update pga_job and pga_schedule. Example: SELECT pgagent.arm().';

CREATE OR REPLACE FUNCTION pgagent.pga_arming_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A dump brings the row of where it was made; CREATE EXTENSION has written one already.
    IF pgagent.pga_restoring() THEN
        DELETE FROM pgagent.pga_arming AS r WHERE r.armid = NEW.armid OR pgagent.pga_is_here(r.armsystem, r.armdatabaseid, r.armtableid);
        NEW.armrestored := clock_timestamp();
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_arming_trigger() IS
'Trigger: a row from a dump takes the place of the one that CREATE EXTENSION has written.';

DROP TRIGGER IF EXISTS pga_arming_trigger ON pgagent.pga_arming;
CREATE TRIGGER pga_arming_trigger BEFORE INSERT ON pgagent.pga_arming
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_arming_trigger();
COMMENT ON TRIGGER pga_arming_trigger ON pgagent.pga_arming IS
'A row from a dump takes the place of the one that CREATE EXTENSION has written.';

CREATE OR REPLACE FUNCTION pgagent.pga_arming_changed()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_unarmed CONSTANT text := pgagent.pga_unarmed();
BEGIN
    -- Those in the place where the jobs are armed arm them at their next sign of life.
    IF has_table_privilege('pgagent.pga_jobagent', 'UPDATE') THEN
        UPDATE pgagent.pga_jobagent AS a SET jagunarmed = v_unarmed WHERE a.jagunarmed IS DISTINCT FROM v_unarmed;
        IF FOUND THEN
            PERFORM pg_notify('pgagent', 'cancel');
        END IF;
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_arming_changed() IS
'Trigger: judges all agents anew when it has changed where the jobs are armed, and has their runners show a sign of life.';

DROP TRIGGER IF EXISTS pga_arming_changed ON pgagent.pga_arming;
CREATE TRIGGER pga_arming_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgagent.pga_arming
    FOR EACH STATEMENT EXECUTE FUNCTION pgagent.pga_arming_changed();
COMMENT ON TRIGGER pga_arming_changed ON pgagent.pga_arming IS
'Judges all agents anew.';

-- To install arms; so does an update of a catalogue that has not known this yet, where those
-- who could see jobs, or register, may go on doing so (meta/access.sql). A copy that is not armed stays so.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pgagent.pga_arming) THEN
        INSERT INTO pgagent.pga_arming (armsystem, armdatabaseid, armtableid, armdatabase, armport)
        SELECT pgagent.pga_system_id(), d.oid, 'pgagent.pga_arming'::regclass::oid, d.datname, pgagent.pga_server_port()
        FROM pg_database AS d WHERE d.datname = current_database();
        IF pgagent.pga_restoring() THEN
            PERFORM pgagent.pga_restore_begin();
        END IF;
    END IF;
END;
$$;

