"""What an author of jobs tries who is after more than his level gives him."""

from contextlib import ExitStack, closing, suppress

import psycopg
import pytest
from isolation.conftest import add_complete_job
from jobs import add_job, add_schedule, job

ROLES = """
CREATE ROLE hos_team_a;
CREATE ROLE hos_team_b;
CREATE ROLE hos_ann LOGIN IN ROLE hos_team_a;
CREATE ROLE hos_ben LOGIN IN ROLE hos_team_b;
CREATE ROLE hos_oleg LOGIN IN ROLE hos_team_a;
CREATE ROLE hos_clerk LOGIN;
"""
LEVELS = {"ann": "editor", "ben": "editor", "oleg": "operator", "clerk": "editor"}
RESTORING = "SET check_function_bodies = off; SET row_security = off"
# Triggers alone write the history; but anybody can have triggers, on tables of his own.
FORGE = """
CREATE TEMP TABLE forgery (LIKE pgagent.pga_jobchange);
CREATE FUNCTION pg_temp.forge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pgagent.pga_jobchange (
        jchid, jchjobid, jchobject, jchobjectid, jchaction, jchname, jchdropped, jchold, jchnew)
    VALUES (NEW.jchid, NEW.jchjobid, NEW.jchobject, NEW.jchobjectid, NEW.jchaction, 'x', NEW.jchdropped,
            NEW.jchold, NEW.jchnew);
    RETURN NULL;
END $$;
CREATE TRIGGER forge BEFORE INSERT ON forgery FOR EACH ROW EXECUTE FUNCTION pg_temp.forge();
"""
CHANGES = "SELECT count(*) FROM pgagent.pga_jobchange WHERE jchjobid = %s"


@pytest.fixture(scope="module")
def hostile(cluster):
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as admin:
        admin.execute(ROLES)


@pytest.fixture
def levels(conn, hostile):
    """The catalogue's owner; a role for each of LEVELS, two teams, nothing isolated."""
    for name, level in LEVELS.items():
        conn.execute("SELECT pgagent.grant_access(%s, %s)", [level, f"hos_{name}"])
    conn.execute(f"GRANT TEMPORARY ON DATABASE {conn.info.dbname} TO PUBLIC")
    yield conn
    conn.execute(f"DROP OWNED BY {', '.join(f'hos_{name}' for name in LEVELS)}")


@pytest.fixture
def session_of(levels, dsn):
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(
            closing(psycopg.connect(dsn, user=f"hos_{name}", autocommit=True))
        )


@pytest.fixture
def isolated(levels):
    levels.execute("SELECT pgagent.isolate()")
    return levels


def team_job(conn, team="a"):
    return add_job(
        conn, "SELECT 1", name=f"of {team}", jobowner=f"hos_team_{team}", due=None
    )


def value(session, query, *parameters):
    return session.execute(query, parameters).fetchone()[0]


def refused(session, query, *parameters):
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        session.execute(query, parameters)
    return caught.value.diag.message_primary


def forge(session, **columns):
    """Have a row written into the history, as far as it takes it."""
    if not value(session, "SELECT to_regclass('pg_temp.forgery') IS NOT NULL"):
        session.execute(FORGE)
    columns = {"jchaction": "update", "jchdropped": False} | columns
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    session.execute(
        f"INSERT INTO pg_temp.forgery ({names}) VALUES ({places})",
        list(columns.values()),
    )


def forge_update(session, job_id, what, object_id, old, new="{}"):
    """Have a change of one's own job recorded that never was."""
    session.execute(
        "UPDATE pgagent.pga_job SET jobchanged = now() WHERE jobid = %s", [job_id]
    )
    change = value(
        session, "SELECT jobchangeid FROM pgagent.pga_job WHERE jobid = %s", job_id
    )
    forge(
        session,
        jchid=change,
        jchjobid=job_id,
        jchobject=what,
        jchobjectid=object_id,
        jchold=old,
        jchnew=new,
    )


# The settings of a restore, and of our own functions.


def test_the_settings_of_a_restore_keep_nothing_out_of_the_history(levels, session_of):
    job_id = team_job(levels)
    ann = session_of("ann")
    before = value(levels, CHANGES, job_id)
    ann.execute(RESTORING)
    ann.execute(
        "UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 2' WHERE jstjobid = %s",
        [job_id],
    )
    assert value(levels, CHANGES, job_id) == before + 1


