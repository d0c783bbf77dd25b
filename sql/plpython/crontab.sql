-- crontab.sql: taking over the jobs of cron(8).

CREATE FUNCTION pgagent.import_crontab(
    crontab text, dry_run boolean DEFAULT true, timezone text DEFAULT NULL,
    prefix text DEFAULT 'crontab'
)
RETURNS TABLE (line integer, entry text, job text, schedule text, result text) LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
-- include refusal.py
-- include crontab.py
def ask(query, types, values):
    return plpy.execute(plpy.prepare(query, types), values)

dry = dry_run is not False
problems, rows, entries = [], [], []
try:
    lines = read_crontab(crontab or "")
except RefusalError as e:
    plpy.error(f"pgagent: crontab: {e}", detail=e.detail, sqlstate="22023")
for it in lines:
    if isinstance(it, Other):
        rows.append((it.line, it.text, None, None, it.result))
        if it.result.startswith("problem: "):
            problems.append((it.line, it.result[9:]))
        continue
    name = f"{prefix or 'crontab'} line {it.line}"
    zone = it.timezone or timezone
    try:
        (text,) = (row["text"] for row in ask(
            "SELECT string_agg(pgagent.pga_schedule_text(p), '; ') AS text"
            " FROM pgagent.pga_schedule_parsed($1, $2, now()) AS p", ["text", "text"], [it.schedule, zone]))
        present = ask("""
            SELECT bool_or(s.jstcode = $2 AND c.text = $3) AS same
            FROM pgagent.pga_job AS j
            LEFT JOIN pgagent.pga_jobstep AS s ON s.jstjobid = j.jobid
            CROSS JOIN LATERAL (SELECT string_agg(pgagent.pga_schedule_text(p), '; ' ORDER BY p.jscid) AS text
                                FROM pgagent.pga_schedule AS p WHERE p.jscjobid = j.jobid) AS c
            WHERE j.jobname = $1 HAVING count(*) > 0""", ["text"] * 3, [name, it.script, text])
        if present:
            result = "left alone: there is a job of this name"
            if not present[0]["same"]:
                result += ", which does something else"
            rows.append((it.line, it.text, name, text, result))
            continue
        entries.append((name, zone, it))
        rows.append((it.line, it.text, name, text, "would become a job" if dry else "has become a job"))
    except plpy.SPIError as e:
        problems.append((it.line, str(e).split("\n")[0]))
        rows.append((it.line, it.text, name, None, f"problem: {problems[-1][1]}"))
if dry:
    return rows
if problems:
    plpy.error(f"pgagent: crontab: line {problems[0][0]}: {problems[0][1]}", sqlstate="22023",
               detail=f"{len(problems)} lines can't be taken over, and no job was made; a dry run lists them.")
for name, zone, it in entries:
    ask("SELECT pgagent.pga_job_make($1, $2, 'batch'::text, $3, NULL::text, $4, true)", ["text"] * 4,
        [name, it.schedule, it.script, zone])
return rows
$python$;
REVOKE ALL ON FUNCTION pgagent.import_crontab(text, boolean, text, text) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.import_crontab(text, boolean, text, text) IS
'Takes over a user''s crontab (no column with user names): each line becomes a job with a batch step, named by the prefix and the number of its line; variables are set in the scripts, CRON_TZ is heeded, % begins the standard input. Returns what each line becomes; a dry run, the default, makes nothing. A job whose name exists already is left alone, and it is said if that does something else. Raises 22023 if a line can''t be taken over; then no job is made; and for more than a million characters. Not for PUBLIC. Example: SELECT * FROM pgagent.import_crontab(''30 2 * * 1-5 /usr/local/bin/backup'').';

