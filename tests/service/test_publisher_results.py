"""What a search shows of what it finds: order, pages, parts, what comes along, and how the answer is sent."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.publishing import (
    BASE,
    Answer,
    Publishing,
    Resource,
    bundle,
    contract,
    contract_url,
    get_entry,
    group,
    performance,
    put_entry,
    quality,
    subject,
)

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


def _year(number: int) -> Resource:
    return {"start": f"{number}-01-01", "end": f"{number}-12-31"}


@pytest.fixture
async def filled(publisher: Publishing) -> Publishing:
    """Five reports, whose ids, periods and dates have orders of their own."""
    assert (await publisher.put(group("members", "Organization/provider"))).status == 201
    assert (await publisher.put(contract("two"))).status == 201
    of_group = {"reference": "Group/members"}
    for report in (
        performance("d", "settled", period=_year(2021), date="2026-03-01", lists=["b"], subject=of_group),
        quality("b", period=_year(2021), date="2026-01-05"),
        performance("a", period=_year(2023), date="2026-01-05"),
        performance("c", period=_year(2022), date="2026-04-01"),
        performance("e", period=_year(2023), measure=contract_url("two"), date="2026-02-01T10:00:00Z"),
    ):
        answer = await publisher.put(report)
        assert answer.status == 201, answer.text
    return publisher


async def everything(publisher: Publishing, path: str) -> list[str]:
    """Follow the links to the end; return the ids of the matches."""
    found: list[str] = []
    while path:
        page = (await publisher.get(path)).json
        found += ids(page, "match")
        path = link(page, "next").removeprefix(BASE)
    return found


def ids(page: Resource, mode: str) -> list[str]:
    return [each["resource"]["id"] for each in page.get("entry", ()) if each["search"]["mode"] == mode]


def link(page: Resource, relation: str) -> str:
    return next((each["url"] for each in page["link"] if each["relation"] == relation), "")


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("", "abcde"),
        ("_sort=-_id", "edcba"),
        ("_sort=_lastUpdated", "dbace"),
        ("_sort=-_lastUpdated", "ecabd"),
        ("_sort=date", "abedc"),
        ("_sort=-date", "cdeba"),
        ("_sort=period,date", "bdcae"),
        ("_sort=-period,date", "aecbd"),
        ("_sort=-period,-date,_id", "eacdb"),
    ],
)
async def test_pages_of_any_size_show_everything_once_and_in_order(
    filled: Publishing, sort: str, expected: str
) -> None:
    for count in (1, 2, 50):
        for query in ("", "status=complete", "kind=performance,quality&period=ge2021"):
            path = f"/MeasureReport?{query}&{sort}&_count={count}"
            assert "".join(await everything(filled, path)) == expected, path


async def test_parties_and_contracts_are_sorted_by_any_parameter(filled: Publishing) -> None:
    for query, expected in (
        ("Organization?_sort=-name", ["provider", "payer", "other-provider"]),
        ("Organization?_sort=identifier", ["payer", "provider", "other-provider"]),
        ("Organization?_sort=-_lastUpdated", ["other-provider", "provider", "payer"]),
        ("Measure?_sort=-effective,url", ["contract-one", "contract-two"]),
    ):
        for count in (1, 50):
            assert await everything(filled, f"/{query}&_count={count}") == expected, query


@pytest.mark.parametrize(
    "wrong",
    [
        "_sort=status", "_sort=date,date", "_sort=-", "_count=-1", "_count=x", "_summary=maybe", "_elements=nonsense",
        "_total=some", "_include=nonsense", "_include=MeasureReport:nonsense", "_include:twice=MeasureReport:measure",
        "_include=MeasureReport:measure:Group", "_revinclude=Patient:x", "_contained=true", "_sort:x=date",
        "_summary=text&_include=MeasureReport:measure", "nonsense=1", "status:exact=complete",
    ],
)  # fmt: skip
async def test_what_is_not_supported_is_refused_by_name_unless_the_client_is_lenient(
    filled: Publishing, wrong: str
) -> None:
    refused = await filled.get(f"/MeasureReport?_count=2&{wrong}")
    assert refused.status == 400
    assert wrong.partition("=")[0].partition(":")[0] in refused.said
    lenient = await filled.get(f"/MeasureReport?_count=2&{wrong}", Prefer="handling=lenient")
    if wrong.startswith("status:"):  # FHIR: a modifier that is not supported is always refused
        assert lenient.status == 400
        return
    assert lenient.status == 200, lenient.text
    assert "outcome" in [entry["search"]["mode"] for entry in lenient.json["entry"]]
    assert "nonsense" not in link(lenient.json, "self")


@pytest.mark.parametrize("path", ["/MeasureReport/a", "/MeasureReport/a/_history/1"])
async def test_a_read_may_ask_for_a_part(filled: Publishing, path: str) -> None:
    whole = (await filled.get(path)).json
    part = await filled.get(f"{path}?_elements=date,MeasureReport.subject&_pretty=true&_format=json")
    assert part.status == 200, part.text
    mandatory = {"resourceType", "id", "meta", "status", "type", "measure", "period"}
    assert part.json.keys() == mandatory | {"date", "subject"}
    assert part.json["meta"]["tag"][-1]["code"] == "SUBSETTED"
    assert part.headers["ETag"] == 'W/"1"'
    summary = (await filled.get(f"{path}?_summary=true")).json
    assert "extension" in whole
    assert "extension" not in summary
    assert (await filled.get(f"{path}?_summary=false")).json == whole
    entry = (await filled.send("POST", "", bundle("batch", get_entry(f"{path[1:]}?_elements=date")))).json
    assert entry["entry"][0]["resource"].keys() == mandatory | {"date"}


async def test_a_part_is_not_taken_for_the_whole(filled: Publishing) -> None:
    """An Organization that was read by its name and sent back would have lost the identifiers it is known by."""
    before = await filled.counts()
    for path in ("/Organization/payer?_elements=name", "/MeasureReport/a?_summary=data"):
        part = (await filled.get(path)).json
        refused = await filled.put(part)
        assert (refused.status, refused.issues[0][2]) == (422, f"{part['resourceType']}.meta.tag[0]")
        judged = await filled.send("POST", f"/{part['resourceType']}/$validate", part)
        assert ("error", "business-rule", f"{part['resourceType']}.meta.tag[0]") in judged.issues
        entry = (await filled.send("POST", "", bundle("batch", put_entry(part)))).json["entry"][0]
        assert entry["response"]["status"][:3] == "422"
    assert await filled.counts() == before


UNKNOWN = [
    ("GET", "/MeasureReport/a", None),
    ("GET", "/MeasureReport/a/_history/1", None),
    ("GET", "/MeasureReport/a/_history", None),
    ("GET", "/MeasureReport/a/$lineage", None),
    ("GET", "/MeasureReport/a/$validate", None),
    ("POST", "/MeasureReport", performance()),
    ("PUT", "/MeasureReport/report", performance()),
    ("DELETE", "/MeasureReport/a", None),
    ("POST", "", bundle("batch", get_entry("Organization/payer"))),
]


@pytest.mark.parametrize(("method", "path", "body"), UNKNOWN)
async def test_every_request_names_the_parameters_it_does_not_know(
    filled: Publishing, method: str, path: str, body: Resource | None
) -> None:
    before = await filled.counts()
    for prefer in ({}, {"Prefer": "handling=strict"}):
        refused = await filled.send(method, f"{path}?identifier=urn:x|1&colour=red", body, **prefer)
        assert refused.status == 400, refused.text
        assert "colour is no" in refused.said
        assert "identifier is no" in refused.said
    assert await filled.counts() == before
    lenient = await filled.send(method, f"{path}?colour=red", body, Prefer="return=minimal, handling=lenient")
    assert lenient.status < 300, lenient.text
    assert "colour" not in lenient.text


@pytest.mark.parametrize(("method", "path", "body"), UNKNOWN)
async def test_no_request_is_answered_in_xml(
    filled: Publishing, method: str, path: str, body: Resource | None
) -> None:
    for wanted in ("xml", "application/fhir%2Bxml", "text/xml"):
        answer = await filled.send(method, f"{path}?_format={wanted}", body)
        assert (answer.status, answer.json["resourceType"]) == (406, "OperationOutcome")


async def test_nor_is_an_entry_or_a_form(filled: Publishing) -> None:
    asked = (
        "MeasureReport/a",
        "MeasureReport/a/_history/1",
        "MeasureReport/a/_history",
        "MeasureReport?status=complete",
    )
    entries = [
        get_entry(f"{each}{'&' if '?' in each else '?'}_format={format_}")
        for each in asked
        for format_ in ("xml", "json")
    ]
    answer = await filled.send("POST", "", bundle("batch", *entries))
    said = [entry["response"]["status"][:3] for entry in answer.json["entry"]]
    assert said == ["406", "200"] * len(asked)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await filled.send("POST", "/MeasureReport/_search", b"_format=text/turtle", **form)
    assert answer.status == 406


async def test_the_links_of_a_long_search_can_be_followed(filled: Publishing) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    others = ",".join(f"{number:064}" for number in range(250))
    long = f"_count=3&_id=a,b,c,d,{others}&_id:not={others}&identifier:not={others}"[: 48 * 1024]
    page = await filled.send("POST", "/MeasureReport/_search", long.encode(), **form)
    assert page.status == 200, page.text
    following = link(page.json, "next")
    assert len(following) > 47 * 1024
    rest = await filled.get(following.removeprefix(BASE))
    assert ids(page.json, "match") + ids(rest.json, "match") == ["a", "b", "c", "d"]
    too_long = await filled.send("POST", "/MeasureReport/_search", b"_id=" + b"a" * 50_000, **form)
    assert (too_long.status, too_long.issues[0][1]) == (413, "too-long")


async def test_a_cursor_goes_with_its_own_search_only(filled: Publishing) -> None:
    page = (await filled.get("/MeasureReport?_count=2&status=complete")).json
    following = link(page, "next").removeprefix(BASE)
    cursor = following.rpartition("=")[2]
    for path in (
        f"/MeasureReport?_count=2&status=pending&_cursor={cursor}",
        f"/MeasureReport?_count=2&status=complete&_sort=date&_cursor={cursor}",
        f"/MeasureReport?_count=2&status=complete&_cursor={cursor[:-3]}",
        f"/MeasureReport?_count=2&status=complete&_cursor=x{cursor[1:]}",
        "/MeasureReport?_count=2&status=complete&_cursor=",
        "/MeasureReport?_count=2&status=complete&_cursor=%00%F0",
    ):
        refused = await filled.get(path)
        assert refused.status == 400, path
        assert "next link" in refused.said
    assert (await filled.get(following)).status == 200


async def test_the_total_is_what_was_asked_for(filled: Publishing) -> None:
    assert (await filled.get("/MeasureReport?_count=1&_total=accurate")).json["total"] == 5
    assert (await filled.get("/MeasureReport?_count=1&_total=estimate&stage=final")).json["total"] == 4
    assert "total" not in (await filled.get("/MeasureReport?_total=none")).json
    counted = (await filled.get("/MeasureReport?_summary=count&_include=MeasureReport:measure")).json
    assert counted["total"] == 5
    assert "entry" not in counted
    assert link(counted, "self").endswith("?_summary=count&_include=MeasureReport:measure")


async def only(publisher: Publishing, query: str) -> Resource:
    (entry,) = (await publisher.get(f"/MeasureReport?_id=d&{query}")).json["entry"]
    resource: Resource = entry["resource"]
    return resource


async def test_a_part_of_a_report_says_that_it_is_a_part(filled: Publishing) -> None:
    whole = await only(filled, "_summary=false")
    assert "tag" not in whole["meta"] or SUBSETTED not in whole["meta"]["tag"]
    summary = await only(filled, "_summary=true")
    assert SUBSETTED in summary["meta"]["tag"]
    assert summary["meta"]["versionId"] == "1"
    assert "evaluatedResource" not in summary
    assert summary["group"] == [
        {"id": "stars", "code": whole["group"][0]["code"], "measureScore": {"value": 3}}
    ]
    data = await only(filled, "_summary=data")
    assert data["group"] == whole["group"]
    text = await only(filled, "_summary=text")
    assert {"status", "measure", "period", "type"} <= set(text)
    assert not {"group", "subject", "date"} & set(text)
    picked = await only(filled, "_elements=date,subject")
    assert set(picked) == {
        "resourceType", "id", "meta", "status", "type", "measure", "period", "date", "subject"
    }  # fmt: skip
    assert SUBSETTED in picked["meta"]["tag"]


async def test_a_part_keeps_the_digits_that_were_sent(publisher: Publishing) -> None:
    sent = json.dumps(performance("digits")).replace('"value": 3', '"value": 3.5000').encode()
    assert b"3.5000" in sent
    assert (await publisher.send("PUT", "/MeasureReport/digits", sent)).status == 201
    for query in ("_elements=group", "_summary=true", "_summary=data"):
        assert "3.5000" in (await publisher.get(f"/MeasureReport?{query}")).text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("_include=MeasureReport:evaluated-resource", {"MeasureReport/b"}),
        ("_include=MeasureReport:evaluatedResource", {"MeasureReport/b"}),
        ("_include=MeasureReport:measure", {"Measure/contract-one"}),
        ("_include=MeasureReport:reporter", {"Organization/payer"}),
        ("_include=MeasureReport:subject", {"Group/members"}),
        ("_include=MeasureReport:subject:Patient", set()),
        ("_include=MeasureReport:provider&_include=MeasureReport:payer", {"Organization/payer", "Organization/provider"}),
        (
            "_include=MeasureReport:subject&_include:iterate=Group:managing-entity",
            {"Group/members", "Organization/provider"},
        ),
        ("_include=MeasureReport:subject&_include=Group:managing-entity", {"Group/members"}),
        ("_revinclude=MeasureReport:evaluated-resource", set()),
        (
            "_include=*",
            {"MeasureReport/b", "Measure/contract-one", "Organization/payer", "Group/members", "Organization/provider"},
        ),
    ],
)  # fmt: skip
async def test_what_a_report_refers_to_comes_along(
    filled: Publishing, query: str, expected: set[str]
) -> None:
    page = (await filled.get(f"/MeasureReport?_id=d&{query}")).json
    assert page["total"] == 1
    assert ids(page, "match") == ["d"]
    along = [each for each in page["entry"] if each["search"]["mode"] == "include"]
    found = [f"{each['resource']['resourceType']}/{each['resource']['id']}" for each in along]
    assert set(found) == expected
    assert len(found) == len(expected)
    assert {each["fullUrl"] for each in along} == {f"{BASE}/{each}" for each in expected}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Measure?url=" + contract_url() + "&_revinclude=MeasureReport:measure", "acd"),
        ("Measure?_id=contract-two&_revinclude=MeasureReport:measure", "e"),
        ("Organization?_id=payer&_revinclude=MeasureReport:reporter", "abcde"),
        ("Group?_id=members&_revinclude=MeasureReport:subject", "d"),
        ("MeasureReport?_id=b&_revinclude=MeasureReport:evaluated-resource", "d"),
        ("Group?_id=members&_revinclude=MeasureReport:reporter", ""),
    ],
)
async def test_what_refers_to_it_comes_along(filled: Publishing, query: str, expected: str) -> None:
    page = (await filled.get(f"/{query}")).json
    assert len(ids(page, "match")) == 1
    assert "".join(sorted(ids(page, "include"))) == expected


async def test_the_manager_of_a_group_brings_its_groups(filled: Publishing) -> None:
    page = (await filled.get("/Organization?name=PROV&_revinclude=Group:managing-entity")).json
    assert (ids(page, "match"), ids(page, "include")) == (["provider"], ["members"])


async def test_only_json_is_served(filled: Publishing) -> None:
    for path, accept in (("/MeasureReport?_format=xml", "*/*"), ("/MeasureReport", "application/fhir+xml")):
        refused = await filled.get(path, Accept=accept)
        assert refused.status == 406
        assert refused.json["resourceType"] == "OperationOutcome"
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert (await filled.send("POST", "/MeasureReport/_search", b"_format=xml", **form)).status == 406
    for path in ("?_format=json", "?_format=application/fhir%2Bjson", "?_format=application/json"):
        assert (await filled.get(f"/MeasureReport{path}", Accept="text/html")).status == 200


async def test_an_answer_is_compressed_for_who_takes_it(filled: Publishing) -> None:
    url = "/fhir/MeasureReport"
    plain = await (await filled.client.get(url, headers={"Accept-Encoding": "identity"})).read()
    async with filled.client.get(url, headers={"Accept-Encoding": "gzip"}) as got:
        assert got.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in got.headers["Vary"]
        read: Any = json.loads(await got.read())
    assert read["entry"] == json.loads(plain)["entry"]
    sent = gzip.compress(json.dumps(performance("packed")).encode())
    stored = await filled.send("PUT", "/MeasureReport/packed", sent, Content_Encoding="gzip")
    assert stored.status == 201, stored.text


async def test_a_form_and_a_link_ask_alike(filled: Publishing) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    answer: Answer = await filled.send(
        "POST", "/Organization/_search", b"name=pro&_sort=-_id&_elements=name", **form
    )
    assert ids(answer.json, "match") == ["provider"]
    assert link(answer.json, "self") == f"{BASE}/Organization?name=pro&_sort=-_id&_elements=name"


async def test_a_search_in_a_bundle_is_the_same_search(filled: Publishing) -> None:
    asked = {
        "request": {
            "method": "GET",
            "url": "MeasureReport?_sort=-_id&_count=2&_include=MeasureReport:subject",
        }
    }
    answer = await filled.send("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": [asked]})
    (entry,) = answer.json["entry"]
    assert ids(entry["resource"], "match") == ["e", "d"]
    assert ids(entry["resource"], "include") == ["members"]


async def test_a_report_stored_while_pages_are_read_neither_repeats_nor_hides_one(filled: Publishing) -> None:
    for sort in ("_sort=-period", "_sort=_lastUpdated", "_sort=-date", ""):
        page = (await filled.get(f"/MeasureReport?_count=2&{sort}")).json
        late = performance(
            f"late-{len(sort)}", period=_year(2000 + len(sort)), subject=subject("Organization/provider")
        )
        assert (await filled.put(late)).status == 201
        rest = await everything(filled, link(page, "next").removeprefix(BASE))
        seen = [each for each in ids(page, "match") + rest if not each.startswith("late")]
        assert sorted(seen) == ["a", "b", "c", "d", "e"], sort
