"""A publisher's database with many reports in it: the rows that storing them one by one would leave, put there at once.

Contracts, parties and two model reports go through the publisher's own writer. The others are these two with ids,
contracts, parties, periods, dates, stages and scores of their own; their entries in the index are made by the store's
own `index`. Events and audit rows, which no search reads, are left out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson
import sqlalchemy as sa

from schemas import examples
from schemas.dates import bounds, period_bounds, stamp
from schemas.facets import Facets, token
from schemas.fhir import REPORT_STAGE_SYSTEM, STATUS_SYSTEM
from services.clock import SystemClock
from services.database import Database, micros
from services.event_log_outbox import OutboxSink
from services.principal import LOCAL
from services.publisher.derive import kind as kind_of
from services.publisher.store import tables as t
from services.publisher.store.index import index
from services.publisher.store.model import Write
from services.publisher.wiring import MIGRATIONS, open_publisher
from services.settings import Settings

BASE: Final = "https://publisher.example/fhir"
A_CONTRACT: Final = 100
"""Reports about one contract: a year and more of monthly ones, and the quality reports with them."""
QUALITY: Final = 3
"""Quality reports to one performance report."""
MONTHS: Final = A_CONTRACT // (1 + QUALITY)
_FIRST: Final = datetime(2024, 1, 1, tzinfo=UTC)
_MODELS = ("07-quality-harbor-point-breast-cancer-final", "14-harbor-point-commercial-final")
_TABLES = (t.resource, t.resource_version, t.report, t.own_facet, t.date_facet, t.score_facet, t.shared_facet)
_AT_ONCE = 5_000

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A report that was stored, to be made others of."""

    resource: dict[str, Any]
    facets: Facets
    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """What is one report's own."""

    number: int
    quality: int | None
    """`None` for the performance report of the month."""
    contract: int
    month: int

    @property
    def id(self) -> str:
        """Rises as those do that a publisher gives."""
        return f"0190{self.number:08x}-{self.contract:04x}"

    @property
    def at(self) -> datetime:
        """When it was stored: reports come in month by month."""
        return _FIRST + timedelta(days=31 * self.month + 31, seconds=self.number)

    @property
    def stage(self) -> str:
        """Old reports are settled; one in a thousand is withdrawn."""
        if self.number % 1_000 == 500:
            return "withdrawn"
        return "settled" if self.month < MONTHS // 2 else "final" if self.month < MONTHS - 4 else "interim"


async def fill(url: str, reports: int) -> None:
    """Migrate an empty database and put so many reports in it, `A_CONTRACT` of each contract."""
    database = Database(url)
    await MIGRATIONS.upgrade(database)
    models = await _models(url)
    put = _sqlite if database.is_sqlite else _postgresql
    await put(database, list(_said(reports)), models)
    await database.close()


def contract_url(number: int) -> str:
    """Return the URL of one contract."""
    return f"https://payer.example/Measure/{number}"


