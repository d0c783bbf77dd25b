"""Who may do what is as access_matrix.txt says: each cell is tried as a real role."""

import re
from contextlib import closing

import access_matrix
import psycopg
import pytest
from jobs import add_job, add_schedule
from psycopg import sql
from transitions import claim_rows, register, start_step

WORD = re.compile(r":(job|id|owner|schedule|run)\b")
TEAM = ("operator", "owner")
OWNERS = {"free": None, "team": "pga_team", "other": "pga_other"}
LEVELS = {"owner": "editor", "other": "editor"}

# What a job has in each of the tables.
PARTS = """
    INSERT INTO pgagent.pga_jobskip (jskjobid, jskfrom, jskuntil, jskreason) VALUES ({id}, now(), now(), 'x');
    INSERT INTO pgagent.pga_jobaside (jsajobid, jsauntil, jsareason) VALUES ({id}, now(), 'x');
    INSERT INTO pgagent.pga_jobchange (jchjobid, jchobject, jchobjectid, jchaction, jchowner)
        SELECT {id}, 'job', {id}, 'update', {owner}
        WHERE NOT EXISTS (SELECT FROM pgagent.pga_jobchange WHERE jchjobid = {id});
    INSERT INTO pgagent.pga_jobpause (jpsjobid, jpsuntil) VALUES ({id}, now());
    INSERT INTO pgagent.pga_jobsilence (jsijobid, jsiuntil) VALUES ({id}, now());
    INSERT INTO pgagent.pga_alert (altname, altchannel, altjobid) VALUES ('alert ' || {id}, 'mail', {id});
    INSERT INTO pgagent.pga_alertstate (alsaltid, alsjobid, alskind, alsevent, alsended)
        SELECT altid, {id}, 'late', 'late', now() FROM pgagent.pga_alert WHERE altjobid = {id};
    INSERT INTO pgagent.pga_alertevent (aleevent, alealtid, alealert, alejobid, alestate)
        SELECT 'late', altid, altname, {id}, 'sent' FROM pgagent.pga_alert WHERE altjobid = {id};
    INSERT INTO pgagent.pga_jobcaution (jcafor) VALUES ('pause');
    INSERT INTO pgagent.pga_jobrequest (jrqid, jrqjobid, jrqvia) VALUES (-{id}, {id}, 'run_job')
"""


@pytest.fixture
def roles(conn):
    """Have a role of each level, and a team of two of them."""
    conn.execute("CREATE ROLE pga_team")
    for role in access_matrix.ROLES:
        conn.execute(f"CREATE ROLE pga_{role} LOGIN")
        if role in TEAM:
            conn.execute(f"GRANT pga_team TO pga_{role}")
        if role != "none":
            level = LEVELS.get(role, role)
            conn.execute("SELECT pgagent.grant_access(%s, %s)", [level, f"pga_{role}"])
    yield
    for role in ("team", *access_matrix.ROLES):
        conn.execute(f"DROP OWNED BY pga_{role}; DROP ROLE pga_{role}")


@pytest.fixture
def jobs(conn, roles):
    """Have a job of each owner, with parts and a run under way; return their words."""
    made = {name: make_job(conn, name, owner) for name, owner in OWNERS.items()}
    register(conn)
    for run_id, job_id, _, step_id, *_ in claim_rows(conn):
        start_step(conn, run_id, step_id)
        for words in made.values():
            if words["id"] == job_id:
                words["run"] = run_id
    for words in made.values():
        parts = {key: sql.Literal(value) for key, value in words.items()}
        with conn.transaction():
            # What triggers write, or refuse others to write.
            conn.execute("SET LOCAL session_replication_role = replica")
            conn.execute(sql.SQL(PARTS).format(**parts))
            conn.execute("UPDATE pgagent.pga_job SET jobfailures = 1")
    return made


def make_job(conn, name, owner):
    job_id = add_job(conn, "SELECT 1", name=name, due=None)
    schedule = add_schedule(conn, job_id)
    conn.execute(
        "INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES (%s, '2041-01-01')",
        [schedule],
    )
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [job_id]
    )
    return {"id": job_id, "job": name, "owner": owner, "schedule": schedule}


def give_to_owners(conn, jobs):
    """Give the jobs to their owners, once the runner has claimed them."""
    for words in jobs.values():
        conn.execute(
            "UPDATE pgagent.pga_job SET jobowner = %s::name,"
            " jobownerid = (SELECT oid FROM pg_roles WHERE rolname = %s::name)"
            " WHERE jobid = %s",
            [words["owner"], words["owner"], words["id"]],
        )


def attempt(session, act, words):
    """Execute the statement of an act for a job: is it done, nothing, or refused?"""
    text = WORD.sub(
        lambda found: sql.Literal(words[found[1]]).as_string(session), act.statement
    )
    try:
        with session.transaction(force_rollback=True):
            cursor = session.execute(text)
            return "nothing" if cursor.rowcount == 0 else "done"
    except psycopg.errors.InsufficientPrivilege:
        return "refused"
    except psycopg.errors.UndefinedObject:
        return "nothing"
    except psycopg.errors.ObjectInUse:
        return "done"  # as far as rights go: the job is running


def outcome(session, act, role, jobs):
    """Return what the cell of this role should say."""
    own = "other" if role == "other" else "team"
    if not WORD.search(act.statement):
        tried = attempt(session, act, {})
        return {"done": "yes", "nothing": "0", "refused": "-"}[tried]
    tried = {name: attempt(session, act, words) for name, words in jobs.items()}
    done = {name for name, what in tried.items() if what == "done"}
    if not done:
        return "-" if "refused" in tried.values() else "0"
    return {
        frozenset(jobs): "all",
        frozenset({own}): "own",
        frozenset({"free"}): "free",
        frozenset({"free", own}): "free+own",
    }.get(frozenset(done), "+".join(sorted(done)))


@pytest.mark.parametrize("isolated", [False, True], ids=["shared", "isolated"])
@pytest.mark.parametrize("role", access_matrix.ROLES)
def test_a_role_may_do_what_the_matrix_says(conn, dsn, jobs, role, isolated):
    give_to_owners(conn, jobs)
    if isolated:
        conn.execute("SELECT pgagent.isolate()")
    with closing(psycopg.connect(dsn, autocommit=True, user=f"pga_{role}")) as session:
        odd = []
        for act in access_matrix.acts():
            wanted = act.expected(role, isolated=isolated)
            got = outcome(session, act, role, jobs)
            if wanted != got:
                odd.append(f"{act.section}: {act.what}: {wanted} wanted, is {got}")
    assert not odd, "\n".join(odd)


def test_the_page_shows_the_matrix():
    assert access_matrix.PAGE.read_text() == access_matrix.page(), "run `make docs`"


def test_every_table_view_and_function_for_people_is_in_the_matrix(conn):
    named = """
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind IN ('r', 'v')
        UNION
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = 'pgagent'::regnamespace AND p.proname !~ '^pga_'
              AND p.prorettype <> 'trigger'::regtype"""
    tried = " ".join(act.statement for act in access_matrix.acts())
    names = [name for (name,) in conn.execute(named)]
    assert [n for n in names if not re.search(rf"\bpgagent\.{n}\b", tried)] == []
