"""The control database: its versions, the login's rights, what lies in between."""

import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

from pgagent_runner.catalog.probes import Probes
from pgagent_runner.catalog.strangers import strangers
from pgagent_runner.checking.case import Case
from pgagent_runner.checking.findings import (
    Finding,
    fault,
    identifier,
    literal,
    named,
    ok,
    quoted,
    shell,
    warning,
)
from pgagent_runner.poolers import why_unfit

_OLDEST_SERVER = 130000
_OWN_SESSIONS = 5  # of a runner, beside those of its runs
_CLOCKS_DIFFER = 5.0  # seconds
_A_CLOCK_IS_WRONG = 60.0

_SERVER: LiteralString = """
    SELECT pg_catalog.current_setting('server_version'),
           pg_catalog.current_setting('server_version_num')::integer,
           pg_catalog.pg_is_in_recovery(), pg_catalog.pg_backend_pid()
"""
_EXTENSIONS: LiteralString = """
    SELECT (SELECT e.extversion FROM pg_catalog.pg_extension AS e
            WHERE e.extname = 'pgagent'),
           (SELECT e.extversion FROM pg_catalog.pg_extension AS e
            WHERE e.extname = 'pgagent_python'),
           (SELECT a.default_version FROM pg_catalog.pg_available_extensions AS a
            WHERE a.name = 'pgagent')
"""
_CLOCK: LiteralString = """
    SELECT pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())
"""


def server(case: Case) -> Iterator[Finding]:
    """Look whether jobs can run on this server."""
    database = case.ask()
    text, number, is_standby, _ = database.row(_SERVER)
    what, info = "control database", database.session.info
    if number < _OLDEST_SERVER:
        told = f"PostgreSQL {text} is too old for pgagent"
        yield fault(what, told, "upgrade the server to PostgreSQL 13 or later")
    elif is_standby:
        yield fault(
            what,
            f"the server {info.host}:{info.port} is a standby: jobs run where it can"
            " be written to",
            "name the primary; or all servers, as in host=a,b"
            " target_session_attrs=read-write",
        )
    else:
        where = f'database "{info.dbname}" on {info.host}:{info.port} as {info.user}'
        yield ok(what, f"{where}, PostgreSQL {text}")


def versions(case: Case) -> Iterator[Finding]:
    """Look whether the runner and the catalogue fit each other."""
    database = case.ask()
    with database.asking() as session:
        problem = Probes(session).catalogue()
    if problem is not None:
        told = f'database "{database.name}": {problem.cause}'
        yield fault("versions", told, problem.remedy)
        return
    own = version("pgagent-runner")
    extension, python, _ = database.row(_EXTENSIONS)
    if python not in (None, extension):
        yield warning(
            "versions",
            f"pgagent_python is {python}, and pgagent {extension}",
            "ALTER EXTENSION pgagent_python UPDATE",
        )
    kind = "extension" if extension else "catalogue without an extension"
    libpq = psycopg.pq.version()
    yield ok(
        "versions",
        f"runner and {kind} {own}, psycopg {psycopg.__version__}"
        f" ({psycopg.pq.__impl__}), libpq {libpq // 10000}.{libpq % 10000},"
        f" Python {platform.python_version()}",
    )


def pooler(case: Case) -> Iterator[Finding]:
    """Look for a pooler that takes sessions away between transactions."""
    database = case.ask()
    session = database.session
    *_, pid = database.row(_SERVER)
    if pid == session.pgconn.backend_pid:
        return
    address = session.info.hostaddr or None
    reason = why_unfit(make_conninfo(database.server_conninfo, hostaddr=address))
    if reason is None:
        yield ok("pooler", "a pooler lies before the server, in session mode")
    else:
        case.is_fit = False
        told, _, remedy = reason.partition(": ")
        yield fault("pooler", told, remedy)


def rights(case: Case) -> Iterator[Finding]:
    """Look whether the login has what a runner needs."""
    database = case.ask()
    with database.asking() as session:
        problem = Probes(session).lacking()
    if problem is None:
        yield from _signals(case)
        yield from _superuser(case)
    else:
        told = f"{problem.cause}: {problem.remedy}"
        yield fault("rights", told, database.grant)


_OTHERS: LiteralString = """
    SELECT r.rolsuper OR pg_catalog.pg_has_role('pg_signal_backend'::name, 'USAGE')
                     AND pg_catalog.pg_has_role('pg_read_all_stats'::name, 'USAGE'),
           r.rolsuper, r.rolconnlimit, d.datconnlimit,
           pg_catalog.current_setting('max_connections')::integer
           - pg_catalog.current_setting('superuser_reserved_connections')::integer
           - COALESCE(pg_catalog.current_setting('reserved_connections', true),
                      '0')::integer,
           EXISTS (
               SELECT FROM pgagent.pga_job AS j
               JOIN pgagent.pga_jobstep AS s ON s.jstjobid = j.jobid
               WHERE j.jobenabled AND s.jstenabled AND s.jstkind = 's'
                     AND s.jstconnstr = ''
                     AND COALESCE(s.jstrunas, j.jobowner) IS NOT NULL
           )
    FROM pg_catalog.pg_roles AS r, pg_catalog.pg_database AS d
    WHERE r.rolname = current_user AND d.datname = pg_catalog.current_database()
"""


