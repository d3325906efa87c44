"""The match index, never behind a Subscription that was answered before a batch was accepted.

Every write to a Subscription increments the revision row in its own transaction. After reading a batch and
before matching it, the row is compared, and what changed since is loaded. A report accepted after a
Subscription's 201 was read after it, so the Subscription is in the index by then, whoever answered.
"""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import sqlalchemy as sa

from schemas.outcome import FhirError
from services import logs
from services.database import Database
from services.notifier import tables as t
from services.notifier.match.index import MatchIndex
from services.notifier.subscriptions.admission import interest

log = logs.get(__name__)


_s = t.subscription.c
_REVISION = sa.select(t.revision.c.value)
_AT_ONCE = 2_000
"""Subscriptions read at a time: a new process reads all there are, and goes on beating meanwhile."""
_CHANGED = (
    sa.select(
        _s.id,
        _s.kind,
        _s.criteria,
        _s.filters,
        _s.organisations,
        _s.ends_at,
        _s.deleted,
        _s.status,
        _s.revision,
    )
    .where(
        _s.revision <= sa.bindparam("current"),
        # As one comparison: an OR of two would be looked up by neither database.
        sa.tuple_(_s.revision, _s.id)
        > sa.tuple_(sa.bindparam("known", type_=sa.BigInteger), sa.bindparam("after", type_=sa.String)),
    )
    .order_by(_s.revision, _s.id)
    .limit(_AT_ONCE)
)
_LAST = "\U0010ffff"
"""Above every id."""


class LiveIndex:
    """The index of this process and the revision it is at."""

    def __init__(self, database: Database, base_url: str) -> None:
        """Start empty: the first `refresh` loads every Subscription."""
        self._database = database
        self._base_url = base_url
        self._revision = -1
        self.index = MatchIndex()

    async def refresh(self) -> None:
        """Bring the index up to date with the database."""
        await self.reach((await self._database.ask(_REVISION)).scalar_one())

    async def reach(self, current: int) -> None:
        """Bring the index up to the revision that the database was found at."""
        if current == self._revision:
            return
        with self.index.loading() if self._revision < 0 else contextlib.nullcontext():
            await self._load(current)
        self._revision = current

    async def _load(self, current: int) -> None:
        known, after = self._revision, _LAST
        while True:
            named = {"known": known, "after": after, "current": current}
            async with self._database.glance() as connection:
                rows = (await connection.execute(_CHANGED, named)).all()
            for row in rows:
                self._take(row)
            if len(rows) < _AT_ONCE:
                break
            known, after = rows[-1].revision, rows[-1].id

    def _take(self, row: Any) -> None:
        # `off` stays in the index: the counter decides, under lock, whether a number is given.
        if row.deleted:
            self.index.remove(row.id)
            return
        try:
            found = interest(
                row.id,
                frozenset(orjson.loads(row.organisations)),
                "topic" if row.kind == "topic" else "classic",
                row.criteria,
                tuple(orjson.loads(row.filters)),
                base_url=self._base_url,
                ends_at=row.ends_at,
            )
        except FhirError:
            # Admitted by another version of this service, and not understood by this one.
            log.error("subscription_not_understood", subscription=row.id)  # noqa: TRY400  # criteria may name parties
            raise
        self.index.put(found)
