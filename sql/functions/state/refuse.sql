-- refuse.sql: what may be written into the tables that people edit.
--
-- The essence of an error stands in MESSAGE and DETAIL: pgAdmin shows no HINT.
--
-- Functions that refuse are STABLE: so their callers can be, and no call is made beforehand,
-- as one of an IMMUTABLE function with constants would.

CREATE OR REPLACE FUNCTION pgagent.pga_refuse(p_where text, p_problem text, p_detail text)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = format('pgagent: %s: %s', p_where, p_problem),
        ERRCODE = 'invalid_parameter_value', DETAIL = p_detail;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_refuse(text, text, text) IS
'Raises 22023 (invalid_parameter_value): pgagent: TABLE.COLUMN: PROBLEM, with the detail.';

-- A runner deals with all jobs that are due in one statement. PostgreSQL refuses one with a
-- row, or an array, of more than a gigabyte: one job could hold up all others.
CREATE OR REPLACE FUNCTION pgagent.pga_check_size(
    p_where text, p_size integer, p_limit integer, p_unit text
)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_size > p_limit THEN
        PERFORM pgagent.pga_refuse(p_where, format('has %s %s', p_size, p_unit),
            format('Allowed are %s at most.', p_limit));
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_size(text, integer, integer, text) IS
'Raises 22023 if what stands in p_where is longer, in characters or bytes, than p_limit.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_id(p_where text, p_id integer, p_sequence text)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Whoever may write all columns of jobs, as a restore does, knows what he does.
    IF NOT has_column_privilege('pgagent.pga_job'::regclass, 'jobagentid'::text, 'INSERT'::text)
       AND has_sequence_privilege(p_sequence, 'USAGE'::text)
       AND p_id > COALESCE(pg_sequence_last_value(p_sequence::regclass), 0) THEN
        PERFORM pgagent.pga_refuse(p_where, format('%s is still to be drawn', p_id),
            'Left out, it is the next number; one that was a deleted row''s is possible, too. With a later one somebody else''s row could not be added.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_id(text, integer, text) IS
'Raises 22023 if an editor has made up an id in p_where that its sequence will come to.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_field(
    p_column text, p_field boolean[], p_size integer
)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_where CONSTANT text := 'pga_schedule.' || p_column;
BEGIN
    IF p_field IS NULL THEN
        RETURN;     -- the column's NOT NULL says it
    ELSIF array_ndims(p_field) > 1 THEN
        PERFORM pgagent.pga_refuse(v_where, 'must be one-dimensional, has ' || array_ndims(p_field) || ' dimensions',
            format('%s booleans in one dimension are wanted.', p_size));
    ELSIF cardinality(p_field) <> p_size THEN
        PERFORM pgagent.pga_refuse(v_where, format('has %s elements, %s wanted', cardinality(p_field), p_size),
            format('The value is %s, with the lower bound %s.', p_field, COALESCE(array_lower(p_field, 1), 1)));
    ELSIF array_lower(p_field, 1) <> 1 THEN
        PERFORM pgagent.pga_refuse(v_where, 'lower bound must be 1, is ' || array_lower(p_field, 1),
            'Elements are numbered from 1.'::text);
    ELSIF array_position(p_field, NULL) IS NOT NULL THEN
        PERFORM pgagent.pga_refuse(v_where, format('element %s is NULL', array_position(p_field, NULL)),
            format('%s booleans, true or false, are wanted.', p_size));
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_field(text, boolean[], integer) IS
'Raises 22023 unless the array in column p_column of pga_schedule has p_size elements, numbered from 1, none NULL.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_timezone(
    p_timezone text, p_where text DEFAULT 'pga_schedule.jsctimezone'
)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_known boolean := true;
BEGIN
    IF upper(p_timezone) IN ('UTC', 'GMT', 'UCT', 'ZULU')
       OR strpos(p_timezone, '/') = 0 AND p_timezone = pgagent.pga_default_timezone() THEN
        RETURN;     -- the default was the administrator's choice
    END IF;
    -- PostgreSQL also takes POSIX specifications, in which UTC+3 lies west of Greenwich.
    -- They have a digit; of the names few do, and listing those takes 30 ms.
    IF p_timezone ~ '[^A-Za-z_/+-]' THEN
        v_known := length(p_timezone) <= 100
                   AND EXISTS (SELECT FROM pg_timezone_names AS z WHERE z.name = p_timezone);
    ELSE
        BEGIN
            PERFORM now() AT TIME ZONE p_timezone;
        EXCEPTION WHEN invalid_parameter_value THEN
            v_known := false;
        END;
    END IF;

    IF NOT v_known THEN
        PERFORM pgagent.pga_refuse(p_where, format('unknown time zone "%s"', left(p_timezone, 200)),
            'A name of the IANA time zone database is wanted, such as Europe/Berlin or UTC; the view pg_timezone_names lists them.'::text);
    ELSIF strpos(p_timezone, '/') = 0 AND EXISTS (
        SELECT FROM pg_timezone_abbrevs AS a WHERE a.abbrev = upper(p_timezone)
    ) THEN
        PERFORM pgagent.pga_refuse(p_where,
            format('"%s" is an abbreviation: one offset all the year round', p_timezone),
            'A name of the IANA time zone database is wanted, such as Europe/Berlin, which knows when clocks change.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_timezone(text, text) IS
'Raises 22023, for the place p_where, unless this is a name in the server''s IANA time zone database.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_check()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN pgagent.pga_schedule_image(NEW);     -- a dump of 5.0 has none
    END IF;
    IF NEW.jscid IS DISTINCT FROM OLD.jscid THEN
        PERFORM pgagent.pga_check_id('pga_schedule.jscid'::text, NEW.jscid, 'pgagent.pga_schedule_jscid_seq'::text);
    END IF;
    PERFORM pgagent.pga_check_size('pga_schedule.jscname'::text,
                CASE WHEN NEW.jscname IS DISTINCT FROM OLD.jscname THEN length(NEW.jscname) END, 1000000, 'characters'::text),
            pgagent.pga_check_size('pga_schedule.jscdesc'::text,
                CASE WHEN NEW.jscdesc IS DISTINCT FROM OLD.jscdesc THEN length(NEW.jscdesc) END, 1000000, 'characters'::text);
    IF cardinality(NEW.jscmonthdays) = 31 AND array_ndims(NEW.jscmonthdays) = 1 THEN
        NEW.jscmonthdays := NEW.jscmonthdays || false;     -- pgAdmin 8.5 left out the last day
    END IF;
    IF (array_dims(NEW.jscminutes), array_dims(NEW.jschours), array_dims(NEW.jscweekdays),
        array_dims(NEW.jscmonthdays), array_dims(NEW.jscmonths))
       IS DISTINCT FROM ('[1:60]', '[1:24]', '[1:7]', '[1:32]', '[1:12]')
       OR array_position(NEW.jscminutes || NEW.jschours || NEW.jscweekdays || NEW.jscmonthdays
                         || NEW.jscmonths, NULL) IS NOT NULL THEN
        PERFORM pgagent.pga_check_field('jscminutes'::text, NEW.jscminutes, 60),
                pgagent.pga_check_field('jschours'::text, NEW.jschours, 24),
                pgagent.pga_check_field('jscweekdays'::text, NEW.jscweekdays, 7),
                pgagent.pga_check_field('jscmonthdays'::text, NEW.jscmonthdays, 32),
                pgagent.pga_check_field('jscmonths'::text, NEW.jscmonths, 12);
    END IF;

    -- If somebody edits the fields, as pgAdmin does, they are to count.
    IF TG_OP = 'UPDATE'
       AND (NEW.jscminutes, NEW.jschours, NEW.jscweekdays, NEW.jscmonthdays, NEW.jscmonths)
           IS DISTINCT FROM
           (OLD.jscminutes, OLD.jschours, OLD.jscweekdays, OLD.jscmonthdays, OLD.jscmonths)
       AND pgagent.pga_schedule_kind(NEW) IS NOT DISTINCT FROM pgagent.pga_schedule_kind(OLD) THEN
        NEW := pgagent.pga_schedule_by_fields(NEW);
    END IF;
    IF TG_OP = 'UPDATE' AND (OLD.jscat IS NOT NULL OR OLD.jscreboot)
       AND pgagent.pga_schedule_kind(NEW) IS DISTINCT FROM pgagent.pga_schedule_kind(OLD) THEN
        IF NEW.jscend = OLD.jscend THEN
            NEW.jscend := (pgagent.pga_schedule_wished(OLD)).jscend;
        END IF;
        IF NEW.jscstart = OLD.jscstart THEN
            NEW.jscstart := (pgagent.pga_schedule_wished(OLD)).jscstart;
        END IF;
    END IF;
    NEW := pgagent.pga_schedule_image(NEW);

    IF NEW.jscstart >= '10000-01-01 00:00 UTC' THEN
        PERFORM pgagent.pga_refuse('pga_schedule.jscstart'::text,
            CASE WHEN isfinite(NEW.jscstart) THEN 'start later than the year 9999' ELSE 'start must be finite' END,
            format('The value is %s.', NEW.jscstart));
    ELSIF NEW.jscend = '-infinity' THEN
        PERFORM pgagent.pga_refuse('pga_schedule.jscend'::text, 'end before start'::text,
            format('The end is %s, the start %s.', NEW.jscend, NEW.jscstart));
    END IF;
    IF TG_OP = 'INSERT' OR NEW.jsctimezone IS DISTINCT FROM OLD.jsctimezone THEN
        PERFORM pgagent.pga_check_timezone(NEW.jsctimezone, 'pga_schedule.jsctimezone'::text);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_check() IS
'Trigger: refuses a malformed or oversized schedule with 22023; pads the 31 days of the month that pgAdmin 8.5 sends to 32. Keeps the image in the fields of a schedule that does not go by them; fields that somebody edits take over from an interval, one time or the start of an agent.';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_check()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NEW;
    END IF;
    IF NEW.jexid IS DISTINCT FROM OLD.jexid THEN
        PERFORM pgagent.pga_check_id('pga_exception.jexid'::text, NEW.jexid, 'pgagent.pga_exception_jexid_seq'::text);
    END IF;
    IF NEW.jexdate IS NULL AND NEW.jextime IS NULL THEN
        PERFORM pgagent.pga_refuse('pga_exception'::text, 'date or time wanted'::text,
            'An exception is a date (jexdate), a time of day (jextime) or both; here both are NULL.'::text);
    ELSIF NOT isfinite(NEW.jexdate) THEN
        PERFORM pgagent.pga_refuse('pga_exception.jexdate'::text, 'date must be finite'::text,
            format('The value is %s.', NEW.jexdate));
    ELSIF NEW.jextime = '24:00' THEN
        PERFORM pgagent.pga_refuse('pga_exception.jextime'::text, 'time out of range: 24:00:00'::text,
            'Midnight is 00:00; times go up to 23:59.'::text);
    ELSIF NEW.jextime <> date_trunc('minute', NEW.jextime)::time THEN
        RAISE NOTICE 'pgagent: pga_exception.jextime: % is taken as %, schedules have no seconds',
            NEW.jextime, date_trunc('minute', NEW.jextime)::time;
        NEW.jextime := date_trunc('minute', NEW.jextime)::time;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_exception_check() IS
'Trigger: refuses an exception that excepts nothing or no day of the calendar with 22023; cuts off seconds with a NOTICE.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_attempts(p_step pgagent.pga_jobstep)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wrong text;
BEGIN
    IF array_ndims(p_step.jstretryon) > 1 OR cardinality(p_step.jstretryon) > 100 THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstretryon'::text,
            format('has %s dimensions and %s elements', array_ndims(p_step.jstretryon), cardinality(p_step.jstretryon)),
            'Wanted are 100 reasons at most, in one dimension, such as {40001,connection}.'::text);
    END IF;
    SELECT r INTO v_wrong FROM unnest(p_step.jstretryon) AS r
    WHERE r IS NULL OR r !~ '^([0-9A-Z]{5}|[0-9A-Z]{2}|-?[0-9]{1,3}|connection|timeout|any)$' LIMIT 1;
    IF FOUND THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstretryon'::text, format('"%s" is no reason to try again', left(v_wrong, 200)),
            'Wanted are SQLSTATEs (40001) or their classes (40), exit codes (75, -9), connection, timeout, any.'::text);
    ELSIF p_step.jstmode NOT IN ('single', 'autocommit', 'atomic') THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstmode'::text, format('unknown mode "%s"', p_step.jstmode),
            'single, autocommit or atomic is wanted.'::text);
    ELSIF p_step.jstmode <> 'single' AND p_step.jstkind <> 's' THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstmode'::text, format('a %s step can''t be %s', (pgagent.pga_kind_of_step(p_step.jstkind::text)).word, p_step.jstmode),
            'autocommit and atomic are for SQL steps.'::text);
    ELSIF p_step.jstmode = 'atomic' AND (p_step.jstconnstr <> '' OR p_step.jstdbname <> current_database()) THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstmode'::text, 'an atomic step runs in the database of the jobs'::text,
            format('Its log row is in "%s", the step would be in "%s".', current_database(),
                   CASE p_step.jstconnstr WHEN '' THEN p_step.jstdbname::text ELSE 'another connection' END));
    ELSIF p_step.jstretries NOT BETWEEN 0 AND 1000 THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstretries'::text, format('%s is out of range', p_step.jstretries),
            'Allowed are 0 to 1000.'::text);
    ELSIF p_step.jstretrybackoff NOT BETWEEN 1 AND 100 THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstretrybackoff'::text, format('%s is out of range', p_step.jstretrybackoff),
            'Allowed are 1 (always the same delay) to 100.'::text);
    ELSIF p_step.jsttimeout <= interval '0' THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jsttimeout'::text, format('"%s" is not a span of time', p_step.jsttimeout),
            'Wanted is how long, such as 90 seconds, or NULL for no limit.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_attempts(pgagent.pga_jobstep) IS
