-- 5.0.0--5.1.0.sql: from the tables of 5.0.0 to those of 5.1.0.

SET LOCAL search_path = pg_catalog, pg_temp;

-- All tables whose columns or triggers change, at once or not at all: a runner that has
-- one of them and wants another must not meet an update that has the other. If somebody
-- keeps one for long, waiting for it is all that is left.
DO $$
BEGIN
    FOR i IN 1..1000 LOOP
        BEGIN
            LOCK TABLE pgagent.pga_jobagent, pgagent.pga_jobsession, pgagent.pga_jobclass, pgagent.pga_exception, pgagent.pga_schedule,
                       pgagent.pga_jobstep, pgagent.pga_job, pgagent.pga_joblog, pgagent.pga_jobsteplog, pgagent.pga_jobskip
                IN ACCESS EXCLUSIVE MODE NOWAIT;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.005);
        END;
    END LOOP;
    LOCK TABLE pgagent.pga_jobagent, pgagent.pga_jobsession, pgagent.pga_jobclass, pgagent.pga_exception, pgagent.pga_schedule,
               pgagent.pga_jobstep, pgagent.pga_job, pgagent.pga_joblog, pgagent.pga_jobsteplog, pgagent.pga_jobskip
        IN ACCESS EXCLUSIVE MODE;
END;
$$;

-- Functions that return something else now, or have further arguments.
DROP FUNCTION IF EXISTS pgagent.pga_agent_sweep();
DROP FUNCTION IF EXISTS pgagent.pga_agent_bury(integer, text);
DROP FUNCTION IF EXISTS pgagent.pga_agent_bury_run(integer, boolean, text);

-- Only the catalogue is written, the log is not.
ALTER TABLE pgagent.pga_jobagent ADD COLUMN jagleasefor interval;
ALTER TABLE pgagent.pga_jobsteplog ADD COLUMN jslcpu interval, ADD COLUMN jslmemory bigint;

-- It frees a job, too, and has to know which.
DROP FUNCTION IF EXISTS pgagent.pga_run_refusal(bigint, bigint[]);
-- What is refused is set aside. Whoever may write and read what was left out may so here
-- (meta/access.sql).
CREATE TABLE pgagent.pga_jobaside (
    jsajobid integer NOT NULL PRIMARY KEY
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jsauntil timestamptz NOT NULL,
    jsatimes integer NOT NULL DEFAULT 1,
    jsareason text NOT NULL,
    jsasince timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
DROP FUNCTION IF EXISTS pgagent.pga_explain_due(pgagent.pga_job);
-- An update keeps the description that the extension was created with, here pgAgent 4.2's.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pgagent'
               AND obj_description(e.oid, 'pg_extension') = 'A PostgreSQL job scheduler') THEN
        COMMENT ON EXTENSION pgagent IS
            'Job scheduler: jobs of SQL and shell steps, run on schedules by the pgagent runner';
    END IF;
END;
$$;

-- It takes more arguments now, with defaults: a runner of 5.0 goes on calling it.
DROP FUNCTION IF EXISTS pgagent.pga_agent_session(integer, integer);
ALTER TABLE pgagent.pga_jobsession ADD COLUMN jsspooled boolean NOT NULL DEFAULT false;

-- Catalogues are armed where they are updated: state/arming.sql writes the row.
ALTER TABLE pgagent.pga_jobagent
    ADD COLUMN jagunarmed text, ADD COLUMN jagaddress inet, ADD COLUMN jagport integer;
CREATE TABLE pgagent.pga_arming (
    armid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    armsystem bigint,
    armdatabaseid oid NOT NULL,
    armtableid oid NOT NULL,
    armdatabase text NOT NULL,
    armport integer NOT NULL,
    armaddress inet,
    armstation text,
    armedat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    armedby text NOT NULL DEFAULT CURRENT_USER,
    armrestored timestamptz
);