def _said(reports: int) -> Iterator[Said]:
    """Month by month, contract by contract: the order in which they come in."""
    contracts = max(1, reports // A_CONTRACT)
    number = 0
    for month in range(MONTHS):
        for contract in range(contracts):
            for quality in (None, *range(QUALITY)):
                yield Said(number, quality, contract, month)
                number += 1


async def _models(url: str) -> tuple[Model, Model]:
    """Store parties, contracts and the two models; return the performance report and the quality report."""
    publisher = await open_publisher(
        Settings(base_url=BASE, publisher_database_url=url), SystemClock(), OutboxSink(t.log_head)
    )
    paths = {path.stem: path for path in examples.reports()}
    chosen = [paths[name] for name in _MODELS]
    parent = next(path for path in examples.reports() if path.stem == "09-harbor-point-final")
    for path in (*examples.parties(), *examples.contracts(), parent, *chosen):
        resource = orjson.loads(path.read_bytes())
        kind = kind_of(resource) if resource["resourceType"] == "MeasureReport" else None
        write = Write(
            resource["resourceType"],
            resource["id"],
            creates=False,
            text=path.read_bytes(),
            resource=resource,
            kind=kind,
        )
        await publisher.server.writer.write([write], LOCAL)
    quality, performance = [orjson.loads(path.read_bytes()) for path in chosen]
    async with publisher.database.read() as tx:
        rows = {row.id: row._asdict() for row in await tx.execute(sa.select(t.report))}
    await publisher.close()
    return _model(performance, rows), _model(quality, rows)


def _model(resource: dict[str, Any], rows: dict[str, dict[str, Any]]) -> Model:
    row = rows[resource["id"]]
    assert not row["waits"]
    return Model(resource, orjson.loads(row["facets"]), row)


def _rows(said: Said, models: tuple[Model, Model]) -> dict[str, list[Row]]:
    """Return the rows of one report by table, without those of its set."""
    model = models[0] if said.quality is None else models[1]
    facets = _facets(said, model.facets)
    found = index(facets)
    row = {
        **model.row,
        "id": said.id, "stage": said.stage, "contract": contract_url(said.contract), "version": 1,
        "payer": facets["payer"][0], "provider": facets["provider"][0], "identity": f"{said.contract}/{said.id}",
        "facets": orjson.dumps(facets).decode(), "facet_set": found.facet_set, "last_updated": said.at,
        "date_low": found.date[0], "date_high": found.date[1],
        "period_low": found.period[0], "period_high": found.period[1],
    }  # fmt: skip
    body = orjson.dumps(
        {
            **model.resource,
            "id": said.id,
            "meta": {**model.resource["meta"], "versionId": "1", "lastUpdated": stamp(said.at)},
        }
    )
    return {
        "resource": [("MeasureReport", said.id, 1, False, "local", f"{said.number:064x}", said.at)],
        "resource_version": [("MeasureReport", said.id, 1, "create", said.at, "local", body)],
        "report": [tuple(row[column.name] for column in t.report.columns)],
        "own_facet": [(*entry, said.id) for entry in sorted(found.own)],
        "date_facet": [(*entry, said.id) for entry in sorted(found.dates)],
        "score_facet": [(*entry, said.id) for entry in sorted(found.scores)],
        "shared_facet": [(name, value, found.facet_set, system) for name, value, system in found.shared],
    }


def _facets(said: Said, model: Facets) -> Facets:
    start = _FIRST + timedelta(days=31 * said.month)
    provider = f"Organization/provider-{said.contract // 4}"
    payer = f"Organization/payer-{said.contract % 20}"
    own: dict[str, Any] = {
        "_id": [token("", said.id)],
        "_lastUpdated": [bounds(stamp(said.at))],
        "contract": [contract_url(said.contract)],
        "payer": [payer],
        "reporter": [payer],
        "provider": [provider],
        "subject-organization": [provider],
        "provider-identifier": [f"http://hl7.org/fhir/sid/us-npi|{1_000_000 + said.contract // 4}"],
        "stage": [token(REPORT_STAGE_SYSTEM, said.stage)],
        "status": [token(STATUS_SYSTEM, "error" if said.stage == "withdrawn" else "complete")],
        "period": [period_bounds(f"{start:%Y-%m}", f"{start:%Y-%m}")],
        "date": [bounds(stamp(said.at))],
        "identifier": [f"urn:payer:reports|{said.number}"],
        "metric-score": [
            [each[0], f"{said.number * 7919 % 500 / 100}", each[2]] for each in model.get("metric-score", ())
        ],
    }
    if said.quality is None:
        own["measure"] = [contract_url(said.contract)]
        later = (replace(said, number=said.number + 1 + each, quality=each) for each in range(QUALITY))
        own["evaluated-resource"] = [f"MeasureReport/{each.id}" for each in later]
    else:
        own["measure"] = own["quality-measure"] = [f"https://measures.example/Measure/q{said.quality}|2"]
    return {**model, **{name: values for name, values in own.items() if values}}


def _batches(said: Sequence[Said], models: tuple[Model, Model]) -> Iterator[dict[str, list[Row]]]:
    known: set[str] = set()
    for begin in range(0, len(said), _AT_ONCE):
        out: dict[str, list[Row]] = {table.name: [] for table in _TABLES}
        for each in said[begin : begin + _AT_ONCE]:
            rows = _rows(each, models)
            sets = rows.pop("shared_facet")
            if sets[0][2] not in known:
                known.add(sets[0][2])
                out["shared_facet"] += sets
            for name, more in rows.items():
                out[name] += more
        yield out


async def _sqlite(database: Database, said: Sequence[Said], models: tuple[Model, Model]) -> None:
    connection = sqlite3.connect(str(database.url.database), isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA cache_size=-400000")
    names = ", ".join(f"'{table.name}'" for table in _TABLES)
    indexes = connection.execute(
        f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL AND tbl_name IN ({names})"
    ).fetchall()
    connection.execute("BEGIN")
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    for batch in _batches(said, models):
        for table in _TABLES:
            marks = ", ".join("?" * len(table.columns))
            rows = (
                [micros(each) if isinstance(each, datetime) else each for each in row]
                for row in batch[table.name]
            )
            columns = ", ".join(column.name for column in table.columns)
            connection.executemany(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", rows)
    for _, statement in indexes:
        connection.execute(statement)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def _postgresql(database: Database, said: Sequence[Said], models: tuple[Model, Model]) -> None:
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    names = [table.name for table in _TABLES]
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY($1) AND indexname NOT LIKE '%_pkey'",
        names,
    )
    for found in indexes:
        await connection.execute(f"DROP INDEX {found['indexname']}")
    for batch in _batches(said, models):
        for table in _TABLES:
            columns = [column.name for column in table.columns]
            await connection.copy_records_to_table(table.name, columns=columns, records=batch[table.name])
    for found in indexes:
        await connection.execute(found["indexdef"])
    # What autovacuum does by itself a minute after so many rows came.
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
