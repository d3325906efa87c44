"""Everything that may be wrong with what is sent: the right status, every issue in its place, nothing stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.publishing import (
    Publishing,
    bundle,
    contract,
    performance,
    post_entry,
    publishing,
    put_entry,
    quality,
    subject,
)

LARGEST = 20_000


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Publishing]:
    """A publisher that accepts small bodies only."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'publisher'}.sqlite"
    async with publishing(
        url, max_report_bytes=LARGEST, max_bundle_bytes=2 * LARGEST, max_json_depth=20
    ) as opened:
        await opened.prepare()
        yield opened


def _text(resource: Any) -> bytes:
    return json.dumps(resource).encode()


def _deep(levels: int) -> bytes:
    return b'{"resourceType":"MeasureReport","extension":' + b"[" * levels + b"]" * levels + b"}"


PUT = "/MeasureReport/report"


@dataclass(frozen=True)
class Bad:
    """One bad request and the issues it is answered with: code and expression of each."""

    name: str
    status: int
    issues: tuple[tuple[str, str | None], ...]
    body: bytes
    method: str = "PUT"
    path: str = PUT
    headers: dict[str, str] = field(default_factory=dict)


def _bundle(name: str, status: int, issues: tuple[tuple[str, str | None], ...], body: Any) -> Bad:
    return Bad(name, status, issues, _text(body), "POST", "")


