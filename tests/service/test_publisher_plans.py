"""No statement of accepting or searching walks through a table that grows: each finds its rows by an index."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from services.principal import LOCAL
from services.publisher.derive import kind as kind_of
from services.publisher.store import search
from services.publisher.store import tables as t
from services.publisher.store.model import Write
from tests.plans import plans, walks
from tests.publishing import (
    BASE,
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
    served,
    threshold,
)

CONTRACTS, REPORTS = 20, 400
GROWING = [table.name for table in t.metadata.sorted_tables if table.name != "log_head"]


def _report(number: int) -> Resource:
    year = 1900 + number % 100
    report = performance(
        f"old-{number}",
        measure=contract_url(f"c{number % CONTRACTS}"),
        score=number / 100,
        period={"start": f"{year}-01-01", "end": f"{year}-{1 + number // 100:02d}-28"},
        identifier=[{"system": "urn:reports", "value": str(number)}],
    )
    report["extension"] = [*report.get("extension", ()), threshold(number - 200)]
    return served(report, f"{year}-01-01", f"{year}-06-30", f"{year}-09-30")


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


async def test_changing_and_deleting_find_everything_by_an_index(filled: Publishing) -> None:
    score = {"op": "replace", "path": "/group/0/measureScore/value", "value": 4}

    async def change() -> None:
        await filled.put(organisation("brief", "1000000011"))
        await filled.put(group("briefly", "Organization/brief"))
        await filled.put(performance("parent", lists=["eyes"]))
        await filled.put(quality())
        for status, answer in (
            (200, await filled.patch("/MeasureReport/old-7", score)),
            (200, await filled.patch("/MeasureReport?identifier=urn:reports|8", score)),
            (204, await filled.delete("/MeasureReport/parent")),
            (200, await filled.put(quality(score=0.7))),
            (204, await filled.delete("/MeasureReport/eyes")),
            (204, await filled.delete("/MeasureReport?identifier=urn:reports|8")),
            (409, await filled.delete("/Organization/brief")),
            (409, await filled.delete("/Organization/payer")),
            (409, await filled.delete("/Measure/contract-c1")),
            (204, await filled.delete("/Group/briefly")),
            (204, await filled.delete("/Organization/brief")),
        ):
            assert answer.status == status, answer.text

    await _require_indexes(filled, change(), 20)


async def test_a_history_finds_its_versions_by_an_index(filled: Publishing) -> None:
    async def read() -> None:
        for path in ("MeasureReport/old-7/_history?_at=2030", "MeasureReport/old-7/_history?_since=2020"):
            assert (await filled.get(f"/{path}")).json["total"] == 1
        first = await filled.get("/MeasureReport/_history?_count=2&_since=2020")
        (after,) = (link["url"] for link in first.json["link"] if link["relation"] == "next")
        assert (await filled.get(after.removeprefix(BASE))).status == 200

    await _require_indexes(filled, read(), 5)


SEARCHES = (
    f"contract={contract_url('c3')}",
    f"contract={contract_url('c3')}&stage=final&kind=performance",
    f"contract={contract_url('c3')},{contract_url('c4')}&period=le1950",
    f"contract={contract_url('c3')}&_include=MeasureReport:measure&_include=MeasureReport:reporter",
    "period=1950", "period=lt1902&_sort=-_lastUpdated", "period=ge1998", "period=ge1950-01&period=le1950-02",
    "date=ge2026-02&date=le2026-03", "stage=final&_sort=-period", "kind=performance&_sort=-_lastUpdated,date",
    "_sort=-date", "_lastUpdated=gt2020&_sort=_lastUpdated", "identifier:missing=false&status=complete",
    "metric-score=weighted-avg-star$lt0.1", "metric-score=weighted-avg-star$gt0&_total=accurate",
    "threshold-gap=star-4$le0",
    "identifier=urn:reports|42", "identifier=urn:reports|", "_id=old-42,old-43",
    "provider=Organization/provider&period=1950", "provider-identifier=1000000002&period=1950",
    "stage:not=settled&status:not=error",
)  # fmt: skip


async def test_a_search_finds_its_reports_by_an_index(filled: Publishing) -> None:
    for query in SEARCHES:

        async def found(query: str = query) -> None:
            assert await filled.ids(query), query

        await _require_indexes(filled, found(), 2)


OTHERS = (
    "/Measure?url=" + contract_url("c7"), "/Measure?identifier=c7", "/Measure?name=con&_sort=-_lastUpdated",
    "/Organization?name=prov&_revinclude=Group:managing-entity", "/Organization?identifier=1000000002",
    "/Measure?effective=2025&_count=2",
)  # fmt: skip


async def test_a_search_for_contracts_and_parties_finds_them_by_an_index(filled: Publishing) -> None:
    for path in OTHERS:

        async def found(path: str = path) -> None:
            assert (await filled.get(path)).json["total"], path

        await _require_indexes(filled, found(), 2)


async def test_a_search_reads_no_row_of_a_report_but_its_index(filled: Publishing) -> None:
    """Rows are wide: whatever is selected and however it is sorted, the narrow entries of an index say enough."""
    for query in ("", "_sort=-_lastUpdated", "stage=final&_sort=date", "period=ge1950&kind=performance",
                  "_sort=-period", f"contract={contract_url('c3')}"):  # fmt: skip

        async def found(query: str = query) -> None:
            assert await filled.ids(query)

        for statement, plan in await plans(filled.database, found()):
            if "FROM report" in statement and filled.database.is_sqlite:
                used = [
                    line for line in plan.splitlines() if re.search(r"(SCAN|SEARCH) report(_\d)?\b", line)
                ]
                assert used
                assert all("COVERING INDEX" in line for line in used), f"{query}: {plan}"


ALONG = {
    "stage=final": "report_search",
    "stage=final&kind=performance&_sort=-_lastUpdated": "report_last_updated",
    "period=ge1950&kind=performance&_sort=-date": "report_date",
    "period=ge1950&_sort=-period": "report_period",
    "_lastUpdated=gt2020&_lastUpdated=lt2099&_sort=period": "report_period",
    "date=ge2026-01&_sort=-_lastUpdated": "report_last_updated",
    "status=complete&stage=final&_sort=-_lastUpdated": "report_last_updated",
    "contract:below=https://payer.example/&_sort=date": "report_date",
    "service-period=ge1900&_sort=date": "report_date",
    "paid-through=le2099&_sort=-date": "report_date",
    "metric-score=weighted-avg-star$gt0&period=ge1950&_sort=-_lastUpdated": "report_last_updated",
}
"""Searches that find much, and the index of the order that a page of them is taken from."""


@pytest.mark.parametrize("query", ALONG)
async def test_a_page_of_much_is_taken_from_the_order(
    filled: Publishing, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Nothing is sorted, and what is looked up of a report is looked up by its id or its set."""
    monkeypatch.setattr(search, "_FEW", 0)  # as if there were as many reports as there will be

    async def page() -> None:
        assert await filled.ids(f"{query}&_count=5")

    found = await plans(filled.database, page())
    pages = [plan for statement, plan in found if statement.startswith("SELECT report.id")]
    assert pages
    plan = "\n".join(pages)
    lookups = [line for line in plan.splitlines() if re.search(r"\b(date|score|shared)_facet_\d", line)]
    if filled.database.is_sqlite:
        assert f"COVERING INDEX {ALONG[query]}" in plan
        assert "TEMP B-TREE" not in plan
        assert all("COVERING INDEX" in line for line in lookups), plan
        assert all(re.search(r"\((report_id|facet_set)=\?", line) for line in lookups), plan
    else:
        assert f"using {ALONG[query]} " in plan or "Sort" in plan  # so few are sorted as soon
    assert not walks(plan, GROWING)


@pytest.mark.parametrize(
    "query", ["stage=final", "stage:not=final,settled", "kind=performance&stage=withdrawn"]
)
async def test_reports_of_a_stage_are_counted_by_a_narrow_index(filled: Publishing, query: str) -> None:
    async def page() -> None:
        await filled.ids(query)

    counts = [
        plan
        for statement, plan in await plans(filled.database, page())
        if "count(*)" in statement and "FROM report AS" in statement
    ]
    assert counts
    assert all("report_code" in plan for plan in counts)


async def test_the_generations_of_a_report_and_its_predecessor(filled: Publishing) -> None:
    async def told() -> None:
        settled = performance(
            "settled",
            "settled",
            measure=contract_url("c1"),
            period={"start": "1901-01-01", "end": "1901-12-31"},
        )
        assert (await filled.put(settled)).status == 201
        assert (await filled.get("/MeasureReport/settled/$lineage")).status == 200
        asked = (
            f"contract={contract_url('c1')}&provider=Organization/provider&start=1901-01-01&end=1901-12-31"
        )
        found = await filled.get(f"/MeasureReport/$lineage?{asked}")
        assert '"predecessor"' in found.text

    await _require_indexes(filled, told(), 8)
