"""The session of an agent: there it registers, and shows that it lives."""

from typing import LiteralString, Self
from uuid import UUID, uuid4

import psycopg
from psycopg.conninfo import make_conninfo

from pgagent_runner.catalog.connection import (
    Row,
    break_off,
    connect,
    merge_conninfo,
    parse_conninfo,
    translated_errors,
)
from pgagent_runner.catalog.errors import CatalogError
from pgagent_runner.catalog.strangers import refuse_strangers
from pgagent_runner.model import Pulse

# What a refused registration lacks, by SQLSTATE.
_INSTALL = 'database "{0}" has no pgagent: CREATE EXTENSION pgagent, or pgagent init'
_UPDATE = (
    'database "{0}" has no pgagent of this version ({1}): ALTER EXTENSION pgagent'
    " UPDATE, or pgagent update"
)
_REMEDIES = {
    "3F000": _INSTALL,
    "42P01": _UPDATE,
    "42883": _UPDATE,
    "42501": "{1}; docs/security.md lists what the runner's login needs",
}


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
        # Somebody's lock on pga_job must not keep the heartbeat waiting.
        self._connection = connect(conninfo, lock_timeout=lease / 4)

    def register(
        self, *, starting: bool = True, runner: UUID | None = None, arm: bool = False
    ) -> None:
        """Become an agent.

        If it is `starting`, and not just reconnecting, jobs with a schedule @reboot are
        due. `runner` names this process, which may register again. With `arm`, a copy
        of a database is armed first. Raises `StrangersError` if the schema is not its
        owner's alone.
        """
        with translated_errors(self._connection):
            refuse_strangers(self._connection)
        query: LiteralString = """
            SELECT pgagent.pga_agent_register(
                       %s::text, pg_catalog.make_interval(secs => %s::double precision),
                       %s::boolean, %s::uuid
                   ), pg_catalog.current_setting('max_connections'::text)::integer,
                   pgagent.pgagent_version()
        """
        identity = runner or uuid4()
        try:
            self._tell_place()
            armed = self._call("SELECT pgagent.arm()")[0][0] if arm else None
            row = self._call(query, self._station, self._lease, starting, identity)[0]
        except CatalogError as e:
            raise self._with_remedy(e) from e
        self._agent_id: int = row[0]
        self._max_connections: int = row[1]
        query = """
            SELECT a.jagunarmed,
                   NULLIF(pg_catalog.current_setting('pgagent.note'::text, true), '')
            FROM pgagent.pga_jobagent AS a WHERE a.jagpid = %s::integer
        """
        row = self._call(query, self._agent_id)[0]
        self._unarmed: str | None = row[0]
        self._notes: list[str] = [text for text in (armed, row[1]) if text]

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
        info = self._connection.info
        parameters = parse_conninfo(self._conninfo)
        if "hostaddr" in parameters:
            parameters["hostaddr"] = info.hostaddr
        parameters |= {"host": info.host, "port": info.port, "user": info.user}
        return make_conninfo("", **parameters)

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

    def heartbeat(self) -> Pulse:
        """Renew the lease, bury dead agents, and hear which runs are to be stopped."""
        query: LiteralString = """
            SELECT swept, dying, cancelled, reasons,
                   (SELECT a.jagunarmed FROM pgagent.pga_jobagent AS a
                    WHERE a.jagpid = %s::integer)
            FROM pgagent.pga_agent_heartbeat(
                %s::integer, pg_catalog.make_interval(secs => %s::double precision)
            )
        """
        row = self._call(query, self._agent_id, self._agent_id, self._lease)[0]
        swept, dying, cancelled, reasons, unarmed = row
        stopped = dict(zip(cancelled or (), reasons or (), strict=True))
        return Pulse(swept, dying, stopped, unarmed)

    @property
    def agent_id(self) -> int:
        """The id of this agent, `pga_jobagent.jagpid`."""
        return self._agent_id

    def leave(self) -> None:
        """End this agent; runs of it that are still open are aborted."""
        self._call("SELECT pgagent.pga_agent_leave(%s::integer)", self._agent_id)

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

    def _with_remedy(self, error: CatalogError) -> CatalogError:
        cause = error.__cause__
        sqlstate = cause.sqlstate if isinstance(cause, psycopg.Error) else None
        remedy = _REMEDIES.get(sqlstate or "", "{1}")
        return type(error)(remedy.format(self._connection.info.dbname, error))

    def _call(self, query: LiteralString, *parameters: object) -> list[Row]:
        with translated_errors(self._connection):
            cursor = self._connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []
