"""Tickets, and what becomes of the sessions that are opened with them.

No runner goes on beside these tests.
"""

import asyncio
import itertools
import re
import signal
from contextlib import closing, suppress

import psycopg
import pytest
from daemon.runner_process import Runner
from jobs import add_job, runs
from pgagent_runner import libpq
from pgagent_runner.catalog import Claims, Registration, Tickets
from pgagent_runner.model import LoginError
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepError
from pgagent_runner.steps.sql import roles
from pgagent_runner.steps.sql.session import Session
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support import poll

# What a login needs to run jobs, beside the rights to end sessions.
ORDINARY = """
    CREATE ROLE ordinary LOGIN PASSWORD 'ooo';
    GRANT USAGE ON SCHEMA pgagent TO ordinary;
    GRANT ALL ON ALL TABLES IN SCHEMA pgagent TO ordinary;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA pgagent TO ordinary;
    GRANT ALL ON ALL FUNCTIONS IN SCHEMA pgagent TO ordinary;
"""


@pytest.fixture
def run_id(bazaar, admin):
    """A run under way of a job that team_a owns."""
    job_id = add_job(admin, "SELECT 1", jobowner="team_a")

    async def claim(agent_id):
        claims = Claims(bazaar.dsn, agent_id)
        await claims.open()
        try:
            return (await claims.claim(1, 60)).runs[0]
        finally:
            claims.close()

    with Registration(bazaar.dsn, "here", 60) as registration:
        registration.register()
        run = asyncio.run(claim(registration.agent_id))
        assert run.job_id == job_id
        assert run.steps[0].role == "team_a"
        yield run.id


def parameters_of(bazaar):
    return conninfo_to_dict(make_conninfo(bazaar.dsn, connect_timeout=10))


async def log_in_often(bazaar, run_id, runners, times):
    """Have so many runners log in as the same role, all at once and again and again."""

    async def one():
        tickets, logins = Tickets(bazaar.dsn), roles.Logins()
        with closing(tickets):
            for _ in range(times):
                pgconn, persona = await logins.open(
                    "team_a", run_id, parameters_of(bazaar), tickets.log_in
                )
                pgconn.finish()
                yield persona.role

    async def collected(one):
        return [role async for role in one]

    found = await asyncio.gather(*(collected(one()) for _ in range(runners)))
    return list(itertools.chain.from_iterable(found))


def test_runners_that_take_tickets_for_the_same_role_at_once_all_get_in(bazaar, run_id):
    found = asyncio.run(log_in_often(bazaar, run_id, runners=3, times=12))

    assert found == ["team_a"] * 36


def test_without_another_attempt_one_would_have_been_outrun(
    bazaar, run_id, monkeypatch
):
    """Or the test before would show nothing."""
    monkeypatch.setattr(roles, "_MOST_ATTEMPTS", 1)

    with pytest.raises(StepError, match="has to be let in by its password"):
        asyncio.run(log_in_often(bazaar, run_id, runners=3, times=12))


def test_a_password_is_written_nowhere(bazaar, admin, run_id, monkeypatch, caplog):
    """Not even where the server writes down all statements and their parameters."""
    password = "correct-horse-battery-staple"
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: password)
    caplog.set_level("DEBUG")
    admin.execute("ALTER SYSTEM SET log_statement = 'all'")
    admin.execute("SELECT pg_reload_conf()")
    poll(lambda: admin.execute("SHOW log_statement").fetchone() == ("all",))
    seen = []

    async def log_in():
        with closing(Tickets(bazaar.dsn)) as tickets:
            login = await tickets.log_in(run_id, "team_a")
            seen.append(repr(login))
            (
                await libpq.connect(parameters_of(bazaar) | roles.identity_of(login))
            ).finish()

    asyncio.run(log_in())

    log = bazaar.cluster.log.read_text()
    assert "pga_login_ticket" in log
    for text in (log, caplog.text, *seen):
        assert password not in text
        assert not re.search("PASSWORD '(?!SCRAM)", text)


def test_a_ticket_for_another_role_is_refused_in_words(bazaar, run_id):
    async def log_in():
        with closing(Tickets(bazaar.dsn)) as tickets:
            await tickets.log_in(run_id, "team_b")

    with pytest.raises(LoginError, match=r'no step of run .* runs as "team_b"'):
        asyncio.run(log_in())


@pytest.mark.parametrize(
    "rights", ["superuser", "pg_signal_backend, pg_read_all_stats"]
)
def test_the_session_of_a_dead_agents_role_ends_before_the_job_is_free(
    bazaar, admin, rights
):
    """Frozen, not dead: the session would go on for ever."""
    dsn = bazaar.dsn
    if rights != "superuser":
        with suppress(psycopg.errors.DuplicateObject):
            admin.execute(ORDINARY)
        admin.execute(f"GRANT {rights} TO ordinary")
        dsn = bazaar.dsn_of("ordinary", "ooo")
    query = "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'"
    environ = {"PGPASSFILE": str(bazaar.passfile)}
    with Runner("--lease", "4", dsn, environ=environ) as frozen:
        frozen.ready()
        job_id = add_job(admin, "SELECT pg_sleep(600)", jobowner="team_a")
        poll(lambda: admin.execute(query).rowcount == 1)
        with Runner("--lease", "4", dsn, environ=environ) as other:
            other.ready()
            frozen.send(signal.SIGSTOP)
            try:
                poll(
                    lambda: runs(admin, job_id)[0][0] == "d",
                    15,
                    "the run to be aborted",
                )
                assert admin.execute(query).rowcount == 0
            finally:
                frozen.send(signal.SIGCONT)


@pytest.mark.parametrize("role", ["renamed meanwhile", "team_a", "m_agent"])
def test_a_new_session_that_can_not_become_its_role_executes_no_step(bazaar, role):
    """A role may be renamed, or taken from the login, once that has got its ticket."""

    async def begin():
        dsn = make_conninfo(bazaar.dsn_of("team_l", "lll"), connect_timeout=10)
        pgconn = await libpq.connect(conninfo_to_dict(dsn))
        persona = roles.Persona(role, "team_l")
        session = Session(pgconn, Cancellation(), dsn, persona)
        with closing(session):
            await session.begin(Cancellation(), "a name")
            assert session.lost
            session.check_refusal()

    with pytest.raises(StepError, match=f'can\'t be role "{role}"'):
        asyncio.run(begin())
