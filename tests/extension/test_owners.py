"""Whose jobs are, as which roles steps may run, and who gets a ticket for that."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, add_step, batch, job
from support import poll
from transitions import claim, register

SALT = "aW9FRJJ3pCVl5xjo8XCs5g=="
KEY = "/5JVlfBmkMlAWG6JjlY9zyr3bQuwqG4MxWAiFvtUvEI="
VERIFIER = f"SCRAM-SHA-256$4096:{SALT}${KEY}:{KEY}"
TICKET = "SELECT login, rasby FROM pgagent.pga_login_ticket(%s, %s, %s)"
ROLES = ["team", "member", "stranger", "boss", "runner", "renamed", "keeper"]
PLANTED = (
    "CREATE FUNCTION pgagent.planted() RETURNS void LANGUAGE sql AS '';"
    "ALTER FUNCTION pgagent.planted() OWNER TO stranger"
)
LOGIN_OF = "SELECT login FROM pgagent.run_as_roles WHERE role = %s"


@pytest.fixture
def roles(administration):
    """Roles: team, whose member is member, and others beside them."""
    administration.execute("""
        CREATE ROLE team; CREATE ROLE member LOGIN IN ROLE team; CREATE ROLE stranger LOGIN;
        CREATE ROLE boss SUPERUSER; CREATE ROLE runner LOGIN; CREATE ROLE keeper LOGIN""")
    yield administration
    made = administration.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) OR rolname ~ '^pgagent_as_'",
        [ROLES],
    ).fetchall()
    administration.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY (%s)",
        [[name for (name,) in made]],
    )
    for (name,) in made:
        administration.execute(f'DROP ROLE "{name}"')


@pytest.fixture
def conn(roles, conn):
    """A superuser's session with a catalogue that roles may use, and write jobs in."""
    conn.execute(f"""
        GRANT USAGE ON SCHEMA pgagent TO PUBLIC;
        GRANT SELECT, INSERT, UPDATE ON pgagent.pga_job, pgagent.pga_jobstep TO PUBLIC;
        GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO PUBLIC;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO PUBLIC;
        GRANT SELECT, INSERT ON pgagent.pga_arming TO PUBLIC;
        GRANT ALL ON DATABASE {conn.info.dbname} TO PUBLIC""")
    yield conn
    owned = """
        REASSIGN OWNED BY stranger TO postgres;
        DROP OWNED BY team, member, stranger, boss, runner, keeper"""
    if (
        not conn.closed
        and not conn.execute("SELECT to_regrole('renamed')").fetchone()[0]
    ):
        conn.execute(owned)


@pytest.fixture
def session_of(cluster, conn):
    """Open sessions of roles: `session_of("member")`."""
    opened = []

    def open_session(role):
        conninfo = cluster.conninfo(conn.info.dbname)
        opened.append(psycopg.connect(conninfo, user=role, autocommit=True))
        return opened[-1]

    yield open_session
    for session in opened:
        session.close()


@pytest.fixture
def agent(conn, dsn):
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        register(session)
        yield session


def value(session, query, *parameters):
    return session.execute(query, parameters).fetchone()[0]


def refused(session, query, *parameters):
    """Return the SQLSTATE and the first line of what is raised."""
    with pytest.raises(psycopg.Error) as caught:
        session.execute(query, parameters)
    return caught.value.sqlstate, caught.value.diag.message_primary or ""


def refusal(conn, job_id):
    """Return why the steps of a job must not run."""
    rows = conn.execute(
        "SELECT pgagent.pga_step_refusal(j, s) FROM pgagent.pga_job AS j"
        " JOIN pgagent.pga_jobstep AS s ON s.jstjobid = j.jobid WHERE j.jobid = %s",
        [job_id],
    ).fetchall()
    return rows[0][0] if rows else None


# Pairs.


def test_an_owner_gets_the_id_of_his_name_whatever_is_written_beside_it(conn):
    job_id = add_job(conn, "SELECT 1", jobowner="team", jobownerid=10)
    assert job(conn, job_id, "jobownerid::regrole::text") == "team"
    conn.execute("UPDATE pgagent.pga_job SET jobownerid = 10")
    assert job(conn, job_id, "jobownerid::regrole::text") == "team"
    conn.execute("UPDATE pgagent.pga_job SET jobowner = NULL")
    assert job(conn, job_id, "jobownerid") is None
    conn.execute("UPDATE pgagent.pga_job SET jobownerid = 10")
    assert job(conn, job_id, "jobownerid") is None


def test_a_role_to_run_as_gets_the_id_of_its_name(conn):
    job_id = add_job(conn, due=None)
    step = add_step(
        conn,
        job_id,
        {"jstcode": "SELECT 1", "jstrunas": "team", "jstrunasid": 10},
    )
    pair = "SELECT jstrunasid::regrole::text FROM pgagent.pga_jobstep WHERE jstid = %s"
    assert value(conn, pair, step) == "team"
    conn.execute("UPDATE pgagent.pga_jobstep SET jstrunas = NULL, jstrunasid = 10")
    assert value(conn, pair, step) is None


WRITTEN = {
    "pga_job SET jobowner": "pga_job.jobowner",
    "pga_jobstep SET jstrunas": "pga_jobstep.jstrunas",
}


