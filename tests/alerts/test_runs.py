"""That a job fails is told once, and so is that it succeeds again."""

import pytest
from alerts.telling import fail, later, log, names, run, send_all, watch
from jobs import add_job, add_schedule
from transitions import claim, finish_run

pytestmark = pytest.mark.usefixtures("alert")


def alter(conn, **attributes):
    given = ", ".join(f"{name} => %s" for name in attributes)
    conn.execute(f"SELECT pgagent.alter_alert('all', {given})", [*attributes.values()])


def told(conn, sender, by="6 seconds"):
    """Return the names of the events that are sent after so much time."""
    later(conn, by)
    return names(send_all(sender))


def test_a_thousand_failures_in_a_row_are_one_message_and_one_more_when_it_is_over(
    conn, agent, sender
):
    job_id = add_job(conn, "SELECT 1", due=None, name="etl")
    for _ in range(1000):
        fail(agent, job_id, "division by zero")
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["job"], event["message"]) == (
        "failed",
        "etl",
        "division by zero",
    )
    assert "failures" in event
    run(agent, job_id)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["ended"]) == ("recovered", "failed")
    assert log(conn) == [("failed", "sent"), ("recovered", "sent")]


def test_a_job_that_flaps_is_two_messages_an_hour_and_one_that_sums_up(
    conn, agent, sender
):
    job_id = add_job(conn, "SELECT 1", due=None)
    messages = []
    for n in range(200):
        run(agent, job_id, "sf"[n % 2 == 0])
        later(conn, "18 seconds")
        messages += send_all(sender)
    assert names(messages) in (
        [["failed"], ["recovered"]],
        [["failed"], ["recovered"], ["flapping"]],
    )
    later(conn, "1 minute")
    messages += send_all(sender)
    later(conn)
    messages += send_all(sender)
    assert names(messages) == [["failed"], ["recovered"], ["flapping"]]
    flapping = messages[-1][0]
    assert flapping["changes"] == {"failed": 99, "recovered": 99}
    assert (flapping["now"], flapping["job_id"]) == ("recovered", job_id)


def test_a_summary_says_that_the_job_still_fails_and_its_end_is_told(
    conn, agent, sender
):
    job_id = add_job(conn, "SELECT 1", due=None)
    for status in "fsf":
        run(agent, job_id, status)
    assert told(conn, sender) == [["failed", "recovered"]]
    assert told(conn, sender, "59 minutes") == []
    watch(sender)
    later(conn, "1 minute")
    watch(sender)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["now"]) == ("flapping", "failed")
    assert event["changes"] == {"failed": 1, "recovered": 0}
    run(agent, job_id)
    assert told(conn, sender) == [["recovered"]]


def test_a_calm_hour_later_everything_is_told_again(conn, agent, sender):
    job_id = add_job(conn, "SELECT 1", due=None)
    for status in "fs":
        run(agent, job_id, status)
    assert told(conn, sender, "61 minutes") == [["failed", "recovered"]]
    fail(agent, job_id)
    assert told(conn, sender) == [["failed"]]


def test_several_jobs_that_fail_at_once_are_one_message(conn, agent, sender):
    jobs = [add_job(conn, "SELECT 1", name=f"job {n}") for n in range(5)]
    for run_id, _ in claim(agent):
        finish_run(agent, run_id, "d", "the server was down")
    later(conn)
    (events,) = send_all(sender)
    assert {event["job_id"] for event in events} == set(jobs)
    assert {event["event"] for event in events} == {"aborted"}
    assert len({event["event_id"] for event in events}) == len(jobs)


def test_after_failures_waits_for_as_many_in_a_row(conn, agent, sender):
    alter(conn, after_failures=3)
    job_id = add_job(conn, "SELECT 1", due=None)
    for status in "ffsff":
        run(agent, job_id, status)
    assert told(conn, sender) == []
    fail(agent, job_id)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["failures"]) == ("failed", 3)
    fail(agent, job_id)
    run(agent, job_id)
    assert told(conn, sender) == [["recovered"]]


def test_nothing_is_told_of_the_end_of_what_was_not(conn, agent, sender):
    alter(conn, after_failures=2)
    job_id = add_job(conn, "SELECT 1", due=None)
    for status in "fsi":
        run(agent, job_id, status)
    assert told(conn, sender) == []
    assert log(conn) == []