def test_nor_do_they_if_they_are_made_within_the_statement(isolated, session_of):
    """Policies are of the plan, and triggers ask later."""
    job_id = team_job(isolated)
    oleg = session_of("oleg")
    oleg.execute("SET check_function_bodies = off")
    with suppress(psycopg.errors.InsufficientPrivilege):
        oleg.execute(
            """
            INSERT INTO pgagent.pga_jobrequest (jrqid, jrqjobid, jrqvia, jrqat)
            SELECT 4711, j.id, 'run_job', '2001-01-01'
            FROM unnest(ARRAY[%s, NULL]::integer[]) WITH ORDINALITY AS j (id, place)
            WHERE set_config('row_security', CASE j.place WHEN 1 THEN 'off' ELSE 'on' END, false) = 'off'
            """,
            [job_id],
        )
    forged = "SELECT count(*) FROM pgagent.pga_jobrequest WHERE jrqid = 4711"
    assert value(isolated, forged) == 0


@pytest.mark.parametrize("setting", ["pgagent.freeing = 'on'", "pgagent.claims = '7'"])
def test_no_setting_makes_it_look_as_if_a_schedule_had_started_a_job(
    levels, session_of, setting
):
    job_id = team_job(levels)
    oleg = session_of("oleg")
    oleg.execute(f"SET {setting}")
    oleg.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [job_id]
    )
    assert job(levels, job_id, "jobaskedby") == "hos_oleg"


@pytest.mark.parametrize("via", ["schedule", "jobnextrun", "x" * 1000])
def test_a_wish_does_not_say_that_nobody_has_wished(levels, session_of, via):
    job_id = team_job(levels)
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match=r"is not so|has 1000 characters"
    ):
        session_of("oleg").execute(
            "INSERT INTO pgagent.pga_jobrequest (jrqjobid, jrqvia) VALUES (%s, %s)",
            [job_id, via],
        )


def test_who_asks_for_a_cancel_is_said_whatever_is_written(isolated, session_of):
    job_id = add_complete_job(isolated, "etl", "hos_team_a")
    oleg = session_of("oleg")
    said = "SELECT jlgcancel FROM pgagent.pga_joblog WHERE jlgjobid = %s"
    for written in ("cancelled by postgres at noon", None):
        oleg.execute("UPDATE pgagent.pga_joblog SET jlgcancel = %s", [written])
        assert value(isolated, said, job_id).startswith("cancelled by hos_oleg at ")


# The history.


def test_nobody_takes_the_place_of_a_change_that_is_to_come(isolated, session_of):
    own, others = team_job(isolated, "a"), team_job(isolated, "b")
    ann, ben = session_of("ann"), session_of("ben")
    last = value(isolated, "SELECT last_value FROM pgagent.pga_jobchange_jchid_seq")
    for place in range(1, 20):
        forge(
            ann,
            jchid=last + 5 * place,
            jchjobid=own,
            jchdropped=True,
            jchobject="step",
            jchobjectid=1,
            jchaction="delete",
        )
    before = value(isolated, CHANGES, others)
    for text in range(100):
        ben.execute(
            "UPDATE pgagent.pga_jobstep SET jstcode = %s WHERE jstjobid = %s",
            [f"SELECT {text}", others],
        )
    assert value(isolated, CHANGES, others) == before + 100


@pytest.mark.parametrize(
    "old",
    [
        '{"jscminutes": ["soon"]}',
        '{"jscmonthdays": [1, [2], {}]}',
        '{"jschours": {"a": [1]}, "exceptions": "none"}',
        '{"exceptions": [1, "x", null]}',
        '{"class": "x", "jobjclid": "x", "jstkind": [], "jstonerror": {}}',
    ],
)
def test_whatever_is_recorded_of_a_job_the_history_can_be_read(
    isolated, session_of, old
):
    job_id = team_job(isolated)
    forge_update(session_of("ann"), job_id, "schedule", 1, old, old)
    assert isolated.execute("SELECT * FROM pgagent.job_changes").fetchall()


