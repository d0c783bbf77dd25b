"""Taking over crontabs: of users and of the system."""

import subprocess
import tomllib
from contextlib import suppress

import pytest
from pgagent_runner.cli import main

CRONTAB = r"""# every night
SHELL=/bin/sh
MAILTO=root
GREETING="it's"
30 2 * * 1-5 echo "$GREETING" 50\% && cat%first%second
CRON_TZ=Europe/Berlin
@daily /bin/true
@reboot /bin/true
"""
SYSTEM = """\
# *  *  *  *  * user-name command to be executed
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\talice\ttest -x /usr/sbin/anacron || run-parts /etc/cron.daily
"""


@pytest.fixture
def file(tmp_path):
    """Write a crontab into a file; return its path."""

    def write(text, name="jobs"):
        path = tmp_path / name
        path.write_text(text, newline="")
        return path

    return write


def jobs_of(done):
    """Return the jobs of a file on standard output, by name."""
    return {job["name"]: job for job in tomllib.loads(done.out)["jobs"]}


def test_each_line_becomes_a_job_and_each_difference_is_said(import_, file):
    done = import_("crontab", file(CRONTAB), "--timezone", "Asia/Kolkata")

    jobs = jobs_of(done)
    assert [*jobs] == ["jobs line 5", "jobs line 7", "jobs line 8"]
    schedules = [job["schedules"][0] for job in jobs.values()]
    assert [(s["schedule"], s.get("timezone")) for s in schedules] == [
        ("30 2 * * 1-5", "Asia/Kolkata"),
        ("@daily", "Europe/Berlin"),
        ("@reboot", "Europe/Berlin"),
    ]
    for note in (
        "jobs line 3: MAILTO = root",
        "jobs line 6: CRON_TZ",
        "jobs line 8: @re",
    ):
        assert note in done.err
    script = jobs["jobs line 5"]["steps"][0]["command"]
    run = subprocess.run(
        ["/bin/sh"], check=True, input=script, capture_output=True, text=True
    )
    assert run.stdout == "it's 50%\nfirst\nsecond\n"


@pytest.mark.needs("plpython")
def test_both_importers_of_crontabs_make_the_same_jobs(import_, file, conn):
    conn.execute("CREATE EXTENSION pgagent_python CASCADE")
    made = (
        "SELECT jobname, jstname, jstkind, jstcode, jsctimezone,"
        " pgagent.pga_schedule_text(s), jobenabled"
        " FROM pgagent.pga_job JOIN pgagent.pga_jobstep ON jstjobid = jobid"
        " JOIN pgagent.pga_schedule AS s ON jscjobid = jobid ORDER BY jobid"
    )
    conn.execute("SELECT pgagent.import_crontab(%s, false, 'UTC', 'jobs')", [CRONTAB])
    expected = conn.execute(made).fetchall()
    conn.execute("DELETE FROM pgagent.pga_job")

    import_("crontab", file(CRONTAB), "--timezone", "UTC", "--apply", "--yes")

    assert conn.execute(made).fetchall() == expected


def test_lines_of_other_users_become_disabled_jobs(import_, file):
    done = import_("crontab", file(SYSTEM, "crontab"), "--user", "alice")

    jobs = jobs_of(done)
    assert jobs["crontab line 2"]["enabled"] is False
    assert "enabled" not in jobs["crontab line 3"]
    scripts = [job["steps"][0]["command"].splitlines()[-1] for job in jobs.values()]
    assert scripts == [
        "cd / && run-parts --report /etc/cron.hourly",
        "test -x /usr/sbin/anacron || run-parts /etc/cron.daily",
    ]
    assert "crontab line 2: disabled: it ran as the user root" in done.err
    assert "crontab line 3: disabled" not in done.err


def test_a_crontab_of_the_system_can_be_said_to_be_one(import_, file):
    path = file("0 3 * * * zoe backup now\n")
    (job,) = jobs_of(import_("crontab", path)).values()
    assert job["steps"][0]["command"].endswith("\nzoe backup now\n")
    (job,) = jobs_of(import_("crontab", path, "--system")).values()
    assert job["steps"][0]["command"].endswith("\nbackup now\n")
    assert job["enabled"] is False


def test_a_line_without_a_user_is_no_command_of_a_crontab_of_the_system(import_, file):
    done = import_("crontab", file("0 3 * * * root\n0 4 * * * root x\n"), "--system")
    assert [*jobs_of(done)] == ["jobs line 2"]
    assert "jobs line 1: left out: it can't be read: a user's name" in done.err


LEFT_OUT = {
    "a line": "it can't be read",
    "0~59 * * * * x": "a time by chance",
    "@fortnightly x": "there is no schedule like @fortnightly",
    "1\t5\tcron.daily\tnice run-parts /etc/cron.daily": "is no schedule of a crontab",
}


