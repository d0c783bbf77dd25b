"""What contrib/ has for monitors asks for what there is, and says of it what the view says."""

import json
import re
import socket
import subprocess
from contextlib import closing
from urllib.request import urlopen

import psycopg
import pytest
from daemon.runner_process import Program, Runner
from documents import block, inline
from runner.test_exposition import parsed
from support import ROOT, peer

CONTRIB = ROOT / "contrib"
PROMETHEUS = CONTRIB / "prometheus"
QUERIES = (CONTRIB / "postgres_exporter/queries.yaml").read_text()
COLLECTOR = (CONTRIB / "sql_exporter/pgagent.collector.yml").read_text()
RULES = (PROMETHEUS / "rules.yml").read_text()
DASHBOARD = json.loads((CONTRIB / "grafana/pgagent.json").read_text())

# postgres_exporter can't make these names, as queries.yaml says.
UNNAMED = {"pgagent_info", "pgagent_problems"}

NAME = re.compile(
    r"^(pgagent\w*):\n  query: \|\n((?:    .*\n)+)  metrics:\n((?: {4,}.*\n)+)",
    re.MULTILINE,
)
COLUMN = re.compile(
    r'    - (\w+):\n        usage: "(\w+)"\n        description: "(.+)"\n'
)
METRIC = re.compile(
    r"  - metric_name: (\w+)\n    type: (\w+)\n    help: \"(.+)\"\n(?:    key_labels: \[(.+)\]\n)?"
    r"    values: \[value\]\n    query: \|\n((?:      .*\n)+)"
)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listening(runner):
    """Return the port that a runner listens on."""
    runner.says("listens on ")
    return int(runner.log.partition("listens on 127.0.0.1:")[2].split()[0])


def ask(port, path):
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.read().decode()


def samples_of_view(conn, *, without=()):
    """Return {(name, its labels): value} as the view has them now."""
    rows = conn.execute("SELECT name, labels, value FROM pgagent.metrics").fetchall()
    return {
        (name, frozenset(labels.items())): value
        for name, labels, value in rows
        if name not in without
    }


def kinds_of_view(conn):
    rows = conn.execute("SELECT DISTINCT name, type, help FROM pgagent.metrics")
    return {name: (kind, help_) for name, kind, help_ in rows.fetchall()}


@pytest.fixture
def everything(conn, busy):
    """Have a row of each metric of the view; return their names."""
    return set(kinds_of_view(conn))


def of_queries(conn):
    """Return what postgres_exporter would make of its queries, and the kind and help of each name."""
    found, kinds = {}, {}
    sections = NAME.findall(QUERIES)
    assert len(sections) == QUERIES.count("query: |")
    for section, query, columns in sections:
        usages = COLUMN.findall(columns)
        assert len(usages) == columns.count("usage:")
        cursor = conn.execute(query)
        assert [column.name for column in cursor.description] == [
            name for name, _, _ in usages
        ]
        for name, usage, help_ in usages:
            if usage != "LABEL":
                kinds[f"{section}_{name}"] = (usage.lower(), help_)
        for row in cursor.fetchall():
            labels = {
                name: value or ""
                for (name, usage, _), value in zip(usages, row, strict=True)
                if usage == "LABEL"
            }
            for (name, usage, _), value in zip(usages, row, strict=True):
                if usage != "LABEL":
                    found[f"{section}_{name}", frozenset(labels.items())] = value
    return found, kinds


def test_the_queries_for_postgres_exporter_are_the_view(conn, everything):
    found, kinds = of_queries(conn)
    assert kinds == {n: k for n, k in kinds_of_view(conn).items() if n not in UNNAMED}
    assert found == pytest.approx(samples_of_view(conn, without=UNNAMED), abs=5)


@pytest.mark.needs("postgres_exporter")
def test_postgres_exporter_itself_says_what_the_view_says(
    cluster, conn, dsn, everything, tmp_path
):
    port = free_port()
    source = re.sub(r"host=(\S+)", r"host=\1 sslmode=disable", dsn)
    program = peer("usr/bin/prometheus-postgres-exporter")
    told = subprocess.run(
        [program, "--help"], capture_output=True, text=True, check=False
    )
    # Each version has others, and what they tell is not ours.
    collectors = sorted(set(re.findall(r"collector\.\w+", told.stdout + told.stderr)))
    command = [
        *(program, "--disable-default-metrics", "--disable-settings-metrics"),
        *(f"--no-{name}" for name in collectors),
        *(f"--web.listen-address=127.0.0.1:{port}",),
        *(f"--extend.query-path={CONTRIB}/postgres_exporter/queries.yaml",),
    ]
    with Program(command, {"DATA_SOURCE_NAME": source}) as exporter:
        exporter.says("Listening on")
        text = ask(port, "/metrics")
    got = {}
    for name, labels, value in parsed(text):
        if name.startswith("pgagent_"):
            del labels["server"]
            got[name, frozenset(labels.items())] = float(value)
    assert got == pytest.approx(samples_of_view(conn, without=UNNAMED), abs=10), (
        exporter.log
    )


