"""What does deriving a report have to know? Looks up a `Context` for its `Needs`, in the writing transaction."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from schemas.search.references import comparable
from services.database import Connection
from services.publisher.derive.model import Context, Derived, Listed, Needs, ParentFacts
from services.publisher.store import contracts, identifiers, versions
from services.publisher.store.listings import Child, Listing


async def for_performance(
    tx: Connection,
    needs: Needs,
    *,
    listings: Sequence[Listing],
    children: Sequence[Child],
    former: Derived | None,
    base_url: str,
) -> Context:
    """Return what is stored of a report's contract, Group, organisations and listed reports."""
    manager = None if needs.group is None else await _manager(tx, needs.group, base_url)
    contract = None if needs.contract is None else await contracts.get(tx, needs.contract)
    return Context(
        contract=contract,
        group_manager=manager,
        identifiers=await identifiers.of_organisations(tx, (*needs.organisations, manager)),
        organisations=await identifiers.organisations_with(tx, needs.identifiers),
        listed=_listed(listings, children),
        former=former,
    )


async def for_quality(
    tx: Connection, needs: Needs, *, parent: ParentFacts | None, former: Derived | None
) -> Context:
    """Return what a quality report gets from its parent, if that has come."""
    parties = () if parent is None else (parent.payer, parent.provider)
    return Context(
        contract=None if parent is None else await contracts.get(tx, parent.contract),
        parent=parent,
        identifiers=await identifiers.of_organisations(tx, (*needs.organisations, *parties)),
        organisations=await identifiers.organisations_with(tx, needs.identifiers),
        former=former,
    )


def _listed(listings: Sequence[Listing], children: Sequence[Child]) -> dict[str, Listed]:
    """`listings` is ordered by first listing, so the first of each report is its parent."""
    payers = {child.id: child.payer for child in children}
    parents: dict[str, ParentFacts] = {}
    for one in listings:
        parents.setdefault(one.quality, one.by)
    return {each: Listed(payers.get(each), parents.get(each)) for each in {*payers, *parents}}


async def _manager(tx: Connection, group: str, base_url: str) -> str | None:
    logical_id = group.removeprefix("Group/")
    found = (await versions.newest(tx, "Group", [logical_id])).get(logical_id)
    if found is None or found.deleted:
        return None
    reference = orjson.loads(found.body).get("managingEntity", {}).get("reference")
    return comparable(reference, base_url) if isinstance(reference, str) else None
