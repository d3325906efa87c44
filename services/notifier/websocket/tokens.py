"""Who may be bound to what, and for how long? A token says so to whichever notifier it is shown.

It is 256 random bits. Only its hash is stored, so what the database or a backup of it holds binds nobody.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
import sqlalchemy as sa

from schemas.outcome import refuse
from services.clock import Clock
from services.database import Connection, Database
from services.notifier import tables as t
from services.notifier.model import Status
from services.notifier.subscriptions.stored import owned
from services.principal import Principal

MOST: Final = 500
"""Subscriptions that one token binds."""

_s = t.subscription.c
_COLUMNS = (_s.id, _s.client, _s.channel, _s.status, _s.deleted)
_NAMED = sa.select(*_COLUMNS).where(_s.id.in_(sa.bindparam("ids", expanding=True)))
_OWN = (
    sa.select(*_COLUMNS)
    .where(
        _s.client == sa.bindparam("client"),
        _s.channel == "websocket",
        _s.status != Status.OFF,
        sa.not_(_s.deleted),
    )
    .order_by(_s.id)
    .limit(MOST + 1)
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as its client gets it."""

    text: str = field(repr=False)
    expires_at: datetime
    subscriptions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token that was shown is good for."""

    client: str
    subscriptions: frozenset[str]
    seconds: float
    """How much longer."""


async def issue(
    database: Database, clock: Clock, principal: Principal, named: Sequence[str], *, seconds: float
) -> Token:
    """Give a token for these Subscriptions; for all of the client's that have a websocket when none is named.

    Raises:
        FhirError: one of them cannot be bound to by the principal, or there is none.
    """
    text = secrets.token_urlsafe(32)
    async with database.write() as connection:
        ids = await _bindable(connection, principal, list(dict.fromkeys(named)))
        made = sa.insert(t.binding_token).values(
            hash=_hash(text),
            client=principal.client,
            subscriptions=orjson.dumps(ids).decode(),
            expires_at=database.after(clock, seconds),
        )
        expires_at = (await connection.execute(made.returning(t.binding_token.c.expires_at))).scalar_one()
        for of in ids:
            await connection.execute(
                sa.insert(t.audit).values(
                    at=clock.now(),
                    client=principal.client,
                    action="websocket-token",
                    subject=f"Subscription/{of}",
                )
            )
    return Token(text, expires_at, ids)


async def shown(connection: Connection, database: Database, clock: Clock, text: str) -> Grant | None:
    """Return what a token is good for; `None` when there is none of that text, or it has expired."""
    token = t.binding_token.c
    now = database.now(clock).label("now")
    statement = sa.select(t.binding_token, now).where(token.hash == _hash(text), token.expires_at > now)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    seconds = (row.expires_at - row.now).total_seconds()
    return Grant(row.client, frozenset(orjson.loads(row.subscriptions)), seconds)


async def _bindable(connection: Connection, principal: Principal, named: list[str]) -> list[str]:
    if len(named) > MOST:
        raise refuse(422, "too-costly", f"found {len(named)} ids; at most {MOST} go with one token")
    if not named:
        rows = (await connection.execute(_OWN, {"client": principal.client})).all()
        if not rows:
            said = "you have no Subscription with channel.type websocket that is not off: there is nothing to bind to"
            raise refuse(422, "business-rule", said)
        if len(rows) > MOST:
            said = f"you have more than {MOST} websocket Subscriptions; name those to bind to with id"
            raise refuse(422, "too-costly", said)
        return [row.id for row in rows]
    found = {row.id: row for row in await connection.execute(_NAMED, {"ids": named})}
    for of in named:
        _check(found.get(of), of, principal)
    return named


def _check(row: Any, of: str, principal: Principal) -> None:
    name = f"Subscription/{of}"
    if row is None or not owned(principal, row.client):
        raise refuse(404, "not-found", f"there is no {name}")
    if row.deleted:
        raise refuse(410, "deleted", f"{name} was deleted")
    if row.client != principal.client:
        # Whoever binds takes what is owed, so it would be lost to the client it is owed to.
        raise refuse(403, "forbidden", f"{name} belongs to another client, and only that one may bind to it")
    if row.channel != "websocket":
        said = f"{name} has channel.type {row.channel}; expected websocket, the only one that is bound to"
        raise refuse(422, "business-rule", said)
    if row.status == Status.OFF:
        raise refuse(409, "conflict", f"{name} is off; set its status to requested first")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