@pytest.mark.parametrize("column", WRITTEN)
@pytest.mark.parametrize(
    ("role", "sqlstate", "message"),
    [
        ("nobody", "42704", 'there is no role "nobody"'),
        ("TEAM", "42704", 'there is no role "TEAM"'),
        ("boss", "22023", '"boss" is a superuser, or a member of one'),
        ("stranger", "42501", '"member" is no member of "stranger"'),
    ],
)
def test_a_role_that_the_writer_can_not_become_is_refused(
    conn, session_of, column, role, sqlstate, message
):
    add_job(conn, "SELECT 1", due=None)
    member = session_of("member")
    member.execute(f"UPDATE pgagent.{column} = 'team'")
    assert refused(member, f"UPDATE pgagent.{column} = %s", role) == (
        sqlstate,
        f"pgagent: {WRITTEN[column]}: {message}",
    )


def test_a_member_of_a_superuser_is_refused_like_one(conn, roles):
    roles.execute("GRANT boss TO member")
    add_job(conn, "SELECT 1", due=None)
    assert refused(conn, "UPDATE pgagent.pga_job SET jobowner = 'member'") == (
        "22023",
        'pgagent: pga_job.jobowner: "member" is a superuser, or a member of one',
    )


@pytest.mark.needs("grant_options")
def test_a_membership_without_set_role_is_none(conn, roles, session_of):
    roles.execute("GRANT team TO stranger WITH ADMIN FALSE, INHERIT FALSE, SET FALSE")
    add_job(conn, "SELECT 1", due=None)
    query = "UPDATE pgagent.pga_job SET jobowner = 'team'"
    assert refused(session_of("stranger"), query)[0] == "42501"


def test_the_settings_of_a_restore_let_nobody_write_a_role_that_is_not_his(
    conn, session_of
):
    add_job(conn, "SELECT 1", due=None)
    stranger = session_of("stranger")
    stranger.execute("SET check_function_bodies = off; SET row_security = off")
    assert stranger.execute("SELECT pgagent.pga_restoring()").fetchone() == (True,)
    for column in WRITTEN:
        assert refused(stranger, f"UPDATE pgagent.{column} = 'team'")[0] == "42501"
        assert refused(stranger, f"UPDATE pgagent.{column} = 'gone'")[0] == "42704"


def test_a_job_with_an_owner_who_is_gone_can_be_edited_and_given_another(conn, roles):
    conn.execute("SELECT pgagent.create_job('etl', owner => 'keeper')")
    roles.execute("ALTER ROLE keeper RENAME TO renamed")
    conn.execute("SELECT pgagent.alter_job('etl', description => 'x')")
    assert refused(conn, "SELECT pgagent.alter_job('etl', owner => 'keeper')")[0] == (
        "42704"
    )
    conn.execute("SELECT pgagent.alter_job('etl', owner => 'renamed')")
    pair = "SELECT jobownerid = 'renamed'::regrole FROM pgagent.pga_job"
    assert value(conn, pair)


def test_an_owner_who_was_made_anew_is_taken_when_he_is_written_again(conn, roles):
    conn.execute("SELECT pgagent.create_job('etl', owner => 'keeper')")
    conn.execute("SELECT pgagent.add_step('etl', '1', 'SELECT 1')")
    conn.execute("DROP OWNED BY keeper")
    roles.execute("DROP ROLE keeper; CREATE ROLE keeper")
    conn.execute("SELECT pgagent.allow_run_as('keeper')")
    job_id = value(conn, "SELECT jobid FROM pgagent.pga_job")
    assert "it has been made since" in refusal(conn, job_id)
    conn.execute("SELECT pgagent.alter_job('etl', owner => 'keeper')")
    assert refusal(conn, job_id) is None


# The arguments of functions.


def test_functions_take_owner_and_role(conn):
    conn.execute("SELECT pgagent.create_job('etl', owner => 'team')")
    conn.execute(
        "SELECT pgagent.add_step('etl', '1', 'SELECT 1', run_as => 'stranger')"
    )
    assert conn.execute(
        "SELECT jobowner, jstrunas FROM pgagent.pga_job, pgagent.pga_jobstep"
    ).fetchone() == ("team", "stranger")
    conn.execute("SELECT pgagent.alter_job('etl', owner => 'member')")
    assert value(conn, "SELECT jobowner FROM pgagent.pga_job") == "member"
    conn.execute("SELECT pgagent.alter_job('etl', owner => '')")
    assert value(conn, "SELECT jobowner FROM pgagent.pga_job") is None


def test_the_username_of_pg_cron_is_the_owner(conn):
    schedule = "SELECT pgagent.schedule_in_database('x', '@daily', 'SELECT 1', current_database(), %s)"
    for user in ("member", "team"):
        conn.execute(schedule, [user])
        shown = conn.execute("SELECT username FROM pgagent.job").fetchall()
        assert shown == [(user,)]
    conn.execute("SELECT pgagent.alter_job('x', username => 'member')")
    assert value(conn, "SELECT jobowner FROM pgagent.pga_job") == "member"


def test_a_superuser_who_names_himself_as_pg_cron_does_gets_a_job_without_owner(conn):
    notices = []
    conn.add_notice_handler(
        lambda diagnostic: notices.append(diagnostic.message_primary)
    )
    conn.execute(
        "SELECT pgagent.schedule_in_database('x', '@daily', 'SELECT 1', 'db', current_user::text)"
    )
    assert value(conn, "SELECT jobowner FROM pgagent.pga_job") is None
    (notice,) = notices
    assert notice == (
        "pgagent: the job has no owner, and runs with the login of the runner: "
        '"postgres" is a superuser'
    )