def test_what_is_no_line_of_a_crontab_is_left_out_with_its_reason(import_, file):
    done = import_("crontab", file("\n".join(LEFT_OUT)))
    assert done.status == 0
    assert f"0 jobs, {len(LEFT_OUT)} left out" in done.err
    for number, reason in enumerate(LEFT_OUT.values(), 1):
        (line,) = [one for one in done.err.splitlines() if f"line {number}: " in one]
        assert "left out: " in line
        assert reason in line


TAKEN = {
    "-*/5 * * * * x": "*/5 * * * *",
    "@every_minute x": "* * * * *",
    "@every_second x": "@every 1 second",
    "@MIDNIGHT x": "@midnight",
    "0 0 * jan sun x": "0 0 * jan sun",
}


def test_forms_that_only_some_crons_know_are_understood(import_, file):
    jobs = jobs_of(import_("crontab", file("\n".join(TAKEN))))
    found = [job["schedules"][0]["schedule"] for job in jobs.values()]
    assert found == [*TAKEN.values()]


def test_a_schedule_that_sql_refuses_is_named_and_nothing_is_made(import_, file, conn):
    path = file("0 0 * * * good\n61 * * * * bad\n")
    done = import_("crontab", path, "--apply", "--yes")
    assert done.status == 1
    assert '"61" is not allowed' in done.err
    assert "jobs line 2" in done.err
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)


def test_several_crontabs_come_into_one_file(import_, file):
    done = import_(
        "crontab", file("@daily a\n", "one"), file("@daily b\n", "two"), "--disabled"
    )
    jobs = jobs_of(done)
    assert [*jobs] == ["one line 1", "two line 1"]
    assert {job["enabled"] for job in jobs.values()} == {False}


def test_crontabs_of_one_name_have_jobs_of_different_names(import_, file, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    done = import_("crontab", file("@daily x\n", "a/own"), file("@daily y\n", "b/own"))
    assert [*jobs_of(done)] == [f"{tmp_path}/{folder}/own line 1" for folder in "ab"]


def test_a_crontab_comes_from_standard_input(import_, monkeypatch, tmp_path):
    path = tmp_path / "given"
    path.write_bytes("0 0 * * * echo ü\n".encode())
    with path.open() as given:
        monkeypatch.setattr("sys.stdin", given)
        assert [*jobs_of(import_("crontab", "-"))] == ["crontab line 1"]


def test_standard_input_that_is_no_text_is_refused_as_a_file_is(
    import_, monkeypatch, tmp_path
):
    path = tmp_path / "given"
    path.write_bytes(b"0 0 * * * echo \xfc\n")
    with path.open(errors="surrogateescape") as given:
        monkeypatch.setattr("sys.stdin", given)
        done = import_("crontab", "-")
    assert "standard input is not text in UTF-8" in done.err


def test_a_file_may_stand_behind_an_option(import_, file):
    done = import_("crontab", "--system", file("@daily root x\n"), "--user", "root")
    assert len(jobs_of(done)) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["crontab"], "which crontab?"),
        (["crontab", "FILE", "--from", "x"], "--from is for pg_timetable and pg_cron"),
        (["crontab", "FILE", "--client", "x"], "--client is for pg_timetable"),
        (["crontab", "FILE", "--replace"], "--replace is for --apply"),
        (["crontab", "FILE", "--json"], "--csv, --json and -x are for --apply"),
        (["pg_cron", "FILE"], "pg_cron is read from a database"),
        (["pg_timetable", "--timezone", "UTC"], "--timezone is for crontab"),
        (["pg_timetable", "--user", "x"], "--user is for pg_cron and crontab"),
        (["pg_timetable", "--system"], "--system is for crontab"),
        (["crontab", "FILE", "--apply", "--output", "x"], "not allowed with argument"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(
    capsys, file, dsn, options, reason
):
    words = [str(file(CRONTAB)) if word == "FILE" else word for word in options]
    with suppress(SystemExit):  # which argparse raises
        assert main(["import", *words, "-d", dsn]) == 2
    assert reason in capsys.readouterr().err


def test_a_file_that_is_there_is_left_alone(import_, file):
    done = import_("crontab", file(CRONTAB), "--output", file("mine", "out.toml"))
    assert done.status == 1
    assert "out.toml is there already" in done.err
    assert file(CRONTAB).with_name("out.toml").read_text() == "mine"


def test_what_cannot_be_read_is_told(import_, tmp_path):
    done = import_("crontab", tmp_path / "none")
    assert done.status == 1
    assert "none" in done.err
    assert "No such file" in done.err
