"""`pgagent check` finds each fault that is planted, names the remedy, and nothing else."""

import socket
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import other_users
import psycopg
import pytest
from cluster import Cluster
from daemon.poolers import PgBouncer
from jobs import add_job, batch
from psycopg.conninfo import make_conninfo
from support import peer

FAULT, WARNING = "fault", "warning"


@dataclass
class Installation:
    """Where a fault is planted, and how the verb is called then."""

    conn: Any
    cluster: Any
    folder: Path
    words: list[Any] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def dsn(self) -> str:
        return str(self.cluster.conninfo(self.conn.info.dbname))

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.conn.execute(statement)

    def file(self, text: str, mode: int = 0o600) -> Path:
        path = self.folder / "pgagent.toml"
        path.write_text(text)
        path.chmod(mode)
        self.words += ["--config", path]
        return path

    @contextmanager
    def role(self, name: str, options: str = "LOGIN"):
        self.conn.execute(f'CREATE ROLE "{name}" {options}')
        try:
            yield
        finally:
            # What allow_run_as() has made is not this database's alone.
            logins = self.conn.execute(
                "SELECT rolname FROM pg_roles WHERE rolname ~ '^pgagent_as_'"
            ).fetchall()
            for login in [name, *(row[0] for row in logins)]:
                self.conn.execute(f'DROP OWNED BY "{login}"; DROP ROLE "{login}"')


@pytest.fixture
def installation(conn, cluster, pgagent, tmp_path):
    """One that is in order, with jobs of all kinds."""
    conn.execute("""
        SELECT pgagent.schedule('tick', '30 2 * * *', 'SELECT 1', timezone => 'Europe/Berlin');
        SELECT pgagent.add_step('tick', 'script', 'true', kind => 'batch');
    """)
    return Installation(conn, cluster, tmp_path)


def findings(pgagent, installation):
    """Return what is wrong, and how the verb has ended."""
    words = ("check", "--json", "--quiet", *installation.words)
    done = pgagent(*words, **installation.environ)
    libpq_says = "" if "PGPASSFILE" not in installation.environ else "WARNING: password"
    assert done.stderr.count("\n") <= 1
    assert done.stderr.startswith(libpq_says)
    return pgagent.parsed(done.stdout), done.returncode


# The installation, and a fault in it: functions that plant one, or contexts that have.


def no_server(it):
    it.environ |= {"PGHOST": str(it.folder)}


def no_database(it):
    it.words += ["-d", "nowhere"]


def no_host(it):
    it.words += ["-d", "host=nowhere.invalid dbname=x"]


def no_extension(it):
    it.words += ["-d", "template1"]


def an_older_catalogue(it):
    it.execute("""
        CREATE OR REPLACE FUNCTION pgagent.pgagent_version() RETURNS text LANGUAGE sql
        AS $$ SELECT '5.0.0' $$
    """)


@contextmanager
def a_standby(it):
    with Cluster({"hot_standby": "on"}, is_twin=True) as server:
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            conn.execute("CREATE EXTENSION pgagent")
        server.stop()
        server.settings["restore_command"] = "false"
        (server.data / "standby.signal").touch()
        server.start()
        it.words += ["-d", server.conninfo()]
        yield


@contextmanager
def no_rights(it):
    with it.role("o'hara"):
        it.words += ["-d", make_conninfo(it.dsn, user="o'hara")]
        yield


@contextmanager
def some_rights_lacking(it):
    with it.role("starter"):
        it.execute("SELECT pgagent.grant_access('runner', 'starter')")
        it.execute("REVOKE UPDATE ON pgagent.pga_schedule FROM starter")
        it.execute("REVOKE UPDATE (jscenabled) ON pgagent.pga_schedule FROM starter")
        it.words += ["-d", make_conninfo(it.dsn, user="starter")]
        yield


