"""Taking over crontabs, and the jobs of pg_cron."""

import re
import subprocess
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from cluster import Cluster
from cronsim import CronSim
from documents import block

pytestmark = pytest.mark.needs("plpython")

CRONTAB = r"""# every night
SHELL=/bin/sh
MAILTO=root
GREETING="it's"
30 2 * * 1-5 echo "$GREETING" 50\% && cat%first%second
CRON_TZ=Europe/Berlin
@daily /bin/true
"""


def test_a_dry_run_says_what_each_line_becomes_and_makes_nothing(conn):
    rows = conn.execute(
        "SELECT * FROM pgagent.import_crontab(%s)", [CRONTAB]
    ).fetchall()

    assert [(line, job, schedule) for line, _, job, schedule, _ in rows] == [
        (2, None, None),
        (3, None, None),
        (4, None, None),
        (5, "crontab line 5", "30 2 * * 1-5"),
        (6, None, None),
        (7, "crontab line 7", "0 0 * * *"),
    ]
    assert rows[3][4] == "would become a job"
    assert rows[1][4].startswith("not taken over: ")
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)


def test_the_jobs_of_a_crontab_do_what_cron_would_do(conn, dsn):
    take_over = "SELECT result FROM pgagent.import_crontab(%s, dry_run => false)"
    results = [result for (result,) in conn.execute(take_over, [CRONTAB])]
    assert results[3] == "has become a job"

    code, kind = conn.execute(
        "SELECT jstcode, jstkind FROM pgagent.pga_jobstep ORDER BY jstid LIMIT 1"
    ).fetchone()
    assert kind == "b"
    zones = conn.execute("SELECT jsctimezone FROM pgagent.pga_schedule ORDER BY jscid")
    assert [zone for (zone,) in zones] == ["UTC", "Europe/Berlin"]
    again = [result for (result,) in conn.execute(take_over, [CRONTAB])]
    assert again[3] == "left alone: there is a job of this name"

    run = subprocess.run(
        ["/bin/sh"], input=code, capture_output=True, text=True, check=True
    )
    assert run.stdout == "it's 50%\nfirst\nsecond\n"


def test_a_command_of_a_crontab_begins_at_home(conn, tmp_path):
    crontab = f"HOME={tmp_path}\n@daily pwd"
    conn.execute("SELECT pgagent.import_crontab(%s, false)", [crontab])
    (code,) = conn.execute("SELECT jstcode FROM pgagent.pga_jobstep").fetchone()
    run = ["/bin/sh", "-c", code]
    assert subprocess.check_output(run, text=True, cwd="/") == f"{tmp_path}\n"


def test_of_a_crontab_with_a_mistake_nothing_is_taken_over(conn, refused):
    crontab = CRONTAB + "61 * * * * x\n"
    message = refused("22023", "pgagent.import_crontab(%s, false)", crontab)
    assert "line 8" in message
    assert '"61" is not allowed' in message
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)


def test_a_job_that_does_something_else_than_its_line_is_pointed_out(conn):
    take_over = "SELECT result FROM pgagent.import_crontab(%s, dry_run => false)"
    conn.execute(take_over, ["@daily x\n@daily y"])
    results = [row for (row,) in conn.execute(take_over, ["@daily x\n@hourly y"])]
    assert results == [
        "left alone: there is a job of this name",
        "left alone: there is a job of this name, which does something else",
    ]


# As Debian has them. The jobs of each end as "root: not found" if they are taken literally.
SYSTEM_CRONTABS = {
    "/etc/crontab": """\
# /etc/crontab: system-wide crontab
SHELL=/bin/sh
# *  *  *  *  * user-name command to be executed
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\talice\ttest -x /usr/sbin/anacron || run-parts /etc/cron.daily
""",
    "without comments": """\

@reboot www-data /usr/bin/warm
30 2 * * 1 root /usr/local/bin/backup --all
0 3 * * * alice /usr/bin/true
""",
    "/etc/cron.d/e2scrub_all": """\
SHELL=/bin/sh

30 3 * * 0 root test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/e2fsprogs/e2scrub_all_cron
10 3 * * * root test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r
""",
}


