"""No statement of accepting or searching walks through a table that grows: each finds its rows by an index."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from services.principal import LOCAL
from services.publisher.derive import kind as kind_of
from services.publisher.store import tables as t
from services.publisher.store.model import Write
from tests.plans import plans, walks
from tests.publishing import (
    Publishing,
    Resource,
    bundle,
    contract,
    contract_url,
    group,
    organisation,
    performance,
    post_entry,
    put_entry,
    quality,
)

CONTRACTS, REPORTS = 20, 400
GROWING = [table.name for table in t.metadata.sorted_tables if table.name != "log_head"]


def _report(number: int) -> Resource:
    year = 1900 + number % 100
    return performance(
        f"old-{number}",
        measure=contract_url(f"c{number % CONTRACTS}"),
        score=number / 100,
        period={"start": f"{year}-01-01", "end": f"{year}-{1 + number // 100:02d}-28"},
        identifier=[{"system": "urn:reports", "value": str(number)}],
    )


@pytest.fixture
async def filled(publisher: Publishing) -> Publishing:
    """A publisher with reports of many contracts; PostgreSQL walks only where there is no index to go by."""
    for number in range(CONTRACTS):
        assert (await publisher.put(contract(f"c{number}"))).status == 201
    await asyncio.gather(*(_store(publisher, _report(number)) for number in range(REPORTS)))
    if not publisher.database.is_sqlite:
        async with publisher.database.write() as tx:
            name = publisher.database.url.database
            await tx.exec_driver_sql(f'ALTER DATABASE "{name}" SET enable_seqscan = off')
        await publisher.database.close()  # connections that are opened from here on know it
    return publisher


async def _store(publisher: Publishing, resource: Resource) -> None:
    write = Write(
        "MeasureReport",
        resource["id"],
        creates=False,
        text=orjson.dumps(resource),
        resource=resource,
        kind=kind_of(resource),
    )
    await publisher.publisher.server.writer.write([write], LOCAL)


async def _require_indexes(publisher: Publishing, work: Coroutine[Any, Any, None], least: int) -> None:
    found = await plans(publisher.database, work)
    assert len(found) >= least
    for statement, plan in found:
        assert not walks(plan, GROWING), f"{statement}\n{plan}"


async def test_a_statement_that_walks_is_found_out(filled: Publishing) -> None:
    async def careless() -> None:
        async with filled.database.read() as tx:
            await tx.execute(sa.select(t.report.c.id).where(t.report.c.payer == "x"))
            await tx.execute(sa.select(t.own_facet.c.value).where(t.own_facet.c.parameter == "identifier"))

    found = await plans(filled.database, careless())
    assert walks(found[0][1], GROWING)
    assert walks(found[1][1], GROWING) or not filled.database.is_sqlite


async def test_accepting_finds_everything_by_an_index(filled: Publishing) -> None:
    async def accept() -> None:
        by_number = {"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1000000001"}}
        for answer in (
            await filled.put(organisation("another", "1000000009")),
            await filled.put(group("members", "Organization/provider")),
            await filled.put(quality()),
            await filled.put(performance(lists=["eyes"], subject={"reference": "Group/members"})),
            await filled.put(performance(score=4, lists=["eyes"], subject={"reference": "Group/members"})),
            await filled.put(quality(score=0.7)),
            await filled.post(performance(date="2026-04-04", reporter=by_number)),
            await filled.post(performance(date="2026-04-05"), If_None_Exist="identifier=urn:reports|new"),
            await filled.put(contract("c1", title="Renamed")),
            await filled.send(
                "POST",
                "",
                bundle(
                    "transaction",
                    put_entry(organisation("more", "1000000010")),
                    post_entry(
                        performance(date="2026-04-06"), "urn:uuid:0d7c3b0e-5a4c-4a3c-8a70-5a4c4a3c8a70"
                    ),
                ),
            ),
        ):
            assert answer.status in {200, 201}, answer.text

    await _require_indexes(filled, accept(), 10)


SEARCHES = (
    f"contract={contract_url('c3')}",
    f"contract={contract_url('c3')}&stage=final&kind=performance",
    f"contract={contract_url('c3')},{contract_url('c4')}&period=le1950",
    "period=1950", "period=lt1902&_sort=-_lastUpdated", "metric-score=weighted-avg-star$lt0.1",
    "identifier=urn:reports|42", "_id=old-42,old-43", "provider=Organization/provider&period=1950",
    "provider-identifier=1000000002&period=1950",
)  # fmt: skip


@pytest.mark.parametrize("query", SEARCHES)
async def test_a_search_finds_its_reports_by_an_index(filled: Publishing, query: str) -> None:
    async def search() -> None:
        assert await filled.ids(query)

    await _require_indexes(filled, search(), 2)
