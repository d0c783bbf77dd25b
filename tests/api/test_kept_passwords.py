"""A connection string with a password may be stored; whoever stores it is told."""

import subprocess

import psycopg
import pytest
from jobs import add_job, add_step

WITH = (
    "host=h password=geheim",
    "password = 'open sesame' host=h",
    "host=h sslpassword=x",
    "postgresql://u:geheim@h/d",
    "postgres://u:a:b@h",
    "postgresql://h/d?password=x",
    "postgresql://h/d?connect_timeout=1&password=x&user=u",
)
WITHOUT = (
    "host=h user=u",
    "service=mine dbname=d",
    "host=h passfile=secrets/mine",
    "host=h password=",
    "host=h password='' user=u",
    "postgresql://u@h:5432/d",
    "postgresql://[::1]:5432/d",
    "postgresql:///d?host=/tmp:1",
    "host=h user=password",
)


@pytest.fixture
def notices(conn):
    found = []
    conn.add_notice_handler(
        lambda it: found.append(
            (it.message_primary, it.message_detail, it.message_hint)
        )
    )
    return found


def step_at(conn, job_id, conninfo):
    return add_step(conn, job_id, {"jstcode": "SELECT 1", "jstconnstr": conninfo})


@pytest.mark.parametrize("conninfo", WITH)
def test_a_password_that_is_stored_draws_a_notice(conn, notices, conninfo):
    step = step_at(conn, add_job(conn, due=None), conninfo)

    ((said, detail, hint),) = notices
    assert said == 'pgagent: the connection string of step "step" holds a password'
    assert (
        detail == "Whoever may read pga_jobstep or a dump of it can read the password."
    )
    assert ".pgpass" in hint
    assert not {"geheim", "sesame"} & set(f"{said} {detail} {hint}".split())

    # Nobody is told again who changes something else.
    conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstdesc = 'x' WHERE jstid = %s", [step]
    )
    assert len(notices) == 1
    change = (
        "UPDATE pgagent.pga_jobstep SET jstconnstr = jstconnstr || ' ' WHERE jstid = %s"
    )
    conn.execute(change, [step])
    assert len(notices) == 2


@pytest.mark.parametrize("conninfo", WITHOUT)
def test_without_a_password_nothing_is_said(conn, notices, conninfo):
    step_at(conn, add_job(conn, due=None), conninfo)

    assert notices == []


def test_add_step_tells_it_as_well(conn, notices):
    conn.execute("SELECT pgagent.create_job('job')")
    conn.execute(
        "SELECT pgagent.add_step('job', 'step', 'SELECT 1', conninfo => 'host=h password=x')"
    )

    assert len(notices) == 1


@pytest.mark.needs("extension")
def test_a_restored_dump_says_nothing_of_it(cluster, conn, dsn):
    step_at(conn, add_job(conn, due=None), WITH[0])
    dump = subprocess.run(
        [cluster.bindir / "pg_dump", dsn], check=True, capture_output=True
    ).stdout
    with psycopg.connect(cluster.conninfo(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE restored TEMPLATE template0")
    try:
        psql = [cluster.bindir / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*psql, cluster.conninfo("restored")],
            check=True,
            input=dump,
            capture_output=True,
        )
        assert b"holds a password" not in done.stderr
        with psycopg.connect(cluster.conninfo("restored")) as restored:
            query = "SELECT jstconnstr FROM pgagent.pga_jobstep"
            assert restored.execute(query).fetchall() == [(WITH[0],)]
    finally:
        with psycopg.connect(cluster.conninfo(), autocommit=True) as admin:
            admin.execute("DROP DATABASE restored WITH (FORCE)")
