"""What is wrong in a document is refused with its place, and nothing is changed."""

import json

import psycopg
import pytest

STEP = {"name": "1", "command": "SELECT 1"}


def job(**attributes):
    return {"format": 1, "jobs": [{"name": "first"}, {"name": "x"} | attributes]}


def step(**attributes):
    return job(steps=[STEP, {"name": "2", "command": "SELECT 2"} | attributes])


def schedule(**attributes):
    return job(schedules=[{"name": "s", "schedule": "@daily"} | attributes])


X = 'jobs[2] "x"'
S = f'{X}, steps[2] "2"'
C = f'{X}, schedules[1] "s"'

CASES = [
    ([], "22023", "apply_jobs(definition): [] is not allowed"),
    (None, "22023", "apply_jobs(definition): NULL is not allowed"),
    ({"jobs": []}, "22023", "apply_jobs(definition), format: is missing"),
    ({"format": 2}, "22023", "apply_jobs(definition), format: 2 is not known"),
    ({"format": "1"}, "22023", 'apply_jobs(definition), format: "1" is not allowed'),
    ({"format": 1, "job": []}, "22023", 'apply_jobs(definition): "job" is not known'),
    ({"format": 1, "jobs": {}}, "22023", "apply_jobs(definition), jobs: {} is not allowed"),
    ({"format": 1, "jobs": ["x"]}, "22023", 'jobs[1]: "x" is not allowed'),
    ({"format": 1, "jobs": [{}]}, "22023", "jobs[1], name: is missing"),
    ({"format": 1, "jobs": [{"name": 7}]}, "22023", "jobs[1], name: 7 is not allowed"),
    ({"format": 1, "classes": [{"limit": 1}]}, "22023", "classes[1], name: is missing"),
    ({"format": 1, "classes": [{"name": "x", "limit": 1}, {"name": "x"}]}, "22023", 'classes[2] "x": is in the list already'),
    ({"format": 1, "classes": [{"name": "x", "limit": -1}]}, "22023", "classes[1], limit: -1 is not allowed"),
    (job(timeouts="1 h"), "22023", 'jobs[2]: "timeouts" is not known'),
    (job(timeout="soon"), "22023", 'jobs[2], timeout: "soon" is not allowed'),
    (job(timeout="-1 h"), "22023", 'jobs[2], timeout: "-1 h" is not allowed'),
    (job(timeout=True), "22023", "jobs[2], timeout: true is not allowed"),
    (job(enabled="yes"), "22023", 'jobs[2], enabled: "yes" is not allowed'),
    (job(overlap="never"), "22023", 'jobs[2], overlap: "never" is not allowed'),
    (job(keep_runs=1.5), "22023", "jobs[2], keep_runs: 1.5 is not allowed"),
    (job(description=7), "22023", "jobs[2], description: 7 is not allowed"),
    (job(owner="x" * 64), "22023", f'jobs[2], owner: "{"x" * 64}" is not allowed'),
    (job(owner="nobody"), "42704", f'{X}, owner: there is no role "nobody"'),
    (job(**{"class": "none"}), "42704", f'{X}, class: there is no job class "none"'),
    (job(steps=[{"command": "x"}]), "22023", f"{X}, steps[1], name: is missing"),
    (job(steps=[{"name": "x"}]), "22023", f"{X}, steps[1], command: is missing"),
    (step(command_file="x"), "22023", f'{X}, steps[2]: "command_file" is not known'),
    (step(kind="perl"), "22023", f'{X}, steps[2], kind: "perl" is not allowed'),
    (step(kind="batch", database="x"), "22023", f"{S}, database, conninfo: a batch step has no database"),
    (step(conninfo="service=x", database="x"), "22023", f"{S}, database, conninfo: one of the two is wanted"),
    (step(kind="batch", mode="atomic"), "22023", f"{S}, mode: a batch step can't be atomic"),
    (step(mode="atomic", database="x"), "22023", f"{S}, mode: an atomic step runs in the database of the jobs"),
    (step(retries=1001), "22023", f"{S}, retries: 1001 is out of range"),
    (step(retry_backoff=0.5), "22023", f"{S}, retry_backoff: 0.5 is out of range"),
    (step(retry_on=["never"]), "22023", f'{S}, retry_on: "never" is no reason to try again'),
    (step(retry_on="40001"), "22023", f'{X}, steps[2], retry_on: "40001" is not allowed'),
    (step(run_as="nobody"), "42704", f'{S}, run_as: there is no role "nobody"'),
    (step(conninfo="***"), "22023", f"{S}, conninfo: the connection string is not in the document"),
    (schedule(schedule="x"), "22023", f'{C}: schedule "x": as a whole: has 1 fields, 5 wanted'),
    (schedule(schedule="61 * * * *"), "22023", f'{C}: schedule "61 * * * *": field 1 (minute): "61" is not allowed'),
    (schedule(every="1 h"), "22023", f"{C}: one of schedule, every and at is wanted"),
    (schedule(schedule=None), "22023", f"{C}: one of schedule, every and at is wanted"),
    (schedule(schedule=None, every="1 ms"), "22023", f'{C}, every: "00:00:00.001" is not allowed'),
    (schedule(schedule=None, at="tomorrow"), "22023", f'{X}, schedules[1], at: "tomorrow" is not allowed'),
    (schedule(timezone="CEST"), "22023", f'{X}, schedules[1], timezone: "CEST" is an abbreviation: one offset all the year round'),
    (schedule(start_at="2031-05-01 09:00 Europe/Berlin"), "22023", f'{X}, schedules[1], start_at: "2031-05-01 09:00 Europe/Berlin" is not allowed'),
    (schedule(start_at="2031-05-01", end_at="2030-05-01"), "22023", f"{C}, end_at: end before start"),
    (job(schedules=[{"schedule": "x"}]), "22023", f'{X}, schedules[1]: schedule "x": as a whole: has 1 fields, 5 wanted'),
    (schedule(exceptions=[{}]), "22023", f"{C}, exceptions[1]: date or time wanted"),
    (schedule(exceptions=[{"date": "infinity"}]), "22023", f'{C}, exceptions[1], date: "infinity" is not allowed'),
    (schedule(exceptions=[{"time": "24:00"}]), "22023", f'{C}, exceptions[1], time: "24:00" is not allowed'),
    (schedule(exceptions=[{"on": "2031-05-01"}]), "22023", f'{C}, exceptions[1]: "on" is not known'),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "state", "message"), CASES)
