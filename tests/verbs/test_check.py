"""`pgagent check` says nothing where nothing is wrong, and is stopped by nothing."""

import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import other_users
import psycopg
import pytest
from cluster import LIBPQ, Cluster
from daemon.poolers import PgBouncer
from daemon.runner_process import Runner
from documents import block
from jobs import add_job, batch
from pgagent_runner.checking.triggers import names_in
from psycopg.conninfo import make_conninfo
from support import ROOT, database, poll

HOSTILE = "a'b\"c\\d\x1b[31m\x9b2J\u202ee\x07\nf"
FAR = "host=127.0.0.1 port=1 dbname=x"


@pytest.fixture
def jobs(conn):
    """Jobs of all kinds, as they should be."""
    conn.execute("""
        SELECT pgagent.schedule('tick', '30 2 * * *', 'SELECT 1', timezone => 'Europe/Berlin');
        SELECT pgagent.add_step('tick', 'script', 'true', kind => 'batch');
        SELECT pgagent.add_step('tick', 'env', E'#!/usr/bin/env sh\\ntrue', kind => 'batch');
    """)
    conn.execute(
        "SELECT pgagent.add_step('tick', 'far', 'SELECT 1', conninfo => %s)",
        [make_conninfo(conn.info.dsn, user=conn.info.user, dbname="postgres")],
    )


def says_nothing(pgagent, *words, **environ):
    assert pgagent.prints("check", "--quiet", *words, **environ) == ""


# A healthy installation.


def test_a_healthy_installation_is_told_to_be_one(jobs, pgagent):
    _, *words = block("docs/operating.md", "pgagent check").split()
    said = pgagent.prints(*words)
    assert said.endswith("\nEverything is all right.\n")
    states = {line.split(" | ")[0].strip() for line in said.splitlines()[2:-1]}
    assert states == {"ok"}
    assert re.search(r"^ok +\| targets +\| 2 targets of 2 steps", said, re.MULTILINE)
    says_nothing(pgagent)
    assert pgagent.prints("check", "--quiet", "--json") == "[]\n"
    assert pgagent.prints("check", "--quiet", "--csv") == "state,check,detail,remedy\n"
    assert {one["state"] for one in pgagent.json("check")} == {"ok"}


def test_so_it_is_with_a_runner_and_its_own_login(conn, dsn, jobs, pgagent):
    conn.execute("CREATE ROLE pgagent_runner LOGIN")
    try:
        conn.execute("SELECT pgagent.grant_access('runner', 'pgagent_runner')")
        login = make_conninfo(dsn, user="pgagent_runner")
        conn.execute(
            "SELECT pgagent.alter_step('tick', 'far', conninfo => %s)", [login]
        )
        with Runner(login) as runner:
            runner.ready()
            said = pgagent.prints("check", "-d", login)
        assert 'the login "pgagent_runner" has what a runner needs' in said
        assert "alive on " in said
        assert said.endswith("\nEverything is all right.\n")
    finally:
        conn.execute("DROP OWNED BY pgagent_runner; DROP ROLE pgagent_runner")