def _signals(case: Case) -> Iterator[Finding]:
    """Look whether sessions of steps that run as other roles could be ended."""
    database = case.ask()
    may_end, *_, has_others = database.row(_OTHERS)
    if has_others and not may_end:
        yield warning(
            "rights",
            "nobody could end sessions that steps have as other roles, should this"
            " runner stand still",
            "GRANT pg_signal_backend, pg_read_all_stats TO"
            f" {identifier(database.user)}",
        )


# Whoever may write a step has it run with the login of the runner, as a rule.
_WRITERS: LiteralString = """
    SELECT w.rolname::text
    FROM pg_catalog.pg_roles AS w
    JOIN pg_catalog.pg_class AS c ON c.oid = 'pgagent.pga_jobstep'::regclass
    WHERE NOT c.relrowsecurity AND NOT w.rolsuper AND w.rolname !~ '^pg_'
          AND (pg_catalog.has_table_privilege(w.oid, c.oid, 'INSERT')
               OR pg_catalog.has_column_privilege(w.oid, c.oid, 'jstcode', 'UPDATE'))
    ORDER BY w.rolname
"""
_SUPERUSERS: LiteralString = """
    SELECT r.rolname::text FROM pg_catalog.pg_roles AS r
    WHERE r.rolsuper ORDER BY r.rolname
"""


def _superuser(case: Case) -> Iterator[Finding]:
    """Look who gets more by a step than he has."""
    database = case.ask()
    _, is_superuser, *_ = database.row(_OTHERS)
    superusers = [name for (name,) in database.rows(_SUPERUSERS)]
    writers = [name for (name,) in database.rows(_WRITERS)]
    login = quoted([database.user])[0]
    if is_superuser and writers:
        yield warning(
            "rights",
            f"the login {login} is a superuser, and whoever may write steps may do"
            f" what it may: {named(quoted(writers))}",
            "CREATE ROLE pgagent_runner LOGIN; SELECT"
            " pgagent.grant_access('runner', 'pgagent_runner'), and have the runner"
            " log in as that",
        )
    elif is_superuser:
        yield ok("rights", f"superusers: {named(quoted(superusers))}")
    else:
        who = f"superusers: {named(quoted(superusers))}"
        yield ok("rights", f"the login {login} has what a runner needs; {who}")


def connections(case: Case) -> Iterator[Finding]:
    """Look whether there are as many connections as jobs may run at once."""
    database, options = case.ask(), case.options
    _, is_superuser, of_role, of_database, free, _ = database.row(_OTHERS)
    case.workers = options.workers_for(free)
    wanted = _OWN_SESSIONS + case.workers
    limits = [(free, "max_connections", "raise max_connections")]
    if of_role >= 0 and not is_superuser:
        remedy = f"ALTER ROLE {identifier(database.user)} CONNECTION LIMIT {wanted + 5}"
        limits.append((of_role, "the CONNECTION LIMIT of the login", remedy))
    if of_database >= 0 and not is_superuser:
        remedy = (
            f"ALTER DATABASE {identifier(database.name)} CONNECTION LIMIT {wanted + 5}"
        )
        limits.append((of_database, "the CONNECTION LIMIT of the database", remedy))
    least, which, remedy = min(limits)
    if least < wanted:
        yield warning(
            "limits",
            f"a runner of {case.workers} jobs at a time needs {wanted}"
            f" connections, and there are {least}: {which}",
            f"{remedy}, or run fewer jobs: --workers {max(1, least // 2)}",
        )


_MEMBERS: LiteralString = """
    SELECT p.oid::pg_catalog.regprocedure::text
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_extension AS e ON e.extname = 'pgagent'
    WHERE p.pronamespace = 'pgagent'::pg_catalog.regnamespace AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
              AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
              AND d.deptype = 'e'
    )
    ORDER BY 1
"""


def schema(case: Case) -> Iterator[Finding]:
    """Look whether the schema pgagent is its owner's alone, and has ours only."""
    database = case.ask()
    with database.asking() as session:
        others = strangers(session)
    for told, remedy in others:
        yield fault("schema", f"what others do could run as the runner: {told}", remedy)
    known = {remedy.partition(" ROUTINE ")[2] for _, remedy in others}
    for (signature,) in database.rows(_MEMBERS):
        if signature not in known:
            yield warning(
                "schema",
                f"{signature} is no function of pgagent's, which may have one of this"
                " name some day",
                f"ALTER ROUTINE {signature} SET SCHEMA public",
            )


