"""R7, R8: many runners and many jobs that are due at once."""

from contextlib import closing

from chaos.faults import wait_until
from chaos.fleet import runner
from chaos.history import scalar
from chaos.lab import Lab, scenario
from chaos.server import DATABASE, Connection, server

RUNNERS = 8
TRIVIAL = "SELECT 1"


@scenario(
    "R7",
    "claims: 8 runners, 1000 due jobs at once, each runs exactly once",
    short=1,
    full=10,
    seconds=45,
)
def claims(lab: Lab) -> None:
    """Make all jobs due, `count` times."""
    jobs = 1000 if lab.long else 400
    with server() as cluster, closing(cluster.connect()) as conn, lab.fleet() as fleet:
        for number in range(RUNNERS):
            fleet.add(runner(cluster.dsn, "--workers", 8, name=f"runner-{number}"))
        for it in fleet.runners:
            it.ready(60)
        add_many(conn, jobs, TRIVIAL)
        wrong = ill = 0
        for _ in range(lab.count):
            conn.execute("DELETE FROM pgagent.pga_joblog")
            conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
            wait_until(lambda: ended(conn) >= jobs and idle(conn), 120)
            wrong += abs(ended(conn) - jobs)
            wrong += scalar(
                conn,
                "SELECT count(*) FROM (SELECT FROM pgagent.pga_joblog"
                " GROUP BY jlgjobid HAVING count(*) <> 1) AS doubled",
            )
            ill += scalar(
                conn, "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus <> 's'"
            )
        lab.findings.expect(f"runs too many or too few of {lab.count * jobs}", wrong, 0)
        lab.findings.expect("rows that are not s", ill, 0)


@scenario(
    "R8",
    "overload: 200 jobs at once on a server with 40 connections only wait",
    short=1,
    full=3,
    seconds=40,
)
def overload(lab: Lab) -> None:
    """Have four runners fight for too few connections."""
    jobs = 200
    with (
        server({"max_connections": "40"}) as cluster,
        closing(cluster.connect()) as conn,
        lab.fleet() as fleet,
    ):
        for number in range(4):
            fleet.add(runner(cluster.dsn, name=f"runner-{number}")).ready()
        add_many(conn, jobs, "SELECT pg_sleep(0.2)")
        for _ in range(lab.count):
            conn.execute("DELETE FROM pgagent.pga_joblog")
            conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
            took = wait_until(lambda: ended(conn) >= jobs and idle(conn), 120)
            lab.findings.figures["seconds for all"] = str(took and round(took, 1))
            statuses = dict(
                conn.execute(
                    "SELECT jlgstatus::text, count(*) FROM pgagent.pga_joblog"
                    " GROUP BY 1"
                ).fetchall()
            )
            lab.findings.expect("runs by status", statuses, {"s": jobs})
        lab.findings.expect("runners that ended", 4 - len(fleet.living), 0)


def add_many(conn: Connection, count: int, code: str) -> None:
    """Create jobs with one SQL step each."""
    with conn.transaction():
        conn.execute(
            "INSERT INTO pgagent.pga_job (jobjclid, jobname)"
            " SELECT 1, 'job ' || n FROM generate_series(1, %s) AS n",
            [count],
        )
        conn.execute(
            "INSERT INTO pgagent.pga_jobstep"
            " (jstjobid, jstname, jstkind, jstcode, jstdbname)"
            " SELECT jobid, 'step', 's', %s, %s FROM pgagent.pga_job",
            [code, DATABASE],
        )


def ended(conn: Connection) -> int:
    """Return how many runs have ended."""
    return scalar(
        conn, "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus <> 'r'"
    )


def idle(conn: Connection) -> bool:
    """Whether nothing is due or runs."""
    query = (
        "SELECT count(*) FROM pgagent.pga_job"
        " WHERE jobagentid IS NOT NULL OR jobnextrun IS NOT NULL"
    )
    return scalar(conn, query) == 0