def test_the_queries_for_sql_exporter_are_the_view(conn, everything):
    metrics = METRIC.findall(COLLECTOR)
    assert len(metrics) == COLLECTOR.count("metric_name:")
    kinds = {name: (kind, help_) for name, kind, help_, _, _ in metrics}
    assert kinds == kinds_of_view(conn)
    found = {}
    for name, _, _, labels, query in metrics:
        wanted = labels.split(", ") if labels else []
        cursor = conn.execute(query)
        assert [column.name for column in cursor.description] == [*wanted, "value"]
        for *values, value in cursor.fetchall():
            found[
                name, frozenset(zip(wanted, (v or "" for v in values), strict=True))
            ] = value
    assert found == pytest.approx(samples_of_view(conn), abs=5)


def expressions():
    """Yield the expressions of the dashboard and of the rules."""
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    for variable in DASHBOARD["templating"]["list"]:
        yield (
            variable["query"]
            if isinstance(variable["query"], str)
            else variable["query"]["query"]
        )
    yield from re.findall(r"expr: (?:>-\n)?((?:.+)(?:\n {10}.+)*)", RULES)


def test_dashboard_and_rules_name_what_there_is(dsn, everything):
    command = inline("contrib/README.md", "pgagent run --listen")
    options = re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", command).split()[2:]
    with Runner(*options, dsn) as runner:
        runner.ready()
        port = listening(runner)
        own = set(re.findall(r"^# TYPE (\w+)", ask(port, "/metrics"), re.MULTILINE))
    named = {
        name for one in expressions() for name in re.findall(r"\bpgagent_\w+", one)
    }
    assert len(named) > 15
    whole = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    assert whole - everything - own == set()


@pytest.fixture
def monitor(conn, dsn):
    """A session of the role that the page makes for exporters."""
    conn.execute(block("docs/monitoring.md", "CREATE ROLE pgagent_monitor"))
    with closing(
        psycopg.connect(dsn, user="pgagent_monitor", autocommit=True)
    ) as session:
        yield session
    conn.execute("DROP OWNED BY pgagent_monitor; DROP ROLE pgagent_monitor")


def test_the_role_of_exporters_sees_all(conn, everything, monitor):
    whole = of_queries(conn)[0]
    assert of_queries(monitor)[0].keys() == whole.keys()
    conn.execute("SELECT pgagent.isolate()")
    assert of_queries(monitor)[0].keys() == whole.keys()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        monitor.execute("SELECT jstconnstr FROM pgagent.pga_jobstep")


@pytest.mark.needs("prometheus")
def test_the_page_s_commands_find_no_fault():
    done = subprocess.run(
        ["/bin/sh", "-ec", block("contrib/README.md", "promtool check rules")],
        cwd=PROMETHEUS,
        env={"PATH": f"{peer('usr/bin/promtool').parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == 2


@pytest.mark.needs("prometheus")
def test_promtool_finds_no_fault_with_the_rules(promtool):
    count = RULES.count("- alert: ")
    assert f"SUCCESS: {count} rules found" in promtool(
        "check", "rules", PROMETHEUS / "rules.yml"
    )
    assert "SUCCESS" in promtool(
        "check", "config", "--syntax-only", PROMETHEUS / "prometheus.yml"
    )


def test_every_rule_is_tried():
    tried = (PROMETHEUS / "rules_test.yml").read_text()
    rules = re.findall(r"- alert: (\w+)", RULES)
    assert len(rules) > 10
    assert [rule for rule in rules if rule not in tried] == []


def test_every_problem_has_a_rule(conn):
    rows = conn.execute(
        "SELECT labels FROM pgagent.metrics WHERE name = 'pgagent_problems'"
    )
    kinds = {labels["problem"] for (labels,) in rows.fetchall()}
    words = re.findall(r'problem=~?"([\w|]+)"', RULES)
    # That one has a figure that says more.
    assert {word for part in words for word in part.split("|")} == kinds - {"alert"}
    assert "pgagent_alerts_oldest_pending_seconds" in RULES


def test_the_dashboard_can_be_imported():
    """It leaves to whoever imports it which Prometheus to ask."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert [
        v["name"] for v in DASHBOARD["templating"]["list"] if v["type"] == "datasource"
    ] == ["datasource"]
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == source, panel["title"]
        assert panel["description"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == source, panel["title"]


def test_no_panel_lies_upon_another():
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
