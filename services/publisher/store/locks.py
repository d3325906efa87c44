"""Who goes first when two transactions touch the same things? Locks, taken in one order by everyone.

PostgreSQL: advisory locks that end with the transaction, so a name that has no row yet can be locked too.
SQLite: the transaction itself is the lock, and there is nothing to do.

The order is parties, then content, then resources, then contracts. All who write share the lock on parties; who
deletes an Organization, a Group or a Measure has it alone, so that nobody comes to refer to it meanwhile. The lock on a contract is held while its events get
their outbox numbers, which makes number order commit order within a contract. The lock on a report stops a
quality report and the performance report that lists it from missing each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.database import Connection


class Rank(IntEnum):
    """The order in which locks are taken."""

    CONTENT = 1
    RESOURCE = 2
    CONTRACT = 3


PARTIES_ALONE: Final = -1
"""The lock on parties, for one who lets nobody else have it."""
PARTIES: Final = 0
"""The same, shared."""
_BITS = 60
_TAKE = sa.text(
    "SELECT CASE key"
    f" WHEN {PARTIES_ALONE} THEN pg_advisory_xact_lock({PARTIES})::text"
    f" WHEN {PARTIES} THEN pg_advisory_xact_lock_shared({PARTIES})::text"
    " ELSE pg_advisory_xact_lock(key)::text END FROM unnest(:keys) AS key"
).bindparams(sa.bindparam("keys", type_=postgresql.ARRAY(sa.BigInteger)))


def lock(rank: Rank, name: str) -> int:
    """Return the key of a lock; keys sort by rank. Two names that share a key only wait for each other."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return (rank << _BITS) | (int.from_bytes(digest, "big") >> (64 - _BITS))


async def take(tx: Connection, keys: Iterable[int]) -> None:
    """Take locks in order and hold them until the transaction ends."""
    in_order = sorted(set(keys))
    if tx.dialect.name == "postgresql" and in_order:
        await tx.execute(_TAKE, {"keys": in_order})
