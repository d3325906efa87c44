"""What has to be known to decide about a batch? Read with a handful of statements, however many requests it has.

The caller holds the locks on the resources and the contents that the batch writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa

from schemas.event import Stage
from schemas.facets import token
from services.database import Connection
from services.publisher.derive.model import Derived, Kind
from services.publisher.store import contracts, identifiers, versions
from services.publisher.store.events import Change, Generation, identities
from services.publisher.store.model import REPORT, Contract, Filed, Listing
from services.publisher.store.plan import Planned, Request, payer_of
from services.publisher.store.references import manager_of
from services.publisher.store.referrers import referrers
from services.publisher.store.statements import among
from services.publisher.store.tables import (
    contract,
    generation,
    identifier,
    listing,
    outbox,
    report,
    resource,
    set_pruning,
)
from services.publisher.store.view import View

_listings = (
    sa.select(listing.c.quality_id, listing.c.performance_id, listing.c.since)
    .where(among(listing.c.quality_id, "ids"))
    .order_by(listing.c.quality_id, listing.c.since)
)
_reports = sa.select(report).where(among(report.c.id, "ids"))
_contracts = sa.select(contract).where(
    among(contract.c.key, "keys") | among(contract.c.measure_id, "measures")
)
_identifiers = (
    sa.select(resource.c.id, identifier.c.system, identifier.c.value)
    .outerjoin(identifier, (identifier.c.type == resource.c.type) & (identifier.c.id == resource.c.id))
    .where(resource.c.type == "Organization")
    .where(~resource.c.deleted)
    .where(among(resource.c.id, "ids"))
    .order_by(resource.c.id, identifier.c.system, identifier.c.value)
)
_identified = (
    sa.select(identifier.c.id, identifier.c.system, identifier.c.value)
    .where(identifier.c.type == "Organization")
    .where(among(identifier.c.value, "values"))
)
_generations = (
    sa.select(generation.c.identity, generation.c.report_id, report.c.stage, report.c.facets)
    .join(report, report.c.id == generation.c.report_id)
    .where(among(generation.c.identity, "identities"))
)
# Shared until the commit: nobody removes a set while somebody comes to name it.
_standing = (
    sa.select(
        set_pruning.c.round,
        generation.c.identity,
        generation.c.report_id,
        report.c.stage,
        report.c.facets,
    )
    .select_from(
        set_pruning.outerjoin(generation, among(generation.c.identity, "identities")).outerjoin(
            report, report.c.id == generation.c.report_id
        )
    )
    .where(set_pruning.c.id == 1)
    .with_for_update(read=True, of=set_pruning)
)
_standing_and_waiting = _standing.add_columns(
    sa.exists().where(outbox.c.place_position.is_(None)).label("waiting")
)


class ChangedError(Exception):
    """What a request refers to changed while its locks were waited for: it is to be looked at anew."""


@dataclass(slots=True)
class _Wanted:
    """What the requests name themselves; the rest follows from what is found."""

    updates: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    contents: set[str] = field(default_factory=set)
    contracts: set[str] = field(default_factory=set)
    measures: set[str] = field(default_factory=set)
    organisations: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)


def _wanted(requests: Iterable[Request], base_url: str) -> _Wanted:
    out = _Wanted()
    for request in requests:
        for each in request.planned:
            write = each.write
            if not write.creates:
                out.updates[write.type].add(write.id)
            elif write.if_none_exist is None:
                out.contents.add(each.content)
            elif each.found is not None:
                out.updates[write.type].add(each.found)
            _of_write(out, request, each, base_url)
    return out


def _of_write(out: _Wanted, request: Request, planned: Planned, base_url: str) -> None:
    write, needs = planned.write, planned.needs
    if write.deletes:
        out.measures.update([write.id] if write.type == "Measure" else ())
        out.organisations.update(_local(f"{write.type}/{write.id}"))
    elif needs is not None:
        out.organisations.update(needs.organisations)
        out.tokens.update(needs.identifiers)
        out.listed.update(needs.lists)
        if needs.contract is not None:
            out.contracts.add(needs.contract)
        if needs.group is not None:
            out.groups.add(needs.group.removeprefix("Group/"))
        if write.kind is Kind.QUALITY:
            out.listed.add(write.id)
    elif planned.contract is not None:
        out.contracts.add(planned.contract.key)
        out.measures.add(write.id)
        out.organisations.update(_local(payer_of(request.principal)))
    elif write.type == "Organization":
        out.organisations.add(f"Organization/{write.id}")
    elif write.type == "Group":
        out.organisations.update(_local(manager_of(write.resource, base_url)))


def _local(*references: str | None) -> Iterable[str]:
    return (each for each in references if each and each.startswith("Organization/"))


async def gather(tx: Connection, requests: Sequence[Request], base_url: str) -> View:
    """Return what the store says about everything that a batch touches."""
    wanted = _wanted(requests, base_url)
    view = View()
    await _current(tx, view, wanted)
    await _listed(tx, view, wanted)
    await _filed(tx, view, wanted)
    await _contracted(tx, view, wanted)
    await _parties(tx, view, wanted, base_url)
    await _answers(tx, view, requests)
    for request in requests:
        leaving = [each.write for each in request.planned if each.write.deletes]
        if any(write.type != REPORT for write in leaving):
            view.referrers.update(await referrers(tx, leaving, base_url))
    return view


async def _current(tx: Connection, view: View, wanted: _Wanted) -> None:
    for kind, ids in sorted(wanted.updates.items()):
        for each in await versions.current(tx, kind, ids):
            view.current[kind, each.id] = each
    if wanted.contents:
        for each in await versions.same_content(tx, wanted.contents):
            said = (each.owner, each.type, each.content_hash)
            view.current[each.type, each.id] = each
            view.same[said] = (*view.same.get(said, ()), each.id)


async def _listed(tx: Connection, view: View, wanted: _Wanted) -> None:
    if wanted.listed:
        for row in await tx.execute(_listings, {"ids": sorted(wanted.listed)}):
            known = view.listings.get(row.quality_id, ())
            view.listings[row.quality_id] = (*known, Listing(row.performance_id, row.since))


async def _filed(tx: Connection, view: View, wanted: _Wanted) -> None:
    """Reports that are written, listed, or have listed one of these; and all of those that wait."""
    listing_ = {one.performance for known in view.listings.values() for one in known}
    repeated = {id_ for (_, kind, _), same in view.same.items() if kind == REPORT for id_ in same}
    ids = {*wanted.updates.get(REPORT, ()), *wanted.listed, *listing_, *repeated}
    if not ids:
        return
    await _reports_of(tx, view, ids)
    # Mostly none: whoever belongs to a report is mostly listed by it.
    parents = {each.derived.parent for each in view.reports.values() if each.derived.parent is not None}
    await _reports_of(tx, view, parents - view.reports.keys())
    waiting = [each for each in wanted.listed if (known := view.reports.get(each)) and known.derived.waits]
    if waiting:
        for stored in await versions.histories(tx, REPORT, waiting):
            view.histories[stored.id] = () if stored.deleted else (*view.histories.get(stored.id, ()), stored)


async def _reports_of(tx: Connection, view: View, ids: Collection[str]) -> None:
    if ids:
        for row in await tx.execute(_reports, {"ids": sorted(ids)}):
            view.reports[row.id] = _from_row(row)


async def _contracted(tx: Connection, view: View, wanted: _Wanted) -> None:
    of_reports = {each.derived.contract for each in view.reports.values()}
    keys = {*wanted.contracts, *(each for each in of_reports if each is not None)}
    if not keys and not wanted.measures:
        return
    asked = {"keys": sorted(keys), "measures": sorted(wanted.measures)}
    for row in await tx.execute(_contracts, asked):
        found: Contract = contracts.from_row(row)
        view.contracts[row.key] = found
        view.measures[row.measure_id] = row.key


async def _parties(tx: Connection, view: View, wanted: _Wanted, base_url: str) -> None:
    """Groups first, then whoever is named by an identifier, then the identifiers of all of these."""
    if wanted.groups:
        for id_, stored in (await versions.newest(tx, "Group", sorted(wanted.groups))).items():
            manager = None if stored.deleted else manager_of(orjson.loads(stored.body), base_url)
            if manager is not None:
                view.managers[f"Group/{id_}"] = manager
    if wanted.tokens:
        for row in await tx.execute(_identified, {"values": identifiers.values(wanted.tokens)}):
            named = token(row.system, row.value)
            having = view.identified.get(named, frozenset())
            view.identified[named] = having | {f"Organization/{row.id}"}
    asked = {
        *wanted.organisations,
        *_local(*view.managers.values()),
        *(each for having in view.identified.values() for each in having),
        *_local(*(each.derived.payer for each in view.reports.values())),
        *_local(*(each.derived.provider for each in view.reports.values())),
        *_local(*(each.facts.payer for each in view.contracts.values())),
    }
    if not asked:
        return
    ids = sorted(each.removeprefix("Organization/") for each in asked)
    for row in await tx.execute(_identifiers, {"ids": ids}):
        reference = f"Organization/{row.id}"
        had = view.identifiers.setdefault(reference, ())
        if row.value is not None:
            view.identifiers[reference] = (*had, token(row.system, row.value))


async def _answers(tx: Connection, view: View, requests: Sequence[Request]) -> None:
    """Versions that writes may find there already.

    Raises:
        ChangedError: one has been replaced since; nothing that a create repeats is locked.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for request in requests:
        for each in request.planned:
            write = each.write
            if write.if_none_exist is not None and each.found is not None:
                found[write.type].add(each.found)
            elif write.creates:
                same = view.same.get((request.principal.client, write.type, each.content), ())
                found[write.type].update(same)
            elif (known := view.current.get((write.type, write.id))) and known.content_hash == each.content:
                found[write.type].add(write.id)
    for kind, ids in sorted(found.items()):
        for stored in (await versions.newest(tx, kind, sorted(ids))).values():
            if stored.version != view.current[kind, stored.id].version:
                raise ChangedError
            view.stored[kind, stored.id, stored.version] = stored


