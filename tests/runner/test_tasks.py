"""Tasks share a thread: each waits for itself, and none keeps another one waiting."""

import os
import select
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest
from pgagent_runner.tasks import (
    Flag,
    Turn,
    go_last,
    in_task,
    in_thread,
    wait_for,
    wait_ready,
)
from support import poll

LONG = 60  # seconds that no test lasts


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture(params=["task", "thread"])
def anywhere(request, result_of):
    """Execute a function as a task, and in a thread; return a future of its result."""
    if request.param == "task":
        yield result_of
        return
    with ThreadPoolExecutor() as threads:
        yield threads.submit


def test_all_tasks_share_one_thread(result_of):
    threads = {result_of(threading.get_ident).result(10) for _ in range(50)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
    assert result_of(in_task).result(10)
    assert not in_task()


def test_a_thousand_tasks_wait_at_the_same_time(tasks, result_of):
    flag = Flag()
    waiting = [result_of(partial(flag.wait, LONG)) for _ in range(1000)]
    assert not any(future.done() for future in waiting)
    flag.set()
    assert all(future.result(10) for future in waiting)


def test_a_descriptor_that_is_readable_ends_the_wait(anywhere, pipe):
    reader, writer = pipe
    future = anywhere(lambda: wait_ready({reader: select.POLLIN}, LONG))
    assert not future.done()
    os.write(writer, b"x")
    assert future.result(10) == {reader}


def test_a_second_task_that_waits_for_a_descriptor_is_refused(result_of, pipe):
    reader, writer = pipe
    same = os.dup(reader)
    both = {same: select.POLLIN, reader: select.POLLIN}
    future = result_of(lambda: wait_ready({reader: select.POLLIN}, LONG))
    with pytest.raises(ValueError, match="another task waits for"):
        result_of(lambda: wait_ready(both, LONG)).result(10)
    other = result_of(lambda: wait_ready({same: select.POLLIN}, LONG))
    os.write(writer, b"x")
    assert (future.result(10), other.result(10)) == ({reader}, {same})


def test_time_ends_a_wait(anywhere):
    began = time.monotonic()
    assert anywhere(lambda: wait_ready({}, 0.05)).result(10) == set()
    assert time.monotonic() - began >= 0.05


def test_a_flag_ends_a_wait_and_later_ones(anywhere, pipe):
    reader, _ = pipe
    with closing(Flag()) as flag:
        wait = partial(wait_ready, {reader: select.POLLIN}, LONG, flag)
        future = anywhere(wait)
        flag.set()
        assert future.result(10) == set()
        assert anywhere(wait).result(10) == set()
        assert anywhere(lambda: flag.wait(LONG)).result(10)


@pytest.mark.parametrize("number", [0, 1])
def test_any_of_several_flags_ends_a_wait(anywhere, number):
    with closing(Flag()) as one, closing(Flag()) as other:
        future = anywhere(lambda: wait_ready({}, LONG, one, other))
        (one, other)[number].set()
        assert future.result(10) == set()


def test_a_flag_that_was_cleared_ends_no_wait(anywhere):
    with closing(Flag()) as flag:
        flag.set()
        flag.clear()
        flag.clear()
        assert not anywhere(lambda: flag.wait(0.05)).result(10)
        flag.set()
        assert anywhere(lambda: flag.wait(LONG)).result(10)


def test_a_flag_that_is_set_is_readable(pipe):
    with closing(Flag()) as flag:
        flag.set()
        flag.set()
        assert wait_ready({flag.fileno(): select.POLLIN}, LONG) == {flag.fileno()}
        flag.clear()
        assert wait_ready({flag.fileno(): select.POLLIN}, 0) == set()


def test_what_came_too_late_for_one_wait_does_not_end_the_next(result_of, pipe):
    reader, writer = pipe
    flag = Flag()

    def work():
        # Both end the first wait, in whatever order.
        os.write(writer, b"x")
        flag.set()
        wait_ready({reader: select.POLLIN}, LONG, flag)
        os.read(reader, 1)
        began = time.monotonic()
        wait_ready({reader: select.POLLIN}, 0.05)
        return time.monotonic() - began

    assert result_of(work).result(10) >= 0.05


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_would_still_have_ended_a_wait_ends_nothing_else(
    tasks, result_of, pipe, goes_on
):
    reader, writer = pipe
    same = os.dup(reader)
    flag, given = Flag(), Future[str]()

    def first():
        # In the same round as the second's descriptor, and before it has its turn.
        wait_ready({reader: select.POLLIN}, LONG)
        flag.set()

    def second():
        wait_ready({same: select.POLLIN}, LONG, flag)
        return wait_for(given) if goes_on else "ended"

    started = result_of(first), result_of(second)
    result_of(lambda: None).result(10)
    os.write(writer, b"x")
    assert started[0].result(10) is None
    for _ in range(3):  # rounds in which it could go on too early
        result_of(lambda: None).result(10)
    assert started[1].done() is not goes_on
    given.set_result("ended")
    assert started[1].result(10) == "ended"
    assert result_of(lambda: "others go on").result(10) == "others go on"


def test_a_future_is_waited_for_and_raises(anywhere):
    given: Future[None] = Future()
    taken = anywhere(lambda: wait_for(given))
    assert not taken.done()
    given.set_exception(ValueError("why"))
    with pytest.raises(ValueError, match="why"):
        taken.result(10)


def test_what_blocks_goes_on_in_a_thread_of_its_own(result_of):
    gate = threading.Event()
    blocked = result_of(lambda: in_thread(gate.wait, LONG))
    assert result_of(lambda: 1).result(10) == 1
    assert not blocked.done()
    gate.set()
    assert blocked.result(10)


def test_a_lack_of_threads_is_an_error_of_the_system(result_of, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        future = result_of(lambda: in_thread(time.sleep, 0))
        with pytest.raises(OSError, match="can't start new thread"):
            future.result(10)
    assert result_of(lambda: in_thread(lambda: 1)).result(10) == 1


def _no_thread(_):
    raise RuntimeError("can't start new thread")


def test_an_error_ends_its_task_only(tasks, result_of):
    def work():
        raise ValueError("a defect")

    tasks.start(work)
    assert result_of(lambda: 1).result(10) == 1


def test_a_task_that_never_waits_long_lets_the_others_go_on(result_of, pipe):
    reader, writer = pipe
    os.write(writer, b"x")
    done: list[int] = []

    def busy():
        rounds = 0
        while not done and rounds < 100_000:
            wait_ready({reader: select.POLLIN})  # it is readable all the time
            rounds += 1
        return rounds

    future = result_of(busy)
    result_of(lambda: done.append(1)).result(10)
    assert future.result(10) < 100_000


def test_who_goes_last_lets_all_others_go_on_that_can(result_of):
    called = Flag()
    order = []

    def go(name, before):
        called.wait(LONG)
        before()
        order.append(name)

    going = [result_of(partial(go, *how)) for how in (("a", go_last), ("b", int))]
    result_of(called.set).result(10)  # by a task: so both can go on at the same time
    for future in going:
        future.result(10)
    assert order == ["b", "a"]


def test_a_thread_that_goes_last_waits_for_nobody():
    go_last()


def test_closing_waits_for_the_tasks_that_are_under_way(tasks):
    ended = []

    def work():
        wait_ready({}, 0.05)
        ended.append(1)

    tasks.start(*[work] * 10)
    tasks.close()
    assert ended == [1] * 10


def test_one_that_blocks_all_the_others_is_noticed(tasks):
    began, gate = threading.Event(), threading.Event()

    def work():
        began.set()
        gate.wait(LONG)

    tasks.start(work)
    began.wait(LONG)
    first = tasks.stuck_for
    assert tasks.stuck_for > first
    gate.set()


def test_a_defect_of_the_loop_ends_the_process_instead_of_hanging():
    program = (
        "from pgagent_runner.tasks import TaskLoop\n"
        "loop = TaskLoop()\n"
        "loop._execute = None\n"
        "loop.start(lambda: None)\n"
        "loop.close()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == os.EX_SOFTWARE
    assert "an error in the runner itself" in ended.stderr


def test_a_turn_is_held_by_one_at_a_time_and_passed_on_in_order(anywhere, result_of):
    turn, let_go, order = Turn(), Flag(), []

    def hold(number):
        with turn:
            order.append(number)
            let_go.wait(LONG)
            order.append(number)

    futures = []
    for number in range(5):
        futures.append(anywhere(partial(hold, number)))
        result_of(lambda: None).result(10)
    poll(lambda: order == [0])
    let_go.set()
    for future in futures:
        future.result(10)
    assert sorted(order[::2]) == list(range(5))
    assert order[::2] == order[1::2]
    with turn:
        pass


def test_who_raises_gives_up_its_turn(anywhere):
    turn = Turn()

    def fail():
        with turn:
            raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            anywhere(fail).result(10)
