"""Where SQL steps run: each place is connected to once, as a run would do it."""

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import LiteralString, NamedTuple

import psycopg

from pgagent_runner import libpq
from pgagent_runner.catalog.probes import refusal
from pgagent_runner.checking.case import Case
from pgagent_runner.checking.findings import (
    Finding,
    cut,
    fault,
    literal,
    ok,
    quoted,
    warning,
)
from pgagent_runner.model import TIMEOUT, Ending, Login, Run, Step, StepKind
from pgagent_runner.steps import Nursery, SessionPool, StepExecutor, StepSettings
from pgagent_runner.steps.failures import StepError
from pgagent_runner.steps.sql.connecting import connection_parameters
from pgagent_runner.waiting import new_loop

_EACH = 5.0  # seconds
_AT_ONCE = 8
_ALL = 60.0  # seconds: those that are not reached by then are not tried
_MARGIN = 10.0

_LONGEST = 65_537  # characters of a connection string: one more than there may be
_NOWHERE = "/nowhere/pgagent"  # a file of passwords that is not there

# Those of jobs that this runner may take, each place once. Steps that must not run
# have been told of already.
_TARGETS: LiteralString = """
    SELECT t.conninfo, t.dbname, t.role, t.by, t.login, pg_catalog.count(*)::integer,
           (pg_catalog.array_agg(t.jobname ORDER BY t.jobid, t.jstid))[1],
           (pg_catalog.array_agg(t.jstname ORDER BY t.jobid, t.jstid))[1]
    FROM (
        SELECT j.jobid, j.jobname, s.jstid, s.jstname,
               pg_catalog."left"(s.jstconnstr, %(longest)s) AS conninfo,
               s.jstdbname::text AS dbname, a.rasrole::text AS role, a.rasby AS by,
               a.raslogin::text AS login
        FROM pgagent.pga_jobstep AS s
        JOIN pgagent.pga_job AS j ON j.jobid = s.jstjobid
        LEFT JOIN pgagent.pga_run_as AS r
            ON r.rasrole = COALESCE(s.jstrunas, j.jobowner)
        LEFT JOIN pgagent.pga_run_as AS a
            ON a.rasrole = r.rasrole AND s.jstconnstr = ''
        WHERE (j.jobenabled OR j.jobnextrun IS NOT NULL) AND s.jstenabled
              AND s.jstkind = 's' AND j.jobhostagent IN ('', %(station)s)
              AND pgagent.pga_role_refusal(
                  j.jobowner, j.jobownerid, s.jstrunas, s.jstrunasid, s.jstkind::text,
                  s.jstconnstr <> '', s.jstmode, r) IS NULL
    ) AS t
    GROUP BY t.conninfo, t.dbname, t.role, t.by, t.login
    ORDER BY pg_catalog.min(t.jobid), pg_catalog.min(t.jstid)
"""


class _Target(NamedTuple):
    conninfo: str
    dbname: str
    role: str | None
    by: str | None
    login: str | None
    steps: int
    job: str
    step: str

    @property
    def name(self) -> str:
        """Whose target it is, for people."""
        step, job = quoted([self.step, self.job])
        others = self.steps - 1
        more = f" and {others} more" if others else ""
        role = f", as role {quoted([self.role])[0]}" if self.role is not None else ""
        return f"step {step} of job {job}{more}{role}"

    def as_step(self, code: str) -> Step:
        """Return what a run would execute there."""
        return Step(
            *(0, self.step, StepKind.SQL, code, self.dbname, self.conninfo, "f"),
            timeout=_EACH,
            role=self.role,
        )


def targets(case: Case) -> Iterator[Finding]:
    """Connect to each place where steps of this runner's jobs run."""
    database = case.ask()
    parameters = {"longest": _LONGEST, "station": case.options.station}
    rows = map(_Target._make, database.rows(_TARGETS, parameters))
    # What is wrong with the server of the catalogue need not be told once more.
    found = [one for one in rows if one.conninfo or case.is_fit]
    settings = StepSettings(
        server_conninfo=database.server_conninfo,
        allowed_parameters=case.options.allow_parameter,
        clear_password=case.options.allow_clear_password,
        passfiles=case.options.secrets,
        log_in=_Logins(found).log_in,
    )
    findings: dict[_Target, Finding | None] = {}
    with asyncio.Runner(loop_factory=new_loop) as loop:
        loop.run(_try_all(found, settings, findings))
    bad = [findings[one] for one in found if findings.get(one) is not None]
    yield from (finding for finding in bad if finding is not None)
    left = len(found) - len(findings)
    if left:
        yield warning(
            "targets",
            f"{left} of {len(found)} targets were not tried: the others have taken"
            f" {_ALL:g} s",
            "put right what is told of those; then pgagent check, once more",
        )
    elif found and not bad:
        steps = sum(one.steps for one in found)
        places = f"{len(found)} targets of {steps} steps let the runner in"
        yield ok("targets", places if len(found) > 1 else "the target lets it in")


