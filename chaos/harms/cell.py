"""One bad thing, in a database of its own, beside a job of every second and a long run."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from chaos.faults import Clock, wait_until
from chaos.fleet import Runner
from chaos.harms.subject import Subject
from chaos.history import now, scalar
from chaos.server import Connection, Server

Step = tuple[str, str]  # kind and code; "{job}" in it is the job's id

QUICK: Step = ("s", "SELECT chaos.effect({job}, 0.01)")
FAILS: Step = ("s", "SELECT chaos.effect({job}, 0.01); SELECT 1/0")
# It keeps no lock on a table of ours, behind which others would have to wait.
LONG = "SELECT pg_sleep({seconds}); INSERT INTO chaos.beat (job) VALUES ({job})"
FAR = 1e12  # a time that never comes


@dataclass(frozen=True)
class Harm:
    """A bad thing.

    kind: the sort of thing it is, for the report.
    do: causes it; what it starts with `cell.aside` goes on beside.
    says: a regular expression for what the culprit's rows, explain_job or the log, in a
    line with its name, must say; "" where there is nothing to be told.
    steps, every: the culprit's; without an interval it is started once.
    running: whether the culprit is already under way when the bad thing happens.
    idle: whether the culprit is not started at all.
    early: whether the bad thing happens before an agent is started.
    lasts: seconds for which it goes on.
    delays: whether everybody may be delayed as long as it lasts.
    afterwards: the long run begins after it, because its row would be harmed itself.
    then: what else has to hold at the end, as sentences about what does not.
    undo: ends it, so that everything can come to rest.
    without_42: why it makes no sense for pgAgent 4.2.
    clock: it needs a server with a clock that can be set.
    """

    name: str
    kind: str
    do: "Callable[[Cell], None]"
    says: str = ""
    steps: tuple[Step, ...] = (QUICK,)
    every: float | None = 2.0
    running: bool = False
    idle: bool = False
    early: bool = False
    lasts: float = 5.0
    delays: bool = False
    afterwards: bool = False
    runners: int = 1
    then: "Callable[[Cell], Iterable[str]]" = lambda _: ()
    undo: "Callable[[Cell], None] | None" = None
    without_42: str = ""
    clock: bool = False
    login: str = ""
    missed: str = "all"


HARMS: dict[str, Harm] = {}


def add(harm: Harm) -> None:
    """Put a bad thing into the table."""
    if harm.name in HARMS:
        raise ValueError(harm.name)
    HARMS[harm.name] = harm


@dataclass
class Cell:
    """What a bad thing happens to."""

    harm: Harm
    subject: Subject
    server: Server
    dsn: str
    conn: Connection
    seconds: float
    directory: Path
    clock: Clock | None = None
    agents: list[Runner] = field(default_factory=list)
    bystander: int = 0
    long: int = 0
    culprit: int = 0
    first: float = FAR
    told: list[float] = field(default_factory=list)
    """When the bystander was told to run, where no schedule does that."""

    delayed: list[tuple[float, float]] = field(default_factory=list)
    """The times in which everybody may be delayed."""

    before: int = 0
    """The most memory, in kB, that its agent had before."""

    jumped: int = 0
    """By how many seconds its clock has jumped."""

    facts: list[str] = field(default_factory=list)
    """What was seen to go wrong while it happened."""

    _threads: list[threading.Thread] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)

    # --- for those that cause something

    def sql(self, code: str, *parameters: object) -> None:
        """Execute SQL; "{culprit}" and the like stand for the ids of the jobs."""
        self.conn.execute(self.text(code), parameters or None)

    def text(self, code: str) -> bytes:
        """Return SQL with the ids of the jobs."""
        for name in ("culprit", "bystander", "long"):
            code = code.replace("{" + name + "}", str(getattr(self, name)))
        return code.encode()

    def one(self, code: str) -> int:
        """Return the only value of a query, a number."""
        return scalar(self.conn, self.text(code).decode())

    @contextmanager
    def session(self, *, autocommit: bool = False) -> Iterator[Connection]:
        """Give another session."""
        with closing(psycopg.connect(self.dsn, autocommit=autocommit)) as other:
            yield other

    def aside(self, work: Callable[[], None]) -> None:
        """Do something beside; if the database refuses it, that is a fact."""

        def guarded() -> None:
            try:
                work()
            except psycopg.Error as e:
                self.facts.append(f"the harm itself: {type(e).__name__}: {e}")

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def again_and_again(self, work: Callable[[Connection], None], pause: float) -> None:
        """Do something beside, until the bad thing has lasted long enough."""
        end = time.monotonic() + self.harm.lasts

        def repeat() -> None:
            with self.session(autocommit=True) as other:
                while time.monotonic() < end and not self._ending.wait(pause):
                    with suppress(psycopg.Error):
                        work(other)

        self.aside(repeat)

    def for_a_while(self, *statements: str) -> None:
        """Execute statements in a transaction that is rolled back at the end."""

        def hold() -> None:
            with self.session() as other:
                begun = now(other)
                for statement in statements:
                    other.execute(self.text(statement))
                self._ending.wait(self.harm.lasts)
                other.rollback()
                if self.harm.delays:
                    self.delayed.append((begun, now(other)))

        self.aside(hold)

    def wait_for_culprit(self) -> None:
        """Wait until a step of the culprit is under way."""
        query = (
            "SELECT count(*) FROM pgagent.pga_jobsteplog JOIN pgagent.pga_jobstep"
            " ON jstid = jsljstid WHERE jslstatus = 'r' AND jstjobid = {culprit}"
        )
        if wait_until(lambda: self.one(query) > 0, 15) is None:
            self.facts.append("the culprit did not start")

    # --- for the course of things

    def effects(self) -> int:
        """Return how often the bystander has taken effect."""
        return self.one("SELECT count(*) FROM chaos.effect WHERE job = {bystander}")

    def wait_for_effects(self, more: int) -> None:
        """Wait until the bystander has taken effect so many times more."""
        wanted = self.effects() + more
        wait_until(lambda: self.effects() >= wanted, 15)

    def define(self) -> None:
        """Make the three jobs; nothing is due yet."""
        harm = self.harm
        self.bystander = self.add_job("bystander", QUICK)
        sleep = f"{self.seconds:g}"
        kind = (
            ("b", f"sleep {sleep}")
            if harm.clock
            else ("s", LONG.replace("{seconds}", sleep))
        )
        self.long = self.add_job("long", kind)
        self.culprit = self.add_job("culprit", *harm.steps)
        if not self.subject.is_daemon:
            self.sql(
                "UPDATE pgagent.pga_job SET jobmissed = %s, joboverlap = 'queue'"
                " WHERE jobid = {bystander}",
                harm.missed,
            )

    def add_job(self, name: str, *steps: Step) -> int:
        """Make a job with these steps; return its id."""
        (job,) = self.conn.execute(
            "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, %s)"
            " RETURNING jobid",
            [name],
        ).fetchone() or (0,)
        for number, (kind, code) in enumerate(steps, 1):
            database = self.conn.info.dbname if kind == "s" else ""
            self.conn.execute(
                "INSERT INTO pgagent.pga_jobstep"
                " (jstjobid, jstname, jstkind, jstcode, jstdbname)"
                " VALUES (%s, %s, %s, %s, %s)",
                [
                    *(job, f"step {number}", kind),
                    *(code.replace("{job}", str(job)), database),
                ],
            )
        return int(job)

    def start_agents(self) -> None:
        """Start the agents and wait until they serve."""
        for number in range(self.harm.runners):
            dsn = self.dsn
            if self.harm.login:
                role = f"{self.harm.login}_{self.conn.info.dbname}"
                dsn = psycopg.conninfo.make_conninfo(dsn, user=role)
            agent = self.subject.agent(self.server, dsn, f"runner-{number + 1}")
            self.agents.append(agent)
            agent.__enter__()
        registered = "SELECT count(*) FROM pgagent.pga_jobagent"
        if wait_until(lambda: self.one(registered) >= len(self.agents), 30) is None:
            logs = "\n".join(agent.log[-2000:] for agent in self.agents)
            self.facts.append(f"no agent came up: {logs}")

    def start_bystander(self) -> None:
        """Have it run from now on."""
        if self.subject.is_daemon:
            self.aside(self._tell)
        else:
            self.first = self._schedule(self.bystander, self.subject.every)

    def start_long(self) -> None:
        """Have the long run begin."""
        self._make_due(self.long)
        open_runs = "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgjobid = {long}"
        if wait_until(lambda: self.one(open_runs) > 0, 15) is None:
            self.facts.append("the long run did not begin")

    def start_culprit(self) -> None:
        """Have it run, at its interval or once."""
        every = self.harm.every
        if every is None or self.subject.is_daemon:
            self._make_due(self.culprit)
        else:
            self._schedule(self.culprit, every)

    def _make_due(self, job: int) -> None:
        self.conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [job]
        )

    def _schedule(self, job: int, every: float) -> float:
        (first,) = self.conn.execute(
            "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscevery)"
            " VALUES (%s, 'interval', now() + interval '0.3 s',"
            " make_interval(secs => %s)) RETURNING extract(epoch FROM jscstart)::float8",
            [job, every],
        ).fetchone() or (0,)
        return float(first)

    def _tell(self) -> None:
        """Tell the bystander, and a culprit that has an interval, to run, by hand."""
        again = " OR jobid = {culprit} AND joblastrun IS NOT NULL"
        code = (
            "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE (jobid = {bystander}"
            + (again if self.harm.every is not None else "")
            + ") AND jobagentid IS NULL AND jobnextrun IS NULL"
        )
        with self.session(autocommit=True) as other:
            other.execute("SET lock_timeout = '1s'")
            while not self._ending.wait(self.subject.every):
                self.told.append(now(other))
                with suppress(psycopg.Error):
                    other.execute(self.text(code))

    def end_asides(self) -> None:
        """End what goes on beside."""
        self._ending.set()
        for thread in self._threads:
            thread.join(40)
            if thread.is_alive():
                self.facts.append("the harm did not end")

    def wait_for_harm(self) -> None:
        """Wait until what goes on beside has ended by itself, all but the telling."""
        own = self._threads[1:] if self.subject.is_daemon else self._threads
        for thread in own:
            thread.join(max(60.0, self.harm.lasts + 30))

    def log(self) -> str:
        """Return what the agents have written."""
        return "\n".join(agent.log for agent in self.agents)
