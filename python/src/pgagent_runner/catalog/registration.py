"""The session of an agent: there it registers, and shows that it lives."""

import contextlib
import time
from collections.abc import Sequence
from typing import LiteralString, Self
from uuid import UUID, uuid4

import psycopg
from psycopg.conninfo import make_conninfo

from pgagent_runner.catalog.connection import (
    Row,
    break_off,
    connect,
    conninfo_of_server,
    merge_conninfo,
    parse_conninfo,
    renew_settings,
    translated_errors,
)
from pgagent_runner.catalog.errors import (
    CatalogError,
    CatalogLostError,
    LockedError,
    NotRegisteredError,
    PoolerError,
)
from pgagent_runner.catalog.probes import Probes
from pgagent_runner.catalog.strangers import refuse_strangers
from pgagent_runner.model import Pulse
from pgagent_runner.poolers import why_unfit

# Of the lease: how long a heartbeat waits for a lock, or takes in all; and the least
# seconds that this may be on a busy machine.
_LOCK = 1 / 40
_STATEMENT = 1 / 10
_LEAST_LOCK = 0.1
_LEAST_STATEMENT = 0.5

_AS_LONG_AS: LiteralString = """
    SELECT pg_catalog.set_config('lock_timeout'::text, %s::text, false),
           pg_catalog.set_config('statement_timeout'::text, %s::text, false)
"""

# By its name near the beginning others know that it was the agent who asked.
_HEARTBEAT: LiteralString = """
    WITH b AS (SELECT * FROM pgagent.pga_agent_heartbeat(
        %s::integer, pg_catalog.make_interval(secs => %s::double precision),
        %s::bigint[]
    ))
    SELECT b.*, pg_catalog.date_part('epoch'::text, b.now) AS seconds FROM b
"""


