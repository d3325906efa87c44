"""A database of an earlier version, brought to this one, is searched and written to as if it had always been one."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import command

from services.database import Database, from_micros
from services.database.migrations import on_engine
from services.publisher.wiring import MIGRATIONS
from tests.publishing import (
    PAYER,
    PROVIDER,
    Publishing,
    contract,
    contract_url,
    organisation,
    performance,
    publishing,
    quality,
)

LONG = "9" * 700
"""Longer than the first versions kept as it is, and not longer than is kept now."""
REPORTS = (
    performance(
        "report", "settled", score=3.5, lists=["eyes"], identifier=[{"system": "urn:r", "value": "42"}]
    ),
    performance("second", score=3, period={"start": "2024-01-01", "end": "2024-12-31"}),
    quality("eyes"),
)
QUERIES = (
    f"contract={contract_url()}", "stage=settled", "period=2024", "metric-score=weighted-avg-star$gt3",
    "identifier=urn:r|42", "kind=quality", "provider-identifier=1000000002", "evaluated-resource=MeasureReport/eyes",
)  # fmt: skip
_KEPT_SINCE = {"metrics", "components"}
"""What the first versions did not keep of a contract."""
_FIRST_TABLES = {
    "resource": ("type", "id", "version", "deleted", "owner", "content_hash", "last_updated"),
    "resource_version": ("type", "id", "version", "interaction", "last_updated", "client", "body"),
    "identifier": ("type", "id", "value", "system"),
    "contract": ("key", "measure_id", "payer", "facts"),
    "report": (
        "id", "version", "kind", "stage", "contract", "payer", "provider", "identity", "parent", "waits", "facets",
        "last_updated",
    ),
    "listing": ("quality_id", "performance_id", "since"),
}  # fmt: skip


async def test_what_an_earlier_version_stored_is_found_and_superseded(
    database_url: str, tmp_path_factory: Any
) -> None:
    now = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('now') / 'publisher'}.sqlite"
    async with publishing(now) as publisher:
        for each in (PAYER, PROVIDER, organisation("long", LONG), contract(), *REPORTS):
            assert (await publisher.put(each)).status == 201
        expected = [sorted(await publisher.ids(query)) for query in QUERIES]
        assert all(expected)
        rows = {name: await _rows(publisher, name, columns) for name, columns in _FIRST_TABLES.items()}
        rows["generation"] = [
            {**row, **_current(rows["report"], row["report_id"])}
            for row in await _rows(publisher, "generation", ("identity", "report_id"))
        ]
    for each in rows["contract"]:
        facts = json.loads(each["facts"])
        each["facts"] = json.dumps({name: facts[name] for name in facts.keys() - _KEPT_SINCE})
    await _fill_revision_3(database_url, rows)
    async with publishing(database_url) as publisher:
        assert [sorted(await publisher.ids(query)) for query in QUERIES] == expected
        found = await publisher.get(f"/Organization?identifier={LONG}")
        assert [entry["resource"]["id"] for entry in found.json["entry"]] == ["long"]
        assert (await publisher.put({**REPORTS[0], "date": "2026-05-05"})).status == 200
        assert (await publisher.post(REPORTS[1])).status == 200  # it is there already
        (event,) = await publisher.emitted()
        assert event.type == "org.vbpr.report.corrected.v1"
        assert await publisher.ids("date=2026-05-05") == ["report"]
        assert await publisher.ids("date=2026-02-03") == ["eyes", "second"]
        # The contract is as it was, and yet reports are held against all that it says.
        odd = performance("odd", "settled", period={"start": "2023-01-01", "end": "2023-12-31"})
        odd["group"][0]["code"]["coding"][0]["code"] = "shared-saving-deficit"
        answer = await publisher.put(odd, Prefer="return=OperationOutcome")
        assert answer.status == 201
        said = {issue["details"]["coding"][0]["code"] for issue in answer.json["issue"][1:]}
        assert said >= {"contract-metric", "contract-component-missing"}


async def _rows(publisher: Publishing, table: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    async with publisher.database.read() as tx:
        named = ", ".join(f'"{column}"' for column in columns)
        return [row._asdict() for row in await tx.exec_driver_sql(f"SELECT {named} FROM {table}")]


def _current(reports: list[dict[str, Any]], report_id: str) -> dict[str, Any]:
    (row,) = (each for each in reports if each["id"] == report_id)
    return {name: row[name] for name in ("version", "stage", "facets")}


async def _fill_revision_3(url: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Make the tables of revision 3 and put rows in them, as that version's code did."""

    def run(connection: sa.Connection) -> None:
        config = MIGRATIONS._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        metadata = sa.MetaData()
        metadata.reflect(connection)
        for name, values in rows.items():
            table = metadata.tables[name]
            connection.execute(table.insert(), [_as_kept(table, row) for row in values])

    database = Database(url)
    try:
        await on_engine(database.url, run)
    finally:
        await database.close()


def _as_kept(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    """SQLite gave times as microseconds and truth as 0 and 1."""
    out = dict(row)
    for column in table.columns:
        value = out.get(column.name)
        if isinstance(column.type, sa.DateTime):
            out[column.name] = from_micros(row[column.name])
        elif isinstance(column.type, sa.Boolean):
            out[column.name] = bool(value)
    if table.name == "identifier" and len(out["value"]) > 600:
        out["value"] = (
            "sha256:" + "0" * 64
        )  # what that version kept of a long one; its own digest does not matter
    return out