def as_ordinary_user(*words, **environ):
    """Call the verb as somebody else than root, with the files of this checkout."""
    packages = [str(ROOT / "python/src"), sysconfig.get_path("purelib")]
    inherited = {k: v for k, v in os.environ.items() if not LIBPQ.match(k)}
    own = {"PYTHONPATH": ":".join(packages), "HOME": "/", "TMPDIR": "/tmp"}
    done = subprocess.run(
        [str(other_users.interpreter()), "-m", "pgagent_runner", "check", *words],
        env=inherited | own | {"PGAGENT_CONFIG": os.devnull} | environ,
        cwd="/",
        user=other_users.ALICE,
        group=other_users.ALICE,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip("other users may not read this checkout")
    return done


@pytest.fixture(scope="module")
def by_tcp():
    """A server for users of the operating system who can't enter its folder."""
    with Cluster({"autovacuum": "off"}, tcp=True, is_twin=True) as server:
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            conn.execute("CREATE EXTENSION pgagent")
            add_job(conn, "SELECT 1", batch("true"), name="tick", due=None)
        yield server.conninfo(tcp=True)


@pytest.mark.needs("other_users")
def test_so_it_is_for_an_ordinary_user(by_tcp):
    done = as_ordinary_user(PGAGENT_CONNINFO=by_tcp)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\nEverything is all right.\n"), done.stdout


@pytest.mark.needs("other_users")
def test_a_file_that_may_not_be_read_is_told_and_the_rest_looked_at(by_tcp):
    # Below pytest's folder nobody else may look.
    with tempfile.TemporaryDirectory(prefix="pgagent-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pgagent.toml").touch(0o600)
        (folder / "closed").mkdir(0o700)
        environ = {
            "PGAGENT_CONFIG": str(folder / "pgagent.toml"),
            "TMPDIR": str(folder / "closed"),
        }
        done = as_ordinary_user("-q", "--json", PGAGENT_CONNINFO=by_tcp, **environ)
    found = json.loads(done.stdout)
    assert [one["check"] for one in found] == ["pgagent.toml", "scripts"]
    assert "can't be read: Permission denied" in found[0]["detail"]
    assert "sudo -u pgagent pgagent check" in found[0]["remedy"]
    assert "may not make a folder for a script" in found[1]["detail"]
    assert done.returncode == 1


# Oddities.


def a_disabled_job_whose_target_is_broken(conn, _):
    add_job(conn, {"jstconnstr": FAR, "jstkind": "s", "jstcode": "x"}, due=None)
    add_job(conn, batch("#!/nowhere\nx"), due=None)
    conn.execute(
        "UPDATE pgagent.pga_job SET jobenabled = false WHERE jobname <> 'tick'"
    )


def a_disabled_step_whose_target_is_broken(conn, _):
    step = {"jstconnstr": FAR, "jstkind": "s", "jstcode": "x", "jstenabled": False}
    add_job(conn, step, due=None)


def a_job_for_another_host(conn, _):
    step = {"jstconnstr": FAR, "jstkind": "s", "jstcode": "x"}
    add_job(conn, step, batch("#!/nowhere\nx"), due=None, jobhostagent="elsewhere")


def a_job_without_steps(conn, _):
    add_job(conn, due=None)


def a_schedule_that_never_comes(conn, _):
    conn.execute(
        "SELECT pgagent.schedule('never', '0 0 30 2 *', 'SELECT 1', timezone => 'UTC')"
    )


@contextmanager
def a_pause_with_jobs_that_are_due(conn, _):
    conn.execute("SELECT pgagent.pause_all()")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 day'")
    yield


@contextmanager
def the_daemon_of_4_2_beside(conn, folder):
    with closing(psycopg.connect(conn.info.dsn, autocommit=True)) as daemon:
        daemon.execute(
            "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation)"
            " VALUES (pg_backend_pid(), 'old')"
        )
        yield


@contextmanager
def a_role_for_steps_that_nobody_uses(conn, _):
    conn.execute("CREATE ROLE unused; CREATE ROLE gone")
    conn.execute("SELECT pgagent.allow_run_as('unused'), pgagent.allow_run_as('gone')")
    conn.execute("DROP OWNED BY gone; DROP ROLE gone")
    try:
        yield
    finally:
        for (name,) in conn.execute(
            "SELECT rolname FROM pg_roles WHERE rolname ~ '^pgagent_as_'"
        ).fetchall():
            conn.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')
        conn.execute("DROP OWNED BY unused; DROP ROLE unused")


@contextmanager
def steps_that_run_as_a_role(conn, _):
    conn.execute("CREATE ROLE billing; CREATE ROLE sales LOGIN")
    conn.execute("SELECT pgagent.allow_run_as('billing')")
    conn.execute("SELECT pgagent.allow_run_as('sales', by => 'login')")
    conn.execute("SELECT pgagent.alter_step('tick', 'command', run_as => 'billing')")
    conn.execute("SELECT pgagent.add_step('tick', 'as sales', 'x', run_as => 'sales')")
    try:
        yield
    finally:
        for (name,) in conn.execute(
            "SELECT rolname FROM pg_roles WHERE rolname ~ '^pgagent_as_'"
        ).fetchall():
            conn.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')
        conn.execute("DROP OWNED BY billing, sales; DROP ROLE billing, sales")


def triggers_that_find_their_names(conn, _):
    conn.execute("""
        CREATE TABLE public.audit (what text);
        CREATE TABLE public.status (what text);
        CREATE FUNCTION public.pinned() RETURNS trigger LANGUAGE plpgsql
        SET search_path = public AS $$ BEGIN INSERT INTO audit VALUES ('x'); RETURN NEW; END $$;
        CREATE FUNCTION public.qualified() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            status text; -- INSERT INTO audit
        BEGIN
            /* INSERT INTO audit */
            IF NEW.jslstatus IS DISTINCT FROM status THEN
                WITH audit AS (SELECT 1) INSERT INTO public.audit SELECT * FROM audit;
                RAISE NOTICE 'from audit';
                SELECT count(*) FROM pg_class INTO status;
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER a AFTER UPDATE ON pgagent.pga_jobsteplog FOR EACH ROW
        EXECUTE FUNCTION public.pinned();
        CREATE TRIGGER b AFTER UPDATE ON pgagent.pga_jobsteplog FOR EACH ROW
        EXECUTE FUNCTION public.qualified();
        CREATE FUNCTION public.lost() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO audit VALUES ('x'); RETURN NEW; END $$;
        CREATE TRIGGER c AFTER UPDATE ON pgagent.pga_jobsteplog FOR EACH ROW
        EXECUTE FUNCTION public.lost();
        ALTER TABLE pgagent.pga_jobsteplog DISABLE TRIGGER c;
    """)


ODDITIES = [
    a_disabled_job_whose_target_is_broken,
    a_disabled_step_whose_target_is_broken,
    a_job_for_another_host,
    a_job_without_steps,
    a_schedule_that_never_comes,
    a_pause_with_jobs_that_are_due,
    the_daemon_of_4_2_beside,
    a_role_for_steps_that_nobody_uses,
    steps_that_run_as_a_role,
    triggers_that_find_their_names,
]


@pytest.mark.parametrize("odd", ODDITIES, ids=lambda odd: odd.__name__)
def test_what_is_odd_and_does_no_harm_is_not_told(conn, jobs, pgagent, tmp_path, odd):
    with ExitStack() as stack:
        if (context := odd(conn, tmp_path)) is not None:
            stack.enter_context(context)
        says_nothing(pgagent)


def test_files_that_do_no_harm_are_not_told(jobs, pgagent, tmp_path):
    (tmp_path / "services").write_text("[unused]\nhost=nowhere.invalid\n")
    (tmp_path / "pgagent.toml").write_text(
        '[run]\nworkers = 3\n\n[tool.ours]\nx = "y"\n'
    )
    (tmp_path / "pass").touch(0o600)
    (tmp_path / "secrets").mkdir(0o755)  # no step names a file there
    says_nothing(
        pgagent,
        *("--config", tmp_path / "pgagent.toml"),
        PGSERVICEFILE=str(tmp_path / "services"),
        PGPASSFILE=str(tmp_path / "pass"),
    )


@pytest.mark.needs("pgbouncer")
def test_a_pooler_in_session_mode_is_not_told(cluster, conn, jobs, pgagent):
    with PgBouncer(cluster, pool_mode="session", default_pool_size=20) as pooler:
        says_nothing(pgagent, "-d", pooler.conninfo(conn.info.dsn))


def test_neither_is_ipv6(pgagent):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    listens = {"listen_addresses": "127.0.0.1,::1"}
    with Cluster(listens, tcp=True, is_twin=True) as server:
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            conn.execute("CREATE EXTENSION pgagent")
            conninfo = make_conninfo(server.conninfo(tcp=True), host="::1")
            add_job(
                conn, {"jstconnstr": conninfo, "jstkind": "s", "jstcode": "x"}, due=None
            )
        says_nothing(pgagent, PGAGENT_CONNINFO=conninfo)


# Steps that run as roles.


@pytest.fixture
def locked():
    """A server that lets in nobody but its owner by its socket, unless it is told to."""
    with (
        Cluster({"autovacuum": "off"}, is_twin=True) as server,
        psycopg.connect(server.conninfo(), autocommit=True) as conn,
    ):
        conn.execute("CREATE EXTENSION pgagent")
        conn.execute("CREATE ROLE billing; CREATE ROLE sales LOGIN")
        conn.execute("SELECT pgagent.allow_run_as('billing')")
        conn.execute("SELECT pgagent.allow_run_as('sales', by => 'login')")
        conn.execute("SELECT pgagent.create_job('job')")
        for role in ("billing", "sales"):
            conn.execute(
                "SELECT pgagent.add_step('job', %s, 'SELECT 1', run_as => %s)",
                [role, role],
            )
        yield server, conn


def let_in(server, conn, *lines):
    """Let others in by the socket only as these lines of pg_hba.conf say."""
    own = f"local all {server.user} trust"
    (server.data / "pg_hba.conf").write_text("\n".join([own, *lines, ""]))
    conn.execute("SELECT pg_reload_conf()")
    query = "SELECT count(*) FROM pg_hba_file_rules"
    poll(lambda: conn.execute(query).fetchone()[0] == 1 + len(lines))


def test_a_login_of_a_role_has_to_be_asked_for_its_password(locked, pgagent):
    server, conn = locked
    dsn = server.conninfo()
    let_in(
        *(server, conn, "local all +billing scram-sha-256", "local all sales trust"),
    )
    says_nothing(pgagent, "-d", dsn)
    assert "authentication failed" not in server.log.read_text()
    let_in(server, conn, "local all +billing peer", "local all sales reject")
    found = pgagent.parsed(pgagent("check", "-q", "--json", "-d", dsn).stdout)
    assert [one["check"] for one in found] == ["targets", "targets"]
    assert 'as role "billing": ' in found[0]["detail"]
    assert "Peer authentication failed" in found[0]["detail"]
    assert "in by its password (scram-sha-256 in pg_hba.conf)" in found[0]["remedy"]
    assert 'as role "sales": ' in found[1]["detail"]
    assert "pg_hba.conf rejects connection" in found[1]["detail"]


# Hostile ones.


def test_no_name_can_steer_a_terminal(conn, jobs, pgagent):
    step = {"jstconnstr": FAR, "jstkind": "s", "jstcode": "x"}
    job = add_job(conn, step, batch("#!/\x1b[31m/\x9b\nx"), name=HOSTILE, due=None)
    conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstname = %s || jstid WHERE jstjobid = %s",
        [HOSTILE, job],
    )
    for words in (["check"], ["check", "-x"], ["check", "--json"], ["check", "--csv"]):
        with pgagent.on_terminal(*words, columns=100) as terminal:
            assert terminal.ended() == 1
        seen = re.sub(r"\x1b\[(31|32|33|36|2|0)m", "", terminal.seen)
        assert not re.search(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202e]", seen)
    found = pgagent.parsed(pgagent("check", "-q", "--json").stdout)
    remedies = [one["remedy"] for one in found]
    assert len(found) == 2
    # They are SQL that says what is meant.
    for remedy in remedies:
        (statement,) = re.findall(r"SELECT pgagent\.alter_step.*\)", remedy)
        conn.execute(
            f"BEGIN; {statement.replace('…', 'dbname=x')}; ROLLBACK".replace("%", "%%")
        )


