"""The worked examples of FHIR R4 search on a MeasureReport, and the readings chosen where R4 leaves a choice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.dates import bounds, period_bounds
from schemas.facets import Facets, token
from schemas.fhir import STATUS_SYSTEM
from schemas.search.grammar import CriteriaError, parse_criteria
from schemas.search.predicate import compile_terms
from schemas.search.references import comparable

BASE = "https://fhir.example.org/r4"
NOW = datetime(2026, 3, 2, tzinfo=UTC)

PREFIXES = ["eq2026-02", "ne2026-02", "gt2026-02-15", "lt2026-02-15", "ge2026-02-15", "le2026-02-15",
            "sa2026-02-15", "eb2026-02-15", "ap2026-02-15"]  # fmt: skip
TRUTH = [
    # period                     eq ne gt lt ge le sa eb ap
    (("2026-02-01", "2026-02-28"), "T F T T T T F F T"),
    (("2026-02-01", "2026-02-10"), "T F F T F T F T F"),
    (("2026-02-20", "2026-02-28"), "T F T F T F T F F"),
    (("2026-01-15", "2026-02-15"), "F T F T T T F F T"),
    (("2026-02-15", "2026-02-15"), "T F F F T T F F T"),
    (("2026-02-20", None), "F T T F T F T F F"),
    ((None, "2026-02-10"), "F T F T F T F T F"),
    (("2026-01-01", None), "F T T T T T F F T"),
]
CELLS = [
    (period, prefix, cell == "T")
    for period, row in TRUTH
    for prefix, cell in zip(PREFIXES, row.split(), strict=True)
]


def matches(criteria: str, facets: Facets) -> bool:
    return compile_terms(parse_criteria(criteria, base_url=BASE).terms)(facets, NOW)


def status(code: str) -> Facets:
    return {"status": [token(STATUS_SYSTEM, code)]}


def reference(name: str, text: str) -> Facets:
    return {name: [comparable(text, BASE)]}


def period(start: str | None, end: str | None) -> Facets:
    return {"period": [period_bounds(start, end)]}


def test_the_truth_table_has_every_cell() -> None:
    assert len(CELLS) == 8 * 9


@pytest.mark.parametrize(("covered", "asked", "expected"), CELLS)
def test_every_prefix_against_every_period(
    covered: tuple[str | None, str | None], asked: str, expected: bool
) -> None:
    assert matches(f"MeasureReport?period={asked}", period(*covered)) is expected


@pytest.mark.parametrize(
    ("asked", "found", "expected"),
    [
        ("eq2013-01-14", bounds("2013-01-14T10:00"), True),
        ("eq2013-01-14", bounds("2013-01-15T00:00"), False),
        ("ne2013-01-14", bounds("2013-01-15T00:00"), True),
        ("ne2013-01-14", bounds("2013-01-14T10:00"), False),
        ("lt2013-01-14T10:00", bounds("2013-01-14"), True),
        ("gt2013-01-14T10:00", bounds("2013-01-14"), True),
        ("ge2013-03-14", period_bounds("2013-01-21", None), True),
        ("le2013-03-14", period_bounds("2013-01-21", None), True),
        ("sa2013-03-14", period_bounds("2013-03-15", None), True),
        ("sa2013-03-14", period_bounds("2013-01-21", None), False),
        ("eb2013-03-14", period_bounds(None, "2013-01-21"), True),
        ("eb2013-03-14", period_bounds("2013-01-21", None), False),
        ("2013-01-14", bounds("2013-01-14T00:00"), True),
        ("2026-02-15", period_bounds("2026-02-01", "2026-02-28"), False),
        ("2026", period_bounds("2026-02-01", None), False),
        ("2026", period_bounds(None, "2026-02-01"), False),
        ("ne2026", period_bounds(None, None), True),
        ("2013-01-14T10:00:00 01:00", bounds("2013-01-14T09:00:00Z"), True),
        ("2013-01-14T10:00:00%2B01:00", bounds("2013-01-14T09:00:00Z"), True),
        ("2013-01-14T10:00:00+01:00", bounds("2013-01-14T09:00:00Z"), True),
        ("2013-01-14T10%3A00", bounds("2013-01-14T10:00:30Z"), True),
    ],
)
def test_fhirs_own_examples_of_dates(asked: str, found: Any, expected: bool) -> None:
    assert matches(f"MeasureReport?date={asked}", {"date": [found]}) is expected


VECTORS: list[tuple[str, Facets, bool]] = [
    ("MeasureReport", {}, True),
    ("MeasureReport?", status("error"), True),
    ("MeasureReport?status=complete,error", status("pending"), False),
    ("MeasureReport?status=complete,error", status("error"), True),
    ("MeasureReport?status:not=complete", status("pending"), True),
    ("MeasureReport?status:not=complete", status("complete"), False),
    ("MeasureReport?status:not=complete,pending", status("pending"), False),
    ("MeasureReport?status:not=complete", {}, True),
    (f"MeasureReport?status={STATUS_SYSTEM}|complete", status("complete"), True),
    ("MeasureReport?identifier=http://a|", {"identifier": ["http://a|1"]}, True),
    ("MeasureReport?identifier=http://a|", {"identifier": ["http://ab|1"]}, False),
    ("MeasureReport?identifier=|1", {"identifier": ["|1"]}, True),
    ("MeasureReport?identifier=|1", {"identifier": ["http://a|1"]}, False),
    ("MeasureReport?identifier=1", {"identifier": ["http://a|1"]}, True),
    ("MeasureReport?identifier=1", {"identifier": ["http://a|x|1"]}, False),
    (r"MeasureReport?identifier=x\|1", {"identifier": ["http://a|x|1"]}, True),
    ("MeasureReport?identifier=http://a|1", {"identifier": ["http://b|1", "http://a|2"]}, False),
    (r"MeasureReport?identifier=a\,b", {"identifier": ["|a,b"]}, True),
    ("MeasureReport?identifier=a%5C%2Cb", {"identifier": ["|a,b"]}, True),
    ("MeasureReport?identifier=a,b", {"identifier": ["|a,b"]}, False),
    ("MeasureReport?identifier=a%2Cb", {"identifier": ["|b"]}, True),
    (r"MeasureReport?identifier=xx\\xx", {"identifier": [r"|xx\xx"]}, True),
    (r"MeasureReport?identifier=a\$b", {"identifier": ["|a$b"]}, True),
    ("MeasureReport?identifier=a$b", {"identifier": ["|a$b"]}, True),
    ("MeasureReport?reporter=Organization/1", reference("reporter", f"{BASE}/Organization/1"), True),
    ("MeasureReport?reporter=Organization/1", reference("reporter", "Organization/1/_history/3"), True),
    ("MeasureReport?reporter=Organization/1", reference("reporter", "https://other/Organization/1"), False),
    (f"MeasureReport?reporter={BASE}/Organization/1", reference("reporter", "Organization/1"), True),
    (
        "MeasureReport?reporter=https://other/Organization/1",
        reference("reporter", "https://other/Organization/1"),
        True,
    ),
    ("MeasureReport?reporter=1", reference("reporter", "Organization/1"), True),
    ("MeasureReport?reporter=1", reference("reporter", "Location/1"), True),
    ("MeasureReport?reporter=1", reference("reporter", "Organization/11"), False),
    ("MeasureReport?reporter:identifier=urn:x|9", {"reporter:identifier": ["urn:x|9"]}, True),
    ("MeasureReport?reporter:identifier=9", {"reporter:identifier": ["urn:x|9"]}, True),
    ("MeasureReport?reporter:missing=true", {"reporter:identifier": ["urn:x|9"]}, False),
    ("MeasureReport?subject:Patient=1", reference("subject", "Group/1"), False),
    ("MeasureReport?subject:Group=1", reference("subject", "Group/1"), True),
    ("MeasureReport?subject:Group=Group/1", reference("subject", "Group/1"), True),
    ("MeasureReport?patient=1", {"patient": ["Patient/1"], "subject": ["Patient/1"]}, True),
    ("MeasureReport?patient=1", {"subject": ["Group/1"]}, False),
    ("MeasureReport?subject:missing=true", {}, True),
    ("MeasureReport?subject:missing=false", {}, False),
    ("MeasureReport?subject:missing=false", reference("subject", "Group/1"), True),
    ("MeasureReport?period=2026-02", period("2026-02-01", "2026-02-28"), True),
    ("MeasureReport?period=2026-02-10", period("2026-02-01", "2026-02-28"), False),
    ("MeasureReport?period=ge2026-02-01&period=le2026-02-28", period("2026-02-01", "2026-02-28"), True),
    ("MeasureReport?period=ge2026-03-01&period=le2026-03-31", period("2026-02-01", "2026-02-28"), False),
    ("MeasureReport?period=2025,2026", period("2026-02-01", "2026-02-28"), True),
    ("MeasureReport?date=gt2026-03-01", {}, False),
    ("MeasureReport?date=ne2026-03-01", {}, False),
    ("MeasureReport?measure=http://x/M", {"measure": ["http://x/M|2"]}, True),
    ("MeasureReport?measure=http://x/M", {"measure": ["http://x/M2"]}, False),
    ("MeasureReport?measure=http://x/M|1.0.0", {"measure": ["http://x/M|1.0.0"]}, True),
    (r"MeasureReport?measure=http://x/M\|1.0.0", {"measure": ["http://x/M|1.0.0"]}, True),
    ("MeasureReport?measure=http://x/M|1.0.0", {"measure": ["http://x/M|2"]}, False),
    ("MeasureReport?measure=http://x/M|1.0.0", {"measure": ["http://x/M"]}, False),
    ("MeasureReport?measure:below=http://x/M|1", {"measure": ["http://x/M|1.0"]}, True),
    ("MeasureReport?measure:below=http://x/M|1", {"measure": ["http://x/M|1.1"]}, True),
    ("MeasureReport?measure:below=http://x/M|1", {"measure": ["http://x/M|2.0"]}, False),
    ("MeasureReport?measure:below=http://x/M|1", {"measure": ["http://x/M|10"]}, False),
    ("MeasureReport?measure:below=http://x/M", {"measure": ["http://x/M|10"]}, True),
    ("MeasureReport?_profile=http://x/P", {"_profile": ["http://y/P", "http://x/P|1"]}, True),
    ("MeasureReport?_tag=http://t|a&_tag=http://t|b", {"_tag": ["http://t|a", "http://t|b"]}, True),
    ("MeasureReport?_tag=http://t|a&_tag=http://t|b", {"_tag": ["http://t|a"]}, False),
    ("MeasureReport?_id=abc", {"_id": ["|abc"]}, True),
    ("MeasureReport?_id=ABC", {"_id": ["|abc"]}, False),
    ("MeasureReport?_source=urn:a:1", {"_source": ["urn:a:1"]}, True),
    ("MeasureReport?_source=urn:a", {"_source": ["urn:a:1"]}, False),
    ("MeasureReport?_source:below=urn:a", {"_source": ["urn:a:1"]}, True),
    ("MeasureReport?contract=http://x/C", {"contract": ["http://x/C"]}, True),
    ("MeasureReport?contract=http://x/C", {"contract": ["http://x/C2"]}, False),
    ("MeasureReport?metric-score=star$lt3.5", {"metric-score": [["urn:m|star", "3.4999", ""]]}, True),
    ("MeasureReport?metric-score=star$lt3.5", {"metric-score": [["urn:m|star", "3.50", ""]]}, False),
    (
        "MeasureReport?metric-score=star$lt3.5",
        {"metric-score": [["urn:m|star", "4", ""], ["urn:m|mlr", "0.8", ""]]},
        False,
    ),
    ("MeasureReport?metric-score=urn:m|star$ge3.5", {"metric-score": [["urn:m|star", "3.50", ""]]}, True),
    ("MeasureReport?metric-score=urn:n|star$ge3.5", {"metric-score": [["urn:m|star", "3.50", ""]]}, False),
    ("MeasureReport?metric-score=cost$gt100||USD", {"metric-score": [["urn:m|cost", "101", "USD"]]}, True),
    ("MeasureReport?metric-score=cost$gt100||USD", {"metric-score": [["urn:m|cost", "101", "EUR"]]}, False),
    ("MeasureReport?metric-score=cost$100", {"metric-score": [["urn:m|cost", "99.5", "USD"]]}, True),
    ("MeasureReport?metric-score=cost$100", {"metric-score": [["urn:m|cost", "100.5", "USD"]]}, False),
    ("MeasureReport?metric-score=cost$100.00", {"metric-score": [["urn:m|cost", "99.99", "USD"]]}, False),
    ("MeasureReport?metric-score=cost$100.00", {"metric-score": [["urn:m|cost", "99.995", "USD"]]}, True),
    ("MeasureReport?metric-score=cost$1e2", {"metric-score": [["urn:m|cost", "95", "USD"]]}, True),
    ("MeasureReport?metric-score=cost$1e2", {"metric-score": [["urn:m|cost", "105", "USD"]]}, False),
    ("MeasureReport?metric-score=cost$ne100", {"metric-score": [["urn:m|cost", "100.4", "USD"]]}, False),
    ("MeasureReport?metric-score=cost$ap100", {"metric-score": [["urn:m|cost", "110", "USD"]]}, True),
    ("MeasureReport?metric-score=cost$ap100", {"metric-score": [["urn:m|cost", "110.1", "USD"]]}, False),
    ("MeasureReport?threshold-gap=star-4$le0", {"threshold-gap": [["urn:t|star-4", "0.0", ""]]}, True),
    ("MeasureReport?threshold-gap=star-4$le0", {"threshold-gap": [["urn:t|star-4", "0.1", ""]]}, False),
    ("MeasureReport?threshold-gap=star-4$le0", {"metric-score": [["urn:t|star-4", "0", ""]]}, False),
    (
        "MeasureReport?threshold-gap=urn:t|star-4$lt-1||%25",
        {"threshold-gap": [["urn:t|star-4", "-2", "%"]]},
        True,
    ),
    ("MeasureReport?metric-score=cost$ap-100", {"metric-score": [["urn:m|cost", "-95", "USD"]]}, True),
    ("MeasureReport?status=complete&_format=json", status("complete"), True),
    ("MeasureReport?status=complete&_format=json", status("pending"), False),
]


@pytest.mark.parametrize(("criteria", "facets", "expected"), VECTORS)
def test_a_report_matches_or_not(criteria: str, facets: Facets, expected: bool) -> None:
    assert matches(criteria, facets) is expected


@pytest.mark.parametrize(
    ("criteria", "status_code", "named"),
    [
        ("MeasureReport?type=summary", 422, "type=summary"),
        ("MeasureReport?status:exact=complete", 400, "status:exact=complete"),
        ("/MeasureReport?status=complete", 422, "leading slash"),
        ("https://fhir.example.org/r4/MeasureReport?status=complete", 422, "[base]"),
        ("Patient?name=x", 422, "Patient"),
        ("measureReport?status=complete", 422, "measureReport"),
    ],
)
def test_what_cannot_be_honoured_is_refused(criteria: str, status_code: int, named: str) -> None:
    with pytest.raises(CriteriaError) as refusal:
        parse_criteria(criteria, base_url=BASE)
    assert refusal.value.status == status_code
    (issue,) = refusal.value.issues
    assert named in issue.diagnostics
    assert issue.expression == "Subscription.criteria"
