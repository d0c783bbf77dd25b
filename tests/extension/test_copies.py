"""A copy of a catalogue starts nothing before it is armed, and then nothing twice."""

import socket
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
from daemon.runner_process import Daemon42, Runner, ended_runs
from documents import block, inline
from jobs import add_job, add_schedule, job, runs
from pgagent_runner.catalog.install import init
from support import ROOT, poll
from transitions import claim, finish_run, register, sweep

ARM = block("docs/operating.md", "SELECT pgagent.arm()")
START_ARMED = inline("docs/operating.md", "pgagent run --arm").split()[2:]
assert inline("docs/upgrading.md", "pgagent run --arm").split()[2:] == START_ARMED
AS_DUMPED = "was running when the database was dumped"
UNARMED = "SELECT jagunarmed FROM pgagent.pga_jobagent WHERE jagpid = pg_backend_pid()"
STATE = "SELECT state FROM pgagent.job_status WHERE job_id = %s"
GATE = "SELECT ok, detail FROM pgagent.explain_job(%s) WHERE gate = 'allowed'"
SKIPPED = "SELECT jskfrom, jskuntil, jskreason FROM pgagent.pga_jobskip ORDER BY jskid"


@pytest.fixture
def source(new_database, template):
    """A database of its own with jobs, in which an agent of host "here" is at work."""
    source = new_database("source", template=template)
    register(source)
    return source


@pytest.fixture
def copied(source, new_database, dump, restore):
    """Restore a dump of the source elsewhere; return the session of an agent there."""

    def copied(*options):
        session = new_database("copied")
        restore(dump(source, *(options or ["-Fc"])), session)
        register(session)
        return session

    return copied


@pytest.fixture
def moved(source, new_database, dump, restore, administration):
    """Replace the source by its dump; return the session of an agent there."""

    def moved(station="here"):
        archive = dump(source, "-Fc")
        source.close()
        administration.execute("DROP DATABASE source WITH (FORCE)")
        session = new_database("source")
        restore(archive, session)
        register(session, station)
        return session

    return moved


def arm(session):
    return session.execute(ARM).fetchone()[0]


def one(session, query, *parameters):
    row = session.execute(query, parameters or None).fetchone()
    return row and row[0]


def heartbeat(session):
    """Show a sign of life; return why nothing may be started."""
    beat = """
        SELECT unarmed FROM pgagent.pga_agent_heartbeat(
            pg_backend_pid(), interval '1 hour', ARRAY[]::bigint[])
    """
    return one(session, beat)


def assert_silent(session, job_id, armed="which are armed in"):
    """Nothing is claimed, and everybody is told why."""
    assert claim(session) == []
    assert "SELECT pgagent.arm()" in one(session, UNARMED)
    assert one(session, STATE, job_id) == "unarmed"
    ok, detail = session.execute(GATE, [job_id]).fetchone()
    assert (ok, f"this is a copy of the jobs, {armed}" in detail) == (
        False,
        True,
    )


def assert_armed(session, job_id):
    assert one(session, UNARMED) is None
    assert session.execute(GATE, [job_id]).fetchone() is None
    assert [claimed for _, claimed in claim(session)] == [job_id]


@pytest.mark.parametrize(
    "options",
    [["-Fp"], ["-Fc"], ["-Fd"], ["-Fp", "--inserts"], ["-Fp", "--column-inserts"]],
    ids=" ".join,
)
def test_a_restored_dump_starts_nothing_before_it_is_armed(source, copied, options):
    job_id = add_job(source, "SELECT 1")

    copy = copied(*options)

    row = "SELECT armid, armdatabaseid FROM pgagent.pga_arming"
    assert copy.execute(row).fetchall() == source.execute(row).fetchall()
    assert_silent(copy, job_id)
    assert "are armed: 1 of 1 are due" in arm(copy)
    assert_armed(copy, job_id)
    assert "are armed already: nothing was changed" in arm(copy)
    assert_armed(source, job_id)


