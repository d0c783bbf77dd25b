"""Taking over the jobs of the extension pg_cron."""

from typing import Any

# Not just any table of that name: its owner would have his commands run by ours.
IS_THERE = """
    SELECT 1 FROM pg_depend AS d
    JOIN pg_extension AS e
        ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    WHERE e.extname = 'pg_cron'
        AND d.classid = 'pg_class'::regclass AND d.objid = to_regclass('cron.job')"""
ZONE = """
    SELECT COALESCE(nullif(current_setting('cron.timezone', true), ''), 'GMT')
        AS zone"""
JOBS = """
    SELECT jobid, schedule, command, nodename, database, username, active, jobname,
        username <> current_user AS foreign_user, EXISTS (
            SELECT FROM pg_roles AS r
            WHERE r.rolname = username AND NOT pgagent.pga_is_mighty(r.oid)
        ) AS can_own
    FROM cron.job ORDER BY jobid"""
OWN = "SELECT pgagent.alter_job($1, owner => $2)"
AWAIT = "SELECT pgagent.pga_pg_cron_await()"
BUSY = "SELECT unnest(pgagent.pga_pg_cron_busy($1, $2, $3)) AS jobid"
# What is to be done at the end of the transaction, whenever that is.
IS_AT_END = "SELECT 1 WHERE to_regclass('pg_temp.pga_moved') IS NOT NULL"
PREPARE_END = """
    CREATE TEMPORARY TABLE pga_moved (
        jobs integer[], cron_jobs bigint[], databases text[], commands text[]
    ) ON COMMIT DROP;
    CREATE CONSTRAINT TRIGGER pga_moved AFTER INSERT ON pg_temp.pga_moved
        DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION pgagent.pga_pg_cron_moved()"""
AT_END = "INSERT INTO pg_temp.pga_moved VALUES ($1, $2, $3, $4)"
HERE = ("localhost", "", "127.0.0.1", "::1")


class DryRunError(Exception):
    """Undoes what was done to see whether it can be done."""


def name_of(job: "dict[str, Any]", taken: "set[str]") -> str:
    """Return the name that a job gets: its own, which two users can have chosen."""
    name = job["jobname"] or f"pg_cron job {job['jobid']}"
    return f"{name} ({job['username']})" if name in taken else name


def differences(job: "dict[str, Any]") -> "tuple[list[str], bool]":
    """Say what is not as it was, and whether the job is enabled."""
    notes = [] if job["active"] else ["disabled, as it was"]
    if job["can_own"]:
        notes.append(f"runs as {job['username']}, its owner, if allow_run_as() lets it")
    elif job["foreign_user"]:
        notes.append(
            f"runs with the login of the runner, no longer as {job['username']}"
        )
    node = job["nodename"]
    here = node in HERE or node.startswith("/")
    if not here:
        notes.append(
            f"disabled: it would run on the runner's server, no longer on {node}"
        )
    return notes, job["active"] and here


def make_job(name: str, job: "dict[str, Any]", zone: str, enabled: bool) -> int:  # noqa: FBT001
    """Make the job that a job of pg_cron becomes, and return its id."""
    made: int = ask(
        "SELECT pgagent.pga_job_make($1, $2, 'sql'::text, $3, $4, $5, $6) AS id",
        "text text text text text boolean",
        *(name, job["schedule"], job["command"], job["database"], zone, enabled),
    )[0]["id"]
    if job["can_own"]:
        ask(OWN, "bigint text", made, job["username"])
    return made


def parts_of(jobs: "list[dict[str, Any]]") -> "tuple[list[Any], ...]":
    """Return ids, databases and commands of jobs of pg_cron."""
    return tuple([job[key] for job in jobs] for key in ("jobid", "database", "command"))


def busy_of(jobs: "list[dict[str, Any]]") -> "set[int]":
    """Return the ids of those that it runs, in a moment when it starts none."""
    ask(AWAIT)
    return {
        row["jobid"] for row in ask(BUSY, "bigint[] text[] text[]", *parts_of(jobs))
    }


def arrange_end(moved: "dict[int, dict[str, Any]]") -> None:
    """Have the transaction end in such a moment, with next runs from then on."""
    if not ask(IS_AT_END):
        plpy.execute(PREPARE_END)
    types = "integer[] bigint[] text[] text[]"
    ask(AT_END, types, [*moved], *parts_of([*moved.values()]))


class Move:
    """What one call does: what it may do, and what it has moved so far."""

    def __init__(self, zone: str, *, dry: bool, all_users: bool) -> None:
        """Begin with nothing moved. zone: of pg_cron's schedules."""
        self.zone = zone
        self.dry = dry
        self.all_users = all_users
        self.busy: set[int] = set()
        self.moved: dict[int, dict[str, Any]] = {}

    def take_over(self, name: str, job: "dict[str, Any]") -> str:
        """Take over one job, and say what becomes of it."""
        reason = self.reason_against(name, job)
        if reason:
            return f"left alone: {reason}"
        notes, enabled = differences(job)
        try:
            with plpy.subtransaction():
                made = make_job(name, job, self.zone, enabled)
                if self.dry:
                    raise DryRunError
        except DryRunError:
            pass
        except plpy.SPIError as e:
            return "problem: " + str(e).split("\n")[0]
        else:
            if enabled:
                self.moved[made] = job
        done = "would become a job" if self.dry else "has become a job"
        return "; ".join([done, *notes])

    def reason_against(self, name: str, job: "dict[str, Any]") -> "str | None":
        """Say why a job is not to be taken over, if there is a reason."""
        if ask("SELECT 1 FROM pgagent.pga_job WHERE jobname = $1", "text", name):
            return "there is a job of this name"
        if job["foreign_user"] and not self.all_users:
            return f"it ran as {job['username']}; all_users => true takes it over, too"
        if job["jobid"] in self.busy:
            return "pg_cron is running it; call again when that has ended"
        return None


def import_pg_cron(
    dry_run: "bool | None", all_users: "bool | None"
) -> "list[tuple[int, str, str, str, str]]":
    """Take over all jobs, or none; a dry run, the default, is undone."""
    if not ask(IS_THERE):
        plpy.error(
            "pgagent: import_pg_cron: there is no table cron.job"
            " of the extension pg_cron",
            sqlstate="42P01",
            detail="It is in the database that cron.database_name says.",
        )
    dry = dry_run is not False
    move = Move(ask(ZONE)[0]["zone"], dry=dry, all_users=bool(all_users))
    jobs = ask(JOBS)
    if not dry:
        move.busy = busy_of(jobs)
    rows = []
    names: set[str] = set()
    for job in jobs:
        name = name_of(job, names)
        names.add(name)
        result = move.take_over(name, job)
        rows.append((job["jobid"], name, job["schedule"], job["database"], result))
    problems = [(row[0], row[4][9:]) for row in rows if row[4].startswith("problem: ")]
    if problems and not dry:
        plpy.error(
            f"pgagent: import_pg_cron: job {problems[0][0]}: {problems[0][1]}",
            sqlstate="22023",
            detail=f"{len(problems)} jobs can't be taken over, and none was;"
            " a dry run lists them.",
        )
    if move.moved:
        arrange_end(move.moved)
    return rows
