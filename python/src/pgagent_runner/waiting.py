"""Waiting in the loop for what asyncio does not wait for by itself.

A wait here is a future without a result: whoever ends it, for whatever reason, calls
`wake`, and whoever has waited looks what has come.
"""

import asyncio
import contextlib
import errno
import math
import selectors
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Waiter = asyncio.Future[None]


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop whose timers are a millisecond late at most.

    With epoll, its default, every second one is by one more: rounded up twice. And poll
    learns without a call of the system what is to be watched.
    """
    return asyncio.SelectorEventLoop(selectors.PollSelector())


def wake(waiter: Waiter | None) -> None:
    """End a wait, if there is one that has not ended yet: in the loop's thread."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


async def wait(waiter: Waiter, seconds: float = math.inf) -> None:
    """Wait to be woken, for so many seconds at most."""
    if seconds == math.inf:
        await waiter
        return
    timer = waiter.get_loop().call_later(seconds, wake, waiter)
    try:
        await waiter
    finally:
        timer.cancel()


async def in_thread(
    function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call what may block; raise OSError if no thread is left.

    The thread is a new one, so nothing waits for another one to become free, and nobody
    waits for it at the end of the process.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():  # nobody waits any more
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def work() -> None:
        result, error = None, None
        try:
            result = function(*args, **kwargs)
        except BaseException as e:  # noqa: BLE001 (raised where it is waited for)
            error = e
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, error)

    try:
        threading.Thread(target=work, name="blocking", daemon=True).start()
    except RuntimeError as e:
        raise OSError(errno.EAGAIN, str(e)) from e
    return await done
