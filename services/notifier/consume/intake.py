"""The loop from the log to what is owed: read, be fresh, match, enqueue; then read on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from schemas.facets import Facets
from services import logs, metrics
from services.clock import Clock
from services.database import Database
from services.event_log import EventSource, PositionUnknownError, Record
from services.event_log_witness import Witness
from services.notifier.consume import positions
from services.notifier.consume.continuity import DECIDE, Continuity, LogChangedError
from services.notifier.consume.freshness import LiveIndex
from services.notifier.consume.predecessors import predecessors
from services.notifier.consume.restored import pass_over
from services.notifier.enqueue.enqueue import Enqueued, Matched, StalePositionError, enqueue_in
from services.notifier.send.delivery import Outgoing

log = logs.get(__name__)

BATCH = 500


class Intake:
    """Reads what this process is assigned. Nothing of it lives in memory only but where it reads on."""

    def __init__(
        self, database: Database, clock: Clock, source: EventSource, live: LiveIndex, *, log_name: str,
        wait: float, outgoing: Callable[[], AbstractAsyncContextManager[Outgoing]], witness: Witness | None = None,
    ) -> None:  # fmt: skip
        """Take in by the transactions of `outgoing`; without a witness a restored database goes unnoticed."""
        self._database = database
        self._clock = clock
        self._source = source
        self._live = live
        self._log_name = log_name
        self._wait = wait
        self._outgoing = outgoing
        self._at: dict[int, int | None] = {}
        """Partition -> the next position as the database has it; `None` when it has none yet."""
        self._continuity = Continuity()
        self._witness = witness
        self._passed_over = 0
        self.stopped: str | None = None
        """Why nothing is read until somebody decides, in a sentence for an operator; `None` while all goes on."""

    async def step(self) -> bool:
        """Take in one batch; always busy, because reading itself waits."""
        try:
            await self._follow_assignment()
            records = self._continuity.check(await self._source.read(BATCH, self._wait))
        except (PositionUnknownError, LogChangedError) as unknown:
            self._at.clear()  # and again from what the database says then
            if isinstance(unknown, PositionUnknownError) and self._continuity.only_compared(unknown):
                return True
            self._stop(f"{unknown}: {DECIDE}")
            raise
        self._stop(None)
        if records:
            await self._take_in([record for record in records if record.partition in self._at])
        return True

    def _stop(self, why: str | None) -> None:
        if why is not None and why != self.stopped:
            log.error("event_log_stopped", why=why)
        self.stopped = why
        metrics.LOG_STOPPED.set(why is not None)

    async def _follow_assignment(self) -> None:
        assigned = await self._source.assigned()
        for lost in self._at.keys() - assigned:
            del self._at[lost]
        if gained := assigned - self._at.keys():
            await self._notice_restoration()
            async with self._database.read() as connection:
                kept = await positions.load(connection, self._log_name)
            known = {partition: kept[partition] for partition in gained if partition in kept}
            self._source.seek(self._continuity.begin(known))
            for partition in gained:
                self._at[partition] = known[partition].next_position if partition in known else None
            log.info("partitions_assigned", partitions=sorted(assigned))

    async def _notice_restoration(self) -> None:
        """Before anything is numbered: see whether this database has forgotten numbers it gave."""
        if self._witness is None:
            return
        seen = await self._witness.look()
        self._passed_over, _ = await pass_over(self._database, self._clock, self._log_name, seen)

    async def _take_in(self, records: Sequence[Record]) -> None:
        try:
            matched = await self._matched(records)
            done = await self._enqueue(matched)
        except StalePositionError:
            # Another notifier has moved this position: whatever it took in is its own. Ask again what is ours.
            log.warning("position_moved_elsewhere")
            self._at.clear()
            return
        except BaseException:
            # What was read is in nobody's hands now, and whether it was committed is not known. The source has
            # gone past it: read on from what the database says, or the next batch would step over it.
            self._at.clear()
            raise
        self._at |= done.positions
        if self._witness is not None:
            self._witness.note(done.positions, self._passed_over)
        self._count(done)

    async def _enqueue(self, batch: Sequence[Matched]) -> Enqueued:
        async with self._outgoing() as outgoing:
            done = await enqueue_in(
                outgoing.connection, self._database, self._clock, self._log_name, self._at, batch
            )
            if done.notifications:
                for owed in done.owed:
                    outgoing.at_hand(*owed)
                await outgoing.lease_due()
        return done

    async def _matched(self, records: Sequence[Record]) -> list[Matched]:
        await self._live.refresh()
        before = await self._predecessors(records)
        with metrics.MATCH_SECONDS.time():
            return [Matched(record, self._fired(record, before)) for record in records]

    def _fired(self, record: Record, before: Mapping[str, Facets]) -> tuple[str, ...]:
        event = record.event
        return () if event is None else tuple(self._live.index.match(event, before.get(event.id)))

    async def _predecessors(self, records: Sequence[Record]) -> Mapping[str, Facets]:
        if not self._live.index.watches_crossings:
            return {}
        async with self._database.read() as connection:
            return await predecessors(connection, [record.event for record in records if record.event])

    def _count(self, done: Enqueued) -> None:
        metrics.CONSUMED.labels("new").inc(done.events)
        metrics.CONSUMED.labels("repeated").inc(done.repeated)
        metrics.CONSUMED.labels("dead_letter").inc(done.dead_letters)

    async def lag(self) -> bool:
        """Refresh the lag gauges; returns False, there is never more to do at once."""
        ends = await self._source.ends()
        for partition, end in ends.items():
            metrics.CONSUMER_LAG.labels(str(partition)).set(
                max(0, end - max(0, self._at.get(partition) or 0))
            )
        return False
