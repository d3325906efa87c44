"""What do leased lanes carry? Their channels, and of what they owe as much as one turn takes, in bytes and in number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson
import sqlalchemy as sa

from schemas.event import Interaction
from services.database import Connection, UtcDateTime, utc
from services.notifier.hot import hot, listed
from services.notifier.model import Batch, Channel, Event, LaneState, Owed, Status
from services.notifier.record.lane import MOST_NUMBERS, Lane
from services.notifier.send.events import Events
from services.notifier.send.latest import Latest, latest, skipped_before

MOST_BYTES: Final = 2**20
"""Most bytes of reports loaded for one lane at a time; but always its next batch."""
MOST_BYTES_AT_ONCE: Final = 32 * 2**20
"""Most bytes of reports loaded with one claim; beyond that a lane gets its next batch only."""
AROUND_BUNDLE, AROUND_REPORT = 4096, 1536
"""Most bytes of a notification Bundle besides its reports: in all, and for each event."""

_CHANNELS = hot(
    """
    SELECT id AS subscription_id, kind, status, channel, endpoint, mime, content, criteria, headers, timeout,
           heartbeat, latest_only, version AS subscription_version, ends_at
    FROM subscription WHERE id {ids}
    """,
    [
        sa.column("subscription_id"),
        sa.column("kind"),
        sa.column("status"),
        sa.column("channel"),
        sa.column("endpoint"),
        sa.column("mime"),
        sa.column("content"),
        sa.column("criteria"),
        sa.column("headers"),
        sa.column("timeout"),
        sa.column("heartbeat"),
        sa.column("latest_only"),
        sa.column("subscription_version"),
        sa.column("ends_at", UtcDateTime()),
    ],
)

_OWED = hot(
    """
    SELECT w.id, n.number, e.event_id, e.report_id, e.version, e.interaction, e.accepted_at, length(e.body)
    FROM {wanted}
    JOIN {owed}
    JOIN event e ON e.seq = n.event_seq
    ORDER BY w.id, n.number
    """,
    [
        sa.column("subscription_id"),
        sa.column("number"),
        sa.column("event_id"),
        sa.column("report_id"),
        sa.column("version"),
        sa.column("interaction"),
        sa.column("accepted_at"),  # as the database has it: most rows are of events that are at hand
        sa.column("size"),
    ],
    sqlite={
        "wanted": "(SELECT value ->> 0 AS id, value ->> 1 AS first, value ->> 2 AS last FROM json_each(:wanted)) AS w",
        "owed": "notification n ON n.subscription_id = w.id AND n.number BETWEEN w.first AND w.last",
    },
    postgresql={
        "wanted": "unnest(CAST(:ids AS text[]), CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[]))"
        " AS w(id, first, last)",
        # The limit changes nothing but the planner's mind: it expects so many rows of each lane that it would go
        # through every event there is.
        "owed": "LATERAL (SELECT number, event_seq FROM notification WHERE subscription_id = w.id"
        " AND number BETWEEN w.first AND w.last ORDER BY number LIMIT w.last - w.first + 1) n ON true",
    },
)

_BODIES = hot("SELECT event_id, body FROM event WHERE event_id {ids}")


@dataclass(frozen=True, slots=True)
class Load:
    """What one lane carries: no batch when its turn is a handshake."""

    lane: Lane
    """With its plan, which is as it will be sent."""
    channel: Channel
    batches: Sequence[Batch]
    passed: Latest | None = None
    """What is not sent because the subscription wants the latest only."""


AtHand: TypeAlias = Mapping[str, Mapping[int, Owed]]
"""Numbers that this very transaction has given, by subscription."""


async def load(
    connection: Connection, lanes: Sequence[Lane], events: Events, at_hand: AtHand, *, most_bytes: int
) -> dict[str, Load]:
    """Return what each of these lanes carries, by subscription; one that was deleted meanwhile is left out.

    Of a lane that owes nothing but what is at hand, nothing of that is asked for. New plans are cut so that a Bundle
    of more than one report has at most `most_bytes`.
    """
    rows = await connection.execute(
        _CHANNELS.of(connection), {"ids": listed(connection, [lane.subscription for lane in lanes])}
    )
    channels = {row.subscription_id: channel_of(row) for row in rows}
    passed = {
        lane.subscription: await latest(connection, lane)
        for lane in lanes
        if lane.subscription in channels and channels[lane.subscription].latest_only
    }
    lanes = [passed[lane.subscription].lane if lane.subscription in passed else lane for lane in lanes]
    before = {name: await skipped_before(connection, each) for name, each in passed.items()}
    owed = await _owed(connection, [lane for lane in lanes if lane.subscription in channels], events, at_hand)
    chosen, left, carried = [], MOST_BYTES_AT_ONCE, set[Event]()
    for lane in lanes:
        if lane.subscription in channels:
            carries = _carries_reports(channels[lane.subscription])
            there = owed.get(lane.subscription, {})
            planned = lane.cut(_sizes(there, carries=carries), most_bytes - AROUND_BUNDLE)
            batches, size = choose(planned, there, carried, min(left, MOST_BYTES) if carries else None)
            chosen.append((planned, batches))
            left -= size
    await _carry(connection, carried, events)
    return {
        lane.subscription: Load(
            lane,
            channels[lane.subscription],
            [
                Batch(lane.subscription, batch, 0 if place else before.get(lane.subscription, 0))
                for place, batch in enumerate(batches)
            ],
            passed.get(lane.subscription),
        )
        for lane, batches in chosen
    }


def _sizes(owed: Mapping[int, Owed], *, carries: bool) -> dict[int, int]:
    """Return how many bytes each number takes in a Bundle, at most."""
    return {number: AROUND_REPORT + each.event.size * carries for number, each in owed.items()}


async def _owed(
    connection: Connection, lanes: Sequence[Lane], events: Events, at_hand: AtHand
) -> dict[str, dict[int, Owed]]:
    windows = [numbers for lane in lanes if (numbers := window(lane)) is not None]
    found: dict[str, dict[int, Owed]] = {}
    wanted = []
    for of, first, last in windows:
        there = at_hand.get(of, {})
        if first in there and last in there:  # numbers are given without a gap
            found[of] = {number: there[number] for number in range(first, last + 1)}
        else:
            wanted.append((of, first, last))
    if not wanted:
        return found
    if connection.dialect.name == "sqlite":
        rows = await connection.execute(_OWED.sqlite, {"wanted": orjson.dumps(wanted).decode()})
    else:
        ids, firsts, lasts = (list(column) for column in zip(*wanted, strict=True))
        rows = await connection.execute(_OWED.postgresql, {"ids": ids, "firsts": firsts, "lasts": lasts})
    # One object an event, whatever goes from those at hand before the last lane has named it.
    known = {each.event.id: each.event for there in at_hand.values() for each in there.values()}
    for of, number, event_id, *values in rows:
        event = known.get(event_id) or events.get(event_id)
        if event is None:
            event = _event(event_id, *values)
            events.keep(event)
        known[event_id] = event
        found.setdefault(of, {})[number] = Owed(number, event)
    return found


def _event(
    event_id: str, report_id: str, version: int, interaction: Interaction, accepted_at: Any, size: int
) -> Event:
    return Event(event_id, report_id, version, interaction, utc(accepted_at), size)


def window(lane: Lane) -> tuple[str, int, int] | None:
    """Return the numbers of a lane that are looked at."""
    if lane.state is LaneState.HANDSHAKE:
        return None
    last = None
    for _, batch_last in lane.batches():
        if last is not None and batch_last - lane.next_number + 1 > MOST_NUMBERS:
            break
        last = batch_last
    return None if last is None else (lane.subscription, lane.next_number, last)


def choose(
    lane: Lane, owed: Mapping[int, Owed], carried: set[Event], at_most: int | None
) -> tuple[list[list[Owed]], int]:
    """Return the next batches of a lane, and how many bytes of reports they add to those `carried` anyway.

    `at_most` bounds the bytes, but the next batch is always among them; `None`: nothing is carried. The events of
    the batches are added to those carried. A batch of which something is not there ends the turn before it.
    """
    batches: list[list[Owed]] = []
    total = 0
    for first, last in lane.batches():
        batch = [owed[number] for number in range(first, last + 1) if number in owed]
        if len(batch) <= last - first:
            break
        if at_most is not None:
            new = {each.event for each in batch}.difference(carried)
            size = sum(event.size for event in new)
            if batches and total + size > at_most:
                break
            total += size
            carried |= new
        batches.append(batch)
    return batches, total


async def _carry(connection: Connection, carried: Iterable[Event], events: Events) -> None:
    """Have these events carry their reports."""
    missing = {event.id: event for event in carried if event.body is None}
    if missing:
        rows = await connection.execute(_BODIES.of(connection), {"ids": listed(connection, [*missing])})
        for event_id, body in rows:
            events.carry(missing[event_id], body)


def _carries_reports(channel: Channel) -> bool:
    return channel.mime is not None if channel.kind == "classic" else channel.content == "full-resource"


def channel_of(row: Any) -> Channel:
    """Return the channel from a row of `subscription` (its version as `subscription_version`)."""
    headers = tuple(
        (name.strip(), value.strip())
        for name, _, value in (header.partition(":") for header in orjson.loads(row.headers))
    )
    return Channel(
        subscription=row.subscription_id,
        kind=row.kind,
        status=Status(row.status),
        endpoint=row.endpoint,
        mime=row.mime,
        content=row.content,
        topic=row.criteria if row.kind == "topic" else None,
        headers=headers,
        timeout=row.timeout,
        version=row.subscription_version,
        heartbeat=row.heartbeat,
        latest_only=row.latest_only,
        type=row.channel,
        ends_at=row.ends_at,
    )
