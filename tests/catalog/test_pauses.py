"""Paused jobs do not start; what they miss follows their rules for missed runs."""

from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
from documents import block
from jobs import add_job, add_schedule, job, runs
from transitions import claim, finish_run, register, seconds_until_due

DUE = "SELECT job_id, due_in FROM pgagent.pga_run_due(pg_backend_pid(), 9, %s, NULL)"
LOOK_AGAIN = (
    "SELECT max(look_again) FROM pgagent.pga_run_claim(pg_backend_pid(), 9, 60)"
)


@pytest.fixture
def notices(conn):
    """What the server has told, with its details."""
    told = []
    conn.add_notice_handler(
        lambda said: told.append((said.message_primary, said.message_detail))
    )
    return told


def pause(conn, job_id, **named):
    names = "".join(f", {name} => %s" for name in named)
    conn.execute(
        f"SELECT pgagent.pause_job(%s::bigint{names})", [job_id, *named.values()]
    )


def claimed(session):
    return [job_id for _, job_id in claim(session)]


def in_seconds(conn, seconds):
    query = "SELECT now() + %s * interval '1 second'"
    return conn.execute(query, [seconds]).fetchone()[0]


def gates(conn, job_id):
    query = "SELECT gate, ok, detail FROM pgagent.explain_job(%s)"
    return [(gate, ok, detail) for gate, ok, detail in conn.execute(query, [job_id])]


def status(conn, job_id):
    query = (
        "SELECT state, paused, paused_until FROM pgagent.job_status WHERE job_id = %s"
    )
    return conn.execute(query, [job_id]).fetchone()