@pytest.mark.parametrize("dry_run", [True, False])
def test_it_is_refused_with_its_place(asking, definition, state, message, dry_run):
    text = None if definition is None else json.dumps(definition)
    with (
        pytest.raises(psycopg.Error) as refusal,
        asking.transaction(force_rollback=True),
    ):
        asking.execute(
            "SELECT * FROM pgagent.apply_jobs(%s, dry_run => %s)", [text, dry_run]
        )
    diagnostic = refusal.value.diag
    assert (diagnostic.sqlstate, diagnostic.message_primary) == (
        state,
        f"pgagent: {message}",
    )
    assert diagnostic.message_detail
    assert asking.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)


def test_prune_without_a_set_is_refused(asking):
    with pytest.raises(psycopg.Error, match="the definition names no set"):
        asking.execute(
            "SELECT * FROM pgagent.apply_jobs('{\"format\": 1}', prune => true)"
        )


def test_what_a_table_refuses_has_its_place_as_well(conn, apply):
    """Nothing is left of what was written before it."""
    conn.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'not here' USING ERRCODE = 'ZZ123', HINT = 'elsewhere'; END; $$;
        CREATE TRIGGER refuse BEFORE INSERT ON pgagent.pga_jobstep FOR EACH ROW
        WHEN (NEW.jstname = '2') EXECUTE FUNCTION refuse()
    """)
    with pytest.raises(psycopg.Error) as refusal:
        apply(*step()["jobs"])
    diagnostic = refusal.value.diag
    assert diagnostic.message_primary == f"pgagent: {S}: not here"
    assert (diagnostic.sqlstate, diagnostic.message_detail) == (
        "ZZ123",
        "elsewhere Nothing was changed.",
    )
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (0,)


def test_an_oversized_text_is_refused_with_the_attribute(apply):
    with pytest.raises(psycopg.Error) as refusal:
        apply({"name": "x", "description": "y" * 1000001})
    assert refusal.value.diag.message_primary == (
        'pgagent: jobs[1] "x", description: has 1000001 characters'
    )


def test_whoever_may_not_write_may_plan(conn, dsn, apply):
    apply({"name": "x"})
    conn.execute("CREATE ROLE pga_files_reader")
    try:
        conn.execute("SELECT pgagent.grant_access('reader', 'pga_files_reader')")
        conn.execute("GRANT SELECT ON pgagent.pga_jobstep TO pga_files_reader")
        with conn.transaction(force_rollback=True):
            conn.execute("SET LOCAL ROLE pga_files_reader")
            assert apply({"name": "x", "timeout": 5}, dry_run=True)
            with pytest.raises(psycopg.Error) as refusal:
                apply({"name": "x", "timeout": 5})
        assert refusal.value.sqlstate == "42501"
    finally:
        conn.execute("DROP OWNED BY pga_files_reader; DROP ROLE pga_files_reader")
