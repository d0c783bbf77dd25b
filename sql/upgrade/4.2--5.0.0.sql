-- 4.2--5.0.0.sql: from the tables of pgAgent 3.4 to 4.2, which are the same, to those of 5.0.0.

SET LOCAL search_path = pg_catalog, pg_temp;

-- Rows are changed here without the triggers of either version looking on.
ALTER TABLE pgagent.pga_job DISABLE TRIGGER pga_job_trigger;

ALTER TABLE pgagent.pga_jobagent
    ADD COLUMN jagbackendstart timestamptz,
    ADD COLUMN jaglease timestamptz,
    ADD COLUMN jagrunner uuid;

ALTER TABLE pgagent.pga_job
    ADD COLUMN jobrunid bigint,
    ADD COLUMN jobfromstep integer,
    ADD COLUMN jobtimeout interval
        CONSTRAINT pga_job_jobtimeout_check CHECK (jobtimeout > interval '0'),
    ADD COLUMN joboverlap text NOT NULL DEFAULT 'skip'
        CONSTRAINT pga_job_joboverlap_check CHECK (joboverlap IN ('skip', 'queue')),
    ADD COLUMN jobmissed text NOT NULL DEFAULT 'latest'
        CONSTRAINT pga_job_jobmissed_check CHECK (jobmissed IN ('latest', 'skip', 'all')),
    ADD COLUMN jobmissedlimit interval
        CONSTRAINT pga_job_jobmissedlimit_check CHECK (jobmissedlimit > interval '0'),
    ADD COLUMN jobdeaths integer NOT NULL DEFAULT 0,
    ADD COLUMN jobkeepfor interval
        CONSTRAINT pga_job_jobkeepfor_check CHECK (jobkeepfor > interval '0'),
    ADD COLUMN jobkeepruns integer
        CONSTRAINT pga_job_jobkeepruns_check CHECK (jobkeepruns > 0);
ALTER TABLE pgagent.pga_jobstep
    ADD COLUMN jsttimeout interval
        CONSTRAINT pga_jobstep_jsttimeout_check CHECK (jsttimeout > interval '0'),
    ADD COLUMN jstretries integer NOT NULL DEFAULT 0
        CONSTRAINT pga_jobstep_jstretries_check CHECK (jstretries BETWEEN 0 AND 1000),
    ADD COLUMN jstretrydelay interval NOT NULL DEFAULT '10 seconds'
        CONSTRAINT pga_jobstep_jstretrydelay_check CHECK (jstretrydelay >= interval '0'),
    ADD COLUMN jstretrybackoff double precision NOT NULL DEFAULT 2
        CONSTRAINT pga_jobstep_jstretrybackoff_check CHECK (jstretrybackoff BETWEEN 1 AND 100),
    ADD COLUMN jstretryon text[],
    ADD COLUMN jstmode text NOT NULL DEFAULT 'single'
        CONSTRAINT pga_jobstep_jstmode_check CHECK (
            jstmode = 'single' OR (jstmode IN ('autocommit', 'atomic') AND jstkind = 's')
        );

ALTER TABLE pgagent.pga_schedule
    ADD COLUMN jscevery interval
        CONSTRAINT pga_schedule_jscevery_check CHECK (jscevery >= interval '1 second'),
    ADD COLUMN jscat timestamptz
        CONSTRAINT pga_schedule_jscat_check CHECK (isfinite(jscat)),
    ADD COLUMN jscreboot boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT pga_schedule_kind_check
        CHECK (num_nonnulls(jscevery, jscat, nullif(jscreboot, false)) <= 1);

ALTER TABLE pgagent.pga_joblog
    ALTER COLUMN jlgid TYPE bigint,
    ADD COLUMN jlgagentid integer,
    ADD COLUMN jlgstation text,
    ADD COLUMN jlgscheduled timestamptz,
    ADD COLUMN jlgmessage text,
    ADD COLUMN jlgcancel text;
ALTER TABLE pgagent.pga_jobsteplog SET (fillfactor = 85);
ALTER TABLE pgagent.pga_jobsteplog
    ALTER COLUMN jslid TYPE bigint,
    ALTER COLUMN jsljlgid TYPE bigint,
    ADD COLUMN jslattempt integer NOT NULL DEFAULT 1;
ALTER SEQUENCE pgagent.pga_joblog_jlgid_seq AS bigint;
ALTER SEQUENCE pgagent.pga_jobsteplog_jslid_seq AS bigint;

CREATE INDEX pga_job_due ON pgagent.pga_job (jobnextrun, jobid)
    WHERE jobagentid IS NULL AND jobnextrun IS NOT NULL;