@pytest.mark.parametrize(
    ("call", "sqlstate", "message"),
    [
        (
            "alter_job('etl', owner => 'team', username => 'member')",
            "22023",
            'pgagent: alter_job(owner, username): two owners: "team" and "member"',
        ),
        (
            "create_job('x', owner => repeat('x', 64))",
            "22023",
            f'pgagent: create_job(owner): "{"x" * 64}" is too long',
        ),
        (
            "add_step('etl', '1', 'SELECT 1', run_as => repeat('x', 64))",
            "22023",
            f'pgagent: add_step(run_as): "{"x" * 64}" is too long',
        ),
        (
            "create_job('x', owner => 'nobody')",
            "42704",
            'pgagent: pga_job.jobowner: there is no role "nobody"',
        ),
        (
            "allow_run_as('nobody')",
            "42704",
            'pgagent: allow_run_as(role): there is no role "nobody"',
        ),
        (
            "allow_run_as('boss')",
            "22023",
            'pgagent: allow_run_as(role): "boss" is a superuser, or a member of one',
        ),
        (
            "allow_run_as('team', by => 'peer')",
            "22023",
            'pgagent: allow_run_as(by): "peer" is not known',
        ),
        (
            "allow_run_as('team', by => NULL)",
            "22023",
            'pgagent: allow_run_as(by): "" is not known',
        ),
        (
            "allow_run_as('team', by => 'login')",
            "22023",
            'pgagent: allow_run_as(by): "team" may not log in',
        ),
        (
            "allow_run_as('pgagent_as_1_2')",
            "22023",
            'pgagent: allow_run_as(role): "pgagent_as_1_2" is a login of pgagent',
        ),
        (
            "disallow_run_as('team')",
            "42704",
            'pgagent: disallow_run_as(role): no step may run as "team" anyway',
        ),
    ],
)
def test_what_is_wrong_is_refused_in_words(conn, call, sqlstate, message):
    conn.execute("SELECT pgagent.create_job('etl')")
    conn.execute("CREATE ROLE pgagent_as_1_2")
    assert refused(conn, f"SELECT pgagent.{call}") == (sqlstate, message)


# Allowing.


def test_a_ticket_is_by_a_login_that_can_only_become_the_role(conn, session_of):
    login = value(conn, "SELECT pgagent.allow_run_as('team')")
    shown = "SELECT role, by, login, allowed_by, problem FROM pgagent.run_as_roles"
    assert conn.execute(shown).fetchone() == ("team", "ticket", login, "postgres", None)
    assert conn.execute(
        "SELECT rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,"
        " rolreplication, rolbypassrls, rolpassword FROM pg_authid WHERE rolname = %s",
        [login],
    ).fetchone() == (False, False, False, False, True, False, False, None)
    conn.execute("CREATE TABLE of_team (); ALTER TABLE of_team OWNER TO team")
    session = session_of(login)
    assert refused(session, "TABLE of_team")[0] == "42501"
    assert refused(session, "SET ROLE member")[0] == "42501"
    session.execute("SET ROLE team")
    session.execute("TABLE of_team")
    session.execute("RESET ROLE")
    assert refused(session, "TABLE of_team")[0] == "42501"


def test_to_allow_again_mends_what_is_amiss(conn, roles):
    login = value(conn, "SELECT pgagent.allow_run_as('team')")
    problem = "SELECT problem FROM pgagent.run_as_roles"
    for harm, words in {
        f"ALTER ROLE {login} NOLOGIN": "may not log in",
        f"ALTER ROLE {login} INHERIT": "has rights of its own",
        f"REVOKE team FROM {login}": 'is not a member of "team" alone',
        f"DROP ROLE {login}": f'there is no role "{login}"',
    }.items():
        roles.execute(harm)
        assert words in value(conn, problem)
        assert value(conn, "SELECT pgagent.allow_run_as('team')") == login
        assert value(conn, problem) is None
    roles.execute(f"ALTER ROLE {login} SET role = 'team'")
    roles.execute(f"ALTER ROLE {login} IN DATABASE postgres SET role = 'team'")
    conn.execute("SELECT pgagent.allow_run_as('team')")
    setting = "SELECT count(*) FROM pg_db_role_setting WHERE setrole = %s::regrole"
    assert value(conn, setting, login) == 0
    roles.execute(f"GRANT stranger TO {login}")
    assert refused(conn, "SELECT pgagent.allow_run_as('team')") == (
        "55000",
        'pgagent: allow_run_as(role): no runner could become "team"',
    )


@pytest.mark.parametrize(
    "harm",
    [
        "ALTER ROLE {login} CREATEROLE",
        "ALTER ROLE {login} CREATEDB",
        "ALTER ROLE {login} SUPERUSER",
        "ALTER ROLE {login} BYPASSRLS",
        "ALTER ROLE {login} REPLICATION",
        "GRANT stranger TO {login}",
        "ALTER ROLE team SUPERUSER",
        "GRANT boss TO team",
        "ALTER ROLE {login} RENAME TO renamed",
        "ALTER ROLE team RENAME TO renamed",
    ],
)
def test_a_login_or_role_that_has_gained_something_gets_no_ticket(
    conn, agent, roles, harm
):
    login = value(conn, "SELECT pgagent.allow_run_as('team')")
    run_id = run_of(conn, agent)
    agent.execute(TICKET, [run_id, "team", VERIFIER])
    roles.execute(harm.format(login=login))
    assert refused(agent, TICKET, run_id, "team", VERIFIER)[0] == "42501"


