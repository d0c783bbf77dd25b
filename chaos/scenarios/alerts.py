"""Whoever wants to be told is told, while senders and runners are killed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from chaos.checker import ABORTED
from chaos.faults import wait_until
from chaos.fleet import Runner, runner
from chaos.history import add_job, at_rest, make_due, scalar, sql_step
from chaos.lab import Lab, scenario
from chaos.receivers import Command, Hook, Listener, kept_by_job
from chaos.server import Connection, server
from chaos.telling import Delivery, Event, Owed, check_telling

RUNNERS = 3
JOBS_AT_ONCE = 3
SENDING = b"pgagent_runner.sending"
SETTLED_WITHIN = 300.0  # seconds: a killed sender's message is another's after a minute
TOLD_WITHIN = 120.0  # seconds until a job that is late is told of

HOOKS = ("hook 1", "hook 2", "hook 3")
COMMANDS = ("command 1", "command 2")
BY_NOTIFY, BY_JOB = "notify", "job"
ALERTS = (*HOOKS, *COMMANDS, BY_NOTIFY, BY_JOB)

TABLES = """
CREATE TABLE chaos.broken (job integer PRIMARY KEY);
CREATE TABLE chaos.told (input jsonb, at timestamptz DEFAULT clock_timestamp());
"""
FAILS = "SELECT 1 / (NOT EXISTS (SELECT FROM chaos.broken WHERE job = {job}))::int"
KEEPS = "INSERT INTO chaos.told (input) SELECT current_setting('pgagent.input')::jsonb"
# Somebody looks once a minute at least; what is over by then is not told.
LASTS = """
DO $$
BEGIN
    FOR i IN 1..450 LOOP
        PERFORM pg_sleep(0.2);
        EXIT WHEN EXISTS (
            SELECT FROM pgagent.alert_log WHERE job_id = {job} AND event = 'long'
        );
    END LOOP;
END $$
"""

EVENTS = """
SELECT event_id::text, alert, event, job_id, state, run_id
FROM pgagent.alert_log WHERE job_id IS NOT NULL ORDER BY at, event_id
"""
UNSENT = "SELECT count(*) FROM pgagent.alert_log WHERE state IN ('pending', 'sending')"
SENDING_NOW = """
SELECT count(*) FROM pgagent.alert_log
WHERE state = 'sending' AND due > now() + interval '59 s'
"""
WELL = """
SELECT count(*) FROM pgagent.pga_job WHERE jobid = ANY (%s) AND jobfailures = 0
       AND jobsucceeded > 0
