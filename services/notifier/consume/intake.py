"""The loop from the log to what is owed: read, be fresh, match, enqueue; then read on."""

from __future__ import annotations

from collections.abc import Sequence

from services import logs, metrics
from services.clock import Clock
from services.database import Database
from services.event_log import EventSource, Record
from services.notifier.consume import positions
from services.notifier.consume.freshness import LiveIndex
from services.notifier.enqueue.enqueue import Enqueued, Matched, StalePositionError, enqueue
from services.wakeup import Wakeup

log = logs.get(__name__)

BATCH = 500


class Intake:
    """Reads what this process is assigned. Nothing of it lives in memory only but where it reads on."""

    def __init__(
        self, database: Database, clock: Clock, source: EventSource, live: LiveIndex, *, log_name: str,
        wait: float, owed: Wakeup,
    ) -> None:  # fmt: skip
        """Set `owed` whenever there is something new to send."""
        self._database = database
        self._clock = clock
        self._source = source
        self._live = live
        self._log_name = log_name
        self._wait = wait
        self._owed = owed
        self._at: dict[int, int | None] = {}
        """Partition -> the next position as the database has it; `None` when it has none yet."""

    async def step(self) -> bool:
        """Take in one batch; always busy, because reading itself waits."""
        await self._follow_assignment()
        records = await self._source.read(BATCH, self._wait)
        if records:
            await self._take_in([record for record in records if record.partition in self._at])
        return True

    async def _follow_assignment(self) -> None:
        assigned = await self._source.assigned()
        for lost in self._at.keys() - assigned:
            del self._at[lost]
        if gained := assigned - self._at.keys():
            known = await positions.load(self._database, self._log_name, gained)
            self._at |= {partition: known.get(partition) for partition in gained}
            self._source.seek({p: at for p, at in self._at.items() if at is not None and p in gained})
            log.info("partitions_assigned", partitions=sorted(assigned))

    async def _take_in(self, records: Sequence[Record]) -> None:
        await self._live.refresh()
        with metrics.MATCH_SECONDS.time():
            matched = [
                Matched(record, () if record.event is None else tuple(self._live.index.match(record.event)))
                for record in records
            ]
        try:
            done = await enqueue(self._database, self._clock, self._log_name, self._at, matched)
        except StalePositionError:
            # Another notifier has moved this position: whatever it took in is its own. Ask again what is ours.
            log.warning("position_moved_elsewhere")
            self._at.clear()
            return
        except BaseException:
            # Nothing was committed, or it is not known: read on from what the database says.
            self._at.clear()
            raise
        self._at |= done.positions
        self._count(done)
        if done.notifications:
            self._owed.set()

    def _count(self, done: Enqueued) -> None:
        metrics.CONSUMED.labels("new").inc(done.events)
        metrics.CONSUMED.labels("repeated").inc(done.repeated)
        metrics.CONSUMED.labels("dead_letter").inc(done.dead_letters)

    async def lag(self) -> bool:
        """Refresh the lag gauges; returns False, there is never more to do at once."""
        ends = await self._source.ends()
        for partition, end in ends.items():
            metrics.CONSUMER_LAG.labels(str(partition)).set(max(0, end - (self._at.get(partition) or 0)))
        return False