CREATE TABLE pgagent.pga_access (
    accat timestamptz NOT NULL PRIMARY KEY DEFAULT clock_timestamp(),
    accversion text NOT NULL
);

-- Owners, wishes, changes and sets: nothing has any so far.
ALTER TABLE pgagent.pga_job ADD COLUMN jobowner name, ADD COLUMN jobownerid oid, ADD COLUMN jobchangeid bigint,
    ADD COLUMN jobaskedby name, ADD COLUMN jobset text;
ALTER TABLE pgagent.pga_jobstep ADD COLUMN jstrunas name, ADD COLUMN jstrunasid oid;
ALTER TABLE pgagent.pga_joblog
    ADD COLUMN jlgstartedby name, ADD COLUMN jlgstartedvia text, ADD COLUMN jlgchangeid bigint, ADD COLUMN jlgrestartof bigint;
CREATE TABLE pgagent.pga_run_as (
    rasrole name NOT NULL PRIMARY KEY,
    rasroleid oid,
    rasby text NOT NULL DEFAULT 'ticket'
        CONSTRAINT pga_run_as_rasby_check CHECK (rasby IN ('ticket', 'login')),
    raslogin name NOT NULL,
    rasloginid oid,
    rasallowedat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    rasallowedby name NOT NULL DEFAULT CURRENT_USER
);
CREATE TABLE pgagent.pga_isolation (
    isoid boolean NOT NULL PRIMARY KEY DEFAULT true
        CONSTRAINT pga_isolation_isoid_check CHECK (isoid),
    isosince timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    isoby name NOT NULL DEFAULT CURRENT_USER
);
CREATE TABLE pgagent.pga_jobrequest (
    jrqid bigint NOT NULL PRIMARY KEY,
    jrqjobid integer NOT NULL
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jrqat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jrqby name NOT NULL DEFAULT CURRENT_USER,
    jrqvia text NOT NULL,
    jrqfromstep integer,
    jrqinput jsonb,
    jrqrestartof bigint
);
-- A job's wishes, the oldest first.
CREATE INDEX pga_jobrequest_jobid ON pgagent.pga_jobrequest (jrqjobid, jrqat, jrqid);
CREATE TABLE pgagent.pga_jobchange (
    jchid bigserial NOT NULL PRIMARY KEY,
    -- Without a reference: the changes of a job outlive it.
    jchjobid integer NOT NULL,
    jchat timestamptz NOT NULL DEFAULT clock_timestamp(),
    jchby name NOT NULL DEFAULT CURRENT_USER,
    jchlogin name NOT NULL DEFAULT SESSION_USER,
    jchobject text NOT NULL
        CONSTRAINT pga_jobchange_jchobject_check CHECK (jchobject IN ('job', 'step', 'schedule', 'exception')),
    jchobjectid integer NOT NULL,
    jchaction text NOT NULL
        CONSTRAINT pga_jobchange_jchaction_check CHECK (jchaction IN ('insert', 'update', 'delete')),
    jchname text NOT NULL,
    jchdropped boolean NOT NULL DEFAULT false,
    jchowner name,
    jchownerid oid,
    jchold jsonb,
    jchnew jsonb
);
CREATE INDEX pga_jobchange_jobid ON pgagent.pga_jobchange (jchjobid, jchid);
-- They take an owner now, or a role to run as, or what to do if it is there, or is not.
DROP FUNCTION IF EXISTS pgagent.create_job(text, text, text, text, boolean, interval, text, text, interval, interval, integer);
DROP FUNCTION IF EXISTS pgagent.alter_job(bigint, text, text, text, text, boolean, text, text, text, text, text, interval, text, text, interval, interval, integer);
DROP FUNCTION IF EXISTS pgagent.alter_job(text, text, text, text, text, boolean, text, text, text, text, text, interval, text, text, interval, interval, integer);
DROP FUNCTION IF EXISTS pgagent.add_step(bigint, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[]);
DROP FUNCTION IF EXISTS pgagent.add_step(text, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[]);
DROP FUNCTION IF EXISTS pgagent.drop_job(bigint);
DROP FUNCTION IF EXISTS pgagent.drop_job(text);
DROP FUNCTION IF EXISTS pgagent.add_schedule(bigint, text, text, text, timestamptz, timestamptz, boolean, text);
DROP FUNCTION IF EXISTS pgagent.add_schedule(text, text, text, text, timestamptz, timestamptz, boolean, text);
DROP FUNCTION IF EXISTS pgagent.add_exception(bigint, date, time, text);
DROP FUNCTION IF EXISTS pgagent.add_exception(text, date, time, text);
-- It says of which job.
DROP FUNCTION IF EXISTS pgagent.next_runs(text, text, text, timestamptz, timestamptz, integer);
DROP FUNCTION IF EXISTS pgagent.pga_refuse_username(text);
-- pg_cron's functions have its signatures now, and further arguments are of types of ours.
CREATE DOMAIN pgagent.pga_text AS text;
CREATE DOMAIN pgagent.pga_boolean AS boolean;
CREATE DOMAIN pgagent.pga_bigint AS bigint;
DROP FUNCTION IF EXISTS pgagent.schedule(text, text, text, text, text, boolean);
CREATE INDEX pga_jobchange_at ON pgagent.pga_jobchange (jchat);
-- Triggers write it with the rights of whoever edits a job; that of this table sees to it
-- that nobody writes what is not so.
GRANT INSERT ON pgagent.pga_jobchange TO PUBLIC;
GRANT USAGE ON SEQUENCE pgagent.pga_jobchange_jchid_seq TO PUBLIC;

