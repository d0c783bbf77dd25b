"""What a runner tells those who ask it by HTTP, and that nobody can keep it from its work."""

import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest
from documents import block
from jobs import add_job, batch
from psycopg.conninfo import make_conninfo
from runner.lossy_proxy import LossyProxy
from support import poll

from .listener import Listener, figures, first, read_all
from .runner_process import PGAGENT, Program, Runner, ended_runs, running_step

DECLARE = "DECLARE metrics NO SCROLL CURSOR"
PATHS = ["/livez", "/readyz", "/metrics"]


@pytest.fixture
def listener(dsn):
    with Listener(dsn) as runner:
        runner.listens()
        runner.becomes(200, "ready")
        yield runner


# What is answered


def test_each_path_answers_get_and_head_and_nothing_else(listener):
    assert listener.ask("/livez") == (200, "alive\n")
    assert listener.ask("/readyz") == (200, "ready\n")
    status, text = listener.ask("/metrics")
    assert (status, figures(text)["pgagent_ready"]) == (200, 1)
    for path in PATHS:
        assert listener.ask(f"{path}?x=%2F")[0] == 200
        assert listener.ask(path, "HEAD") == (200, "")
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
            assert listener.ask(path, method) == (405, "there is GET and HEAD\n")
    told = "there is /livez, /readyz and /metrics\n"
    for path in ("/", "/metricsx", "/metrics/", "//metrics", "/../metrics", "*"):
        assert listener.ask(path) == (404, told)


