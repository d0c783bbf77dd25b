"""Mistakes at the start are told as such: where, why, and what puts it right, in a line."""

import os
import re
import resource
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg
import pytest
from jobs import add_job
from pgagent_runner.agent.agent import Agent
from pgagent_runner.catalog import CatalogError, CatalogLostError, Registration
from pgagent_runner.options import AgentOptions
from psycopg.conninfo import make_conninfo
from support import poll

from .runner_process import Runner

SECRET = "s3cr3t"


def refusal(dsn):
    """Return the line that is said instead of registering."""
    with pytest.raises(CatalogError) as refused, Registration(dsn, "here", 20) as it:
        it.register()
    told = str(refused.value)
    assert "\n" not in told
    return told


@contextmanager
def role(conn, options="LOGIN"):
    conn.execute("DROP ROLE IF EXISTS starter")
    conn.execute(f"CREATE ROLE starter {options}")
    try:
        yield "starter"
    finally:
        conn.execute("DROP OWNED BY starter; DROP ROLE starter")


# Connections


CONNECTIONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a wrong password": (
        {"password": SECRET},
        "password authentication failed for user",
        'it belongs into .pgpass, and ALTER ROLE "{user}" PASSWORD … sets another one',
    ),
    "no password": ({"password": None}, "no password supplied", ".pgpass"),
    "a role that is not there": (
        {"host": "{socket}", "user": "nobody-there"},
        'role "nobody-there" does not exist',
        '; CREATE ROLE "nobody-there" LOGIN, or user=…',
    ),
    "a database that is not there": (
        {"host": "{socket}", "dbname": "nowhere"},
        'database "nowhere" does not exist',
        '; CREATE DATABASE "nowhere", or dbname=…',
    ),
    "a database that takes no sessions": (
        {"host": "{socket}", "dbname": "template0"},
        "is not currently accepting connections",
        '; ALTER DATABASE "template0" ALLOW_CONNECTIONS true',
    ),
    "a port where nobody listens": (
        {"port": 1},
        "Connection refused",
        "; check host and port, and whether the server runs and listens there",
    ),
    "a socket that is not there": (
        {"host": "/nowhere"},
        "No such file or directory",
        "; check host and port",
    ),
    "a host without an address": (
        {"host": "nowhere.invalid"},
        "nowhere.invalid",
        "; check the name of the host, and the name service",
    ),
    "no host that is what is wanted": (
        {"target_session_attrs": "standby"},
        "server is not in hot standby mode",
        "; none of the hosts is what target_session_attrs asks for",
    ),
    "SSL that the server does not have": (
        {"sslmode": "require"},
        "server does not support SSL",
        "; set ssl = on there, or sslmode=prefer here",
    ),
    "an unknown service": (
        {"service": "nothing"},
        'definition of service "nothing" not found',
        "; service= (or PGSERVICE) needs a section of that name",
    ),
}


@pytest.mark.parametrize("case", CONNECTIONS)
def test_why_there_is_no_connection(frail, frail_dsn, monkeypatch, tmp_path, case):
    given, cause, remedy = CONNECTIONS[case]
    service_file = tmp_path / "service"
    service_file.touch()
    monkeypatch.setenv("PGSERVICEFILE", str(service_file))
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    parts = psycopg.conninfo.conninfo_to_dict(frail.conninfo("frail", tcp=True))
    parts |= {
        k: v.format(socket=frail.host) if isinstance(v, str) else v
        for k, v in given.items()
    }
    told = refusal(make_conninfo("", **{k: v for k, v in parts.items() if v}))

    where = (
        f'service "{parts["service"]}"'
        if "service" in parts
        else f'database "{parts["dbname"]}"'
    )
    assert told.startswith(f"can't connect to {where}: ")
    assert cause in told
    assert remedy.format(user=parts["user"]) in told
    assert SECRET not in told
    assert frail.password not in told


def test_a_missing_file_of_services_is_told(monkeypatch):
    monkeypatch.setenv("PGSERVICEFILE", "/nowhere/services")

    assert "or in the file that PGSERVICEFILE names" in refusal("service=x")


def test_of_a_password_that_was_taken_for_something_else_nothing_is_shown():
    for rest in ("p@ss", "p@ss/word", "pass/w@rd"):
        told = refusal(f"postgresql://me:{SECRET}{rest}@127.0.0.1:1/x")
        assert SECRET not in told
        assert "are written %40" in told or "malformed" in told


