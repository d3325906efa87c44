"""What is stored of a Subscription, how it is served, and who may see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from schemas.outcome import refuse
from services.database import Connection
from services.notifier import tables as t
from services.notifier.model import Status
from services.principal import Principal

_BY_ID = sa.select(t.subscription).where(t.subscription.c.id == sa.bindparam("id"))


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a Subscription."""

    id: str
    version: int
    status: Status
    error: str | None
    last_updated: datetime
    resource: Mapping[str, Any]
    deleted: bool

    def wire(self) -> dict[str, Any]:
        """Return the resource as it is served: what the client sent, and what the server manages."""
        out: dict[str, Any] = {
            "resourceType": "Subscription",
            "id": self.id,
            "meta": {
                **self.resource.get("meta", {}),
                "versionId": str(self.version),
                "lastUpdated": self.last_updated.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            },
            **{name: value for name, value in self.resource.items() if name not in {"resourceType", "meta"}},
            "status": self.status.value,
        }
        if self.error is not None:
            out["error"] = self.error
        return out


def stored(row: Any) -> Stored:
    """Return a Subscription from its row."""
    return Stored(
        row.id, row.version, Status(row.status), row.error, row.last_updated, orjson.loads(row.resource),
        deleted=row.deleted,
    )  # fmt: skip


def stored_version(row: Any) -> Stored:
    """Return one of its versions from a row of `subscription_version`."""
    return Stored(
        row.subscription_id, row.version, Status(row.status), row.error, row.at, orjson.loads(row.resource),
        deleted=row.deleted,
    )  # fmt: skip


def owned(principal: Principal, client: str) -> bool:
    """Tell whether a Subscription of this client may be seen and changed by the principal."""
    return principal.role == "operator" or client == principal.client


async def visible(
    connection: Connection, principal: Principal, logical_id: str, *, deleted: bool = False
) -> Any:
    """Return the row of a Subscription; with `deleted`, of a deleted one too.

    Raises:
        FhirError: 404 when there is none the principal may see, 410 when it was deleted.
    """
    row = (await connection.execute(_BY_ID, {"id": logical_id})).one_or_none()
    if row is None or not owned(principal, row.client):
        raise refuse(404, "not-found", f"there is no Subscription/{logical_id}")
    if row.deleted and not deleted:
        raise refuse(410, "deleted", f"Subscription/{logical_id} was deleted")
    return row