"""
MESSAGES = """
SELECT alemessage::text, array_agg(aleid::text ORDER BY aleat, aleid)
FROM pgagent.pga_alertevent WHERE alealert = 'job' AND alemessage IS NOT NULL GROUP BY 1
"""

RUNS_OF_TOLD = """
SELECT count(*) FROM pgagent.pga_joblog JOIN pgagent.pga_job ON jobid = jlgjobid
WHERE jobname = 'told'
"""

FAILED = frozenset({"failed", "aborted"})
RECOVERED = frozenset({"recovered"})
LATE = frozenset({"late"})
LONG = frozenset({"long", "aborted"})


class Troubles:
    """Jobs that fail and recover, are late or long: new ones each time.

    An alert tells the first two things of a job in an hour; the rest it counts.
    """

    def __init__(self, lab: Lab, conn: Connection) -> None:
        """Have no job yet."""
        self.lab, self.conn = lab, conn
        self.failing: list[int] = []
        self.late: list[int] = []
        self.long: list[int] = []
        self._number = 0

    def add(self) -> list[int]:
        """Have some jobs fail, one be late and another one be long."""
        self._number += 1
        jobs = []
        for n in range(JOBS_AT_ONCE):
            job = add_job(self.conn, f"fails {self._number}.{n}", sql_step(FAILS))
            self.conn.execute("INSERT INTO chaos.broken VALUES (%s)", [job])
            jobs.append(job)
        self.failing += jobs
        late = self._job("late", "SELECT 1", "joblateafter", host="nowhere")
        long = self._job("long", LASTS, "joblongafter")
        self.late.append(late)
        self.long.append(long)
        make_due(self.conn, [*jobs, late, long])
        return jobs

    def _job(self, kind: str, code: str, column: str, host: str = "") -> int:
        job = add_job(self.conn, f"{kind} {self._number}", sql_step(code), host=host)
        set_it = f"UPDATE pgagent.pga_job SET {column} = '1 second' WHERE jobid = %s"
        self.conn.execute(set_it.encode(), [job])
        return job

    def mend(self, jobs: list[int]) -> None:
        """Have these jobs succeed from now on."""
        self.conn.execute("DELETE FROM chaos.broken WHERE job = ANY (%s)", [jobs])
        self.rerun()

    def rerun(self) -> None:
        """Run what is mended and has not succeeded since: it may have been killed."""
        self.conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = ANY (%s)"
            " AND jobsucceeded = 0 AND jobagentid IS NULL AND jobnextrun IS NULL"
            " AND jobfailures > 0"
            " AND NOT EXISTS (SELECT FROM chaos.broken WHERE job = jobid)",
            [self.failing],
        )

    def end(self) -> None:
        """Mend everything, and let what is late run once that has been told."""
        query = (
            "SELECT count(DISTINCT (job_id, alert)) FROM pgagent.alert_log"
            " WHERE event = 'late' AND job_id = ANY (%s)"
        )
        wanted = len(self.late) * len(ALERTS)
        wait_until(lambda: scalar(self.conn, query, self.late) >= wanted, TOLD_WITHIN)
        self.conn.execute(
            "UPDATE pgagent.pga_job SET jobhostagent = '' WHERE jobid = ANY (%s)",
            [self.late],
        )
        self.conn.execute("DELETE FROM chaos.broken")

        def is_well() -> bool:
            self.rerun()
            jobs = self.failing
            return scalar(self.conn, WELL, jobs) == len(jobs) and at_rest(self.conn)

        took = wait_until(is_well, TOLD_WITHIN)
        self.lab.findings.at_most("all jobs are well after", took, TOLD_WITHIN, "s")

    def owed(self) -> Iterator[Owed]:
        """Yield what each alert has to tell, whatever it has decided."""
        for alert in ALERTS:
            for job in self.failing:
                yield Owed(alert, job, FAILED)
                yield Owed(alert, job, RECOVERED)
            for job in self.late:
                yield Owed(alert, job, LATE)
                yield Owed(alert, job, RECOVERED | FAILED)
            for job in self.long:
                yield Owed(alert, job, LONG)


class Killer:
    """Kills runners, which are started again, and the senders that they start."""

    def __init__(self, lab: Lab, conn: Connection, runners: list[Runner]) -> None:
        """Have killed nobody yet."""
        self._conn = conn
        self._lab = lab
        self._runners = runners
        self.killed = {"senders": 0, "runners": 0}

    def kill_runner(self) -> None:
        """Kill one of the runners, with two others alive, at a random moment."""
        time.sleep(self._lab.rng.uniform(0, 2))
        victim = self._lab.rng.choice(self._runners)
        victim.kill()
        self.killed["runners"] += 1
        time.sleep(self._lab.rng.uniform(0, 0.5))
        victim.start()
        victim.ready(times=victim.log.count(" serves database ") + 1)

    def kill_sender(self, seconds: float = 20) -> bool:
        """Kill a sender at some time of its life, or while something is on its way.

        Return whether there was one, and it had not ended.
        """
        rng = self._lab.rng
        is_wanted, longest = rng.choice(((self._senders, 1.2), (self._is_sending, 0.3)))
        if wait_until(is_wanted, seconds) is None:
            return False
        victim = rng.choice(self._senders() or [0])
        time.sleep(rng.uniform(0, longest))
        if victim not in self._senders():
            return False
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            self.killed["senders"] += 1
            return True
        return False

    def _is_sending(self) -> bool:
        """Tell whether a sender has just taken a message, and is alive."""
        return scalar(self._conn, SENDING_NOW) > 0 and bool(self._senders())

    def _senders(self) -> list[int]:
        """Return the senders that are children of the runners."""
        parents = {it.pid for it in self._runners}
        return [pid for pid in children(parents) if SENDING in command_of(pid)]


def children(parents: set[int]) -> list[int]:
    """Return the processes whose parent is one of these, without zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_bytes().rpartition(b")")[2].split()
            if fields[0] != b"Z" and int(fields[1]) in parents:
                found.append(int(stat.parent.name))
    return found