'Raises 22023 unless mode, timeout and retries of this step are allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_has_password(p_conninfo text)
RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $1 LIKE '%password%' AND $1 ~ '(^|[^[:alnum:]_])(ssl)?password[[:space:]]*=[[:space:]]*(''[^'']|[^''[:space:]&])'
           OR $1 ~ '^[a-z]+://[^@/:]*:[^@/]+@'
$$;
COMMENT ON FUNCTION pgagent.pga_has_password(text) IS
'Whether a connection string of libpq holds a password, as a keyword or in a URI. It may take one inside another value for one.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_check()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_kind CONSTANT record := pgagent.pga_kind_of_step(NEW.jstkind::text);
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NEW;
    END IF;
    IF NEW.jstid IS DISTINCT FROM OLD.jstid THEN
        PERFORM pgagent.pga_check_id('pga_jobstep.jstid'::text, NEW.jstid, 'pgagent.pga_jobstep_jstid_seq'::text);
    END IF;
    PERFORM pgagent.pga_check_size('pga_jobstep.jstname'::text,
                CASE WHEN NEW.jstname IS DISTINCT FROM OLD.jstname THEN length(NEW.jstname) END, 1000000, 'characters'::text),
            pgagent.pga_check_size('pga_jobstep.jstdesc'::text,
                CASE WHEN NEW.jstdesc IS DISTINCT FROM OLD.jstdesc THEN length(NEW.jstdesc) END, 1000000, 'characters'::text),
            pgagent.pga_check_size('pga_jobstep.jstcode'::text,
                CASE WHEN NEW.jstcode IS DISTINCT FROM OLD.jstcode THEN octet_length(NEW.jstcode) END, 67108864, 'bytes'::text),
            pgagent.pga_check_size('pga_jobstep.jstconnstr'::text,
                CASE WHEN NEW.jstconnstr IS DISTINCT FROM OLD.jstconnstr THEN length(NEW.jstconnstr) END, 100000, 'characters'::text);
    IF v_kind.letter IS DISTINCT FROM NEW.jstkind THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstkind'::text, format('unknown kind "%s"', NEW.jstkind), v_kind.known);
    ELSIF NEW.jstonerror NOT IN ('f', 's', 'i') THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstonerror'::text, format('unknown answer to an error, "%s"', NEW.jstonerror),
            'f (fail), s (success) or i (ignore) is wanted.'::text);
    ELSIF NEW.jstkind = 's' AND NEW.jstdbname = '' AND NEW.jstconnstr = '' THEN
        PERFORM pgagent.pga_refuse('pga_jobstep'::text, 'database or connection string wanted'::text,
            format('The SQL step "%s" names neither (jstdbname, jstconnstr).', NEW.jstname));
    ELSIF NEW.jstkind <> 's' AND (NEW.jstdbname <> '' OR NEW.jstconnstr <> '') THEN
        PERFORM pgagent.pga_refuse('pga_jobstep'::text, format('a %s step has no database', v_kind.word),
            format('The step "%s" is of kind %s, yet jstdbname is "%s" and jstconnstr has %s characters.',
                   NEW.jstname, NEW.jstkind, NEW.jstdbname, length(NEW.jstconnstr)));
    END IF;
    PERFORM pgagent.pga_check_attempts(NEW);
    IF NEW.jstconnstr IS DISTINCT FROM OLD.jstconnstr AND pgagent.pga_has_password(NEW.jstconnstr) THEN
        RAISE NOTICE 'pgagent: the connection string of step "%" holds a password', left(NEW.jstname, 100)
            USING DETAIL = 'Whoever may read pga_jobstep or a dump of it can read the password.',
                  HINT = 'On the runner''s machine it can be kept in .pgpass, in a service (service=NAME), or in a file of the runner''s folder secrets (passfile=secrets/NAME).';
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_check() IS
'Trigger: refuses a malformed or oversized step, with 22023. Raises a NOTICE if a connection string with a password is stored.';