CREATE INDEX pga_job_agent ON pgagent.pga_job (jobagentid) WHERE jobagentid IS NOT NULL;
DROP INDEX pgagent.pga_exception_datetime;
CREATE UNIQUE INDEX pga_exception_datetime ON pgagent.pga_exception (jexscid, jexdate, jextime);
DROP INDEX pgagent.pga_joblog_jobid;
CREATE INDEX pga_joblog_jobid ON pgagent.pga_joblog (jlgjobid, jlgid DESC) INCLUDE (jlgstatus);
CREATE INDEX pga_joblog_running ON pgagent.pga_joblog (jlgjobid) WHERE jlgstatus = 'r';
CREATE INDEX pga_jobsteplog_jstid ON pgagent.pga_jobsteplog (jsljstid, jslid DESC);

-- A daemon of 4.2 may be running right now: its runs stay its own, under its full identity.
UPDATE pgagent.pga_jobagent AS a SET jagbackendstart = s.backend_start
FROM pg_stat_activity AS s WHERE s.pid = a.jagpid;
UPDATE pgagent.pga_joblog AS l
SET jlgagentid = a.jagpid, jlgstation = a.jagstation, jlgscheduled = j.jobnextrun
FROM pgagent.pga_job AS j JOIN pgagent.pga_jobagent AS a ON a.jagpid = j.jobagentid
WHERE l.jlgstatus = 'r' AND j.jobid = l.jlgjobid;

-- From now on a next run of a disabled job is a wish.
UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE NOT jobenabled AND jobnextrun IS NOT NULL;

-- 4.2 did not dump the sequences: after a restore they lag behind.
SELECT setval(format('pgagent.%s_%s_seq', t.name, t.id), t.latest)
FROM (
    SELECT 'pga_jobclass', 'jclid', max(jclid)::bigint FROM pgagent.pga_jobclass
    UNION ALL SELECT 'pga_job', 'jobid', max(jobid) FROM pgagent.pga_job
    UNION ALL SELECT 'pga_jobstep', 'jstid', max(jstid) FROM pgagent.pga_jobstep
    UNION ALL SELECT 'pga_schedule', 'jscid', max(jscid) FROM pgagent.pga_schedule
    UNION ALL SELECT 'pga_exception', 'jexid', max(jexid) FROM pgagent.pga_exception
    UNION ALL SELECT 'pga_joblog', 'jlgid', max(jlgid) FROM pgagent.pga_joblog
    UNION ALL SELECT 'pga_jobsteplog', 'jslid', max(jslid) FROM pgagent.pga_jobsteplog
) AS t (name, id, latest)
WHERE t.latest > COALESCE(
    pg_sequence_last_value(format('pgagent.%s_%s_seq', t.name, t.id)::regclass), 0
);

ALTER TABLE pgagent.pga_job ENABLE TRIGGER pga_job_trigger;

-- The time zone of schedules, as sql/tables/timezone.sql has it for new installations.
DO $$
DECLARE
    v_zone text;
BEGIN
    SELECT regexp_replace(c, '^[^=]*=', '') INTO v_zone
    FROM pg_db_role_setting AS s, unnest(s.setconfig) AS c
    WHERE s.setrole = 0 AND c ILIKE 'timezone=%' AND s.setdatabase IN (
        0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    )
    ORDER BY s.setdatabase DESC LIMIT 1;

    IF v_zone IS NULL AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') THEN
        SELECT f.setting INTO v_zone
        FROM pg_show_all_file_settings() AS f
        WHERE lower(f.name) = 'timezone' AND f.applied
        ORDER BY f.seqno DESC LIMIT 1;
    END IF;

    v_zone := COALESCE(v_zone, (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'TimeZone'));

    -- AT TIME ZONE takes these names for abbreviations: one offset all the year round.
    v_zone := COALESCE((
        SELECT z.name FROM (VALUES
            ('CET', 'Europe/Brussels'), ('MET', 'Europe/Brussels'), ('EET', 'Europe/Athens'),
            ('WET', 'Europe/Lisbon'), ('EST', 'America/Panama'), ('MST', 'America/Phoenix'),
            ('HST', 'Pacific/Honolulu')
        ) AS z (abbreviation, name)
        WHERE z.abbreviation = upper(v_zone)
    ), v_zone);

    EXECUTE format(
        'ALTER TABLE pgagent.pga_schedule ADD COLUMN jsctimezone text NOT NULL DEFAULT %L',
        v_zone
    );
END;
$$;

CREATE TABLE pgagent.pga_jobsession (
    jsspid integer NOT NULL PRIMARY KEY,
    jssagentid integer NOT NULL
        REFERENCES pgagent.pga_jobagent (jagpid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jssbackendstart timestamptz NOT NULL
);
CREATE INDEX pga_jobsession_agentid ON pgagent.pga_jobsession (jssagentid);

CREATE TABLE pgagent.pga_jobskip (
    jskid bigserial NOT NULL PRIMARY KEY,
    jskjobid integer NOT NULL
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jskfrom timestamptz NOT NULL,
    jskuntil timestamptz NOT NULL,
    jskreason text NOT NULL,
    jsklogged timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX pga_jobskip_jobid ON pgagent.pga_jobskip (jskjobid, jskid DESC);

