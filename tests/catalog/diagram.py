"""The state diagrams of docs/design.md, and what the functions do instead.

A transition is (thing, from, to, function). The function is the one that writes the row:
the innermost of the schema pgagent. Direct writes of people, pgAdmin and pgAgent's own
daemon are no transitions of ours, and neither are deletions by foreign keys.
"""

import re

from support import ROOT

PAGE = ROOT / "docs/design.md"

# Of each thing: its table, the columns that say how it stands, and what they say of a
# row p_row. An agent is there or not.
THINGS = {
    "agent": ("pga_jobagent", "jagpid", "'registered'"),
    "job": (
        "pga_job",
        "jobagentid|jobrunid",
        """CASE WHEN p_row ->> 'jobagentid' IS NOT NULL THEN 'held'
                WHEN p_row ->> 'jobrunid' IS NOT NULL THEN 'promised' ELSE 'free' END""",
    ),
    "run": ("pga_joblog", "jlgstatus", "p_row ->> 'jlgstatus'"),
    "step": ("pga_jobsteplog", "jslstatus", "p_row ->> 'jslstatus'"),
    "event": ("pga_alertevent", "alestate", "p_row ->> 'alestate'"),
}

# SECURITY DEFINER, because roles that move a thing may not write the observer's table.
OBSERVER = """
CREATE FUNCTION public.{thing}_state(p_row jsonb) RETURNS text LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$ SELECT {state} $$;

CREATE FUNCTION public.observe_{thing}() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_stack text;
    v_function text;
    v_before text := '[*]';
    v_after text := '[*]';
BEGIN
    GET DIAGNOSTICS v_stack = PG_CONTEXT;
    v_function := substring(v_stack FROM '(?:function pgagent[.]|SQL function ")(\\w+)');
    IF TG_OP = 'DELETE' AND '{thing}' IN ('run', 'step') THEN
        -- A foreign key's? To ask is to lock the table of jobs: only if need be.
        PERFORM FROM pgagent.pga_job WHERE jobid = (to_jsonb(OLD) ->> 'jlgjobid')::integer;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        v_before := public.{thing}_state(to_jsonb(OLD));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        v_after := public.{thing}_state(to_jsonb(NEW));
    END IF;
    IF v_function IS NULL AND TG_OP = 'INSERT' AND pgagent.pga_restoring() THEN
        v_function := '{table}_trigger';
    END IF;
    INSERT INTO public.transition
    SELECT '{thing}', v_before, v_after, v_function
    WHERE v_function IS NOT NULL AND v_before <> v_after;
    RETURN NULL;
END;
$$;

CREATE TRIGGER observe AFTER INSERT OR UPDATE OR DELETE ON pgagent.{table}
    FOR EACH ROW EXECUTE FUNCTION public.observe_{thing}();
"""

BODIES = """
SELECT proname, regexp_replace(prosrc, '--[^\n]*', '', 'g')
FROM pg_proc WHERE pronamespace = 'pgagent'::regnamespace
"""


def drawn(page=None):
    """Return the transitions that the diagrams of the page show."""
    diagrams = re.findall(
        r"```mermaid\nstateDiagram-v2\n *%% (\w+)\n(.*?)```",
        PAGE.read_text() if page is None else page,
        re.DOTALL,
    )
    return {
        (thing, before, after, function)
        for thing, diagram in diagrams
        for before, after, functions in re.findall(
            r"^ *(\S+) --> (\S+): (.+)$", diagram, re.MULTILINE
        )
        for function in functions.split(", ")
    }


def observe(conn):
    """Have every transition noted that happens in this database from now on."""
    conn.execute(
        "CREATE TABLE public.transition (thing text, before text, after text, by text)"
    )
    for thing, (table, _, state) in THINGS.items():
        statements = OBSERVER.replace("{thing}", thing).replace("{table}", table)
        conn.execute(statements.replace("{state}", state))


def observed(conn):
    """Return the transitions that have been noted."""
    return set(conn.execute("SELECT DISTINCT * FROM public.transition").fetchall())


def writers(conn):
    """Return (thing, function) for each function whose text moves a thing."""
    return {
        (thing, name)
        for name, body in conn.execute(BODIES)
        for thing, (table, columns, _) in THINGS.items()
        if re.search(
            rf"INSERT INTO pgagent\.{table}\b|DELETE FROM pgagent\.{table}\b"
            rf"|(\bSET|,)\s+({columns})\s*=|NEW\.({columns})\s*:=",
            body,
        )
    }