@pytest.mark.parametrize("way", ["data", "data without triggers", "jobs last"])
def test_a_dump_in_parts_starts_nothing_before_it_is_armed(
    source, new_database, dump, pg, way
):
    job_id = add_job(source, "SELECT 1")
    copy = new_database("copied")
    archive, database = dump(source, "-Fc"), f"--dbname={copy.info.dbname}"
    if way == "jobs last":
        pg("pg_restore", archive, database, "--jobs=2", "--exclude-schema=pgagent")
        pg("pg_restore", archive, database, "--schema=pgagent")
    else:
        copy.execute("CREATE EXTENSION pgagent")
        options = ["--disable-triggers"] if "without" in way else []
        pg("pg_restore", archive, database, "--data-only", *options)
    register(copy)

    assert_silent(copy, job_id)
    arm(copy)
    assert_armed(copy, job_id)
    assert one(copy, "SELECT count(*) FROM pgagent.pga_arming") == 1


def test_a_database_made_from_a_template_starts_nothing_before_it_is_armed(
    source, administration, cluster
):
    job_id = add_job(source, "SELECT 1")
    source.execute("SELECT pgagent.pga_agent_leave(pg_backend_pid())")
    source.close()
    administration.execute("CREATE DATABASE other TEMPLATE source")
    with closing(psycopg.connect(cluster.conninfo("other"), autocommit=True)) as copy:
        register(copy)
        assert_silent(copy, job_id)
        arm(copy)
        assert_armed(copy, job_id)
    administration.execute("DROP DATABASE other WITH (FORCE)")


def test_a_template_without_jobs_arms_what_is_made_from_it(conn, agent_in):
    job_id = add_job(conn, "SELECT 1")
    assert_armed(agent_in(conn), job_id)


def test_a_template_without_jobs_arms_when_a_runner_comes_first(conn, agent_in):
    session = agent_in(conn)
    job_id = add_job(conn, "SELECT 1")
    assert_armed(session, job_id)


@pytest.fixture
def agent_in(cluster):
    """Register in a session's database."""
    sessions = []

    def agent_in(session, station="here"):
        dsn = cluster.conninfo(session.info.dbname)
        sessions.append(psycopg.connect(dsn, autocommit=True))
        register(sessions[-1], station)
        return sessions[-1]

    yield agent_in
    for session in sessions:
        session.close()


@pytest.mark.parametrize("first", [sweep, arm])
def test_a_copy_leaves_the_agents_and_sessions_of_the_original_alone(
    source, copied, cluster, first
):
    """As a template copies them: their process ids are alive, in another database."""
    add_job(source, "SELECT 1")
    copy = copied()
    with closing(psycopg.connect(cluster.conninfo("postgres"))) as step:
        copy.execute(
            "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (%s, 'here')",
            [source.info.backend_pid],
        )
        copy.execute(
            "INSERT INTO pgagent.pga_jobsession"
            " SELECT pid, %s, backend_start FROM pg_stat_activity WHERE pid = %s",
            [source.info.backend_pid, step.info.backend_pid],
        )
        alive = "SELECT alive FROM pgagent.agents WHERE agent_id = %s"
        assert one(copy, alive, source.info.backend_pid) is False

        first(copy)
        sweep(copy)
        arm(copy)
        sweep(copy)

        assert one(copy, alive, source.info.backend_pid) is None
        assert step.execute("SELECT 1").fetchone() == (1,)
        assert one(source, UNARMED) is None


def test_the_same_place_goes_on_and_says_so(source, moved):
    job_id = add_job(source, "SELECT 1")

    session = moved()

    note = one(session, "SELECT current_setting('pgagent.note')")
    assert "the jobs go on in the place where they are armed" in note
    assert note.count('database "source" on port 5432 of host "here"') == 2
    assert_armed(session, job_id)


def test_the_same_place_says_only_once_that_it_goes_on(source, moved, agent_in):
    add_job(source, "SELECT 1")
    again = agent_in(moved())
    assert one(again, "SELECT current_setting('pgagent.note', true)") is None


def test_the_same_name_of_a_database_seen_from_elsewhere_is_another_place(
    source, moved, agent_in
):
    job_id = add_job(source, "SELECT 1")
    stranger = moved("there")
    assert_silent(stranger, job_id)

    native = agent_in(stranger)  # which goes on, for all

    assert one(stranger, UNARMED) is None
    assert_armed(native, job_id)


def test_a_place_that_no_runner_has_completed_counts_as_another_one(
    new_database, dump, restore, administration
):
    source = new_database("source")
    source.execute("CREATE EXTENSION pgagent")
    job_id = add_job(source, "SELECT 1")
    archive = dump(source, "-Fc")
    source.close()
    administration.execute("DROP DATABASE source")
    session = new_database("source")
    restore(archive, session)
    register(session)
    assert_silent(session, job_id)


