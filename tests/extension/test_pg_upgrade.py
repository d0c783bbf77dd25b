"""pg_upgrade, which moves files, keeps all of an installation.

It runs from the server's version to the same one: the way is that of any two.
"""

import subprocess

import psycopg
import pytest
from cluster import Cluster
from transitions import leave, register, sweep

from .contents import BUSY_42, add_everywhere, contents, install_42
from .members import members

pytestmark = pytest.mark.needs("pg_upgrade", "pgagent_4_2")


def pg_upgrade(old, new):
    """Move the databases of a stopped server to another, both in their owner's name."""
    owner = new.data.stat()
    command = [
        *(new.bindir / "pg_upgrade", "--link", "--jobs=2", f"--username={new.user}"),
        *(f"--old-datadir={old.data}", f"--old-bindir={old.bindir}"),
        *(f"--new-datadir={new.data}", f"--new-bindir={new.bindir}"),
        f"--socketdir={new.host}",
    ]
    done = subprocess.run(
        command,
        cwd=new.directory,
        env=new.client_environ() | {"LD_LIBRARY_PATH": new.libraries},
        user=owner.st_uid,
        group=owner.st_gid,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_pg_upgrade_keeps_everything_and_a_sweep_closes_what_ran():
    with Cluster() as old, Cluster() as new:
        with psycopg.connect(old.conninfo()) as conn:
            install_42(conn)
            conn.execute(BUSY_42)
            conn.execute("ALTER EXTENSION pgagent UPDATE")
            conn.commit()
            # A runner has been here: jobs of its host go on in the same place.
            with psycopg.connect(old.conninfo()) as session:
                register(session)
                leave(session)
            expected = members(conn), contents(conn)
        old.stop()
        new.stop()

        pg_upgrade(old, new)

        new.start()
        with psycopg.connect(new.conninfo()) as conn:
            assert (members(conn), contents(conn)) == expected
            add_everywhere(conn)
            register(conn)
            told = "SELECT current_setting('pgagent.note')"
            (note,) = conn.execute(told).fetchone() or ("",)
            assert "the jobs go on in the place" in note
            unarmed = "SELECT DISTINCT jagunarmed FROM pgagent.pga_jobagent"
            assert conn.execute(unarmed).fetchall() == [(None,)]
            assert sweep(conn) == 3
