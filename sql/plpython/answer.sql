-- answer.sql: what a function in Python can't do for itself: it answers in JSON, for
-- PL/Python would put "plpy.Error:" before a message, and a traceback under it.

CREATE OR REPLACE FUNCTION pgagent.pga_answer(p_answer jsonb)
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_answer ? 'error' THEN
        RAISE EXCEPTION 'pgagent: %', p_answer #>> '{error,message}'
            USING ERRCODE = p_answer #>> '{error,sqlstate}', DETAIL = p_answer #>> '{error,detail}';
    END IF;
    RETURN p_answer -> 'value';
END;
$$;
COMMENT ON FUNCTION pgagent.pga_answer(jsonb) IS
'The value that a helper in Python answers; raises the error that it answers instead, with its SQLSTATE and detail.';

