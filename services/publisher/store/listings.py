"""Which performance reports have listed which quality reports, in what order? The first one is the parent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from services.database import Connection
from services.publisher.derive.model import ParentFacts
from services.publisher.store.statements import insert
from services.publisher.store.tables import listing, report


@dataclass(frozen=True, slots=True)
class Listing:
    """One performance report lists one quality report."""

    quality: str
    since: int
    by: ParentFacts


@dataclass(frozen=True, slots=True)
class Child:
    """A report that is stored and listed."""

    id: str
    payer: str | None
    waits: bool


_stored = (
    sa.select(report.c.id, report.c.payer, report.c.waits)
    .where(report.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(report.c.last_updated, report.c.id)
)

_of = (
    sa.select(
        listing.c.quality_id,
        listing.c.performance_id,
        listing.c.since,
        report.c.contract,
        report.c.payer,
        report.c.provider,
        report.c.identity,
    )
    .join(report, report.c.id == listing.c.performance_id)
    .where(listing.c.quality_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(listing.c.quality_id, listing.c.since)
)


async def of(tx: Connection, quality_ids: Iterable[str]) -> list[Listing]:
    """Return who lists these quality reports, for each in order of first listing.

    The caller holds the locks on these reports, so the answer stays true until the transaction ends.
    """
    ids = sorted(set(quality_ids))
    if not ids:
        return []
    return [
        Listing(
            row.quality_id,
            row.since,
            ParentFacts(row.performance_id, row.contract, row.payer, row.provider, row.identity),
        )
        for row in await tx.execute(_of, {"ids": ids})
    ]


async def children(tx: Connection, quality_ids: Iterable[str]) -> list[Child]:
    """Return those of the listed reports that are stored, in the order of their last version."""
    ids = sorted(set(quality_ids))
    return [Child(*row) for row in await tx.execute(_stored, {"ids": ids})] if ids else []


async def parent(tx: Connection, quality_id: str) -> ParentFacts | None:
    """Return the performance report that listed a quality report first; `None` when none has."""
    found = await of(tx, [quality_id])
    return found[0].by if found else None


async def add(tx: Connection, performance_id: str, quality_ids: Sequence[str], known: list[Listing]) -> None:
    """Note that a performance report lists these; `known` is what `of` said about them.

    Those that it listed before keep their order.
    """
    order: dict[str, int] = {}
    for one in known:
        order[one.quality] = max(order.get(one.quality, 0), one.since)
    had = {one.quality for one in known if one.by.report == performance_id}
    await insert(
        tx,
        listing,
        [
            {"quality_id": each, "performance_id": performance_id, "since": order.get(each, 0) + 1}
            for each in quality_ids
            if each not in had
        ],
    )
