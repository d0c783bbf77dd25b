-- schedule.sql: when a job runs, and when it does not.

CREATE TABLE pgagent.pga_schedule (
    jscid serial NOT NULL PRIMARY KEY,
    jscjobid integer NOT NULL
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jscname text NOT NULL,
    jscdesc text NOT NULL DEFAULT '',
    jscenabled boolean NOT NULL DEFAULT true,
    jscstart timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jscend timestamptz,
    jscminutes boolean[60] NOT NULL
        DEFAULT '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}'
        CONSTRAINT pga_schedule_jscminutes_size CHECK (array_upper(jscminutes, 1) = 60),
    jschours boolean[24] NOT NULL
        DEFAULT '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}'
        CONSTRAINT pga_schedule_jschours_size CHECK (array_upper(jschours, 1) = 24),
    jscweekdays boolean[7] NOT NULL
        DEFAULT '{f,f,f,f,f,f,f}'
        CONSTRAINT pga_schedule_jscweekdays_size CHECK (array_upper(jscweekdays, 1) = 7),
    jscmonthdays boolean[32] NOT NULL
        DEFAULT '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}'
        CONSTRAINT pga_schedule_jscmonthdays_size CHECK (array_upper(jscmonthdays, 1) = 32),
    jscmonths boolean[12] NOT NULL
        DEFAULT '{f,f,f,f,f,f,f,f,f,f,f,f}'
        CONSTRAINT pga_schedule_jscmonths_size CHECK (array_upper(jscmonths, 1) = 12),
    -- Since 5.0.0; timezone.sql adds one more.
    jscevery interval
        CONSTRAINT pga_schedule_jscevery_check CHECK (jscevery >= interval '1 second'),
    jscat timestamptz
        CONSTRAINT pga_schedule_jscat_check CHECK (isfinite(jscat)),
    jscreboot boolean NOT NULL DEFAULT false,
    CONSTRAINT pga_schedule_kind_check
        CHECK (num_nonnulls(jscevery, jscat, nullif(jscreboot, false)) <= 1)
);
CREATE INDEX pga_jobschedule_jobid ON pgagent.pga_schedule (jscjobid);

CREATE TABLE pgagent.pga_exception (
    jexid serial NOT NULL PRIMARY KEY,
    jexscid integer NOT NULL
        REFERENCES pgagent.pga_schedule (jscid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jexdate date,
    jextime time
);
CREATE INDEX pga_exception_jexscid ON pgagent.pga_exception (jexscid);
-- Per schedule: two schedules may keep the same holiday.
CREATE UNIQUE INDEX pga_exception_datetime ON pgagent.pga_exception (jexscid, jexdate, jextime);

