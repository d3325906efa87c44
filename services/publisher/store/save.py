"""How do decided rows reach the database? A statement a table, however many rows there are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from services.database import Connection
from services.publisher.store import gather
from services.publisher.store.events import Generation, event_row, succession
from services.publisher.store.index import Row
from services.publisher.store.model import Placing
from services.publisher.store.rows import Rows
from services.publisher.store.statements import add_missing, delete, insert, upsert
from services.publisher.store.tables import (
    audit,
    contract,
    date_facet,
    generation,
    identifier,
    listing,
    outbox,
    own_facet,
    report,
    resource,
    resource_version,
    score_facet,
    shared_facet,
)

_MOST_KNOWN: Final = 50_000

_forget_identifiers = (
    identifier.delete()
    .where(identifier.c.type == sa.bindparam("of_type"))
    .where(identifier.c.id == sa.bindparam("of_id"))
)


@dataclass(slots=True)
class KnownSets:
    """Names of the sets that are known to stand in `shared_facet`: no set is ever removed."""

    _names: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def __contains__(self, name: str) -> bool:
        """Tell whether a set is there; one that is not known may be there as well."""
        return name in self._names

    def add(self, names: Iterable[str]) -> None:
        """Know sets, once what stored them is committed."""
        for name in names:
            self._names[name] = None
        while len(self._names) > _MOST_KNOWN:
            self._names.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Saved:
    """What is so once the transaction is committed."""

    sets: Collection[str]
    """Names of sets that are in the index."""
    placed: int
    """How many events have their place in the log."""


async def save(tx: Connection, rows: Rows, known: KnownSets, placing: Placing | None) -> Saved:
    """Write the rows; `placing` gives the events their places, else they wait for the relay."""
    await insert(tx, resource_version, rows.versions)
    await upsert(tx, resource, [rows.current[each] for each in sorted(rows.current)])
    await upsert(tx, contract, [rows.contracts[each] for each in sorted(rows.contracts)])
    await _identifiers(tx, rows)
    placed = await _events(tx, rows, placing)
    sets = await _reports(tx, rows, known)
    await insert(tx, listing, rows.listings)
    await insert(tx, audit, rows.audit)
    return Saved(sets, placed)


async def _identifiers(tx: Connection, rows: Rows) -> None:
    if rows.identifiers:
        gone = [{"of_type": kind, "of_id": id_} for kind, id_ in sorted(rows.identifiers)]
        await tx.execute(_forget_identifiers, gone)
        await insert(
            tx, identifier, [row for each in sorted(rows.identifiers) for row in rows.identifiers[each]]
        )


async def _events(tx: Connection, rows: Rows, placing: Placing | None) -> int:
    """Number the events in their order, and note which report stands for each identity; return how many are placed.

    Before the reports are written: what an event supersedes is what stood there.
    """
    if not rows.changes:
        return 0
    view = await gather.generations(tx, rows.changes)
    stands: dict[str, str | None] = {}
    events = []
    for change in rows.changes:
        identity = change.derived.identity
        assert identity is not None
        follows = succession(change.report_id, identity, view.get(identity), change.former)
        events.append(event_row(change, follows))
        left = None if change.former is None else change.former.identity
        if left not in {None, identity} and left in view and view[left].report_id == change.report_id:
            del view[left]
            stands[left] = None
        if follows.takes_over:
            view[identity] = Generation(change.report_id, change.derived.stage, change.facets)
            stands[identity] = change.report_id
    places = None if placing is None else await placing.places(tx, len(events))
    for row, place in zip(events, places or (), strict=False):
        row["place_partition"], row["place_position"] = place.partition, place.position
    await insert(tx, outbox, events)
    await delete(tx, generation, [{"identity": each} for each in sorted(stands) if stands[each] is None])
    await upsert(
        tx,
        generation,
        [{"identity": each, "report_id": by} for each, by in sorted(stands.items()) if by is not None],
    )
    return len(places or ())


async def _reports(tx: Connection, rows: Rows, known: KnownSets) -> Collection[str]:
    filed = [(each, rows.reports[each]) for each in sorted(rows.reports)]
    await upsert(tx, report, [filing.row for _, filing in filed])
    sets = {filing.now.facet_set: filing.now.shared for _, filing in filed}
    new = sorted((*row, name) for name, shared in sets.items() if name not in known for row in shared)
    await add_missing(tx, shared_facet, _named(shared_facet, new))
    await _reindex(tx, own_facet, [(each, f.before.own, f.now.own) for each, f in filed])
    await _reindex(tx, date_facet, [(each, f.before.dates, f.now.dates) for each, f in filed])
    await _reindex(tx, score_facet, [(each, f.before.scores, f.now.scores) for each, f in filed])
    return sets.keys()


async def _reindex(
    tx: Connection, table: sa.Table, entries: Iterable[tuple[str, frozenset[Row], frozenset[Row]]]
) -> None:
    """Remove the entries that reports have no more, and add those that they have now."""
    gone: list[Row] = []
    new: list[Row] = []
    for report_id, before, now in entries:
        gone += [(*row, report_id) for row in before - now]
        new += [(*row, report_id) for row in now - before]
    await delete(tx, table, _named(table, sorted(gone)))
    await insert(tx, table, _named(table, sorted(new)))


def _named(table: sa.Table, rows: Iterable[Row]) -> list[dict[str, Any]]:
    names = tuple(column.name for column in table.columns)
    return [dict(zip(names, row, strict=True)) for row in rows]
