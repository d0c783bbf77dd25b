"""What escapes from SET ROLE does not escape from a session that is nobody else's."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, runs, step_runs
from psycopg.conninfo import make_conninfo
from support import poll

from .conftest import clean
from .escapes import BOOKKEEPING, ESCAPES, PROBE, loot, probes


def escapes():
    return [
        pytest.param(
            name, marks=pytest.mark.needs(*escape.needs) if escape.needs else ()
        )
        for name, escape in ESCAPES.items()
    ]


def said_by(dsn, becoming, statements):
    """Execute statements as a scheduler would that does `becoming` first.

    A hostile author need not stop at an error.
    """
    said: list[str] = []
    with closing(psycopg.connect(dsn, autocommit=True)) as conn:
        conn.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
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
        "superuser, SET SESSION AUTHORIZATION": (
            bazaar.dsn,
            [f"SET SESSION AUTHORIZATION {role}"],
        ),
        "member, SET ROLE": (member, [f"SET ROLE {role}"]),
    }

    said = {}
    for way, (dsn, becoming) in ways.items():
        # A probe before it has to see nothing, or this would show nothing.
        assert loot(said_by(dsn, becoming, [PROBE])) == "", way
        said[way] = said_by(dsn, becoming, statements)
        clean(admin)

    assert {way for way in ways if loot(said[way])}, said


@pytest.mark.parametrize("name", escapes())
def test_it_does_not_escape_from_a_step(bazaar, admin, agent, role, name):
    statements = ESCAPES[name].written_for(role, server_of(bazaar))
    job_ids = [
        add_job(admin, *steps, PROBE, *BOOKKEEPING[1:], due=None, jobowner=role)
        for steps in (
            [step(";\n".join(statements), "single")],
            [step(";\n".join(statements), "autocommit")],
            # After an error those go no further, other steps do.
            [step(statement, "single") for statement in statements],
        )
    ]

    for _ in range(2):  # the second time in sessions that the first has left
        made_due_and_ended(admin, job_ids)

    (login,) = login_of(admin, role)
    for job_id in job_ids:
        said = "\n".join(output for *_, output in step_runs(admin, job_id))
        assert loot(said) == "", said
        assert {(user, behind) for user, behind, _ in probes(said)} <= {
            (role, login),
            (login, login),
        }, said
        assert said.count(f"PROBE {role}/{login} ---") >= 2, said


def step(code, mode):
    return {"jstcode": code, "jstmode": mode, "jstonerror": "i"}


def login_of(admin, role):
    query = "SELECT raslogin FROM pgagent.pga_run_as WHERE rasrole = %s"
    return admin.execute(query, [role]).fetchone()


def made_due_and_ended(admin, job_ids):
    before = len(runs(admin))
    admin.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = ANY (%s)",
        [job_ids],
    )

    def have_ended():
        letters = [letter for letter, _ in runs(admin)]
        return len(letters) == before + len(job_ids) and "r" not in letters

    poll(have_ended, what="the runs to end")