def clock(case: Case) -> Iterator[Finding]:
    """Look whether the server and this machine agree what time it is."""
    database = case.ask()
    differences = []
    for _ in range(3):
        before = time.time()
        (seconds,) = database.row(_CLOCK)
        after = time.time()
        # Whatever the answer has taken is no difference of clocks.
        differences.append(max(before - seconds, seconds - after, 0.0))
    least = min(differences)
    if least < _CLOCKS_DIFFER:
        yield ok("clock", "the clocks of the server and of this machine agree")
        return
    which = "ahead of" if before > seconds else "behind"
    told = (
        f"the clock of this machine is {least:.0f} s {which} that of the server, by"
        " which jobs go"
    )
    remedy = "timedatectl set-ntp true, on both"
    if least < _A_CLOCK_IS_WRONG:
        yield warning("clock", told, remedy)
    else:
        yield fault("clock", told, remedy)


# As a runner tells the server how it has reached it, and as it is judged when it
# registers: see arming.sql.
_PLACE: LiteralString = """
    SELECT pg_catalog.set_config('pgagent.server_address', %s, true),
           pg_catalog.set_config('pgagent.server_port', %s, true)
"""
_ARMING: LiteralString = """
    SELECT pgagent.pga_unarmed(), NOT EXISTS (SELECT FROM pgagent.pga_job), (
        SELECT pg_catalog.bool_and(pgagent.pga_is_same_place(
                   r.armdatabase, r.armport, r.armaddress, r.armstation, a.agent))
               AND NOT pg_catalog.bool_or(r.armrestored IS NOT NULL
                                          AND pgagent.pga_restorer() IS NOT NULL)
        FROM pgagent.pga_arming AS r,
             (SELECT pg_catalog.jsonb_populate_record(
                         NULL::pgagent.pga_jobagent, pg_catalog.jsonb_build_object(
                             'jagstation', %s::text,
                             'jagport', pgagent.pga_server_port(),
                             'jagaddress', pgagent.pga_server_address())) AS agent) AS a
    )
"""


def arming(case: Case) -> Iterator[Finding]:
    """Look whether jobs may start in this database, or it is a copy of another one."""
    database = case.ask()
    info = database.session.info
    address, _, _ = info.hostaddr.partition("%")
    with database.asking() as session:
        session.execute(_PLACE, [address, str(info.port)])
        answer = session.execute(_ARMING, [case.options.station]).fetchone()
    unarmed, is_empty, goes_on = answer or (None, True, None)
    if unarmed is None:
        yield ok("arming", "the jobs are armed here")
    elif "being restored" in unarmed:
        yield warning("arming", unarmed, "wait for the end of that session")
    elif is_empty or goes_on:
        yield ok("arming", "the first runner that registers arms the jobs here")
    else:
        remedy = "SELECT pgagent.arm(), if these are not to be another database's jobs"
        yield fault("arming", unarmed, remedy)


_ROW_SECURITY: LiteralString = """
    SELECT pg_catalog.string_agg(c.relname, ', ' ORDER BY c.relname)
    FROM pgagent.pga_isolated_tables() AS t JOIN pg_catalog.pg_class AS c ON c.oid = t
    WHERE c.relrowsecurity AND NOT EXISTS (SELECT FROM pgagent.pga_isolation)
"""


def isolation(case: Case) -> Iterator[Finding]:
    """Look for row security that nobody has recorded; the rest is among problems."""
    (tables,) = case.ask().row(_ROW_SECURITY)
    if tables is not None:
        yield warning(
            "isolation",
            f"row security is enabled on {tables}, and the catalogue is not isolated",
            "SELECT pgagent.isolate(), or SELECT pgagent.isolate(false)",
        )


_ALIVE: LiteralString = """
    SELECT COALESCE(pg_catalog.array_agg(DISTINCT a.station), '{}'::text[])
    FROM pgagent.agents AS a WHERE a.alive
"""
_HOSTS: LiteralString = """
    SELECT j.jobhostagent, pg_catalog.count(*), pg_catalog.min(j.jobname)
    FROM pgagent.pga_job AS j
    WHERE j.jobenabled AND j.jobhostagent <> '' AND NOT EXISTS (
        SELECT FROM pgagent.agents AS a WHERE a.alive AND a.station = j.jobhostagent
    )
    GROUP BY j.jobhostagent ORDER BY j.jobhostagent
"""


def runner(case: Case) -> Iterator[Finding]:
    """Look who is alive, and for jobs that are meant for this host by another name."""
    database, station = case.ask(), case.options.station
    (alive,) = database.row(_ALIVE)
    case.is_served = bool(alive)
    if alive:
        yield ok("runner", f"alive on {named(quoted(alive))}")
    for host, jobs, first in database.rows(_HOSTS):
        if host != station and _bare(host) == _bare(station):
            yield warning(
                "runner",
                f"job {quoted([first])[0]}"
                + (f" and {jobs - 1} more" if jobs > 1 else "")
                + f' are for the host "{host}", and this one is "{station}": no runner'
                " takes them",
                f"SELECT pgagent.alter_job({literal(first)}, host =>"
                f" {literal(station)}); or pgagent run --station {shell(host)}",
            )


def _bare(host: str) -> str:
    return host.strip().partition(".")[0].lower()
