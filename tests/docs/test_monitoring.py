"""docs/monitoring.md and docs/alerts.md: what they tell people to do is done here.

What is said to arrive arrives: at a mail server, a web server, a session that listens.
"""

import json
import re
import shlex
import subprocess
from contextlib import closing
from email import message_from_string
from email.policy import default

import psycopg
import pytest
from alerts.conftest import agent
from daemon.runner_process import PGAGENT, Runner
from documents import ROOT, block, inline
from jobs import add_job
from pgagent_runner.configuration import load
from pgagent_runner.errands import errands
from pgagent_runner.sending.channels import KEYS, read_channels
from pgagent_runner.sending.messages import NAMES
from receivers import (
    Hook,
    Pinged,
    address,
    bodies,
    context_of,
    hook,
    made_certificates,
    serving,
    starting_tls,
)
from sending.test_every_event import MAKERS
from support import poll

__all__ = ["agent"]

PAGE = "docs/monitoring.md"
CHANNELS = "docs/alerts.md"

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What no two nights have in common.
MASKS = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+", "TIME"),
    (r"\d+(\.\d+)? s\b", "SPAN"),
    (r"\bon \S+/\S+$", "on WHERE"),
    (r"on host +\S+", "on host HOST"),
    (r"message [0-9a-f-]{36}", "message ID"),
    (r"logs \d+", "logs RUN"),
)


def fences(page, language):
    """Return what stands in fences of this language, in order."""
    text = (ROOT / page).read_text()
    return [found for kind, found in FENCE.findall(text) if kind == language]


def shown(begin):
    """Return the one thing that the page shows and that begins so."""
    (found,) = (one for one in fences(PAGE, "text") if one.startswith(begin))
    return found


def masked(text):
    for pattern, word in MASKS:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text.strip().splitlines()


