"""Search in every order it may be asked for, over every type; the generations of a report identity in order.

The sets are made anew from the facets that are kept: they now tell too which parameters a report has a value of.
What one type's resources can be found by, other than reports, is worked out from their current versions.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

from schemas.search.resources import VALUES
from services.publisher.derive.found_by import found_by
from services.publisher.store.index import NO_DATE, index, index_other

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_AT_ONCE = 500
_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SEARCHED = (
    "id", "facet_set", "last_updated", "date_low", "date_high", "period_low", "period_high", "stage", "kind",
)  # fmt: skip
_ORDERS = {
    "report_search": ("id",),
    "report_facet_set": ("facet_set", "id"),
    "report_last_updated": ("last_updated", "id"),
    "report_date": ("date_low", "id"),
    "report_period": ("period_low", "id"),
    "report_period_high": ("period_high", "id"),
}
_SHARED = ("parameter", "value", "facet_set", "system")


def upgrade() -> None:
    connection = op.get_bind()
    _shared()
    for name, (low, high) in {"date": NO_DATE, "period": NO_DATE}.items():
        for end, nothing in (("low", low), ("high", high)):
            column = sa.Column(f"{name}_{end}", sa.BigInteger(), server_default=str(nothing), nullable=False)
            op.add_column("report", column)
    for each in ("report_last_updated", "report_facet_set"):
        op.drop_index(each, "report")
    # What a report has once stands in its own row.
    op.execute("DELETE FROM date_facet WHERE parameter IN ('date', 'period')")
    _index_reports(connection)
    for name, first in _ORDERS.items():
        op.create_index(name, "report", [*first, *(each for each in _SEARCHED if each not in first)])
    op.create_index("report_identity", "report", ["identity", "last_updated", "id"])
    op.create_index("report_series", "report", ["contract", "provider", "period_low"])
    op.create_index("date_facet_high", "date_facet", ["parameter", "high", "low", "report_id"])
    op.create_index("date_facet_report", "date_facet", ["report_id", "parameter", "low", "high"])
    op.create_index("score_facet_report", "score_facet", ["report_id", "value", "number", "system", "unit"])

    _tables_of_other_types()
    _index_others(connection)
    op.create_index("resource_facet_value", "resource_facet", ["type", "parameter", "value", "id"])
    op.create_index("resource_facet_resource", "resource_facet", ["type", "id", "parameter"])
    op.create_index("resource_date_low", "resource_date", ["type", "parameter", "low"])
    op.create_index("resource_date_resource", "resource_date", ["type", "id", "parameter"])
    op.create_table(
        "set_pruning",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("INSERT INTO set_pruning (id, round) VALUES (1, 0)")


def _tables_of_other_types() -> None:
    of_resource = (
        ("type", sa.String(32)), ("id", sa.String(64)), ("parameter", sa.String(64)),
    )  # fmt: skip
    for table, columns in (
        ("resource_facet", (("value", _ORDERED), ("system", _ORDERED), ("said", sa.Text()))),
        ("resource_date", (("low", sa.BigInteger()), ("high", sa.BigInteger()))),
    ):
        op.create_table(
            table, *(sa.Column(name, type_, nullable=False) for name, type_ in (*of_resource, *columns))
        )


def _index_others(connection: sa.Connection) -> None:
    """What stands on our own base is written `Type/id` in what was stored, or is found by its URL."""
    for kind in VALUES:
        statement = (
            "SELECT id, body FROM resource_version JOIN resource USING (type, id, version) "
            f"WHERE type = '{kind}' AND NOT deleted AND id > :after ORDER BY id LIMIT :most"
        )
        for page in _pages(connection, statement):
            facets: list[dict[str, Any]] = []
            dates: list[dict[str, Any]] = []
            for id_, body in page:
                found = index_other(kind, id_, found_by(orjson.loads(bytes(body)), ""))
                facets += found.facets
                dates += found.dates
            for table, rows in (("resource_facet", facets), ("resource_date", dates)):
                if rows:
                    names = tuple(rows[0])
                    connection.execute(
                        sa.text(
                            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{each}' for each in names)})"
                        ),
                        rows,
                    )


def _shared() -> None:
    """A set's place in the key comes before the system, so that one lookup tells whether a set has a code."""
    op.drop_table("shared_facet")
    types: dict[str, sa.types.TypeEngine[Any]] = {"parameter": sa.String(64), "facet_set": sa.String(32)}
    op.create_table(
        "shared_facet",
        *(sa.Column(each, types.get(each, _ORDERED), nullable=False) for each in _SHARED),
        sa.PrimaryKeyConstraint(*_SHARED),
        sqlite_with_rowid=False,
    )
    op.create_index("shared_facet_set", "shared_facet", ["facet_set"])


def _index_reports(connection: sa.Connection) -> None:
    values = ", ".join(f":{column}" for column in _SHARED)
    add = sa.text(f"INSERT INTO shared_facet ({', '.join(_SHARED)}) VALUES ({values}) ON CONFLICT DO NOTHING")
    name = sa.text(
        "UPDATE report SET facet_set = :facet_set, date_low = :date_low, date_high = :date_high, "
        "period_low = :period_low, period_high = :period_high WHERE id = :id"
    )
    for page in _pages(connection, "SELECT id, facets FROM report WHERE id > :after ORDER BY id LIMIT :most"):
        sets, named = set(), []
        for id_, facets in page:
            found = index(orjson.loads(facets))
            sets |= {(parameter, value, found.facet_set, system) for parameter, value, system in found.shared}
            named.append(
                {
                    "id": id_,
                    "facet_set": found.facet_set,
                    "date_low": found.date[0],
                    "date_high": found.date[1],
                    "period_low": found.period[0],
                    "period_high": found.period[1],
                }
            )
        if sets:
            # A set may stand there already: another page's reports share it.
            connection.execute(add, [dict(zip(_SHARED, row, strict=True)) for row in sorted(sets)])
        connection.execute(name, named)


def _pages(connection: sa.Connection, statement: str) -> Iterator[Sequence[Any]]:
    """Yield rows a page at a time; the first column is what the next page begins after."""
    after = ""
    while page := connection.execute(sa.text(statement), {"after": after, "most": _AT_ONCE}).all():
        yield page
        after = page[-1][0]