def test_the_means_can_be_changed(conn, roles):
    login = value(conn, "SELECT pgagent.allow_run_as('member')")
    assert (
        value(conn, "SELECT pgagent.allow_run_as('member', by => 'login')") == "member"
    )
    assert value(conn, "SELECT to_regrole(%s)", login) is None
    assert value(conn, "SELECT pgagent.allow_run_as('member')") == login
    conn.execute("SELECT pgagent.disallow_run_as('member')")
    assert value(conn, "SELECT to_regrole(%s)", login) is None
    assert value(conn, "SELECT to_regrole('member')::text") == "member"
    conn.execute("SELECT pgagent.allow_run_as('member', by => 'login')")
    conn.execute("SELECT pgagent.disallow_run_as('member')")
    assert value(conn, "SELECT to_regrole('member')::text") == "member"


def test_to_disallow_ends_the_sessions_and_says_what_it_can_not_do(conn, session_of):
    notices = []
    conn.add_notice_handler(
        lambda diagnostic: notices.append(
            (diagnostic.message_primary, diagnostic.message_detail)
        )
    )
    login = value(conn, "SELECT pgagent.allow_run_as('team')")
    session = session_of(login)
    conn.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    session.execute("CREATE TABLE public.left_behind ()")
    assert value(conn, "SELECT pgagent.disallow_run_as('team')")
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
    assert poll(lambda: value(conn, sessions, login) == 0)
    ((message, detail),) = notices
    ending = "stays, and can't log in any more"
    assert message == f'pgagent: the login "{login}" {ending}'
    assert "owner of table public.left_behind" in detail
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        session_of(login)
    assert conn.execute("TABLE pgagent.run_as_roles").fetchall() == []
    conn.execute(f"DROP OWNED BY {login}")
    assert value(conn, "SELECT pgagent.allow_run_as('team')") == login


NAME_OF = """
    SELECT format('pgagent_as_%%s_%%s', 'team'::regrole::oid, d.oid) FROM pg_database AS d
    WHERE d.datname = current_database()"""


def test_a_login_that_somebody_has_made_before_is_made_anew(conn, roles, session_of):
    """He may know its password, be its member, have it administered, or a session."""
    name = value(conn, NAME_OF)
    roles.execute(
        f"CREATE ROLE {name} LOGIN PASSWORD 'known'; GRANT {name} TO stranger"
    )
    used = session_of(name)
    login = value(conn, "SELECT pgagent.allow_run_as('team')")
    assert login == name
    assert (
        value(conn, "SELECT rolpassword FROM pg_authid WHERE rolname = %s", name)
        is None
    )
    stranger = session_of("stranger")
    for session in (used, stranger):
        with pytest.raises(psycopg.Error):
            session.execute("SET ROLE team")


@pytest.mark.needs("grant_options")
def test_a_login_of_somebody_else_that_can_not_be_dropped_is_refused(
    conn, roles, session_of
):
    conn.execute("""
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO keeper;
        GRANT ALL ON pgagent.pga_run_as TO keeper""")
    roles.execute("ALTER ROLE keeper CREATEROLE; ALTER ROLE stranger CREATEROLE")
    roles.execute("GRANT team TO keeper WITH ADMIN OPTION")
    name = value(conn, NAME_OF)
    session_of("stranger").execute(f"CREATE ROLE {name} LOGIN PASSWORD 'known'")
    keeper = session_of("keeper")
    assert refused(keeper, "SELECT pgagent.allow_run_as('team')") == (
        "55000",
        (
            f'pgagent: allow_run_as(by): the role "{name}"'
            " is there, and was not made by allow_run_as()"
        ),
    )
    assert value(conn, "SELECT pgagent.allow_run_as('team')") == name
    with pytest.raises(psycopg.Error):
        session_of("stranger").execute(f"ALTER ROLE {name} PASSWORD 'known'")


def test_what_a_step_has_set_for_its_login_is_gone_for_the_next_session(
    conn, agent, session_of
):
    login = value(conn, "SELECT pgagent.allow_run_as('team')")
    run_id = run_of(conn, agent)
    session = session_of(login)
    session.execute("ALTER ROLE CURRENT_USER SET search_path = evil, pg_catalog")
    session.execute(
        f"ALTER ROLE CURRENT_USER IN DATABASE {conn.info.dbname} SET statement_timeout = 1"
    )
    agent.execute(TICKET, [run_id, "team", VERIFIER])
    setting = "SELECT count(*) FROM pg_db_role_setting WHERE setrole = %s::regrole"
    assert value(conn, setting, login) == 0


def test_a_login_that_was_given_away_is_of_no_use_until_it_is_taken_back(
    conn, agent, roles, session_of
):
    """Up to PostgreSQL 14 a step can do so, as its login: others become the role then."""
    login = value(conn, "SELECT pgagent.allow_run_as('team')")
    run_id = run_of(conn, agent)
    job_id = value(conn, "SELECT max(jobid) FROM pgagent.pga_job")
    agent.execute(TICKET, [run_id, "team", VERIFIER])
    roles.execute(f"GRANT {login} TO stranger")
    said = f'the login "{login}" was given to stranger'
    assert value(conn, "SELECT problem FROM pgagent.run_as_roles") == said
    assert said in refusal(conn, job_id)
    assert refused(agent, TICKET, run_id, "team", VERIFIER)[0] == "42501"
    conn.execute("SELECT pgagent.allow_run_as('team')")
    agent.execute(TICKET, [run_id, "team", VERIFIER])
    with pytest.raises(psycopg.Error):
        session_of("stranger").execute("SET ROLE team")


