"""A search index of few and narrow entries, made anew from the facets that are kept.

What reports share stands there once a set. Tables that are only ever found by their key are that key's index on
SQLite. A generation names its report, whose facets are kept there already.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime
from services.publisher.store.index import index, key

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_AT_ONCE = 500
_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TABLES = {
    "shared_facet": (("parameter", "value", "system", "facet_set")),
    "own_facet": (("parameter", "value", "system", "report_id")),
    "date_facet": (("parameter", "low", "high", "report_id")),
    "score_facet": (("value", "number", "system", "unit", "report_id")),
}
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "parameter": sa.String(64),
    "facet_set": sa.String(32),
    "report_id": sa.String(64),
    "low": sa.BigInteger(),
    "high": sa.BigInteger(),
}


def upgrade() -> None:
    connection = op.get_bind()
    op.drop_table("facet")
    for name, columns in _TABLES.items():
        op.create_table(
            name,
            *(sa.Column(each, _TYPES.get(each, _ORDERED), nullable=False) for each in columns),
            sa.PrimaryKeyConstraint(*columns),
            sqlite_with_rowid=False,
        )
    for each in ("report_contract", "report_parent", "report_identity"):
        op.drop_index(each, "report")
    op.drop_column("generation", "version")
    op.drop_column("generation", "stage")
    op.drop_column("generation", "facets")
    op.add_column("report", sa.Column("facet_set", sa.String(32), server_default="", nullable=False))
    _index_reports(connection)
    with op.batch_alter_table("report") as report:
        report.alter_column("facet_set", server_default=None)
    op.create_index("report_facet_set", "report", ["facet_set"])
    _shorten_identifiers(connection)
    op.drop_index("resource_content", "resource")
    if connection.dialect.name == "sqlite":
        _cluster(connection)
    op.create_index("resource_content", "resource", ["content_hash"])


def _index_reports(connection: sa.Connection) -> None:
    for page in _pages(connection, "SELECT id, facets FROM report WHERE id > :after ORDER BY id LIMIT :most"):
        rows: dict[str, set[tuple[str | int, ...]]] = {name: set() for name in _TABLES}
        sets = []
        for id_, facets in page:
            found = index(orjson.loads(facets))
            rows["shared_facet"] |= {(*row, found.facet_set) for row in found.shared}
            rows["own_facet"] |= {(*row, id_) for row in found.own}
            rows["date_facet"] |= {(*row, id_) for row in found.dates}
            rows["score_facet"] |= {(*row, id_) for row in found.scores}
            sets.append({"id": id_, "facet_set": found.facet_set})
        for name, columns in _TABLES.items():
            named = [dict(zip(columns, row, strict=True)) for row in sorted(rows[name])]
            values = ", ".join(f":{column}" for column in columns)
            if named:
                # A set may stand there already: another page's reports share it.
                connection.execute(
                    sa.text(f"INSERT INTO {name} VALUES ({values}) ON CONFLICT DO NOTHING"),
                    named,
                )
        connection.execute(sa.text("UPDATE report SET facet_set = :facet_set WHERE id = :id"), sets)


def _shorten_identifiers(connection: sa.Connection) -> None:
    """The longest text that an index holds is measured in bytes from now on."""
    long = connection.execute(
        sa.text("SELECT DISTINCT type, id FROM identifier WHERE length(value) > 250 OR value LIKE 'sha256:%'")
    )
    for type_, id_ in long.all():
        named = {"type": type_, "id": id_}
        (body,) = connection.execute(
            sa.text(
                "SELECT body FROM resource_version JOIN resource USING (type, id, version) "
                "WHERE type = :type AND id = :id"
            ),
            named,
        ).one()
        given = [each for each in orjson.loads(bytes(body)).get("identifier", ()) if "value" in each]
        rows = {(each.get("system", ""), key(each["value"])) for each in given}
        connection.execute(sa.text("DELETE FROM identifier WHERE type = :type AND id = :id"), named)
        connection.execute(
            sa.text("INSERT INTO identifier (type, id, system, value) VALUES (:type, :id, :system, :value)"),
            [{**named, "system": system, "value": value} for system, value in sorted(rows)],
        )


def _cluster(connection: sa.Connection) -> None:
    """Give the tables that are found by their key alone no other order: SQLite copies them for that."""
    _copied(
        connection,
        "resource",
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("last_updated", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("type", "id"),
    )
    _copied(
        connection,
        "generation",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("report_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("identity"),
    )
    _copied(
        connection,
        "listing",
        sa.Column("quality_id", sa.String(64), nullable=False),
        sa.Column("performance_id", sa.String(64), nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("quality_id", "performance_id"),
    )


def _copied(connection: sa.Connection, name: str, *parts: Any) -> None:
    columns = ", ".join(f'"{part.name}"' for part in parts if isinstance(part, sa.Column))
    op.rename_table(name, f"{name}_before")
    op.create_table(name, *parts, sqlite_with_rowid=False)
    connection.execute(sa.text(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {name}_before"))
    op.drop_table(f"{name}_before")


def _pages(connection: sa.Connection, statement: str) -> Iterator[Sequence[Any]]:
    """Yield rows a page at a time; the first column is what the next page begins after."""
    after = ""
    while page := connection.execute(sa.text(statement), {"after": after, "most": _AT_ONCE}).all():
        yield page
        after = page[-1][0]
