"""Waiting in the loop: each wait is woken, or its time is over, and none blocks another."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from pgagent_runner.libpq import watched
from pgagent_runner.waiting import in_thread, wait, wake
from support import poll

LONG = 60  # seconds that no test lasts


@pytest.fixture
def pair():
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def woken_after(seconds, limit=LONG):
    """Wait for a future that is woken so late; return how long that took."""

    async def work():
        waiter = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(seconds, wake, waiter)
        began = time.monotonic()
        await wait(waiter, limit)
        return time.monotonic() - began

    return work()


def test_a_call_ends_a_wait(loop):
    assert loop.run(woken_after(0.05)) < 10


def test_time_ends_a_wait(loop):
    assert 0.05 <= loop.run(woken_after(LONG, 0.05)) < 10


def test_who_was_woken_before_does_not_wait(loop):
    async def work():
        waiter = asyncio.get_running_loop().create_future()
        wake(waiter)
        wake(waiter)
        wake(None)
        await wait(waiter, LONG)
        await wait(waiter)

    loop.run(work())


def test_a_wait_leaves_no_timer_behind(loop):
    async def work():
        waiter = asyncio.get_running_loop().create_future()
        wake(waiter)
        await wait(waiter, LONG)
        cancelled = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(wait(cancelled, LONG))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        running: Any = asyncio.get_running_loop()
        timers = running._scheduled  # noqa: SLF001
        assert all(timer.cancelled() for timer in timers), timers

    loop.run(work())


def test_a_thousand_tasks_wait_at_the_same_time_in_one_thread(loop):
    threads = set()

    async def one(waiter):
        threads.add(threading.get_ident())
        await wait(waiter, LONG)

    async def work():
        waiters = [asyncio.get_running_loop().create_future() for _ in range(1000)]
        tasks = [asyncio.ensure_future(one(waiter)) for waiter in waiters]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        for waiter in waiters:
            wake(waiter)
        await asyncio.gather(*tasks)

    loop.run(work())
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


@pytest.mark.parametrize("comes", [True, False])
def test_a_descriptor_that_is_ready_ends_a_wait(loop, pair, comes):
    reader, writer = pair

    async def work():
        waiter = asyncio.get_running_loop().create_future()
        with watched(reader.fileno(), waiter, read=True, write=False):
            await wait(waiter, LONG if comes else 0.05)
        return waiter

    waiting = loop.start(work())
    if comes:
        assert not waiting.done()
        writer.send(b"x")
    assert waiting.result(10).done()


def test_a_descriptor_is_watched_no_longer_than_the_wait(loop, pair):
    reader, _ = pair

    async def work():
        for direction in (
            {"read": True, "write": False},
            {"read": False, "write": True},
        ):
            waiter = asyncio.get_running_loop().create_future()
            with watched(reader.fileno(), waiter, **direction):
                await wait(waiter, 0.01)
        running: Any = asyncio.get_running_loop()
        selector = running._selector  # noqa: SLF001
        return reader.fileno() in {key.fd for key in selector.get_map().values()}

    assert not loop.run(work())


def test_what_blocks_goes_on_in_a_thread_of_its_own(loop):
    gate = threading.Event()
    many = [loop.start(in_thread(gate.wait, LONG)) for _ in range(100)]
    # As many as there are: no pool of threads would have one left for this.
    assert loop.run(in_thread(threading.get_ident)) != threading.get_ident()
    assert not any(blocked.done() for blocked in many)
    gate.set()
    assert all(blocked.result(10) for blocked in many)


def test_what_blocks_returns_and_raises_where_it_is_waited_for(loop):
    def fail(text, *, end):
        raise ValueError(text + end)

    assert loop.run(in_thread(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ValueError, match="no more"):
        loop.run(in_thread(fail, "no ", end="more"))


def test_who_waits_no_longer_for_what_blocks_is_free_at_once(loop):
    gate = threading.Event()

    async def work():
        blocked = asyncio.ensure_future(in_thread(gate.wait, LONG))
        await asyncio.sleep(0.01)
        blocked.cancel()
        await asyncio.wait([blocked], timeout=LONG)
        return blocked.cancelled()

    assert loop.run(work())
    gate.set()  # whose result nobody waits for
    poll(lambda: not [t for t in threading.enumerate() if t.name == "blocking"])
    assert loop.run(in_thread(divmod, 7, 2)) == (3, 1)


def test_a_lack_of_threads_is_an_error_of_the_system(loop, monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(OSError, match="can't start new thread"):
            loop.run(in_thread(time.sleep, 0))
    assert loop.run(in_thread(lambda: 1)) == 1


def test_what_blocks_does_not_keep_the_process_from_its_end():
    program = (
        "import asyncio, time\n"
        "from pgagent_runner.waiting import in_thread\n"
        "async def work():\n"
        "    blocked = asyncio.create_task(in_thread(time.sleep, 60))\n"
        "    await asyncio.sleep(0.1)\n"
        "asyncio.run(work())\n"
    )
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stderr) == (os.EX_OK, "")
    assert time.monotonic() - began < 20


def test_a_task_that_waits_is_not_collected(loop):
    """The loop itself refers to tasks but weakly."""
    woken = []

    async def one(coroutine):
        await coroutine
        woken.append(1)

    async def work():
        for _ in range(30):
            asyncio.ensure_future(one(in_thread(time.sleep, 0.2)))  # noqa: RUF006
            asyncio.ensure_future(one(woken_after(0.2)))  # noqa: RUF006
        await asyncio.sleep(0.01)
        gc.collect()

    loop.run(work())
    poll(lambda: len(woken) == 60)
