"""Many tasks in one thread: while one of them waits, the others go on.

A task is ordinary code, one line after the other, in a greenlet. It gives way to others
where it waits by means of this module, and nowhere else; whatever would block all of
them is given to a thread, by `in_thread`. In any other thread everything here simply
blocks.

Threads alone would do as well. But Python executes one of them at a time, and many that
work for microseconds between two short waits spend more time on handing over that right
than on their work.
"""

import errno
import logging
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import ParamSpec, Self, TypeVar

from greenlet import getcurrent, greenlet

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_LONGEST_POLL = 86400.0  # seconds; poll takes milliseconds in 31 bits


class TaskLoop:
    """A thread that executes tasks."""

    def __init__(self) -> None:
        """Start the thread."""
        self._closing = False
        self._ready: deque[_Task | Callable[[], object]] = deque()
        self._idle: list[_Task] = []
        self._unfinished = 0
        self._waiting: dict[int, _Task] = {}  # by descriptor
        self._deadlines: dict[_Task, float] = {}
        self._interrupted: deque[tuple[_Task, int]] = deque()
        self._last: list[_Task] = []
        self._may_sleep = False
        self._woken_at = time.monotonic()
        self._bell = Flag()
        self._poll = select.poll()
        self._poll.register(self._bell.fileno(), select.POLLIN)
        self._hub = greenlet()  # the thread's own, in which no task is
        self._thread = threading.Thread(target=self._work, name="tasks")
        self._thread.start()

    def __enter__(self) -> Self:
        """Return the loop."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def start(self, *functions: Callable[[], object]) -> None:
        """Have a task execute each function, from any thread, unless it is closed."""
        self._ready.extend(functions)
        self._wake()

    def close(self) -> None:
        """Wait for all tasks to end; what is started later is never executed."""
        self._closing = True
        self._bell.set()
        self._thread.join()
        self._bell.close()

    @property
    def stuck_for(self) -> float:
        """For how many seconds one task has kept all others from going on."""
        return 0.0 if self._may_sleep else time.monotonic() - self._woken_at

    def resume(self, task: "_Task") -> None:
        """Have a task go on that has given way, from any thread."""
        self._ready.append(task)
        self._wake()

    def interrupt(self, task: "_Task", wait: int) -> None:
        """Have a task go on, from any thread, if it is still in this wait."""
        self._interrupted.append((task, wait))
        self._wake()

    def go_last(self, task: "_Task") -> None:
        """Let all others go on that can: for the task itself."""
        self._last.append(task)
        self.give_way()

    def give_way(self) -> set[int]:
        """Let other tasks go on until this one is resumed: for the task itself."""
        ready: set[int] = self._hub.switch()
        return ready

    def finish(self, task: "_Task") -> Callable[[], object]:
        """Give way for good; return the function that is to be executed next."""
        self._unfinished -= 1
        self._idle.append(task)
        function: Callable[[], object] = self._hub.switch()
        return function

    def wait(
        self,
        task: "_Task",
        events: Mapping[int, int],
        timeout: float,
        flags: "Iterable[Flag]",
    ) -> set[int]:
        """Wait as `wait_ready` does: for the task itself."""
        for descriptor in events:
            if descriptor in self._waiting:
                raise ValueError(f"another task waits for descriptor {descriptor}")
        for descriptor, mask in events.items():
            self._poll.register(descriptor, mask)
            self._waiting[descriptor] = task
        if timeout != math.inf:
            self._deadlines[task] = time.monotonic() + timeout
        for flag in flags:
            flag.attach(task)
        try:
            return self.give_way()
        finally:
            # Whatever would still have ended this wait must not end the next one.
            task.wait_number += 1
            for descriptor in events:
                del self._waiting[descriptor]
                self._poll.unregister(descriptor)
            self._deadlines.pop(task, None)
            for flag in flags:
                flag.detach(task)

    def _wake(self) -> None:
        # It looks for what is ready after it has said that it may sleep, so it also
        # hears of what comes in between.
        if self._may_sleep:
            self._bell.set()

    def _work(self) -> None:
        try:
            self._loop()
        except BaseException:
            # Nothing would go on, and nobody would know.
            log.critical("an error in the runner itself; it ends", exc_info=True)
            os._exit(os.EX_SOFTWARE)

    def _loop(self) -> None:
        self._hub = getcurrent()
        while self._unfinished or self._ready or not self._closing:
            # Each of these takes only what is there when it begins: no task may keep
            # the descriptors of others from being looked at.
            for task, ready in self._look().items():
                task.switch(ready)
            for _ in range(len(self._ready)):
                self._execute(self._ready.popleft())
            for _ in range(len(self._interrupted)):
                self._end_wait(*self._interrupted.popleft())
            last, self._last = self._last, []
            for task in last:
                task.switch(set())
        for task in self._idle:
            task.throw()

    def _end_wait(self, task: "_Task", wait: int) -> None:
        if task.wait_number == wait:
            task.switch(set())

    def _execute(self, ready: "_Task | Callable[[], object]") -> None:
        if isinstance(ready, _Task):
            ready.switch(set())
            return
        self._unfinished += 1
        task = self._idle.pop() if self._idle else _Task(self)
        task.switch(ready)

    def _look(self) -> dict["_Task", set[int]]:
        """Sleep until tasks have what they wait for; return them, and what that is."""
        self._may_sleep = True
        found = self._poll.poll(self._milliseconds())
        self._woken_at = time.monotonic()
        self._may_sleep = False
        due: dict[_Task, set[int]] = {}
        for descriptor, _ in found:
            if descriptor == self._bell.fileno():
                self._bell.clear()
            else:
                due.setdefault(self._waiting[descriptor], set()).add(descriptor)
        for task, deadline in self._deadlines.items():
            if deadline <= self._woken_at:
                due.setdefault(task, set())
        return due

    def _milliseconds(self) -> float | None:
        """Return how long there is nothing to do but to wait for descriptors."""
        if self._ready or self._interrupted or self._last:
            return 0
        if self._deadlines:
            return _milliseconds(min(self._deadlines.values()) - time.monotonic())
        return None


class _Task(greenlet):
    """Executes one function after the other, each of which is a task."""

    def __init__(self, loop: TaskLoop) -> None:
        super().__init__()
        self.loop = loop
        self.wait_number = 0  # of the wait under way, or else of the next one

    def run(self, function: Callable[[], object]) -> None:
        """Execute functions; nothing that they raise may end the loop."""
        while True:
            try:
                function()
            except Exception:
                log.exception("an error in the runner itself")
            function = self.loop.finish(self)


class Flag:
    """Set and cleared from any thread; tasks and threads can wait for it."""

    def __init__(self) -> None:
        """Be cleared."""
        self._lock = threading.Lock()
        self._is_set = False
        self._attached: dict[_Task, int] = {}
        self._pipe: tuple[int, int] | None = None  # opened when first asked for

    @property
    def is_set(self) -> bool:
        """Whether it has been set, and not been cleared since."""
        return self._is_set

    def fileno(self) -> int:
        """Give a file descriptor that is readable while it is set, for POLLIN.

        Raise OSError if there is none left.
        """
        with self._lock:
            if self._pipe is None:
                self._pipe = os.pipe()
                if self._is_set:
                    os.write(self._pipe[1], b"\0")
            return self._pipe[0]

    def set(self) -> None:
        """Set it, and let everything that waits for that go on."""
        with self._lock:
            if self._is_set:
                return
            self._is_set = True
            if self._pipe is not None:
                os.write(self._pipe[1], b"\0")
            for task, wait in self._attached.items():
                task.loop.interrupt(task, wait)

    def clear(self) -> None:
        """Take that back."""
        with self._lock:
            if self._is_set and self._pipe is not None:
                os.read(self._pipe[0], 1)
            self._is_set = False

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, for so many seconds at most; tell whether it is."""
        if not self._is_set:
            wait_ready({}, seconds, self)
        return self._is_set

    def close(self) -> None:
        """Close the file descriptor, which nobody may wait for any more."""
        with self._lock:
            if self._pipe is not None:
                os.close(self._pipe[0])
                os.close(self._pipe[1])
                self._pipe = None

    def attach(self, task: _Task) -> None:
        """Interrupt the wait that a task begins as soon as the flag is set."""
        with self._lock:
            self._attached[task] = task.wait_number
            if self._is_set:
                task.loop.interrupt(task, task.wait_number)

    def detach(self, task: _Task) -> None:
        """Leave the task alone."""
        with self._lock:
            self._attached.pop(task, None)