def test_a_paused_job_is_not_claimed_and_keeps_its_next_run(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    due = job(conn, job_id, "jobnextrun")
    other = add_job(conn, "SELECT 1")
    pause(conn, job_id)

    assert claimed(agent) == [other]
    assert claimed(agent) == []
    assert job(conn, job_id, "jobnextrun") == due
    assert seconds_until_due(agent) is None
    assert agent.execute(DUE, [None]).fetchall() == []
    assert agent.execute(DUE, [[job_id]]).fetchall() == []

    conn.execute("SELECT pgagent.unpause_job(%s::bigint)", [job_id])
    assert claimed(agent) == [job_id]


def test_pauses_are_made_and_ended_as_the_page_says(conn, agent):
    job_id = add_job(conn, "SELECT 1", name="etl")
    other = add_job(conn, "SELECT 1")
    conn.execute(block("docs/operating.md", "SELECT pgagent.pause_job('etl'"))

    assert claimed(agent) == [other]
    assert status(conn, job_id)[:2] == ("paused", True)
    assert any("new disk" in str(gate) for gate in gates(conn, job_id))


def test_all_jobs_are_paused_at_once_and_those_that_come(conn, agent):
    first = add_job(conn, "SELECT 1")
    conn.execute("SELECT pgagent.pause_all()")
    second = add_job(conn, "SELECT 1")

    assert claimed(agent) == []
    assert agent.execute(LOOK_AGAIN).fetchone() == (60,)
    assert agent.execute(DUE, [None]).fetchall() == []
    conn.execute("SELECT pgagent.unpause_all()")
    assert claimed(agent) == [first, second]


def test_to_end_the_pause_of_all_leaves_single_ones(conn, agent):
    paused, other = (add_job(conn, "SELECT 1") for _ in range(2))
    pause(conn, paused)
    conn.execute("SELECT pgagent.pause_all(), pgagent.unpause_all()")

    assert claimed(agent) == [other]


def test_a_pause_may_end_by_itself_and_the_claim_says_when(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    pause(conn, job_id, until=in_seconds(conn, 30))

    ((look_again,),) = agent.execute(LOOK_AGAIN).fetchall()
    assert 28 < look_again <= 30
    conn.execute("UPDATE pgagent.pga_jobpause SET jpsuntil = now()")
    assert claimed(agent) == [job_id]


def test_so_may_the_pause_of_all(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    conn.execute("SELECT pgagent.pause_all(until => %s)", [in_seconds(conn, 30)])

    ((look_again,),) = agent.execute(LOOK_AGAIN).fetchall()
    assert 28 < look_again <= 30
    assert 28 < seconds_until_due(agent) <= 30
    conn.execute("UPDATE pgagent.pga_jobpause SET jpsuntil = now()")
    assert claimed(agent) == [job_id]


def test_a_run_under_way_goes_on_and_ends(conn, agent):
    job_id = add_job(conn, "SELECT 1", "SELECT 2")
    add_schedule(conn, job_id)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    ((run_id, _),) = claim(agent)
    pause(conn, job_id)

    finish_run(agent, run_id)

    assert runs(conn, job_id) == [("s", None)]
    assert job(conn, job_id, "jobnextrun > now() AND jobagentid IS NULL")


def test_what_is_promised_waits_and_keeps_its_id(conn, agent, notices):
    job_id = add_job(conn, "SELECT 1", name="etl", due=None)
    pause(conn, job_id, until=in_seconds(conn, 60))

    (run_id,) = conn.execute("SELECT pgagent.run_job('etl')").fetchone()

    assert ('pgagent: job "etl" is paused; it will run after that') in [
        message for message, _ in notices
    ]
    assert claimed(agent) == []
    conn.execute("SELECT pgagent.unpause_job('etl')")
    assert claim(agent) == [(run_id, job_id)]


def test_pgadmins_run_now_waits_as_well(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    pause(conn, job_id)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    assert claimed(agent) == []


@pytest.mark.parametrize("call", ["pause_job('etl')", "pause_all()"])
def test_those_that_claim_by_themselves_may_not_either(conn, other, call):
    job_id = add_job(conn, "SELECT 1", name="etl")
    conn.execute(f"SELECT pgagent.{call}")

    daemons_claim = (
        "UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid(), joblastrun = now()"
        " WHERE jobagentid IS NULL AND jobid = %s"
    )
    assert other.execute(daemons_claim, [job_id]).rowcount == 0


def test_a_runner_of_5_0_starts_none_and_waits(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    pause(conn, job_id, until=in_seconds(conn, 30))

    claim_of_5_0 = "SELECT * FROM pgagent.pga_run_claim(pg_backend_pid(), 9)"
    assert agent.execute(claim_of_5_0).fetchall() == []
    ((seconds,),) = agent.execute("SELECT pgagent.pga_seconds_until_due('here')")
    assert 28 < seconds <= 30
    pause(conn, job_id)
    assert agent.execute("SELECT pgagent.pga_seconds_until_due('here')").fetchone() == (
        None,
    )


def test_to_pause_again_replaces_until_and_reason_and_keeps_since(conn):
    job_id = add_job(conn, "SELECT 1", due=None)
    row = (
        "SELECT jpssince, isfinite(jpsuntil), jpsreason, jpsby = current_user"
        " FROM pgagent.pga_jobpause WHERE jpsjobid IS NOT DISTINCT FROM %s"
    )
    for target in (job_id, None):
        call = "pause_all(" if target is None else f"pause_job({job_id}::bigint, "
        conn.execute(f"SELECT pgagent.{call} reason => 'disk')")
        since, *told = conn.execute(row, [target]).fetchone()
        assert told == [False, "disk", True]
        for _ in range(3):
            conn.execute(f"SELECT pgagent.{call} until => now() + interval '1 h')")
        assert conn.execute(row, [target]).fetchall() == [(since, True, "", True)]
    conn.execute(f"SELECT pgagent.unpause_job({job_id})")
    pause(conn, job_id)
    assert conn.execute(row, [job_id]).fetchone()[0] > since


def test_to_end_what_is_not_paused_is_told_and_no_error(conn, notices):
    add_job(conn, "SELECT 1", name="etl", due=None)

    conn.execute("SELECT pgagent.unpause_job('etl')")
    conn.execute("SELECT pgagent.unpause_all()")
    conn.execute("SELECT pgagent.pause_job('etl'), pgagent.unpause_all()")
    conn.execute("SELECT pgagent.pause_all(), pgagent.unpause_job('etl')")
    conn.execute("SELECT pgagent.unpause_job('etl')")

    none = "Nothing was changed. Jobs that are paused by themselves: {}; unpause_job() ends that."
    assert notices == [
        ('pgagent: job "etl" is not paused', "Nothing was changed."),
        ("pgagent: not all jobs are paused", none.format(0)),
        ("pgagent: not all jobs are paused", none.format(1)),
        (
            'pgagent: job "etl" is not paused',
            "Nothing was changed. All jobs are: unpause_all() ends that.",
        ),
    ]


@pytest.mark.parametrize(
    ("call", "sqlstate", "message"),
    [
        ("pause_job('none')", "42704", 'there is no job "none"'),
        ("pause_job(77::bigint)", "42704", "no job with the id 77"),
        ("unpause_job('none')", "42704", 'there is no job "none"'),
        ("unpause_job(77::bigint)", "42704", "no job with the id 77"),
        (
            "pause_job('etl', '2020-01-01')",
            "22023",
            r"pgagent: pause_job\(until\): 2020-01-01 .* has passed",
        ),
        ("pause_all('2020-01-01')", "22023", r"pause_all\(until\): .* has passed"),
        (
            "pause_job('etl', reason => repeat('x', 10001))",
            "22023",
            "pga_jobpause.jpsreason: has 10001 characters",
        ),
    ],
)
def test_what_can_not_be_is_refused(conn, call, sqlstate, message):
    add_job(conn, "SELECT 1", name="etl", due=None)
    with pytest.raises(psycopg.Error, match=message) as e:
        conn.execute(f"SELECT pgagent.{call}")
    assert e.value.sqlstate == sqlstate


def test_nothing_given_is_no_reason_and_no_end(conn):
    add_job(conn, "SELECT 1", name="etl", due=None)
    conn.execute("SELECT pgagent.pause_job('etl', NULL, NULL)")
    conn.execute("SELECT pgagent.pause_all(NULL, NULL)")

    rows = "SELECT isfinite(jpsuntil), jpsreason FROM pgagent.pga_jobpause"
    assert conn.execute(rows).fetchall() == [(False, "")] * 2


def test_who_has_paused_is_not_for_the_writer_to_say(conn):
    job_id = add_job(conn, "SELECT 1", due=None)
    conn.execute(
        "INSERT INTO pgagent.pga_jobpause (jpsjobid, jpsby) VALUES (%s, 'nobody')",
        [job_id],
    )
    conn.execute("UPDATE pgagent.pga_jobpause SET jpsby = 'nobody'")
    conn.execute("UPDATE pgagent.pga_jobpause SET jpsby = 'nobody', jpsuntil = now()")

    assert conn.execute(
        "SELECT jpsby = current_user FROM pgagent.pga_jobpause"
    ).fetchall() == [(True,)]


def test_people_are_told(conn):
    job_id = add_job(conn, "SELECT 1", name="etl")
    assert "paused" not in [gate for gate, *_ in gates(conn, job_id)]
    assert status(conn, job_id) == ("due", False, None)
    until = in_seconds(conn, 600)
    pause(conn, job_id, until=until, reason="new disk")
    conn.execute("SELECT pgagent.pause_all(reason => 'maintenance')")

    own, of_all = [row[1:] for row in gates(conn, job_id) if row[0] == "paused"]
    user = conn.info.user
    assert own[0] is of_all[0] is False
    assert own[1].startswith("it is paused since ")
    assert own[1].endswith(f', by "{user}": new disk')
    assert of_all[1].endswith(f', until unpause_all(), by "{user}": maintenance')
    (due,) = [detail for gate, _, detail in gates(conn, job_id) if gate == "due"]
    assert due.endswith("; it waits for the end of the pause")
    assert status(conn, job_id) == ("paused", True, None)
    conn.execute("SELECT pgagent.unpause_all()")
    assert status(conn, job_id) == ("paused", True, until)


def test_every_change_of_a_pause_wakes_runners(conn):
    add_job(conn, "SELECT 1", name="etl", due=None)
    conn.execute("LISTEN pgagent")
    for statement in (
        "SELECT pgagent.pause_job('etl')",
        "SELECT pgagent.unpause_job('etl')",
        "DELETE FROM pgagent.pga_jobpause",
        "TRUNCATE pgagent.pga_jobpause",
    ):
        conn.execute(statement)
        assert len(list(conn.notifies(timeout=0.2))) == 1, statement


def test_a_pause_that_is_over_is_forgotten_after_a_day(conn):
    old, new = (add_job(conn, "SELECT 1", due=None) for _ in range(2))
    for job_id in (old, new):
        pause(conn, job_id)
        conn.execute("SELECT pgagent.unpause_job(%s::bigint)", [job_id])
    conn.execute(
        "UPDATE pgagent.pga_jobpause SET jpsuntil = now() - interval '25 hours'"
        " WHERE jpsjobid = %s",
        [old],
    )
    conn.execute("SELECT pgagent.pga_log_prune(0, 10, 10)")

    rows = conn.execute("SELECT jpsjobid FROM pgagent.pga_jobpause").fetchall()
    assert rows == [(new,)]


# What docs/operating.md says of a pause of ten minutes and a job of every minute: for how
# many minutes ago there is a run, and why times are left out.
RULES = {
    "latest": ({}, [10], "the job was paused (disk); run % made up for it"),
    "latest, queue": (
        {"joboverlap": "queue"},
        [10],
        "the job was paused (disk); run % made up for it",
    ),
    "skip": ({"jobmissed": "skip"}, [0], "the job was paused (disk)"),
    "skip, 5 minutes": (
        {"jobmissed": "skip", "jobmissedlimit": "5 minutes"},
        [4],
        "the job was paused (disk)",
    ),
    "latest, 5 minutes": (
        {"jobmissedlimit": "5 minutes"},
        [4],
        "the job was paused (disk)",
    ),
    "all": ({"jobmissed": "all"}, [*range(10, -1, -1)], None),
    "all, queue": (
        {"jobmissed": "all", "joboverlap": "queue"},
        [*range(10, -1, -1)],
        None,
    ),
    "all, 5 minutes": (
        {"jobmissed": "all", "jobmissedlimit": "5 minutes"},
        [4, 3, 2, 1, 0],
        "the job was paused (disk)",
    ),
}


@pytest.mark.parametrize("end", ["unpaused", "over"])
@pytest.mark.parametrize("scope", ["job", "all"])
@pytest.mark.parametrize("rule", RULES)
def test_what_a_pause_swallows_follows_the_rule_for_missed_runs(
    conn, agent, rule, scope, end
):
    columns, made_up, why = RULES[rule]
    job_id = add_job(conn, "SELECT 1", name="etl", due=None, **columns)
    add_schedule(conn, job_id, jscstart="2020-01-01")
    minute = "date_trunc('minute', now()) + interval '1 second'"
    call = "pause_all(" if scope == "all" else "pause_job('etl', "
    conn.execute(f"SELECT pgagent.{call} reason => 'disk')")
    conn.execute(
        "UPDATE pgagent.pga_jobpause SET jpssince = now() - interval '11 minutes'"
    )
    conn.execute(
        f"UPDATE pgagent.pga_job SET jobnextrun = date_trunc('minute', {minute}) - interval '10 minutes'"
    )
    (due,) = conn.execute("SELECT jobnextrun FROM pgagent.pga_job").fetchone()

    assert claim(agent) == []
    assert job(conn, job_id, "jobnextrun") == due
    if end == "over":
        conn.execute("UPDATE pgagent.pga_jobpause SET jpsuntil = now()")
    elif scope == "all":
        conn.execute("SELECT pgagent.unpause_all()")
    else:
        conn.execute("SELECT pgagent.unpause_job('etl')")
    while claims := claim(agent):
        finish_run(agent, claims[0][0])

    query = "SELECT jlgscheduled FROM pgagent.pga_joblog ORDER BY jlgid"
    begun = [scheduled for (scheduled,) in conn.execute(query)]
    # A minute may have begun meanwhile.
    first = (begun[0] - due) / timedelta(minutes=1)
    assert 10 - made_up[0] <= first <= 11 - made_up[0]
    assert len(begun) - len(made_up) in (0, 1) or rule == "skip"
    reasons = conn.execute("SELECT reason FROM pgagent.skipped_runs").fetchall()
    if why is None:
        assert reasons == []
    else:
        last = conn.execute("SELECT max(jlgid) FROM pgagent.pga_joblog").fetchone()[0]
        told = why.replace("%", str(last))
        if scope == "all":
            told = told.replace("the job was", "all jobs were")
        assert reasons[0][0] == told
    assert job(conn, job_id, "jobnextrun > now()")


CAUTIONS = "SELECT jcafor FROM pgagent.pga_jobcaution ORDER BY 1"
PRUNE = "SELECT pgagent.pga_log_prune(1000, 10, 10)"


def cautions(conn):
    return [kind for (kind,) in conn.execute(CAUTIONS)]


def test_claims_look_for_what_keeps_jobs_only_where_there_is_something(conn, agent):
    """A row more than needed costs little, one that lacks would be a pause ignored."""
    job_id = add_job(conn, "SELECT 1", due=None)
    assert cautions(conn) == []
    pause(conn, job_id)
    conn.execute("SELECT pgagent.pause_all()")
    conn.execute("UPDATE pgagent.pga_jobclass SET jcllimit = 1 WHERE jclid = 3")
    agent.execute("SELECT pgagent.pga_job_set_aside(%s, 'x')", [job_id])
    assert set(cautions(conn)) == {"aside", "limit", "pause"}

    conn.execute(PRUNE)
    assert cautions(conn) == ["aside", "limit", "pause"]
    conn.execute("DELETE FROM pgagent.pga_jobaside; SELECT pgagent.unpause_all()")
    conn.execute(PRUNE)
    assert cautions(conn) == ["limit", "pause"]
    conn.execute("SELECT pgagent.unpause_job(%s::bigint)", [job_id])
    conn.execute("UPDATE pgagent.pga_jobclass SET jcllimit = NULL")
    conn.execute(PRUNE)
    assert cautions(conn) == []

    pause(conn, job_id)
    assert cautions(conn) == ["pause"]


def test_a_pause_that_is_made_while_cautions_are_deleted_is_kept_to(conn, agent, other):
    job_id = add_job(conn, "SELECT 1", due=None)
    pause(conn, job_id)
    conn.execute("SELECT pgagent.unpause_job(%s::bigint)", [job_id])
    with other.transaction():
        other.execute("SELECT pgagent.pause_job(%s::bigint)", [job_id])
        conn.execute(PRUNE)
        assert cautions(conn) == []
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    assert claimed(agent) == []


def test_a_pause_that_came_where_no_trigger_fires_is_found_when_a_runner_registers(
    conn, dsn
):
    job_id = add_job(conn, "SELECT 1")
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute(
            "INSERT INTO pgagent.pga_jobpause (jpsjobid) VALUES (%s)", [job_id]
        )
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        register(session)
        assert claimed(session) == []
