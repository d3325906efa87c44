"""Searches end to end: what is found, in pages, and that SQL means what matching means."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from schemas.fhir import METRIC_SYSTEM, THRESHOLD_TYPE_SYSTEM
from schemas.search.grammar import parse_search
from schemas.search.predicate import compile_terms
from services.publisher.store import search
from services.publisher.store.tables import report as report_table
from tests.publishing import (
    BASE,
    Publishing,
    Resource,
    contract,
    contract_url,
    performance,
    quality,
    served,
    subject,
)

QUERIES = (
    "", "status=complete", "status=pending,error", "status:not=complete", "status=http://x|complete",
    f"contract={contract_url()}", f"contract={contract_url()},{contract_url('two')}", "contract=urn:none",
    "stage=settled", "stage:not=settled", "kind=quality", "kind=performance&stage=final",
    "provider=Organization/provider", f"provider={BASE}/Organization/provider", "provider=other-provider",
    "provider:missing=true", "contract:missing=true", "subject:missing=true", "identifier:missing=false",
    "provider-identifier=1000000002", "provider-identifier=http://hl7.org/fhir/sid/us-npi|1000000003",
    "provider-identifier=|1000000002", "provider:identifier=1000000002", "payer:identifier=1000000001", "provider-identifier=http://hl7.org/fhir/sid/us-npi|",
    "reporter=Organization/payer", "reporter:Organization=payer", "payer=Organization/payer",
    "measure=https://measures.example/Measure/eyes", "measure=https://measures.example/Measure/eyes|2.1",
    "measure=https://measures.example/Measure/eyes|2", "measure:below=https://measures.example/Measure/eyes|2",
    "quality-measure=https://measures.example/Measure/eyes", "lob=1", "lob=https://nahdo.org/sopt|1",
    "period=2025", "period=ne2025", "period=gt2025-06-30", "period=lt2025-02", "period=ge2025-12-31",
    "period=le2025-01-01", "period=sa2025-03", "period=eb2025-07-01", "period=ap2025-04-01",
    "date=2026-02", "date=gt2026-02-03", "date=2026-02-03,2026-03-01", "_id=half,eyes", "_id:not=half",
    "metric=weighted-avg-star", "metric-score=weighted-avg-star$lt3.5", "metric-score=weighted-avg-star$ge3.50",
    "metric-score=weighted-avg-star$3.5", "metric-score=weighted-avg-star$eq3", "metric-score=weighted-avg-star$ne3",
    "metric-score=weighted-avg-star$-0.5", "metric-score=weighted-avg-star$gt-1", "metric-score=weighted-avg-star$ap3.3",
    "metric-score=other$gt0", "category=vbp", "measurereport-category=vbp", "evaluated-resource=MeasureReport/eyes",
    "subject-organization=Organization/provider", "_profile=http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/vbp-quality-measurereport",
    "_tag=settled", "_lastUpdated=gt2020-01-01", "_lastUpdated=lt2020-01-01", "_source:missing=true",
    "stage=final,interim", "stage:not=final,interim&kind:not=quality", "status:not=http://x|complete", "stage=x|",
    "status:not=complete&stage=interim", "stage:not=https://vbpr-subscriptions.org/fhir/CodeSystem/report-stage|",
    "_lastUpdated=gt2020-01-01&_lastUpdated=lt2099&kind=quality", "period=2025&stage=final",
    "contract:below=https://payer.example/", "metric-score=weighted-avg-star$gt1&stage=final&status=complete",
    "paid-through=ge2020", "service-period=ge2024-06&kind=performance", "paid-through:missing=true",
    "service-period=le2024-01-31", "paid-through=2024-12-31&service-period=2024",
    "threshold-gap=star-4$le0", "threshold-gap=star-4$gt0", "threshold-gap=star-4$2.50", "threshold-gap=star-4$ne2.5",
    f"threshold-gap={THRESHOLD_TYPE_SYSTEM}|star-4$le3", f"threshold-gap={THRESHOLD_TYPE_SYSTEM}|$lt3",
    "threshold-gap=star-4$gt2||%25", "threshold-gap=star-5$lt9", "threshold-gap=star-4$le0,star-4$ge2.5&kind=quality",
    "threshold-gap=weighted-avg-star$gt-9", f"threshold-gap={METRIC_SYSTEM}|$gt-9", "threshold-gap=|star-4$gt-9",
    "metric-score=star-4$gt-9", f"metric-score={THRESHOLD_TYPE_SYSTEM}|$gt-9", f"metric-score={METRIC_SYSTEM}|$gt-9",
    r"metric-score=%20threshold-gap\%7Cstar-4$gt-9", r"threshold-gap=%20threshold-gap\%7Cstar-4$gt-9",
    "identifier=urn:reports|42", "identifier=42", "identifier=urn:reports|", "identifier=urn:reports|4%2C2",
)  # fmt: skip


@pytest.fixture
async def filled(publisher: Publishing) -> Publishing:
    """A publisher with reports that differ in everything that is asked above."""
    half = {"start": "2025-01-01", "end": "2025-06-30"}
    identifier = [{"system": "urn:reports", "value": "42"}, {"value": "no system"}]
    later = {"start": "2025-07-01", "end": "2026-06-30"}
    reports = (
        performance("report", "settled", score=3.5, lists=["eyes"], identifier=identifier),
        quality("eyes", "final", gap=2.5),
        quality("waiting", gap=-1, status="pending", period={"start": "2024-01-01", "end": "2025-12-31"}),
        served(
            performance("half", "interim", score=2, period=half, date="2026-03-01"),
            *("2024-02-01", "2024-06-30", "2024-12-31"),
        ),
        performance("theirs", score=-0.5, subject=subject("Organization/other-provider"), status="pending"),
        performance("second", score=3, measure=contract_url("two"), period=later),
    )
    assert (await publisher.put(contract("two"))).status == 201
    for report in reports:
        answer = await publisher.put(report)
        assert answer.status == 201, answer.text
    return publisher


async def test_search_finds_what_matching_would_match(filled: Publishing) -> None:
    """One grammar, two evaluations: the SQL of search and the functions of matching agree on every query."""
    async with filled.database.read() as tx:
        rows = list(await tx.exec_driver_sql("SELECT id, facets FROM report"))
    facets = {row.id: json.loads(row.facets) for row in rows}
    now = datetime.now(UTC)  # noqa: TID251  # only `ap` looks at it, and by a tenth of a year
    found_any, found_all = 0, 0
    for query in QUERIES:
        asked = parse_search(query, base_url=BASE, lenient=False)
        test = compile_terms(asked.query.terms)
        expected = {id_ for id_, values in facets.items() if test(values, now)}
        assert set(await filled.ids(query)) == expected, query
        found_any += bool(expected)
        found_all += len(expected) == len(facets)
    assert found_any > 40
    assert found_all < 15


WAYS = {"from what a term finds": {}, "along the order": {"_FEW": 0},
        "along the order and then from a term": {"_FEW": 0, "_WALKED": 2}}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_to_a_page_shows_the_same(
    filled: Publishing, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """However many reports there are and wherever they stand: here there are so few that one way would do for all."""
    by = {each["id"]: each for each in (await _all(filled, ""))}
    keys = {
        "": lambda each: each["id"],
        "_sort=-_lastUpdated": lambda each: each["meta"]["lastUpdated"],
        "_sort=period": lambda each: (each["period"]["start"], each["id"]),
    }
    expected = {query: set(await filled.ids(query)) for query in QUERIES}
    for name, most in WAYS[way].items():
        monkeypatch.setattr(search, name, most)
    for query in QUERIES:
        for sort, key in keys.items():
            found = [each["id"] for each in await _all(filled, "&".join(filter(None, (query, sort))))]
            there = sorted((by[id_] for id_ in expected[query]), key=key, reverse="-" in sort)
            assert found == [each["id"] for each in there], (query, sort)


async def _all(publisher: Publishing, query: str) -> list[Resource]:
    """Return what a search finds, two by two."""
    out: list[Resource] = []
    url = f"{BASE}/MeasureReport?{query}&_count=2"
    while url:
        page = (await publisher.get(url.removeprefix(BASE))).json
        out += [entry["resource"] for entry in page.get("entry", ())]
        assert page.get("total", len(out)) >= len(out)
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    return out


async def test_a_gap_is_filed_behind_a_version_of_before_gaps_were_read(filled: Publishing) -> None:
    """While an upgrade goes on, a process of before stores a report without its gap, and leaves the entry of it."""
    async with filled.database.write() as tx:
        row = (await tx.execute(sa.select(report_table.c.facets).where(report_table.c.id == "eyes"))).one()
        facets = {name: values for name, values in json.loads(row.facets).items() if name != "threshold-gap"}
        await tx.execute(
            sa.update(report_table).where(report_table.c.id == "eyes").values(facets=json.dumps(facets))
        )
    answer = await filled.put(quality("eyes", "final", gap=2.5, score=0.7))
    assert answer.status == 200, answer.text
    assert await filled.ids("threshold-gap=star-4$2.5") == ["eyes"]
    assert (await filled.put(quality("eyes", "final", gap=0))).status == 200
    assert await filled.ids("threshold-gap=star-4$2.5") == []
    assert await filled.ids("threshold-gap=star-4$0") == ["eyes"]


async def test_what_the_facets_of_a_query_mean_to_a_user(filled: Publishing) -> None:
    assert await filled.ids("stage=settled") == ["report"]
    assert await filled.ids("metric-score=weighted-avg-star$lt3") == ["half", "theirs"]
    assert await filled.ids("threshold-gap=star-4$le0") == ["waiting"]
    assert await filled.ids("threshold-gap=star-4$gt0") == ["eyes"]
    assert await filled.ids("metric-score=star-4$gt-9") == []
    assert await filled.ids(f"contract={contract_url()}&kind=quality") == ["eyes"]
    assert await filled.ids("provider-identifier=1000000003") == ["theirs"]
    assert await filled.ids("provider:identifier=http://hl7.org/fhir/sid/us-npi|1000000003") == ["theirs"]
    assert await filled.ids("period=eb2025-07-01") == ["half"]


async def test_pages_show_everything_once(filled: Publishing) -> None:
    seen: list[str] = []
    url = f"{BASE}/MeasureReport?status=complete,pending&_count=2&_sort=-_lastUpdated"
    pages = 0
    while url:
        path = url.removeprefix(BASE)
        page = (await filled.get(path)).json
        assert page["total"] == 6
        seen += [entry["resource"]["id"] for entry in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        assert "_cursor" not in links["self"]
        url = links.get("next", "")
        pages += 1
    assert pages == 3
    assert seen == ["second", "theirs", "half", "waiting", "eyes", "report"]


async def test_a_report_stored_between_two_pages_neither_repeats_nor_hides_one(filled: Publishing) -> None:
    page = (await filled.get("/MeasureReport?_count=3")).json
    for report in (
        performance("a-new-one", period={"start": "2020-01-01", "end": "2020-12-31"}),
        performance("half", "interim", score=2.5, period={"start": "2025-01-01", "end": "2025-06-30"}),
        performance("theirs", score=7, subject=subject("Organization/other-provider")),
    ):
        assert (await filled.put(report)).status in {200, 201}
    following = next(link["url"] for link in page["link"] if link["relation"] == "next")
    rest = (await filled.get(following.removeprefix(BASE))).json
    ids = [entry["resource"]["id"] for each in (page, rest) for entry in each["entry"]]
    assert ids == ["eyes", "half", "report", "second", "theirs", "waiting"]


async def test_post_search_is_the_same_search(filled: Publishing) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    answer = await filled.send(
        "POST", "/MeasureReport/_search?kind=performance", b"stage=settled&_count=1", **form
    )
    assert [entry["resource"]["id"] for entry in answer.json["entry"]] == ["report"]
    refused = await filled.send("POST", "/MeasureReport/_search", b"{}")
    assert refused.status == 415


async def test_lenient_searches_say_what_they_ignored(filled: Publishing) -> None:
    answer = await filled.get("/MeasureReport?nonsense=1&stage=settled&_include=x", Prefer="handling=lenient")
    entries = answer.json["entry"]
    assert [entry["search"]["mode"] for entry in entries] == ["match", "outcome"]
    assert answer.json["link"][0]["url"] == f"{BASE}/MeasureReport?stage=settled"
    assert "nonsense" in answer.text
    assert "_include" in answer.text
    assert (await filled.get("/MeasureReport?nonsense=1", Prefer="handling=strict")).status == 400


async def test_only_the_number_is_counted_when_that_is_asked(filled: Publishing) -> None:
    for query in ("_summary=count", "_count=0"):
        page = (await filled.get(f"/MeasureReport?{query}")).json
        assert page["total"] == 6
        assert "entry" not in page


async def test_contracts_and_parties_are_found_by_what_they_are_known_by(filled: Publishing) -> None:
    for query, ids in (
        (f"Measure?url={contract_url()}", ["contract-one"]),
        ("Measure?identifier=https://payer.example/contracts|two", ["contract-two"]),
        ("Measure?_id=contract-one,contract-two", ["contract-one", "contract-two"]),
        ("Organization?identifier=1000000002", ["provider"]),
        ("Organization?identifier=|1000000002", []),
        ("Organization?identifier=http://hl7.org/fhir/sid/us-npi|", ["other-provider", "payer", "provider"]),
    ):
        page = (await filled.get(f"/{query}")).json
        assert [entry["resource"]["id"] for entry in page.get("entry", [])] == ids, query
    assert (await filled.get("/Organization?nonsense=x")).status == 400


async def test_many_searches_at_once(filled: Publishing) -> None:
    found = await asyncio.gather(*(filled.ids("stage=settled") for _ in range(30)))
    assert found == [["report"]] * 30
