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
    -- Since 5.0.0
    jscevery interval
        CONSTRAINT pga_schedule_jscevery_check CHECK (jscevery >= interval '1 second'),
    jscat timestamptz
        CONSTRAINT pga_schedule_jscat_check CHECK (isfinite(jscat)),
    jscreboot boolean NOT NULL DEFAULT false,
    jsctimezone text NOT NULL,      -- timezone.sql sets its default
    CONSTRAINT pga_schedule_kind_check
        CHECK (num_nonnulls(jscevery, jscat, nullif(jscreboot, false)) <= 1)
);
CREATE INDEX pga_jobschedule_jobid ON pgagent.pga_schedule (jscjobid);

COMMENT ON TABLE pgagent.pga_schedule IS
'Schedules of jobs: a job runs at the times of all its enabled schedules. A time matches if minute, hour, weekday, day and month all do; a field in which nothing is selected always matches.';
COMMENT ON COLUMN pgagent.pga_schedule.jscid IS 'Id of the schedule.';
COMMENT ON COLUMN pgagent.pga_schedule.jscjobid IS 'The job that it starts.';
COMMENT ON COLUMN pgagent.pga_schedule.jscname IS 'Its name.';
COMMENT ON COLUMN pgagent.pga_schedule.jscdesc IS 'A description.';
COMMENT ON COLUMN pgagent.pga_schedule.jscenabled IS 'Whether it starts the job.';
COMMENT ON COLUMN pgagent.pga_schedule.jscstart IS 'It does not start the job before this time; -infinity: no limit.';
COMMENT ON COLUMN pgagent.pga_schedule.jscend IS 'It does not start the job after this time; NULL: no limit.';
COMMENT ON COLUMN pgagent.pga_schedule.jscminutes IS 'The minutes of the hour, 0 to 59.';
COMMENT ON COLUMN pgagent.pga_schedule.jschours IS 'The hours of the day, 0 to 23. A schedule that selects all or none follows the clock when it is put forward or back; one that names its hours runs once for each.';
COMMENT ON COLUMN pgagent.pga_schedule.jscweekdays IS 'The days of the week, Sunday first.';
COMMENT ON COLUMN pgagent.pga_schedule.jscmonthdays IS 'The days of the month, 1 to 31; the 32nd is the last day, whichever it is.';
COMMENT ON COLUMN pgagent.pga_schedule.jscmonths IS 'The months, January first.';
COMMENT ON COLUMN pgagent.pga_schedule.jscevery IS 'If set, the schedule starts the job at jscstart and then at this interval, whatever the fields select; a change of the fields empties it.';
COMMENT ON COLUMN pgagent.pga_schedule.jscat IS 'If set, the schedule starts the job once, at this time, and is then disabled; a change of the fields empties it.';
COMMENT ON COLUMN pgagent.pga_schedule.jscreboot IS 'If true, the schedule starts the job whenever an agent starts; a change of the fields resets it.';
COMMENT ON COLUMN pgagent.pga_schedule.jsctimezone IS 'The IANA time zone in which the fields and the exceptions are meant. The default was taken from the database''s setting when this column was created.';
COMMENT ON CONSTRAINT pga_schedule_kind_check ON pgagent.pga_schedule IS 'Fields, an interval, one time or the start of an agent: a schedule is of one kind.';

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

COMMENT ON TABLE pgagent.pga_exception IS
'Exceptions: when a schedule does not start its job although its fields match.';
COMMENT ON COLUMN pgagent.pga_exception.jexid IS 'Id of the exception.';
COMMENT ON COLUMN pgagent.pga_exception.jexscid IS 'The schedule.';
COMMENT ON COLUMN pgagent.pga_exception.jexdate IS 'The date, in the schedule''s time zone; NULL: every day.';
COMMENT ON COLUMN pgagent.pga_exception.jextime IS 'The time of day, to the minute; NULL: the whole day.';
COMMENT ON INDEX pgagent.pga_exception_datetime IS 'No exception twice in one schedule; two schedules may have the same one.';

