"""Installation, use and upgrade in databases of every encoding.

`make test` takes one or two of each kind, ENCODINGS=all every one, as `make gates` does.
"""

import os
from contextlib import closing

import psycopg
import pytest
from jobs import add_job, job
from psycopg.conninfo import make_conninfo
from support import ROOT, database
from transitions import claim_rows, finish_run, finish_step, register, start_step

from .contents import add_everywhere

OF_SERVERS = """
    SELECT pg_encoding_to_char(n) FROM generate_series(0, 60) AS n
    WHERE pg_encoding_to_char(n) <> '' AND n <= pg_char_to_encoding('KOI8U')
"""
# KOI8U is the last of them; those after it are for clients only.


def encodings(administration):
    return [name for (name,) in administration.execute(OF_SERVERS)]


def one_run(session):
    """Have a job run, by hand; return how many runs have succeeded."""
    job_id = add_job(session, "SELECT 'x'", name="a job")
    register(session)
    ((run_id, _, _, step_id, *_),) = claim_rows(session)
    finish_step(session, run_id, start_step(session, run_id, step_id))
    finish_run(session, run_id)
    assert job(session, job_id, "jobagentid") is None
    succeeded = "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus = 's'"
    return session.execute(succeeded).fetchone()[0]


KINDS = {
    *("EUC_JP", "EUC_CN", "EUC_KR", "EUC_TW", "EUC_JIS_2004"),  # each with own tables
    *("UTF8", "MULE_INTERNAL", "SQL_ASCII"),
    *("LATIN1", "WIN1251", "KOI8U"),  # a byte a character: those of ISO, and others
}


@pytest.mark.needs("pgagent_4_2")
def test_every_encoding_is_served(administration, maker, cluster):
    names = encodings(administration)
    assert set(names) >= KINDS
    assert len(names) >= 34
    for name in names if os.environ.get("ENCODINGS") == "all" else sorted(KINDS):
        options = f"ENCODING '{name}' LOCALE 'C'"
        with database(maker, "encoded", "template0", options=options):
            # This is the only one that can't be converted.
            client = "SQL_ASCII" if name == "MULE_INTERNAL" else "UTF8"
            dsn = make_conninfo(cluster.conninfo("encoded"), client_encoding=client)
            with closing(psycopg.connect(dsn, autocommit=True)) as session:
                session.execute("CREATE EXTENSION pgagent")
                assert one_run(session) == 1, name
                session.execute("DROP EXTENSION pgagent")
                session.execute("CREATE EXTENSION pgagent VERSION '4.2'")
                session.execute("ALTER EXTENSION pgagent UPDATE")
                add_everywhere(session)


@pytest.mark.parametrize("path", [*ROOT.glob("sql/**/*.*"), *ROOT.glob("extension/*")])
def test_no_script_goes_beyond_ascii(path):
    assert path.read_bytes().isascii()
