"""A real Prometheus scrapes two runners, as contrib/prometheus has it, and its rules fire."""

import json
import re
from functools import partial
from urllib.parse import quote

import pytest
from daemon.runner_process import Program, Runner, ended_runs
from jobs import add_job
from support import peer, poll

from .test_contrib import DASHBOARD, PROMETHEUS, ask, free_port, listening

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
            ports.append(listening(runner))
        yield (a, b), ports


@pytest.fixture
def prometheus(two_runners, tmp_path):
    _, ports = two_runners
    with Prometheus(tmp_path, ports, ports[0]) as process:
        yield process.ready()


def test_two_runners_are_scraped_and_their_rules_fire_once(
    conn, two_runners, prometheus
):
    (a, _), ports = two_runners
    add_job(conn, "SELECT 1/0", name="nightly")
    failing = 'pgagent_job_consecutive_failures{job="nightly"} == 1'
    poll(lambda: len(prometheus.query(failing)) == 3, 60, "all scrapes")
    scraped = [(m["database"], m["instance"]) for m, _ in prometheus.query(failing)]
    both = [f"127.0.0.1:{port}" for port in ports]
    assert sorted(scraped) == sorted(
        [*(("production", one) for one in both), ("staging", both[0])]
    )

    fired = 'ALERTS{alertname="PgagentJobFailed", alertstate="firing"}'
    poll(lambda: len(prometheus.query(fired)) == 2, 60, "an alert for each database")
    assert prometheus.alerts() == {("PgagentJobFailed", "nightly")}
    delays = prometheus.query(
        'sum(pgagent_start_delay_seconds_count{database="production"})'
    )
    assert delays[0][1] == 1

    conn.execute("UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 1'")
    conn.execute("SELECT pgagent.run_job('nightly')")
    poll(lambda: not prometheus.alerts(), 60, "its end")

    a.kill()
    poll(lambda: len(prometheus.query('up{job="pgagent"} == 0')) == 1, 60)
    telling = prometheus.query('pgagent_job_enabled{database="production"}')
    assert [m["instance"] for m, _ in telling] == [both[1]]


def test_the_labels_of_jobs_stay_what_they_are(conn, prometheus):
    """Prometheus has a label `job` of its own."""
    add_job(conn, "SELECT 1", name="nightly")
    for database in ("production", "staging"):
        enabled = f'pgagent_job_enabled{{database="{database}"}}'
        poll(partial(prometheus.query, enabled), 60)
        assert {m["job"] for m, _ in prometheus.query(enabled)} == {"nightly"}
    assert prometheus.query('{exported_job!=""}') == []


def test_promtool_finds_no_fault_with_what_a_runner_serves(conn, two_runners, promtool):
    add_job(conn, "SELECT 1", name="nightly")
    ended_runs(conn)
    served = ask(two_runners[1][0], "/metrics")
    assert "pgagent_job_enabled" in served
    assert "pgagent_start_delay_seconds_bucket" in served
    assert promtool("check", "metrics", stdin=served) == ""


def test_every_panel_can_be_drawn(prometheus):
    asked = 0
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "1m")
            prometheus.query(re.sub(r"\$\w+", ".*", expression))  # or it raises
            asked += 1
    assert asked > 20


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