def test_a_database_that_is_renamed_goes_on(source, administration, cluster):
    job_id = add_job(source, "SELECT 1")
    source.close()
    administration.execute("ALTER DATABASE source RENAME TO renamed")
    with closing(psycopg.connect(cluster.conninfo("renamed"), autocommit=True)) as it:
        register(it)
        assert_armed(it, job_id)
        assert one(it, "SELECT armdatabase FROM pgagent.pga_arming") == "renamed"
    administration.execute("ALTER DATABASE renamed RENAME TO source")


def test_a_row_of_arming_that_is_gone_is_a_place_that_cannot_be_read(source, agent_in):
    job_id = add_job(source, "SELECT 1")
    source.execute("DELETE FROM pgagent.pga_arming")
    session = agent_in(source)
    assert claim(session) == []
    assert "which are armed nowhere" in one(session, UNARMED)
    arm(session)
    assert_armed(session, job_id)


FOREIGN = """
    INSERT INTO pgagent.pga_arming (armsystem, armdatabaseid, armtableid, armdatabase, armport)
    VALUES (1, 1, 1, 'elsewhere', 5432)
"""


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM pgagent.pga_arming",
        "TRUNCATE pgagent.pga_arming",
        "UPDATE pgagent.pga_arming SET armsystem = 1, armport = 1",
        FOREIGN,
    ],
)
def test_a_change_of_arming_reaches_agents_that_are_registered(source, change):
    job_id = add_job(source, "SELECT 1")
    source.execute("LISTEN pgagent")
    assert one(source, UNARMED) is None

    source.execute(change)

    assert_silent(source, job_id, armed="which are armed")
    told = [n.payload for n in source.notifies(timeout=10, stop_after=1)]
    assert told == ["cancel"]  # whereupon a runner shows a sign of life
    arm(source)
    assert_armed(source, job_id)


@pytest.mark.parametrize("options", [[], ["--disable-triggers"]], ids=" ".join)
def test_rows_that_are_restored_under_an_agent_start_nothing(
    source, new_database, dump, pg, options
):
    job_id = add_job(source, "SELECT 1")
    copy = new_database("copied")
    copy.execute("CREATE EXTENSION pgagent")
    register(copy, "elsewhere")

    database = f"--dbname={copy.info.dbname}"
    pg("pg_restore", dump(source, "-Fc"), database, "--data-only", *options)
    if not options:  # which tell only at the next sign of life
        assert claim(copy) == []
    poll(lambda: "this is a copy" in str(heartbeat(copy)))

    assert_silent(copy, job_id)
    arm(copy)
    assert_armed(copy, job_id)


def test_rows_that_are_restored_in_their_place_go_on_under_an_agent(
    source, moved, new_database, dump, restore, administration
):
    job_id = add_job(source, "SELECT 1")
    archive = dump(source, "-Fc")
    source.close()
    administration.execute("DROP DATABASE source WITH (FORCE)")
    session = new_database("source")
    session.execute("CREATE EXTENSION pgagent")
    register(session)
    restore(archive, session, "--data-only")
    assert claim(session) == []

    assert heartbeat(session) is None

    assert_armed(session, job_id)


@pytest.mark.parametrize("dumped", ["by 5.1", "by 4.2"])
def test_an_agent_that_comes_in_the_middle_of_a_restore_waits_for_its_end(
    source, new_database, cluster, dumped
):
    """As in pg_restore's order: CREATE EXTENSION, large tables, jobs, arming."""
    arming = source.execute("SELECT a::text FROM pgagent.pga_arming AS a").fetchone()
    copy = new_database("copied")
    dsn = cluster.conninfo("copied")
    with closing(psycopg.connect(dsn, autocommit=True)) as restorer:
        restorer.execute("SET check_function_bodies = off; SET row_security = off")
        restorer.execute("CREATE EXTENSION pgagent")
        register(copy, "elsewhere")
        assert "are being restored from a dump" in one(copy, UNARMED)
        job_id = add_job(restorer, "SELECT 1")
        assert heartbeat(copy) == one(copy, UNARMED)
        assert claim(copy) == []
        assert one(copy, STATE, job_id) == "unarmed"
        assert "being restored" in copy.execute(GATE, [job_id]).fetchone()[1]
        if dumped == "by 5.1":
            row = "INSERT INTO pgagent.pga_arming SELECT (%s::pgagent.pga_arming).*"
            restorer.execute(row, arming)
        assert claim(copy) == []
    poll(lambda: "being restored" not in str(heartbeat(copy)))

    if dumped == "by 5.1":
        assert_silent(copy, job_id)
        arm(copy)
    assert_armed(copy, job_id)


