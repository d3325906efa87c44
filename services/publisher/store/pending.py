"""How do the new rows of many tables reach the database? On PostgreSQL all of them in one round trip.

Each table's rows go as arrays, a column each, into one statement that has an insert for every table: most of what a
lone report costs there is waiting for the server and back. SQLite is in the same process and gets a statement a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.database import Connection
from services.publisher.store.statements import add_missing, insert, upsert


class _Verb(StrEnum):
    INSERT = "insert"
    UPSERT = "upsert"
    ADD_MISSING = "add_missing"


_ON_SQLITE: Final = {_Verb.INSERT: insert, _Verb.UPSERT: upsert, _Verb.ADD_MISSING: add_missing}

_Rows: TypeAlias = Sequence[dict[str, Any]]
_Part: TypeAlias = tuple[_Verb, sa.Table, tuple[str, ...]]
"""What is done to a table, and which columns are given."""

_SHAPES: Final = 256
"""Statements kept: which tables have rows, and how they are written, differs in few ways."""


class Pending:
    """Rows that are yet to be written; those of one table have the same columns.

    Rows are inserted in their order. Nothing that is read meanwhile sees them, and what is deleted from one of these
    tables is deleted before: one statement does not see what another part of it did.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._parts: list[tuple[_Verb, sa.Table, _Rows]] = []

    def insert(self, table: sa.Table, rows: _Rows) -> None:
        """Insert rows."""
        self._add(_Verb.INSERT, table, rows)

    def upsert(self, table: sa.Table, rows: _Rows) -> None:
        """Insert rows, or overwrite every column of those with the same primary key."""
        self._add(_Verb.UPSERT, table, rows)

    def add_missing(self, table: sa.Table, rows: _Rows) -> None:
        """Insert those rows whose primary key is not there."""
        self._add(_Verb.ADD_MISSING, table, rows)

    def _add(self, verb: _Verb, table: sa.Table, rows: _Rows) -> None:
        if rows:
            self._parts.append((verb, table, rows))

    async def send(self, tx: Connection) -> None:
        """Write the rows."""
        parts, self._parts = self._parts, []
        if tx.dialect.name != "postgresql":
            for verb, table, rows in parts:
                await _ON_SQLITE[verb](tx, table, rows)
            return
        if parts:
            shape = tuple((verb, table, tuple(rows[0])) for verb, table, rows in parts)
            values = {
                _name(table, column): [row[column] for row in rows]
                for _, table, rows in parts
                for column in rows[0]
            }
            await tx.execute(_together(shape), values)


@lru_cache(maxsize=_SHAPES)
def _together(parts: tuple[_Part, ...]) -> sa.Executable:
    """Return the statement that writes all of the parts; its parameters are the columns, as arrays."""
    return sa.select(sa.literal(1)).add_cte(
        *(_written(*part).cte(f"part_{place}") for place, part in enumerate(parts))
    )


def _written(verb: _Verb, table: sa.Table, names: tuple[str, ...]) -> Any:
    rows = (
        sa.func.unnest(*(sa.bindparam(_name(table, each), type_=_array(table.c[each])) for each in names))
        .table_valued(*(sa.column(each, table.c[each].type) for each in names), with_ordinality="place")
        .render_derived(name="given")
    )
    # What numbers itself is numbered in the order of the rows.
    selected = sa.select(*(rows.c[each] for each in names)).order_by(rows.c.place)
    statement = postgresql.insert(table).from_select(list(names), selected)
    keys = [column.name for column in table.primary_key]
    match verb:
        case _Verb.INSERT:
            return statement
        case _Verb.ADD_MISSING:
            return statement.on_conflict_do_nothing()
        case _Verb.UPSERT:
            others = {
                each.name: statement.excluded[each.name] for each in table.columns if each.name not in keys
            }
            return statement.on_conflict_do_update(index_elements=keys, set_=others)


def _name(table: sa.Table, column: str) -> str:
    return f"{table.name}__{column}"


def _array(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    # Plain text: to cast to a type with a length would cut what is longer, where the column refuses it.
    return postgresql.ARRAY(sa.Text() if isinstance(column.type, sa.String) else column.type)
