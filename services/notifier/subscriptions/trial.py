"""Trials: what of the kept events a Subscription would have been told, and why, or why not.

Both ask the functions that match, over the events this service has kept; nothing is changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import sqlalchemy as sa

from schemas.event import EventType
from schemas.facets import Facets
from services.database import Connection
from services.notifier import tables as t
from services.notifier.match.explain import Explanation, explain
from services.notifier.match.index import MatchIndex
from services.notifier.match.interest import GONE, Interest

MOST_LISTED: Final = 100
"""Events listed in one answer; all that would have fired are counted."""

MOST_LOOKED_AT: Final = 100_000
"""Kept events that one preview goes through, the newest of the period."""

_AT_ONCE: Final = 500
_e, _n = t.event.c, t.notification.c
_GONE = [kind.value for kind in GONE]
_COLUMNS = (
    _e.seq, _e.report_id, _e.version, _e.type, _e.accepted_at, _e.facets, _e.previous_facets, _e.series,
)  # fmt: skip
_time = _e.accepted_at.type
_PAGE = (
    sa.select(*_COLUMNS)
    .where(
        _e.seq < sa.bindparam("below"),
        _e.accepted_at >= sa.bindparam("since", type_=_time),
        _e.accepted_at < sa.bindparam("until", type_=_time),
    )
    .order_by(_e.seq.desc())
    .limit(_AT_ONCE)
)
_BEFORE = (
    sa.select(_e.facets)
    .where(_e.series == sa.bindparam("series"), _e.seq < sa.bindparam("below"), _e.type.not_in(_GONE))
    .order_by(_e.seq.desc())
    .limit(1)
)
_REPORT = sa.select(*_COLUMNS).where(_e.report_id == sa.bindparam("report")).order_by(_e.seq.desc()).limit(1)
_VERSION = _REPORT.where(_e.version == sa.bindparam("version"))
_NUMBER = sa.select(_n.number).where(
    _n.event_seq == sa.bindparam("seq"), _n.subscription_id == sa.bindparam("of")
)


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """A kept event, as matching sees it."""

    seq: int
    report: str
    """`MeasureReport/{id}/_history/{version}`."""
    type: EventType
    time: datetime
    facets: Facets
    previous_facets: Facets | None
    series: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a period of kept events would have come to."""

    looked_at: int
    fired: int
    listed: Sequence[KeptEvent]
    """The newest of those that fired, newest first."""
    cut: bool
    """The period has more events than are gone through."""


async def preview(connection: Connection, interest: Interest, since: datetime, until: datetime) -> Preview:
    """Return which events accepted from `since` on and before `until` would have fired."""
    index = MatchIndex()
    index.put(interest)
    looked_at = fired = 0
    listed: list[KeptEvent] = []
    async for event in _events(connection, since, until):
        if looked_at == MOST_LOOKED_AT:
            return Preview(looked_at, fired, listed, cut=True)
        looked_at += 1
        before = await predecessor(connection, event) if interest.audience.crosses else None
        if index.match(event, before):
            fired += 1
            if len(listed) < MOST_LISTED:
                listed.append(event)
    return Preview(looked_at, fired, listed, cut=False)


async def _events(connection: Connection, since: datetime, until: datetime) -> AsyncIterator[KeptEvent]:
    below = 2**62
    while rows := (await connection.execute(_PAGE, {"below": below, "since": since, "until": until})).all():
        for row in rows:
            yield _kept(row)
        below = rows[-1].seq


async def predecessor(connection: Connection, event: KeptEvent) -> Facets | None:
    """Return the facets of what came before an event in its series; `None` when it superseded a report itself."""
    if event.previous_facets is not None or event.series is None:
        return None
    named = {"series": event.series, "below": event.seq}
    found = (await connection.execute(_BEFORE, named)).scalar()
    return None if found is None else dict(orjson.loads(found))


async def event_of(connection: Connection, report: str, version: int | None) -> KeptEvent | None:
    """Return the newest kept event of a report, or that of one of its versions; `None` when none is kept."""
    if version is None:
        row = (await connection.execute(_REPORT, {"report": report})).one_or_none()
    else:
        row = (await connection.execute(_VERSION, {"report": report, "version": version})).one_or_none()
    return None if row is None else _kept(row)


async def explained(
    connection: Connection, interest: Interest, texts: tuple[str, ...], event: KeptEvent
) -> tuple[Explanation, int | None]:
    """Return why an event fires the subscription or not, and the number it was given, if it was."""
    number = (await connection.execute(_NUMBER, {"seq": event.seq, "of": interest.subscription})).scalar()
    return explain(interest, texts, event, await predecessor(connection, event)), number


def _kept(row: Any) -> KeptEvent:
    return KeptEvent(
        seq=row.seq,
        report=f"MeasureReport/{row.report_id}/_history/{row.version}",
        type=EventType(row.type),
        time=row.accepted_at,
        facets=orjson.loads(row.facets),
        previous_facets=None if row.previous_facets is None else orjson.loads(row.previous_facets),
        series=row.series,
    )