-- Limits of classes, and pauses.
ALTER TABLE pgagent.pga_jobclass ADD COLUMN jcllimit integer
    CONSTRAINT pga_jobclass_jcllimit_check CHECK (jcllimit > 0);
CREATE TABLE pgagent.pga_jobpause (
    jpsid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    jpsjobid integer UNIQUE
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jpsuntil timestamptz NOT NULL DEFAULT 'infinity',
    jpsreason text NOT NULL DEFAULT '',
    jpssince timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jpsby name NOT NULL DEFAULT CURRENT_USER
);
CREATE UNIQUE INDEX pga_jobpause_all ON pgagent.pga_jobpause ((jpsjobid IS NULL)) WHERE jpsjobid IS NULL;
CREATE TABLE pgagent.pga_jobcaution (
    jcaid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    jcafor text NOT NULL
        CONSTRAINT pga_jobcaution_jcafor_check CHECK (jcafor IN ('aside', 'pause', 'limit')),
    jcaat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- What is told of a job, and what is known of its runs.
ALTER TABLE pgagent.pga_job
    ADD COLUMN joblateafter interval DEFAULT '5 minutes'
        CONSTRAINT pga_job_joblateafter_check CHECK (joblateafter > interval '0'),
    ADD COLUMN joblongafter interval
        CONSTRAINT pga_job_joblongafter_check CHECK (joblongafter > interval '0'),
    ADD COLUMN joblongfactor double precision
        CONSTRAINT pga_job_joblongfactor_check CHECK (joblongfactor >= 1 AND joblongfactor < 'infinity'),
    ADD COLUMN jobdisableafter integer
        CONSTRAINT pga_job_jobdisableafter_check CHECK (jobdisableafter > 0),
    ADD COLUMN jobfailures integer NOT NULL DEFAULT 0,
    ADD COLUMN joblastsuccess timestamptz,
    ADD COLUMN jobsucceeded bigint NOT NULL DEFAULT 0,
    ADD COLUMN jobfailed bigint NOT NULL DEFAULT 0,
    ADD COLUMN jobaborted bigint NOT NULL DEFAULT 0,
    ADD COLUMN jobempty bigint NOT NULL DEFAULT 0;
CREATE INDEX pga_joblog_jlgstart ON pgagent.pga_joblog (jlgstart);
ALTER TABLE pgagent.pga_jobskip ADD COLUMN jsktotal bigint NOT NULL DEFAULT 0;
DROP FUNCTION IF EXISTS pgagent.pga_job_set(bigint, interval, text, text, interval, interval, integer);

-- What the log knows of the runs so far, in two passes, whatever is known of its size. The
-- jobs get it by a change of the columns' types, which is none: no trigger, rule or policy
-- has a say in that, and nobody is woken. The helpers are gone before anybody sees them.
CREATE TABLE pgagent.pga_figures AS
WITH total AS MATERIALIZED (
    SELECT l.jlgjobid, max(l.jlgid) FILTER (WHERE l.jlgstatus = 's') AS last_success,
           count(*) FILTER (WHERE l.jlgstatus = 's') AS s, count(*) FILTER (WHERE l.jlgstatus = 'f') AS f,
           count(*) FILTER (WHERE l.jlgstatus = 'd') AS d, count(*) FILTER (WHERE l.jlgstatus = 'i') AS i
    FROM pgagent.pga_joblog AS l GROUP BY l.jlgjobid
)
SELECT t.jlgjobid AS job_id, t.s, t.f, t.d, t.i,
       count(l.jlgid) FILTER (WHERE l.jlgid > t.last_success OR t.last_success IS NULL)::integer AS failures,
       -- Times near the ends of the calendar can't be added to.
       max(l.jlgstart + CASE WHEN l.jlgduration BETWEEN interval '0' AND interval '10000 years' THEN l.jlgduration ELSE interval '0' END)
           FILTER (WHERE l.jlgid = t.last_success
                         AND l.jlgstart BETWEEN '0001-01-01 00:00 UTC' AND '10000-01-01 00:00 UTC') AS succeeded_at
FROM total AS t
LEFT JOIN pgagent.pga_joblog AS l ON l.jlgjobid = t.jlgjobid AND (l.jlgstatus IN ('f', 'd') OR l.jlgid = t.last_success)
GROUP BY t.jlgjobid, t.s, t.f, t.d, t.i;
CREATE FUNCTION pgagent.pga_figure(p_job_id integer) RETURNS pgagent.pga_figures LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT f.* FROM pgagent.pga_figures AS f WHERE f.job_id = p_job_id $$;
ALTER TABLE pgagent.pga_figures ADD PRIMARY KEY (job_id);
ALTER TABLE pgagent.pga_job
    ALTER COLUMN jobfailures TYPE integer USING COALESCE((pgagent.pga_figure(jobid)).failures, 0),
    ALTER COLUMN joblastsuccess TYPE timestamptz USING (pgagent.pga_figure(jobid)).succeeded_at,
    ALTER COLUMN jobsucceeded TYPE bigint USING COALESCE((pgagent.pga_figure(jobid)).s, 0),
    ALTER COLUMN jobfailed TYPE bigint USING COALESCE((pgagent.pga_figure(jobid)).f, 0),
    ALTER COLUMN jobaborted TYPE bigint USING COALESCE((pgagent.pga_figure(jobid)).d, 0),
    ALTER COLUMN jobempty TYPE bigint USING COALESCE((pgagent.pga_figure(jobid)).i, 0);
DROP FUNCTION pgagent.pga_figure(integer);
DROP TABLE pgagent.pga_figures;

-- Alerts.
CREATE TABLE pgagent.pga_alert (
    altid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    altname text NOT NULL UNIQUE,
    altchannel text NOT NULL,
    altevents text[] NOT NULL
        DEFAULT '{failed,recovered,aborted,late,long,disabled,no_runner,unarmed,set_aside}',
    altjobid integer
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    altclassid integer
        REFERENCES pgagent.pga_jobclass (jclid) ON DELETE CASCADE ON UPDATE RESTRICT,
    altstartjobid integer
        REFERENCES pgagent.pga_job (jobid) ON DELETE SET NULL ON UPDATE RESTRICT,
    altafterfailures integer NOT NULL DEFAULT 1
        CONSTRAINT pga_alert_altafterfailures_check CHECK (altafterfailures > 0),
    altrepeatevery interval
        CONSTRAINT pga_alert_altrepeatevery_check CHECK (altrepeatevery > interval '0'),
    altenabled boolean NOT NULL DEFAULT true,
    altcreated timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    altby name NOT NULL DEFAULT CURRENT_USER,
    alttest uuid
);
CREATE INDEX pga_alert_job ON pgagent.pga_alert (altjobid) WHERE altjobid IS NOT NULL;
CREATE INDEX pga_alert_startjob ON pgagent.pga_alert (altstartjobid) WHERE altstartjobid IS NOT NULL;
CREATE TABLE pgagent.pga_alertstate (
    alsid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    alsaltid uuid NOT NULL
        REFERENCES pgagent.pga_alert (altid) ON DELETE CASCADE ON UPDATE RESTRICT,
    alsjobid integer
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    alskind text NOT NULL
        CONSTRAINT pga_alertstate_alskind_check CHECK (alskind IN (
            'failed', 'late', 'long', 'no_runner', 'unarmed', 'set_aside', 'skipped', 'disabled')),
    alssince timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    alsended timestamptz,
    alsevent text NOT NULL,
    alsrunid bigint,
    alsmessage text,
    alstold timestamptz,
    alsrepeats integer NOT NULL DEFAULT 0,
    alshour timestamptz,
    alscount integer NOT NULL DEFAULT 0,
    alschanges jsonb NOT NULL DEFAULT '{}',
    UNIQUE (alsaltid, alsjobid, alskind)
);
CREATE UNIQUE INDEX pga_alertstate_all ON pgagent.pga_alertstate (alsaltid, alskind) WHERE alsjobid IS NULL;
CREATE INDEX pga_alertstate_job ON pgagent.pga_alertstate (alsjobid);
CREATE TABLE pgagent.pga_alertevent (
    aleid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    aleevent text NOT NULL
        CONSTRAINT pga_alertevent_aleevent_check CHECK (aleevent IN (
            'failed', 'recovered', 'aborted', 'late', 'skipped', 'long', 'disabled', 'no_runner', 'unarmed', 'set_aside',
            'flapping', 'test')),
    aleat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    alealtid uuid NOT NULL,
    alealert text NOT NULL,
    alejobid integer
        REFERENCES pgagent.pga_job (jobid) ON DELETE SET NULL ON UPDATE RESTRICT,
    alejob text,
    alerunid bigint,
    aledata jsonb NOT NULL DEFAULT '{}',
    alestate text NOT NULL DEFAULT 'pending'
        CONSTRAINT pga_alertevent_alestate_check CHECK (alestate IN ('pending', 'sending', 'sent', 'failed', 'silenced')),
    alemessage uuid,
    aleattempts integer NOT NULL DEFAULT 0,
    aledue timestamptz,
    alelease timestamptz,
    alesent timestamptz,
    aleerror text
);
CREATE INDEX pga_alertevent_at ON pgagent.pga_alertevent (aleat);
CREATE INDEX pga_alertevent_job ON pgagent.pga_alertevent (alejobid) WHERE alejobid IS NOT NULL;
CREATE INDEX pga_alertevent_due ON pgagent.pga_alertevent (aledue) WHERE alestate IN ('pending', 'sending');
CREATE INDEX pga_alertevent_message ON pgagent.pga_alertevent (alemessage) WHERE alemessage IS NOT NULL;
CREATE TABLE pgagent.pga_jobsilence (
    jsiid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    jsijobid integer UNIQUE
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jsiuntil timestamptz NOT NULL DEFAULT 'infinity',
    jsireason text NOT NULL DEFAULT '',
    jsisince timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jsiby name NOT NULL DEFAULT CURRENT_USER
);
CREATE UNIQUE INDEX pga_jobsilence_all ON pgagent.pga_jobsilence ((jsijobid IS NULL)) WHERE jsijobid IS NULL;