@pytest.mark.parametrize(
    ("change", "undo", "cause", "remedy"),
    [
        (
            "ALTER ROLE starter NOLOGIN",
            "ALTER ROLE starter LOGIN",
            'role "starter" is not permitted to log in',
            '; ALTER ROLE "starter" LOGIN',
        ),
        (
            "ALTER ROLE starter CONNECTION LIMIT 0",
            "ALTER ROLE starter CONNECTION LIMIT -1",
            'too many connections for role "starter"',
            "the CONNECTION LIMIT of the role or the database",
        ),
        (
            "REVOKE CONNECT ON DATABASE frail FROM PUBLIC",
            "GRANT CONNECT ON DATABASE frail TO PUBLIC",
            'permission denied for database "frail"',
            '; GRANT CONNECT ON DATABASE "frail" TO "starter"',
        ),
    ],
)
def test_a_login_that_may_not_connect(
    frail_conn, frail_dsn, change, undo, cause, remedy
):
    with role(frail_conn):
        frail_conn.execute(change)
        try:
            told = refusal(make_conninfo(frail_dsn, user="starter"))
        finally:
            frail_conn.execute(undo)

    assert told.startswith('can\'t connect to database "frail": ')
    assert cause in told
    assert remedy in told


def test_a_host_that_pg_hba_conf_does_not_know(frail, frail_conn, frail_dsn):
    hba = frail.data / "pg_hba.conf"
    before = hba.read_text()
    lines = [line for line in before.splitlines() if not line.startswith("host")]
    hba.write_text("\n".join(lines) + "\n")
    frail_conn.execute("SELECT pg_reload_conf()")
    try:
        tcp = frail.conninfo("frail", tcp=True)
        for _ in range(100):
            if "no pg_hba.conf entry" in (told := refused_or_nothing(tcp)):
                break
    finally:
        hba.write_text(before)
        frail_conn.execute("SELECT pg_reload_conf()")

    assert told.startswith('can\'t connect to database "frail": ')
    assert "; add a line for it to the server's pg_hba.conf" in told


def refused_or_nothing(dsn):
    try:
        Registration(dsn, "here", 20).__exit__()
    except CatalogError as e:
        return str(e)
    return ""


def test_a_server_that_has_no_connection_left(frail, frail_conn, frail_dsn):
    with ExitStack() as stack:

        def take_all():
            while True:
                stack.enter_context(Registration(frail_dsn, "here", 20))

        with pytest.raises(CatalogLostError) as refused:
            take_all()
    assert 'can\'t connect to database "frail": ' in str(refused.value)
    assert "or an administrator raises max_connections" in str(refused.value)


def test_an_encoding_that_cannot_be_translated(frail):
    with closing(psycopg.connect(frail.conninfo(), autocommit=True)) as admin:
        admin.execute("DROP DATABASE IF EXISTS mule")
        try:
            admin.execute(
                "CREATE DATABASE mule ENCODING 'MULE_INTERNAL' LOCALE 'C' TEMPLATE template0"
            )
        except psycopg.errors.UndefinedObject:  # from PostgreSQL 19 on
            return
        told = refusal(frail.conninfo("mule"))
        admin.execute("DROP DATABASE mule")

    assert "; the runner speaks UTF-8, which the server can't translate" in told


# What the database has


def test_what_was_made_by_a_newer_version_is_told(conn, dsn):
    conn.execute(
        "CREATE OR REPLACE FUNCTION pgagent.pgagent_version() RETURNS text"
        " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT '99.1.0'::text $$;"
        " ALTER FUNCTION pgagent.pga_agent_register RENAME TO pga_agent_registers"
    )

    assert re.search(
        r'database ".*": it has pgagent 99\.1\.0, and this runner is of [\d.]+:'
        r" install the runner of 99\.1\.0$",
        refusal(dsn),
    )


TRIGGER = """
    CREATE FUNCTION public.starts() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        {code}; RETURN NEW; END$$;
    CREATE TRIGGER "My alert" {when} ON pgagent.{table}
        FOR EACH ROW EXECUTE FUNCTION public.starts();
"""


