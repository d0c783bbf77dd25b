"""docs/tour.md: the day that it tells is lived here, by verbs and by SQL.

All blocks are executed in their order, those of verbs in one database and those of SQL in
another one, with a runner; what a block is said to print it has to print, but for times,
spans of time, and the width of columns.
"""

import re
import subprocess
from contextlib import closing, contextmanager, nullcontext

import psycopg
import pytest
from daemon.runner_process import PGAGENT, Runner
from documents import block, commands_of
from support import ROOT, database, poll

PAGE = "docs/tour.md"

RUNNING = "EXISTS (SELECT FROM pgagent.running WHERE step = '1 dump')"
FULL = "EXISTS (SELECT FROM pgagent.job_status WHERE state = 'class full')"
QUIET = """
    NOT EXISTS (SELECT FROM pgagent.job_status
                WHERE state IN ('running', 'due', 'class full')
                      OR (promised <> '{}' AND state <> 'paused'))
    AND NOT EXISTS (SELECT FROM pgagent.alert_log WHERE state IN ('pending', 'sending'))
"""

# In these chapters somebody holds a lock that a dump waits for. What each block has come to
# when people go on to read the next one:
HELD = {"Cancel": (RUNNING, QUIET, QUIET), "One at a time": (FULL, FULL)}

# What no two days have in common.
MASKS = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?([+-]\d\d)?", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\b\d\d:\d\d:\d\d(\.\d+)?", "SPAN"),
    (r"\b\d+(\.\d+)? (ms|s|min|h|d)\b( \d+ (s|min|h)\b)?", "SPAN"),
    (r"^[-+]{3,}$", "---"),
    (r" +", " "),
)

BLOCKS = re.compile(r"^## ([^\n]*)\n|^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

COMPLAINT = re.compile(r"^(pgagent[ \w-]*|ERROR|sed|/bin/sh.*):", re.MULTILINE)


def masked(text):
    """Return lines without times, and without what aligns columns."""
    for pattern, word in MASKS:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return [line.strip() for line in text.strip().splitlines()]


def chapters():
    """Return the title of each chapter, with its blocks: language, text, and output.

    The output is None where the page does not show any.
    """
    found: list[tuple[str, list[list[str | None]]]] = []
    for title, language, text in BLOCKS.findall((ROOT / PAGE).read_text()):
        if title:
            found.append((title, []))
        elif language == "text":
            found[-1][1][-1][2] = text
        elif found:
            found[-1][1].append([language, text, None])
    return found


class Day:
    """A database of the name that the page has, with a runner; and a folder for /srv."""

    def __init__(self, cluster, dsn, folder):
        self.dsn = dsn
        self.folder = folder
        for name in ("dumps", "backup", "bin"):
            (folder / name).mkdir()
        environ = cluster.client_environ("shop")
        # Scripts see no PG*, and this server is not where libpq looks for one.
        pg_dump = folder / "bin/pg_dump"
        pg_dump.write_text(
            f"#!/bin/sh\nexport PGHOST='{cluster.host}' PGPORT={cluster.port}\n"
            f"export PGUSER='{cluster.user}'\n"
            f"exec '{cluster.bindir}/pg_dump' \"$@\"\n"
        )
        pg_dump.chmod(0o755)
        environ["PATH"] = f"{pg_dump.parent}:{PGAGENT.parent}:{environ['PATH']}"
        channels = folder / "pgagent.toml"
        channels.write_text('[channels.dba]\ntype = "command"\ncommand = ["true"]\n')
        self.environ = environ | {
            "PGAGENT_CONFIG": str(channels),
            "TZ": "Europe/Berlin",
            "PGTZ": "Europe/Berlin",
            "LC_ALL": "C.UTF-8",
        }

    def runner(self):
        return Runner("--station", "db1", self.dsn, environ=self.environ)

    def do(self, language, text):
        """Execute a block; return all that it prints."""
        if language == "toml":
            name = text.splitlines()[0].removeprefix("# ")
            (self.folder / name).write_text(self._here(text))
            return ""
        command = ["/bin/sh"] if language == "sh" else ["psql", "-X"]
        done = subprocess.run(
            command,
            input=self._here(text),
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout.replace(str(self.folder), "/srv")

    def _here(self, text):
        return text.replace("/srv", str(self.folder))


@pytest.fixture
def day(cluster, maker, template, tmp_path):
    with database(maker, "shop", template) as name:
        yield Day(cluster, cluster.conninfo(name), tmp_path)


@contextmanager
def lock(dsn):
    """Keep a dump waiting."""
    with closing(psycopg.connect(dsn)) as holder:
        holder.execute("LOCK TABLE backups")
        yield


def live(day, languages):
    """Do what the page says in these languages; yield what it shows and what was seen."""
    with closing(psycopg.connect(day.dsn, autocommit=True)) as conn:
        conn.execute(block("docs/tour.md", "CREATE TABLE"))
        with day.runner() as runner:
            runner.ready()
            for title, blocks in chapters():
                mine = [b for b in blocks if b[0] in languages]
                assert mine, f"{title}: nothing in {languages}"
                moments = HELD.get(title, [QUIET] * len(mine))
                with lock(day.dsn) if title in HELD else nullcontext():
                    for (language, text, shown), moment in zip(
                        mine, moments, strict=True
                    ):
                        yield title, text, shown, day.do(language, text)
                        _wait(conn, moment)
                _wait(conn, QUIET)


def _wait(conn, condition):
    query = f"SELECT {condition}"
    poll(lambda: conn.execute(query).fetchone()[0], 30, condition)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("languages", [("toml", "sh"), ("sql",)], ids=["verbs", "SQL"])
def test_a_day_goes_as_the_page_tells(day, languages):
    count = 0
    for title, text, shown, seen in live(day, languages):
        where = f"{title}: {text}\n{seen}"
        if shown is None:
            assert not COMPLAINT.search(seen), where
        else:
            assert masked(seen) == masked(shown), where
            count += 1
    assert count >= 10


def test_the_day_has_all_commands_of_the_page():
    lived = {block[1] for _, blocks in chapters() for block in blocks}
    blocks = {c.text for c in commands_of("docs/tour.md") if not c.is_inline}
    assert blocks - lived == {block("docs/tour.md", "CREATE TABLE")}