BAD = (
    Bad("malformed JSON", 400, (("invalid", None),), b'{"resourceType": "MeasureReport",'),
    Bad("not UTF-8", 400, (("invalid", None),), b'{"resourceType": "\xff"}'),
    Bad("NaN", 400, (("invalid", None),), b'{"resourceType": "MeasureReport", "x": NaN}'),
    Bad("an array", 400, (("invalid", None),), b"[]"),
    Bad("empty body", 400, (("invalid", None),), b""),
    Bad(
        "duplicate key",
        400,
        (("structure", None),),
        _text(performance()).replace(b'"status":', b'"status": "pending", "status":'),
    ),
    Bad("too deep", 400, (("too-costly", None),), _deep(30)),
    Bad("far too deep", 400, (("too-costly", None),), _deep(5_000)),
    Bad(
        "wrong type for the URL",
        400,
        (("invalid", "Resource.resourceType"),),
        _text({**performance(), "resourceType": "Measure"}),
    ),
    Bad(
        "no resourceType",
        400,
        (("invalid", "Resource.resourceType"),),
        _text(performance(resourceType=None)),
    ),
    Bad("another id", 400, (("invalid", "MeasureReport.id"),), _text(performance("other"))),
    Bad("no id", 400, (("invalid", "MeasureReport.id"),), _text(performance(id=None))),
    Bad("bad id in the URL", 400, (("value", None),), _text(performance()), path="/MeasureReport/a_b"),
    Bad(
        "missing elements",
        400,
        (("required", "MeasureReport.status"), ("required", "MeasureReport.period")),
        _text(performance(status=None, period=None)),
    ),
    Bad(
        "number as a string",
        400,
        (("structure", "MeasureReport.group[0].measureScore.value"),),
        _text(performance(score="3.5")),
    ),
    Bad("unknown contract", 422, (("not-found", "MeasureReport.measure"),), _text(performance(measure="urn:x:y"))),
    Bad(
        "neither kind of report",
        422,
        (("business-rule", "MeasureReport.meta.profile"),),
        _text(performance(meta=None, extension=None)),
    ),
    Bad(
        "two things that cannot be filed",
        422,
        (("not-found", "MeasureReport.measure"), ("code-invalid", "MeasureReport.meta.tag[0].code")),
        _text(performance(measure="https://payer.example/Measure/none", stage="settling")),
    ),
    Bad(
        "oversize body",
        413,
        (("too-long", None),),
        _text(performance(text={"status": "additional", "div": "x" * LARGEST})),
    ),
    Bad(
        "not JSON by its type",
        415,
        (("not-supported", None),),
        b"<MeasureReport/>",
        headers={"Content_Type": "application/fhir+xml"},
    ),
    Bad("If-Match that is no version", 400, (("value", None),), _text(performance()), headers={"If_Match": "x"}),
    Bad("stale If-Match", 412, (("conflict", "MeasureReport.meta.versionId"),), _text(performance()),
        headers={"If_Match": 'W/"7"'}),
    Bad(
        "If-None-Exist that selects nothing",
        400,
        (("value", None),),
        _text(performance()),
        "POST",
        "/MeasureReport",
        {"If_None_Exist": "_format=json"},
    ),
    Bad(
        "If-None-Exist with an unknown parameter",
        400,
        (("not-supported", None),),
        _text(performance()),
        "POST",
        "/MeasureReport",
        {"If_None_Exist": "nonsense=1"},
    ),
    Bad(
        "If-None-Exist that is a whole URL",
        400,
        (("value", None),),
        _text(performance()),
        "POST",
        "/MeasureReport",
        {"If_None_Exist": "https://payer.example/fhir/MeasureReport?identifier=urn:reports|42"},
    ),
    Bad("conditional update by an unknown parameter", 400, (("not-supported", None),), _text(performance()),
        path="/MeasureReport?nonsense=1"),
    Bad("conditional deletion by an unknown parameter", 400, (("not-supported", None),), b"", "DELETE",
        "/MeasureReport?nonsense=1"),
    Bad("a period that ends before it starts", 422, (("invariant", "MeasureReport.period"),),
        _text(performance(period={"start": "2019-06-01", "end": "2019-01-01"}))),
    Bad("a quality report whose period ends before it starts", 422, (("invariant", "MeasureReport.period"),),
        _text(quality(period={"start": "2019-06-01", "end": "2019-01-01"})), path="/MeasureReport/eyes"),
    Bad("a period with one end", 422, (("required", "MeasureReport.period"),),
        _text(performance(period={"start": "2019-06-01"}))),
    Bad("a period that is said to be absent", 422, (("required", "MeasureReport.period"),),
        _text(performance(period={"extension": [{
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}))),
    Bad("unknown type", 404, (("not-found", None),), b'{"resourceType":"Patient"}', "POST", "/Patient"),
    Bad("a method that is not served", 405, (("not-supported", None),), b"{}", "POST", "/Organization/payer"),
    Bad("a contract without url", 422, (("required", "Measure.url"),), _text(contract("two", url=None)),
        path="/Measure/contract-two"),
    _bundle("not a Bundle", 400, (("invalid", "Resource.resourceType"),), performance()),
    _bundle("a Bundle of another type", 400, (("value", "Bundle.type"),), bundle("collection")),
    _bundle("entry without request", 400, (("required", "Bundle.entry[0].request"),),
            bundle("transaction", {"resource": performance()})),
    _bundle("entry that is no object", 400, (("structure", "Bundle.entry[0]"),), {**bundle("transaction"), "entry": ["x"]}),
    _bundle(
        "a Subscription in a transaction",
        422,
        (("not-supported", "Bundle.entry[0].request.url"),),
        bundle("transaction", {"resource": {"resourceType": "Subscription"},
                               "request": {"method": "POST", "url": "Subscription"}}),
    ),
    _bundle(
        "every bad entry of a transaction",
        400,
        (
            ("required", "Bundle.entry[0].resource.status"),
            ("invalid", "Bundle.entry[1].resource.id"),
            ("not-supported", "Bundle.entry[2].request.url"),
        ),
        bundle(
            "transaction",
            put_entry(performance(status=None)),
            {"resource": quality(), "request": {"method": "PUT", "url": "MeasureReport/other"}},
            {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}},
        ),
    ),
    _bundle(
        "reports of a transaction that cannot be filed",
        422,
        (
            ("not-found", "Bundle.entry[0].resource.measure"),
            ("not-found", "Bundle.entry[2].resource.measure"),
        ),
        bundle(
            "transaction",
            put_entry(performance("one", measure="urn:x:1")),
            put_entry(contract("two")),
            put_entry(performance("two", measure="urn:x:2")),
        ),
    ),
    _bundle(
        "a temporary reference nobody answers to",
        422,
        (("not-found", "Bundle.entry[0].resource.reporter.reference"),),
        bundle("transaction", post_entry(performance(reporter={"reference": "urn:uuid:0b5b6c5e-0000-4000-8000-000000000001"}))),
    ),
    _bundle(
        "a conditional reference that finds nothing",
        412,
        (("not-found", "Bundle.entry[0].resource.reporter.reference"),),
        bundle("transaction", post_entry(performance(reporter={"reference": "Organization?identifier=urn:no|1"}))),
    ),
    _bundle(
        "one resource twice",
        400,
        (("duplicate", "Bundle.entry[1].resource"),),
        bundle("transaction", put_entry(performance()), put_entry(performance(score=5))),
    ),
    _bundle(
        "a HEAD in a transaction",
        422,
        (("not-supported", "Bundle.entry[0].request.method"),),
        bundle("transaction", {"request": {"method": "HEAD", "url": "MeasureReport/report"}}),
    ),
    Bad("oversize Bundle", 413, (("too-long", None),), b" " * (2 * LARGEST + 1), "POST", ""),
)  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
async def test_bad_input_is_refused_and_leaves_no_trace(small: Publishing, bad: Bad) -> None:
    before = await small.counts()
    answer = await small.send(bad.method, bad.path, bad.body, **bad.headers)
    assert answer.status == bad.status, answer.text
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert answer.json["resourceType"] == "OperationOutcome"
    errors = [(code, where) for severity, code, where in answer.issues if severity == "error"]
    assert sorted(map(str, errors)) == sorted(map(str, bad.issues)), answer.text
    assert all(issue["diagnostics"] for issue in answer.json["issue"])
    assert await small.counts() == before


async def test_if_none_exist_that_is_a_whole_url_is_told_what_to_be(small: Publishing) -> None:
    url = "https://payer.example/fhir/MeasureReport?identifier=urn:reports|42"
    answer = await small.send("POST", "/MeasureReport", performance(), If_None_Exist=url)
    assert url in answer.said
    assert "expected the query alone" in answer.said


@pytest.mark.parametrize("size", [LARGEST, LARGEST + 1])
async def test_the_size_limit_is_exact(small: Publishing, size: int) -> None:
    text = _text(performance())
    padded = text + b" " * (size - len(text))
    answer = await small.send("PUT", PUT, padded)
    assert answer.status == (201 if size == LARGEST else 413)


@pytest.mark.parametrize(
    "query",
    [
        "nonsense=1",
        "status:exact=complete",
        "period=yesterday",
        "_sort=colour",
        "_count=many",
        "_include=MeasureReport:colour",
        "_cursor=bm9uc2Vuc2U",
    ],
)
async def test_a_search_that_is_not_understood_is_refused(small: Publishing, query: str) -> None:
    answer = await small.get(f"/MeasureReport?{query}")
    assert (answer.status, answer.json["resourceType"]) == (400, "OperationOutcome")
    assert query.partition("=")[0] in answer.said


async def test_a_report_of_an_organisation_that_is_not_stored_here_is_taken(small: Publishing) -> None:
    """References may point elsewhere: the literal reference is the party, its identifiers are not known."""
    elsewhere = "https://elsewhere.example/fhir/Organization/9"
    assert (await small.put(performance(subject=subject(elsewhere)))).status == 201
    (event,) = await small.emitted()
    assert event.facets["provider"] == [elsewhere]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/Patient/1", 404, "nothing is served at /fhir/Patient/1; the types and operations that are"),
        ("POST", "/MeasureReport/x/$nonsense", 404, "stand in [base]/metadata"),
        (
            "POST",
            "/MeasureReport/x",
            405,
            "POST is not served at /fhir/MeasureReport/x; expected DELETE, GET, HEAD",
        ),
    ],
)
async def test_what_is_not_served_says_where_to_look(
    publisher: Publishing, method: str, path: str, status: int, words: str
) -> None:
    answer = await publisher.send(method, path, {} if method == "POST" else None)
    assert answer.status == status
    assert words in answer.said
