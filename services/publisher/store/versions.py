"""What is stored: the current version of a resource, any version, and who may write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.database import Connection
from services.publisher.store.model import Stored
from services.publisher.store.statements import insert, upsert
from services.publisher.store.tables import resource, resource_version


@dataclass(frozen=True, slots=True)
class Current:
    """Where a resource stands, without its body."""

    type: str
    id: str
    version: int
    deleted: bool
    owner: str
    content_hash: str
    last_updated: datetime


_current = (
    sa.select(
        resource.c.type,
        resource.c.id,
        resource.c.version,
        resource.c.deleted,
        resource.c.owner,
        resource.c.content_hash,
        resource.c.last_updated,
    )
    .where(resource.c.type == sa.bindparam("type"))
    .where(resource.c.id == sa.bindparam("id"))
)

_same_content = (
    sa.select(resource.c.id)
    .where(resource.c.owner == sa.bindparam("owner"))
    .where(resource.c.type == sa.bindparam("type"))
    .where(resource.c.content_hash == sa.bindparam("content_hash"))
    .where(~resource.c.deleted)
    .order_by(resource.c.last_updated.desc(), resource.c.id)
    .limit(1)
)

_stored = sa.select(
    resource_version.c.type,
    resource_version.c.id,
    resource_version.c.version,
    resource_version.c.last_updated,
    resource_version.c.body,
).where(resource_version.c.type == sa.bindparam("type"))

_one_version = _stored.where(resource_version.c.id == sa.bindparam("id")).where(
    resource_version.c.version == sa.bindparam("version")
)

_history = _stored.where(resource_version.c.id == sa.bindparam("id")).order_by(resource_version.c.version)

_newest = (
    sa.select(
        resource_version.c.type,
        resource_version.c.id,
        resource_version.c.version,
        resource_version.c.last_updated,
        resource_version.c.body,
    )
    .join(
        resource,
        (resource.c.type == resource_version.c.type)
        & (resource.c.id == resource_version.c.id)
        & (resource.c.version == resource_version.c.version),
    )
    .where(resource.c.type == sa.bindparam("type"))
    .where(resource.c.id.in_(sa.bindparam("ids", expanding=True)))
)


async def current(tx: Connection, kind: str, logical_id: str) -> Current | None:
    """Return where a resource stands; `None` when the id was never used."""
    row = (await tx.execute(_current, {"type": kind, "id": logical_id})).one_or_none()
    return None if row is None else Current(*row)


async def same_content(tx: Connection, owner: str, kind: str, content_hash: str) -> str | None:
    """Return the id of an undeleted resource of the owner whose current version says the same."""
    found = await tx.execute(_same_content, {"owner": owner, "type": kind, "content_hash": content_hash})
    return found.scalar_one_or_none()


async def version(tx: Connection, kind: str, logical_id: str, number: int) -> Stored | None:
    """Return one version; `None` when there is no such version."""
    row = (await tx.execute(_one_version, {"type": kind, "id": logical_id, "version": number})).one_or_none()
    return None if row is None else stored(row)


async def newest(tx: Connection, kind: str, ids: Sequence[str]) -> dict[str, Stored]:
    """Return the current versions of those ids that are known, deleted ones included, by id."""
    if not ids:
        return {}
    return {row.id: stored(row) for row in await tx.execute(_newest, {"type": kind, "ids": list(ids)})}


async def history(tx: Connection, kind: str, logical_id: str) -> list[Stored]:
    """Return every version of a resource, oldest first."""
    return [stored(row) for row in await tx.execute(_history, {"type": kind, "id": logical_id})]


def stored(row: Any) -> Stored:
    """Return the version a row holds: type, id, version, last_updated, body."""
    return Stored(row.type, row.id, row.version, row.last_updated, row.body or b"", deleted=row.body is None)


async def put(
    tx: Connection, new: Stored, *, interaction: str, owner: str, client: str, content_hash: str
) -> None:
    """Add a version and make it the current one."""
    key = {"type": new.type, "id": new.id, "version": new.version, "last_updated": new.last_updated}
    await insert(
        tx, resource_version, [{**key, "interaction": interaction, "client": client, "body": new.body}]
    )
    await upsert(tx, resource, {**key, "deleted": new.deleted, "owner": owner, "content_hash": content_hash})
