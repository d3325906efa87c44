"""The loops of delivery: claim what is due, run the turns, record what they came to."""

from __future__ import annotations

from collections.abc import Sequence

from services.clock import Clock
from services.database import Database
from services.notifier.record.recorder import record
from services.notifier.record.turn import Turn
from services.notifier.send.claims import Claimed, Room, claim, extend
from services.notifier.send.worker import Deliverer, Sender
from services.wakeup import Wakeup

DRAIN_SECONDS = 25.0


class Delivery:
    """Claims, sends and records for one process."""

    def __init__(
        self, database: Database, clock: Clock, sender: Sender, *, workers: int, owed: Wakeup
    ) -> None:
        """Claim when `owed` is set; `workers` lanes are sent for at a time."""
        self._database = database
        self._clock = clock
        self._leases = sender.leases
        self._owed = owed
        self._turns: list[Turn] = []
        self.finished = Wakeup()
        self._deliverer = Deliverer(sender, workers, self._finish)

    def _finish(self, turn: Turn) -> None:
        self._turns.append(turn)
        self.finished.set()

    async def claim_due(self) -> bool:
        """Lease what is due, as far as there is room, and start on it."""
        room = self._deliverer.room()
        if room.fresh <= 0 and room.retries <= 0:
            return False
        claimed = await claim(self._database, self._clock, room, lease=self._leases.seconds)
        for each in claimed:
            self._deliverer.start(each)
        return bool(claimed) and self._left_some(room, claimed)

    def _left_some(self, room: Room, claimed: Sequence[Claimed]) -> bool:
        """Tell whether lanes may be due still: some kind of room ran out, rather than the lanes that were due."""
        retries = sum(each.lane.retry > 0 for each in claimed)
        fresh = len(claimed) - retries
        filled = set(self._deliverer.room().full) - set(room.full)
        return fresh >= room.fresh or retries >= room.retries or bool(filled)

    async def heartbeat(self) -> bool:
        """Begin the leases of running turns anew; one that another notifier took is sent for no longer."""
        running = self._deliverer.running
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

    async def record_finished(self) -> bool:
        """Write down every turn that has ended, in one transaction; kept for the next round if that fails."""
        if not self._turns:
            return False
        turns, self._turns = self._turns, []
        try:
            await record(self._database, self._clock, turns)
        except BaseException:
            self._turns = turns + self._turns
            raise
        self._owed.set()
        return bool(self._turns)

    async def close(self) -> None:
        """Let running turns end and record them; what is cut off goes again when its lease runs out."""
        await self._deliverer.drain(DRAIN_SECONDS)
        await self.record_finished()