SECONDS = _ALL + _MARGIN
"""How long all of that takes at most."""


class _Logins:
    """Says how to log in as a role that logs in by itself."""

    def __init__(self, known: Sequence[_Target]) -> None:
        self._logins = {one.role: one.login for one in known}

    async def log_in(self, _run_id: int, role: str) -> Login:
        return Login(self._logins.get(role) or role, None)


async def _try_all(
    found: Sequence[_Target],
    settings: StepSettings,
    findings: dict[_Target, Finding | None],
) -> None:
    """Try some at once, each after the other, until the time for all is over."""
    end = time.monotonic() + _ALL - _EACH
    rest = iter(found)
    pool = SessionPool()

    async def work() -> None:
        for target in rest:
            if time.monotonic() > end:
                return
            findings[target] = await _try(target, settings, pool)
            pool.close_idle(0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_AT_ONCE):
            tasks.create_task(work())


async def _try(
    target: _Target, settings: StepSettings, pool: SessionPool
) -> Finding | None:
    """Return what keeps steps from being executed there; None: nothing does."""
    if target.by == "ticket":
        return await _try_by_ticket(target, settings)
    step = target.as_step("SELECT 1")
    run = Run(0, 0, "pgagent check", (step,))
    with StepExecutor(settings, run, pool, Nursery()) as executor:
        outcome = await executor.execute(step)
    if outcome.ending is Ending.SUCCEEDED:
        return None
    if outcome.cause == TIMEOUT:
        waits = re.search(r"waiting for a free connection: (.*)", outcome.output)
        if waits is not None:
            return _refused(target, settings, f"no connection is free: {waits[1]}")
        return _refused(target, settings, f"no answer within {_EACH:g} s")
    # Where it ran is the last line, if it got that far.
    lines = outcome.output.splitlines()
    where = next((line for line in lines if line.startswith("target: ")), "")
    told = " ".join(filter(None, (outcome.reason, where and f"({where})")))
    return _refused(target, settings, told)


async def _try_by_ticket(target: _Target, settings: StepSettings) -> Finding | None:
    """Look whether the login of a role is asked for its password, and leave it at that.

    Without one, libpq hangs up when it is asked, of which the server says nothing. To
    set a password would be a change.
    """
    own = {"user": target.login, "password": "", "passfile": _NOWHERE}
    own |= {"scram_client_key": None, "scram_server_key": None}
    try:
        parameters = connection_parameters(target.as_step(""), settings)
        async with asyncio.timeout(_EACH):
            pgconn = await libpq.connect(parameters | own)
    except StepError as e:
        return _refused(target, settings, str(e))
    except TimeoutError:
        return _refused(target, settings, f"no answer within {_EACH:g} s")
    except psycopg.Error as e:
        told = str(e).strip()
        if "no password supplied" in told:
            return None
        remedy = (
            f'let "{target.login}" in by its password (scram-sha-256 in pg_hba.conf),'
            " from where the runner connects"
        )
        return fault("targets", f"{target.name}: {_line(told)}", remedy)
    pgconn.finish()
    return None


def _refused(target: _Target, settings: StepSettings, told: str) -> Finding:
    told = _line(told)
    return fault("targets", f"{target.name}: {told}", _remedy(target, settings, told))


_OPTION = re.compile(r"the runner's option (--[a-z-]+(?: \w+)?)(?:,.*)? allows it")


def _remedy(target: _Target, settings: StepSettings, told: str) -> str:
    change = (
        f"SELECT pgagent.alter_step({literal(target.job)}, {literal(target.step)},"
        f" {'conninfo' if target.conninfo else 'database'} => '…')"
    )
    if option := _OPTION.search(told):
        return f"{change}; or pgagent run {option[1]}"
    if "chmod " in told:
        return told[told.index("chmod ") :]
    if told.startswith("no answer within"):
        return (
            "check host and port, the firewalls on the way, and the server there; or"
            f" {change}"
        )
    if told.startswith("a pooler"):
        return told.partition(": ")[2]
    parameters: dict[str, str | int | None] = {}
    with contextlib.suppress(StepError):  # its service is not there
        parameters = connection_parameters(target.as_step(""), settings)
    known = refusal(told, parameters).remedy
    return f"{known}; or {change}" if known else change


def _line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return cut("; ".join(filter(None, lines)))
