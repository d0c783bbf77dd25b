"""The view metrics: what each figure says, of which job, and to whom."""

import time

import psycopg
import pytest
from jobs import add_job
from transitions import register

from .conftest import values

# What each metric is while `busy` holds, by the values of its labels.
EXPECTED = {
    "pgagent_armed": {"": 1},
    "pgagent_runners": {"": 1},
    "pgagent_runner_up": {"here": 1},
    "pgagent_runner_running": {"here": 1},
    "pgagent_problems": {"failed": 1, "late": 1, **dict.fromkeys((
        "aborted", "long", "disabled", "set_aside", "role", "time_zone", "no_runner", "isolation",
        "unarmed", "alert"), 0)},
    "pgagent_alerts_pending": {"mail": 0},
    "pgagent_alerts_oldest_pending_seconds": {"": 0},
    "pgagent_class_limit": {"Data Import": 2},
    "pgagent_class_running": {"Data Import": 0},
    "pgagent_class_due": {"Data Import": 0},
    "pgagent_job_enabled": {"nightly": 1, "late": 1, "held": 1, "paused": 1},
    "pgagent_job_paused": {"nightly": 0, "late": 0, "held": 0, "paused": 1},
    "pgagent_job_running": {"nightly": 0, "late": 0, "held": 1, "paused": 0},
    "pgagent_job_running_seconds": {"held": 3600},
    "pgagent_job_late_seconds": {"nightly": 0, "late": 600, "held": 0, "paused": 0},
    "pgagent_oldest_due_seconds": {"": 600},
    "pgagent_job_last_run_timestamp_seconds": {"nightly": 1893542400},
    "pgagent_job_last_success_timestamp_seconds": {"nightly": 1893456003.5},
    "pgagent_job_last_duration_seconds": {"nightly": 60.25},
    "pgagent_job_consecutive_failures": {"nightly": 1, "late": 0, "held": 0, "paused": 0},
    "pgagent_job_skipped_runs_total": {"nightly": 5, "late": 0, "held": 0, "paused": 0},
    "pgagent_job_runs_total": {
        "nightly succeeded": 7, "nightly failed": 2, "nightly aborted": 1, "nightly nothing to do": 4,
        **{f"{job} {status}": 0 for job in ("late", "held", "paused")
           for status in ("succeeded", "failed", "aborted", "nothing to do")},
    },
}  # fmt: skip


def names(conn):
    return {n for (n,) in conn.execute("SELECT DISTINCT name FROM pgagent.metrics")}


def test_every_figure_is_what_its_help_says(conn, busy):
    for name, expected in EXPECTED.items():
        got = values(conn, name)
        assert got == pytest.approx(expected, abs=5), name
    since = values(conn, "pgagent_problem_since_timestamp_seconds")
    assert since.keys() == {"nightly failed", "late late"}
    assert since["nightly failed"] == 1893542400
    assert since["late late"] == pytest.approx(time.time() - 600, abs=5)
    next_runs = values(conn, "pgagent_job_next_run_timestamp_seconds")
    assert next_runs["nightly"] == 2208988800
    assert next_runs["late"] == pytest.approx(time.time() - 600, abs=5)
    assert set(values(conn, "pgagent_info")) == {
        conn.execute("SELECT pgagent.pgagent_version()").fetchone()[0]
    }
    sizes = values(conn, "pgagent_log_bytes")
    assert set(sizes) == {"pga_joblog", "pga_jobsteplog"}
    assert min(sizes.values()) > 0
    told = {
        "pgagent_problem_since_timestamp_seconds",
        "pgagent_job_next_run_timestamp_seconds",
        "pgagent_info",
        "pgagent_log_bytes",
    }
    assert names(conn) == set(EXPECTED) | told


def test_names_units_and_help_are_as_prometheus_has_them(conn, busy):
    rows = conn.execute(
        "SELECT DISTINCT name, type, help FROM pgagent.metrics"
    ).fetchall()
    assert len(rows) == len(names(conn))  # one type and one help each
    for name, kind, help_ in rows:
        assert name.startswith("pgagent_")
        assert (kind == "counter") == name.endswith("_total"), name
        assert help_.endswith("."), name


def test_a_database_without_jobs_and_runners_has_figures_all_the_same(conn):
    assert values(conn, "pgagent_runners") == {"": 0}
    assert values(conn, "pgagent_oldest_due_seconds") == {"": 0}
    assert values(conn, "pgagent_runner_up") == {}
    assert values(conn, "pgagent_job_enabled") == {}