@pytest.mark.parametrize("dumped", ["jobs", "arming"])
def test_an_agent_that_was_there_before_a_restore_waits_for_its_end(
    source, new_database, cluster, dumped
):
    arming = source.execute("SELECT a::text FROM pgagent.pga_arming AS a").fetchone()
    copy = new_database("copied")
    copy.execute("CREATE EXTENSION pgagent")
    register(copy, "elsewhere")
    dsn = cluster.conninfo("copied")
    with closing(psycopg.connect(dsn, autocommit=True)) as restorer:
        restorer.execute("SET check_function_bodies = off; SET row_security = off")
        row = "INSERT INTO pgagent.pga_arming SELECT (%s::pgagent.pga_arming).*"
        if dumped == "arming":
            restorer.execute(row, arming)
            heartbeat(copy)  # there is no job yet
        job_id = add_job(restorer, "SELECT 1")
        assert claim(copy) == []
        heartbeat(copy)
        assert claim(copy) == []
        if dumped == "jobs":
            restorer.execute(row, arming)
            assert claim(copy) == []
    poll(lambda: "being restored" not in str(heartbeat(copy)))
    assert_silent(copy, job_id)


def test_whoever_arms_need_not_wait_for_the_end_of_a_restore(new_database, cluster):
    copy = new_database("copied")
    with closing(psycopg.connect(cluster.conninfo("copied"), autocommit=True)) as it:
        it.execute("SET check_function_bodies = off; SET row_security = off")
        it.execute("CREATE EXTENSION pgagent")
        job_id = add_job(it, "SELECT 1")
        register(copy)
        assert claim(copy) == []
        arm(copy)
        assert_armed(copy, job_id)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (None, "local"),
        ("127.0.0.1", "local"),
        ("127.1.2.3", "local"),
        ("::1", "local"),
        ("169.254.10.1", "local"),
        ("fe80::1", "local"),
        ("172.17.0.2", "bridge"),
        ("172.31.255.254", "bridge"),
        ("172.32.0.1", None),
        ("10.0.0.5", None),
        ("192.168.1.5", None),
        ("2001:db8::1", None),
    ],
)
def test_addresses_that_others_have_too_are_known(asking, address, kind):
    assert one(asking, "SELECT pgagent.pga_is_private(%s::inet)", address) == kind


@pytest.mark.parametrize(
    ("address", "port", "station", "same"),
    [
        ("10.0.0.5", 5432, "there", True),  # whoever asks
        ("10.0.0.6", 5432, "here", False),
        ("10.0.0.5", 5433, "here", False),  # a published port of another container
        (None, 5432, "here", True),
        (None, 5432, "there", False),
        ("172.17.0.2", 5432, "here", False),  # a container that was not known
    ],
)
def test_the_place_is_the_address_or_else_the_host(
    asking, address, port, station, same
):
    question = """
        SELECT pgagent.pga_is_same_place(
            current_database()::text, 5432, '10.0.0.5', 'here', jsonb_populate_record(NULL::pgagent.pga_jobagent, jsonb_build_object(
                'jagaddress', %s::text, 'jagport', %s::integer, 'jagstation', %s::text)))
    """
    assert one(asking, question, address, port, station) is same


@pytest.mark.parametrize(
    ("told", "address"),
    [("", None), ("127.0.0.1", None), ("10.0.0.9", "10.0.0.9")],
)
def test_a_server_without_an_address_of_its_own_has_that_by_which_it_was_reached(
    conn, told, address
):
    conn.execute("SELECT set_config('pgagent.server_address', %s, false)", [told])
    assert one(conn, "SELECT host(pgagent.pga_server_address())") == address


def test_an_update_from_4_2_arms_and_lets_those_see_it_who_saw_jobs(conn_42):
    job_id = add_job(conn_42, "SELECT 1")
    conn_42.execute("GRANT SELECT ON pgagent.pga_job TO pg_signal_backend")
    conn_42.execute("GRANT ALL ON pgagent.pga_jobagent TO pg_monitor")

    conn_42.execute("ALTER EXTENSION pgagent UPDATE")

    register(conn_42)
    assert_armed(conn_42, job_id)
    may = "SELECT has_table_privilege(%s, 'pgagent.pga_arming', %s)"
    granted = [
        one(conn_42, may, role, privilege)
        for role, privilege in (
            ("pg_signal_backend", "SELECT"),
            ("pg_signal_backend", "INSERT"),
            ("pg_monitor", "SELECT"),
            ("pg_monitor", "DELETE"),
        )
    ]
    assert granted == [True, False, True, True]