def test_an_alert_tells_of_its_events_only(conn, agent, sender):
    alter(conn, events=["aborted"])
    failing, aborted = (add_job(conn, "SELECT 1", due=None) for _ in range(2))
    fail(agent, failing)
    run(agent, aborted, "d")
    run(agent, aborted)
    watch(sender)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["job_id"]) == ("aborted", aborted)


def test_an_alert_tells_of_its_job_or_its_class_only(conn, agent, sender):
    conn.execute("SELECT pgagent.create_class('Reports')")
    mine = add_job(conn, "SELECT 1", due=None, name="mine")
    other = add_job(conn, "SELECT 1", due=None)
    report = conn.execute(
        "SELECT pgagent.create_job('report', class => 'Reports')"
    ).fetchone()[0]
    alter(conn, job="mine")
    conn.execute("SELECT pgagent.add_alert('reports', 'hook', class => 'Reports')")
    for job_id in (mine, other, report):
        fail(agent, job_id)
    watch(sender)
    later(conn)
    assert [[e["job_id"] for e in m] for m in send_all(sender, ["mail"])] == [[mine]]
    assert [[e["job_id"] for e in m] for m in send_all(sender, ["hook"])] == [[report]]


def test_what_lasts_is_told_again_if_that_is_wanted(conn, agent, sender):
    alter(conn, repeat_every="1 hour")
    job_id = add_job(conn, "SELECT 1", due=None)
    fail(agent, job_id, "the first")
    assert told(conn, sender) == [["failed"]]
    for n in (1, 2):
        run(agent, job_id, "d", f"number {n}")
        later(conn, "50 minutes")
        assert names(send_all(sender)) == []
        later(conn, "10 minutes")
        watch(sender)
        later(conn)
        ((event,),) = send_all(sender)
        assert (event["event"], event["repeats"]) == ("aborted", n)
        assert (event["message"], event["failures"]) == (f"number {n}", n + 1)
    run(agent, job_id)
    later(conn, "2 hours")
    ((event,),) = send_all(sender)
    assert (event["event"], event["repeats"]) == ("recovered", 2)


def test_a_job_that_is_enabled_again_has_not_recovered_and_may_fail_anew(
    conn, agent, sender
):
    job_id = add_job(conn, "SELECT 1", due=None, name="etl", jobdisableafter=2)
    for _ in range(2):
        fail(agent, job_id, "no disk")
    later(conn)
    (events,) = send_all(sender)
    told = {event["event"]: event["message"] for event in events}
    assert set(told) == {"failed", "disabled"}
    assert "it was failure 2 in a row: the job has been disabled" in told["disabled"]
    conn.execute("SELECT pgagent.alter_job('etl', enabled => true)")
    later(conn, "1 hour")
    assert names(send_all(sender)) == []
    fail(agent, job_id)
    later(conn)
    assert names(send_all(sender)) == [["failed"]]


def test_a_job_that_a_person_disables_is_no_event(conn, sender):
    job_id = add_job(conn, "SELECT 1", due=None)
    conn.execute("SELECT pgagent.alter_job(%s::bigint, enabled => false)", [job_id])
    assert told(conn, sender) == []


def test_a_job_that_kills_its_runners_is_told_as_disabled(conn, agent, sender):
    job_id = add_job(conn, "SELECT 1", jobdeaths=2)
    claim(agent)
    conn.execute("SELECT pgagent.pga_agent_bury_run(%s, true, 'killed')", [job_id])
    later(conn)
    (events,) = send_all(sender)
    assert {event["event"] for event in events} == {"aborted", "disabled"}
    assert all("has died 3 times in a row" in event["message"] for event in events)


def test_times_that_are_left_out_are_told_to_those_who_want_to_know(
    conn, agent, sender
):
    def skip(name):
        job_id = add_job(conn, "SELECT 1", due=None, name=name, jobmissed="skip")
        add_schedule(conn, job_id, jscstart="2020-01-01")
        conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = date_trunc('minute', now())"
            " - interval '10 minutes' WHERE jobid = %s",
            [job_id],
        )
        claim(agent)
        return job_id

    skip("by default")
    assert told(conn, sender) == []
    alter(conn, events=["skipped"])
    job_id = skip("to be told")
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["job_id"]) == ("skipped", job_id)
    assert "no runner took the job" in event["message"]
    assert {"scheduled", "until"} <= set(event)


