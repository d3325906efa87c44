"""A simulated event log of many machines: partitions, a group, and all that goes wrong with a broker.

It keeps the protocols of `services.event_log` and what Kafka promises behind them: order within a partition, no
more. Its group takes a silent member for dead and shares its partitions out; that member may wake up and read
on until it hears of it. An append may be done, done in part, or done later, while its caller is told it failed.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.event import ReportEvent, UndecodableEventError, from_record, headers
from services.database import Connection
from services.event_log import LogUnavailableError, Place, PositionUnknownError, Record
from services.wakeup import Wakeup
from tests.simulation.chance import Chance
from tests.simulation.dice import Dice
from tests.simulation.loop import Process, VirtualLoop, current

_Raw = tuple[tuple[tuple[str, bytes], ...], bytes]
SESSION = 10.0
"""Seconds of silence after which a member counts as dead."""


@dataclass(eq=False)
class Member:
    """One reader in the group."""

    process: Process
    held: frozenset[int] = frozenset()
    """What the group has given it."""
    told: frozenset[int] = frozenset()
    """What it believes to hold."""
    hears_at: float = 0.0
    """When it hears of the last rebalance."""
    anew: bool = True
    gone: bool = False
    until: float | None = None
    """When it learns that it was given up for dead."""
    silent_since: float | None = None
    at: dict[int, int] = field(default_factory=dict)
    sought: bool = False


class SimulatedKafka:
    """The broker and the group's coordinator: part of the world, not of a process."""

    def __init__(self, loop: VirtualLoop, chance: Chance, partitions: int) -> None:
        """Begin with an empty topic."""
        self.loop = loop
        self.chance = chance
        self.calm = True
        self.partitions: list[list[_Raw]] = [[] for _ in range(partitions)]
        self.members: list[Member] = []
        self.down_until = -1.0
        self.poison = 0
        self.trouble = 0.0
        """Probability that an append goes wrong in some way."""
        self._news = asyncio.Event()

    @property
    def down(self) -> bool:
        return self.down_until > self.loop.time()

    def put(self, event: ReportEvent) -> Place:
        """Append one event."""
        partition = zlib.crc32(event.contract.encode()) % len(self.partitions)
        return self.put_raw(partition, (tuple(headers(event)), event.body))

    def put_raw(self, partition: int, raw: _Raw) -> Place:
        self.partitions[partition].append(raw)
        self._news.set()
        self._news = asyncio.Event()
        return Place(partition, len(self.partitions[partition]) - 1)

    def put_poison(self) -> None:
        """Append something that is no event."""
        self.poison += 1
        partition = self.chance.whole(0, len(self.partitions) - 1)
        self.put_raw(partition, ((("ce_specversion", b"0.3"),), b"not an event"))

    async def news(self, wait: float) -> None:
        """Return when something was appended, or after `wait` seconds."""
        try:
            async with asyncio.timeout(wait):
                await self._news.wait()
        except TimeoutError:
            return

    def join(self, member: Member) -> None:
        self.members.append(member)
        self.rebalance()

    def leave(self, member: Member) -> None:
        if not member.gone:
            member.gone = True
            self.members.remove(member)
            self.rebalance()

    def rebalance(self) -> None:
        """Share the partitions out anew; each member hears of it a little later."""
        for place, member in enumerate(self.members):
            member.held = frozenset(range(place, len(self.partitions), len(self.members)))
            member.anew = True
            member.hears_at = self.loop.time() + (0 if self.calm else self.chance.between(0, 2))

    async def coordinate(self) -> None:
        """Look after the group for as long as the run lasts."""
        while True:
            await asyncio.sleep(2.0)  # noqa: TID251  # virtual time: the loop is this run's own
            for member in list(self.members):
                silent = member.process.frozen or not member.process.alive
                if not silent:
                    member.silent_since = None
                elif member.silent_since is None:
                    member.silent_since = self.loop.time()
                elif self.loop.time() - member.silent_since > SESSION:
                    self.leave(member)
            if not self.calm and self.members and self.chance.happens(0.01):
                self.rebalance()

    async def suffer(self, pause: float) -> None:
        """Go down, share out anew, or carry something that is no event, every `pause` seconds or so, until calm."""
        while True:
            await asyncio.sleep(self.chance.about(pause))  # noqa: TID251  # virtual time
            if self.calm:
                return
            match self.chance.whole(0, 3):
                case 0:
                    self.down_until = self.loop.time() + self.chance.between(1, 60)
                case 1:
                    self.put_poison()
                case _:
                    self.rebalance()