def test_two_jobs_of_one_name_are_told_apart_by_their_ids(conn):
    ids = [add_job(conn, name="same", due=None) for _ in range(2)]
    rows = conn.execute(
        "SELECT labels FROM pgagent.metrics WHERE name = 'pgagent_job_enabled' ORDER BY labels"
    ).fetchall()
    assert [labels for (labels,) in rows] == [
        {"job": "same", "job_id": str(i)} for i in ids
    ]


def test_no_sample_comes_twice(conn, dsn, busy):
    conn.execute("INSERT INTO pgagent.pga_jobpause (jpsjobid) VALUES (NULL)")
    # The daemon of 4.2 may leave several runs of a job open, and be several on one host.
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid) SELECT jlgjobid FROM pgagent.pga_joblog"
    )
    with psycopg.connect(dsn, autocommit=True) as other:
        register(other, "here")
        twice = conn.execute(
            "SELECT name, labels FROM pgagent.metrics GROUP BY 1, 2 HAVING count(*) > 1"
        )
        assert twice.fetchall() == []
        assert values(conn, "pgagent_runners") == {"": 2}


def test_a_runner_that_has_died_is_down_until_it_is_cleared_away(conn, dsn):
    conn.execute("SET client_min_messages = error")
    with psycopg.connect(dsn, autocommit=True) as other:
        register(other, "there", lease="1 hour")
    conn.execute("UPDATE pgagent.pga_jobagent SET jaglease = now() - interval '1 s'")
    assert values(conn, "pgagent_runner_up") == {"there": 0}
    assert values(conn, "pgagent_runners") == {"": 0}
    conn.execute("DELETE FROM pgagent.pga_jobagent")
    assert values(conn, "pgagent_runner_up") == {}


@pytest.mark.parametrize("of_all", [False, True])
def test_a_pause_ends_when_its_time_has_come(conn, of_all):
    job_id = add_job(conn, name="x", due="now() - interval '1 min'")
    paused = "INSERT INTO pgagent.pga_jobpause (jpsjobid, jpsuntil) VALUES (%s, %s)"
    conn.execute(paused, [None if of_all else job_id, "2001-01-01"])
    assert values(conn, "pgagent_job_paused") == {"x": 0}
    assert values(conn, "pgagent_job_late_seconds")["x"] >= 60
    conn.execute("UPDATE pgagent.pga_jobpause SET jpsuntil = 'infinity'")
    assert values(conn, "pgagent_job_paused") == {"x": 1}
    assert values(conn, "pgagent_job_late_seconds") == {"x": 0}


def test_nothing_is_late_in_a_copy_that_is_not_armed(conn):
    add_job(conn, name="x", due="now() - interval '1 min'")
    conn.execute("DELETE FROM pgagent.pga_arming")
    assert values(conn, "pgagent_armed") == {"": 0}
    assert values(conn, "pgagent_job_late_seconds") == {"x": 0}
    assert values(conn, "pgagent_oldest_due_seconds") == {"": 0}


@pytest.mark.parametrize(
    "end", ["infinity", "-infinity", "4000-01-01 BC", "290000-01-01"]
)
def test_ends_of_time_are_figures_too(conn, end):
    job_id = add_job(
        conn, name="x", due=f"'{end}'::timestamptz", joblastrun=end, joblastsuccess=end
    )
    for status in ("s", "r"):
        conn.execute(
            "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration)"
            " VALUES (%s, %s, %s, '100000 years')",
            [job_id, status, end],
        )
    rows = conn.execute("SELECT name, value FROM pgagent.metrics").fetchall()
    assert len(rows) > 15
    late = values(conn, "pgagent_job_late_seconds")["x"]
    assert late == (float("inf") if end == "-infinity" else pytest.approx(max(late, 0)))


def test_a_monitor_that_asks_for_one_name_has_the_others_left_out(conn, busy):
    plan = conn.execute(
        "EXPLAIN (ANALYZE, COSTS OFF)"
        " SELECT value FROM pgagent.metrics WHERE name = 'pgagent_job_enabled'"
    ).fetchall()
    done = [line for (line,) in plan if "never executed" not in line]
    assert sum("CTE Scan" in line for line in done) == 1, done
    assert [line for line in done if "pga_joblog" in line] == []


def test_no_plan_is_so_dear_that_it_would_be_compiled_first(conn, busy):
    """That takes ten times as long as to carry it out: also where nothing was analyzed."""
    for query in (
        "SELECT * FROM pgagent.metrics",
        "SELECT value FROM pgagent.metrics WHERE name = 'pgagent_armed'",
    ):
        ((plans,),) = conn.execute(f"EXPLAIN (FORMAT JSON) {query}").fetchall()
        assert plans[0]["Plan"]["Total Cost"] < 50_000, query
