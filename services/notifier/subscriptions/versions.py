"""Every version of a Subscription, kept by whoever makes one: what `_history` shows and `vread` returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from services.database import Connection
from services.notifier import tables as t

_s, _v = t.subscription.c, t.subscription_version.c

_KEEP = sa.insert(t.subscription_version).from_select(
    ["subscription_id", "version", "status", "error", "resource", "deleted", "at"],
    sa.select(_s.id, _s.version, _s.status, _s.error, _s.resource, _s.deleted, _s.last_updated).where(
        _s.id.in_(sa.bindparam("of", expanding=True))
    ),
)
_HISTORY = (
    sa.select(t.subscription_version)
    .where(_v.subscription_id == sa.bindparam("of"), _v.version < sa.bindparam("before"))
    .order_by(_v.version.desc())
    .limit(sa.bindparam("most"))
)
_ONE = sa.select(t.subscription_version).where(
    _v.subscription_id == sa.bindparam("of"), _v.version == sa.bindparam("number")
)
_COUNT = sa.select(sa.func.count()).where(_v.subscription_id == sa.bindparam("of"))

NEWEST = 2**31 - 1
"""Above every version there can be."""


async def keep(connection: Connection, subscriptions: Iterable[str]) -> None:
    """Keep the versions these Subscriptions are at; in the transaction that moved them there, once each."""
    if of := list(subscriptions):
        await connection.execute(_KEEP, {"of": of})


async def history(connection: Connection, subscription: str, before: int, at_most: int) -> Sequence[Any]:
    """Return the kept versions below `before`, newest first."""
    return (await connection.execute(_HISTORY, {"of": subscription, "before": before, "most": at_most})).all()


async def count(connection: Connection, subscription: str) -> int:
    """Return how many versions are kept."""
    return int((await connection.execute(_COUNT, {"of": subscription})).scalar_one())


async def one(connection: Connection, subscription: str, number: int) -> Any:
    """Return one version, `None` when it is not kept."""
    return (await connection.execute(_ONE, {"of": subscription, "number": number})).one_or_none()
