"""An event loop with virtual time, on which processes live, freeze and die as on an operating system.

Every callback belongs to the process in whose context it was scheduled. Those of a frozen process are put aside
until it thaws, those of a killed one for ever: nothing of it runs again, not even a `finally`.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

_LONGEST_TURN = 50_000
"""Callbacks at one instant after which the run is called a busy loop: nothing there waits for anything."""


class DeadlockError(Exception):
    """Nothing is ready and nobody waits for a moment to come: the run would stand still for ever."""


class BusyError(Exception):
    """Time does not move on: something goes round and round without ever waiting."""


@dataclass(eq=False)
class Process:
    """What may be frozen or killed as one."""

    name: str
    alive: bool = True
    frozen: bool = False
    aside: list[asyncio.Handle] = field(default_factory=list, repr=False)
    """Callbacks that wait for it to thaw."""


_process: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def current() -> Process | None:
    """Return the process whose code is running; `None` for the world around them."""
    return _process.get()


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they are due; when none is ready, time moves to the next one."""

    _ready: Any
    _scheduled: Any

    def __init__(self) -> None:
        """Start at zero."""
        super().__init__()
        self._at = 0.0
        self._turns = 0
        self.ran = 0
        """Callbacks run so far."""
        self._kept: list[object] = []

    def time(self) -> float:
        """Return the seconds of virtual time since the start."""
        return self._at

    def spawn(
        self, work: Coroutine[Any, Any, T], name: str, process: Process | None = None
    ) -> asyncio.Task[T]:
        """Start a task that belongs to a process, or to the world.

        It is kept as long as the loop: one that is collected runs its `finally` after all.
        """
        context = contextvars.Context()
        context.run(_process.set, process)
        task = self.create_task(work, name=name, context=context)
        self._kept.append(task)
        return task

    def begin(self, work: Coroutine[Any, Any, Any], name: str, process: Process | None = None) -> None:
        """Start a task that nobody waits for."""
        self._kept.append(self.spawn(work, name, process))

    def freeze(self, process: Process) -> None:
        """Stop a process between two steps."""
        process.frozen = True

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on with all that became due meanwhile."""
        process.frozen = False
        self._ready.extend(process.aside)
        process.aside = []

    def kill(self, process: Process) -> None:
        """Stop a process for ever."""
        process.alive = False

    def _run_once(self) -> None:
        if not self._ready:
            self._move_on()
        while self._scheduled and self._scheduled[0]._when <= self._at:
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False
            self._ready.append(timer)
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(_process)
            if process is not None and (process.frozen or not process.alive):
                process.aside.append(handle)
                continue
            self.ran += 1
            handle._run()
        self._turns += 1
        if self._turns > _LONGEST_TURN:
            raise BusyError

    def _move_on(self) -> None:
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)._scheduled = False
        if not self._scheduled:
            raise DeadlockError
        if self._scheduled[0]._when > self._at:
            self._at = self._scheduled[0]._when
            self._turns = 0

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector here."""

    def _process_events(self, event_list: Any) -> None:
        """There are no sockets."""

    def run_in_executor(  # type: ignore[override]  # it never returns
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """Refuse threads: they know no virtual time."""
        raise NotImplementedError(f"{func} wants a thread")
