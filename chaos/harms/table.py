"""Runs the table, many bad things at a time, and judges what became of each."""

import re
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psycopg

from chaos.checker import Run, Target, Verdict, Window, check
from chaos.faults import Clock, faketime_library, wait_until
from chaos.harms.cell import HARMS, Cell, Harm
from chaos.harms.subject import Subject, new_database
from chaos.history import grid, now, read_skips
from chaos.server import Connection, Server

REST = 45.0  # seconds in which everything has to come to rest when the harm is over
SLACK = 6.0  # seconds by which the long run may be recorded late

# What the log still has, and what took effect without a row that is still there.
RUNS = """
SELECT l.jlgid, extract(epoch FROM l.jlgstart)::float8, l.jlgstatus::text,
       extract(epoch FROM l.jlgstart + l.jlgduration)::float8,
       CASE WHEN isfinite((to_jsonb(l) ->> 'jlgscheduled')::timestamptz)
            THEN extract(epoch FROM (to_jsonb(l) ->> 'jlgscheduled')::timestamptz)::float8
            END,
       to_jsonb(l) ->> 'jlgmessage',
       (SELECT count(*) FROM chaos.effect AS e WHERE e.run = l.jlgid AND e.job = {job})
FROM pgagent.pga_joblog AS l WHERE l.jlgjobid = {job}
UNION ALL
SELECT -row_number() OVER (ORDER BY e.at), extract(epoch FROM e.at)::float8, 's',
       extract(epoch FROM e.at)::float8, NULL, 'its row is gone', 1
FROM chaos.effect AS e
WHERE e.job = {job} AND NOT EXISTS (
    SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = e.run AND l.jlgjobid = {job})
"""
SAID = """
SELECT COALESCE(string_agg(t, E'\\n'), '') FROM (
    SELECT concat_ws(' ', 'run', l.jlgid, l.jlgstatus, to_jsonb(l) ->> 'jlgmessage',
                     left(s.jsloutput, 3000), right(s.jsloutput, 3000)) AS t
    FROM pgagent.pga_joblog AS l
    LEFT JOIN pgagent.pga_jobsteplog AS s ON s.jsljlgid = l.jlgid
    WHERE l.jlgjobid = {culprit} ORDER BY l.jlgid DESC, s.jslid DESC LIMIT 40
) AS x
"""
EXPLAINED = """
SELECT COALESCE(string_agg(gate || ': ' || detail, E'\\n'), '')
FROM pgagent.explain_job({culprit}::bigint)
"""


@dataclass
class Result:
    """What became of everybody."""

    name: str
    kind: str
    due: int = 0
    ran: int = 0
    worst: float = 0.0
    long: str = "?"
    said: str = ""
    broken: list[str] = field(default_factory=list)
    skipped: str = ""
    log: str = ""

    @property
    def ok(self) -> bool:
        """Whether nobody but the culprit was harmed."""
        return not self.broken

    def line(self) -> str:
        """Return it as a line of the table."""
        if self.skipped:
            return f"{'-':<5} {self.name:<26} {self.skipped}"
        state = "ok" if self.ok else "FAIL"
        said = " ".join(self.said.split())[:90] or "-"
        head = (
            f"{state:<5} {self.name:<26} {self.due:>3}/{self.ran:<3}"
            f" {self.worst:5.1f} s  long {self.long:<2} {said}"
        )
        return "\n".join([head, *(f"        {text[:400]}" for text in self.broken)])


def chosen(names: Iterable[str]) -> list[Harm]:
    """Return the bad things with these names, or whose kind that is; all without."""
    wanted = set(names)
    found = [h for h in HARMS.values() if not wanted or {h.name, h.kind} & wanted]
    if unknown := wanted - {h.name for h in found} - {h.kind for h in found}:
        raise SystemExit(f"no such bad thing: {', '.join(sorted(unknown))}")
    return found


def run_table(
    subject: Subject, harms: Sequence[Harm], seconds: float, at_once: int
) -> Iterator[Result]:
    """Try the bad things, so many at a time; yield each result as it comes."""
    queue = sorted(harms, key=lambda harm: -harm.lasts)
    with (
        subject.server() as cluster,
        ThreadPoolExecutor(at_once) as pool,
    ):
        running = [
            pool.submit(run_cell, subject, cluster, harm, seconds) for harm in queue
        ]
        for done in as_completed(running):
            yield done.result()


def run_cell(subject: Subject, cluster: Server, harm: Harm, seconds: float) -> Result:
    """Try one bad thing; whatever goes wrong with that belongs into the result."""
    result = Result(harm.name, harm.kind)
    if subject.is_daemon and harm.without_42:
        result.skipped = harm.without_42
        return result
    if harm.clock and faketime_library() is None:
        result.skipped = "libfaketime could not be fetched"
        return result
    try:
        with placed(subject, cluster, harm, seconds) as cell:
            try:
                go_through(cell, result)
            finally:
                result.log = cell.log()[-20_000:]
    except Exception:  # noqa: BLE001 - whatever it is, it belongs into the report
        result.broken.append(traceback.format_exc()[-600:])
    return result


