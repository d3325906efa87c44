"""Which reports are of one identity, in which versions, and which came before them? For `$lineage` alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from schemas.event import Stage
from services.database import Connection
from services.publisher.derive.model import Kind
from services.publisher.store.model import REPORT, Stored
from services.publisher.store.tables import generation, report, resource_version
from services.publisher.store.versions import stored

_columns = sa.select(
    report.c.id,
    report.c.kind,
    report.c.contract,
    report.c.payer,
    report.c.provider,
    report.c.identity,
    report.c.parent,
    report.c.period_low,
)
_by_id = _columns.where(report.c.id == sa.bindparam("id"))
_of_identity = (
    _columns.where(report.c.identity == sa.bindparam("identity"))
    .order_by(report.c.last_updated.desc(), report.c.id)
    .limit(sa.bindparam("most"))
)
_stands = sa.select(generation.c.report_id).where(generation.c.identity == sa.bindparam("identity"))
_version = (
    resource_version.c.type,
    resource_version.c.id,
    resource_version.c.version,
    resource_version.c.last_updated,
)
_versions_of_one = (
    sa.select(resource_version.c.id, resource_version.c.version, resource_version.c.last_updated)
    .where(resource_version.c.type == REPORT)
    .where(resource_version.c.id == sa.bindparam("id"))
    .order_by(resource_version.c.version.desc())
    .limit(sa.bindparam("most"))
)
_before = (
    sa.select(*_version, resource_version.c.body)
    .join(report, report.c.id == resource_version.c.id)
    .where(resource_version.c.type == REPORT)
    .where(resource_version.c.body.is_not(None))
    .where(resource_version.c.last_updated < sa.bindparam("moment"))
    .where(report.c.contract == sa.bindparam("contract"))
    .where(report.c.provider == sa.bindparam("provider"))
    .where(report.c.period_low == sa.bindparam("period_low"))
    .where(report.c.kind == Kind.PERFORMANCE.value)
    .where(report.c.stage != Stage.WITHDRAWN.value)
    .where(report.c.identity != sa.bindparam("identity"))
    .order_by(resource_version.c.last_updated.desc(), resource_version.c.id)
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Filed:
    """What a report is filed under."""

    id: str
    kind: Kind
    contract: str | None
    payer: str | None
    provider: str | None
    identity: str | None
    """`None` while a quality report waits for its parent."""
    parent: str | None
    period_low: int


async def filed(tx: Connection, report_id: str) -> Filed | None:
    """Return what a report is filed under; `None` for one that is not there, or not any more."""
    rows = await tx.execute(_by_id, {"id": report_id})
    return next((_filed(row) for row in rows), None)


async def of_identity(tx: Connection, identity: str, most: int) -> list[Filed]:
    """Return the reports of an identity, the latest first; deleted ones are not among them."""
    return [_filed(row) for row in await tx.execute(_of_identity, {"identity": identity, "most": most})]


async def standing(tx: Connection, identity: str) -> str | None:
    """Return the id of the report that stands for an identity now."""
    return (await tx.execute(_stands, {"identity": identity})).scalar_one_or_none()


async def latest(tx: Connection, ids: Sequence[str], stands: str | None, most: int) -> list[tuple[str, int]]:
    """Return id and number of the latest versions of these reports, the latest first.

    Of several that were stored at once, the one that stands for the identity is the last.
    """
    found = [row for each in ids for row in await tx.execute(_versions_of_one, {"id": each, "most": most})]
    found.sort(key=lambda row: (row.last_updated, row.id == stands, row.version, row.id), reverse=True)
    return [(row.id, row.version) for row in found[:most]]


async def predecessor(tx: Connection, of: Filed, moment: datetime) -> Stored | None:
    """Return the version of the report that came last before a moment, of the same contract, provider and start."""
    if of.kind is not Kind.PERFORMANCE:
        return None
    asked = {
        "contract": of.contract, "provider": of.provider, "period_low": of.period_low,
        "identity": of.identity, "moment": moment,
    }  # fmt: skip
    return next((stored(row) for row in await tx.execute(_before, asked)), None)


def _filed(row: Any) -> Filed:
    return Filed(
        row.id,
        Kind(row.kind),
        row.contract,
        row.payer,
        row.provider,
        row.identity,
        row.parent,
        row.period_low,
    )
