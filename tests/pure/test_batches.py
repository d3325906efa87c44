"""Who shares a transaction? Those that come while one is under way, and those that were just answered together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.clock import SystemClock
from services.publisher.store.batches import Batches


async def turns(count: int) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await SystemClock().sleep(0)


class Store:
    """Answers a number with its double, some turns of the loop later; knows the batches."""

    def __init__(self, *, width: int = 1) -> None:
        self.batches: list[list[int]] = []
        self.queue: Batches[int, int] = Batches(self._perform, width=width)

    async def _perform(self, asked: Sequence[int]) -> Sequence[int | BaseException]:
        self.batches.append(list(asked))
        await turns(5)
        return [2 * each for each in asked]

    async def client(self, name: int, times: int) -> None:
        """Ask again and again, each time when the answer is there."""
        for _ in range(times):
            assert await self.queue.ask(name, size=1) == 2 * name


async def test_a_lone_client_waits_for_nobody() -> None:
    store = Store()
    asked = asyncio.create_task(store.client(7, 20))
    await turns(20 * 10)
    assert asked.done()
    assert store.batches == [[7]] * 20


async def test_clients_that_wait_for_their_answers_come_to_share_every_batch() -> None:
    store = Store()
    first = [asyncio.create_task(store.client(each, 20)) for each in range(4)]
    await turns(2)  # these are under way when the others come
    others = [asyncio.create_task(store.client(each, 20)) for each in range(4, 8)]
    await asyncio.gather(*first, *others)
    assert len(store.batches[0]) == 4
    assert sum(len(each) == 8 for each in store.batches) >= 15


async def test_nobody_waits_long_for_one_who_does_not_come_back() -> None:
    store = Store()
    await asyncio.gather(*(store.client(each, 1) for each in range(3)))
    async with asyncio.timeout(5):
        await asyncio.gather(*(store.client(each, 2) for each in range(2)))
    assert [len(each) for each in store.batches] == [3, 2, 2]
