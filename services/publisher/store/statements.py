"""The statements that PostgreSQL and SQLite write differently, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles

from services.database import Connection


async def insert(tx: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, in one round trip; none is fine."""
    if rows:
        await tx.execute(_insert(table), rows)


async def upsert(tx: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, or overwrite every column of those with the same primary key."""
    if rows:
        await tx.execute(_upsert(tx.dialect.name, table), rows)


async def add_missing(tx: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert those rows whose primary key is not there."""
    if rows:
        await tx.execute(_add_missing(tx.dialect.name, table), rows)


async def delete(tx: Connection, table: sa.Table, keys: Sequence[dict[str, Any]]) -> None:
    """Remove the rows with these primary keys, each given by the names of its columns."""
    if keys:
        await tx.execute(
            _delete(table), [{f"of_{name}": value for name, value in key.items()} for key in keys]
        )


@cache
def _insert(table: sa.Table) -> sa.Insert:
    return table.insert().inline()


@cache
def _upsert(dialect: str, table: sa.Table) -> sa.Executable:
    keys = [column.name for column in table.primary_key]
    new = _dialects_own(dialect, table)
    others = {
        each.name: new.excluded[each.name] for each in table.columns if each.name not in table.primary_key
    }
    statement: sa.Executable = new.on_conflict_do_update(index_elements=keys, set_=others)
    return statement


@cache
def _add_missing(dialect: str, table: sa.Table) -> sa.Executable:
    statement: sa.Executable = _dialects_own(dialect, table).on_conflict_do_nothing()
    return statement


@cache
def _delete(table: sa.Table) -> sa.Delete:
    return table.delete().where(
        *(column == sa.bindparam(f"of_{column.name}") for column in table.primary_key)
    )


def _dialects_own(dialect: str, table: sa.Table) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


class Texts(sa.types.TypeDecorator[Sequence[str]]):
    """Any number of texts as one parameter: the statement is the same for one and for a thousand."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Choose PostgreSQL's array, or JSON."""
        return dialect.type_descriptor(
            postgresql.ARRAY(sa.Text()) if dialect.name == "postgresql" else sa.Text()
        )

    def process_bind_param(self, value: Sequence[str] | None, dialect: sa.Dialect) -> Any:
        """Turn the texts into what the driver takes."""
        texts = list(value or ())
        return texts if dialect.name == "postgresql" else orjson.dumps(texts).decode()


def among(column: sa.ColumnElement[str], name: str) -> sa.ColumnElement[bool]:
    """Tell whether a column holds one of the texts of the parameter `name`."""
    return _Among(column, sa.bindparam(name, type_=Texts()))


def beside(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a column that SQLite goes by no index of; PostgreSQL knows by its statistics which one is best."""
    return _Beside(column, type_=column.type)


class _Beside(sa.sql.functions.GenericFunction[Any]):
    """`column`."""

    inherit_cache = True
    name = "beside"


@compiles(_Beside, "sqlite")
def _beside_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    (column,) = element.clauses
    return f"+{compiler.process(column, **kw)}"


@compiles(_Beside, "postgresql")
def _beside_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    (column,) = element.clauses
    return str(compiler.process(column, **kw))


class _Among(sa.sql.functions.GenericFunction[bool]):
    """`column` and the texts."""

    inherit_cache = True
    type = sa.Boolean()
    name = "among_texts"

    def self_group(self, against: Any = None) -> Any:  # noqa: ARG002  # SQLAlchemy's own signature
        """Stay as it is: as `(…) = 1`, which is what SQLite's dialect makes of a function, no index is used."""
        return self


@compiles(_Among, "sqlite")
def _among_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    column, texts = (compiler.process(each, **kw) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({texts}))"


@compiles(_Among, "postgresql")
def _among_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    column, texts = (compiler.process(each, **kw) for each in element.clauses)
    return f"{column} = ANY ({texts})"