@pytest.mark.parametrize("old", ['"x"', "[1]", "null"])
def test_what_are_no_columns_is_not_recorded(isolated, session_of, old):
    job_id = team_job(isolated)
    ann = session_of("ann")
    said = pytest.raises(psycopg.errors.InsufficientPrivilege, match="by triggers only")
    with said:
        forge_update(ann, job_id, "schedule", 1, old)


def test_a_job_is_not_reverted_to_what_would_be_more_than_its_authors(
    isolated, session_of
):
    """Somebody who may do more than they goes back to what they say it was."""
    own, others = team_job(isolated, "a"), add_job(isolated, "SELECT 1", due=None)
    schedule, foreign = add_schedule(isolated, own), add_schedule(isolated, others)
    (step,) = isolated.execute(
        "SELECT jstid FROM pgagent.pga_jobstep WHERE jstjobid = %s", [own]
    ).fetchone()
    (exception,) = isolated.execute(
        "INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES (%s, '2040-01-01') RETURNING jexid",
        [schedule],
    ).fetchone()
    noted = value(isolated, "SELECT clock_timestamp()")
    ann = session_of("ann")
    forge_update(ann, own, "job", own, '{"jobowner": null, "jobnextrun": "2001-01-01"}')
    forge_update(ann, own, "job", 4711, '{"jobname": "nobody\'s", "jobjclid": 1}')
    forge_update(ann, own, "step", step, f'{{"jstjobid": {others}}}')
    forge_update(ann, own, "exception", exception, f'{{"jexscid": {foreign}}}')
    forge_update(
        ann, own, "exception", 999, f'{{"jexscid": {foreign}, "jexdate": "2040-01-01"}}'
    )

    said = []
    isolated.add_notice_handler(lambda notice: said.append(notice.message_primary))
    isolated.execute("SELECT pgagent.revert_job(%s, as_of => %s)", [own, noted])

    assert said == [
        'pgagent: job "x" does not get another owner',
        'pgagent: an exception of schedule "x" does not come back',
        'pgagent: an exception of schedule "x" does not come back',
    ]
    assert job(isolated, own, "jobowner") == "hos_team_a"
    assert value(isolated, "SELECT count(*) FROM pgagent.pga_job") == 2
    assert value(
        isolated, "SELECT count(*) FROM pgagent.pga_jobstep WHERE jstjobid = %s", own
    )
    places = "SELECT DISTINCT jexscid FROM pgagent.pga_exception"
    assert isolated.execute(places).fetchall() == [(schedule,)]


def test_an_owner_comes_back_who_has_owned_the_job(isolated):
    job_id = team_job(isolated, "a")
    noted = value(isolated, "SELECT clock_timestamp()")
    isolated.execute("UPDATE pgagent.pga_job SET jobowner = 'hos_team_b'")
    isolated.execute("SELECT pgagent.revert_job(%s, as_of => %s)", [job_id, noted])
    assert job(isolated, job_id, "jobowner") == "hos_team_a"
    isolated.execute("UPDATE pgagent.pga_job SET jobowner = NULL")
    isolated.execute("SELECT pgagent.drop_job(%s)", [job_id])
    isolated.execute("SELECT pgagent.revert_job(%s, as_of => %s)", [job_id, noted])
    assert job(isolated, job_id, "jobowner") == "hos_team_a"


def test_a_role_that_is_made_anew_does_not_see_what_another_did_under_its_name(
    isolated, cluster, session_of
):
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as admin:
        admin.execute("CREATE ROLE hos_passing; GRANT hos_passing TO hos_ann")
        team_jobs = add_job(isolated, "SELECT 1", jobowner="hos_passing", due=None)
        seen = "SELECT count(*) FROM pgagent.{} WHERE {} = %s"
        ann = session_of("ann")
        places = {"pga_jobchange": "jchjobid", "job_changes": "job_id"}
        for table, column in places.items():
            assert value(ann, seen.format(table, column), team_jobs)
        admin.execute("DROP ROLE hos_passing; CREATE ROLE hos_passing")
        admin.execute("GRANT hos_passing TO hos_ann")
        for table, column in places.items():
            assert not value(ann, seen.format(table, column), team_jobs)
        admin.execute("DROP ROLE hos_passing")


