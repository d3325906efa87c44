"""What came before each event of a batch in its series? Asked only when somebody watches for crossings.

The kept events are asked, and the batch itself: its events are not stored yet when they are matched. What
retention has removed is not known any more, and a withdrawn or deleted report is none to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
import sqlalchemy as sa

from schemas.event import ReportEvent
from schemas.facets import Facets
from services.database import Connection
from services.notifier import tables as t
from services.notifier.match.interest import GONE
from services.notifier.match.series import series_of

_e = t.event.c
_GONE = [kind.value for kind in GONE]

_latest = (
    sa.select(_e.series, sa.func.max(_e.seq).label("seq"))
    .where(_e.series.in_(sa.bindparam("series", expanding=True)), _e.type.not_in(_GONE))
    .group_by(_e.series)
    .subquery()
)
_LATEST = sa.select(_e.series, _e.facets).join(_latest, _latest.c.seq == _e.seq)
_SEEN = sa.select(t.seen_event.c.event_id).where(
    t.seen_event.c.event_id.in_(sa.bindparam("ids", expanding=True))
)


async def predecessors(connection: Connection, events: Sequence[ReportEvent]) -> Mapping[str, Facets]:
    """Return the facets of what came before, by event id, of those events that supersede nothing themselves."""
    series = {event.id: name for event in events if (name := series_of(event.facets)) is not None}
    if not any(event.previous_facets is None and event.id in series for event in events):
        return {}
    seen = set((await connection.execute(_SEEN, {"ids": [event.id for event in events]})).scalars())
    rows = await connection.execute(_LATEST, {"series": sorted(set(series.values()))})
    latest: dict[str, Facets] = {row.series: orjson.loads(row.facets) for row in rows}
    found: dict[str, Facets] = {}
    for event in events:
        name = series.get(event.id)
        if name is None or event.id in seen:
            continue  # a copy of an event that was taken in before comes before nothing
        seen.add(event.id)
        if event.previous_facets is None and name in latest:
            found[event.id] = latest[name]
        if event.type not in GONE:
            latest[name] = event.facets
    return found