@contextmanager
def sessions_that_nobody_could_end(it):
    with it.role("starter"), it.role("billing"):
        it.execute("SELECT pgagent.grant_access('runner', 'starter')")
        it.execute("SELECT pgagent.allow_run_as('billing')")
        it.execute("SELECT pgagent.alter_step('tick', 'command', run_as => 'billing')")
        it.words += ["-d", make_conninfo(it.dsn, user="starter")]
        yield


@contextmanager
def editors_of_a_superusers_steps(it):
    with it.role("editor"):
        it.execute("SELECT pgagent.grant_access('editor', 'editor')")
        yield


@contextmanager
def a_connection_limit(it):
    with it.role("starter", "LOGIN CONNECTION LIMIT 3"):
        it.execute("SELECT pgagent.grant_access('runner', 'starter')")
        it.words += ["-d", make_conninfo(it.dsn, user="starter")]
        yield


def more_workers_than_connections(it):
    it.words += ["--workers", "200"]


@contextmanager
def others_who_may_create_functions(it):
    with it.role("stranger"):
        it.execute("GRANT CREATE ON SCHEMA pgagent TO stranger")
        yield


@contextmanager
def a_strangers_function(it):
    with it.role("stranger"):
        it.execute(
            "CREATE FUNCTION pgagent.pga_run_due() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "ALTER FUNCTION pgagent.pga_run_due() OWNER TO stranger",
        )
        yield


def a_function_of_the_users_own(it):
    it.execute(
        "CREATE FUNCTION pgagent.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    )


@contextmanager
def a_pooler_in_transaction_mode(it):
    with PgBouncer(it.cluster, pool_mode="transaction") as pooler:
        it.words += ["-d", pooler.conninfo(it.dsn)]
        yield


def a_copy(it):
    it.execute("UPDATE pgagent.pga_arming SET armdatabaseid = 1, armport = 1")


def isolation_that_is_not_there(it):
    it.execute("INSERT INTO pgagent.pga_isolation DEFAULT VALUES")


def jobs_that_are_due_and_no_runner(it):
    it.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 hour'"
        " WHERE jobname = 'tick'"
    )


def a_job_that_has_failed(it):
    it.execute(
        "UPDATE pgagent.pga_job SET jobfailures = 1, jobfailed = 1",
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgmessage)"
        " SELECT jobid, 'f', 'no such luck' FROM pgagent.pga_job",
    )


def a_job_that_was_set_aside(it):
    it.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now()",
        "INSERT INTO pgagent.pga_jobaside (jsajobid, jsatimes, jsasince, jsauntil, jsareason)"
        " SELECT jobid, 3, now(), now(), 'no such luck' FROM pgagent.pga_job",
    )


def a_host_in_another_spelling(it):
    add_job(it.conn, "SELECT 1", name="far", due=None, jobhostagent="DB1.example.com")
    it.words += ["--station", "db1"]


@contextmanager
def a_role_that_is_not_allowed(it):
    with it.role("sales"):
        it.execute("SELECT pgagent.alter_job('tick', owner => 'sales')")
        yield


def a_time_zone_that_is_gone(it):
    it.execute(
        "ALTER TABLE pgagent.pga_schedule DISABLE TRIGGER USER",
        "UPDATE pgagent.pga_schedule SET jsctimezone = 'Mars/Olympus'",
        "ALTER TABLE pgagent.pga_schedule ENABLE TRIGGER USER",
    )


def _trigger(it, body, table="pga_jobsteplog", event="UPDATE"):
    it.execute(
        "CREATE TABLE public.audit (what text)",
        "CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE"
        f" v_x text; BEGIN {body} RETURN NEW; END $$",
        f"CREATE TRIGGER audit AFTER {event} ON pgagent.{table} FOR EACH ROW"
        " EXECUTE FUNCTION public.note()",
    )


def a_trigger_that_does_not_find_its_table(it):
    _trigger(it, "INSERT INTO audit VALUES ('x');")


