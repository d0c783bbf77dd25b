"""A loop in a thread of its own, for tests that go on meanwhile."""

import asyncio
import inspect
import itertools
import threading
from concurrent.futures import Future
from contextlib import contextmanager

PATIENCE = 30  # seconds


class LoopThread:
    """A loop that runs in a thread while the block lasts."""

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *_):
        """Let what is left be cancelled, and end."""
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, coroutine) -> Future[object]:
        """Have a task execute this; return the future of its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine):
        """Execute this in the loop, and return or raise its result."""
        return self.start(coroutine).result(PATIENCE)

    def call(self, function, *args, **kwargs):
        """Call a function in the loop's thread; await what it returns if need be."""

        async def work():
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return self.run(work())

    def started(self, function, *args, **kwargs) -> Future[object]:
        """Do as `call` does, but return a future at once."""

        async def work():
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return self.start(work())

    @contextmanager
    def task_group(self):
        """A group for tasks; in the end they are waited for."""
        opened: Future[asyncio.TaskGroup] = Future()
        let_go = self.holding(self.call(asyncio.Event))

        async def own():
            async with asyncio.TaskGroup() as group:
                opened.set_result(group)
                await let_go.itself.wait()

        owning = self.start(own())
        yield opened.result(PATIENCE)
        let_go.set()
        owning.result(PATIENCE)

    def holding(self, value) -> "InLoop":
        """Return the same object for use in other threads."""
        return InLoop(self, value)


class InLoop:
    """An object that belongs to a loop: whatever is called is called there."""

    def __init__(self, loop: LoopThread, value) -> None:
        self.itself = value
        self._loop = loop

    def __getattr__(self, name):
        attribute = getattr(self.itself, name)
        if not callable(attribute):
            return attribute
        return lambda *args, **kwargs: self._loop.call(attribute, *args, **kwargs)


class CancelledAt:
    """Awaits something; cancels its task at the nth wait: `await CancelledAt(…)`.

    `late` is just when that wait has ended.
    """

    def __init__(self, coroutine, nth: int, *, late: bool) -> None:
        self._coroutine = coroutine
        self._nth = nth
        self._late = late

    def __await__(self):
        inner = self._coroutine.__await__()
        task = asyncio.current_task()
        assert task is not None
        go_on, value = inner.send, None
        for number in itertools.count(1):
            try:
                waited_for = go_on(value)
            except StopIteration as end:
                return end.value
            if number == self._nth and not self._late:
                task.cancel()
            try:
                go_on, value = inner.send, (yield waited_for)
            except BaseException as error:  # noqa: BLE001 (raised where it waits)
                go_on, value = inner.throw, error
            else:
                if number == self._nth and self._late:
                    go_on, value = inner.throw, asyncio.CancelledError()


async def _cancel_all():
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
