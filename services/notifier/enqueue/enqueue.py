"""One batch taken in: all of it, once, with gap-free numbers; or nothing.

The position is moved under a fence: only from where this reader had it. A reader that was frozen, kicked out or
is a copy finds it moved and commits nothing. Locks: positions, then counters, then lanes, each in id order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from schemas.event import ReportEvent, headers
from services.clock import Clock
from services.database import Connection, Database, UtcDateTime
from services.event_log import Record
from services.notifier import tables as t
from services.notifier.enqueue import at_once
from services.notifier.enqueue.at_once import IDLE
from services.notifier.enqueue.seen import Known, Standing, remember, standings
from services.notifier.hot import hot, listed, moment
from services.notifier.match.series import series_of
from services.notifier.send.notices import announce


@dataclass(frozen=True, slots=True)
class Matched:
    """A record and the subscriptions its event fires."""

    record: Record
    subscriptions: tuple[str, ...]


class Numbered(NamedTuple):
    """A number given to a subscription, and the event it is for."""

    subscription: str
    number: int
    event: ReportEvent


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What a batch came to."""

    positions: dict[int, int]
    events: int
    repeated: int
    dead_letters: int
    notifications: int
    refused: tuple[Matched, ...] = ()
    """Events too old to be known from copies: not numbered, and to be listed by the caller."""
    owed: Sequence[Numbered] = ()
    """The notifications, each with its event."""


TOO_OLD = (
    "accepted before the oldest event id that is kept: it may have been taken in before, so it gets no number"
)


class StalePositionError(Exception):
    """The position is not where this reader had it: another notifier has read on."""


async def enqueue(
    database: Database, clock: Clock, log_name: str, at: Mapping[int, int | None], batch: Sequence[Matched]
) -> Enqueued:
    """Commit a batch of records, in the order they were read.

    Raises:
        StalePositionError: nothing was committed; the positions have to be loaded again.
    """
    async with database.write() as connection:
        done = await enqueue_in(connection, database, clock, log_name, at, batch)
        if done.notifications:
            await announce(connection)
    return done


async def enqueue_in(
    connection: Connection,
    database: Database,
    clock: Clock,
    log_name: str,
    at: Mapping[int, int | None],
    batch: Sequence[Matched],
) -> Enqueued:
    """Do the same as the first thing inside a transaction; whoever commits it sees to what is due, or announces it.

    Raises:
        StalePositionError: the transaction has to be rolled back.
    """
    last = {matched.record.partition: matched.record for matched in batch}
    if connection.dialect.name == "postgresql" and None not in map(at.get, last):
        known = await at_once.move(connection, log_name, at, last, _ids(batch))
        if known is None:
            raise StalePositionError
        taken = await take_in(connection, database, clock, batch, known)
    else:
        await _move(connection, log_name, at, last)
        taken = await take_in(connection, database, clock, batch)
    poison = [matched for matched in batch if matched.record.event is None]
    dead = await _bury(connection, clock, log_name, [*poison, *taken.refused])
    after = {partition: record.position + 1 for partition, record in last.items()}
    return replace(taken, positions=after, dead_letters=dead)


async def take_in(
    connection: Connection,
    database: Database,
    clock: Clock,
    batch: Sequence[Matched],
    known: Known | None = None,
) -> Enqueued:
    """Keep the events of a batch that are new and number what each fires, whatever place they were read at.

    `known` is what is known of these events, if that was asked for.
    """
    events = [(matched, matched.record.event) for matched in batch if matched.record.event is not None]
    found = await standings(connection, [event for _, event in events], known)
    sorted_out = list(zip(events, found, strict=True))
    fresh = [matched for (matched, _), standing in sorted_out if standing is Standing.NEW]
    refused = tuple(matched for (matched, _), standing in sorted_out if standing is Standing.UNKNOWABLE)
    repeated = len(events) - len(fresh) - len(refused)
    if not fresh:
        return Enqueued({}, 0, repeated, 0, 0, refused)
    wanted = sorted({subscription for matched in fresh for subscription in matched.subscriptions})
    rows = [_event_row(matched.record) | {"received_at": clock.now()} for matched in fresh]
    if connection.dialect.name == "postgresql":
        seqs, last = await at_once.keep(connection, rows, wanted)
    else:
        seqs, last = await _keep_events(connection, fresh, rows), await _last_numbers(connection, wanted)
    owed = _number(fresh, last)
    await _owe(connection, database, clock, owed, seqs)
    return Enqueued({}, len(fresh), repeated, 0, len(owed), refused, owed)


def _ids(batch: Sequence[Matched]) -> list[str]:
    return [matched.record.event.id for matched in batch if matched.record.event is not None]


_POSITION = sa.insert(t.position)
_MOVE = (
    sa.update(t.position)
    .where(
        t.position.c.log == sa.bindparam("of_log"),
        t.position.c.partition == sa.bindparam("of_partition"),
        t.position.c.next_position == sa.bindparam("known"),
    )
    .values(next_position=sa.bindparam("to_position"), last_event=sa.bindparam("to_event"))
)