async def generations(tx: Connection, changes: Sequence[Change]) -> dict[str, Generation]:
    """Return the generations that decide about these changes, by identity."""
    asked = _identities(changes)
    if not asked:
        return {}
    return _by_identity(await tx.execute(_generations, {"identities": asked}))


@dataclass(frozen=True, slots=True)
class Standing:
    """What reports that are about to be written meet."""

    generations: dict[str, Generation]
    """Those that decide about the changes, by identity."""
    round: int
    """Of pruning; it stays until the commit."""
    waiting: bool
    """Whether events wait for the relay, if that was asked."""


async def standing(tx: Connection, changes: Sequence[Change], *, waiting: bool) -> Standing:
    """Return what reports with these changes meet, in one statement."""
    statement = _standing_and_waiting if waiting else _standing
    rows = (await tx.execute(statement, {"identities": _identities(changes)})).all()
    return Standing(
        _by_identity(row for row in rows if row.stage is not None),
        rows[0].round,
        waiting and bool(rows[0].waiting),
    )


def _identities(changes: Sequence[Change]) -> list[str]:
    return sorted({each for change in changes for each in identities(change)})


def _by_identity(rows: Iterable[Any]) -> dict[str, Generation]:
    return {row.identity: Generation(row.report_id, Stage(row.stage), row.facets) for row in rows}


async def contracts_of(tx: Connection, report_ids: Iterable[str]) -> set[str]:
    """Return the contracts of these reports, and of the performance reports that have listed them."""
    rows = await tx.execute(_contracts_of, {"ids": sorted(set(report_ids))})
    return {each for each in rows.scalars() if each is not None}


_contracts_of = sa.union(
    sa.select(report.c.contract).where(among(report.c.id, "ids")),
    sa.select(report.c.contract)
    .join(listing, listing.c.performance_id == report.c.id)
    .where(among(listing.c.quality_id, "ids")),
)


def _from_row(row: sa.Row[tuple[object, ...]]) -> Filed:
    derived = Derived(
        kind=Kind(row.kind),
        stage=Stage(row.stage),
        contract=row.contract,
        payer=row.payer,
        provider=row.provider,
        identity=row.identity,
        parent=row.parent,
        lists=(),
        facets={},
    )
    return Filed(row.version, derived, row.facets, row.facet_set, row.last_updated)
