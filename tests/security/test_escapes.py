"""What escapes from SET ROLE does not escape from a session that is nobody else's."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, runs, step_runs
from psycopg.conninfo import make_conninfo
from support import poll

from .escapes import BOOKKEEPING, ESCAPES, PROBE, loot, probes

MODES = ("single", "autocommit")


def escapes():
    return [
        pytest.param(name, marks=pytest.mark.needs(*escape.needs) if escape.needs else ())
        for name, escape in ESCAPES.items()
    ]


def said_by(dsn, becoming, statements):
    """Execute statements as a scheduler would that does `becoming` first.

    A hostile author need not stop at an error.
    """
    said = []
    with closing(psycopg.connect(dsn, autocommit=True)) as conn:
        conn.add_notice_handler(lambda notice: said.append(notice.message_primary))
        for statement in (*becoming, *statements):
            try:
                conn.execute(statement)
            except psycopg.Error as error:
                said.append(str(error))
                if conn.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
                    conn.execute("ROLLBACK")
    return "\n".join(said)


def server_of(bazaar):
    """How a hostile author might get back in, without dblink's own suspicion."""
    return make_conninfo(bazaar.cluster.conninfo("bazaar"))


@pytest.mark.parametrize("name", escapes())
def test_it_escapes_from_what_other_schedulers_do(bazaar, admin, name):
    role = "team_a"
    statements = [*ESCAPES[name].written_for(role, server_of(bazaar)), *BOOKKEEPING]
    member = bazaar.dsn_of("m_agent", "mmm")
    ways = {
        "superuser, SET ROLE": (bazaar.dsn, [f"SET ROLE {role}"]),
        "superuser, SET LOCAL ROLE": (bazaar.dsn, ["BEGIN", f"SET LOCAL ROLE {role}"]),
        "superuser, SET SESSION AUTHORIZATION": (
            bazaar.dsn,
            [f"SET SESSION AUTHORIZATION {role}"],
        ),
        "member, SET ROLE": (member, [f"SET ROLE {role}"]),
    }

    said = {way: said_by(*how, statements) for way, how in ways.items()}

    # A probe before it has to see nothing, or this would show nothing.
    for way, (dsn, becoming) in ways.items():
        assert loot(said_by(dsn, becoming, [PROBE])) == "", way
    assert {way for way in ways if loot(said[way])}, said


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", escapes())
def test_it_does_not_escape_from_a_step(bazaar, admin, agent, role, name, mode):
    statements = ESCAPES[name].written_for(role, server_of(bazaar))
    hostile = {"jstcode": ";\n".join(statements), "jstmode": mode, "jstonerror": "i"}
    job_id = add_job(admin, hostile, PROBE, *BOOKKEEPING[1:], due=None, jobowner=role)

    for _ in range(2):  # the second time in the session that the first has left
        made_due_and_ended(admin, job_id)

    said = "\n".join(output for *_, output in step_runs(admin, job_id))
    assert loot(said) == "", said
    logins = {role} | login_of(admin, role)
    for user, session_user, _ in probes(said):
        assert {user, session_user} <= logins, said
    assert (role, *login_of(admin, role), "---") in probes(said), said


def login_of(admin, role):
    query = "SELECT raslogin FROM pgagent.pga_run_as WHERE rasrole = %s"
    return {login for (login,) in admin.execute(query, [role])}


def made_due_and_ended(admin, job_id):
    before = len(runs(admin, job_id))
    admin.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [job_id]
    )

    def has_ended():
        letters = [letter for letter, _ in runs(admin, job_id)]
        return len(letters) > before and "r" not in letters

    poll(has_ended, what="the run to end")