def test_a_row_that_names_another_role_drops_nobody(conn):
    conn.execute("SELECT pgagent.allow_run_as('team')")
    conn.execute("UPDATE pgagent.pga_run_as SET raslogin = 'stranger'")
    conn.execute("SELECT pgagent.disallow_run_as('team')")
    assert value(conn, "SELECT to_regrole('stranger')::text") == "stranger"


def test_a_copy_leaves_the_login_of_the_original_alone(
    conn, new_database, dump, restore
):
    logins = {
        role: value(conn, "SELECT pgagent.allow_run_as(%s)", role)
        for role in ("team", "member")
    }
    copy = new_database("copied")
    restore(dump(conn, "-Fc", "--no-privileges"), copy)
    own = value(copy, "SELECT pgagent.allow_run_as('team')")
    copy.execute("SELECT pgagent.disallow_run_as('member')")
    assert own not in logins.values()
    shown = "SELECT role, login, problem FROM pgagent.run_as_roles"
    assert {row[:2] for row in conn.execute(shown)} == set(logins.items())
    assert {row[2] for row in conn.execute(shown)} == {None}


def test_who_may_not_make_roles_allows_logins_at_most(conn, session_of):
    conn.execute("""
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO keeper;
        GRANT ALL ON pgagent.pga_run_as TO keeper""")
    keeper = session_of("keeper")
    assert refused(keeper, "SELECT pgagent.allow_run_as('team')") == (
        "42501",
        'pgagent: allow_run_as(by): "keeper" may not make a login',
    )
    keeper.execute("SELECT pgagent.allow_run_as('stranger', by => 'login')")
    conn.execute("SELECT pgagent.allow_run_as('team')")
    notices = []
    keeper.add_notice_handler(
        lambda diagnostic: notices.append(diagnostic.message_primary)
    )
    keeper.execute("SELECT pgagent.disallow_run_as('team')")
    (notice,) = notices
    assert notice.startswith('pgagent: the login "pgagent_as_')
    assert notice.endswith('" stays as it is')


def test_who_may_make_roles_and_end_no_sessions_says_so(conn, roles, session_of):
    conn.execute("""
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO keeper;
        GRANT ALL ON pgagent.pga_run_as TO keeper""")
    roles.execute("ALTER ROLE keeper CREATEROLE")
    roles.execute("GRANT team TO keeper WITH ADMIN OPTION")
    keeper = session_of("keeper")
    login = value(keeper, "SELECT pgagent.allow_run_as('team')")
    used = session_of(login)
    notices = []
    keeper.add_notice_handler(
        lambda diagnostic: notices.append(
            (diagnostic.message_primary, diagnostic.message_detail)
        )
    )
    keeper.execute("SELECT pgagent.disallow_run_as('team')")
    assert notices == [
        (
            f'pgagent: sessions of the login "{login}" go on',
            f'"keeper" may not end them; their process ids are {used.info.backend_pid}.',
        )
    ]
    assert value(conn, "SELECT to_regrole(%s)", login) is None


def test_an_ordinary_owner_of_the_catalogue_has_no_tickets_without_createrole(
    conn, roles, cluster, new_database
):
    theirs = new_database("theirs", "keeper")
    theirs.execute("CREATE EXTENSION pgagent")
    with pytest.raises(psycopg.Error) as caught:
        theirs.execute("SELECT pgagent.allow_run_as('team')")
    assert caught.value.diag.message_primary == (
        "pgagent: allow_run_as(by): there are no tickets here"
    )
    detail = caught.value.diag.message_detail or ""
    assert "is neither a superuser nor has CREATEROLE" in detail
    assert (
        value(theirs, "SELECT pgagent.allow_run_as('member', by => 'login')")
        == "member"
    )
    roles.execute("ALTER ROLE keeper CREATEROLE")
    roles.execute("GRANT team TO keeper WITH ADMIN OPTION")
    with psycopg.connect(cluster.conninfo("theirs"), user="keeper") as again:
        login = value(again, "SELECT pgagent.allow_run_as('team')")
    job_id = add_job(theirs, "SELECT 1", jobowner="team")
    assert refusal(theirs, job_id) is None
    register(theirs)
    ((run_id, _),) = claim(theirs)
    assert theirs.execute(TICKET, [run_id, "team", VERIFIER]).fetchone() == (
        login,
        "ticket",
    )
    roles.execute("ALTER ROLE keeper NOCREATEROLE")
    assert "nor has CREATEROLE" in refusal(theirs, job_id)
    assert refused(theirs, TICKET, run_id, "team", VERIFIER)[0] == "42501"


# Refusals.


def run_of(conn, agent, *steps, owner="team", role=None, **columns):
    """Make a job of this owner, with one step; claim it and return the run's id."""
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL, jobenabled = false")
    job_id = add_job(
        conn,
        *steps or ({"jstcode": "SELECT 1", "jstrunas": role} | columns,),
        jobowner=owner,
    )
    ((run_id, claimed),) = claim(agent)
    assert claimed == job_id
    return run_id