class Registration:
    """The session of an agent, whose row in `pga_jobagent` lives no longer than it.

    `register` comes first. Every method raises `CatalogLostError` when the session is
    lost, `NotRegisteredError` when the agent has been declared dead, and `CatalogError`
    for any other refusal. Not for use by several threads.
    """

    def __init__(self, conninfo: str, station: str, lease: float) -> None:
        """Connect, for an agent on host `station`.

        It counts as alive for `lease` seconds after each heartbeat.
        """
        self._conninfo = conninfo
        self._station = station
        self._lease = lease
        # Whether triggers of users may have set something for all of the session.
        self._is_suspect = False
        self._connection = connect(conninfo, lock_timeout=lease / 4)

    def register(
        self, *, starting: bool = True, runner: UUID | None = None, arm: bool = False
    ) -> None:
        """Become an agent.

        If it is `starting`, and not just reconnecting, jobs with a schedule @reboot are
        due. `runner` names this process, which may register again. With `arm`, a copy
        of a database is armed first. Raises `StrangersError` if the schema is not its
        owner's alone, and `PoolerError` if this is no session of the server's own.
        """
        self._refuse_unfit_pooler()
        with translated_errors(self._connection):
            refuse_strangers(self._connection)
            probes = Probes(self._connection)
            if lacking := probes.lacking():
                problem = probes.catalogue() or lacking
                raise CatalogError(f"{self._database}: {problem}")
        query: LiteralString = """
            SELECT pgagent.pga_agent_register(
                       %s::text, pg_catalog.make_interval(secs => %s::double precision),
                       %s::boolean, %s::uuid
                   ), pg_catalog.current_setting('max_connections'::text)::integer,
                   pgagent.pgagent_version()
        """
        alive: LiteralString = "SELECT pgagent.pga_agent_count()"
        identity = runner or uuid4()
        try:
            self._tell_place()
            armed = self._call("SELECT pgagent.arm()")[0][0] if arm else None
            row = self._call(query, self._station, self._lease, starting, identity)[0]
        except CatalogError as e:
            raise self._explained(e) from e
        self._agent_id: int = row[0]
        self._max_connections: int = row[1]
        judged: LiteralString = """
            SELECT a.jagunarmed,
                   NULLIF(pg_catalog.current_setting('pgagent.note'::text, true), '')
            FROM pgagent.pga_jobagent AS a WHERE a.jagpid = %s::integer
        """
        rows = self._call(judged, self._agent_id)
        if not rows:  # since then
            raise NotRegisteredError(f"{self._database}: the agent's row is gone")
        row = rows[0]
        self._unarmed: str | None = row[0]
        self._notes: list[str] = [text for text in (armed, row[1]) if text]
        self._agents: int = self._call(alive)[0][0]
        self._limit_heartbeats()

    def __enter__(self) -> Self:
        """Return this session."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the session; other agents will find this one gone."""
        self._connection.close()

    @property
    def where(self) -> str:
        """The database, server and user of this session, for people."""
        info = self._connection.info
        return f'database "{info.dbname}" on {info.host}:{info.port} as {info.user}'

    @property
    def conninfo(self) -> str:
        """How to reach the catalogue, with the hosts for which a service stands.

        libpq would look up their names by itself, and whoever calls it would wait.
        """
        if not parse_conninfo(self._conninfo).get("service"):
            return self._conninfo
        known = self._connection.info.get_parameters()
        hosts = {name: known.get(name) for name in ("host", "hostaddr", "port")}
        return merge_conninfo(self._conninfo, hosts)

    @property
    def server_conninfo(self) -> str:
        """How to reach any database of the very server that this session is on."""
        return conninfo_of_server(self._conninfo, self._connection)

    @property
    def max_connections(self) -> int:
        """How many connections the server has for everybody."""
        return self._max_connections

    @property
    def unarmed(self) -> str | None:
        """Why this agent could start no job when it registered, if it could not."""
        return self._unarmed

    @property
    def notes(self) -> list[str]:
        """What the catalogue has to say of where its jobs are armed."""
        return self._notes

    @property
    def agents(self) -> int:
        """How many agents were alive when it registered, itself included."""
        return self._agents

    def heartbeat(self, run_ids: Sequence[int]) -> Pulse:
        """Renew the lease, and hear what there is to do for an agent with these runs.

        Somebody's lock on its row, or trigger, is no reason to give up: the answer says
        so, and the server has been asked, which others can see.
        """
        asked = _now()
        try:
            if self._is_suspect:
                self._renew_settings()
            pulse = self._heartbeat(run_ids, self._lease)
        except (CatalogLostError, NotRegisteredError):
            raise
        except LockedError as e:
            self._is_suspect = True
            return Pulse(asked, _now(), str(e))
        except CatalogError as e:
            refused = str(e)
        else:
            self._is_suspect = pulse.refused is not None
            return pulse
        self._is_suspect = True
        asked = _now()
        try:
            return self._heartbeat(run_ids, None)._replace(refused=refused)
        except (CatalogLostError, NotRegisteredError):
            raise
        except CatalogError:
            return Pulse(asked, _now(), refused)

    def _heartbeat(self, run_ids: Sequence[int], lease: float | None) -> Pulse:
        """Show a sign of life; with a lease of None, renew none."""
        asked = _now()
        parameters = (self._agent_id, lease, list(run_ids))
        with translated_errors(self._connection):
            cursor = self._connection.execute(_HEARTBEAT, parameters)
            columns = [column.name for column in cursor.description or ()]
            found = dict(zip(columns, cursor.fetchall()[0], strict=True))
        return Pulse(
            asked,
            _now(),
            refused=found["refused"],
            seen=found["seen"],
            now=found["seconds"],
            dead=found["dead"],
            lost=dict(zip(found["lost"] or (), found["reasons"] or (), strict=True)),
            agents=found["agents"],
            unarmed=found["unarmed"],
        )

    @property
    def agent_id(self) -> int:
        """The id of this agent, `pga_jobagent.jagpid`."""
        return self._agent_id

    def leave(self, reason: str) -> None:
        """End this agent, for a reason; runs of it that are open are aborted."""
        self._take_at_most(_LEAST_STATEMENT, 0)
        # The database may not be able to write all of it.
        told = reason.encode("ascii", "backslashreplace").decode()
        query: LiteralString = "SELECT pgagent.pga_agent_leave(%s::integer, %s::text)"
        self._call(query, self._agent_id, told)

    def break_off(self) -> None:
        """Have whatever waits for an answer fail: for another thread."""
        break_off(self._connection)

    def fileno(self) -> int:
        """Return the socket; it gets readable when the session ends."""
        return self._connection.fileno()

    def check(self) -> None:
        """Take in what the server says unasked: that the session ends."""
        with translated_errors(self._connection):
            self._connection.pgconn.consume_input()

    def _tell_place(self) -> None:
        """Say how the server is reached: see arming.sql."""
        query: LiteralString = """
            SELECT pg_catalog.set_config('pgagent.server_address', %s::text, false),
                   pg_catalog.set_config('pgagent.server_port', %s::text, false)
        """
        info = self._connection.info
        address, _, _ = info.hostaddr.partition("%")  # the zone is this host's own
        self._call(query, address, str(info.port))

    def _renew_settings(self) -> None:
        """Make all settings again, which a trigger of somebody may have changed."""
        with translated_errors(self._connection):
            renew_settings(self._connection)
        self._tell_place()
        self._limit_heartbeats()

    def _limit_heartbeats(self) -> None:
        self._take_at_most(
            max(_LOCK * self._lease, _LEAST_LOCK),
            max(_STATEMENT * self._lease, _LEAST_STATEMENT),
        )

    def _take_at_most(self, lock: float, statement: float) -> None:
        """Have statements wait for locks, and take in all, so many seconds at most."""
        self._call(_AS_LONG_AS, f"{lock * 1000:.0f}ms", f"{statement * 1000:.0f}ms")

    @property
    def _database(self) -> str:
        return f'database "{self._connection.info.dbname}"'

    def _refuse_unfit_pooler(self) -> None:
        pid = self._call("SELECT pg_catalog.pg_backend_pid()")[0][0]
        if pid == self._connection.pgconn.backend_pid:
            return
        try:
            address = self._connection.info.hostaddr or None
            reason = why_unfit(make_conninfo(self.server_conninfo, hostaddr=address))
        except psycopg.Error as e:
            raise CatalogLostError(str(e).strip()) from e
        if reason is not None:
            raise PoolerError(f"{self._database}: {reason}")

    def _explained(self, error: CatalogError) -> CatalogError:
        """Return the error with its cause and remedy, if the session can still tell."""
        if isinstance(error, CatalogLostError):
            return error
        with contextlib.suppress(psycopg.Error):
            return Probes(self._connection).explain(error)
        return error

    def _call(self, query: LiteralString, *parameters: object) -> list[Row]:
        with translated_errors(self._connection):
            cursor = self._connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []


def _now() -> float:
    """Return the time of a clock that goes on while this machine sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(boot)
