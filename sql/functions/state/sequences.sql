-- sequences.sql: ids that nobody has yet. Rows can come without their sequences: by
-- replication, a dump that was restored with triggers switched off, or a hand.

CREATE OR REPLACE FUNCTION pgagent.pga_sequence_gap(
    p_sequence text, p_table text, p_column text
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_largest bigint;
BEGIN
    -- An id in the second half of the range was made up by somebody: not much could follow.
    EXECUTE format(
        'SELECT max(t.%1$I) FROM pgagent.%2$I AS t
         WHERE t.%1$I <= (SELECT s.seqmax / 2 FROM pg_sequence AS s WHERE s.seqrelid = %3$L::regclass)',
        p_column, p_table, p_sequence
    ) INTO v_largest;
    RETURN greatest(v_largest - COALESCE(pg_sequence_last_value(p_sequence::regclass), 0), 0);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_sequence_gap(text, text, text) IS
'By how much a sequence is behind the largest id in a column of a table of ours; 0 if it is not.';

CREATE OR REPLACE FUNCTION pgagent.pga_sequences_forward()
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids record;
    v_gap bigint;
    v_forwarded integer := 0;
BEGIN
    FOR v_ids IN
        SELECT s.table_name, s.id, format('pgagent.%s_seq', s.drawn_for) AS sequence FROM (VALUES
            ('pga_joblog', 'jlgid', 'pga_joblog_jlgid'), ('pga_job', 'jobrunid', 'pga_joblog_jlgid'),
            ('pga_jobrequest', 'jrqid', 'pga_joblog_jlgid'),
            ('pga_jobsteplog', 'jslid', 'pga_jobsteplog_jslid'), ('pga_jobskip', 'jskid', 'pga_jobskip_jskid'),
            ('pga_job', 'jobid', 'pga_job_jobid'), ('pga_jobstep', 'jstid', 'pga_jobstep_jstid'),
            ('pga_schedule', 'jscid', 'pga_schedule_jscid'), ('pga_exception', 'jexid', 'pga_exception_jexid'),
            ('pga_jobclass', 'jclid', 'pga_jobclass_jclid')
        ) AS s (table_name, id, drawn_for)
    LOOP
        CONTINUE WHEN NOT has_sequence_privilege(v_ids.sequence, 'USAGE')
                      OR NOT has_column_privilege('pgagent.' || v_ids.table_name, v_ids.id, 'SELECT');
        CONTINUE WHEN pgagent.pga_sequence_gap(v_ids.sequence, v_ids.table_name, v_ids.id) = 0;
        -- Of two that put it right at once, the second would put it back.
        PERFORM pg_advisory_xact_lock(hashtextextended('pgagent.pga_sequences_forward', 0));
        v_gap := pgagent.pga_sequence_gap(v_ids.sequence, v_ids.table_name, v_ids.id);
        IF has_sequence_privilege(v_ids.sequence, 'UPDATE') THEN
            PERFORM setval(v_ids.sequence::regclass, COALESCE(pg_sequence_last_value(v_ids.sequence::regclass), 0) + v_gap)
            WHERE v_gap > 0;
        ELSE
            -- Whoever may do no more than draw numbers draws those that are taken.
            PERFORM nextval(v_ids.sequence::regclass)
            FROM generate_series(1::bigint, least(v_gap, 1000000::bigint));
        END IF;
        v_forwarded := v_forwarded + 1;
    END LOOP;
    RETURN v_forwarded;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_sequences_forward() IS
'Has the sequences of all our tables go on after the largest id that is stored, or promised by run_job(); those that are not behind are left alone, and so are those that the caller may not use. Without UPDATE on a sequence it draws a million numbers at most. Returns how many sequences were behind.';

CREATE OR REPLACE FUNCTION pgagent.pga_free_run_id(p_job_id integer)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run_id bigint;
BEGIN
    LOOP
        v_run_id := nextval('pgagent.pga_joblog_jlgid_seq');
        EXIT WHEN NOT EXISTS (SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = v_run_id)
                  AND NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobrunid = v_run_id AND j.jobid <> p_job_id)
                  AND NOT EXISTS (SELECT FROM pgagent.pga_jobrequest AS r WHERE r.jrqid = v_run_id);
        PERFORM pgagent.pga_sequences_forward();
    END LOOP;
    RETURN v_run_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_free_run_id(integer) IS
'Draws the id of a run of this job that no run has, and that is not promised.';