class SimulatedSink:
    """The publisher's end, in one process."""

    def __init__(self, kafka: SimulatedKafka, dice: Dice) -> None:
        """Take the broker."""
        self._kafka = kafka
        self._dice = dice

    async def append(self, transaction: Connection, events: Sequence[ReportEvent]) -> Sequence[Place]:  # noqa: ARG002  # the outbox numbers in it, Kafka has no part in it
        """Append the events in their order, or some of them, or none and later."""
        kafka, chance = self._kafka, self._kafka.chance
        await self._dice.roll("append", hot=True)
        if kafka.down:
            await asyncio.sleep(chance.between(0.1, 10))  # noqa: TID251  # virtual time
            raise LogUnavailableError("the simulated broker is down")
        if not kafka.calm and chance.happens(kafka.trouble):
            await self._go_wrong(events)
            raise LogUnavailableError("the simulated broker did not acknowledge")
        places = [kafka.put(event) for event in events]
        await self._dice.roll("appended", hot=True)
        return places

    async def _go_wrong(self, events: Sequence[ReportEvent]) -> None:
        kafka, chance = self._kafka, self._kafka.chance
        how = chance.whole(0, 2)
        if how == 0:  # some have got there, and of each partition the first
            for event in events[: chance.whole(0, len(events))]:
                kafka.put(event)
        elif how == 1:  # they get there when nobody waits any more
            kafka.loop.begin(self._later(list(events), chance.between(0, 60)), "late append")
        await asyncio.sleep(chance.between(0.1, 10))  # noqa: TID251  # virtual time

    async def _later(self, events: Sequence[ReportEvent], after: float) -> None:
        await asyncio.sleep(after)  # noqa: TID251  # virtual time
        for event in events:
            self._kafka.put(event)

    async def close(self) -> None:
        """Nothing to let go of."""


class SimulatedSource:
    """The notifier's end, in one process."""

    def __init__(self, kafka: SimulatedKafka, dice: Dice) -> None:
        """Join with the first question."""
        self._kafka = kafka
        self._dice = dice
        self.wake = Wakeup()
        self._member: Member | None = None

    async def assigned(self) -> frozenset[int]:
        """Return what is held; empty once after each rebalance."""
        await self._dice.roll("assigned")
        self._require_broker()
        member = self._present()
        if self._heard(member):
            member.anew = False
            member.told, member.sought = frozenset(), False
            return frozenset()
        if not member.anew:
            member.told = member.held
        return member.told

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read on from these positions."""
        member = self._present()
        member.at = {partition: positions.get(partition, 0) for partition in member.told}
        member.sought = True

    async def read(self, at_most: int, wait: float) -> Sequence[Record]:
        """Return what stands at the positions; a member that has not heard of a rebalance reads on."""
        await self._dice.roll("read")
        self._require_broker()
        member = self._present()
        if self._heard(member):
            return ()
        if not (records := self._look(member, at_most)):
            await self._kafka.news(wait)
            self._require_broker()
            if not self._heard(member):
                records = self._look(member, at_most)
        await self._dice.roll("records", hot=bool(records))
        return records

    async def ends(self) -> Mapping[int, int]:
        """Return the ends of the partitions held."""
        self._require_broker()
        return {partition: len(self._kafka.partitions[partition]) for partition in self._present().told}

    async def close(self) -> None:
        """Leave the group."""
        if self._member is not None:
            self._kafka.leave(self._member)

    def _present(self) -> Member:
        member, now = self._member, self._kafka.loop.time()
        if member is not None and member.gone and member.until is None:
            member.until = now + self._kafka.chance.between(0, 3)
        if member is None or (member.until is not None and member.until <= now):
            process = current()
            assert process is not None
            member = self._member = Member(process)
            self._kafka.join(member)
        return member

    def _heard(self, member: Member) -> bool:
        return member.anew and member.hears_at <= self._kafka.loop.time()

    def _require_broker(self) -> None:
        if self._kafka.down:
            raise LogUnavailableError("the simulated broker is down")

    def _look(self, member: Member, at_most: int) -> list[Record]:
        if not member.sought:
            return []
        found: list[Record] = []
        for partition in sorted(member.at):
            log, at = self._kafka.partitions[partition], member.at[partition]
            if at > len(log):
                raise PositionUnknownError(partition, at, 0, len(log))
            room = min(at_most - len(found), self._kafka.chance.whole(1, 20))
            found += [_record(partition, place, log[place]) for place in range(at, min(at + room, len(log)))]
            member.at[partition] = min(at + room, len(log))
        return found


def _record(partition: int, position: int, raw: _Raw) -> Record:
    attributes, value = raw
    try:
        return Record(partition, position, from_record(list(attributes), value))
    except UndecodableEventError as wrong:
        return Record(partition, position, None, str(wrong), attributes, value)