@pytest.mark.parametrize(
    ("table", "when", "code", "cause", "remedy"),
    [
        (
            "pga_jobagent",
            "BEFORE INSERT",
            "RAISE 'no mail'",
            "no mail",
            'ALTER TABLE pgagent.pga_jobagent DISABLE TRIGGER "My alert"',
        ),
        (
            "pga_jobagent",
            "AFTER INSERT",
            "INSERT INTO audit VALUES (1)",
            'relation "audit" does not exist',
            "ALTER FUNCTION public.starts() SET search_path = …",
        ),
        (
            "pga_job",
            "AFTER UPDATE",
            "PERFORM 1 / 0",
            "division by zero",
            "mend public.starts()",
        ),
    ],
)
def test_a_trigger_that_refuses_is_named(conn, dsn, table, when, code, cause, remedy):
    job_id = add_job(conn, "SELECT 1", due=None)
    conn.execute(
        "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscreboot)"
        " VALUES (%s, 'reboot', true)",
        [job_id],
    )
    conn.execute(TRIGGER.format(table=table, when=when, code=code))

    told = refusal(dsn)

    name = f'the trigger "My alert" of pgagent.{table} says {cause}'
    assert told.startswith(f'database "{conn.info.dbname}": {name}')
    assert remedy in told


@pytest.mark.parametrize("where", ["options", "database"])
def test_a_role_that_a_setting_names_is_told(conn, dsn, where):
    with role(conn) as user:
        if where == "database":
            conn.execute(f"ALTER DATABASE {conn.info.dbname} SET role = {user}")
        told = refusal(
            make_conninfo(dsn, options=f"-c role={user}") if where == "options" else dsn
        )
        conn.execute(f"ALTER DATABASE {conn.info.dbname} RESET role")
    assert f'the role "postgres" acts as "{user}", which a setting of role says' in told
    assert f'ALTER DATABASE "{conn.info.dbname}" RESET role' in told
    assert "GRANT" not in told


def test_a_setting_that_the_server_does_not_take_is_told(dsn):
    told = refusal(make_conninfo(dsn, options="-c TimeZone=Nowhere/City"))
    assert 'invalid value for parameter "TimeZone": "Nowhere/City"' in told
    assert "PGTZ, PGDATESTYLE) asks for it: correct it" in told


@contextmanager
def no_descriptor_left():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)  # the lowest one
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield free
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_lack_of_descriptors_is_told(dsn):
    with no_descriptor_left() as limit:
        told = refusal(dsn)
    assert told.endswith(
        f"Too many open files; a process may have {limit} files and connections open:"
        " if that is too few, raise it (ulimit -n, systemd's LimitNOFILE=)"
    )


LEAVES_OUT = """
    CREATE FUNCTION public.leaves_out() RETURNS trigger LANGUAGE plpgsql
    AS $$BEGIN RETURN NULL; END$$;
    CREATE TRIGGER leaves_out BEFORE INSERT ON pgagent.pga_jobagent
    FOR EACH ROW EXECUTE FUNCTION public.leaves_out()
"""
RULE = "CREATE RULE nothing AS ON INSERT TO pgagent.pga_jobagent DO INSTEAD NOTHING"
POLICY = """
    GRANT USAGE ON SCHEMA pgagent TO starter;
    GRANT ALL ON ALL TABLES IN SCHEMA pgagent TO starter;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA pgagent TO starter;
    GRANT ALL ON ALL FUNCTIONS IN SCHEMA pgagent TO starter;
    ALTER TABLE pgagent.pga_jobagent ENABLE ROW LEVEL SECURITY;
    CREATE POLICY writes ON pgagent.pga_jobagent FOR INSERT WITH CHECK (true)
"""


@pytest.mark.parametrize("statement", [LEAVES_OUT, RULE, POLICY])
def test_what_leaves_out_the_row_of_an_agent_is_told(conn, dsn, statement):
    with role(conn) as user:
        conn.execute(statement)
        told = refusal(f"{dsn} user={user if statement is POLICY else 'postgres'}")
    assert (
        "the row of the agent in pgagent.pga_jobagent has been left out, or can't be seen"
        in told
    )
    assert "a rule or a row security policy on that table does so: drop it" in told


def test_a_constraint_that_refuses_is_named(conn, dsn):
    conn.execute(
        "ALTER TABLE pgagent.pga_jobagent ADD CONSTRAINT ours CHECK (jagstation <> 'here')"
    )
    told = refusal(dsn)

    assert "the constraint ours of pgagent.pga_jobagent says " in told
    assert told.endswith(': ALTER TABLE pgagent.pga_jobagent DROP CONSTRAINT "ours"')


LEVEL = "SELECT pgagent.grant_access('runner', 'starter')"


