"""What does deriving a report have to know? Looks up a `Context` for its `Needs`, in the writing transaction."""

from __future__ import annotations

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.search.references import comparable
from services.publisher.derive.model import Context, Derived, Kind, Needs, ParentFacts
from services.publisher.store import contracts, identifiers, listings, versions


async def context(
    tx: AsyncConnection, report_id: str, needs: Needs, former: Derived | None, base_url: str
) -> Context:
    """Return what is stored of a report's contract, Group, parent and organisations.

    The caller holds the report's lock, so a parent cannot come while this looks for it.
    """
    if needs.kind is Kind.QUALITY:
        return await for_child(tx, needs, await listings.parent(tx, report_id), former)
    manager = None if needs.group is None else await _manager(tx, needs.group, base_url)
    contract = None if needs.contract is None else await contracts.get(tx, needs.contract)
    return Context(
        contract=contract,
        group_manager=manager,
        identifiers=await identifiers.of_organisations(tx, (*needs.organisations, manager)),
        former=former,
    )


async def for_child(
    tx: AsyncConnection, needs: Needs, parent: ParentFacts | None, former: Derived | None
) -> Context:
    """Return what a quality report gets from its parent, if that has come."""
    parties = () if parent is None else (parent.payer, parent.provider)
    return Context(
        contract=None if parent is None else await contracts.get(tx, parent.contract),
        parent=parent,
        identifiers=await identifiers.of_organisations(tx, (*needs.organisations, *parties)),
        former=former,
    )


async def _manager(tx: AsyncConnection, group: str, base_url: str) -> str | None:
    logical_id = group.removeprefix("Group/")
    found = (await versions.newest(tx, "Group", [logical_id])).get(logical_id)
    if found is None or found.deleted:
        return None
    reference = orjson.loads(found.body).get("managingEntity", {}).get("reference")
    return comparable(reference, base_url) if isinstance(reference, str) else None