def a_trigger_that_does_not_in_a_text(it):
    _trigger(it, "EXECUTE 'INSERT INTO audit VALUES ($1)' USING NEW.jslid::text;")


def a_trigger_whose_function_does_not(it):
    it.execute(
        "CREATE TABLE public.calls (what text)",
        "CREATE FUNCTION public.tell(t text) RETURNS void LANGUAGE sql"
        " AS 'INSERT INTO public.calls VALUES (t)'",
        "CREATE FUNCTION public.tell_all(t text) RETURNS void LANGUAGE plpgsql"
        " AS 'BEGIN PERFORM tell(t); END'",
    )
    _trigger(it, "PERFORM public.tell_all('x');")


def a_trigger_that_hinders_those_who_edit(it):
    _trigger(it, "INSERT INTO audit VALUES ('x');", "pga_jobstep", "INSERT")


def triggers_that_were_left_disabled(it):
    it.execute("ALTER TABLE pgagent.pga_job DISABLE TRIGGER USER")


def row_security_by_hand(it):
    it.execute("ALTER TABLE pgagent.pga_job ENABLE ROW LEVEL SECURITY")


def a_rule_whose_function_does_not_find_its_table(it):
    it.execute(
        "CREATE TABLE public.audit (what text)",
        "CREATE FUNCTION public.note() RETURNS int LANGUAGE sql"
        " AS 'INSERT INTO audit VALUES (1::text) RETURNING 1'",
        "CREATE RULE audit AS ON UPDATE TO pgagent.pga_joblog DO ALSO SELECT public.note()",
    )


def _step(it, name, **columns):
    add_job(it.conn, {"jstkind": "s", "jstcode": "x"} | columns, name=name, due=None)


def a_target_where_nobody_listens(it):
    _step(it, "far", jstconnstr="host=127.0.0.1 port=1 dbname=x")


def a_target_without_its_database(it):
    _step(it, "far", jstdbname="nowhere")


def a_target_whose_name_is_unknown(it):
    _step(it, "far", jstconnstr="host=nowhere.invalid dbname=x")


def a_target_that_asks_too_much(it):
    conninfo = make_conninfo(it.dsn, options="-c jit=off")
    _step(it, "far", jstconnstr=conninfo)


def a_target_without_its_service(it):
    _step(it, "far", jstconnstr="service=nowhere")


@contextmanager
def a_target_with_a_wrong_password(it):
    with Cluster({}, tcp=True, is_twin=True) as server:
        conninfo = make_conninfo(server.conninfo(tcp=True), password="no")
        _step(it, "far", jstconnstr=conninfo)
        yield


@contextmanager
def a_target_that_hangs(it):
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        _step(it, "far", jstconnstr=f"host=127.0.0.1 port={port} dbname=x")
        yield


@contextmanager
def a_target_behind_a_pooler(it):
    with PgBouncer(it.cluster, pool_mode="transaction") as pooler:
        _step(it, "far", jstconnstr=pooler.conninfo(it.dsn))
        yield


def a_file_of_passwords_that_others_can_read(it):
    file = it.file("")
    (file.parent / "secrets").mkdir(mode=0o700)
    secret = file.parent / "secrets/far"
    secret.touch(0o644)
    conninfo = make_conninfo(it.dsn, passfile="secrets/far")
    _step(it, "far", jstconnstr=conninfo)


def an_interpreter_that_is_not_there(it):
    add_job(it.conn, batch("#!/usr/bin/python9\nx"), name="far", due=None)


def an_interpreter_that_is_no_program(it):
    add_job(it.conn, batch("#!/etc/passwd\nx"), name="far", due=None)


def an_argument_too_much_for_env(it):
    add_job(it.conn, batch("#!/usr/bin/env sh -e\nx"), name="far", due=None)


def a_program_that_env_does_not_find(it):
    add_job(it.conn, batch("#!/usr/bin/env python9\nx"), name="far", due=None)


