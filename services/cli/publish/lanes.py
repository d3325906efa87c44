"""Sends many resources, several requests at a time, and keeps the order that matters.

Reports of one contract stay in one lane, which sends one request at a time; so do those that a report of the contract
lists, and every version of one resource. Other types are what reports refer to: before and after them all
lanes are empty.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.cli.publish.ahead import Ahead
from services.cli.publish.answer import Answer, Finding
from services.cli.publish.send import Sender, UnreachableError
from services.cli.publish.sources import Resource

TOGETHER: Final = 100
"""Resources in one request; those of a file that holds one go alone."""
TOGETHER_BYTES: Final = 1024 * 1024
_MOST_WAITING: Final = 2 * TOGETHER
_MOST_WAITING_BYTES: Final = 2 * TOGETHER_BYTES
"""What one lane may hold before no more is taken from the source."""
_REMEMBERED: Final = 100_000
"""Listed reports whose contract is remembered."""

Shown = Callable[[Resource, Answer], None]


@dataclass(slots=True)
class Tally:
    """How a run went so far."""

    accepted: int = 0
    unchanged: int = 0
    rejected: int = 0
    unreachable: int = 0

    def count(self, answer: Answer) -> None:
        """Take one answer in."""
        setattr(self, answer.result, getattr(self, answer.result) + 1)

    @property
    def exit_code(self) -> int:
        """0 all there, 1 something rejected, 2 the publisher could not be reached."""
        if self.unreachable:
            return 2
        return 1 if self.rejected else 0


@dataclass(slots=True)
class _Lane:
    waiting: deque[Resource] = field(default_factory=deque)
    ids: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Of the resources that wait or are being sent."""
    size: int = 0
    """Bytes that wait."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    busy: bool = False

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.busy

    @property
    def full(self) -> bool:
        return len(self.waiting) >= _MOST_WAITING or self.size >= _MOST_WAITING_BYTES

    def put(self, resource: Resource) -> None:
        self.waiting.append(resource)
        self.size += len(resource.text)
        if resource.id is not None:
            self.ids[resource.kind, resource.id] += 1
        self.changed.set()

    def next(self) -> list[Resource]:
        """Take what goes in the next request: lines of one type, no resource twice, within the bounds."""
        taken: list[Resource] = []
        seen: set[str] = set()
        size = 0
        while self.waiting and len(taken) < TOGETHER:
            first = self.waiting[0]
            size += len(first.text)
            alone = first.line is None or first.kind == "Bundle"
            other = bool(taken) and first.problem is None and first.kind not in {taken[0].kind, ""}
            if taken and (alone or other or first.id in seen or size > TOGETHER_BYTES):
                break
            taken.append(self.waiting.popleft())
            self.size -= len(first.text)
            seen |= {first.id} if first.id is not None else set()
            if alone:
                break
        return taken

    def done(self, resources: Sequence[Resource]) -> None:
        for each in resources:
            if each.id is not None:
                self.ids[each.kind, each.id] -= 1
        self.ids += Counter()  # forgets those that are zero


class _Run:
    """One run of the command."""

    def __init__(self, sender: Sender, at_once: int, shown: Shown) -> None:
        self.tally = Tally()
        self._sender = sender
        self._shown = shown
        self._lanes = [_Lane() for _ in range(at_once)]
        self._settled = asyncio.Event()
        """Set whenever a request was answered."""
        self._last_kind = ""
        self._contracts: OrderedDict[str, str] = OrderedDict()

    async def all(self, source: Ahead) -> None:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._work(lane), name="send a lane") for lane in self._lanes]
            while not self.tally.unreachable and (read := await asyncio.to_thread(source.take, TOGETHER)):
                for resource in read:
                    await self._dispatch(resource)
            await self._until(lambda: all(lane.idle for lane in self._lanes))
            for worker in workers:
                worker.cancel()
        source.stop()

    async def _dispatch(self, resource: Resource) -> None:
        kind = resource.kind or self._last_kind
        if kind != self._last_kind or kind == "Bundle":
            await self._until(lambda: all(lane.idle for lane in self._lanes))
            self._last_kind = kind
        lane = self._lane(resource)
        await self._until(lambda: not lane.full)
        lane.put(resource)

    def _lane(self, resource: Resource) -> _Lane:
        if resource.kind != "MeasureReport":
            return self._lanes[0]
        contract = self._contracts.get(resource.id or "", resource.measure)
        for each in resource.lists:
            self._contracts[each] = contract
        while len(self._contracts) > _REMEMBERED:
            self._contracts.popitem(last=False)
        for lane in self._lanes:
            if lane.ids[resource.kind, resource.id or ""]:
                return lane  # an earlier version of it is on its way there
        return self._lanes[zlib.crc32(contract.encode()) % len(self._lanes)]

    async def _work(self, lane: _Lane) -> None:
        while True:
            await lane.changed.wait()
            lane.changed.clear()
            while (taken := lane.next()) and not self.tally.unreachable:
                lane.busy = True
                await self._send(taken)
                lane.done(taken)
                lane.busy = False
                self._settled.set()

    async def _send(self, resources: Sequence[Resource]) -> None:
        try:
            answers = await self._sender.send(resources)
        except UnreachableError as error:
            answers = [Answer("unreachable", None, None, (Finding("error", "transient", str(error), None),))]
        for resource, answer in zip(resources, answers, strict=False):
            self.tally.count(answer)
            self._shown(resource, answer)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that answers bring about; no longer once the publisher is out of reach."""
        while not condition() and not self.tally.unreachable:
            self._settled.clear()
            await self._settled.wait()


async def send_all(sender: Sender, source: Ahead, *, at_once: int, shown: Shown) -> Tally:
    """Send all there is to read, up to `at_once` requests at a time; with 1, all in the order given.

    Stops at the first resource the publisher cannot be reached for: what follows it may depend on it.
    """
    run = _Run(sender, at_once, shown)
    await run.all(source)
    return run.tally
