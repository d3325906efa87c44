"""Which requests share a transaction? Those that come while another one is under way.

A lone request waits for nobody, unless others were answered just before it. Clients that each wait for their answer before they ask again are kept
together: whoever was just answered is given a moment to come back, else half of them would always find the other
half's transaction under way, and there would be two where one does. When a transaction takes long, since it waits for a lock that another
process holds say, another may go beside it, where the database has more than one writer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST: Final = 200
"""Requests in one transaction."""

MOST_BYTES: Final = 4 * 1024 * 1024
"""Their bytes together; a larger one goes alone."""

_MOMENT: Final = 0.001
"""Seconds at most that company is waited for, where there was some."""

_LONG: Final = 0.05
"""Seconds after which a transaction keeps others waiting no more."""


@dataclass(slots=True, eq=False)
class Waiting(Generic[Asked, Answer]):
    """One who waits for an answer."""

    asked: Asked
    size: int
    alone: bool
    answer: asyncio.Future[Answer]


Perform = Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | BaseException]]]


class Batches(Generic[Asked, Answer]):
    """Hands requests to `perform` in batches, in the order they came."""

    def __init__(self, perform: Perform[Asked, Answer], *, width: int) -> None:
        """Have at most `width` batches under way; `perform` answers each request, or raises for all of them."""
        self._perform = perform
        self._width = width
        self._waiting: deque[Waiting[Asked, Answer]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._slow: set[asyncio.Task[None]] = set()
        self._answered = 0
        self._expected = 0
        self._moment: asyncio.TimerHandle | None = None

    async def ask(self, asked: Asked, *, size: int, alone: bool = False) -> Answer:
        """Return the answer to a request; with `alone` it is a batch by itself.

        Raises:
            Exception: what `perform` answered or raised.
        """
        waiting = Waiting[Asked, Answer](asked, size, alone, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._go_on()
        return await waiting.answer

    def _go_on(self) -> None:
        busy = len(self._under_way) - len(self._slow)
        if not self._waiting or busy or len(self._under_way) >= self._width:
            return
        if len(self._waiting) < self._expected:
            return
        self._expect(0)
        task = asyncio.create_task(self._next(), name="store a batch")
        self._under_way.add(task)
        later = None
        if self._width > 1:
            later = asyncio.get_running_loop().call_later(_LONG, self._takes_long, task)
        task.add_done_callback(lambda done: self._ended(done, later))

    def _takes_long(self, task: asyncio.Task[None]) -> None:
        self._slow.add(task)
        self._go_on()

    def _ended(self, task: asyncio.Task[None], later: asyncio.TimerHandle | None) -> None:
        if later is not None:
            later.cancel()
        self._under_way.discard(task)
        self._slow.discard(task)
        if not task.cancelled():
            company = self._answered > 1 or len(self._waiting) > 1
            self._expect(min(self._answered + len(self._waiting), MOST) if company else 0)
            self._go_on()

    def _expect(self, count: int) -> None:
        """Wait a moment until so many are there; 0: for nobody."""
        self._expected = count
        if self._moment is not None:
            self._moment.cancel()
            self._moment = None
        if count:
            self._moment = asyncio.get_running_loop().call_later(_MOMENT, self._enough)

    def _enough(self) -> None:
        self._expect(0)
        self._go_on()

    async def _next(self) -> None:
        """Perform what waits by now."""
        batch = _taken(self._waiting)
        self._answered = len(batch)
        if not batch:
            return
        try:
            answers = await self._perform([each.asked for each in batch])
        except BaseException as error:
            for each in batch:
                if not each.answer.done():
                    each.answer.set_exception(_for_all(error))
            if not isinstance(error, Exception):
                raise
            return
        for each, answer in zip(batch, answers, strict=True):
            if each.answer.done():
                continue  # whoever asked has gone
            if isinstance(answer, BaseException):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)


def _for_all(error: BaseException) -> Exception:
    """A future cannot hold that its task was cancelled or the process is told to end."""
    return error if isinstance(error, Exception) else ConnectionResetError("the process is ending")


def _taken(
    waiting: deque[Waiting[Asked, Answer]],
) -> list[Waiting[Asked, Answer]]:
    """Take the first of those who wait, as many as may share a transaction."""
    batch: list[Waiting[Asked, Answer]] = []
    size = 0
    while waiting and len(batch) < MOST:
        first = waiting[0]
        if first.answer.done():
            waiting.popleft()
            continue
        size += first.size
        if batch and (first.alone or size > MOST_BYTES):
            break
        batch.append(waiting.popleft())
        if first.alone:
            break
    return batch