SECRETS = [
    "postgresql://u:s3cr3t@127.0.0.1:1/x",
    "postgresql://u:s3/cr3t@127.0.0.1:1/x",
    "postgresql://u:p@s3cr3t@127.0.0.1:1/x",
    "host=127.0.0.1 port=1 password=s3cr3t",
    "host=127.0.0.1 port=1 password='s3cr3t",
]


@pytest.mark.parametrize("conninfo", SECRETS)
def test_no_password_is_told(conn, jobs, pgagent, conninfo):
    step = {"jstkind": "s", "jstcode": "x", "jstconnstr": conninfo}
    add_job(conn, step, name="far", due=None)
    (found,) = pgagent.parsed(pgagent("check", "-q", "--json").stdout)
    done = pgagent("check", PGAGENT_CONNINFO=conninfo)
    assert done.returncode == 1
    for told in (found["detail"], found["remedy"], done.stdout, done.stderr):
        assert not re.search("s3|cr3t", told)


def test_a_terminal_that_is_narrow_shows_all_of_it(conn, jobs, pgagent):
    add_job(
        conn, {"jstconnstr": FAR, "jstkind": "s", "jstcode": "x"}, name="far", due=None
    )
    with pgagent.on_terminal("check", "-q", columns=70) as terminal:
        terminal.ended()
    lines = terminal.seen.splitlines()
    assert max(map(len, (re.sub(r"\x1b\[\d+m", "", line) for line in lines))) <= 70
    assert "…'" in " ".join(lines)[-60:]
    assert "whether the server runs" in re.sub(r"\s+\|\s+\|\s+", " ", " ".join(lines))