CLOSINGS = {
    "by hand": "UPDATE pgagent.pga_joblog SET jlgstatus = 'f' WHERE jlgid = {0}",
    "by the daemon of 4.2": """
        UPDATE pgagent.pga_joblog SET jlgstatus = 'f', jlgduration = now() - jlgstart
        WHERE jlgid = {0};
        UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL WHERE jobid = {1}
    """,
    "by a runner of 5.0": """
        SELECT pgagent.pga_run_record(ARRAY[{0}]::bigint[], ARRAY[NULL]::bigint[], ARRAY[NULL],
            ARRAY[NULL]::integer[], ARRAY[NULL], ARRAY[NULL]::integer[], ARRAY[NULL]::integer[],
            ARRAY['f'], ARRAY['no'])
    """,
    "piece by piece": """
        SELECT pgagent.pga_run_salvage(
            pg_backend_pid(), '{{"run_id": {0}, "run_status": "f", "message": "no"}}')
    """,
    "by a sweep": "SELECT pgagent.pga_run_abort({0}, 'its agent is gone')",
}


@pytest.mark.parametrize("closing", CLOSINGS)
def test_a_run_that_is_closed_in_another_way_is_told_as_well(
    conn, agent, sender, closing
):
    job_id = add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    for statement in CLOSINGS[closing].format(run_id, job_id).split(";"):
        agent.execute(statement)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["run_id"]) == (
        "aborted" if closing == "by a sweep" else "failed",
        run_id,
    )


def test_who_is_told_at_night_finds_all_that_is_known(conn, agent, sender):
    job_id = add_job(conn, "SELECT 1", due=None, name="etl")
    run(agent, job_id)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    ((run_id, _),) = claim(agent)
    (row,) = conn.execute("SELECT max(jslid) FROM pgagent.pga_jobsteplog").fetchone()
    finish = """
        SELECT refusal FROM pgagent.pga_run_record(pg_backend_pid(), json_build_array(json_build_object(
            'run_id', %s::bigint, 'step_log_id', %s::bigint, 'step_status', 'f', 'result', 1,
            'output', repeat('x', 1000000) || 'the end', 'run_status', 'f', 'message', 'step failed')))
    """
    agent.execute(finish, [run_id, row])
    later(conn)
    ((event,),) = send_all(sender)
    assert event["step"] == "step 01"
    assert (len(event["output"]), event["output"][-7:]) == (2000, "the end")
    assert event["station"] == "here"
    assert event["message"] == "step failed"
    assert {"at", "since", "scheduled", "started", "duration_s", "last_success"} <= set(
        event
    )
    assert "next_run" not in event


HOSTILE = "\x01\x1b[2J\r\n\t\\u0000 \"quoted\" 'too' $$ % {job} \u2028 \u202e ü"


def test_hostile_texts_arrive_as_they_are(conn, agent, sender):
    name = HOSTILE + "x" * 5000
    job_id = add_job(conn, "SELECT 1", due=None, name=name)
    conn.execute("SELECT pgagent.alter_alert('all', name => %s)", [HOSTILE])
    fail(agent, job_id, HOSTILE)
    later(conn)
    watch(sender)
    query = "SELECT alert, events FROM pgagent.pga_alert_claim('{mail}')"
    alert, (event,) = sender.execute(query).fetchone()
    assert (alert, event["job"], event["message"]) == (HOSTILE, name[:1000], HOSTILE)


def test_a_clock_that_is_set_back_does_not_have_all_that_follows_only_counted(
    conn, agent, sender
):
    job_id = add_job(conn, "SELECT 1", due=None)
    for status in "fsf":
        run(agent, job_id, status)
    assert told(conn, sender) == [["failed", "recovered"]]
    later(conn, "-1 day")
    watch(sender)
    assert told(conn, sender) == [["flapping"]]


def test_a_clock_that_is_set_back_ends_no_repetition(conn, agent, sender):
    alter(conn, repeat_every="2 hours")
    fail(agent, add_job(conn, "SELECT 1", due=None))
    assert told(conn, sender) == [["failed"]]
    later(conn, "-1 day")
    watch(sender)
    assert told(conn, sender) == [["failed"]]
    assert told(conn, sender, "1 hour") == []
