"""The registration of an agent, and its signs of life, in a thread beside the loop.

LEASES=200 in the environment for as many of them as `make gates` has.
"""

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from jobs import add_job, runs
from pgagent_runner.agent.lease import Lease
from pgagent_runner.catalog import CatalogLostError
from pgagent_runner.options import AgentOptions
from psycopg.conninfo import make_conninfo
from support import poll

from .lossy_proxy import LossyProxy

LEASES = int(os.environ.get("LEASES", "60"))
AGENTS = "SELECT jagpid, jagstation FROM pgagent.pga_jobagent"


class Told:
    """What a lease tells."""

    def __init__(self):
        self.pulses = []
        self.ends = 0

    def note_pulse(self, pulse, silent):
        self.pulses.append((pulse, silent))

    def note_end(self):
        self.ends += 1


class Guarded:
    """What a lease guards: it notes what is done to it, and where."""

    def __init__(self):
        self.done = []
        self.seconds = []
        self.runs = {}

    def abort(self, reason):
        self.done.append(("abort", threading.current_thread().name, reason))

    def break_off(self):
        self.done.append(("break off", threading.current_thread().name))

    def keep_alive(self, seconds):
        self.seconds.append(seconds)

    def under_way(self):
        return self.runs


def start(loop, conninfo, told, lease=20.0):
    """Start to register; return the lease, for use in this thread."""
    options = AgentOptions(conninfo=conninfo, station="here", lease=lease)
    hears = (told.note_pulse, told.note_end)
    return loop.holding(
        loop.call(Lease, options, *hears, runner=uuid4(), starting=True)
    )


async def outcome(future):
    return await future


@contextmanager
def lease_of(loop, conninfo, told, lease=20.0):
    """A lease that is registered."""
    held = start(loop, conninfo, told, lease)
    held.registered_as = loop.run(outcome(held.itself.registered))
    try:
        yield held
    finally:
        held.close()
        poll(lambda: told.ends, what="its end")


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def proxy(cluster, tmp_path):
    with LossyProxy(tmp_path, cluster.host, cluster.port) as proxy:
        yield proxy


@pytest.fixture
def through(dsn, proxy, tmp_path):
    """The conninfo of the way to the server that can hang."""
    return make_conninfo(dsn, host=str(tmp_path))


def threads():
    ours = [t.name for t in threading.enumerate() if t.name in {"lease", "fence"}]
    return sorted(ours)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_an_agent_is_registered_as_long_as_it_has_a_lease(conn, dsn, loop, told):
    with lease_of(loop, dsn, told) as lease:
        assert conn.execute(AGENTS).fetchall() == [
            (lease.registered_as.agent_id, "here")
        ]
        loop.call(lease.itself.leave)
        assert conn.execute(AGENTS).fetchall() == []


def test_it_shows_a_sign_of_life_at_once_and_when_it_is_asked_to(dsn, loop, told):
    with lease_of(loop, dsn, told) as lease:
        poll(lambda: len(told.pulses) == 1)
        lease.beat()
        poll(lambda: len(told.pulses) == 2)
        assert 0 < lease.seconds_left() <= 19


def test_an_agent_that_leaves_says_why(conn, dsn, loop, told):
    with lease_of(loop, dsn, told) as lease:
        add_job(conn, "SELECT 1")
        agent_id = lease.registered_as.agent_id
        conn.execute("SELECT FROM pgagent.pga_run_claim(%s, 1, 60)", [agent_id])
        loop.call(lease.itself.leave, "it has given up: ☃")
        ((_, message),) = runs(conn)
        assert message == (
            rf"aborted: agent {agent_id} on here is gone: it has given up: \u2603"
        )


def test_what_is_to_be_cancelled_is_told(conn, dsn, loop, told):
    with lease_of(loop, dsn, told) as lease:
        add_job(conn, "SELECT 1")
        agent_id = lease.registered_as.agent_id
        ((run_id, *_), _) = conn.execute(
            "SELECT * FROM pgagent.pga_run_claim(%s, 1, 60)", [agent_id]
        ).fetchall()
        conn.execute("SELECT pgagent.cancel_run(%s)", [run_id])
        guarded = Guarded()
        guarded.runs[run_id] = 1
        lease.guard(guarded)
        lease.beat()
        poll(lambda: told.pulses and run_id in told.pulses[-1][0].lost)