REFUSALS = {
    "no step may run as": ({}, ""),
    "is called": ({}, "ALTER ROLE team RENAME TO renamed"),
    "is a superuser, or a member of one": ({}, "ALTER ROLE team SUPERUSER"),
    'the owner "member" of the job may not become "team"': (
        {"owner": "member", "jstrunas": "team"},
        "REVOKE team FROM member",
    ),
    "an atomic step can't run as": ({"jstmode": "atomic"}, ""),
    "the step has a connection string": (
        {"jstconnstr": "dbname=x", "jstrunas": "team"},
        "",
    ),
    '"keeper" may not have batch steps': (
        batch("true", owner="keeper"),
        "REVOKE EXECUTE ON FUNCTION pgagent.pga_may_use_batch() FROM PUBLIC",
    ),
    '"keeper" may not have steps with a connection string': (
        {"jstconnstr": "dbname=x", "owner": "keeper"},
        "REVOKE EXECUTE ON FUNCTION pgagent.pga_may_use_conninfo() FROM PUBLIC",
    ),
}


@pytest.fixture
def rights(conn):
    """The two functions that the right to batch steps and connection strings is."""
    for name in ("pga_may_use_batch", "pga_may_use_conninfo"):
        conn.execute(
            f"CREATE OR REPLACE FUNCTION pgagent.{name}() RETURNS void LANGUAGE sql AS ''"
        )


@pytest.mark.usefixtures("rights")
@pytest.mark.parametrize("words", REFUSALS)
def test_a_step_that_must_not_run_comes_with_the_reason(conn, agent, words):
    columns, harm = REFUSALS[words]
    columns = {"jstcode": "SELECT 1"} | columns
    owner = columns.pop("owner", "team")
    job_id = add_job(conn, columns, jobowner=owner, name="etl")
    if harm:
        conn.execute(harm)
    assert words in refusal(conn, job_id)
    assert words in value(conn, "SELECT problem FROM pgagent.job_status")
    explained = (
        "SELECT ok, detail FROM pgagent.explain_job('etl') WHERE gate = 'run as'"
    )
    ok, detail = conn.execute(explained).fetchone()
    assert not ok
    assert words in detail
    (row,) = claim_rows_of(agent)
    assert words in row["step_refusal"]


def claim_rows_of(agent):
    query = "SELECT * FROM pgagent.pga_run_claim(pg_backend_pid(), 10, 60)"
    cursor = agent.execute(query)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor][:-1]


def test_a_claim_says_as_whom_steps_run(conn, agent):
    for role in ("team", "member"):
        conn.execute("SELECT pgagent.allow_run_as(%s)", [role])
    add_job(
        conn,
        "SELECT 1",
        {"jstcode": "SELECT 1", "jstrunas": "team"},
        batch("true"),
        {"jstcode": "SELECT 1", "jstconnstr": "dbname=x"},
        jobowner="member",
        due="now() - interval '1 second'",
    )
    add_job(conn, "SELECT 1", {"jstcode": "SELECT 1", "jstrunas": "team"})
    rows = claim_rows_of(agent)
    assert [row["step_role"] for row in rows] == [
        *("member", "team", "member", None),
        *(None, "team"),
    ]
    assert {row["step_refusal"] for row in rows} == {None}


def test_a_runner_that_was_granted_nothing_new_goes_on_with_jobs_of_nobody(
    conn, session_of
):
    conn.execute("""
        GRANT ALL ON ALL TABLES IN SCHEMA pgagent TO runner;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA pgagent TO runner;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO runner;
        REVOKE ALL ON pgagent.pga_run_as FROM runner, PUBLIC""")
    runner = session_of("runner")
    register(runner)
    job_id = add_job(conn, "SELECT 1")
    assert [claimed for _, claimed in claim(runner)] == [job_id]
    add_job(conn, "SELECT 1", jobowner="team")
    with pytest.raises(psycopg.Error, match="permission denied for table pga_run_as"):
        claim(runner)


def test_a_runner_of_5_0_and_the_daemon_of_4_2_leave_such_jobs_alone(conn, agent):
    owned = add_job(conn, "SELECT 1", jobowner="team")
    by_step = add_job(conn, {"jstcode": "SELECT 1", "jstrunas": "team"})
    until_due = "SELECT pgagent.pga_seconds_until_due('here')"
    assert value(agent, until_due) is None
    other = add_job(conn, "SELECT 1")
    older = "SELECT DISTINCT job_id FROM pgagent.pga_run_claim(pg_backend_pid(), 10)"
    assert agent.execute(older).fetchall() == [(other,)]
    for job_id in (owned, by_step):
        taken = "UPDATE pgagent.pga_job SET jobagentid = %s WHERE jobid = %s"
        assert agent.execute(taken, [agent.info.backend_pid, job_id]).rowcount == 0
    assert {job_id for _, job_id in claim(agent)} == {owned, by_step}


# Tickets.


def test_a_ticket_is_a_password_for_seconds(conn, agent):
    login = value(conn, "SELECT pgagent.allow_run_as('team')")
    run_id = run_of(conn, agent)
    agent.execute("SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kolkata'")
    agent.execute("SET standard_conforming_strings = off")
    assert agent.execute(TICKET, [run_id, "team", VERIFIER]).fetchone() == (
        login,
        "ticket",
    )
    password = (
        "SELECT rolpassword, extract(epoch FROM rolvaliduntil - clock_timestamp())"
        " FROM pg_authid WHERE rolname = %s"
    )
    verifier, seconds = conn.execute(password, [login]).fetchone()
    assert verifier == VERIFIER
    assert 20 < seconds <= 30


