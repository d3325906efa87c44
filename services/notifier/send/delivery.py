"""Rounds of delivery: what has ended is recorded and what is due is leased, in one transaction; then it is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from services.clock import Clock
from services.database import Connection, Database
from services.notifier.record.recorder import record, record_in
from services.notifier.record.turn import Turn
from services.notifier.send.bodies import Bodies
from services.notifier.send.claims import Claimed, Room, claim_in, extend
from services.notifier.send.notices import announce
from services.notifier.send.worker import Deliverer, Sender
from services.wakeup import Wakeup

DRAIN_SECONDS = 25.0
_SOON = 5.0
"""A lane that is due again within so many seconds is waited for; later ones are found by looking."""


class Outgoing:
    """A writing transaction that may make lanes due: it can lease them too, and they are sent for once it is committed.

    That saves the transaction that leasing them would take.
    """

    def __init__(self, connection: Connection, delivery: Delivery, holding: contextlib.ExitStack) -> None:
        """Stand for an open transaction; `holding` outlives it."""
        self.connection = connection
        self._delivery = delivery
        self._holding = holding
        self.claimed: list[Claimed] = []
        self.left_some = False

    def at_hand(self, event_id: str, body: bytes) -> None:
        """Have the report of an event at hand for when it is sent."""
        self._delivery.bodies.keep(event_id, body)

    async def lease_due(self) -> None:
        """Lease what is due, once; whatever there is no room for here is announced to the other notifiers."""
        room = self._holding.enter_context(self._delivery.deliverer.room())
        if room is not None:
            self.claimed = await self._delivery.claim(self.connection, room)
        self.left_some = room is None or bool(room.full) or ran_out(room, self.claimed)
        if self.left_some:
            await announce(self.connection)


class Delivery:
    """Claims, sends and records for one process."""

    def __init__(
        self, database: Database, clock: Clock, sender: Sender, *, workers: int, owed: Wakeup
    ) -> None:
        """Set `owed` whenever there may be something to do; `workers` lanes are sent for at a time."""
        self._database = database
        self._clock = clock
        self._leases = sender.leases
        self._owed = owed
        self._turns: list[Turn] = []
        self.bodies = Bodies()
        self.deliverer = Deliverer(sender, workers, self._finish)

    def _finish(self, turn: Turn) -> None:
        self._turns.append(turn)
        self._owed.set()

    async def step(self) -> bool:
        """Record every turn that has ended and lease what is due; tell whether there may be more at once.

        Turns are kept for the next round when that fails.
        """
        turns, self._turns = self._turns, []
        claimed: list[Claimed] = []
        try:
            with self.deliverer.room() as room:
                if not turns and room is None:
                    return False
                async with self._database.write() as connection:
                    if turns:
                        await record_in(connection, self._database, self._clock, turns)
                    if room is not None:
                        claimed = await self.claim(connection, room)
        except BaseException:
            self._turns = turns + self._turns
            raise
        more = room is not None and bool(claimed) and ran_out(room, claimed)
        self._start(claimed)
        self._look_again(turns)
        return more or bool(self._turns)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Outgoing]:
        """Open a writing transaction for something that may make lanes due."""
        with contextlib.ExitStack() as holding:
            async with self._database.write() as connection:
                outgoing = Outgoing(connection, self, holding)
                yield outgoing
        self._start(outgoing.claimed)
        if outgoing.left_some:
            self._owed.set()
        if outgoing.claimed:
            await self._clock.sleep(0)  # what is due goes out before anything else is looked for

    async def claim(self, connection: Connection, room: Room) -> list[Claimed]:
        """Lease what is due, as far as there is room, inside a transaction."""
        return await claim_in(
            connection, self._database, self._clock, room, lease=self._leases.seconds, bodies=self.bodies
        )

    def _start(self, claimed: Sequence[Claimed]) -> None:
        for each in claimed:
            self.deliverer.start(each)

    def _look_again(self, turns: Sequence[Turn]) -> None:
        """Be woken when lanes that wait for a moment only are due again, rather than find them late."""
        for turn in turns:
            if turn.wait is not None and turn.wait < _SOON:
                asyncio.get_running_loop().call_later(turn.wait, self._owed.set)

    async def heartbeat(self) -> bool:
        """Begin the leases of running turns anew; one that another notifier took is sent for no longer."""
        running = self.deliverer.running
        if not running:
            return False
        at = self._clock.monotonic()
        held = await extend(self._database, self._clock, running, lease=self._leases.seconds)
        for claimed in running:
            if claimed.lane.subscription in held:
                self._leases.renew(claimed, at)
            else:
                self._leases.drop(claimed)
        return False

    async def close(self) -> None:
        """Let running turns end and record them; what is cut off goes again when its lease runs out."""
        await self.deliverer.drain(DRAIN_SECONDS)
        turns, self._turns = self._turns, []
        if turns:
            await record(self._database, self._clock, turns)


def ran_out(room: Room, claimed: Sequence[Claimed]) -> bool:
    """Tell whether lanes may be due still: some kind of room ran out, rather than the lanes that were due."""
    retries = sum(each.lane.retry > 0 for each in claimed)
    used = Counter(each.lane.endpoint for each in claimed)
    return (
        len(claimed) - retries >= room.fresh
        or retries >= room.retries
        or any(count >= room.at(endpoint) for endpoint, count in used.items())
    )
