"""A server with two teams, and a runner whose steps run as one or the other.

team_a is run as by ticket, team_l by its own login, and team_b is whose rights both are
after. The runner's login is a superuser: nobody would gain more by an escape.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from cluster import Cluster
from daemon.runner_process import Runner
from psycopg.conninfo import make_conninfo

ROLES = {"ticket": "team_a", "login": "team_l"}
SETUP = """
    CREATE ROLE team_a;
    CREATE ROLE team_b;
    CREATE ROLE team_l LOGIN PASSWORD 'lll';
    CREATE ROLE m_agent LOGIN PASSWORD 'mmm' IN ROLE team_a, team_b, team_l;
    CREATE SCHEMA app;
    CREATE TABLE app.secret_b (x int);
    ALTER TABLE app.secret_b OWNER TO team_b;
    CREATE TABLE app.ledger (x int);
    CREATE TABLE public.bookkeeping (done text);
    GRANT USAGE ON SCHEMA app TO PUBLIC;
    GRANT SELECT ON app.ledger TO m_agent;
    GRANT CREATE ON DATABASE bazaar TO team_a, team_l, m_agent;
    GRANT CREATE ON SCHEMA app TO m_agent;
    SELECT pgagent.allow_run_as('team_a');
    SELECT pgagent.allow_run_as('team_l', by => 'login');
"""
FAR = """
    CREATE EXTENSION dblink;
    CREATE EXTENSION postgres_fdw;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw
        OPTIONS (host '127.0.0.1', port '{port}', dbname 'bazaar');
    CREATE USER MAPPING FOR postgres SERVER far
        OPTIONS (user 'postgres', password '{password}');
    CREATE USER MAPPING FOR m_agent SERVER far
        OPTIONS (user 'm_agent', password 'mmm');
    CREATE FOREIGN TABLE app.far_secret (x int) SERVER far
        OPTIONS (schema_name 'app', table_name 'secret_b');
    GRANT SELECT ON app.far_secret TO PUBLIC
"""
PYTHON = """
    CREATE EXTENSION plpython3u;
    UPDATE pg_language SET lanpltrusted = true WHERE lanname = 'plpython3u';
    GRANT USAGE ON LANGUAGE plpython3u TO PUBLIC
"""


@dataclass
class Bazaar:
    """The server's database, and how to get there."""

    cluster: Cluster
    passfile: Path

    @property
    def dsn(self) -> str:
        """Where passwords are asked for."""
        return self.cluster.conninfo("bazaar", tcp=True)

    def dsn_of(self, user: str, password: str) -> str:
        return make_conninfo(self.dsn, user=user, password=password)

    def runner(self, *arguments: object) -> Runner:
        environ = {"PGPASSFILE": str(self.passfile), "PGPASSWORD": "nobody's"}
        return Runner(*arguments, self.dsn, environ=environ)


@pytest.fixture(scope="session")
def bazaar(has, tmp_path_factory):
    settings = {"max_prepared_transactions": "5", "autovacuum": "off"}
    passfile = tmp_path_factory.mktemp("runner") / "pgpass"
    passfile.write_text("*:*:*:team_l:lll\n")
    passfile.chmod(0o600)
    with Cluster(settings, tcp=True, is_twin=True) as cluster:
        with psycopg.connect(cluster.conninfo(), autocommit=True) as conn:
            conn.execute("CREATE DATABASE bazaar")
        with psycopg.connect(cluster.conninfo("bazaar"), autocommit=True) as conn:
            conn.execute("CREATE EXTENSION pgagent")
            conn.execute(SETUP)
            if has("contrib"):
                conn.execute(FAR.format(port=cluster.port, password=cluster.password))
            if has("plpython"):
                conn.execute(PYTHON)
        yield Bazaar(cluster, passfile)


@pytest.fixture
def admin(bazaar):
    """A session of the superuser; what jobs have left behind is removed in the end."""
    with closing(psycopg.connect(bazaar.dsn, autocommit=True)) as conn:
        yield conn
        clean(conn)


def clean(conn) -> None:
    conn.execute("DELETE FROM pgagent.pga_job")
    for (gid,) in conn.execute("SELECT gid FROM pg_prepared_xacts").fetchall():
        conn.execute(f"ROLLBACK PREPARED '{gid}'")
    conn.execute("REVOKE team_b FROM team_a, team_l")
    conn.execute("DROP FUNCTION IF EXISTS app.sd(); DROP VIEW IF EXISTS app.v")
    conn.execute("ALTER SYSTEM RESET ALL")
    conn.execute("ALTER TABLE app.secret_b OWNER TO team_b")
    conn.execute(
        "ALTER DEFAULT PRIVILEGES FOR ROLE team_b REVOKE ALL ON TABLES FROM team_a"
    )
    for role in ("postgres", "m_agent", "team_a", "team_l"):
        conn.execute(f"ALTER ROLE {role} RESET ALL")
        conn.execute(f"DROP SCHEMA IF EXISTS {role}_evil CASCADE")


@pytest.fixture(scope="module")
def agent(bazaar):
    """A runner that goes on for all tests of a module."""
    with bazaar.runner() as runner:
        yield runner.ready()


@pytest.fixture(params=ROLES)
def role(request):
    """A role of each kind: by ticket, and by its own login."""
    return ROLES[request.param]
