"""apply_jobs(): what it does, and what it leaves alone."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from jobs import add_job
from support import poll
from transitions import claim_rows, register

STEP = {"name": "1", "command": "SELECT 1"}
DAILY = {"schedule": "@daily", "timezone": "UTC"}


@pytest.fixture
def one(conn, apply):
    """The definitions of the only job, to be changed and applied."""
    job = {"name": "x", "steps": [STEP], "schedules": [DAILY]}
    apply(job)
    return job


def rows(conn, table):
    return conn.execute(f"SELECT * FROM pgagent.{table} ORDER BY 1").fetchall()


def told(done):
    """Return what was done without the job and without databases and zones."""
    return [row[1:] for row in done if row[3] not in ("database", "timezone")]


def test_a_job_is_made_with_all_its_parts(conn, apply):
    done = apply(
        {
            "name": "nightly",
            "description": "all of it",
            "timeout": "2 hours",
            "steps": [
                {
                    "name": "2 mail",
                    "kind": "batch",
                    "command": "mail",
                    "on_error": "ignore",
                },
                {
                    "name": "1 load",
                    "command": "CALL load()",
                    "retries": 3,
                    "retry_on": ["40001", 75],
                },
            ],
            "schedules": [
                {
                    "schedule": "30 2 * * mon-fri",
                    "timezone": "Europe/Berlin",
                    "exceptions": [{"date": "2031-12-25"}, {"time": "12:30"}],
                }
            ],
        },
        classes=[{"name": "backup"}],
    )
    assert [row[0] for row in done] == [None] + ["nightly"] * (len(done) - 1)
    assert told(done) == [
        ("class backup", "create", None, None, None),
        ("job", "create", "description", None, "all of it"),
        ("job", "create", "timeout", None, "02:00:00"),
        ("step 2 mail", "create", "kind", None, "batch"),
        ("step 2 mail", "create", "on_error", None, "ignore"),
        ("step 2 mail", "create", "command", None, "mail"),
        ("step 1 load", "create", "retries", None, "3"),
        ("step 1 load", "create", "retry_on", None, '["40001", "75"]'),
        ("step 1 load", "create", "command", None, "CALL load()"),
        ("schedule 30 2 * * mon-fri", "create", "schedule", None, "30 2 * * 1-5"),
        (
            "exception 2031-12-25 of schedule 30 2 * * mon-fri",
            "create",
            None,
            None,
            None,
        ),
        ("exception 12:30 of schedule 30 2 * * mon-fri", "create", None, None, None),
    ]
    assert conn.execute(
        "SELECT jstname, jstkind, jstdbname, jstonerror, jstretryon FROM pgagent.pga_jobstep ORDER BY 1"
    ).fetchall() == [
        ("1 load", "s", conn.info.dbname, "f", ["40001", "75"]),
        ("2 mail", "b", "", "i", None),
    ]
    ((next_run,),) = conn.execute(
        "SELECT to_char(jobnextrun AT TIME ZONE 'Europe/Berlin', 'HH24:MI') FROM pgagent.pga_job"
    ).fetchall()
    assert next_run == "02:30"


def test_applied_again_it_does_nothing(conn, apply, one):
    before = [rows(conn, table) for table in ("pga_job", "pga_jobstep", "pga_schedule")]
    for _ in range(3):
        assert apply(one) == []
    assert [
        rows(conn, table) for table in ("pga_job", "pga_jobstep", "pga_schedule")
    ] == before


@pytest.mark.parametrize(
    ("attribute", "value", "old", "new"),
    [
        ("description", "why", "", "why"),
        ("class", "Data Import", "Miscellaneous", "Data Import"),
        ("host", "there", "", "there"),
        ("enabled", False, "true", "false"),
        ("timeout", 90, None, "00:01:30"),
        ("timeout", "1 day 1 hour", None, "1 day 01:00:00"),
        ("overlap", "queue", "skip", "queue"),
        ("missed", "ALL", "latest", "all"),
        ("missed_limit", "1 h", None, "01:00:00"),
        ("keep_for", "0", "30 days", None),
        ("keep_runs", 0, "10000", None),
        ("keep_runs", 7, "10000", "7"),
        ("late_after", "0", "00:05:00", None),
        ("late_after", "1 h", "00:05:00", "01:00:00"),
        ("long_after", 90, None, "00:01:30"),
        ("long_factor", 2, None, "2"),
        ("long_factor", 1.5, None, "1.5"),
        ("disable_after", 5, None, "5"),
    ],
)
def test_an_attribute_is_changed_and_changed_back(
    apply, one, attribute, value, old, new
):
    assert told(apply(one | {attribute: value})) == [
        ("job", "alter", attribute, old, new)
    ]
    assert apply(one | {attribute: value}) == []
    assert told(apply(one)) == [("job", "alter", attribute, new, old)]


@pytest.mark.parametrize(
    ("attribute", "value", "old", "new"),
    [
        ("description", "why", "", "why"),
        ("enabled", False, "true", "false"),
        ("database", "there", ..., "there"),
        ("mode", "autocommit", "single", "autocommit"),
        ("on_error", "success", "fail", "success"),
        ("timeout", "5 min", None, "00:05:00"),
        ("retries", 1000, "0", "1000"),
        ("retry_delay", "0", "00:00:10", "00:00:00"),
        ("retry_backoff", 1.5, "2", "1.5"),
        ("retry_on", [], None, "[]"),
        ("command", "SELECT 2", "SELECT 1", "SELECT 2"),
        ("command", "", "SELECT 1", ""),
    ],
)
def test_an_attribute_of_a_step_is_changed_and_changed_back(
    conn, apply, one, attribute, value, old, new
):
    old = conn.info.dbname if old is ... else old
    before = rows(conn, "pga_jobstep")
    altered = one | {"steps": [STEP | {attribute: value}]}
    assert [row[1:] for row in apply(altered)] == [
        ("step 1", "alter", attribute, old, new)
    ]
    assert apply(altered) == []
    assert [row[1:] for row in apply(one)] == [("step 1", "alter", attribute, new, old)]
    assert rows(conn, "pga_jobstep") == before


@pytest.mark.parametrize(
    ("attributes", "changes"),
    [
        ({"description": "why"}, [("description", "", "why")]),
        ({"enabled": False}, [("enabled", "true", "false")]),
        ({"schedule": "@hourly"}, [("schedule", "0 0 * * *", "0 * * * *")]),
        ({"schedule": "@reboot"}, [("schedule", "0 0 * * *", "@reboot")]),
        (
            {"schedule": "@every 90 seconds"},
            [("schedule", "0 0 * * *", "@every 90 seconds")],
        ),
        (
            {"schedule": "@at 2091-05-01 09:00"},
            [("schedule", "0 0 * * *", "@at 2091-05-01 09:00:00 UTC")],
        ),
        (
            {"schedule": None, "every": "1 month"},
            [("schedule", "0 0 * * *", None), ("every", None, "1 mon")],
        ),
        (
            {"schedule": None, "at": "2091-05-01 09:00:00.5"},
            [
                ("schedule", "0 0 * * *", None),
                ("at", None, "2091-05-01T09:00:00.5+00:00"),
            ],
        ),
        ({"timezone": "Europe/Berlin"}, [("timezone", "UTC", "Europe/Berlin")]),
        (
            {"start_at": "2091-01-01"},
            [("start_at", None, "2091-01-01T00:00:00+00:00")],
        ),
        (
            {"end_at": "2091-01-01T12:00:00", "timezone": "Asia/Tokyo"},
            [
                ("timezone", "UTC", "Asia/Tokyo"),
                ("end_at", None, "2091-01-01T03:00:00+00:00"),
            ],
        ),
        ({"start_at": "2001-01-01"}, []),
    ],
)
def test_an_attribute_of_a_schedule_is_changed_and_changed_back(
    conn, apply, one, attributes, changes
):
    named = one | {"schedules": [DAILY | {"name": "s"}]}
    apply(named)
    before = rows(conn, "pga_schedule")
    altered = one | {"schedules": [DAILY | {"name": "s"} | attributes]}
    assert [row[3:] for row in apply(altered)] == changes
    assert apply(altered) == []
    back = [row[3:] for row in apply(named)]
    if "start_at" in attributes and changes:
        # It begins now, since it had not begun.
        assert back == [("start_at", changes[0][2], None)]
    else:
        assert back == [(name, new, old) for name, old, new in changes]
    assert apply(named) == []
    after = rows(conn, "pga_schedule")
    (start,) = {i for i, column in enumerate(before[0]) if column == before[0][5]}
    assert start == 5
    assert [row[:5] + row[6:] for row in after] == [row[:5] + row[6:] for row in before]


def test_an_interval_keeps_its_start_unless_another_is_said(conn, apply):
    schedule = {"schedule": "@every 90 seconds", "name": "s"}
    job = {"name": "x", "schedules": [schedule]}
    apply(job)
    ((start,),) = conn.execute("SELECT jscstart FROM pgagent.pga_schedule").fetchall()
    schedule["schedule"] = "@every 100 seconds"
    assert [row[3] for row in apply(job)] == ["schedule"]
    assert conn.execute(
        "SELECT jscstart, jscevery::text FROM pgagent.pga_schedule"
    ).fetchall() == [(start, "00:01:40")]
    schedule["start_at"] = "2020-01-01T00:00:00Z"
    assert [row[3:4] + row[5:] for row in apply(job)] == [
        ("start_at", "2020-01-01T00:00:00+00:00")
    ]
    assert apply(job) == []
    ((every, start),) = conn.execute(
        "SELECT jscevery::text, jscstart::text FROM pgagent.pga_schedule"
    ).fetchall()
    assert (every, start[:10]) == ("00:01:40", "2020-01-01")


def test_a_time_that_has_been_is_not_planned_again(conn, apply):
    schedule = {"schedule": "@at 2091-05-01 09:00 UTC"}
    job = {"name": "x", "schedules": [schedule]}
    apply(job)
    conn.execute(
        "UPDATE pgagent.pga_schedule SET jscat = '2001-05-01 09:00 UTC', jscenabled = false"
    )
    schedule |= {
        "name": "@at 2091-05-01 09:00 UTC",
        "schedule": "@at 2001-05-01 09:00 UTC",
    }
    assert apply(job | {"schedules": [schedule]}) == []


def test_parts_that_the_document_does_not_have_are_dropped(conn, apply, one):
    conn.execute(
        "SELECT pgagent.add_step('x', '2', 'SELECT 2'), pgagent.add_schedule('x', '@hourly', 'h'),"
        " pgagent.add_exception('x', '2091-01-01', schedule => '@daily')"
    )
    assert told(apply(one)) == [
        ("step 2", "drop", None, None, None),
        ("exception 2091-01-01 of schedule @daily", "drop", None, None, None),
        ("schedule h", "drop", None, None, None),
    ]
    assert apply(one) == []
    assert conn.execute("SELECT jscname FROM pgagent.pga_schedule").fetchall() == [
        ("@daily",)
    ]


def test_ids_log_history_and_comments_survive(conn, apply, one):
    conn.execute("""
        UPDATE pgagent.pga_job SET jobdesc = 'a comment of pgAdmin';
        INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) SELECT jobid, 's' FROM pgagent.pga_job;
        INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus)
        SELECT jlgid, jstid, 's' FROM pgagent.pga_joblog, pgagent.pga_jobstep
    """)
    before = conn.execute(
        "SELECT jobid, jstid, jscid, jobcreated, joblastrun"
        " FROM pgagent.pga_job, pgagent.pga_jobstep, pgagent.pga_schedule"
    ).fetchall()
    changes = conn.execute("SELECT count(*) FROM pgagent.pga_jobchange").fetchone()[0]
    apply(
        one
        | {"description": "a comment of pgAdmin", "timeout": 5}
        | {
            "steps": [STEP | {"command": "SELECT 2"}],
            "schedules": [DAILY | {"enabled": False}],
        }
    )
    assert (
        conn.execute(
            "SELECT jobid, jstid, jscid, jobcreated, joblastrun"
            " FROM pgagent.pga_job, pgagent.pga_jobstep, pgagent.pga_schedule"
        ).fetchall()
        == before
    )
    assert conn.execute("SELECT count(*) FROM pgagent.pga_jobsteplog").fetchone() == (
        1,
    )
    assert conn.execute("SELECT jobdesc FROM pgagent.pga_job").fetchone() == (
        "a comment of pgAdmin",
    )
    assert (
        conn.execute("SELECT count(*) FROM pgagent.pga_jobchange").fetchone()[0]
        == changes + 3
    )


def test_a_due_job_whose_definition_is_the_same_stays_due(conn, apply, one):
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = '2001-01-01 00:00 UTC'")
    assert apply(one) == []
    assert told(apply(one | {"description": "x"})) == [
        ("job", "alter", "description", "", "x")
    ]
    assert conn.execute(
        "SELECT jobnextrun < now() FROM pgagent.pga_job"
    ).fetchone() == (True,)


def test_jobs_that_the_document_does_not_have_stay(conn, apply, one):
    add_job(conn, "SELECT 1", name="another")
    assert told(apply({"name": "third"})) == [("job", "create", None, None, None)]
    assert conn.execute(
        "SELECT jobname FROM pgagent.pga_job ORDER BY 1"
    ).fetchall() == [
        ("another",),
        ("third",),
        ("x",),
    ]


def test_prune_drops_only_what_a_document_of_the_set_has_made(conn, apply):
    add_job(conn, name="of hand")
    add_job(conn, name="there before")
    apply({"name": "of another"}, set="another")
    apply({"name": "kept"}, {"name": "gone"}, {"name": "there before"}, set="ours")
    assert apply({"name": "kept"}, set="ours") == []

    planned = apply({"name": "kept"}, set="ours", prune=True, dry_run=True)
    assert planned == [("gone", "job", "drop", None, None, None)]
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (5,)
    assert apply({"name": "kept"}, set="ours", prune=True) == planned
    assert conn.execute(
        "SELECT jobname, jobset FROM pgagent.pga_job ORDER BY 1"
    ).fetchall() == [
        ("kept", "ours"),
        ("of another", "another"),
        ("of hand", None),
        ("there before", None),
    ]


def test_a_job_of_another_set_that_is_changed_is_said(conn, apply):
    apply({"name": "x"}, set="one")
    notices = []
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    apply({"name": "x"}, set="two")
    assert notices == [], "nothing differs"
    apply({"name": "x", "description": "y"}, set="two")
    assert notices == ['pgagent: job "x" was made by a definition of another set']


def test_the_set_survives_the_loss_of_the_job(conn, apply):
    apply({"name": "x"}, set="one")
    (job_id,) = conn.execute("SELECT jobid FROM pgagent.pga_job").fetchone()
    ((before,),) = conn.execute("SELECT clock_timestamp()").fetchall()
    conn.execute("SELECT pgagent.drop_job('x')")
    conn.execute("SELECT pgagent.revert_job(%s::bigint, %s)", [job_id, before])
    assert conn.execute("SELECT jobset FROM pgagent.pga_job").fetchone() == ("one",)


def test_twins_are_told_by_their_order(conn, apply):
    one, two = (
        {"name": "twin", "description": "1"},
        {"name": "twin", "description": "2"},
    )
    apply(one, two)
    assert apply(one, two) == []
    assert [row[4:] for row in apply(two, one)] == [("1", "2"), ("2", "1")]
    assert told(apply(two, one, two)) == [("job", "create", "description", None, "2")]
    assert conn.execute(
        "SELECT jobdesc FROM pgagent.pga_job ORDER BY jobid"
    ).fetchall() == [
        ("2",),
        ("1",),
        ("2",),
    ]


def test_a_job_keeps_its_owner_where_nothing_is_said(conn, apply):
    conn.execute("CREATE ROLE pga_files_owner")
    try:
        apply({"name": "x", "owner": "pga_files_owner"})
        assert apply({"name": "x"}) == []
        assert told(apply({"name": "x", "owner": ""})) == [
            ("job", "alter", "owner", "pga_files_owner", "")
        ]
        assert conn.execute("SELECT jobowner FROM pgagent.pga_job").fetchone() == (
            None,
        )
    finally:
        conn.execute("DROP ROLE pga_files_owner")


def test_what_new_jobs_keep_of_the_log_is_the_default_of_the_server(
    conn, apply, export
):
    conn.execute("ALTER TABLE pgagent.pga_job ALTER COLUMN jobkeepfor SET DEFAULT NULL")
    apply({"name": "x"})
    assert conn.execute("SELECT jobkeepfor FROM pgagent.pga_job").fetchone() == (None,)
    assert apply({"name": "x"}) == []
    # Another server would take it for another value.
    assert export()["jobs"] == [{"name": "x", "keep_for": "0"}]


def test_jobs_that_do_not_change_are_locked_by_nobody(conn, dsn, apply, one):
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM pgagent.pga_job FOR UPDATE")
        other.execute("SELECT FROM pgagent.pga_jobstep FOR UPDATE")
        conn.execute("SET lock_timeout = '5s'")
        assert apply(one) == []


def test_two_at_once_make_one_job(conn, dsn):
    document = json.dumps({"format": 1, "jobs": [{"name": "x", "steps": [STEP]}]})
    query = "SELECT count(*) FROM pgagent.apply_jobs(%s)"
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(dsn) as first,
        psycopg.connect(dsn) as second,
    ):
        assert first.execute(query, [document]).fetchone() != (0,)
        late = pool.submit(lambda: second.execute(query, [document]).fetchone())
        poll(lambda: of_locks(conn, "NOT granted"), what="one that waits")
        first.commit()
        assert late.result(timeout=30) == (0,)
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (1,)


def test_a_job_that_is_being_executed_is_changed_and_stays_held(conn, apply, one):
    agent = register(conn)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    assert claim_rows(conn)
    apply(one | {"timeout": 5, "steps": [STEP | {"command": "SELECT 2"}]})
    assert conn.execute(
        "SELECT jobagentid, jobtimeout::text FROM pgagent.pga_job"
    ).fetchone() == (
        agent,
        "00:00:05",
    )


@pytest.fixture
def isolated(conn):
    """A catalogue of two editors, each with a job; returns what has one speak."""
    conn.execute("CREATE ROLE pga_ann; CREATE ROLE pga_bob")
    for role in ("pga_ann", "pga_bob"):
        conn.execute("SELECT pgagent.grant_access('editor', %s)", [role])
        conn.execute("SELECT pgagent.create_job(%s, owner => %s)", [f"of {role}", role])
    conn.execute("SELECT pgagent.isolate()")

    def speak(role):
        conn.execute(f"SET ROLE {role}")

    yield speak
    conn.execute("RESET ROLE")
    conn.execute("DROP OWNED BY pga_ann, pga_bob")
    conn.execute("DROP ROLE pga_ann, pga_bob")


def test_everybody_has_a_document_of_his_own_jobs_where_they_are_isolated(
    conn, isolated, apply, export
):
    isolated("pga_ann")
    assert export()["jobs"] == [{"name": "of pga_ann", "owner": "pga_ann"}]
    apply({"name": "of pga_ann", "description": "x"}, {"name": "new", "steps": [STEP]})
    with pytest.raises(psycopg.Error) as refusal:
        apply({"name": "another", "owner": "pga_bob"})
    assert refusal.value.sqlstate == "42501"
    assert refusal.value.diag.message_primary == (
        'pgagent: jobs[1] "another", owner: "pga_ann" is no member of "pga_bob"'
    )
    conn.execute("RESET ROLE")
    assert conn.execute(
        "SELECT jobname, jobowner, jobdesc FROM pgagent.pga_job ORDER BY 1"
    ).fetchall() == [
        ("new", "pga_ann", ""),
        ("of pga_ann", "pga_ann", "x"),
        ("of pga_bob", "pga_bob", ""),
    ]


def test_prune_leaves_the_jobs_of_others_alone(conn, isolated, apply):
    conn.execute("UPDATE pgagent.pga_job SET jobset = 'ours'")
    isolated("pga_ann")
    assert apply(set="ours", prune=True) == [
        ("of pga_ann", "job", "drop", None, None, None)
    ]
    conn.execute("RESET ROLE")
    assert conn.execute("SELECT jobname FROM pgagent.pga_job").fetchall() == [
        ("of pga_bob",)
    ]


def test_classes_are_made_and_their_limits_kept(conn, apply, export):
    has_limits = conn.execute(
        "SELECT count(*) FROM pg_attribute WHERE attname = 'jcllimit'"
    ).fetchone()[0]
    classes: list[dict[str, object]] = [{"name": "new"}]
    assert told(apply(classes=classes)) == [("class new", "create", None, None, None)]
    assert apply(classes=classes) == []
    assert export()["classes"] == classes
    if has_limits:
        classes = [{"name": "new", "limit": 3}, {"name": "Data Import", "limit": 1}]
        assert told(apply(classes=classes)) == [
            ("class new", "alter", "limit", None, "3"),
            ("class Data Import", "alter", "limit", None, "1"),
        ]
        assert apply(classes=classes) == []
        assert export()["classes"] == classes[::-1]
        assert told(apply(classes=[{"name": "new", "limit": 0}])) == [
            ("class new", "alter", "limit", "3", None)
        ]


def begin_apply(dsn, document):
    """Apply a document in a process of its own; return its id."""
    if pid := os.fork():
        return pid
    try:
        with psycopg.connect(dsn, autocommit=True) as session:
            session.execute("SELECT count(*) FROM pgagent.apply_jobs(%s)", [document])
    finally:
        os._exit(0)


def of_locks(conn, condition):
    query = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {condition}"
    return conn.execute(query).fetchone()[0]


@pytest.mark.timeout(300)
def test_whoever_is_killed_has_done_all_or_nothing(conn, dsn):
    """Fifty times, at moments all over the time that it takes."""
    names = [f"job {n}" for n in range(10)]

    def document(round_):
        step = STEP | {"command": f"SELECT {round_}"}
        jobs = [
            {"name": name, "description": str(round_), "steps": [step]}
            for name in names
        ]
        return json.dumps({"format": 1, "jobs": jobs})

    begun = time.monotonic()
    conn.execute("SELECT count(*) FROM pgagent.apply_jobs(%s)", [document(0)])
    whole = time.monotonic() - begun
    seen = {"0"}
    for number in range(1, 51):
        pid = begin_apply(dsn, document(number))
        try:
            poll(lambda: of_locks(conn, "granted"), what="an apply at work")
            time.sleep(whole * number / 50)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        poll(lambda: not of_locks(conn, "true"), what="the end of its session")
        found = conn.execute(
            "SELECT DISTINCT jobdesc, jstcode"
            " FROM pgagent.pga_job JOIN pgagent.pga_jobstep ON jstjobid = jobid"
        ).fetchall()
        assert len(found) == 1, f"half of it was done: {found}"
        ((description, code),) = found
        assert code == f"SELECT {description}"
        seen.add(description)
    assert conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone() == (
        len(names),
    )
    assert len(seen) > 1
