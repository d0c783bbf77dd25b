"""The floor: the least SQL that honestly records a run, and no agent around it.

One statement claims a job and opens its log, the step's own statement follows in its
own transaction, and one more closes the log, computes the next run and frees the job.
pgbench repeats that. In batches, 100 jobs share the first and the last transaction.
"""

import os
import subprocess
import time
from pathlib import Path

from server import EVERY, STEP, Bench

CLAIM = """\
WITH due AS MATERIALIZED (
    SELECT jobid FROM pgagent.pga_job
    WHERE jobagentid IS NULL AND jobnextrun <= now()
    ORDER BY jobnextrun, jobid LIMIT {batch} FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE pgagent.pga_job AS j SET jobagentid = {agent}, joblastrun = now()
    FROM due WHERE j.jobid = due.jobid RETURNING j.jobid
), opened AS (
    INSERT INTO pgagent.pga_joblog (jlgjobid, jlgagentid)
    SELECT jobid, {agent} FROM claimed RETURNING jlgid, jlgjobid
), started AS (
    INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid)
    SELECT jlgid, jstid FROM opened JOIN pgagent.pga_jobstep ON jstjobid = jlgjobid
    RETURNING jslid
)
SELECT COALESCE((SELECT array_agg(jlgjobid) FROM opened), '{{}}') AS jobs,
       COALESCE((SELECT array_agg(jlgid) FROM opened), '{{}}') AS runs,
       COALESCE((SELECT array_agg(jslid) FROM started), '{{}}') AS steps
\\gset
"""
FINISH = """\
WITH step AS (
    UPDATE pgagent.pga_jobsteplog
    SET jslstatus = 's', jslresult = 1, jslduration = clock_timestamp() - jslstart
    WHERE jslid = ANY (:steps::bigint[])
), run AS (
    UPDATE pgagent.pga_joblog
    SET jlgstatus = 's', jlgduration = clock_timestamp() - jlgstart
    WHERE jlgid = ANY (:runs::bigint[])
)
UPDATE pgagent.pga_job
SET jobagentid = NULL, jobnextrun = pgagent.pga_job_next_run(jobid)
WHERE jobid = ANY (:jobs::integer[]);
"""
CLIENTS = 1, 4, 8, 16, 32
BATCHES = {"unbatched": 1, "batches of 100": 100}
JOBS = 10_000
WARM_UP = 1.0


def floor(bench: Bench) -> dict[str, list[float]]:
    """Measure both floors with several numbers of clients."""
    rounds = 1 if bench.quick else 3
    seconds = 2 if bench.quick else 6
    bench.clear()
    bench.add_jobs(JOBS)
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        for kind, batch in BATCHES.items():
            for clients in CLIENTS:
                name = f"floor, {kind}, {clients} clients"
                rates.setdefault(name, []).append(rate(bench, batch, clients, seconds))
    return rates


def rate(bench: Bench, batch: int, clients: int, seconds: float) -> float:
    """Return the runs a second that so many clients record."""
    bench.conn.execute("UPDATE pgagent.pga_job SET jobagentid = NULL")
    bench.reset()
    bench.make_due("now()")
    bench.conn.execute("DELETE FROM pgagent.pga_jobagent")
    agent = bench.one(
        "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation)"
        " VALUES (pg_backend_pid(), 'floor') RETURNING jagpid"
    )
    script = Path(bench.cluster.host, "floor.sql")
    steps = f"{STEP.format(job=0)};\n" * batch
    script.write_text(CLAIM.format(batch=batch, agent=agent) + steps + FINISH)
    command = [
        *("pgbench", "--no-vacuum", "--protocol=prepared", f"--client={clients}"),
        *(f"--jobs={min(clients, 2)}", f"--time={int(seconds + WARM_UP + 2)}"),
        *("--file", str(script)),
    ]
    # As for the agents: a table that was empty at first must not be scanned for ever.
    planner = {"PGOPTIONS": "-c enable_seqscan=off -c jit=off"}
    with subprocess.Popen(
        command,
        env=bench.cluster.client_environ("bench") | planner,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        measured = successes_per_second(bench, seconds)
        assert process.stderr
        errors = process.stderr.read()
    if process.returncode != 0:
        raise RuntimeError(f"pgbench failed:\n{errors}")
    return measured


def successes_per_second(bench: Bench, seconds: float) -> float:
    """Return how many runs succeed a second, while finished jobs are made due again."""
    rearm_for(bench, WARM_UP)
    begin = time.monotonic()
    before = bench.count("s")
    rearm_for(bench, seconds)
    runs = bench.count("s") - before
    return runs / (time.monotonic() - begin)


def rearm_for(bench: Bench, seconds: float, last: int = EVERY) -> None:
    """Make finished jobs up to a number due again, in bulk, for so long."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(0.25, left))
        bench.rearm(last)


def cores() -> int:
    """Return how many processors there are."""
    return len(os.sched_getaffinity(0))