@pytest.mark.parametrize("crontab", SYSTEM_CRONTABS)
def test_a_crontab_with_users_is_recognised(conn, refused, crontab):
    text = SYSTEM_CRONTABS[crontab]
    rows = conn.execute("SELECT * FROM pgagent.import_crontab(%s)", [text]).fetchall()
    problems = {row[0]: row[4] for row in rows if row[4].startswith("problem: ")}
    wanted = [
        number
        for number, line in enumerate(text.split("\n"), 1)
        if re.match(r"[0-9@]", line)
    ]
    assert list(problems) == wanted
    assert all("a user's name, " in problem for problem in problems.values())
    told = refused("22023", "pgagent.import_crontab(%s, dry_run => false)", text)
    assert f"Lines that can't be taken over: {', '.join(map(str, wanted))}." in told
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)


def test_commands_are_not_taken_for_users(conn):
    crontab = """
# my user crontab
@daily mail -s report /tmp/report
@daily backup /var/lib
@daily sync
@daily postgres --single
@daily root-backup.sh now
@daily sh /usr/local/bin/root
"""
    rows = conn.execute("SELECT result FROM pgagent.import_crontab(%s)", [crontab])
    assert rows.fetchall() == 6 * [("would become a job",)]


def test_only_a_newline_ends_a_line(conn):
    rows = conn.execute(
        "SELECT line, job FROM pgagent.import_crontab(E'@daily a\\x0cb\\u2028c\\r\\n@daily d')"
    ).fetchall()
    assert rows == [(1, "crontab line 1"), (2, "crontab line 2")]


def test_no_crontab_is_an_empty_one(conn):
    call = "SELECT * FROM pgagent.import_crontab(%s, %s)"
    assert conn.execute(call, [None, False]).fetchall() == []
    assert conn.execute(call, ["@daily x", None]).fetchone()[4] == "would become a job"


def test_lines_that_are_none_are_problems(conn):
    rows = conn.execute(
        "SELECT result FROM pgagent.import_crontab('a line')"
    ).fetchall()
    assert rows[0][0].startswith("problem: can't be read")


def test_without_pg_cron_there_is_nothing_to_import(refused):
    assert "cron.job" in refused("42P01", "pgagent.import_pg_cron()")


def test_a_table_that_only_looks_like_pg_crons_is_not_read(conn, refused):
    conn.execute("CREATE SCHEMA cron; CREATE TABLE cron.job (jobid bigint)")
    assert "pg_cron" in refused("42P01", "pgagent.import_pg_cron()")


VARIED = [
    *("* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *", "0 0 * * 0", "0 0 * * 7"),
    *("15,45 * * * *", "0 9-17 * * 1-5", "0 9-17/2 * * *", "5 4 * * sun"),
    *("0 22 * * 1-5", "23 0-20/2 * * *", "0 0 1 * *", "0 0 1,15 * *", "0 12 1 jan *"),
    *("0 0 29 2 *", "0 0 31 * *", "59 23 31 12 *", "0 0 13 * 5", "0 0 1 * mon"),
    *("*/7 * * * *", "1-59/2 * * * *", "10-20 3 * * *", "0 */6 * * *", "0 1-5 * * 6,7"),
    *("30 4 1-7 * *", "0 0 * jan-mar *", "0 0 * feb,apr *", "0 6 * * tue,thu"),
    *("45 23 * * 6", "0 3 2-30/2 * *", "12 12 12 12 *", "0 0 * * mon-wed"),
    *("20 10 * 6-8 *", "0,30 8,20 * * *", "*/10 9 * * 1", "3 3 3 3 3"),
    *("0 5 * * 0,6", "55 */3 * * *", "0 14 10-20 * *", "*/20 0 * * *"),
    *("7 7 7 * *", "0 0 1 1 *", "0 0 28 2 *", "40 16 * 12 *", "2 2 2,12,22 * *"),
]
OTHERS = [
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@yearly",
    "0 0 3 * *",
    "1 1 1 1 1",
]
MEANINGS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "0 0 $ * *": "0 0 L * *",
}
LATER = {"0 0 3 * *": "0 0 $ * *", "1 1 1 1 1": "30 seconds"}  # of pg_cron 1.5