def test_a_thousand_targets_are_tried_within_the_time(conn, jobs, pgagent):
    conn.execute("""
        INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'many');
        INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)
        SELECT j.jobid, 'step ' || n, 's', 'x', 'database ' || n
        FROM pgagent.pga_job AS j, generate_series(1, 1000) AS n WHERE j.jobname = 'many'
    """)
    begin = time.monotonic()
    done = pgagent("check", "-q", "--json")
    assert done.returncode == 1
    found = pgagent.parsed(done.stdout)
    assert len(found) == 1000
    assert {one["check"] for one in found} == {"targets"}
    assert time.monotonic() - begin < 25


def found_with(pgagent, bounds):
    """Return what is found if bounds are others, as on a machine that has less."""
    code = f"""
import sys
from pgagent_runner.checking import scripts, targets
{bounds}
from pgagent_runner.cli import main
sys.exit(main(["check", "-q", "--json"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=pgagent.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return pgagent.parsed(done.stdout)


def test_a_folder_of_scripts_that_is_full_is_told(jobs, pgagent):
    (found,) = found_with(pgagent, "scripts._LEAST_SPACE = 1 << 60")
    assert re.search(r"\d+ MiB are left in /", found["detail"])
    assert "make room" in found["remedy"]


def test_targets_that_hang_are_left_after_a_while(conn, jobs, pgagent, monkeypatch):
    """All of them, for the time that the test has: the code is the same."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as hanging:
        port = hanging.getsockname()[1]
        for number in range(30):
            step = {"jstkind": "s", "jstcode": "x"}
            step["jstconnstr"] = f"host=127.0.0.1 port={port} dbname=x{number}"
            add_job(conn, step, name=f"job {number}", due=None)
        found = found_with(pgagent, "targets._ALL, targets._EACH = 2.0, 0.5")
    assert re.search(r"\d+ of 32 targets were not tried", found[-1]["detail"])
    assert found[-1]["state"] == "warning"
    assert {one["state"] for one in found[:-1]} == {"fault"}