def test_an_update_leaves_a_copy_unarmed(source, copied, agent_in):
    job_id = add_job(source, "SELECT 1")
    copy = copied()
    functions = (
        ROOT / "python/src/pgagent_runner/catalog/sql/functions.sql"
    ).read_text()
    copy.execute("SET check_function_bodies = off; SET search_path = pg_catalog")
    copy.execute(functions)
    assert_silent(agent_in(copy), job_id)


@pytest.mark.needs("pgagent_4_2")
def test_a_dump_of_4_2_is_armed_where_it_is_restored(
    conn_42, new_database, dump, restore
):
    job_id = add_job(conn_42, "SELECT 1")
    restored = new_database("restored")
    restore(dump(conn_42, "-Fc"), restored)
    register(restored)
    assert_armed(restored, job_id)


def test_a_plain_catalogue_is_armed_and_its_dump_is_a_copy(
    alice, new_database, dump, restore, cluster
):
    plain, copy = new_database("plain", alice), new_database("copied", alice)
    init(f"{cluster.conninfo('plain')} user=alice")
    register(plain)
    job_id = add_job(plain, "SELECT 1")

    restore(dump(plain, "-Fc"), copy, "--no-owner", "--role=alice")

    assert_armed(plain, job_id)
    register(copy)
    assert_silent(copy, job_id)
    arm(copy)
    assert_armed(copy, job_id)


# What pgAgent's own daemon, and runners of 5.0, do.
DAEMONS_CLAIM = """
    UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid(), joblastrun = now()
    WHERE jobagentid IS NULL AND jobid = %s
"""
REGISTER_42 = (
    "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation)"
    " VALUES (pg_backend_pid(), 'here')"
)


def test_the_daemon_of_4_2_claims_nothing_of_a_copy(source, copied, cluster):
    job_id = add_job(source, "SELECT 1")
    copied()
    with closing(psycopg.connect(cluster.conninfo("copied"), autocommit=True)) as it:
        it.execute(REGISTER_42)
        assert "this is a copy" in one(it, UNARMED)
        assert it.execute(DAEMONS_CLAIM, [job_id]).rowcount == 0
        lost = "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES (%s, 'i')"
        it.execute(lost, [job_id])
        assert runs(it) == []

        arm(it)

        assert it.execute(DAEMONS_CLAIM, [job_id]).rowcount == 1


@pytest.mark.needs("pgagent_4_2")
def test_the_process_of_4_2_runs_nothing_of_a_copy_and_all_of_it_once_armed(
    source, new_database, dump, restore, cluster
):
    add_job(source, "SELECT 1")
    copy = new_database("copied")
    restore(dump(source, "-Fc"), copy)
    with Daemon42(cluster, cluster.conninfo("copied")) as daemon:
        tries = daemon.log.count("Checking for jobs to run")
        poll(lambda: daemon.log.count("Checking for jobs to run") > tries + 2)
        assert runs(copy) == []
        arm(copy)
        # Armed between its refused claim and the row that it writes about it, "i" comes first.
        poll(lambda: ended_runs(copy).removeprefix("i") == "s")


def test_a_runner_of_5_0_claims_nothing_of_a_copy_and_waits(source, copied):
    add_job(source, "SELECT 1")
    copy = copied()
    old = "SELECT count(*) FROM pgagent.pga_run_claim(pg_backend_pid(), 10)"
    due = "SELECT pgagent.pga_seconds_until_due('here')"
    assert (one(copy, old), one(copy, due)) == (0, None)
    arm(copy)
    assert (one(copy, due), one(copy, old)) == (0, 1)


def test_nobody_claims_for_an_agent_of_a_copy_by_hand(source, copied):
    job_id = add_job(source, "SELECT 1")
    copy = copied()
    assert copy.execute(DAEMONS_CLAIM, [job_id]).rowcount == 0


def test_a_role_without_rights_on_the_tables_can_arm_nothing(source, copied):
    add_job(source, "SELECT 1")
    copy = copied()
    copy.execute("GRANT USAGE ON SCHEMA pgagent TO pg_signal_backend")
    copy.execute("GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO pg_signal_backend")
    copy.execute("SET ROLE pg_signal_backend")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        arm(copy)
    copy.execute("RESET ROLE")
    assert claim(copy) == []