@contextmanager
def both_schedulers(**of_pg_cron):
    """Give a database with pg_cron and ours, on a server of its own."""
    settings = {
        "shared_preload_libraries": "pg_cron",
        "cron.database_name": "postgres",
        "cron.launch_active_jobs": "off",
        **{f"cron.{name}": value for name, value in of_pg_cron.items()},
    }
    with (
        Cluster(settings, is_twin=True) as cluster,
        closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as conn,
    ):
        conn.execute("CREATE EXTENSION pg_cron")
        conn.execute("CREATE EXTENSION pgagent_python CASCADE")
        yield conn


@pytest.fixture(scope="module")
def pg_cron():
    with both_schedulers() as conn:
        yield conn


def test_fifty_jobs_of_pg_cron_run_when_they_would_have_run(pg_cron):
    assert len(VARIED) + len(OTHERS) >= 50
    for number, schedule in enumerate(VARIED + OTHERS):
        pg_cron.execute(
            "SELECT cron.schedule(%s, %s, 'SELECT 1')", [f"job {number}", schedule]
        )
    for schedule, later in LATER.items():
        change = "UPDATE cron.job SET schedule = %s WHERE schedule = %s"
        pg_cron.execute(change, [later, schedule])
    pg_cron.execute("UPDATE cron.job SET active = false WHERE jobid = 2")
    pg_cron.execute("CREATE ROLE somebody LOGIN")
    pg_cron.execute("UPDATE cron.job SET username = 'somebody' WHERE jobid = 3")

    take_over = "SELECT result FROM pgagent.import_pg_cron(%s, all_users => true)"
    dry = [result for (result,) in pg_cron.execute(take_over, [True])]
    assert dry[0] == "would become a job"
    own = pg_cron.execute("SELECT result FROM pgagent.import_pg_cron()").fetchall()
    assert own[2][0].startswith("left alone: it ran as somebody")
    assert pg_cron.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)
    results = [result for (result,) in pg_cron.execute(take_over, [False])]
    again = {result for (result,) in pg_cron.execute(take_over, [False])}

    assert len(results) == len(VARIED) + len(OTHERS)
    assert results[0] == "has become a job"
    assert results[1].endswith("; disabled, as it was")
    assert results[2].endswith(
        "; runs as somebody, its owner, if allow_run_as() lets it"
    )
    owned = "SELECT jobname, jobowner FROM pgagent.pga_job WHERE jobowner IS NOT NULL"
    assert pg_cron.execute(owned).fetchall() == [("job 2", "somebody")]
    assert dry[1:3] == [
        result.replace("has become", "would become") for result in results[1:3]
    ]
    assert pg_cron.execute(
        "SELECT jobname FROM pgagent.pga_job WHERE NOT jobenabled ORDER BY jobid"
    ).fetchall() == [("job 1",)]
    assert again == {"left alone: there is a job of this name"}

    after = datetime(2027, 2, 27, 23, 58, tzinfo=UTC)
    judged = 0
    for number, written in enumerate(VARIED + OTHERS):
        schedule = LATER.get(written, written)
        if schedule.endswith("seconds"):
            continue
        expected = CronSim(MEANINGS.get(schedule, schedule), after)
        runs = pg_cron.execute(
            "SELECT run_at FROM pgagent.next_runs(%s, after => %s, max_rows => 10)",
            [f"job {number}", after],
        ).fetchall()
        assert [run for (run,) in runs] == [next(expected) for _ in range(10)], schedule
        judged += 1
    assert judged >= 50
    (interval,) = pg_cron.execute(
        "SELECT jscevery FROM pgagent.pga_schedule WHERE jscname = '30 seconds'"
    ).fetchone()
    assert interval == timedelta(seconds=30)


