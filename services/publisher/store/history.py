"""Which versions has a resource, or a whole type, had? Pages of them, newest first, deletions among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from schemas.event import Interaction
from schemas.facets import EVERY_ORGANISATION
from schemas.search.values import Query
from services.database import Connection
from services.event_log_outbox import within
from services.principal import Principal
from services.publisher.store import versions
from services.publisher.store.model import REPORT, Stored
from services.publisher.store.selection import selections
from services.publisher.store.tables import report, resource_version

PAGE_BYTES: Final = 8 * 1024 * 1024
"""Most bytes of bodies on one page; a single larger one stands alone."""

COUNTED: Final = 10_000
"""A larger total is left out: it would be counted for every page."""

_NOBODY_ASKS: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_version = resource_version.c
_next = resource_version.alias("later").c


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the last page ended."""

    last_updated: datetime
    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a history."""

    kind: str
    id: str | None
    """`None`: of every resource of the type."""
    count: int
    since: datetime | None = None
    """Only what was written from then on."""
    at: tuple[datetime, datetime] | None = None
    """Only what was current at some time in `[low, high)`."""
    after: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """One version, and what made it."""

    stored: Stored
    interaction: Interaction


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a history."""

    total: int | None
    """`None` when there are more than `COUNTED`."""
    found: Sequence[Kept]
    next: Cursor | None


async def page(tx: Connection, wanted: Wanted, principal: Principal) -> Page:
    """Return a page; of a type, only what the principal may read."""
    conditions = _conditions(wanted, principal)
    some = sa.select(sa.literal(1)).select_from(resource_version).where(*conditions).limit(COUNTED + 1)
    count: int = (await tx.execute(sa.select(sa.func.count()).select_from(some.subquery()))).scalar_one()
    total = count if count <= COUNTED else None
    if not count or not wanted.count:
        return Page(total, (), None)
    order = (_version.version,) if wanted.id else (_version.last_updated, _version.id, _version.version)
    size = sa.func.coalesce(sa.func.length(_version.body), 0)
    keys = (
        sa.select(
            _version.id, _version.version, _version.last_updated, _version.interaction, size.label("size")
        )
        .where(*conditions, *_after(wanted))
        .order_by(*(each.desc() for each in order))
        .limit(wanted.count + 1)
    )
    rows = (await tx.execute(keys)).all()
    fitting = within(((place, row.size) for place, row in enumerate(rows[: wanted.count])), PAGE_BYTES)
    here = rows[: len(fitting)]
    last = here[-1] if len(rows) > len(here) else None
    cursor = None if last is None else Cursor(last.last_updated, last.id, last.version)
    return Page(total, await _kept(tx, wanted.kind, here), cursor)


def _conditions(wanted: Wanted, principal: Principal) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [_version.type == wanted.kind]
    if wanted.id is not None:
        conditions.append(_version.id == wanted.id)
    elif wanted.kind == REPORT and EVERY_ORGANISATION not in principal.organisations:
        seen = (each.test for each in selections(Query(REPORT), principal, _NOBODY_ASKS))
        conditions.append(_version.id.in_(sa.select(report.c.id).where(*seen)))
    if wanted.since is not None:
        conditions.append(_version.last_updated >= wanted.since)
    if wanted.at is not None:
        low, high = wanted.at
        replaced = sa.exists().where(
            _next.type == _version.type,
            _next.id == _version.id,
            _next.version == _version.version + 1,
            _next.last_updated <= low,
        )
        conditions += [_version.last_updated < high, ~replaced]
    return conditions


def _after(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    edge = wanted.after
    if edge is None:
        return []
    if wanted.id is not None:
        return [_version.version < edge.version]
    moment = sa.literal(edge.last_updated, _version.last_updated.type)
    ends = sa.tuple_(moment, sa.literal(edge.id), sa.literal(edge.version))
    return [sa.tuple_(_version.last_updated, _version.id, _version.version) < ends]


async def _kept(tx: Connection, kind: str, rows: Sequence[Any]) -> list[Kept]:
    named = [(row.id, row.version) for row in rows]
    bodies = {(each.id, each.version): each for each in await versions.these(tx, kind, named)}
    return [Kept(bodies[row.id, row.version], row.interaction) for row in rows]
