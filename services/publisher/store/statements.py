"""The statements that PostgreSQL and SQLite write differently, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.database import Connection


async def upsert(tx: Connection, table: sa.Table, row: dict[str, Any]) -> None:
    """Insert a row, or overwrite every column of the one with the same primary key."""
    await tx.execute(_upsert(tx.dialect.name, table), row)


async def insert(tx: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, in one round trip; none is fine."""
    if rows:
        await tx.execute(_insert(table), rows)


@cache
def _insert(table: sa.Table) -> sa.Insert:
    return table.insert().inline()


@cache
def _upsert(dialect: str, table: sa.Table) -> sa.sql.dml.Insert:
    keys = [column.name for column in table.primary_key]
    if dialect == "postgresql":
        new = postgresql.insert(table)
        return new.on_conflict_do_update(index_elements=keys, set_=_others(table, new.excluded))
    same = sqlite.insert(table)
    return same.on_conflict_do_update(index_elements=keys, set_=_others(table, same.excluded))


def _others(table: sa.Table, excluded: Any) -> dict[str, Any]:
    return {
        column.name: excluded[column.name] for column in table.columns if column.name not in table.primary_key
    }