def test_a_role_that_logs_in_itself_gets_no_password(conn, agent):
    conn.execute("SELECT pgagent.allow_run_as('member', by => 'login')")
    run_id = run_of(conn, agent, owner="member")
    assert agent.execute(TICKET, [run_id, "member", VERIFIER]).fetchone() == (
        "member",
        "login",
    )
    password = "SELECT rolpassword FROM pg_authid WHERE rolname = 'member'"
    assert value(conn, password) is None


@pytest.mark.parametrize(
    "verifier",
    [
        None,
        "",
        "secret",
        "md5" + "0" * 32,
        VERIFIER + " ",
        VERIFIER + "\n",
        "\n" + VERIFIER,
        VERIFIER.replace("4096", "0"),
        VERIFIER.replace("4096", "99999999999999999999"),
        VERIFIER.replace("SHA-256", "SHA-1"),
        VERIFIER + "' VALID UNTIL 'infinity' SUPERUSER --",
        f"SCRAM-SHA-256$4096:{SALT}$' SUPERUSER --:{KEY}",
        f"SCRAM-SHA-256$4096:{SALT}\\${KEY}:{KEY}",
        f"SCRAM-SHA-256$4096:{SALT}${KEY}:{KEY[:-1]}",
        VERIFIER * 1000,
    ],
)
@pytest.mark.parametrize("conforming", ["on", "off"])
def test_what_is_no_verifier_is_refused(conn, agent, verifier, conforming):
    conn.execute("SELECT pgagent.allow_run_as('team')")
    run_id = run_of(conn, agent)
    agent.execute(f"SET standard_conforming_strings = {conforming}")
    assert refused(agent, TICKET, run_id, "team", verifier) == (
        "22023",
        "pgagent: the verifier of a password is wanted",
    )


def test_only_who_executes_the_run_gets_a_ticket(conn, agent, session_of):
    conn.execute("SELECT pgagent.allow_run_as('team')")
    run_id = run_of(conn, agent)
    runner = session_of("runner")
    assert refused(runner, TICKET, run_id, "team", VERIFIER)[0] == "42501"
    conn.execute("""
        GRANT EXECUTE ON FUNCTION pgagent.pga_login_ticket(bigint, name, text) TO runner;
        GRANT ALL ON ALL TABLES IN SCHEMA pgagent TO runner""")
    words = f'pgagent: run {run_id} is not under way with an agent of "runner"'
    assert refused(runner, TICKET, run_id, "team", VERIFIER) == ("PGA01", words)

    # A row of its own for the agent of another login, or for none.
    runner.execute("UPDATE pgagent.pga_jobagent SET jagbackendstart = NULL")
    assert refused(runner, TICKET, run_id, "team", VERIFIER) == ("PGA01", words)
    assert refused(agent, TICKET, 4711, "team", VERIFIER)[0] == "PGA01"
    agent.execute("SELECT pgagent.pga_agent_leave(pg_backend_pid())")
    assert refused(agent, TICKET, run_id, "team", VERIFIER)[0] == "PGA01"
    runner.execute(
        "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation, jaglease)"
        " VALUES (4711, 'x', 'infinity')"
    )
    runner.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'r', jlgagentid = 4711")
    assert refused(runner, TICKET, run_id, "team", VERIFIER) == ("PGA01", words)


def test_a_ticket_is_for_a_role_of_the_run_only(conn, agent):
    for role in ("team", "member", "stranger"):
        conn.execute("SELECT pgagent.allow_run_as(%s)", [role])
    run_id = run_of(conn, agent, role="member")
    add_job(conn, "SELECT 1", due=None, jobowner="stranger")
    assert refused(agent, TICKET, run_id, "stranger", VERIFIER) == (
        "42501",
        f'pgagent: no step of run {run_id} runs as "stranger"',
    )
    # The role is the step's, whose job's owner may not become it.
    state, message = refused(agent, TICKET, run_id, "member", VERIFIER)
    assert state == "42501"
    assert "may not become" in message


@pytest.mark.parametrize(
    "harm",
    [
        "REVOKE team FROM member",
        "UPDATE pgagent.pga_job SET jobowner = 'stranger'",
        "SELECT pgagent.disallow_run_as('team')",
        "UPDATE pgagent.pga_run_as SET raslogin = 'stranger'",
        "UPDATE pgagent.pga_run_as SET raslogin = 'boss'",
        "UPDATE pgagent.pga_run_as SET rasby = 'login'",
        "UPDATE pgagent.pga_joblog SET jlgstatus = 'd'",
        "ALTER ROLE member RENAME TO renamed",
    ],
)
def test_what_has_changed_since_the_claim_counts(conn, agent, harm):
    conn.execute("SELECT pgagent.allow_run_as('team')")
    run_id = run_of(conn, agent, owner="member", role="team")
    agent.execute(TICKET, [run_id, "team", VERIFIER])
    conn.execute(harm)
    assert refused(agent, TICKET, run_id, "team", VERIFIER)[0] in {"42501", "PGA01"}
    passwords = (
        "SELECT count(*) FROM pg_authid WHERE rolname IN ('stranger', 'boss')"
        " AND rolpassword IS NOT NULL"
    )
    assert value(conn, passwords) == 0