class Turn:
    """Held by one task or thread at a time; the others have their turn in order."""

    def __init__(self) -> None:
        """Be free."""
        self._lock = threading.Lock()
        self._is_held = False
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> None:
        """Wait until it is free, and hold it."""
        with self._lock:
            if not self._is_held:
                self._is_held = True
                return
            turn: Future[None] = Future()
            self._waiting.append(turn)
        wait_for(turn)

    def __exit__(self, *_: object) -> None:
        """Pass it on."""
        with self._lock:
            self._is_held = bool(self._waiting)
            following = self._waiting.popleft() if self._is_held else None
        if following is not None:
            following.set_result(None)


def in_task() -> bool:
    """Tell whether this is the code of a task."""
    return isinstance(getcurrent(), _Task)


def wait_ready(
    events: Mapping[int, int], timeout: float = math.inf, *flags: Flag
) -> set[int]:
    """Wait for the poll events of each file descriptor, `timeout` seconds at most.

    Only one task may wait for a descriptor at a time.
    Return the descriptors that are ready, have ended or are broken; maybe none when a
    flag is set, and none when the time (in a thread: or a day) is over. (`select` could
    not take descriptors above 1023.) Raise OSError if there is no descriptor left for
    the flags, which a thread needs.
    """
    task = getcurrent()
    if isinstance(task, _Task):
        return task.loop.wait(task, events, timeout, flags)
    poll = select.poll()
    for descriptor, mask in events.items():
        poll.register(descriptor, mask)
    for flag in flags:
        poll.register(flag.fileno(), select.POLLIN)
    milliseconds = None if timeout == math.inf else _milliseconds(timeout)
    return events.keys() & {descriptor for descriptor, _ in poll.poll(milliseconds)}


def go_last() -> None:
    """Let all other tasks go on that can, before this one wakes up another process.

    That process may take the processor away at once: best when nothing is left to do.
    """
    task = getcurrent()
    if isinstance(task, _Task):
        task.loop.go_last(task)


def wait_for(future: "Future[T]") -> T:
    """Wait for a future, and return or raise its result."""
    task = getcurrent()
    if isinstance(task, _Task) and not future.done():
        loop = task.loop
        future.add_done_callback(lambda _: loop.resume(task))
        loop.give_way()
    return future.result()


def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what may block, while other tasks go on; raise OSError if no thread is left.

    The thread is a new one, so nothing waits for another one to become free.
    """
    if not in_task():
        return function(*args, **kwargs)
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as e:  # noqa: BLE001 (raised where it is waited for)
            future.set_exception(e)

    try:
        threading.Thread(target=work, name="blocking").start()
    except RuntimeError as e:
        raise OSError(errno.EAGAIN, str(e)) from e
    return wait_for(future)


def _milliseconds(seconds: float) -> int:
    return max(0, math.ceil(min(seconds, _LONGEST_POLL) * 1000))
