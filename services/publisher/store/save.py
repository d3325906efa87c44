"""How do decided rows reach the database? What goes is deleted, what has to be known is read, the rest is written at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from schemas.outcome import Issue
from services.database import Connection
from services.event_log_outbox import Placed
from services.publisher.store import gather, remarks
from services.publisher.store.events import Generation, event_row, follows
from services.publisher.store.index import Row
from services.publisher.store.model import REPORT, Placing
from services.publisher.store.pending import Pending
from services.publisher.store.predecessors import earlier
from services.publisher.store.rows import Rows
from services.publisher.store.statements import delete
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
    resource_date,
    resource_facet,
    resource_version,
    score_facet,
    shared_facet,
)

_MOST_KNOWN: Final = 50_000


def _forget(table: sa.Table) -> sa.Delete:
    return table.delete().where(table.c.type == sa.bindparam("of_type"), table.c.id == sa.bindparam("of_id"))


_forget_identifiers = _forget(identifier)
_forget_others = {table: _forget(table) for table in (resource_facet, resource_date)}
_forget_listings = listing.delete().where(listing.c.performance_id == sa.bindparam("of_performance"))


@dataclass(slots=True)
class KnownSets:
    """Names of the sets that are known to stand in `shared_facet`, until any set is removed (`set_pruning`)."""

    _names: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _round: int = -1

    def begin(self, round_: int) -> None:
        """Forget everything if sets have been removed since it was learned."""
        if round_ != self._round:
            self._names.clear()
            self._round = round_

    def __contains__(self, name: str) -> bool:
        """Tell whether a set is there; one that is not known may be there as well."""
        return name in self._names

    def add(self, names: Iterable[str], round_: int) -> None:
        """Know sets, once what stored them in that round of pruning is committed."""
        if round_ != self._round:
            return
        for name in names:
            self._names[name] = None
        while len(self._names) > _MOST_KNOWN:
            self._names.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Saved:
    """What is so once the transaction is committed."""

    sets: Collection[str]
    """Names of sets that are in the index."""
    round: int
    """Of pruning, in which they are."""
    placed: Sequence[Placed]
    """The events that have their place in the log."""
    remarks: Mapping[tuple[str, int], Sequence[Issue]]
    """What to tell the senders of some reports, by id and version."""


async def save(tx: Connection, rows: Rows, known: KnownSets, placing: Placing | None) -> Saved:
    """Write the rows; `placing` gives the events their places, else they wait for the relay."""
    new = Pending()
    new.insert(resource_version, rows.versions)
    new.upsert(resource, [rows.current[each] for each in sorted(rows.current)])
    await delete(tx, contract, [{"key": each} for each, row in sorted(rows.contracts.items()) if row is None])
    new.upsert(contract, [row for _, row in sorted(rows.contracts.items()) if row is not None])
    await _identifiers(tx, new, rows)
    await _others(tx, new, rows)
    saved = Saved((), 0, (), {})
    if rows.changes or rows.reports:
        saved = await _filed(tx, new, rows, known, placing)
    if rows.unlisted:
        await tx.execute(_forget_listings, [{"of_performance": each} for each in sorted(rows.unlisted)])
    new.insert(listing, rows.listings)
    new.insert(audit, rows.audit)
    await new.send(tx)
    return saved


async def _identifiers(tx: Connection, new: Pending, rows: Rows) -> None:
    if rows.identifiers:
        gone = [{"of_type": kind, "of_id": id_} for kind, id_ in sorted(rows.identifiers)]
        await tx.execute(_forget_identifiers, gone)
        new.insert(identifier, [row for each in sorted(rows.identifiers) for row in rows.identifiers[each]])


async def _others(tx: Connection, new: Pending, rows: Rows) -> None:
    if rows.others:
        gone = [{"of_type": kind, "of_id": id_} for kind, id_ in sorted(rows.others)]
        for table, forget in _forget_others.items():
            await tx.execute(forget, gone)
            found = (rows.others[each] for each in sorted(rows.others))
            new.insert(
                table,
                [row for each in found for row in (each.facets if table is resource_facet else each.dates)],
            )


async def _filed(
    tx: Connection, new: Pending, rows: Rows, known: KnownSets, placing: Placing | None
) -> Saved:
    """Write reports and their events."""
    standing = await gather.standing(tx, rows.changes, waiting=placing is not None)
    known.begin(standing.round)
    placed, said = await _events(tx, new, rows, standing, None if standing.waiting else placing)
    sets = await _reports(tx, new, rows, known)
    return Saved(sets, standing.round, placed, said)


async def _events(
    tx: Connection, new: Pending, rows: Rows, standing: gather.Standing, placing: Placing | None
) -> tuple[Sequence[Placed], dict[tuple[str, int], Sequence[Issue]]]:
    """Number the events in their order, and note which report stands for each identity.

    Return those that are placed, and what to tell whom. Before the reports are written: what an event supersedes is
    what stood there.
    """
    said: dict[tuple[str, int], Sequence[Issue]] = {}
    if not rows.changes:
        return (), said
    view = standing.generations
    known = await earlier(tx, rows.changes, view)
    stands: dict[str, str | None] = {}
    events = []
    for change in rows.changes:
        identity = change.derived.identity
        assert identity is not None
        after = follows(change, view.get(identity))
        events.append(event_row(change, after))
        before = after.previous or known.before(change)
        known.pass_by(change)
        if not change.deletes and (found := remarks.on_former(change.report, change.derived, before)):
            said[change.report_id, change.version] = found
        left = None if change.former is None else change.former.identity
        if left not in {None, identity} and left in view and view[left].report_id == change.report_id:
            del view[left]
            stands[left] = None
        if after.leaves:
            del view[identity]
            stands[identity] = None
        if after.takes_over:
            view[identity] = Generation(change.report_id, change.derived.stage, change.facets)
            stands[identity] = change.report_id
    places = None if placing is None else await placing.places(tx, len(events))
    for row, place in zip(events, places or (), strict=False):
        row["place_partition"], row["place_position"] = place.partition, place.position
    new.insert(outbox, events)
    await delete(tx, generation, [{"identity": each} for each in sorted(stands) if stands[each] is None])
    new.upsert(
        generation,
        [{"identity": each, "report_id": by} for each, by in sorted(stands.items()) if by is not None],
    )
    return _placed(rows, events) if places else (), said


def _placed(rows: Rows, events: Sequence[dict[str, Any]]) -> list[Placed]:
    """Put the bytes of the versions beside the events that name them."""
    bodies = {(row["id"], row["version"]): row["body"] for row in rows.versions if row["type"] == REPORT}
    return [Placed(row, bodies.get((row["report_id"], row["body_version"]))) for row in events]


async def _reports(tx: Connection, new: Pending, rows: Rows, known: KnownSets) -> Collection[str]:
    """Return the names of the sets that are there in this round of pruning."""
    if not rows.reports:
        return ()
    filed = [(each, rows.reports[each]) for each in sorted(rows.reports)]
    await delete(tx, report, [{"id": each} for each, filing in filed if filing.row is None])
    new.upsert(report, [filing.row for _, filing in filed if filing.row is not None])
    sets = {f.now.facet_set: f.now.shared for _, f in filed if f.row is not None}
    unknown = sorted(
        (parameter, value, name, system)
        for name, shared in sets.items()
        if name not in known
        for parameter, value, system in shared
    )
    new.add_missing(shared_facet, _named(shared_facet, unknown))
    await _reindex(tx, new, own_facet, [(each, f.before.own, f.now.own) for each, f in filed])
    await _reindex(tx, new, date_facet, [(each, f.before.dates, f.now.dates) for each, f in filed])
    await _reindex(tx, new, score_facet, [(each, f.before.scores, f.now.scores) for each, f in filed])
    return sets.keys()


async def _reindex(
    tx: Connection,
    new: Pending,
    table: sa.Table,
    entries: Iterable[tuple[str, frozenset[Row], frozenset[Row]]],
) -> None:
    """Remove the entries that reports have no more, and add those that they have now."""
    gone: list[Row] = []
    come: list[Row] = []
    for report_id, before, now in entries:
        gone += [(*row, report_id) for row in before - now]
        come += [(*row, report_id) for row in now - before]
    await delete(tx, table, _named(table, sorted(gone)))
    # An older process that runs until it is replaced leaves an entry behind that it knows nothing of: it may be there.
    new.add_missing(table, _named(table, sorted(come)))


def _named(table: sa.Table, rows: Iterable[Row]) -> list[dict[str, Any]]:
    names = tuple(column.name for column in table.columns)
    return [dict(zip(names, row, strict=True)) for row in rows]