def test_a_registration_that_fails_says_why(dsn, loop, told, tmp_path):
    lease = start(loop, f"host={tmp_path}", told)

    with pytest.raises(CatalogLostError, match="No such file"):
        loop.run(outcome(lease.itself.registered))
    with pytest.raises(CatalogLostError, match="No such file"):
        lease.check()
    lease.close()


def test_the_end_of_its_session_ends_it_at_once(conn, dsn, loop, told):
    with lease_of(loop, dsn, told) as lease:
        lease.check()
        agent_id = lease.registered_as.agent_id
        conn.execute("SELECT pg_terminate_backend(%s)", [agent_id])
        poll(lambda: told.ends)
        with pytest.raises(CatalogLostError):
            lease.check()


def test_closing_it_breaks_off_what_waits_for_the_server(loop, told, proxy, through):
    with lease_of(loop, through, told) as lease:
        proxy.hang()
        lease.beat()
    assert told.ends == 1


def test_steps_are_stopped_before_a_lease_ends_that_is_not_renewed(
    loop, told, proxy, through
):
    guarded = Guarded()
    with lease_of(loop, through, told, lease=4.0) as lease:
        lease.guard(guarded)
        lease.beat()
        poll(lambda: guarded.seconds, what="a sign of life")
        proxy.hang()
        poll(lambda: guarded.done, what="an abort")
        assert lease.seconds_left() > 0
        poll(lambda: told.ends)
    # The loop turned: nothing had to be done without it.
    reason = "the agent could not show a sign of life in time"
    assert [(what, *rest) for what, _, *rest in guarded.done] == [("abort", reason)]


def test_steps_are_stopped_without_the_loop_if_that_is_blocked(
    loop, told, proxy, through
):
    guarded = Guarded()
    gate = threading.Event()
    with lease_of(loop, through, told, lease=4.0) as lease:
        lease.guard(guarded)
        lease.beat()
        poll(lambda: guarded.seconds, what="a sign of life")
        proxy.hang()
        blocked = loop.started(gate.wait, 30)
        poll(lambda: guarded.done, what="the steps' end")
        assert lease.itself.seconds_left() > 0
        assert guarded.done == [("break off", "fence")]
        gate.set()
        blocked.result(10)


def test_scripts_may_go_on_for_as_long_as_the_lease_lasts(dsn, loop, told):
    guarded = Guarded()
    with lease_of(loop, dsn, told) as lease:
        lease.guard(guarded)
        lease.beat()
        poll(lambda: guarded.seconds)
    assert all(18 < seconds <= 19 for seconds in guarded.seconds)


@pytest.mark.parametrize("thread", ["fence", "lease"])
def test_a_lease_that_lacks_a_thread_leaves_nothing_behind(
    loop, told, dsn, monkeypatch, thread
):
    start_thread = threading.Thread.start

    def start_all_but_one(self):
        if self.name == thread:
            raise RuntimeError("can't start new thread")
        start_thread(self)

    before = open_files()
    monkeypatch.setattr(threading.Thread, "start", start_all_but_one)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="can't start new thread"):
            start(loop, dsn, told)
    poll(lambda: threads() == [], what="the end of all threads")
    assert open_files() == before


@pytest.mark.timeout(60 + LEASES)
def test_many_leases_leave_no_thread_and_no_descriptor(conn, dsn, loop):
    counts = []
    for number in range(LEASES):
        told = Told()
        with lease_of(loop, dsn, told) as lease:
            if number % 2:
                loop.call(lease.itself.leave)
        counts.append(open_files())
    poll(lambda: threads() == [], what="the end of all threads")
    assert open_files() <= min(counts)


def test_many_registrations_that_fail_leave_no_thread_and_no_descriptor(loop, tmp_path):
    before = open_files()
    for _ in range(50):
        told = Told()
        lease = start(loop, f"host={tmp_path}", told)
        with pytest.raises(CatalogLostError):
            loop.run(outcome(lease.itself.registered))
        lease.close()
    poll(lambda: threads() == [], what="the end of all threads")
    assert open_files() == before


def test_a_run_whose_agent_has_left_is_recorded_as_aborted(conn, dsn, loop, told):
    with lease_of(loop, dsn, told) as lease:
        add_job(conn, "SELECT 1")
        agent_id = lease.registered_as.agent_id
        conn.execute("SELECT FROM pgagent.pga_run_claim(%s, 1, 60)", [agent_id])
        loop.call(lease.itself.leave)
    ((status, _),) = runs(conn)
    assert status == "d"
