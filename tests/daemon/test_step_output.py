"""What steps write is kept apart, bounded and readable, and every row is finished."""

import re
from pathlib import Path

import pytest
from jobs import add_job, batch, step_runs

from .runner_process import Runner, ended_runs

MIB = 1 << 20
SIZE = 200 * MIB
LIMIT = 150 * MIB


def peak_memory(pid):
    """Return the largest resident set of the process so far, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+) kB", status)
    return int(kilobytes) * 1024


def test_twenty_scripts_at_the_same_time_keep_their_own_output(conn, dsn):
    both = "echo out $PGAGENT_JOB_ID; echo err $PGAGENT_JOB_ID >&2"
    code = f"for i in 1 2 3 4 5; do {both}; done"
    jobs = [add_job(conn, batch(code), due=None) for _ in range(20)]
    with Runner("--workers", "20", dsn) as runner:
        runner.ready()
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

        assert ended_runs(conn, count=20) == "s" * 20

    for job_id in jobs:
        ((_, _, _, output),) = step_runs(conn, job_id)
        assert output == f"out {job_id}\nerr {job_id}\n" * 5


def test_output_that_is_no_text_is_stored_readably(conn, runner):
    add_job(conn, batch(r"printf 'a\0b\377c\303\244\n'"))
    add_job(conn, r"DO $$ BEGIN RAISE NOTICE E'tab\tbell\x07 €'; END $$")

    assert ended_runs(conn, count=2) == "ss"

    outputs = "".join(row[3] for row in step_runs(conn))
    assert "a\\x00b\\xffcä\n" in outputs
    assert "tab\tbell\x07 €" in outputs


@pytest.mark.parametrize(
    "code",
    [
        batch(f"head -c {SIZE} /dev/zero | tr '\\0' x"),
        f"SELECT repeat('x', {MIB}) FROM generate_series(1, {SIZE // MIB})",
        f"COPY (SELECT repeat('x', {MIB}) FROM generate_series(1, {SIZE // MIB})) TO STDOUT",
    ],
    ids=["batch", "rows", "copy"],
)
def test_much_output_is_cut_and_the_runner_stays_small(conn, runner, code):
    add_job(conn, code)

    assert ended_runs(conn, deadline=50) == "s"

    assert peak_memory(runner.pid) < LIMIT
    ((_, _, _, output),) = step_runs(conn)
    assert len(output) < 1.01 * MIB
    if len(output) > MIB // 2:
        assert "bytes omitted" in output
