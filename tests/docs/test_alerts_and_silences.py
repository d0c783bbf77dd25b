"""docs/alerts.md: its files are accepted, its statements do what it says."""

import re

import pytest
from documents import ROOT, block
from pgagent_runner.configuration import load
from pgagent_runner.errands import errands
from pgagent_runner.sending.channels import KEYS, read_channels
from pgagent_runner.sending.messages import NAMES

PAGE = (ROOT / "docs/alerts.md").read_text()
FILES = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", FILES)
def test_each_file_is_accepted(tmp_path, text):
    path = tmp_path / "pgagent.toml"
    path.write_text(text)
    path.chmod(0o600)
    file = load(path, {})
    found, complaints = read_channels(file)
    assert complaints == []
    assert found or errands(file).alive_every == 300


def test_all_keys_and_names_are_there():
    keys = {key for kind in KEYS.values() for key in kind} - {"subject", "text"}
    assert [
        key
        for key in keys
        if not re.search(rf"^{key} = |# or {key} = ", PAGE, re.MULTILINE)
    ] == []
    assert [name for name in NAMES if f"`{name}`" not in PAGE] == []


def test_a_test_has_a_message_sent_at_once(conn):
    conn.execute(block("docs/alerts.md", "SELECT pgagent.add_alert"))
    conn.execute("SELECT * FROM pgagent.pga_alert_watch()")
    query = "SELECT alert, channel, events -> 0 ->> 'event' FROM pgagent.pga_alert_claim('{dba}')"
    assert conn.execute(query).fetchall() == [("everything", "dba", "test")]