@contextmanager
def placed(
    subject: Subject, cluster: Server, harm: Harm, seconds: float
) -> Iterator[Cell]:
    """Give a cell with jobs, without agents yet."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="pgagent-harm-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o755)
        server, clock = cluster, None
        if harm.clock:
            clock = Clock(directory)
            # The server may run as a user who can't look into this directory's parents.
            preload = {"LD_PRELOAD": "libfaketime.so.1"}
            server = stack.enter_context(subject.server(clock.environ | preload))
        dsn = stack.enter_context(
            new_database(server, subject, f"cell{list(HARMS).index(harm.name)}")
        )
        conn = stack.enter_context(closing(psycopg.connect(dsn, autocommit=True)))
        cell = Cell(harm, subject, server, dsn, conn, seconds, directory, clock)
        cell.define()
        stack.callback(stop, cell)
        yield cell


def stop(cell: Cell) -> None:
    """Stop the agents, all of them before any is waited for."""
    for agent in cell.agents:
        with suppress(ProcessLookupError):
            agent.terminate()
    for agent in cell.agents:
        agent.__exit__()


def go_through(cell: Cell, result: Result) -> None:
    """Let the bad thing happen, see what is said, end it, and judge."""
    harm = cell.harm
    if harm.early:
        harm.do(cell)
    cell.start_agents()
    cell.start_bystander()
    if not harm.afterwards:
        cell.start_long()
    cell.wait_for_effects(2)
    if harm.running:
        cell.start_culprit()
        cell.wait_for_culprit()
    begun = time.monotonic()
    if not harm.early:
        harm.do(cell)
    if not harm.running and not harm.idle:
        cell.start_culprit()
    if harm.afterwards:
        cell.wait_for_effects(2)
        cell.start_long()
    watch(cell, begun)
    until = now(cell.conn)
    wait_until(lambda: cell.effects() >= due_until(cell, until), cell.subject.epsilon)
    result.said = heard(cell)
    cell.end_asides()
    cell.conn.execute("UPDATE chaos.switch SET is_on = false")
    if harm.undo:
        harm.undo(cell)
    facts = [*cell.facts, *harm.then(cell)]
    facts += come_to_rest(cell)
    judge(cell, result, until)
    result.broken += facts


def watch(cell: Cell, begun: float) -> None:
    """Wait until the bad thing is over and the long run had the time to end."""
    over = begun + cell.harm.lasts + 3
    end = max(over, begun + cell.seconds + SLACK)
    long_ended = (
        "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgjobid = {long}"
        " AND jlgstatus <> 'r'"
    )
    cell.wait_for_harm()
    while time.monotonic() < end:
        if time.monotonic() > over and cell.one(long_ended):
            break
        time.sleep(0.1)


def targets_until(cell: Cell, until: float) -> list[Target]:
    """Return the times at which the bystander was due."""
    if cell.subject.is_daemon:
        return [Target(cell.bystander, told) for told in cell.told if told < until]
    return grid(cell.bystander, cell.first, cell.subject.every, until)


def due_until(cell: Cell, until: float) -> int:
    """Return how often the bystander was due."""
    return len(targets_until(cell, until))


def heard(cell: Cell) -> str:
    """Return the sentence in which somebody says what became of the culprit."""
    if not cell.harm.says:
        return ""
    texts = [text_of(cell, SAID)]
    if not cell.subject.is_daemon:
        texts.append(text_of(cell, EXPLAINED))
    texts.append(cell.log() if cell.harm.clock else about_culprit(cell))
    for text in texts:
        if found := re.search(f".*(?:{cell.harm.says}).*", text):
            line = found[0]
            at = found.start() - found.start(0)
            where = re.search(cell.harm.says, line)
            begin = max(0, (where.start() if where else at) - 60)
            return line[begin : begin + 200]
    return ""


def about_culprit(cell: Cell) -> str:
    """Return the lines of the agents' log that name the culprit, or a run of it."""
    query = "SELECT COALESCE(string_agg(jlgid::text, '|'), '0') FROM pgagent.pga_joblog WHERE jlgjobid = {culprit}"
    named = re.compile(
        rf"culprit|\bjob {cell.culprit}\b|\brun ({text_of(cell, query)})\b"
    )
    return "\n".join(line for line in cell.log().splitlines() if named.search(line))


def text_of(cell: Cell, query: str) -> str:
    """Return the only value of a query; what went wrong if the database refuses it."""
    try:
        (text,) = cell.conn.execute(cell.text(query)).fetchone() or ("",)
    except psycopg.Error as e:
        return f"refused: {e}"
    return str(text)