def command_of(pid: int) -> bytes:
    """Return the command line of a process, '' if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def configuration(directory: Path, hook: Hook, command: Command) -> Path:
    """Write a file with the channels that need one."""
    file = directory / "pgagent.toml"
    file.touch(0o600)
    file.write_text(
        f'[channels.hook]\ntype = "webhook"\nurl = "{hook.url}"\n'
        f'[channels.command]\ntype = "command"\ncommand = ["{command.program}"]\n'
    )
    return file


def add_alerts(conn: Connection) -> None:
    """Have everything told by everybody."""
    conn.execute(TABLES)
    add_job(conn, "told", sql_step(KEEPS))
    channels = {name: name.split()[0] for name in ALERTS} | {BY_JOB: "job:told"}
    for name, channel in channels.items():
        conn.execute("SELECT pgagent.add_alert(%s, %s)", [name, channel])


@scenario(
    "alerts",
    "kill -9 of senders and runners: each alert is sent and received, decided once",
    short=10,
    full=100,
    seconds=200,
)
def alerts(lab: Lab) -> None:
    """Kill a sender or a runner again and again while jobs fail and recover."""
    with ExitStack() as stack:
        cluster = stack.enter_context(server())
        conn = stack.enter_context(closing(cluster.connect()))
        hook = stack.enter_context(Hook(lab.rng))
        command = Command(lab.directory / "command")
        heard = stack.enter_context(Listener(cluster.dsn, BY_NOTIFY))
        add_alerts(conn)
        file = configuration(lab.directory, hook, command)
        runners = [
            stack.enter_context(
                runner(cluster.dsn, "--config", file, name=f"runner-{n}")
            ).ready()
            for n in range(RUNNERS)
        ]
        troubles, killer = Troubles(lab, conn), Killer(lab, conn, runners)
        cause(lab, troubles, killer)
        troubles.end()
        took = wait_until(lambda: scalar(conn, UNSENT) == 0, SETTLED_WITHIN)
        lab.findings.at_most("nothing left to be sent", took, SETTLED_WITHIN, "s")
        wait_until(lambda: at_rest(conn), 30)  # the job that is told, too
        time.sleep(0.5)  # until the last notification is heard
        lab.findings.figures["killed"] = str(killer.killed)
        lab.findings.figures["refused by the web server"] = str(hook.refused)
        deliveries = hook.deliveries + command.deliveries + heard.deliveries
        judge(lab, conn, [*deliveries, *told_job(lab, conn)], troubles)


def cause(lab: Lab, troubles: Troubles, killer: Killer) -> None:
    """Have troubles begin and end, and kill as often as the scenario is to."""
    broken: list[list[int]] = []
    while sum(killer.killed.values()) < lab.count:
        broken.append(troubles.add())
        if len(broken) > 1:
            troubles.mend(broken.pop(0))
        if lab.rng.random() < 1 / 3 or not killer.kill_sender():
            killer.kill_runner()


def told_job(lab: Lab, conn: Connection) -> list[Delivery]:
    """Return what the job has been told, and see that each message has had its run.

    A run that was killed has kept nothing.
    """
    kept = kept_by_job(conn)
    messages = dict(conn.execute(MESSAGES).fetchall())
    runs = scalar(conn, RUNS_OF_TOLD)
    killed = scalar(conn, f"{RUNS_OF_TOLD} AND jlgstatus = '{ABORTED}'")
    lab.findings.expect("runs for messages to a job", runs, len(messages))
    missing = messages.keys() - {it.message for it in kept}
    lab.findings.expect(
        "messages to a job that no run has kept, and none was killed with",
        max(0, len(missing) - killed),
        0,
    )
    return kept + [Delivery(BY_JOB, it, tuple(messages[it])) for it in missing]


def judge(
    lab: Lab, conn: Connection, deliveries: list[Delivery], troubles: Troubles
) -> None:
    """Compare what was decided with what was received."""
    events = [Event(*row) for row in conn.execute(EVENTS)]
    # What concerns all jobs depends on how long a runner was away.
    about_all = {
        row[0]
        for row in conn.execute(
            "SELECT event_id::text FROM pgagent.alert_log WHERE job_id IS NULL"
        )
    }
    deliveries = [
        it._replace(events=tuple(e for e in it.events if e not in about_all))
        for it in deliveries
    ]
    owed = list(troubles.owed())
    verdict = check_telling(events, deliveries, owed)
    for kind, count in verdict.faults().items():
        lab.findings.expect(kind, count, 0)
    figures = lab.findings.figures
    figures["events told"] = str(verdict.told)
    figures["messages"] = str(len({(d.alert, d.message) for d in deliveries}))
    figures["of which came more than once"] = str(verdict.repeated)
    for kind in ("undecided", "unsent", "lost", "decided_twice", "changed", "made_up"):
        for it in getattr(verdict, kind):
            lab.note(f"{kind}: {it}")
    # Whoever finds nothing has to be able to.
    victim = deliveries[0]
    without = [it for it in deliveries if it.message != victim.message]
    planted = check_telling(events, without, owed)
    found = len(planted.lost) - len(verdict.lost)
    lab.findings.expect("events of a planted loss", found, len(set(victim.events)))