@pytest.mark.parametrize(
    "harm",
    [
        "GRANT CREATE ON SCHEMA pgagent TO stranger",
        "ALTER TABLE pgagent.pga_run_as OWNER TO stranger",
        "ALTER FUNCTION pgagent.pga_is_mighty(oid) OWNER TO stranger",
        "ALTER SCHEMA pgagent OWNER TO stranger",
        PLANTED,
    ],
)
def test_there_are_no_tickets_where_others_could_have_their_code_called(
    conn, agent, harm
):
    conn.execute("SELECT pgagent.allow_run_as('team')")
    run_id = run_of(conn, agent)
    conn.execute(harm)
    assert refused(agent, TICKET, run_id, "team", VERIFIER) == (
        "42501",
        "pgagent: no tickets while others could have their code called by them",
    )


def test_what_the_caller_has_planted_in_his_own_schemas_is_not_called(conn, agent):
    login = value(conn, "SELECT pgagent.allow_run_as('team')")
    run_id = run_of(conn, agent)
    agent.execute("""
        CREATE TEMPORARY TABLE pg_roles (oid oid, rolname name, rolsuper boolean);
        CREATE SCHEMA mine;
        CREATE FUNCTION mine.planted(text, text) RETURNS boolean
            LANGUAGE sql AS 'SELECT true';
        CREATE OPERATOR mine.~ (leftarg = text, rightarg = text, function = mine.planted);
        SET search_path = pg_temp, mine, pg_catalog""")
    assert value(agent, "SELECT 'a' ~ 'b'::text")
    assert refused(agent, TICKET, run_id, "team", "x")[0] == "22023"
    assert agent.execute(TICKET, [run_id, "team", VERIFIER]).fetchone()[0] == login


def test_two_runners_take_tickets_one_after_the_other(conn, agent, dsn):
    conn.execute("SELECT pgagent.allow_run_as('team')")
    run_id = run_of(conn, agent)
    with psycopg.connect(dsn, autocommit=True) as other:
        with agent.transaction():
            agent.execute(TICKET, [run_id, "team", VERIFIER])
            other.execute("SET lock_timeout = '200ms'")
            assert refused(other, TICKET, run_id, "team", VERIFIER)[0] == "55P03"
        other.execute(TICKET, [run_id, "team", VERIFIER])


# Elsewhere.


def test_a_restore_where_roles_are_missing_runs_nothing_as_a_stranger(
    conn, roles, new_database, dump, restore
):
    conn.execute("SELECT pgagent.create_job('of keeper', owner => 'keeper')")
    conn.execute("SELECT pgagent.add_step('of keeper', '1', 'SELECT 1')")
    conn.execute("SELECT pgagent.create_job('of team', owner => 'team')")
    conn.execute(
        "SELECT pgagent.add_step('of team', '1', 'SELECT 1', run_as => 'keeper')"
    )
    for role in ("team", "keeper"):
        conn.execute("SELECT pgagent.allow_run_as(%s)", [role])
    login = value(conn, LOGIN_OF, "keeper")
    archive = dump(conn, "-Fc", "--no-privileges")
    conn.execute("DROP OWNED BY keeper")
    roles.execute(f"DROP ROLE keeper; DROP ROLE {login}")
    restored = new_database("restored")
    restore(archive, restored)

    pairs = "SELECT jobname, jobowner, jobownerid FROM pgagent.pga_job ORDER BY jobname"
    (of_keeper, of_team) = restored.execute(pairs).fetchall()
    assert of_keeper == ("of keeper", "keeper", None)
    assert of_team[2] is not None
    assert (
        value(
            restored,
            "SELECT jstrunasid FROM pgagent.pga_jobstep WHERE jstrunas IS NOT NULL",
        )
        is None
    )
    problems = dict(restored.execute("SELECT job, problem FROM pgagent.job_status"))
    assert 'there is no role "keeper"' in problems["of keeper"]
    assert 'there is no role "keeper"' in problems["of team"]

    roles.execute("CREATE ROLE keeper")
    problems = dict(restored.execute("SELECT job, problem FROM pgagent.job_status"))
    assert "it has been made since" in problems["of keeper"]
    assert "it has been made since" in problems["of team"]
    allowed = dict(restored.execute("SELECT role, problem FROM pgagent.run_as_roles"))
    assert allowed["team"] is None
    assert "it has been made since" in allowed["keeper"]


def test_owned_jobs_go_on_where_they_are_restored_with_their_roles(
    conn, roles, new_database, dump, restore
):
    conn.execute("SELECT pgagent.create_job('etl', owner => 'team')")
    conn.execute("SELECT pgagent.add_step('etl', '1', 'SELECT 1')")
    login = value(conn, "SELECT pgagent.allow_run_as('team')")
    archive = dump(conn, "-Fc", "--no-privileges")
    # As pg_dumpall restores them elsewhere: with other object ids.
    conn.execute("DROP OWNED BY team")
    roles.execute(f"DROP ROLE team, {login}; CREATE ROLE team")
    roles.execute(f"CREATE ROLE {login} LOGIN NOINHERIT; GRANT team TO {login}")
    restored = new_database("restored")
    restore(archive, restored)
    job_id = value(restored, "SELECT jobid FROM pgagent.pga_job")
    assert refusal(restored, job_id) is None


def test_jobs_of_4_2_have_no_owner_after_the_update(conn_42):
    conn_42.execute("INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'old')")
    conn_42.execute("ALTER EXTENSION pgagent UPDATE")
    assert conn_42.execute(
        "SELECT jobowner, jobownerid FROM pgagent.pga_job"
    ).fetchone() == (None, None)
