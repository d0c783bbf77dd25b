"""A real Prometheus scrapes two runners, as contrib/prometheus has it, and its rules fire."""

import json
import re
from urllib.parse import quote

import pytest
from daemon.runner_process import Program, Runner
from jobs import add_job
from support import peer, poll

from .test_contrib import DASHBOARD, PROMETHEUS, ask, free_port

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.timeout(180)]


class Prometheus(Program):
    """It scrapes these ports of 127.0.0.1, and evaluates the rules, each second."""

    def __init__(self, folder, runners, exporter):
        self.port = free_port()
        text = (PROMETHEUS / "prometheus.yml").read_text()
        for old, ports in (
            ('"runner-1:9630", "runner-2:9630"', runners),
            ('"database-1:9187"', [exporter]),
        ):
            assert old in text
            text = text.replace(old, ", ".join(f'"127.0.0.1:{port}"' for port in ports))
        text = text.replace("rules.yml", str(PROMETHEUS / "rules.yml"))
        config = folder / "prometheus.yml"
        config.write_text(
            f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n{text}"
        )
        super().__init__([
            *(peer("usr/bin/prometheus"), f"--config.file={config}"),
            *(f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}"),
        ])  # fmt: skip

    def ready(self):
        self.says("Server is ready to receive web requests", deadline=30)
        return self

    def api(self, path):
        answer = json.loads(ask(self.port, f"/api/v1/{path}"))
        assert answer["status"] == "success"
        return answer["data"]

    def query(self, expression):
        """Return [(labels, value)]."""
        result = self.api(f"query?query={quote(expression)}")["result"]
        return [(one["metric"], float(one["value"][1])) for one in result]

    def alerts(self):
        """Return {(name, job)} of the alerts that fire."""
        found = [a for a in self.api("alerts")["alerts"] if a["state"] == "firing"]
        assert all("<no value>" not in str(a["annotations"]) for a in found), found
        return {(a["labels"]["alertname"], a["labels"].get("job")) for a in found}


@pytest.fixture
def two_runners(dsn):
    """Return the ports of two runners that listen."""
    with (
        Runner("--listen", "0", "--station", "a", dsn) as a,
        Runner("--listen", "0", "--station", "b", dsn) as b,
    ):
        ports = []
        for runner in (a, b):
            runner.ready()
            runner.says("listens on ")
            ports.append(re.search(r"listens on 127.0.0.1:(\d+)", runner.log)[1])
        yield (a, b), ports


@pytest.fixture
def prometheus(two_runners, tmp_path):
    _, ports = two_runners
    with Prometheus(tmp_path, ports, ports[0]) as process:
        yield process.ready()


def test_two_runners_are_scraped_and_rules_fire_once_for_both(
    conn, two_runners, prometheus
):
    (a, _), ports = two_runners
    add_job(conn, "SELECT 1/0", name="nightly")
    poll(
        lambda: ("PgagentJobFailed", "nightly") in prometheus.alerts(), 60, "the alert"
    )
    up = {
        labels["instance"]: value
        for labels, value in prometheus.query('up{job="pgagent"}')
    }
    assert up == {f"127.0.0.1:{port}": 1 for port in ports}
    fired = prometheus.query(
        'ALERTS{alertname="PgagentJobFailed", database="production"}'
    )
    assert len(fired) == 1
    # The exporters' labels are put right, too.
    other = prometheus.query('pgagent_job_enabled{database="staging"}')
    assert [labels["job"] for labels, _ in other] == ["nightly"]
    assert all("exported_job" not in labels for labels, _ in other)

    delay = prometheus.query("sum(pgagent_start_delay_seconds_count)")
    assert delay[0][1] >= 1
    _every_panel_can_be_drawn(prometheus)

    conn.execute("UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 1'")
    conn.execute("SELECT pgagent.run_job('nightly')")
    poll(
        lambda: ("PgagentJobFailed", "nightly") not in prometheus.alerts(),
        60,
        "its end",
    )

    # One is killed: the other one goes on telling of the database.
    a.kill()
    poll(lambda: len(prometheus.query('up{job="pgagent"} == 0')) == 1, 60)
    assert len(prometheus.query('pgagent_job_enabled{database="production"}')) == 1


def _every_panel_can_be_drawn(prometheus):
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "1m")
            expression = re.sub(r"\$\w+", ".*", expression)
            prometheus.query(expression)  # or it raises


def test_nothing_fires_where_all_is_well(conn, prometheus):
    add_job(conn, "SELECT 1", name="nightly")
    succeeded = 'pgagent_job_runs_total{job="nightly", status="succeeded"} == 1'
    poll(lambda: prometheus.query(succeeded), 60)

    def groups():
        return prometheus.api("rules")["groups"]

    (group,) = groups()
    assert len(group["rules"]) >= 15
    last = group["lastEvaluation"]
    poll(lambda: groups()[0]["lastEvaluation"] > last, 30, "an evaluation")
    rules = groups()[0]["rules"]
    assert [(r["name"], r["state"]) for r in rules if r["state"] != "inactive"] == []
    assert {r["health"] for r in rules} == {"ok"}