def come_to_rest(cell: Cell) -> list[str]:
    """Let nothing start any more; return what does not end, as sentences."""
    with suppress(psycopg.Error):
        cell.conn.execute("SET lock_timeout = '40s'")
    left = []
    for job in (cell.bystander, cell.long, cell.culprit):
        disable = "UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = %s"
        try:
            cell.conn.execute(disable, [job])
        except psycopg.Error as e:
            left.append(f"job {job} can't be disabled: {e}")
    # A step whose run is gone is nobody's, and no view shows it.
    at_rest = (
        "SELECT (SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus = 'r')"
        " + (SELECT count(*) FROM pgagent.pga_jobsteplog JOIN pgagent.pga_joblog"
        " ON jlgid = jsljlgid WHERE jslstatus = 'r')"
        " + (SELECT count(*) FROM pgagent.pga_job WHERE jobagentid IS NOT NULL)"
    )
    if wait_until(lambda: not cell.one(at_rest), REST) is not None:
        return left
    for what, query in LEFT.items():
        rows = cell.conn.execute(query).fetchall()
        left += [f"left after {REST:.0f} s: {what}: {row}" for row in rows[:3]]
    return left


LEFT: dict[str, bytes] = {
    "an open run": b"SELECT jobname, l::text FROM pgagent.pga_joblog AS l LEFT JOIN"
    b" pgagent.pga_job ON jobid = jlgjobid WHERE jlgstatus = 'r'",
    "an open step": b"SELECT jslid, jsljlgid, jsljstid FROM pgagent.pga_jobsteplog"
    b" WHERE jslstatus = 'r'",
    "a held job": b"SELECT jobname, jobagentid FROM pgagent.pga_job"
    b" WHERE jobagentid IS NOT NULL",
}


def judge(cell: Cell, result: Result, until: float) -> None:
    """Judge the bystander, the long run and what was said."""
    result.long = judge_long(cell, result)
    if cell.harm.says and not result.said and not cell.subject.is_daemon:
        result.broken.append(f"culprit: nobody says {cell.harm.says!r}")
    if cell.jumped < 0:
        return  # the bystander is due when the clock has come there again
    runs = runs_of(cell.conn, cell.bystander)
    if cell.subject.is_daemon:  # it logs races that it has lost as runs
        runs = [run for run in runs if run.status != "i"]
    end = now(cell.conn)
    targets = targets_until(cell, end)
    windows = [Window(until - 0.5, end + 1, "the end")]
    windows += [Window(a - 1, b + 4, "delay") for a, b in cell.delayed]
    verdict = check(
        targets,
        runs,
        epsilon=cell.subject.epsilon,
        windows=windows,
        skips=read_skips(cell.conn),
    )
    judged = [t for t in targets if t.due < until - 0.5]
    result.due = len(judged)
    missed = [t for t in verdict.missed if t.due < until - 0.5]
    if cell.subject.is_daemon:  # told twice while it is delayed, it runs once
        missed = []
    result.ran = len(judged) - len(missed) - len(verdict.lost)
    result.worst = worst_delay(runs, until)
    result.broken += [f"bystander: {text}" for text in found_in(verdict, missed)]
    if not judged:
        result.broken.append("bystander: it was never due")


def found_in(verdict: Verdict, missed: list[Target]) -> Iterator[str]:
    """Return what the checker has found, in words."""
    first: dict[str, list[object]] = {
        "lost": [round(t.due, 1) for t in verdict.lost],
        "late": [f"{r.start - t.due:.1f} s" for t, r in verdict.late],
    }
    for kind, count in verdict.faults().items():
        if count:
            detail = first.get(kind) or [
                (r.id, r.status, r.message) for r in getattr(verdict, kind)
            ]
            yield f"{count} {kind}: {detail[:3]}"
    if missed:
        yield f"{len(missed)} missed in the time of delay"
    aborted = [r for r in verdict.aborted if not r.effects]
    if aborted:
        yield f"{len(aborted)} aborted: {aborted[0].message}"


def worst_delay(runs: list[Run], until: float) -> float:
    """Return by how much a run started late, at most."""
    delays = (
        r.start - r.scheduled
        for r in runs
        if r.scheduled is not None and r.scheduled < until
    )
    return max(delays, default=0.0)


def judge_long(cell: Cell, result: Result) -> str:
    """Expect that the long run has succeeded, once; return how it ended."""
    runs = [r for r in runs_of(cell.conn, cell.long) if r.status != "i"]
    if not runs:
        result.broken.append("long: it has no run")
        return "-"
    letters = "".join(r.status for r in runs)
    took = cell.one("SELECT count(*) FROM chaos.beat WHERE job = {long}")
    effects_expected = 0 if cell.harm.clock else 1
    if letters != "s" or took != effects_expected:
        result.broken.append(
            f"long: {letters}, {took} effects: {[r.message for r in runs][:2]}"
        )
    return letters[:2]


def runs_of(conn: Connection, job: int) -> list[Run]:
    """Return the runs of a job, those without a row too."""
    query = RUNS.replace("{job}", str(job)).encode()
    return [
        Run(number, job, start, status, end, due, message, effects)
        for number, start, status, end, due, message, effects in conn.execute(query)
    ]


def as_document(results: Iterable[Result]) -> list[dict[str, object]]:
    """Return the results as they are kept."""
    return [asdict(result) | {"ok": result.ok} for result in results]