def test_the_login_of_a_runner_may_arm(source, copied, overdue, cluster):
    job_id = overdue(5)
    begin(source)
    copy = copied()
    copy.execute(block("docs/security.md", "CREATE ROLE pgagent_runner"))
    try:
        dsn = f"{cluster.conninfo('copied')} user=pgagent_runner"
        with closing(psycopg.connect(dsn, autocommit=True)) as session:
            register(session)
            assert claim(session) == []
            assert "of 1 a run was under way" in arm(session)
            assert [claimed for _, claimed in claim(session)] == [job_id]
    finally:
        copy.execute("DROP OWNED BY pgagent_runner; DROP ROLE pgagent_runner")


class Overdue:
    """Makes a job in the source that fell due every minute, for so many minutes."""

    def __init__(self, source):
        self._source = source

    def __call__(self, minutes, **columns):
        source = self._source
        job_id = add_job(source, "SELECT 1", due=None, **columns)
        add_schedule(source, job_id, jscstart="2020-01-01")
        first = f"date_trunc('minute', now()) - {minutes} * interval '1 minute'"
        source.execute(f"UPDATE pgagent.pga_job SET jobnextrun = {first}")
        oldest = one(source, "SELECT max(jobnextrun) FROM pgagent.pga_job")
        self.now = oldest + timedelta(minutes=minutes)
        return job_id


@pytest.fixture
def overdue(source):
    return Overdue(source)


def begin(session):
    """Claim the only due job as if right when it was due; return the run's id."""
    ((run_id, _),) = claim(session)
    session.execute(
        "UPDATE pgagent.pga_joblog SET jlgstart = jlgscheduled + interval '1 second'"
    )
    session.execute(
        "UPDATE pgagent.pga_jobsteplog SET jslstart = ("
        " SELECT max(jlgscheduled) + interval '1 second' FROM pgagent.pga_joblog)"
    )
    return run_id


def minutes_made_up(session, overdue):
    """Run what is due; return for which minutes, counted back from `overdue.now`."""
    done = []
    while claimed := claim(session):
        for run_id, _ in claimed:
            due = "SELECT jlgscheduled FROM pgagent.pga_joblog WHERE jlgid = %s"
            done.append(
                (overdue.now - one(session, due, run_id)) / timedelta(minutes=1)
            )
            finish_run(session, run_id)
    # The next minute may have begun meanwhile.
    return [minutes for minutes in done if minutes >= 0]


@pytest.mark.parametrize("overlap", ["skip", "queue"])
@pytest.mark.parametrize(
    ("missed", "made_up"), [("latest", [4]), ("skip", []), ("all", [4, 3, 2, 1, 0])]
)
def test_a_run_under_way_in_the_dump_is_not_repeated_and_later_ones_go_by_the_rules(
    source, copied, overdue, overlap, missed, made_up
):
    job_id = overdue(5, jobmissed=missed, joboverlap=overlap)
    if missed == "skip":
        source.execute("UPDATE pgagent.pga_job SET jobmissedlimit = '1 hour'")
    begin(source)
    if missed == "skip":
        source.execute("UPDATE pgagent.pga_job SET jobmissedlimit = '1 microsecond'")

    copy = copied()
    assert runs(copy, job_id) == [("d", AS_DUMPED)]
    assert "of 1 a run was under way" in arm(copy)

    assert minutes_made_up(copy, overdue) == made_up
    assert job(copy, job_id, "jobnextrun > now()")


def test_times_that_had_passed_during_a_run_in_the_dump_are_left_out_as_ever(
    source, copied, overdue
):
    job_id = overdue(5, jobmissed="all")
    run_id = begin(source)
    other = add_job(source, "SELECT 1")  # ran three minutes later: the dump is younger
    source.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration)"
        " SELECT %s, 's', jlgstart, interval '2 minutes' FROM pgagent.pga_joblog"
        " WHERE jlgid = %s",
        [other, run_id],
    )
    source.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobid = %s", [other]
    )

    copy = copied()
    arm(copy)

    assert minutes_made_up(copy, overdue) == [2, 1, 0]
    ((first, until, reason),) = copy.execute(SKIPPED).fetchall()
    assert reason == f"run {run_id} was still under way"
    assert timedelta(minutes=1) <= until - first < timedelta(minutes=2)
    assert job(copy, job_id, "jobnextrun > now()")


