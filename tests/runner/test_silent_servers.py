"""A server that lets sessions with the catalogue in, and then says nothing more."""

from uuid import uuid4

import pytest
from pgagent_runner.agent.lease import Lease
from pgagent_runner.catalog import CatalogLostError, connection
from pgagent_runner.options import AgentOptions
from pgagent_runner.waiting import in_thread
from psycopg.conninfo import make_conninfo

from .lossy_proxy import LossyProxy


@pytest.fixture
def proxy(cluster, tmp_path):
    with LossyProxy(tmp_path, cluster.host, cluster.port) as proxy:
        yield proxy


@pytest.fixture
def by_proxy(dsn, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "_SET_UP_TIME", 0.3, raising=False)
    return make_conninfo(dsn, host=str(tmp_path))


def test_a_session_of_the_loop_is_given_up_in_time(by_proxy, proxy, loop):
    proxy.hang_at(b"set_config")

    with pytest.raises(CatalogLostError):
        loop.started(connection.open_in_loop, by_proxy).result(5)


def test_a_session_of_a_thread_is_given_up_in_time(by_proxy, proxy, loop):
    proxy.hang_at(b"set_config")

    with pytest.raises(CatalogLostError):
        loop.started(in_thread, connection.connect, by_proxy).result(5)


def test_a_registration_is_given_up_in_time(by_proxy, proxy, loop):
    proxy.hang_at(b"pga_agent_register")
    options = AgentOptions(conninfo=by_proxy, lease=0.5)

    async def register():
        lease = Lease(
            options, lambda *_: None, lambda: None, runner=uuid4(), starting=True
        )
        try:
            await lease.registered
        finally:
            lease.close()

    with pytest.raises(CatalogLostError):
        loop.started(register).result(5)
