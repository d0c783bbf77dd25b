-- pg_cron.sql: taking over the jobs of the extension pg_cron.

CREATE FUNCTION pgagent.import_pg_cron(dry_run boolean DEFAULT true, all_users boolean DEFAULT false)
RETURNS TABLE (cron_jobid bigint, job text, schedule text, database text, result text)
LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
def ask(query, types=(), values=()):
    return plpy.execute(plpy.prepare(query, list(types)), list(values))

# Not just any table of that name: its owner would have his commands run by ours.
if not ask("SELECT 1 FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid"
           " AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'pg_cron'"
           " WHERE d.classid = 'pg_class'::regclass AND d.objid = to_regclass('cron.job')"):
    plpy.error("pgagent: import_pg_cron: there is no table cron.job of the extension pg_cron", sqlstate="42P01",
               detail="It is in the database that cron.database_name says.")
dry = dry_run is not False
zone = ask("SELECT COALESCE(nullif(current_setting('cron.timezone', true), ''), 'GMT') AS zone")[0]["zone"]
rows, problems, names = [], [], set()
for it in ask("SELECT jobid, schedule, command, nodename, database, username, active, jobname,"
              " username <> current_user AS foreign_user FROM cron.job ORDER BY jobid"):
    name = it["jobname"] or f"pg_cron job {it['jobid']}"
    if name in names:       # two users of pg_cron can have jobs of one name
        name = f"{name} ({it['username']})"
    names.add(name)
    if ask("SELECT 1 FROM pgagent.pga_job WHERE jobname = $1", ["text"], [name]):
        rows.append((it["jobid"], name, it["schedule"], it["database"], "left alone: there is a job of this name"))
        continue
    notes = [] if it["active"] else ["disabled, as it was"]
    differs = []
    if it["foreign_user"] and not all_users:
        rows.append((it["jobid"], name, it["schedule"], it["database"],
                     f"left alone: it ran as {it['username']}, and would run with the login of the runner"))
        continue
    if it["foreign_user"]:
        notes.append(f"runs with the login of the runner, no longer as {it['username']}")
    if it["nodename"] not in ("localhost", "", "127.0.0.1", "::1") and not it["nodename"].startswith("/"):
        differs.append(f"disabled: it would run on the runner's server, no longer on {it['nodename']}")
    active = it["active"] and not differs
    try:
        with plpy.subtransaction():
            ask("SELECT pgagent.pga_job_make($1, $2, 'sql'::text, $3, $4, $5, $6)", ["text"] * 5 + ["boolean"],
                [name, it["schedule"], it["command"], it["database"], zone, active])
            if dry:
                raise InterruptedError
    except InterruptedError:
        pass
    except plpy.SPIError as e:
        problems.append((it["jobid"], str(e).split("\n")[0]))
        rows.append((it["jobid"], name, it["schedule"], it["database"], f"problem: {problems[-1][1]}"))
        continue
    done = "would become a job" if dry else "has become a job"
    rows.append((it["jobid"], name, it["schedule"], it["database"], "; ".join([done, *notes, *differs])))
if problems and not dry:
    plpy.error(f"pgagent: import_pg_cron: job {problems[0][0]}: {problems[0][1]}", sqlstate="22023",
               detail=f"{len(problems)} jobs can't be taken over, and none was; a dry run lists them.")
return rows
$python$;
REVOKE ALL ON FUNCTION pgagent.import_pg_cron(boolean, boolean) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.import_pg_cron(boolean, boolean) IS
'Takes over the jobs of pg_cron in this database: cron.job, with their schedules in the zone of cron.timezone. Returns what each becomes, and what is different; a dry run, the default, makes nothing. Jobs of other users are left alone, for they would run with the login of the runner, unless all_users is true; a job of another server is made disabled. A job is named as it was (with its user, where two users had one name), and one whose name exists already is left alone too, so that a second call doubles nothing; pg_cron''s own jobs are not touched: unschedule them when all is well. Raises 42P01 if there is no pg_cron, 22023 if a job can''t be taken over; then none is. Not for PUBLIC. Example: SELECT * FROM pgagent.import_pg_cron().';