def an_interpreter_for_nobody_else(it):
    program = it.folder / "interpreter"
    program.touch(0o700)
    it.words += ["--batch-user", other_users.ALICE]
    add_job(it.conn, batch(f"#!{program}\nx"), name="far", due=None)
    it.environ |= {"TMPDIR": "/tmp"}


def no_folder_for_scripts(it):
    it.environ |= {"TMPDIR": str(it.folder / "nowhere")}


def a_folder_that_is_everybodys(it):
    (it.folder / "open").mkdir()
    (it.folder / "open").chmod(0o777)
    it.environ |= {"TMPDIR": str(it.folder / "open")}


def passwords_that_libpq_ignores(it):
    (it.folder / "pass").write_text("*:*:*:*:x\n")
    (it.folder / "pass").chmod(0o644)
    it.environ |= {"PGPASSFILE": str(it.folder / "pass")}


def a_file_that_is_no_toml(it):
    it.file("[run\n")


def a_file_with_an_unknown_key(it):
    it.file("[run]\nworker = 3\n")


def a_file_with_a_wrong_value(it):
    it.file("[run]\nworkers = 0\n")


def a_file_whose_password_others_can_read(it):
    it.file(f'[run]\nconninfo = "{make_conninfo(it.dsn, password="x")}"\n', 0o644)


def a_file_that_others_can_write(it):
    it.file("[run]\n", 0o666)


def a_file_that_is_not_there(it):
    it.words += ["--config", it.folder / "nowhere.toml"]


def a_table_that_nobody_reads(it):
    it.file('[batch_user]\nbilling = "bin"\n')


def a_connection_string_that_is_none(it):
    it.environ |= {"PGAGENT_CONNINFO": "hots=x"}


def a_variable_that_is_no_option(it):
    it.environ |= {"PGAGENT_WORKRES": "3"}


def a_batch_user_who_is_not_there(it):
    it.words += ["--batch-user", "nobody-there"]


def a_log_that_can_not_be_written(it):
    it.words += ["--log-file", it.folder / "nowhere/log"]


def a_locale_that_is_not_there(it):
    it.environ |= {"LC_ALL": "xx_YY.UTF-8"}


