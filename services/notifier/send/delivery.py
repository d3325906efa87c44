"""Rounds of delivery: what has ended is recorded and what is due is leased, in one transaction; then it is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from schemas.event import ReportEvent
from services.clock import Clock
from services.database import Connection, Database
from services.notifier.model import Event, Owed
from services.notifier.record.recorder import record, record_in
from services.notifier.record.turn import Turn
from services.notifier.send.claims import Claimed, Room, Terms, claim_in, extend
from services.notifier.send.deliverer import Deliverer, Pool, pool_of
from services.notifier.send.loading import AtHand
from services.notifier.send.notices import announce
from services.notifier.send.sender import Sender
from services.wakeup import Wakeup

DRAIN_SECONDS = 25.0
_TOGETHER = 0.05
"""Seconds that a record waits for a transaction to go with, when nothing waits for the record."""
_AGAIN = 1.0
"""Seconds until a record that failed with such a transaction is tried by itself."""
_SOON = 5.0
"""A lane that is due again within so many seconds is waited for; later ones are found by looking."""


_NOTHING: AtHand = {}


class Outgoing:
    """A writing transaction that may make lanes due: it can lease them too, and they are sent for once it is committed.

    That saves the transaction that leasing them would take.
    """

    def __init__(self, connection: Connection, delivery: Delivery, holding: contextlib.ExitStack) -> None:
        """Stand for an open transaction; `holding` outlives it."""
        self.connection = connection
        self._delivery = delivery
        self._holding = holding
        self._at_hand: dict[str, dict[int, Owed]] = {}
        self._events: dict[str, Event] = {}
        self.claimed: list[Claimed] = []
        self.left_some = False

    def at_hand(self, subscription: str, number: int, event: ReportEvent) -> None:
        """Have what a number that this transaction has given is for at hand, for when it is sent."""
        known = self._events.get(event.id)
        if known is None:
            known = self._events[event.id] = self._delivery.terms.events.of(event)
        self._at_hand.setdefault(subscription, {})[number] = Owed(number, known)

    async def lease_due(self) -> None:
        """Lease what is due, once; whatever there is no room for here is announced to the other notifiers."""
        self._delivery.hurry = bool(self._delivery.deliverer.running)  # they may be owed more by now
        room = self._holding.enter_context(self._delivery.deliverer.room())
        if room is not None:
            self.claimed = await self._delivery.claim(self.connection, room, self._at_hand)
        self.left_some = room is None or bool(room.full) or ran_out(room, self.claimed)
        if self.left_some or self._delivery.sockets.others:
            await announce(self.connection)


class Delivery:
    """Claims, sends and records for one process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        sender: Sender,
        *,
        workers: int,
        owed: Wakeup,
        bundle_bytes: int = 2**20,
    ) -> None:
        """Set `owed` whenever there may be something to do; `workers` lanes are sent for at a time.

        A notification Bundle of more than one report has at most `bundle_bytes`.
        """
        self._database = database
        self._clock = clock
        self._leases = sender.leases
        self.sockets = sender.sockets
        self._owed = owed
        self._turns: list[Turn] = []
        self._ending = False
        self._together: asyncio.TimerHandle | None = None
        self.hurry = False
        """A lane that is being sent for may be owed more, and gets it once its turn is recorded."""
        self.terms = Terms(sender.leases.seconds, bundle_bytes)
        self.deliverer = Deliverer(sender, workers, self._finish, owed.set)

    def _finish(self, turn: Turn) -> None:
        self._turns.append(turn)
        if self._ending:
            turn.told(to_go_on=False)
        if not self._database.is_sqlite or self.hurry or not turn.settled:
            self._owed.set()
        else:
            # One file has one writer: what is taken in next takes this record along, and saves a commit.
            self._record_within(_TOGETHER)

    def _record_within(self, seconds: float) -> None:
        if self._together is None:
            self._together = asyncio.get_running_loop().call_later(seconds, self._owed.set)

    async def step(self) -> bool:
        """Record every turn that has ended and lease what is due; tell whether there may be more at once.

        Turns are kept for the next round when that fails.
        """
        claimed: list[Claimed] = []
        self.hurry = False
        with self.deliverer.room() as room:
            if not self._turns and room is None:
                return False
            async with self._recorded() as connection:
                if room is not None:
                    claimed = await self.claim(connection, room)
        more = room is not None and bool(claimed) and ran_out(room, claimed)
        self._start(claimed)
        return more or bool(self._turns)

    @contextlib.asynccontextmanager
    async def _recorded(self) -> AsyncIterator[Connection]:
        """Open a writing transaction that begins with the record of every turn that has ended."""
        turns: list[Turn] = []
        recorded: list[Turn] = []
        try:
            async with self._database.write() as connection:
                turns = self._take()
                if turns:
                    recorded = await record_in(connection, self._database, self._clock, turns)
                yield connection
        except BaseException:
            self._turns = turns + self._turns
            if self._turns:
                self._record_within(_AGAIN)
            raise
        for turn in turns:
            turn.told(to_go_on=turn in recorded)
        self._look_again(turns)

    def _take(self) -> list[Turn]:
        turns, self._turns = self._turns, []
        if self._together is not None:
            self._together.cancel()
            self._together = None
        return turns

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Outgoing]:
        """Open a writing transaction for something that may make lanes due."""
        # On a server, a record locks lanes, and what follows here locks what comes before lanes.
        opened = self._recorded() if self._database.is_sqlite else self._database.write()
        with contextlib.ExitStack() as holding:
            async with opened as connection:
                outgoing = Outgoing(connection, self, holding)
                yield outgoing
        self._start(outgoing.claimed)
        if outgoing.left_some:
            self._owed.set()
        if outgoing.claimed:
            await self._clock.sleep(0)  # what is due goes out before anything else is looked for

    async def claim(self, connection: Connection, room: Room, at_hand: AtHand = _NOTHING) -> list[Claimed]:
        """Lease what is due, as far as there is room, inside a transaction; `at_hand` is what that has given."""
        return await claim_in(connection, self._database, self._clock, room, self.terms, at_hand)

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
        self._ending = True
        for turn in self._turns:
            turn.told(to_go_on=False)
        await self.deliverer.drain(DRAIN_SECONDS)
        if turns := self._take():
            await record(self._database, self._clock, turns)
        self._ending = False


def ran_out(room: Room, claimed: Sequence[Claimed]) -> bool:
    """Tell whether lanes may be due still: some kind of room ran out, rather than the lanes that were due."""
    taken = Counter(pool_of(each.lane) for each in claimed)
    used = Counter(each.lane.endpoint for each in claimed)
    return (
        taken[Pool.FRESH] >= room.fresh
        or taken[Pool.RETRIES] >= room.retries
        or 0 < room.bound <= taken[Pool.BOUND]
        or any(count >= room.at(endpoint) for endpoint, count in used.items())
    )
