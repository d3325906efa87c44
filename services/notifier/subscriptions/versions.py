"""Every version of a Subscription, kept by whoever makes one: what `_history` shows and `vread` returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
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
_ONE = sa.select(t.subscription_version).where(
    _v.subscription_id == sa.bindparam("of"), _v.version == sa.bindparam("number")
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which versions are asked for; `None` is any."""

    of: str | None
    """Of this Subscription."""
    client: str | None
    """Of the Subscriptions of this client."""
    since: datetime | None
    """Made then or later."""
    before: tuple[str, int] | None
    """Behind this one, Subscription and version, where a page ended."""
    count: int


async def keep(connection: Connection, subscriptions: Iterable[str]) -> None:
    """Keep the versions these Subscriptions are at; in the transaction that moved them there, once each."""
    if of := list(subscriptions):
        await connection.execute(_KEEP, {"of": of})


async def history(connection: Connection, wanted: Wanted) -> tuple[Sequence[Any], int]:
    """Return one page of the kept versions, newest first, and how many there are on all of them.

    The page has one version more than was asked for when another page follows.
    """
    conditions = _conditions(wanted)
    total = sa.select(sa.func.count()).select_from(t.subscription_version).where(*conditions)
    page = sa.select(t.subscription_version).where(*conditions).order_by(*(each.desc() for each in _ORDER))
    if wanted.before is not None:
        subscription, version = wanted.before
        at = (await connection.execute(_ONE, {"of": subscription, "number": version})).one_or_none()
        if at is None:
            return [], 0
        page = page.where(
            sa.tuple_(*_ORDER) < sa.tuple_(sa.literal(at.at, _v.at.type), subscription, version)
        )
    rows = (await connection.execute(page.limit(wanted.count + 1))).all()
    return rows, int((await connection.execute(total)).scalar_one())


_ORDER = (_v.at, _v.subscription_id, _v.version)


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.of is not None:
        conditions.append(_v.subscription_id == wanted.of)
    if wanted.client is not None:
        conditions.append(_v.subscription_id.in_(sa.select(_s.id).where(_s.client == wanted.client)))
    if wanted.since is not None:
        conditions.append(_v.at >= wanted.since)
    return conditions


async def one(connection: Connection, subscription: str, number: int) -> Any:
    """Return one version, `None` when it is not kept."""
    return (await connection.execute(_ONE, {"of": subscription, "number": number})).one_or_none()