def test_what_the_same_place_had_under_way_is_not_repeated_either(
    source, moved, overdue
):
    job_id = overdue(5)
    begin(source)
    session = moved()
    assert runs(session, job_id) == [("d", AS_DUMPED)]
    assert minutes_made_up(session, overdue) == [4]


def test_a_restore_into_the_very_database_repeats_nothing_either(
    source, overdue, dump, restore, agent_in
):
    overdue(5)
    begin(source)
    archive = dump(source, "-Fc")
    source.execute("SELECT pgagent.pga_agent_leave(pg_backend_pid())")
    restore(archive, source, "--clean", "--if-exists")
    assert minutes_made_up(agent_in(source), overdue) == [4]


@pytest.mark.parametrize("last", ["arming", "run"])
def test_runs_under_way_are_looked_at_in_whatever_order_a_dump_is_restored(
    source, overdue, agent_in, last
):
    job_id = overdue(5)
    run_id = begin(source)
    source.execute("SET check_function_bodies = off; SET row_security = off")
    source.execute("SET pgagent.freeing = 'on'")  # as a restore, which frees no job
    source.execute(
        "UPDATE pgagent.pga_job SET jobagentid = NULL;"
        "CREATE TEMP TABLE run AS TABLE pgagent.pga_joblog;"
        "CREATE TEMP TABLE arming AS TABLE pgagent.pga_arming;"
        "DELETE FROM pgagent.pga_joblog;"
        "INSERT INTO pgagent.pga_joblog SELECT * FROM run;"
    )
    if last == "arming":
        source.execute("INSERT INTO pgagent.pga_arming SELECT * FROM arming")
    assert runs(source, job_id) == [("d", AS_DUMPED)], run_id
    assert minutes_made_up(agent_in(source), overdue) == [4]


@pytest.mark.needs("pgagent_4_2")
def test_what_4_2_had_under_way_in_a_dump_is_not_repeated(
    conn_42, new_database, dump, restore
):
    conn_42.execute(
        "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (7, 'x');"
        "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'under way');"
        "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart)"
        " VALUES (1, 'every minute', '2020-01-01');"
        "UPDATE pgagent.pga_job SET jobagentid = 7,"
        " jobnextrun = date_trunc('minute', now()) - interval '5 minutes';"
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstart)"
        " SELECT 1, jobnextrun + interval '1 second' FROM pgagent.pga_job"
    )
    ran_for = one(conn_42, "SELECT jobnextrun FROM pgagent.pga_job")
    restored = new_database("restored")
    restore(dump(conn_42, "-Fc"), restored)
    register(restored)
    assert runs(restored) == [("d", AS_DUMPED)]
    due = "SELECT jobnextrun - %s FROM pgagent.pga_job"
    assert one(restored, due, ran_for) == timedelta(minutes=1)


def test_a_promised_run_keeps_its_id_and_runs_in_the_copy_when_that_is_armed(
    source, copied, overdue
):
    job_id = overdue(5, jobmissed="skip")
    run_id = one(source, "SELECT pgagent.run_job(%s::bigint)", job_id)
    copy = copied()
    assert claim(copy) == []
    arm(copy)
    assert claim(copy) == [(run_id, job_id)]


@pytest.mark.parametrize("options", [["-Fc"], ["-Fp", "--inserts"]], ids=" ".join)
def test_wishes_that_came_during_a_run_in_the_dump_keep_their_ids_and_order(
    source, copied, overdue, options
):
    job_id = overdue(5)
    begin(source)
    ask = "SELECT pgagent.run_job(%s::bigint, %s)"
    (step,) = source.execute("SELECT jstname FROM pgagent.pga_jobstep").fetchone()
    asked = [one(source, ask, job_id, None), one(source, ask, job_id, step)]
    copy = copied(*options)
    assert claim(copy) == []
    arm(copy)
    for run_id in asked:
        assert claim(copy) == [(run_id, job_id)]
        finish_run(copy, run_id)
    assert one(copy, "SELECT count(*) FROM pgagent.pga_jobrequest") == 0
    assert one(copy, "SELECT jobrunid FROM pgagent.pga_job") is None