@pytest.mark.parametrize(
    "revoked",
    [
        "USAGE ON SCHEMA pgagent",
        "SELECT ON pgagent.pga_jobstep",
        "UPDATE ON pgagent.pga_job",
        "DELETE ON pgagent.pga_joblog",
        "USAGE ON SEQUENCE pgagent.pga_joblog_jlgid_seq",
        "EXECUTE ON FUNCTION pgagent.pga_run_abort(p_run_id bigint, p_reason text)",
        "EXECUTE ON FUNCTION pgagent.pga_agent_leave(p_agent_id integer, p_reason text)",
    ],
)
def test_each_privilege_that_lacks_is_told_as_a_statement(conn, dsn, revoked):
    with role(conn):
        conn.execute(LEVEL)
        with Registration(make_conninfo(dsn, user="starter"), "here", 20) as it:
            it.register()
            it.leave("it was stopped")
        conn.execute(f"REVOKE {revoked} FROM starter")
        told = refusal(make_conninfo(dsn, user="starter"))

        assert told == (
            f'database "{conn.info.dbname}": permission denied: the role "starter" lacks'
            f' what a runner needs: GRANT {revoked} TO "starter"'
            "; or all at once: SELECT pgagent.grant_access('runner', 'starter')"
        )
        conn.execute(f'GRANT {revoked} TO "starter"')
        with Registration(make_conninfo(dsn, user="starter"), "here", 20) as it:
            it.register()
            it.leave("it was stopped")


# While the runner waits


@contextmanager
def lacks_database(frail, frail_conn):
    with closing(psycopg.connect(frail.conninfo(), autocommit=True)) as admin:
        admin.execute("DROP DATABASE IF EXISTS late WITH (FORCE)")

        def mend():
            admin.execute("CREATE DATABASE late")

        yield frail.conninfo("late"), 'CREATE DATABASE "late"', mend


@contextmanager
def lacks_extension(frail, frail_conn):
    frail_conn.execute("DROP EXTENSION pgagent CASCADE")

    def mend():
        frail_conn.execute("CREATE EXTENSION pgagent")

    told = 'database "frail": it has no pgagent: CREATE EXTENSION pgagent, or'
    yield frail.conninfo("frail"), told, mend


@contextmanager
def lacks_update(frail, frail_conn):
    frail_conn.execute("DROP EXTENSION pgagent CASCADE")
    frail_conn.execute("DROP SCHEMA IF EXISTS pgagent CASCADE")
    frail_conn.execute("CREATE EXTENSION pgagent VERSION '4.2'")

    def mend():
        frail_conn.execute("ALTER EXTENSION pgagent UPDATE")

    yield frail.conninfo("frail"), ": ALTER EXTENSION pgagent UPDATE; next", mend


@contextmanager
def lacks_password(frail, frail_conn):
    with role(frail_conn, f"LOGIN SUPERUSER PASSWORD 'other {SECRET}'"):

        def mend():
            frail_conn.execute(f"ALTER ROLE starter PASSWORD '{SECRET}'")

        tcp = frail.conninfo("frail", tcp=True)
        where = make_conninfo(tcp, user="starter", password=SECRET)
        yield where, 'ALTER ROLE "starter" PASSWORD …', mend


@contextmanager
def lacks_grants(frail, frail_conn):
    with role(frail_conn):

        def mend():
            frail_conn.execute(LEVEL)

        told = 'GRANT USAGE ON SCHEMA pgagent TO "starter"'
        yield make_conninfo(frail.conninfo("frail"), user="starter"), told, mend


@pytest.mark.parametrize(
    "lacking",
    [
        lacks_database,
        lacks_extension,
        pytest.param(lacks_update, marks=pytest.mark.needs("pgagent_4_2")),
        lacks_password,
        lacks_grants,
    ],
)
def test_it_goes_on_by_itself_when_that_is_put_right(frail, frail_conn, lacking):
    with (
        lacking(frail, frail_conn) as (dsn, told, mend),
        Runner("--retry", 600, dsn) as runner,
    ):
        runner.says(told)
        mend()
        runner.says(" serves database ", 12)

        lines = runner.log.splitlines()
        assert len([line for line in lines if told in line]) == 1
        assert frail.password not in runner.log.replace("--", "")
        assert runner.stop() == 0


def test_what_can_be_put_right_is_looked_at_every_ten_seconds():
    agent = Agent(AgentOptions(retry=600))
    refused = CatalogError("no privilege")
    out_of_reach = CatalogLostError("Connection refused")

    assert max(agent.pause_after(refused) for _ in range(30)) <= 10
    assert min(agent.pause_after(out_of_reach) for _ in range(30)) >= 300


def test_the_same_line_comes_once_although_it_is_tried_again(frail):
    with Runner("--retry", 0.1, frail.conninfo("nowhere")) as runner:
        runner.says("does not exist")
        poll(lambda: frail.log.read_text().count('"nowhere" does not') > 5)
        assert runner.log.count("does not exist") == 1
