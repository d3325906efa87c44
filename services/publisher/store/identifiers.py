"""By what identifiers are Organizations, Groups and Measures known? One row an identifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from schemas.facets import token
from services.database import Connection
from services.publisher.store.index import indexed
from services.publisher.store.statements import insert
from services.publisher.store.tables import identifier, resource

_clear = (
    identifier.delete()
    .where(identifier.c.type == sa.bindparam("of_type"))
    .where(identifier.c.id == sa.bindparam("of_id"))
)
_of = (
    sa.select(resource.c.id, identifier.c.system, identifier.c.value)
    .outerjoin(identifier, (identifier.c.type == resource.c.type) & (identifier.c.id == resource.c.id))
    .where(resource.c.type == "Organization")
    .where(~resource.c.deleted)
    .where(resource.c.id.in_(sa.bindparam("ids", expanding=True)))
)


async def put(tx: Connection, kind: str, logical_id: str, resource: Mapping[str, Any], *, new: bool) -> None:
    """Make the identifiers of a resource those of this version."""
    if not new:
        await tx.execute(_clear, {"of_type": kind, "of_id": logical_id})
    rows = {
        (given.get("system", ""), indexed(given["value"]))
        for given in resource.get("identifier", ())
        if "value" in given
    }
    await insert(
        tx,
        identifier,
        [
            {"type": kind, "id": logical_id, "system": system, "value": value}
            for system, value in sorted(rows)
        ],
    )


async def of_organisations(tx: Connection, references: Iterable[str | None]) -> dict[str, tuple[str, ...]]:
    """Return the identifiers (tokens) of those organisations that are stored here, by reference.

    One that is stored without any identifier is there with none; one that is not stored is not there.
    """
    ids: Sequence[str] = sorted(
        {
            each.removeprefix("Organization/")
            for each in references
            if each and each.startswith("Organization/")
        }
    )
    found: dict[str, tuple[str, ...]] = {}
    if ids:
        for row in await tx.execute(_of, {"ids": ids}):
            reference = f"Organization/{row.id}"
            had = found.setdefault(reference, ())
            if row.value is not None:
                found[reference] = (*had, token(row.system, row.value))
    return found


_having = (
    sa.select(identifier.c.id, identifier.c.system, identifier.c.value)
    .where(identifier.c.type == "Organization")
    .where(identifier.c.value.in_(sa.bindparam("values", expanding=True)))
)


async def organisations_with(tx: Connection, tokens: Sequence[str]) -> dict[str, str]:
    """Return the organisation that has an identifier, by its token; one that several have is left out."""
    if not tokens:
        return {}
    wanted = {(system, indexed(value)): each for each in tokens for system, _, value in [each.partition("|")]}
    found: dict[str, set[str]] = {}
    for row in await tx.execute(_having, {"values": sorted({value for _, value in wanted})}):
        if (each := wanted.get((row.system, row.value))) is not None:
            found.setdefault(each, set()).add(f"Organization/{row.id}")
    return {each: only for each, (only, *others) in found.items() if not others}