def test_a_wish_that_came_during_a_run_in_the_dump_is_fulfilled(
    source, copied, overdue
):
    job_id = overdue(5)
    begin(source)
    wish = "date_trunc('minute', now()) - interval '2.5 minutes'"
    source.execute(f"UPDATE pgagent.pga_job SET jobnextrun = {wish}")
    copy = copied()
    arm(copy)
    assert [claimed for _, claimed in claim(copy)] == [job_id]


def test_a_schedule_for_one_run_that_was_under_way_is_over(source, copied):
    source.execute(
        "SELECT pgagent.schedule('once', '@at 2031-01-01 10:00', 'SELECT 1')"
    )
    source.execute(
        "UPDATE pgagent.pga_schedule SET jscat = now() - interval '1 minute';"
        "UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 minute'"
    )
    claim(source)
    copy = copied()
    arm(copy)
    assert claim(copy) == []
    assert one(copy, "SELECT jscenabled FROM pgagent.pga_schedule") is False
    assert one(copy, "SELECT jobnextrun FROM pgagent.pga_job") is None


def test_what_had_ended_at_the_dump_is_not_run_again(source, copied, overdue):
    overdue(5)
    finish_run(source, begin(source))
    copy = copied()
    arm(copy)
    assert 5 not in minutes_made_up(copy, overdue)


@pytest.fixture
def restored(source, new_database, dump, restore, cluster):
    """A restored copy with a job that is due: its session and its connection string."""
    add_job(source, "SELECT 1")
    session = new_database("copied")
    restore(dump(source, "-Fc"), session)
    return session, cluster.conninfo("copied")


def test_a_runner_says_that_it_starts_nothing_and_goes_on_at_once(restored):
    copy, dsn = restored
    with Runner("--lease", "4", dsn) as runner:
        runner.ready().says("this is a copy of the jobs, which are armed in database")
        beats = "SELECT jaglease FROM pgagent.pga_jobagent"
        first = one(copy, beats)
        poll(lambda: one(copy, beats) - first > timedelta(seconds=2))
        assert runner.log.count("this is a copy of the jobs") == 1
        assert runs(copy) == []

        arm(copy)

        assert ended_runs(copy, deadline=2) == "s"
        runner.says("have been armed")
        assert runner.log.count("this is a copy of the jobs") == 1


def test_a_runner_that_is_told_to_arms(restored):
    copy, dsn = restored
    with Runner(*START_ARMED, dsn) as runner:
        assert ended_runs(copy) == "s"
        runner.says('the jobs of database "copied" are armed: 1 of 1 are due')
        assert "this is a copy" not in runner.log


def test_a_runner_tells_the_service_manager_that_it_starts_nothing(restored, tmp_path):
    _, dsn = restored
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        with Runner(dsn, environ={"NOTIFY_SOCKET": str(tmp_path / "notify")}):
            while "READY=1" not in (told := manager.recv(4096).decode()):
                pass
    assert "STATUS=Starts no job: this is a copy of the jobs" in told


def test_a_runner_says_in_one_line_that_it_goes_on(
    source, new_database, dump, restore, administration, cluster
):
    dsn = cluster.conninfo("source")
    source.execute("SELECT pgagent.pga_agent_leave(pg_backend_pid())")
    add_job(source, "SELECT 1", due="now() + interval '1 hour'")
    with Runner("--station", "here", dsn) as runner:
        runner.ready()
    archive = dump(source, "-Fc")
    source.close()
    administration.execute("DROP DATABASE source WITH (FORCE)")
    restored = new_database("source")
    restore(archive, restored)
    restored.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    with Runner("--station", "here", dsn) as runner:
        assert ended_runs(restored) == "s"
        assert runner.log.count("the jobs go on in the place where they are armed") == 1


def test_who_may_not_restore_holds_up_no_jobs_by_the_lock_of_a_restore(
    conn, cluster, administration
):
    job_id = add_job(conn, "SELECT 1")
    register(conn)
    conn.execute("UPDATE pgagent.pga_arming SET armrestored = now()")
    administration.execute("CREATE ROLE pga_bystander LOGIN")
    try:
        dsn = cluster.conninfo(conn.info.dbname)
        with psycopg.connect(dsn, user="pga_bystander", autocommit=True) as bystander:
            bystander.execute("SELECT pg_advisory_lock_shared(742199025, 2)")
            assert one(conn, "SELECT pgagent.pga_unarmed()") is None
            assert [job for _, job in claim(conn)] == [job_id]
    finally:
        administration.execute("DROP ROLE pga_bystander")