def test_an_answer_is_one_of_http(listener):
    whole = listener.say(b"GET http://anybody:1/livez HTTP/1.0\r\n\r\n")
    assert whole == (
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Length: 6\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\nalive\n"
    )
    assert "\r\nAllow: GET, HEAD\r\n" in listener.say(b"PUT /livez HTTP/1.1\n\n")
    kind = "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
    assert kind in listener.say(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")


NO_REQUESTS = [
    b"GET /livez\r\n\r\n",
    b"GET  /livez HTTP/1.1\r\n\r\n",
    b"GET /livez HTTP/2.0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"get /livez HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
    b"\r\n\r\n",
    b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nX: " + b"x" * 100_000,
    b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 5000,
]


def test_what_is_no_request_is_refused(listener):
    for request in NO_REQUESTS:
        answer = listener.say(request)
        assert answer.startswith("HTTP/1.1 400 Bad Request\r\n"), request
    assert listener.ask("/livez")[0] == 200


def test_a_request_may_come_in_parts_and_bring_a_body(listener):
    with listener.connect() as there:
        for part in (
            b"GET /li",
            b"vez HTTP/1.1\r",
            b"\nContent-Length: 90000\r\n\r",
            b"\n",
        ):
            there.sendall(part)
            time.sleep(0.02)
        there.sendall(b"x" * 90_000)
        assert read_all(there).endswith("\r\n\r\nalive\n")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl_understands_it(listener):
    answer = subprocess.run(
        ["curl", "-sS", "-w", "%{http_code} %{num_connects}"]
        + [f"http://localhost:{listener.port}{path}" for path in ("/livez", "/readyz")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.stdout == "alive\n200 1ready\n200 1"


# States


def test_a_runner_without_a_server_lives_and_becomes_ready_with_it(frail, frail_dsn):
    with psycopg.connect(frail.conninfo(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS late WITH (FORCE)")
        with Listener("--retry", 0.2, frail.conninfo("late")) as runner:
            runner.listens()
            assert runner.ask("/livez") == (200, "alive\n")
            runner.becomes(503, 'not ready: can\'t connect to database "late": ')
            found = runner.figures()
            assert found["pgagent_ready"] == 0
            assert found["pgagent_scrape_error"] == 1
            assert found["pgagent_workers"] == 0

            admin.execute("CREATE DATABASE late")
            assert runner.becomes(200, "ready", 15) == (200, "ready\n")
            assert runner.figures()["pgagent_workers"] > 0


def test_a_runner_is_not_ready_while_its_server_is_stopped(frail, frail_dsn):
    with Listener("--retry", 0.2, frail_dsn) as runner:
        runner.listens().becomes(200, "ready")
        frail.stop()
        try:
            runner.becomes(503, "not ready: ")
            assert runner.ask("/livez") == (200, "alive\n")
            assert runner.figures()["pgagent_scrape_error"] == 1
        finally:
            frail.start()
        runner.becomes(200, "ready")
        poll(lambda: runner.figures()["pgagent_scrape_error"] == 0)


def test_a_server_that_does_not_answer_keeps_no_scrape_waiting(cluster, dsn, tmp_path):
    with (
        LossyProxy(tmp_path, cluster.host, cluster.port) as proxy,
        Listener("--lease", 8, f"{dsn} host={tmp_path}") as runner,
        ThreadPoolExecutor(2) as pool,
    ):
        runner.listens().becomes(200, "ready")
        proxy.hang()
        began = time.monotonic()
        scrapes = [pool.submit(runner.figures) for _ in range(2)]
        runner.becomes(503, "not ready: the database has not answered for 4 s")
        assert runner.ask("/livez", timeout=1) == (200, "alive\n")
        for scrape in scrapes:
            assert scrape.result()["pgagent_scrape_error"] == 1
        assert 4 < time.monotonic() - began < 9
        assert runner.figures()["pgagent_scrape_error"] == 1  # a failure is told on
        assert time.monotonic() - began < 9


def test_a_runner_that_stands_still_is_not_answering(listener):
    listener.send(signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            listener.ask("/livez", timeout=0.5)
    finally:
        listener.send(signal.SIGCONT)
    assert listener.ask("/livez") == (200, "alive\n")


def test_a_runner_that_may_start_no_job_is_ready_and_says_so(conn, listener):
    add_job(conn, "SELECT 1", due=None)  # in a copy without jobs the first one arms
    conn.execute("DELETE FROM pgagent.pga_arming")
    listener.send(signal.SIGHUP)
    told = listener.becomes(200, "ready, but no job starts: ")[1]
    assert "SELECT pgagent.arm()" in told
    assert told.count("\n") == 1

    conn.execute("SELECT pgagent.arm()")
    poll(lambda: listener.ask() == (200, "ready\n"))


def test_a_runner_that_stops_is_not_ready_and_answers_to_its_end(conn, dsn, gate):
    code, open_gate = gate
    with Listener("--grace", 30, dsn) as runner:
        runner.listens().becomes(200, "ready")
        add_job(conn, batch(code))
        poll(lambda: runner.figures()["pgagent_scripts"] == 1)
        runner.send(signal.SIGTERM)

        runner.becomes(503, "not ready: it has been asked to stop")
        assert runner.ask("/livez") == (200, "alive\n")
        assert runner.figures()["pgagent_scripts"] == 1
        held = [runner.connect() for _ in range(5)]
        open_gate()
        assert runner.ended() == 0
        for there in held:
            there.close()
    assert ended_runs(conn) == "s"


def test_it_ends_while_it_is_scraped(dsn):
    with Listener(dsn) as runner, ThreadPoolExecutor(8) as pool:
        runner.listens().becomes(200, "ready")

        def scrape():
            with suppress(OSError):
                while runner.ask("/metrics")[0] == 200:
                    pass

        for _ in range(8):
            pool.submit(scrape)
        poll(lambda: runner.figures()["process_cpu_seconds_total"] > 0)
        began = time.monotonic()
        assert runner.stop() == 0
        assert time.monotonic() - began < 5
        assert "error in the runner" not in runner.log
        assert "Traceback" not in runner.log


def test_the_check_of_a_container_tells_ready_from_not(conn, dsn):
    """That of the page, which takes no other program than Python's."""
    compose = block("docs/operating.md", "services:")
    command = first(r"command: pgagent (.*)", compose).replace("9630", "0").split()
    code = first(r'test: \[CMD, python3, -c, "(.*)"\]', compose)
    with Listener(dsn, command=command) as runner:
        runner.listens()
        check = [sys.executable, "-c", code.replace("9630", str(runner.port))]
        poll(lambda: subprocess.run(check, check=False).returncode == 0)

        add_job(conn, batch("sleep 60"))
        running_step(conn)
        runner.send(signal.SIGTERM)
        poll(lambda: subprocess.run(check, check=False, stderr=-3).returncode == 1)
        runner.send(signal.SIGTERM)
        assert runner.ended() == 0


def test_the_probes_of_kubernetes_are_answered(dsn):
    pod = block("docs/operating.md", "containers:")
    address = first(r'args: \[run, --listen, "(.*)"\]', pod).replace("9630", "0")
    with Listener(dsn, command=["run", "--listen", address]) as runner:
        runner.listens().becomes(200, "ready")
        paths = re.findall(r"path: (/\w+)", pod)
        assert paths == ["/livez", "/readyz"]
        assert [runner.ask(path)[0] for path in paths] == [200, 200]


def test_a_service_listens_by_a_variable(dsn):
    name, port = block("docs/operating.md", "PGAGENT_LISTEN=").strip().split("=")
    with Listener(dsn, command=["run"], environ={name: "0"}) as runner:
        runner.listens().becomes(200, "ready")
    assert port == "9630"


# Addresses


def test_an_address_that_is_taken_is_told_before_anything_else(listener, dsn):
    told = (
        f"pgagent: can't listen on 127.0.0.1:{listener.port}: Address already in use\n"
    )
    where = f"--listen={listener.port}"
    # In the form of 4.2, too, before it goes into the background.
    for command in (["run", where, dsn], [where, dsn], ["-f", where, dsn]):
        with Program([PGAGENT, *command]) as second:
            assert second.ended() == 2
            assert second.log == told


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("nowhere.invalid:80", r".*"),
        ("192.0.2.1:9630", "Cannot assign requested address"),
        (f"{'x' * 70}.example:80", r".*"),
    ],
)
def test_an_address_that_cannot_be_had_ends_the_runner(dsn, address, reason):
    with Program([PGAGENT, "run", "--listen", address, dsn]) as runner:
        assert runner.ended() == 2
        told = re.escape(f"pgagent: can't listen on {address}: ")
        assert re.fullmatch(f"{told}{reason}\n", runner.log), runner.log


def test_a_runner_listens_on_all_addresses_of_a_name(dsn):
    with Runner("--listen", "localhost:0", dsn) as runner:
        runner.ready()
        found = {where[0] for where in listening_sockets(runner.pid)}
    assert found <= {"0100007F", "0" * 24 + "01000000"}
    assert "0100007F" in found


def test_nothing_listens_unless_it_is_told_to(dsn):
    with Runner(dsn) as runner:
        runner.ready()
        assert listening_sockets(runner.pid) == []


def listening_sockets(pid):
    """Return the addresses, and the ports, on which a process listens by TCP."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            own.add(str(descriptor.readlink()))
    found = []
    for table in (Path(f"/proc/{pid}/net/tcp"), Path(f"/proc/{pid}/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in own:
                found.append(local.split(":"))
    return found


def test_a_port_is_free_at_once_when_a_runner_has_been_killed(conn, dsn, gate):
    code, open_gate = gate
    with Listener(dsn) as runner:
        runner.listens().becomes(200, "ready")
        add_job(conn, batch(code))
        running_step(conn)
        left = [runner.connect() for _ in range(3)]
        runner.ask("/livez")
        runner.kill()
    with Listener(dsn, port=runner.port) as second:
        second.listens().becomes(200, "ready")
        open_gate()
    for there in left:
        there.close()


# Figures


def test_the_figures_are_those_of_what_has_run(conn, listener):
    for code in ("SELECT 1", "SELECT 1", "SELECT 1/0"):
        add_job(conn, code, due="now() - interval '2 s'")
    add_job(conn)
    assert sorted(ended_runs(conn, count=4)) == ["f", "i", "s", "s"]
    poll(lambda: listener.figures()["pgagent_runs_unrecorded"] == 0)
    found = listener.figures()

    for status, count in (
        ("succeeded", 2),
        ("failed", 1),
        ("nothing_to_do", 1),
        ("aborted", 0),
    ):
        assert found[f'pgagent_runner_runs_total{{status="{status}"}}'] == count
    assert found["pgagent_claims_total"] == 4
    assert found["pgagent_records_total"] == 4
    assert found["pgagent_start_delay_seconds_count"] == 4
    assert (
        found['pgagent_start_delay_seconds_bucket{le="1"}'] == 1
    )  # has no delay by itself
    assert 6 <= found["pgagent_start_delay_seconds_sum"] < 12
    assert found["pgagent_run_duration_seconds_count"] == 4
    assert found["pgagent_claim_duration_seconds_count"] >= 1
    assert 0 < found["pgagent_claim_duration_seconds_sum"] < 5
    assert found["pgagent_record_duration_seconds_count"] >= 1
    assert found["pgagent_workers_busy"] == 0
    assert found["pgagent_scrape_error"] == 0


def test_the_delay_of_a_start_is_the_servers(conn, listener):
    """It is told without a step of our own: from when it was due to when it started."""
    add_job(conn, "SELECT 1", due="now() + interval '1 s'")
    assert ended_runs(conn) == "s"
    row = conn.execute(
        "SELECT extract(epoch FROM jslstart - jlgscheduled)::float8 FROM pgagent.pga_jobsteplog"
        " JOIN pgagent.pga_joblog ON jlgid = jsljlgid"
    ).fetchone()
    told = listener.figures()["pgagent_start_delay_seconds_sum"]
    assert row[0] - 0.001 <= told < row[0] + 0.3


def test_a_job_that_has_been_due_for_ever_runs_and_has_no_delay(conn, listener):
    add_job(conn, "SELECT 1", due="'-infinity'")
    assert ended_runs(conn) == "s"
    assert listener.figures()["pgagent_start_delay_seconds_count"] == 0
    assert listener.figures()["pgagent_claims_total"] == 1


def test_what_is_under_way_is_told(conn, dsn, gate):
    code, open_gate = gate
    with Listener("--workers", 5, dsn) as runner:
        runner.listens().becomes(200, "ready")
        add_job(conn, batch(code))
        add_job(conn, "SELECT pg_sleep(600)")
        poll(lambda: runner.figures()["pgagent_scripts"] == 1)
        poll(lambda: runner.figures()['pgagent_sessions{state="busy"}'] == 1)
        found = runner.figures()
        assert found["pgagent_workers"] == 5
        assert found["pgagent_workers_busy"] == 2
        assert found["pgagent_targets"] == 1
        open_gate()
        poll(lambda: runner.figures()["pgagent_scripts"] == 0)


def test_the_process_tells_of_itself(listener):
    found = listener.figures()

    assert 0 < found["process_cpu_seconds_total"] < 60
    assert 10e6 < found["process_resident_memory_bytes"] < 200e6
    assert abs(found["process_start_time_seconds"] - time.time()) < 60
    assert found["process_open_fds"] == pytest.approx(
        len(list(Path(f"/proc/{listener.pid}/fd").iterdir())), abs=2
    )
    again = listener.figures()
    assert again["process_start_time_seconds"] == found["process_start_time_seconds"]
    poll(lambda: listener.figures()["pgagent_loop_lag_seconds_count"] > 0)


def test_two_runners_tell_the_same_of_the_database_and_their_own_of_themselves(
    conn, dsn
):
    with Listener(dsn) as one, Listener(dsn) as other:
        for runner in (one, other):
            runner.listens().becomes(200, "ready")
        add_job(conn, "SELECT 1", name='a "job"\nof \\ two lines')
        assert ended_runs(conn) == "s"
        poll(lambda: one.figures()["pgagent_runs_unrecorded"] == 0)
        found = [runner.figures() for runner in (one, other)]
    assert sum(f["pgagent_claims_total"] for f in found) == 1
    label = r'{job="a \"job\"\nof \\ two lines",job_id="'
    for each in found:
        assert any(label in name for name in each), each


def test_scrapers_that_come_together_cause_one_question(cluster, conn, dsn):
    conn.execute(f"ALTER DATABASE {conn.info.dbname} SET log_statement = 'all'")
    for n in range(50):
        add_job(conn, "SELECT 1", due=None, name=f"job {n}")
    with Listener(dsn) as runner, ThreadPoolExecutor(20) as pool:
        runner.listens().becomes(200, "ready")
        before = cluster.log.read_text().count(DECLARE)
        answers = list(pool.map(lambda _: runner.ask("/metrics"), range(20)))
        asked = cluster.log.read_text().count(DECLARE) - before
    assert asked == 1
    assert {status for status, _ in answers} == {200}
    assert all(figures(text)["pgagent_scrape_error"] == 0 for _, text in answers)


def test_a_login_with_the_level_of_runners_may_read_the_view(conn, dsn):
    conn.execute("CREATE ROLE pga_scraped LOGIN")
    try:
        conn.execute("SELECT pgagent.grant_access('runner', 'pga_scraped')")
        job_id = add_job(conn, "SELECT 1", due=None)
        with Listener(make_conninfo(dsn, user="pga_scraped")) as runner:
            runner.listens().becomes(200, "ready")
            found = runner.figures()
        assert found["pgagent_scrape_error"] == 0
        assert [name for name in found if f'job_id="{job_id}"' in name]
    finally:
        conn.execute("DROP OWNED BY pga_scraped; DROP ROLE pga_scraped")


def test_a_view_that_is_refused_leaves_the_runners_own_figures(conn, listener):
    conn.execute("ALTER VIEW pgagent.metrics RENAME TO hidden")
    found = listener.figures()
    assert found["pgagent_scrape_error"] == 1
    assert found["pgagent_ready"] == 1
    listener.says("could not read the metrics of the database: ")
    conn.execute("ALTER VIEW pgagent.hidden RENAME TO metrics")
    poll(lambda: listener.figures()["pgagent_scrape_error"] == 0)


def test_the_session_for_the_view_may_end_between_two_scrapes(conn, listener):
    assert listener.figures()["pgagent_scrape_error"] == 0
    add_job(conn, "SELECT 1", name="new", due=None)
    ended = conn.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE query = 'COMMIT' AND application_name = 'pgagent'"
    ).fetchone()
    assert ended == (1,)
    # Until what was told is not told again.
    poll(lambda: 'job="new"' in listener.ask("/metrics")[1], 15)
    assert listener.figures()["pgagent_scrape_error"] == 0


# Whoever means harm


def silence(there):
    there.recv(1)


def reset(there):
    there.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drip(there):
    there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"GET /livez HTTP/1.1\r\nX: " + b"y" * 9000:
        there.sendall(bytes([byte]))


def pour(there):
    while True:
        there.sendall(b"GET /livez HTTP/1.1\r\nX: " + b"y" * 60_000)


def scrape(there):
    there.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    read_all(there)


def half_close(there):
    there.sendall(b"GET /li")
    there.shutdown(socket.SHUT_WR)
    read_all(there)


@pytest.mark.parametrize("attack", [silence, reset, drip, pour, scrape, half_close])
def test_nobody_can_keep_probes_or_jobs_waiting(conn, listener, attack):
    for n in range(20):
        add_job(conn, "SELECT 1", due=f"now() + {n / 10} * interval '1 s'")
    end = time.monotonic() + 2

    def work():
        while time.monotonic() < end:
            with suppress(OSError), listener.connect() as there:
                there.settimeout(max(end - time.monotonic(), 0.01))
                attack(there)

    with ThreadPoolExecutor(40) as pool:
        attackers = [pool.submit(work) for _ in range(40)]
        while time.monotonic() < end:
            assert listener.ask("/livez", timeout=5)[0] == 200
        for attacker in attackers:
            attacker.result()

    assert ended_runs(conn, count=20) == "s" * 20
    delay = (
        "SELECT max(jlgstart - jlgscheduled) < interval '0.5 s' FROM pgagent.pga_joblog"
    )
    assert conn.execute(delay).fetchone() == (True,)
    assert listener.ask() == (200, "ready\n")
    assert "error in the runner" not in listener.log


def test_a_thousand_connections_keep_nobody_out(conn, listener):
    descriptors = listener.figures()["process_open_fds"]
    with ExitStack() as stack:
        for _ in range(1000):
            there = stack.enter_context(socket.socket())
            there.settimeout(0)
            there.connect_ex(("127.0.0.1", listener.port))
        for path in PATHS * 3:
            assert listener.ask(path, timeout=20)[0] == 200
        assert listener.figures()["process_open_fds"] < descriptors + 40
        assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"
    poll(lambda: listener.figures()["process_open_fds"] <= descriptors + 2, 20)


def test_who_reads_slowly_makes_room_for_others(conn, listener):
    # An answer that no buffer of the kernel takes.
    conn.execute(
        "INSERT INTO pgagent.pga_job (jobjclid, jobname)"
        " SELECT 1, repeat('x', 500) || n FROM generate_series(1, 1000) AS n"
    )
    with ExitStack() as stack:
        slow = []
        for _ in range(100):
            there = stack.enter_context(listener.connect())
            there.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            slow.append(there)
        assert len(slow[-1].recv(1000)) == 1000
        assert listener.ask("/livez") == (200, "alive\n")
        text = listener.ask("/metrics", timeout=20)[1]
    assert figures(text)["pgagent_scrape_error"] == 0
    assert len(text) > 5e6


def test_a_connection_that_says_nothing_ends(listener):
    with listener.connect() as there:
        began = time.monotonic()
        assert there.recv(1) == b""
    assert 4 < time.monotonic() - began < 9
