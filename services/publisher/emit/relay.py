"""The relay: brings committed outbox rows into the event log.

One relay at a time, elected for the length of one transaction, takes the rows that have no place yet, in the
order of their numbers, appends them and notes their places. Within a contract a smaller number committed
earlier (the store draws numbers under the contract's lock), so the log gets each contract's events in order,
whenever their transactions become visible. A relay that dies after the append and before its commit has
noted nothing: the rows are appended again under the same event ids, and readers drop the copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from schemas.event import ReportEvent
from services import metrics
from services.clock import Clock
from services.database import Connection, Database
from services.event_log import EventSink, LogUnavailableError, Place
from services.event_log_outbox import READ_BYTES, Appended, OutboxRows, within
from services.publisher.store.tables import outbox, resource_version

ROUND: Final = 500
"""Most events appended in one round."""

_ELECTION: Final = 0x76627072_72656C61
"""Key of the advisory lock whose holder is the relay: "vbprrela"."""

_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 0.5
"""Seconds before a relay that was not elected tries again; doubled from the first to the longest."""

_WAITING: Final = (
    OutboxRows(outbox, resource_version, source="")
    .sizes(outbox.c.number)
    .where(outbox.c.place_position.is_(None))
    .order_by(outbox.c.number)
    .limit(ROUND)
)
"""The first rows without a place, and their bytes."""
_VOTE: Final = sa.select(sa.func.pg_try_advisory_xact_lock(_ELECTION))
_vote = sa.select(sa.func.pg_try_advisory_xact_lock(_ELECTION).label("elected")).subquery()
_first = _WAITING.subquery()
_VOTE_AND_WAITING: Final = (
    sa.select(_vote, _first).select_from(_vote.outerjoin(_first, sa.true())).order_by(_first.c.number)
)
"""The vote and the first rows in one round trip: what another relay placed meanwhile is left out in loading."""
_CHOSEN: Final = (
    OutboxRows(outbox, resource_version, source="")
    .full()
    .where(
        outbox.c.number.between(
            sa.bindparam("first", type_=sa.BigInteger), sa.bindparam("last", type_=sa.BigInteger)
        ),
        outbox.c.place_position.is_(None),
    )
    .order_by(outbox.c.number)
    .limit(2 * ROUND)
)
"""Those from one row to another that have no place yet, and the versions they name.

Not by a list of numbers: PostgreSQL makes its plan when the outbox is empty, and would walk through it later on. The
limit, never reached, keeps it from walking through the versions."""
_NOTE: Final = (
    sa.update(outbox)
    .where(outbox.c.number == sa.bindparam("row"))
    .values(place_partition=sa.bindparam("partition"), place_position=sa.bindparam("position"))
)


class Relay:
    """The loop step of the emit step; any number may run, in as many processes."""

    def __init__(self, database: Database, sink: EventSink, *, source: str, clock: Clock) -> None:
        """Take the publisher's database, the log, and `source`, the `ce_source` of every event."""
        self._database = database
        self._sink = sink
        self._rows = OutboxRows(outbox, resource_version, source)
        self._clock = clock
        self._turned_away = 0
        self.appended = Appended()
        """Set after each commit, for a reader in the same process."""

    async def emit(self) -> bool:
        """Append what has no place yet, up to `ROUND` events; tell whether there may be more.

        What is stored while this goes on wakes the loop again.

        Raises:
            LogUnavailableError: the log did not take them; the rows stay as they were.
        """
        round_ = await self._alone() if self._database.is_sqlite else await self._among_others()
        if round_.turned_away:
            await self._stand_back()
            return True
        self._turned_away = 0
        if round_.emitted:
            metrics.EMITTED.inc(round_.emitted)
            self.appended.set()
        return round_.left_some

    async def _alone(self) -> _Round:
        """Place the first rows; without any, whoever writes is not held up."""
        rows = (await self._database.ask(_WAITING)).all()
        numbers = within(rows, READ_BYTES)
        if not numbers:
            return _Round()
        async with self._database.write() as transaction:
            return _round(rows, numbers, await self._emit(transaction, numbers))

    async def _among_others(self) -> _Round:
        """Place the first rows, if this relay is elected."""
        async with self._database.write() as transaction:
            found = (await transaction.execute(_VOTE_AND_WAITING)).all()
            rows = [(number, size) for _, number, size in found if number is not None]
            if not found[0].elected:
                return _Round(turned_away=bool(rows))
            numbers = within(rows, READ_BYTES)
            return _round(rows, numbers, await self._emit(transaction, numbers) if numbers else 0)

    async def _emit(self, transaction: Connection, numbers: Sequence[int]) -> int:
        """Place these rows; return how many."""
        events = await self._load(transaction, numbers)
        await self._place(transaction, events)
        return len(events)

    async def _load(self, transaction: Connection, numbers: Sequence[int]) -> dict[int, ReportEvent]:
        """Return the events of these rows, without those that another relay has placed meanwhile."""
        chosen = frozenset(numbers)
        rows = await transaction.execute(_CHOSEN, {"first": numbers[0], "last": numbers[-1]})
        return {row.number: self._rows.event(row) for row in rows if row.number in chosen}

    async def _place(self, transaction: Connection, events: dict[int, ReportEvent]) -> None:
        if not events:
            return
        try:
            places = await self._sink.append(transaction, list(events.values()))
        except LogUnavailableError:
            metrics.EMIT_FAILURES.inc()
            raise
        await _note(transaction, dict(zip(events, places, strict=True)))

    async def _stand_back(self) -> None:
        """Wait a little: whoever was elected is placing these very rows, or is stuck with the log."""
        longest = min(_FIRST_WAIT * 2**self._turned_away, _LONGEST_WAIT)
        self._turned_away = min(self._turned_away + 1, 10)
        await self._clock.sleep(longest * (0.5 + self._clock.random() / 2))


@dataclass(frozen=True, slots=True)
class _Round:
    """What a round came to."""

    emitted: int = 0
    left_some: bool = False
    """There were more rows than one round takes."""
    turned_away: bool = False
    """Rows wait, and another relay is at it."""


def _round(rows: Sequence[Any], numbers: Sequence[int], emitted: int) -> _Round:
    return _Round(emitted, left_some=len(numbers) < len(rows) or len(rows) == ROUND)


async def elected(transaction: Connection) -> bool:
    """Tell whether this transaction may number rows; the lock goes with the transaction, however it ends.

    On SQLite the writing transaction itself is the election.
    """
    if transaction.dialect.name != "postgresql":
        return True
    return bool((await transaction.execute(_VOTE)).scalar_one())


async def _note(transaction: Connection, places: dict[int, Place]) -> None:
    """Give each outbox row its place."""
    rows = [
        {"row": number, "partition": place.partition, "position": place.position}
        for number, place in places.items()
    ]
    await transaction.execute(_NOTE, rows)