@pytest.mark.parametrize("is_isolated", [False, True])
def test_an_editor_has_a_job_back_that_he_has_deleted(levels, session_of, is_isolated):
    if is_isolated:
        levels.execute("SELECT pgagent.isolate()")
    ann = session_of("ann")
    job_id = value(ann, "SELECT pgagent.schedule('etl', '@daily', 'SELECT 1')")
    created = job(levels, job_id, "jobcreated")
    noted = value(ann, "SELECT clock_timestamp()")
    ann.execute("SELECT pgagent.drop_job('etl')")
    ann.execute("SELECT pgagent.revert_job('etl', as_of => %s)", [noted])
    assert job(levels, job_id, "jobcreated") == created
    assert value(ann, "SELECT command FROM pgagent.job") == "SELECT 1"


@pytest.mark.parametrize(
    "row",
    [
        "pga_job (jobid, jobjclid, jobname) VALUES (4711, 1, 'x')",
        (
            "pga_jobstep (jstid, jstjobid, jstname, jstkind, jstcode, jstdbname)"
            " VALUES (4711, 1, 'x', 's', 'SELECT 1', 'x')"
        ),
        "pga_schedule (jscid, jscjobid, jscname) VALUES (4711, 1, 'x')",
        "pga_exception (jexid, jexscid, jexdate) VALUES (4711, 1, '2040-01-01')",
    ],
)
def test_nobody_takes_the_number_that_another_will_draw(levels, session_of, row):
    add_schedule(levels, team_job(levels))
    table = row.split()[0]
    said = pytest.raises(
        psycopg.errors.InvalidParameterValue, match="is still to be drawn"
    )
    with said:
        session_of("ann").execute(f"INSERT INTO pgagent.{row}")
    levels.execute(f"INSERT INTO pgagent.{row}")
    assert value(levels, f"SELECT count(*) FROM pgagent.{table}")


# Steps.


@pytest.mark.needs("grant_options")
def test_who_inherits_from_a_team_and_may_not_become_it_writes_none_of_its_steps(
    isolated, session_of
):
    """Or else he would become it by a step: that may use what only the team may be."""
    isolated.execute(
        "GRANT hos_team_b TO hos_clerk WITH ADMIN FALSE, INHERIT TRUE, SET FALSE"
    )
    job_id = team_job(isolated, "b")
    clerk = session_of("clerk")
    code = "UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 2' WHERE jstjobid = %s"
    said = '"hos_clerk" may not write steps of a job of "hos_team_b"'
    assert said in refused(clerk, code, job_id)
    add = """
        INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)
        VALUES (%s, 'x', 's', 'SELECT 1', 'postgres')"""
    assert said in refused(clerk, add, job_id)
    assert value(clerk, "SELECT pgagent.run_job(%s::bigint)", job_id)

    own = add_job(clerk, "SELECT 1", due=None)
    run_as = (
        "UPDATE pgagent.pga_jobstep SET jstrunas = 'hos_team_b' WHERE jstjobid = %s"
    )
    assert "hos_team_b" in refused(clerk, run_as, own)
    # An administrator has done so: the text is his to write from now on.
    isolated.execute(run_as, [own])
    assert "hos_team_b" in refused(clerk, code, own)
    isolated.execute("REVOKE hos_team_b FROM hos_clerk")


def test_who_sees_all_jobs_and_edits_some_reads_no_connection_string_of_others(
    isolated, session_of
):
    string = {"jstcode": "SELECT 1", "jstconnstr": "host=b password=secret"}
    theirs = add_job(
        isolated, "SELECT 1", string, jobowner="hos_team_b", due=None, name="theirs"
    )
    own = add_job(isolated, string, jobowner="hos_team_a", due=None, name="own")
    isolated.execute("SELECT pgagent.grant_access('reader', 'hos_ann')")
    ann = session_of("ann")
    read = "SELECT jstconnstr FROM pgagent.pga_jobstep WHERE jstjobid = %s"
    assert ann.execute(read, [own]).fetchall() == [("host=b password=secret",)]
    assert ann.execute(read, [theirs]).fetchall() == [("",)]
    steps = "SELECT count(*) FROM pgagent.steps WHERE job_id = %s"
    assert value(ann, steps, theirs) == 2