def _faketime(it, offset):
    it.environ |= {
        "LD_PRELOAD": peer("usr/lib/*/faketime/libfaketime.so.1").name,
        "LD_LIBRARY_PATH": str(peer("usr/lib/*/faketime/libfaketime.so.1").parent),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def a_clock_that_is_an_hour_off(it):
    _faketime(it, "+1h")


def a_clock_that_is_a_little_off(it):
    _faketime(it, "-20s")


# What is planted, of which kind and on which subject it is, and words of both sentences.
FAULTS = {
    no_server: (FAULT, "control database", "No such file", "check host and port"),
    no_database: (
        *(FAULT, "control database", 'database "nowhere" does not exist'),
        'CREATE DATABASE "nowhere"',
    ),
    no_host: (FAULT, "control database", "nowhere.invalid", "the name of the host"),
    no_extension: (FAULT, "versions", "it has no pgagent", "CREATE EXTENSION pgagent"),
    an_older_catalogue: (
        *(FAULT, "versions", "it has pgagent 5.0.0, and this runner needs 5."),
        "ALTER EXTENSION pgagent UPDATE",
    ),
    a_standby: (FAULT, "control database", "is a standby", "name the primary"),
    no_rights: (
        *(FAULT, "rights", "USAGE ON SCHEMA pgagent"),
        "SELECT pgagent.grant_access('runner', 'o''hara')",
    ),
    some_rights_lacking: (
        *(FAULT, "rights", 'GRANT UPDATE ON pgagent.pga_schedule TO "starter"'),
        "SELECT pgagent.grant_access('runner', 'starter')",
    ),
    sessions_that_nobody_could_end: (
        *(WARNING, "rights", "nobody could end sessions"),
        "GRANT pg_signal_backend, pg_read_all_stats TO starter",
    ),
    editors_of_a_superusers_steps: (
        *(WARNING, "rights", '"postgres" is a superuser, and whoever may write steps'),
        "CREATE ROLE pgagent_runner LOGIN",
    ),
    a_connection_limit: (
        *(WARNING, "limits", "there are 3: the CONNECTION LIMIT of the login"),
        "ALTER ROLE starter CONNECTION LIMIT",
    ),
    more_workers_than_connections: (
        *(WARNING, "limits", "needs 205 connections, and there are 97"),
        "raise max_connections, or run fewer jobs: --workers 48",
    ),
    others_who_may_create_functions: (
        *(FAULT, "schema", "the role stranger may create functions there"),
        "REVOKE CREATE ON SCHEMA pgagent FROM stranger",
    ),
    a_strangers_function: (
        *(FAULT, "schema", "pgagent.pga_run_due() belongs to stranger"),
        "DROP ROUTINE pgagent.pga_run_due()",
    ),
    a_function_of_the_users_own: (
        *(WARNING, "schema", "pgagent.mine() is no function of pgagent's"),
        "ALTER ROUTINE pgagent.mine() SET SCHEMA public",
    ),
    a_pooler_in_transaction_mode: (
        *(FAULT, "pooler", "a pooler in transaction mode lies before the server"),
        "pool_mode = session",
    ),
    a_copy: (FAULT, "arming", "this is a copy of the jobs", "SELECT pgagent.arm()"),
    isolation_that_is_not_there: (
        *(FAULT, "isolation", "row security is not enabled on"),
        "SET ROLE postgres; SELECT pgagent.isolate()",
    ),
    jobs_that_are_due_and_no_runner: (
        *(FAULT, "runner", "no runner is alive: start one with"),
        "pgagent run, or systemctl start pgagent",
    ),
    a_job_that_has_failed: (
        *(WARNING, "jobs", 'job "tick": failed: run '),
        "pgagent logs tick",
    ),
    a_job_that_was_set_aside: (
        *(FAULT, "jobs", 'job "tick": set aside: could not be started 3 times'),
        "pgagent explain tick",
    ),
    a_host_in_another_spelling: (
        *(WARNING, "runner", 'for the host "DB1.example.com", and this one is "db1"'),
        "SELECT pgagent.alter_job('far', host => 'db1')",
    ),
    a_role_that_is_not_allowed: (
        *(FAULT, "roles", 'no step may run as "sales" yet'),
        "SELECT pgagent.allow_run_as('sales')",
    ),
    a_time_zone_that_is_gone: (
        *(FAULT, "time zones", "time zone that this server does not know: Mars/"),
        "SELECT pgagent.alter_schedule('tick', '30 2 * * *', timezone => 'UTC')",
    ),
    a_trigger_that_does_not_find_its_table: (
        *(FAULT, "triggers", "calls public.note(), which does not qualify audit"),
        "ALTER TABLE pgagent.pga_jobsteplog DISABLE TRIGGER audit",
    ),
    a_trigger_that_does_not_in_a_text: (
        *(FAULT, "triggers", "calls public.note(), which does not qualify audit"),
        "ALTER FUNCTION public.note() SET search_path = public",
    ),
    a_trigger_whose_function_does_not: (
        *(
            FAULT,
            "triggers",
            "calls public.tell_all(text), which does not qualify tell,",
        ),
        "ALTER FUNCTION public.tell_all(text) SET search_path = public",
    ),
    a_trigger_that_hinders_those_who_edit: (
        *(WARNING, "triggers", "when functions of pgagent call it"),
        "ALTER FUNCTION public.note() SET search_path = public",
    ),
    triggers_that_were_left_disabled: (
        *(FAULT, "triggers", "triggers of pgagent itself are disabled on pgagent.pga_"),
        "ALTER TABLE pgagent.pga_job ENABLE TRIGGER USER",
    ),
    row_security_by_hand: (
        *(
            WARNING,
            "isolation",
            "row security is enabled on pga_job, and the catalogue",
        ),
        "SELECT pgagent.isolate()",
    ),
    a_rule_whose_function_does_not_find_its_table: (
        *(FAULT, "triggers", "rule audit of pgagent.pga_joblog calls public.note()"),
        "DROP RULE audit ON pgagent.pga_joblog",
    ),
    a_target_where_nobody_listens: (
        *(FAULT, "targets", 'step "step 01" of job "far": could not connect: '),
        "check host and port, and whether the server runs and listens there",
    ),
    a_target_without_its_database: (
        *(FAULT, "targets", 'database "nowhere" does not exist'),
        'CREATE DATABASE "nowhere"',
    ),
    a_target_whose_name_is_unknown: (
        *(FAULT, "targets", "nowhere.invalid"),
        "check the name of the host",
    ),
    a_target_that_asks_too_much: (
        *(FAULT, "targets", "the connection string sets options, which it may not"),
        "pgagent run --allow-parameter options",
    ),
    a_target_without_its_service: (
        *(FAULT, "targets", 'definition of service "nowhere" not found'),
        "~/.pg_service.conf",
    ),
    a_target_with_a_wrong_password: (
        *(FAULT, "targets", "password authentication failed"),
        "it belongs into .pgpass",
    ),
    a_target_that_hangs: (
        *(FAULT, "targets", 'step "step 01" of job "far": no answer within 5 s'),
        "check host and port, the firewalls on the way",
    ),
    a_target_behind_a_pooler: (
        *(FAULT, "targets", "a pooler in transaction mode lies before the server"),
        "pool_mode = session",
    ),
    a_file_of_passwords_that_others_can_read: (
        *(FAULT, "targets", "others have rights on "),
        "chmod 0600 ",
    ),
    an_interpreter_that_is_not_there: (
        *(FAULT, "scripts", "its interpreter /usr/bin/python9 is not there"),
        "install /usr/bin/python9",
    ),
    an_interpreter_that_is_no_program: (
        *(FAULT, "scripts", "its interpreter /etc/passwd is not executable"),
        "chmod a+rx /etc/passwd",
    ),
    an_argument_too_much_for_env: (
        *(FAULT, "scripts", "env looks for a program of the name 'sh -e'"),
        "#!/usr/bin/env -S sh -e",
    ),
    a_program_that_env_does_not_find: (
        *(FAULT, "scripts", "env finds no 'python9' in the PATH of scripts"),
        "install it",
    ),
    an_interpreter_for_nobody_else: (
        *(FAULT, "scripts", f"in a folder that user {other_users.ALICE} may not enter"),
        "chmod a+rx ",
    ),
    no_folder_for_scripts: (
        *(FAULT, "scripts", "there is no folder for scripts"),
        "have TMPDIR name another one",
    ),
    a_folder_that_is_everybodys: (
        *(FAULT, "scripts", "others can take a script's folder away"),
        "chmod +t ",
    ),
    passwords_that_libpq_ignores: (
        *(FAULT, "passwords", "libpq ignores it"),
        "chmod 0600 ",
    ),
    a_file_that_is_no_toml: (FAULT, "pgagent.toml", "is not TOML", "correct the file"),
    a_file_with_an_unknown_key: (
        *(FAULT, "options", "[run] has the unknown key 'worker'"),
        "correct it, or leave it out",
    ),
    a_file_with_a_wrong_value: (
        *(FAULT, "options", "[run] workers: "),
        "correct it, or leave it out",
    ),
    a_file_whose_password_others_can_read: (
        *(FAULT, "pgagent.toml", "[run] conninfo has a password, and others can read"),
        "chmod 06",
    ),
    a_file_that_others_can_write: (
        *(FAULT, "pgagent.toml", "others may write it"),
        "chmod go-w ",
    ),
    a_file_that_is_not_there: (
        *(FAULT, "pgagent.toml", "can't be read: No such file"),
        "name another one by --config or PGAGENT_CONFIG",
    ),
    a_table_that_nobody_reads: (
        *(WARNING, "pgagent.toml", "nobody reads a table [batch_user]"),
        "call it [batch_users]",
    ),
    a_connection_string_that_is_none: (
        *(FAULT, "options", "the connection string is wrong"),
        "PGAGENT_CONNINFO",
    ),
    a_variable_that_is_no_option: (
        *(WARNING, "options", "the variable PGAGENT_WORKRES is no option"),
        "call it PGAGENT_WORKERS",
    ),
    a_batch_user_who_is_not_there: (
        *(FAULT, "batch users", "this machine has no user 'nobody-there'"),
        "sudo adduser",
    ),
    a_log_that_can_not_be_written: (
        *(FAULT, "log", "there is no folder"),
        "mkdir -p ",
    ),
    a_locale_that_is_not_there: (
        *(WARNING, "locale", "does not know the locale that LC_ALL names"),
        "sudo locale-gen xx_YY.UTF-8",
    ),
    a_clock_that_is_an_hour_off: (
        *(
            FAULT,
            "clock",
            "the clock of this machine is 3600 s ahead of that of the server",
        ),
        "timedatectl set-ntp true",
    ),
    a_clock_that_is_a_little_off: (
        *(
            WARNING,
            "clock",
            "the clock of this machine is 20 s behind that of the server",
        ),
        "timedatectl set-ntp true",
    ),
}
NEEDS = {
    a_pooler_in_transaction_mode: "pgbouncer",
    a_target_behind_a_pooler: "pgbouncer",
    a_clock_that_is_an_hour_off: "libfaketime",
    a_clock_that_is_a_little_off: "libfaketime",
    an_interpreter_for_nobody_else: "other_users",
}


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(
            plant,
            id=plant.__name__,
            marks=[pytest.mark.needs(NEEDS[plant])] if plant in NEEDS else [],
        )
        for plant in FAULTS
    ],
)
def test_a_fault_is_found_with_its_remedy_and_nothing_else(
    installation, pgagent, plant
):
    with plant(installation) or nullcontext():
        found, status = findings(pgagent, installation)
    assert len(found) == 1, found
    kind, check, detail, remedy = FAULTS[plant]
    assert (found[0]["state"], found[0]["check"]) == (kind, check), found
    assert detail in found[0]["detail"]
    assert remedy in found[0]["remedy"]
    assert status == (1 if kind == FAULT else 0)


def test_limits_of_processes_are_found(installation, pgagent):
    done = pgagent.by_shell('--version; ulimit -n 150; "$PGAGENT" check -q --json')
    (found,) = pgagent.parsed(done.stdout[done.stdout.index("[") :])
    assert found["check"] == "limits"
    assert "a process may have 150 open" in found["detail"]
    assert "LimitNOFILE=" in found["remedy"]


def test_several_faults_are_all_found(installation, pgagent):
    a_time_zone_that_is_gone(installation)
    a_target_where_nobody_listens(installation)
    an_interpreter_that_is_not_there(installation)
    a_variable_that_is_no_option(installation)
    found, status = findings(pgagent, installation)
    checks = [one["check"] for one in found]
    assert checks == ["options", "time zones", "scripts", "targets"]
    assert status == 1


def test_what_needs_no_database_is_looked_at_without_one(installation, pgagent):
    no_server(installation)
    passwords_that_libpq_ignores(installation)
    a_locale_that_is_not_there(installation)
    a_file_that_is_no_toml(installation)
    found, status = findings(pgagent, installation)
    checks = [one["check"] for one in found]
    assert checks == ["pgagent.toml", "passwords", "locale", "control database"]
    assert status == 1
