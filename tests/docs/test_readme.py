"""What the documentation says is true of what it documents."""

import re
from contextlib import closing

import psycopg
import pytest
from daemon.runner_process import Runner
from documents import block
from jobs import add_job, add_schedule, job, runs
from psycopg.conninfo import make_conninfo
from support import ROOT, database, poll
from transitions import (
    claim_rows,
    finish_run,
    finish_step,
    leave,
    register,
    start_step,
)

PAGES = [
    page
    for pattern in ("*.md", "docs/**/*.md", "bench/results/*.md")
    for page in sorted(ROOT.glob(pattern))
]


@pytest.fixture
def empty(cluster, maker):
    """An empty database: its connection string."""
    with database(maker, "empty", "template0") as name:
        yield cluster.conninfo(name)


def test_three_statements_make_a_job_that_is_seen_to_run(empty):
    first = block("README.md", "CREATE EXTENSION")
    assert first.count(";") == 3
    create, schedule, show = first.splitlines()
    with closing(psycopg.connect(empty, autocommit=True)) as conn:
        conn.execute(create)
        conn.execute(schedule.replace("30 seconds", "1 second"))
        ((job, state, *_),) = conn.execute(show).fetchall()
        assert job == "tick"
        assert state in {"waiting", "due"}  # a second is over soon

        with Runner(empty):
            poll(lambda: conn.execute(show).fetchall()[0][4] == "succeeded")


def test_the_sql_of_the_readme_makes_a_job_that_is_due_at_night(conn):
    conn.execute(block("README.md", "SELECT pgagent.schedule('nightly'"))

    assert conn.execute(
        "SELECT to_char(jobnextrun AT TIME ZONE 'Europe/Berlin', 'HH24:MI:SS')"
        " FROM pgagent.pga_job WHERE jobname = 'nightly'"
    ).fetchone() == ("02:30:00",)
    register(conn)
    conn.execute(block("README.md", "SELECT pgagent.add_step('nightly'"))
    assert [row[4:7] for row in claim_rows(conn)] == [
        ("command", "s", "VACUUM (ANALYZE)"),
        ("report", "b", "#!/bin/sh\ndf -h /"),
    ]
    conn.execute(block("README.md", "SELECT job, state, next_run, last_status, last"))


def test_the_readme_of_the_runner_says_what_the_readme_says():
    first = block("README.md", "CREATE EXTENSION")
    assert first.startswith(block("python/README.md", "CREATE EXTENSION"))
    run = block("README.md", "pgagent run")
    assert block("python/README.md", "pgagent run") == run


def test_the_sql_for_those_who_come_from_pg_cron_runs(conn):
    conn.execute(block("docs/pg_cron.md", "SELECT pgagent.schedule('nightly"))

    owner = conn.execute(
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'pgagent.pga_job'::regclass"
    ).fetchone()[0]
    here = (owner, "localhost", conn.info.port)
    assert conn.execute("TABLE pgagent.job ORDER BY jobid").fetchall() == [
        (1, "0 2 * * *", "VACUUM", conn.info.dbname, False, "nightly-vacuum", *here),
        (3, "0 4 * * 0", "VACUUM", "postgres", True, "weekly-vacuum", *here),
    ]
    conn.execute(block("docs/pg_cron.md", "SELECT pgagent.schedule('report'"))
    assert conn.execute(
        "SELECT jobtimeout::text, jobmissed, jsctimezone FROM pgagent.pga_job"
        " JOIN pgagent.pga_schedule ON jscjobid = jobid WHERE jobname = 'report'"
    ).fetchone() == ("01:00:00", "skip", "Europe/Berlin")


@pytest.fixture
def a_role_of_the_docs(conn):
    """Create a role as docs/security.md says; it is dropped afterwards."""
    created = []

    def create():
        text = block("docs/security.md", "CREATE ROLE pgagent_runner")
        conn.execute(text)
        created.extend(re.findall(r"CREATE ROLE (\w+)", text))
        return created[0]

    yield create
    for role in created:
        conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_runners_role_of_the_docs_can_do_its_work(conn, dsn, a_role_of_the_docs):
    role = a_role_of_the_docs()
    add_job(conn, "SELECT 1")

    with closing(psycopg.connect(dsn, user=role, autocommit=True)) as session:
        register(session)
        ((run_id, _, _, step_id, *_),) = claim_rows(session)
        finish_step(session, run_id, start_step(session, run_id, step_id))
        finish_run(session, run_id)

    assert runs(conn) == [("s", None)]


def test_a_runner_with_the_role_of_the_docs_runs_jobs(conn, dsn, a_role_of_the_docs):
    role = a_role_of_the_docs()
    add_job(conn, "SELECT 1", {"jstkind": "b", "jstcode": "true"})
    conn.execute("SELECT pgagent.schedule('soon', '1 second', 'SELECT 1')")
    conn.execute("SELECT pgagent.run_job('soon')")

    with Runner(make_conninfo(dsn, user=role)):
        poll(lambda: {("s", None)} == set(runs(conn)) and len(runs(conn)) > 2)


def test_the_runners_role_of_the_docs_can_keep_house(conn, dsn, a_role_of_the_docs):
    role = a_role_of_the_docs()
    job_id = add_job(conn, due=None, jobmissed="skip", jobdeaths=2, jobkeepruns=1)
    add_schedule(conn, job_id, jscstart="2020-01-01")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = '2020-01-01'")
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus)"
        " SELECT %s, 's' FROM generate_series(1, 3)",
        [job_id],
    )

    with closing(psycopg.connect(dsn, user=role, autocommit=True)) as session:
        register(session)
        session.execute(
            "SELECT pgagent.pga_agent_session(pg_backend_pid(), pg_backend_pid())"
        )
        claim_rows(session)
        session.execute("SELECT pgagent.pga_log_prune(0, 10, 10)")
        session.execute("SELECT pgagent.pga_agent_bury_run(%s, true, 'x')", [job_id])
        leave(session)

    assert len(runs(conn)) == 1
    assert conn.execute("SELECT FROM pgagent.pga_jobskip").rowcount == 1
    assert job(conn, job_id, "jobenabled") is False


def test_the_runners_role_of_the_docs_cannot_change_jobs(conn, dsn, a_role_of_the_docs):
    role = a_role_of_the_docs()
    add_job(conn, "SELECT 1")

    with closing(psycopg.connect(dsn, user=role, autocommit=True)) as session:
        for deed in (
            "UPDATE pgagent.pga_jobstep SET jstcode = ''",
            "UPDATE pgagent.pga_job SET jobname = ''",
            "DELETE FROM pgagent.pga_job",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(deed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)[#)]", page.read_text()):
        assert (page.parent / target).exists(), target
