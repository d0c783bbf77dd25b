"""docs/cli.md, the man pages and the completions are what the table of verbs says."""

import re
import subprocess

import cli_pages
import pytest
from daemon.runner_process import PGAGENT, Runner
from documents import block, commands_of, inline
from pgagent_runner.verbs.table import VERBS
from support import ROOT


def test_what_is_written_of_the_table_is_up_to_date():
    for path, text in cli_pages.files().items():
        assert path.read_text() == text, f"run `make docs`: {path.relative_to(ROOT)}"
    pages = {path.name for path in cli_pages.MAN.glob("*")}
    assert pages == set(cli_pages.man_pages())


@pytest.mark.needs("man")
@pytest.mark.parametrize("page", sorted(cli_pages.man_pages()))
def test_a_man_page_is_one(page):
    environ = {"LC_ALL": "C.UTF-8", "MANWIDTH": "80", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["man", "--warnings", "--local-file", cli_pages.MAN / page],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert re.match(r"PGAGENT[-A-Z]*\(1\)", done.stdout)


def test_every_verb_has_an_example():
    assert [v.name for v in VERBS if not v.examples] == ["run", "init", "update"]


def test_every_command_of_the_page_works(conn, pgagent, nightly, tmp_path):
    """One after the other, as they stand there."""
    conn.execute("SELECT pgagent.schedule('often', '* * * * *', 'SELECT 1')")
    conn.execute("SELECT pgagent.add_alert('on call', 'mail')")
    environ = pgagent.environ | {"PATH": f"{PGAGENT.parent}:/usr/bin:/bin"}
    tried = 0
    for command in commands_of("docs/cli.md"):
        for line in command.text.splitlines():
            if NEEDS_MORE.search(line):
                continue
            done = subprocess.run(
                ["bash", "-c", line.replace(" --wait", "")],
                env=environ,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (line, done.stderr)
            tried += 1
    assert tried > 10


def test_the_verbs_of_the_readme_work(conn, dsn, pgagent):
    conn.execute(block("README.md", "SELECT pgagent.schedule('nightly'"))
    conn.execute(block("README.md", "SELECT pgagent.add_step('nightly'"))
    commands = (
        inline("README.md", "pgagent start nightly --from"),
        inline("README.md", "pgagent logs nightly"),
        inline("README.md", "pgagent runs --failed"),
    )
    with Runner(dsn) as runner:
        runner.ready()
        printed = [pgagent.prints(*command.split()[1:]) for command in commands]
    assert 'of job "nightly", succeeded after ' in printed[0]
    assert '--- step "report", succeeded after ' in printed[1]
    assert "Filesystem" in printed[1]
    assert printed[2] == "There is no such run.\n"


# test_with_the_whole_api.py has these, and test_health.py health; an import needs something
# to import.
NEEDS_MORE = re.compile(r"^pgagent (pause|unpause|copy|next|import|health)\b")
