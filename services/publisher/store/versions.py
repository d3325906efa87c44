"""What is stored: the current version of a resource, any version, and what says the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from services.database import Connection
from services.publisher.store.model import Current, Stored
from services.publisher.store.statements import among
from services.publisher.store.tables import resource, resource_version

_where_it_stands = sa.select(
    resource.c.type,
    resource.c.id,
    resource.c.version,
    resource.c.deleted,
    resource.c.owner,
    resource.c.content_hash,
    resource.c.last_updated,
)
_by_id = _where_it_stands.where(resource.c.type == sa.bindparam("type")).where(among(resource.c.id, "ids"))
_same_content = (
    _where_it_stands.where(among(resource.c.content_hash, "contents"))
    .where(~resource.c.deleted)
    .order_by(resource.c.last_updated.desc(), resource.c.id)
)

_stored = sa.select(
    resource_version.c.type,
    resource_version.c.id,
    resource_version.c.version,
    resource_version.c.last_updated,
    resource_version.c.body,
)
_of_id = _stored.where(resource_version.c.type == sa.bindparam("type"))
_one_version = _of_id.where(resource_version.c.id == sa.bindparam("id")).where(
    resource_version.c.version == sa.bindparam("version")
)
_history = _of_id.where(among(resource_version.c.id, "ids")).order_by(
    resource_version.c.id, resource_version.c.version
)
# SQLite finds nothing by an index that is asked for pairs alone.
_these = (
    _of_id.where(among(resource_version.c.id, "ids"))
    .where(resource_version.c.version.in_(sa.bindparam("numbers", expanding=True)))
    .where(
        sa.tuple_(resource_version.c.id, resource_version.c.version).in_(
            sa.bindparam("named", expanding=True)
        )
    )
)
_newest = (
    _stored.join(
        resource,
        (resource.c.type == resource_version.c.type)
        & (resource.c.id == resource_version.c.id)
        & (resource.c.version == resource_version.c.version),
    )
    .where(resource.c.type == sa.bindparam("type"))
    .where(among(resource.c.id, "ids"))
)


async def current(tx: Connection, kind: str, ids: Iterable[str]) -> list[Current]:
    """Return where the resources of those ids that were ever used stand."""
    return [Current(*row) for row in await tx.execute(_by_id, {"type": kind, "ids": sorted(set(ids))})]


async def same_content(tx: Connection, contents: Iterable[str]) -> list[Current]:
    """Return the undeleted resources whose current version says one of these, whosesoever, newest first."""
    return [Current(*row) for row in await tx.execute(_same_content, {"contents": sorted(set(contents))})]


async def version(tx: Connection, kind: str, logical_id: str, number: int) -> Stored | None:
    """Return one version; `None` when there is no such version."""
    row = (await tx.execute(_one_version, {"type": kind, "id": logical_id, "version": number})).one_or_none()
    return None if row is None else stored(row)


async def newest(tx: Connection, kind: str, ids: Sequence[str]) -> dict[str, Stored]:
    """Return the current versions of those ids that are known, deleted ones included, by id."""
    if not ids:
        return {}
    return {row.id: stored(row) for row in await tx.execute(_newest, {"type": kind, "ids": list(ids)})}


async def histories(tx: Connection, kind: str, ids: Iterable[str]) -> list[Stored]:
    """Return every version of these resources, oldest first."""
    return [stored(row) for row in await tx.execute(_history, {"type": kind, "ids": sorted(set(ids))})]


async def these(tx: Connection, kind: str, named: Sequence[tuple[str, int]]) -> list[Stored]:
    """Return the versions of these ids and numbers, in no order."""
    ids, numbers = sorted({each[0] for each in named}), sorted({each[1] for each in named})
    asked = {"type": kind, "ids": ids, "numbers": numbers, "named": list(named)}
    return [stored(row) for row in await tx.execute(_these, asked)]


def stored(row: Any) -> Stored:
    """Return the version a row holds: type, id, version, last_updated, body."""
    return Stored(row.type, row.id, row.version, row.last_updated, row.body or b"", deleted=row.body is None)