async def _move(
    connection: Connection, log_name: str, at: Mapping[int, int | None], last: Mapping[int, Record]
) -> None:
    for partition, record in sorted(last.items()):
        known, after = at.get(partition), record.position + 1
        last_event = None if record.event is None else record.event.id
        if known is None:
            row = {"log": log_name, "partition": partition, "next_position": after, "last_event": last_event}
            try:
                await connection.execute(_POSITION, row)
            except IntegrityError:
                raise StalePositionError from None
            continue
        of = {"of_log": log_name, "of_partition": partition, "known": known}
        moved = await connection.execute(_MOVE, of | {"to_position": after, "to_event": last_event})
        if moved.rowcount != 1:
            raise StalePositionError


_EVENT = sa.insert(t.event)
_SEQS = hot("SELECT event_id, seq FROM event WHERE event_id {ids}")


async def _keep_events(
    connection: Connection, fresh: Sequence[Matched], rows: Sequence[dict[str, Any]]
) -> dict[str, int]:
    # In their order, one after the other: within a contract `seq` is the order of acceptance. Returning `seq`
    # from here would cost a statement a row on SQLite.
    await connection.execute(_EVENT, rows)
    await remember(
        connection, [matched.record.event for matched in fresh if matched.record.event is not None]
    )
    kept = await connection.execute(_SEQS.of(connection), {"ids": listed(connection, _ids(fresh))})
    return {row.event_id: row.seq for row in kept}


def _event_row(record: Record) -> dict[str, Any]:
    event = record.event
    assert event is not None
    previous = event.previous_facets
    return {
        "event_id": event.id,
        "type": event.type.value,
        "source": event.source,
        "report_id": event.report_id,
        "version": event.version,
        "contract": event.contract,
        "interaction": event.interaction,
        "accepted_at": event.time,
        "log_partition": record.partition,
        "log_position": record.position,
        "facets": orjson.dumps(event.facets).decode(),
        "previous_facets": None if previous is None else orjson.dumps(previous).decode(),
        "traceparent": event.traceparent,
        "body": event.body,
        "series": series_of(event.facets),
        "supersedes": _supersedes(event),
    }


def _supersedes(event: ReportEvent) -> str | None:
    """Return the id of the other report whose place an event's report takes; `None` when it takes none's."""
    for former in (event.previous_facets or {}).get("_id", ()):
        if isinstance(former, str) and (report_id := former.removeprefix("|")) != event.report_id:
            return report_id
    return None


_COUNTERS = hot("""
    SELECT subscription_id, last_number FROM counter WHERE subscription_id {ids} AND numbering
    ORDER BY subscription_id {lock}
""")


async def _last_numbers(connection: Connection, wanted: Sequence[str]) -> dict[str, int]:
    """Lock the counters of these subscriptions; one that is off or gone has none."""
    if not wanted:
        return {}
    rows = await connection.execute(_COUNTERS.of(connection), {"ids": listed(connection, wanted)})
    return {row.subscription_id: row.last_number for row in rows}


def _number(fresh: Sequence[Matched], last: dict[str, int]) -> list[Numbered]:
    """Give each match the next number of its subscription; one without a counter gets none."""
    owed = []
    for matched in fresh:
        assert matched.record.event is not None
        for subscription in matched.subscriptions:
            if subscription in last:
                last[subscription] += 1
                owed.append(Numbered(subscription, last[subscription], matched.record.event))
    return owed


_NOTIFICATION = sa.insert(t.notification)
_COUNT = sa.text("UPDATE counter SET last_number = :to_number WHERE subscription_id = :of")
_DUE = sa.text(
    f"UPDATE lane SET last_number = :to_number, due_at = CASE WHEN {IDLE} THEN :now ELSE due_at END"
    " WHERE subscription_id = :of"
).bindparams(sa.bindparam("now", type_=UtcDateTime()))


async def _owe(
    connection: Connection,
    database: Database,
    clock: Clock,
    owed: Sequence[Numbered],
    seqs: Mapping[str, int],
) -> None:
    if not owed:
        return
    rows = [
        {"subscription_id": each.subscription, "number": each.number, "event_seq": seqs[each.event.id]}
        for each in owed
    ]
    # Numbers rise, so the last one of each wins; in the order of ids, as lanes are locked.
    last = dict(sorted({each.subscription: each.number for each in owed}.items()))
    if connection.dialect.name == "postgresql":
        await at_once.owe(connection, rows, last)
        return
    await connection.execute(_NOTIFICATION, rows)
    now = moment(database, clock)
    moves = [{"of": subscription, "to_number": number} | now for subscription, number in last.items()]
    await connection.execute(_COUNT, moves)
    await connection.execute(_DUE, moves)


_DEAD_LETTER = sa.insert(t.dead_letter)


async def _bury(connection: Connection, clock: Clock, log_name: str, letters: Sequence[Matched]) -> int:
    """List what is not taken in: records that are no event, and events too old to be known from copies."""
    rows = [_letter(matched.record) | {"log": log_name, "at": clock.now()} for matched in letters]
    if rows:
        await connection.execute(_DEAD_LETTER, rows)
    return len(rows)


def _letter(record: Record) -> dict[str, Any]:
    event = record.event
    raw = record.raw_headers if event is None else headers(event)
    return {
        "partition": record.partition,
        "position": record.position,
        "reason": record.poison or ("not an event" if event is None else TOO_OLD),
        "headers": orjson.dumps([[name, value.decode("utf-8", "replace")] for name, value in raw]).decode(),
        "value": record.raw_value if event is None else event.body,
    }