class Place:
    """A database, a home with its pgagent.toml, and a shell."""

    def __init__(self, cluster, dsn, home):
        self.dsn = dsn
        self.home = home
        self.file = home / ".config/pgagent/pgagent.toml"
        self.file.parent.mkdir(parents=True)
        name = dsn.partition("dbname=")[2].split()[0]
        self.environ = cluster.client_environ(name) | {
            # Without XDG_CONFIG_HOME and PGAGENT_CONFIG, files are found as the page has it.
            "HOME": str(home),
            "XDG_CONFIG_HOME": "",
            "PGAGENT_CONFIG": "",
            "PATH": f"{PGAGENT.parent}:{cluster.client_environ()['PATH']}",
            "TZ": "Europe/Berlin",
            "LC_ALL": "C.UTF-8",
        }

    def write(self, text):
        self.file.write_text(text)
        self.file.chmod(0o600)

    def sh(self, text, **environ):
        """Return what a block prints, on either of its outputs; nothing may fail."""
        return self._done(["/bin/sh", "-ec", text], "", environ)

    def sql(self, text):
        return self._done(["psql", "-XqAt", "-vON_ERROR_STOP=1"], text, {})

    def _done(self, command, text, environ):
        done = subprocess.run(
            command,
            input=text,
            env=self.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def runner(self, *options):
        return Runner(*options, self.dsn, environ=self.environ)


@pytest.fixture
def place(cluster, dsn, tmp_path):
    return Place(cluster, dsn, tmp_path)


@pytest.fixture
def nightly(conn, tmp_path):
    """A job that copies what is not always there."""
    conn.execute("SELECT pgagent.create_job('nightly', class => 'Data Import')")
    code = f"cd {tmp_path} && cp srv/shop.dump backup"
    conn.execute(
        "SELECT pgagent.add_step('nightly', '1 copy', %s, kind => 'batch')", [code]
    )
    conn.execute("SELECT pgagent.add_schedule('nightly', '30 2 * * *')")
    return tmp_path / "srv"


def run_it(conn):
    """Have the nightly run, and wait for the end of that; return how it ended."""
    (run,) = conn.execute("SELECT pgagent.run_job('nightly')").fetchone()
    query = (
        "SELECT jlgstatus FROM pgagent.pga_joblog WHERE jlgid = %s AND jlgstatus <> 'r'"
    )
    (status,) = poll(lambda: conn.execute(query, [run]).fetchone())
    return status


def states(conn):
    query = "SELECT event, state FROM pgagent.alert_log ORDER BY at"
    return conn.execute(query).fetchall()


def mails(server):
    """Return subject and text of all mails that a server has got."""
    found = []
    for part in "\n".join(server.heard).split("\ndata\n")[1:]:
        mail = message_from_string(part.partition("\n.\n")[0], policy=default)
        found.append(f"Subject: {mail['Subject']}\n\n{mail.get_content()}")
    return found


# Mail


@pytest.mark.needs("openssl")
@pytest.mark.timeout(120)
def test_who_reads_one_screen_is_woken_once_and_once_when_all_is_well(
    conn, place, nightly
):
    (file,) = (f for f in fences(PAGE, "toml") if "smtp" in f)
    with made_certificates() as certificates:
        place.environ["SSL_CERT_FILE"] = str(certificates / "trusted")
        context = context_of(certificates, "here")
        with serving(starting_tls(context)) as server:
            host, port = server.server_address
            for ours, theirs in (
                ('"mail.example.org"', f'"{host}"'),
                ("587", str(port)),
                (
                    '"host=localhost dbname=postgres user=pgagent_runner"',
                    f'"{place.dsn}"',
                ),
            ):
                assert ours in file
                file = file.replace(ours, theirs)
            place.file.write_text(file)
            place.file.chmod(0o644)

            told = place.sh(block("docs/monitoring.md", "chmod 600"))
            assert re.search(r'^ok +\| channels .*"dba"', told, re.MULTILINE), told
            assert mails(server) == []

            with Runner(environ=place.environ) as runner:
                runner.ready()
                (nightly / "x").parent.mkdir()
                (nightly / "shop.dump").touch()
                assert run_it(conn) == "s"
                (nightly / "shop.dump").unlink()

                place.sql(
                    block("docs/monitoring.md", "SELECT pgagent.add_alert('on call'")
                )
                poll(lambda: states(conn) == [("test", "sent")], 20)
                for _ in range(3):
                    assert run_it(conn) == "f"
                poll(lambda: states(conn)[1:] == [("failed", "sent")], 30)
                assert run_it(conn) == "f"
                (nightly / "shop.dump").touch()
                assert run_it(conn) == "s"
                poll(lambda: states(conn)[2:] == [("recovered", "sent")], 30)
                assert run_it(conn) == "s"
            told = "\n".join(server.heard).lower()
            assert "mail from:<pgagent@example.org>" in told
            test, failed, recovered = mails(server)
    assert test.startswith("Subject: [pgagent] TEST on ")
    failed = failed.replace(f"{nightly}", "/srv").replace("'srv/", "'/srv/dumps/")
    assert masked(failed) == masked(shown("Subject: [pgagent] FAILED"))
    assert masked(recovered) == masked(shown("Subject: [pgagent] RECOVERED"))
    assert place.sh(inline("docs/monitoring.md", "pgagent alerts --failed")).startswith(
        "No alert"
    )


def test_it_is_said_why_nothing_arrives(conn, place, nightly):
    place.write(
        '[channels.dba]\ntype = "smtp"\nhost = "127.0.0.1"\nport = 1\n'
        'from = "a@b"\nto = "c@d"\n'
    )
    place.sql(block("docs/monitoring.md", "SELECT pgagent.add_alert('on call'"))
    place.sh("pgagent send-alerts")
    assert "Connection refused" in place.sh(
        inline("docs/monitoring.md", "pgagent alerts --failed")
    )


# Others


def test_a_webhook_is_told_what_slack_shows(conn, place, nightly):
    (file,) = (f for f in fences(PAGE, "toml") if "hooks.slack.com" in f)
    with serving(Hook) as server:
        url = re.sub(r'"https://.*"', f'"http://{address(server)}/200"', file)
        place.write(url)
        place.sql(block("docs/monitoring.md", "SELECT pgagent.add_alert('team'"))
        with place.runner() as runner:
            runner.ready()
            for _ in range(3):
                assert states(conn) == []
                assert run_it(conn) == "f"
            poll(lambda: states(conn) == [("failed", "sent")], 30)
        (told,) = bodies(server)
    assert told["text"].startswith("nightly has failed, the 3rd time in a row.")


@pytest.mark.parametrize("page", [PAGE, CHANNELS])
def test_each_file_is_accepted(tmp_path, page):
    found = fences(page, "toml")
    assert len(found) >= 3
    for text in found:
        path = tmp_path / "pgagent.toml"
        path.write_text(text)
        path.chmod(0o600)
        file = load(path, {})
        channels, complaints = read_channels(file)
        assert complaints == []
        assert channels or errands(file).alive_every == 300


def test_all_keys_and_names_are_there():
    page = (ROOT / CHANNELS).read_text()
    keys = {key for kind in KEYS.values() for key in kind} - {"subject", "text"}
    assert [
        key
        for key in keys
        if not re.search(rf"^{key} = |# or {key} = ", page, re.MULTILINE)
    ] == []
    assert [name for name in NAMES if f"`{name}`" not in page] == []


def test_programs_listen_and_jobs_are_started_as_the_page_of_channels_says(
    dsn, conn, place, nightly
):
    conn.execute("CREATE TABLE failures (job text, message text)")
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        session.execute(block("docs/alerts.md", "LISTEN pgagent_event"))
        place.sql(block("docs/alerts.md", "SELECT pgagent.create_job('note failures')"))
        with place.runner() as runner:
            runner.ready()
            assert run_it(conn) == "f"
            (event,) = session.notifies(timeout=30, stop_after=1)
            assert json.loads(event.payload)["job"] == "nightly"
            noted = "SELECT job, message FROM failures"
            poll(lambda: conn.execute(noted).fetchall(), 30)
    why = 'step "1 copy" failed: exit code 1'
    assert conn.execute(noted).fetchall() == [("nightly", why)]


# If no runner lives


def test_cron_tells_that_no_runner_lives(conn, place, nightly):
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 hour'")
    line = shown("* * * * *")
    *_, user, command = line.strip().split(maxsplit=6)
    assert user == "pgagent"
    with serving(Hook) as server:
        place.write(hook(server, "dba"))
        place.sql("SELECT pgagent.add_alert('on call', 'dba')")
        command = command.replace("/usr/local/bin/", "")
        poll(lambda: place.sh(command) or bodies(server), 30)
        (told,) = bodies(server)
    assert {e["event"] for e in told["events"]} == {"late", "no_runner"}


def test_a_runner_gives_a_sign_of_life(conn, place):
    (file,) = (f for f in fences(PAGE, "toml") if "[alive]" in f)
    with serving(Pinged) as server:
        place.write(re.sub(r'"https://.*"', f'"http://{address(server)}/x"', file))
        with place.runner() as runner:
            runner.ready()
            poll(lambda: server.heard == ["GET /x"], 30)


# Monitors


@pytest.fixture
def monitor(conn):
    """The role of monitors."""
    conn.execute(block("docs/monitoring.md", "CREATE ROLE pgagent_monitor"))
    yield "pgagent_monitor"
    conn.execute("DROP OWNED BY pgagent_monitor; DROP ROLE pgagent_monitor")


def test_nagios_is_answered(cluster, conn, place, monitor):
    (line,) = re.findall(r"command_line +(.*)", shown("define command"))
    line = line.replace("/usr/local/bin/", "").replace("$HOSTADDRESS$", cluster.host)
    assert f"user={monitor}" in line
    line = line.replace("dbname=postgres", f"dbname={conn.info.dbname}")
    with place.runner() as runner:
        runner.ready()
        told = poll(lambda: place.sh(line))
    assert told == shown("PGAGENT OK")
    conn.execute("SELECT pgagent.schedule('nightly', '@yearly', 'SELECT 1')")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 hour'")
    assert place.sh(f"{line} || [ $? = 2 ]").startswith("PGAGENT CRITICAL - ")


def test_a_runner_listens_as_the_page_says(place):
    command = shlex.split(block("docs/monitoring.md", "pgagent run --listen"))
    assert command[:3] == ["pgagent", "run", "--listen"]
    place.write(f'[run]\nlisten = "{command[3]}"\n'.replace(command[3], "0"))
    with place.runner() as runner:
        runner.says("listens on 127.0.0.1:")
        port = runner.log.partition("listens on 127.0.0.1:")[2].split()[0]
        asked = place.sh(
            f'python3 -c "import urllib.request as u;'
            f" print(u.urlopen('http://127.0.0.1:{port}/metrics').read().decode())\""
        )
    page = (ROOT / PAGE).read_text().partition("## Prometheus")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(pgagent_\w+)`", page)) - {
        "pgagent_job_last_success_timestamp_seconds"
    }
    assert len(named) > 4
    assert [name for name in named if f"# TYPE {name} " not in asked] == []


def test_the_figures_explain_themselves(conn):
    explained = conn.execute(
        inline("docs/monitoring.md", "SELECT name, help")
    ).fetchall()
    assert all(help_ for _, help_ in explained)


def test_the_table_names_events_and_rules_that_there_are(conn):
    page = (ROOT / PAGE).read_text()
    table = page.split("## What to watch")[1].split("\n## ")[0]
    rows = re.findall(r"^\| [^|]+\|([^|]*)\|[^|]*\|([^|]*)\|", table, re.MULTILINE)[1:]
    rules = set(
        re.findall(
            r"alert: Pgagent(\w+)",
            (ROOT / "contrib/prometheus/rules.yml").read_text(),
        )
    )
    named = {rule for _, cell in rows for rule in re.findall(r"[A-Z]\w+", cell)}
    assert rules - named == {"ClassFull"}
    assert named - rules == set()
    events = {event for cell, _ in rows for event in re.findall(r"`(\w+)`", cell)}
    assert events == known_events(conn) - {"recovered"}


def told_by(event):
    """Return what the table says of an event: health and check."""
    table = (ROOT / PAGE).read_text().split("## What to watch")[1].split("\n## ")[0]
    (row,) = (
        cells
        for cells in (line.split("|") for line in table.splitlines())
        if len(cells) > 2 and f"`{event}`" in cells[2] and "few workers" not in cells[1]
    )
    return row[3].strip(), row[6].strip()


@pytest.mark.parametrize(
    "event", ["failed", "aborted", "late", "long", "disabled", "set_aside", "unarmed"]
)
def test_the_table_says_what_health_and_check_say(conn, agent, place, event):
    job_id = add_job(conn, "SELECT 1", due=None, name="nightly")
    for well in (True, False):
        if not well:
            MAKERS[event](conn, agent, job_id)
        told = place.sh("pgagent health || :").split()[1]
        checked = place.sh("pgagent check --json || :")
        states = {one["state"] for one in json.loads(checked)}
        if well:
            assert (told, states) == ("OK", {"ok"}), checked
    health, check = told_by(event)
    assert told == {"warning": "WARNING", "by its limits": "CRITICAL"}[health]
    assert check in states, checked
    assert check == "fault" or "fault" not in states, checked


# What is told


def known_events(conn):
    known = conn.execute("SELECT unnest(pgagent.pga_events_known())").fetchall()
    return {event for (event,) in known}


def test_the_page_lists_all_events(conn):
    page = (ROOT / PAGE).read_text()
    table = page.split("| event | told when |")[1].split("\n\n")[0]
    listed = {
        event
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for event in re.findall(r"`(\w+)`", row)
    }
    assert listed == known_events(conn)


def test_alerts_and_jobs_are_altered_as_the_page_says(conn, place, nightly):
    place.sql(block("docs/monitoring.md", "SELECT pgagent.add_alert('nightly'"))
    place.sql(block("docs/monitoring.md", "SELECT pgagent.alter_job('nightly'"))
    place.sql("SELECT pgagent.test_alert('nightly')")
    conn.execute("SELECT pgagent.pga_alert_watch()")

    listed = place.sh(block("docs/monitoring.md", "pgagent alerts\n"))
    assert re.search(r"^nightly +\| dba .*\| 01:00:00|1 h", listed, re.MULTILINE)
    assert re.search(r"\| test +\| nightly +\|", listed)
    listed = place.sql(block("docs/monitoring.md", "SELECT alert, channel, events"))
    assert "nightly|dba|{failed,aborted,recovered,late}|nightly||1" in listed
    assert "|test|nightly|nightly|pending|" in listed
    limits = (
        "SELECT joblateafter::text, joblongfactor, jobdisableafter FROM pgagent.pga_job"
    )
    assert conn.execute(limits).fetchone() == ("00:10:00", 3, 5)
    after = "SELECT after_failures FROM pgagent.alerts"
    assert conn.execute(after).fetchone() == (2,)


SILENCED = "SELECT count(*) FROM pgagent.pga_jobsilence WHERE jsiuntil > now()"


def test_jobs_are_silenced_as_the_page_says(conn, place, nightly):
    for do, lines in (
        (place.sh, block("docs/monitoring.md", "pgagent silence nightly")),
        (place.sql, block("docs/monitoring.md", "SELECT pgagent.silence('nightly'")),
    ):
        seen = []
        for line in lines.splitlines():
            do(line)
            seen += conn.execute(SILENCED).fetchone()
        assert seen == [1, 0, 1, 0]


def test_problems_are_found_as_the_page_says(conn, place, nightly):
    with place.runner() as runner:
        runner.ready()
        assert run_it(conn) == "f"
        assert "nightly | failed" in place.sh(
            block("docs/monitoring.md", "pgagent problems")
        )
        listed = place.sql(
            block("docs/monitoring.md", "SELECT job, problem, since, detail")
        )
        assert listed.startswith("nightly|failed|")
        assert "No such file" in place.sh(
            inline("docs/monitoring.md", "pgagent logs nightly")
        )
        explained = place.sh(inline("docs/monitoring.md", "pgagent explain nightly"))
        assert re.search(r"^due +\| no ", explained, re.MULTILINE), explained
