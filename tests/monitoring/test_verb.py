"""`pgagent metrics` prints the view as Prometheus reads it, or replaces a file with it."""

import os
import stat
from contextlib import closing

import psycopg
import pytest
from jobs import add_job
from pgagent_runner.verbs import documents
from runner.test_exposition import HOSTILE, parsed
from support import database


def test_what_is_printed_is_the_view(conn, metrics, busy):
    done = metrics()
    assert (done.returncode, done.stderr) == (0, b"")
    got = {
        (name, frozenset(labels.items())): float(value)
        for name, labels, value in parsed(done.stdout.decode())
    }
    rows = conn.execute("SELECT name, labels, value FROM pgagent.metrics").fetchall()
    assert len(rows) > 40
    assert got == pytest.approx(
        {(name, frozenset(labels.items())): value for name, labels, value in rows},
        abs=60,
    )


@pytest.mark.needs("prometheus")
def test_promtool_finds_no_fault_with_it(conn, metrics, promtool, busy):
    assert promtool("check", "metrics", stdin=metrics().stdout.decode()) == ""


@pytest.mark.needs("prometheus")
def test_hostile_names_survive(conn, metrics, promtool):
    ids = {str(add_job(conn, jobname=name, due=None)): name for name in HOSTILE}
    conn.execute("SELECT pgagent.create_class(E'a\"\\\\\\n', 1)")
    conn.execute(
        "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (7, E'\"\\\\\\n{}')"
    )
    printed = metrics().stdout.decode()
    samples = parsed(printed)
    names = {
        m["job_id"]: m["job"] for name, m, _ in samples if name == "pgagent_job_enabled"
    }
    assert names == ids
    assert {m["station"] for n, m, _ in samples if n == "pgagent_runner_up"} == {
        '"\\\n{}'
    }
    assert {m["class"] for n, m, _ in samples if n == "pgagent_class_limit"} == {
        'a"\\\n'
    }
    promtool("check", "metrics", stdin=printed)


def test_bytes_that_are_no_text_are_no_obstacle(cluster, maker, metrics):
    with (
        database(
            maker,
            "bytes",
            "template0",
            "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
        ) as name,
        closing(psycopg.connect(cluster.conninfo(name), autocommit=True)) as conn,
    ):
        conn.execute("CREATE EXTENSION pgagent")
        conn.execute(
            b"INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'a\xff')"
        )
        done = metrics("-d", name)
    assert done.returncode == 0, done.stderr
    assert b'pgagent_job_enabled{job="a?",job_id="1"} 1\n' in done.stdout


def test_a_file_is_replaced_at_once(metrics, busy, tmp_path):
    """Who has it open, or reads it meanwhile, has all of the old one or of the new one."""
    target = tmp_path / "pgagent.prom"
    old_mask = os.umask(0o022)
    try:
        assert metrics("--output", target).returncode == 0
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o644  # node_exporter is another user
    first = target.read_text()
    assert "pgagent_runners 1\n" in first
    with target.open() as opened:
        assert metrics("--output", target).returncode == 0
        assert opened.read() == first
    assert [path.name for path in tmp_path.iterdir()] == ["pgagent.prom"]


def test_a_new_file_is_there_when_it_is_whole(monkeypatch, tmp_path):
    target = tmp_path / "pgagent.prom"
    was_there = []
    monkeypatch.setattr(os, "fsync", lambda _: was_there.append(target.exists()))
    documents.write(target, "all of it\n")
    assert (was_there, target.read_text()) == ([False], "all of it\n")


def test_a_database_that_cant_be_asked_leaves_the_file_as_it_was(metrics, tmp_path):
    target = tmp_path / "pgagent.prom"
    target.write_text("as it was")
    done = metrics("--output", target, "-d", "nosuch")
    assert done.returncode == 1
    assert b"nosuch" in done.stderr
    assert target.read_text() == "as it was"


def test_a_file_that_cant_be_written_is_told(metrics, busy, tmp_path):
    (tmp_path / "file").touch()
    done = metrics("--output", tmp_path / "file" / "pgagent.prom")
    assert done.returncode == 1
    assert b"can't be written" in done.stderr


def test_the_text_is_utf_8_whatever_the_language(conn, metrics):
    add_job(conn, name="é日", due=None)
    done = metrics(LC_ALL="C", PYTHONIOENCODING="ascii")
    assert 'job="é日"'.encode() in done.stdout


@pytest.mark.parametrize("mode", [0o1777, 0o755])
def test_where_everybody_may_lay_links_none_is_followed(tmp_path, mode):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    theirs = tmp_path / "precious"
    theirs.write_text("precious")
    link = shared / "pgagent.prom"
    link.symlink_to(theirs)
    documents.write(link, "all of it\n")
    is_shared = mode == 0o1777
    assert link.is_symlink() is not is_shared
    assert theirs.read_text() == ("precious" if is_shared else "all of it\n")
    assert link.read_text() == "all of it\n"
    assert stat.S_IMODE(link.stat().st_mode) & 0o111 == 0