def test_a_server_that_says_nothing_is_left_after_a_while(pgagent):
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        begin = time.monotonic()
        dsn = f"host=127.0.0.1 port={port} connect_timeout=2"
        found = pgagent.parsed(pgagent("check", "-q", "--json", "-d", dsn).stdout)
    assert time.monotonic() - begin < 10
    (found,) = found
    assert found["check"] == "control database"
    assert "the firewalls on the way" in found["remedy"]


def test_files_that_never_end_are_left_alone(jobs, pgagent, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    environ = {"PGSERVICEFILE": str(tmp_path / "pipe"), "PGSERVICE": "x"}
    found = pgagent.parsed(pgagent("check", "-q", "--json", **environ).stdout)
    assert [one["check"] for one in found] == ["services", "control database"]
    assert "no ordinary file, and libpq waits for it" in found[0]["detail"]
    done = pgagent("check", "-q", "--json", "--config", tmp_path / "pipe")
    (found,) = pgagent.parsed(done.stdout)
    assert "could not be read within 10 s" in found["detail"]


def test_a_lock_on_a_table_is_told_and_waited_for_no_longer(conn, dsn, jobs, pgagent):
    with psycopg.connect(dsn) as locker:
        locker.execute("LOCK TABLE pgagent.pga_schedule IN ACCESS EXCLUSIVE MODE")
        done = pgagent("check", "-q", "--json")
    found = pgagent.parsed(done.stdout)
    assert [one["check"] for one in found] == ["jobs"]
    assert "the server does not answer in time" in found[0]["detail"]
    assert done.returncode == 0


def test_nothing_is_changed(conn, jobs, pgagent):
    add_job(conn, "CREATE TABLE public.made ()", batch("exit 3"), due="now()")
    query = """
        SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables
        WHERE schemaname = 'pgagent'
    """
    snapshot = [
        conn.execute(f"SELECT * FROM pgagent.{name} ORDER BY 1").fetchall()
        for name in ("pga_job", "pga_jobagent", "pga_joblog", "pga_arming")
    ]
    conn.execute(query)
    pgagent("check")
    assert snapshot == [
        conn.execute(f"SELECT * FROM pgagent.{name} ORDER BY 1").fetchall()
        for name in ("pga_job", "pga_jobagent", "pga_joblog", "pga_arming")
    ]
    assert conn.execute("SELECT to_regclass('public.made')").fetchone() == (None,)


def test_a_database_of_any_bytes_is_looked_at(cluster, maker, pgagent):
    options = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    with database(maker, "bytes", "template0", options) as name:
        dsn = cluster.conninfo(name)
        with closing(psycopg.connect(dsn, autocommit=True)) as conn:
            conn.execute("CREATE EXTENSION pgagent")
            conn.execute(
                "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, E'a\\xe9')"
            )
            conn.execute(
                "INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode,"
                " jstconnstr) VALUES (1, E'b\\xe9', 's', 'x', %s)",
                [FAR],
            )
        done = pgagent("check", "-q", "-d", dsn)
    assert done.returncode == 1
    assert "Connection refused" in done.stdout


def test_options_on_the_command_line_that_make_no_sense_are_misuse(pgagent):
    assert pgagent("check", "--workers", "0").returncode == 2
    told = pgagent.refuses("check", "-d", "hots=x", status=2)
    assert told.startswith("pgagent check: the connection string is wrong: ")


def test_the_file_counts_as_it_does_for_the_runner(conn, dsn, jobs, pgagent, tmp_path):
    """Although variables of libpq say where to go, which other verbs follow."""
    file = tmp_path / "pgagent.toml"
    file.write_text(f'[run]\nconninfo = "{dsn}"\nallow_parameter = ["options"]\n')
    step = {"jstkind": "s", "jstcode": "x"}
    step["jstconnstr"] = make_conninfo(dsn, options="-c jit=off")
    add_job(conn, step, due=None)
    environ = {"PGDATABASE": "template1", "PGAGENT_CONFIG": str(file)}
    says_nothing(pgagent, **environ)


# Names that a function does not qualify.


@pytest.mark.parametrize(
    ("code", "relations", "called"),
    [
        ("INSERT INTO audit SELECT 1", ["audit"], []),
        ("INSERT INTO app.audit SELECT app.f(1)", [], []),
        ('UPDATE "Au dit" SET x = 1', ["Au dit"], []),
        ("DELETE FROM ONLY Audit", ["audit"], []),
        ("SELECT f(x) FROM a JOIN b.c ON true", ["a"], ["f"]),
        ("SELECT x IS DISTINCT FROM y", [], []),
        ("WITH a AS (SELECT 1) SELECT FROM a", [], ["as"]),
        ("SELECT 'FROM audit' -- FROM audit", [], []),
    ],
)
def test_names_of_a_text_are_found(code, relations, called):
    assert names_in(code, "sql") == (relations, called)