@pytest.fixture
def jobs_of_pg_cron(pg_cron):
    """Write jobs of pg_cron that go again: (name, schedule, username, nodename)."""

    def write(*rows):
        pg_cron.execute("TRUNCATE cron.job; DELETE FROM pgagent.pga_job")
        for row in rows:
            pg_cron.execute(
                "INSERT INTO cron.job (jobname, schedule, username, nodename, nodeport, command)"
                " VALUES (%s, %s, %s, %s, 5432, 'SELECT 1')",
                row,
            )

    yield write
    write()


def import_all(session, call="dry_run => false"):
    rows = session.execute(f"SELECT * FROM pgagent.import_pg_cron({call})").fetchall()
    return {job: result for _, job, _, _, result in rows}


HERE = ("postgres", "localhost")


def test_the_statement_of_the_docs_moves_the_jobs_that_will_run(
    pg_cron, jobs_of_pg_cron
):
    jobs_of_pg_cron(
        ("a", "@daily", *HERE),
        ("elsewhere", "@daily", "postgres", "192.0.2.1"),
        ("somebody's", "@daily", "bob", "localhost"),
    )

    pg_cron.execute(block("docs/pg_cron.md", "SELECT m.cron_jobid"))

    left = pg_cron.execute("SELECT jobname FROM cron.job ORDER BY jobid").fetchall()
    run_here = pg_cron.execute(
        "SELECT jobname FROM pgagent.pga_job WHERE jobenabled"
    ).fetchall()
    assert (left, run_here) == ([("elsewhere",), ("somebody's",)], [("a",)])


def test_jobs_of_one_name_are_both_taken_over(pg_cron, jobs_of_pg_cron):
    jobs_of_pg_cron(
        ("a", "@daily", *HERE),
        ("a", "@hourly", "bob", "localhost"),
        (None, "@daily", *HERE),
    )
    found = import_all(pg_cron, "all_users => true")
    assert [*found][:2] == ["a", "a (bob)"]
    assert [*found][2].startswith("pg_cron job ")
    assert import_all(pg_cron)["a (bob)"].startswith("left alone: it ran as bob")
    everybody = "dry_run => false, all_users => true"
    assert import_all(pg_cron, everybody)["a (bob)"].startswith("has become a job; ")
    assert {*import_all(pg_cron, everybody).values()} == {
        "left alone: there is a job of this name"
    }
    assert pg_cron.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (3,)


def test_a_job_of_another_server_does_not_run_on_this_one(pg_cron, jobs_of_pg_cron):
    jobs_of_pg_cron(("a", "@daily", "postgres", "db.example.org"))
    (result,) = import_all(pg_cron).values()
    assert result.endswith(
        "disabled: it would run on the runner's server, no longer on db.example.org"
    )
    jobs = "SELECT jobenabled, jobnextrun FROM pgagent.pga_job"
    assert pg_cron.execute(jobs).fetchall() == [(False, None)]


@pytest.mark.needs("pg_cron")
@pytest.mark.parametrize(
    ("zone", "expected"), [("", "GMT"), ("Europe/Berlin", "Europe/Berlin")]
)
def test_the_zone_of_pg_cron_is_heeded(zone, expected):
    # A setting that only takes effect at the server's start, from pg_cron 1.5 on.
    with both_schedulers(timezone=zone) as conn:
        conn.execute("SELECT cron.schedule('a', '@daily', 'SELECT 1')")
        import_all(conn)
        zones = "SELECT jsctimezone FROM pgagent.pga_schedule"
        assert conn.execute(zones).fetchall() == [(expected,)]


def test_if_one_job_of_pg_cron_cannot_be_taken_over_none_is(pg_cron, jobs_of_pg_cron):
    jobs_of_pg_cron(("a", "@daily", *HERE), ("b", "61 * * * *", *HERE))
    assert import_all(pg_cron, "")["b"].startswith("problem: ")
    assert import_all(pg_cron, "NULL")["a"] == "would become a job"
    with pytest.raises(psycopg.errors.InvalidParameterValue) as e:
        import_all(pg_cron)
    assert '"61" is not allowed' in str(e.value)
    assert "DETAIL:  1 jobs can't be taken over" in str(e.value)
    assert pg_cron.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)
