"""What a query is read as, and what each bad one is refused with."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.search.grammar import (
    MAX_TERMS,
    MAX_VALUES,
    CriteriaError,
    Search,
    parse_criteria,
    parse_filter,
    parse_search,
)
from schemas.search.parameters import MEASURE_REPORT, Modifier, SearchParameter, SearchType
from schemas.search.predicate import compile_terms
from schemas.search.syntax import split, unescaped
from schemas.search.values import (
    Canonical,
    Date,
    MetricScore,
    Missing,
    Number,
    Prefix,
    Query,
    Reference,
    Term,
    Text,
    Token,
    Value,
)
from tests.pure.test_search_vectors import NOW

BASE = "https://fhir.example.org/fhir"


def terms(query: str) -> tuple[Term, ...]:
    return parse_criteria(f"MeasureReport?{query}", base_url=BASE).terms


def values(query: str) -> tuple[Value, ...]:
    (term,) = terms(query)
    return term.values


def filtered(text: str) -> tuple[Term, ...]:
    return parse_filter(text, base_url=BASE, expression="Subscription.criteria.extension[0]")


def searched(query: str, *, lenient: bool = False) -> Search:
    return parse_search(query, base_url=BASE, lenient=lenient)


def test_criteria_without_parameters_ask_for_every_report() -> None:
    assert parse_criteria("MeasureReport", base_url=BASE) == Query("MeasureReport")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("stage=settled", (Token(None, "settled"),)),
        ("stage=settled,final,settled", (Token(None, "settled"), Token(None, "final"))),
        ("lob=https://nahdo.org/sopt|1", (Token("https://nahdo.org/sopt", "1"),)),
        ("lob=https%3A%2F%2Fnahdo.org%2Fsopt%7C1", (Token("https://nahdo.org/sopt", "1"),)),
        ("lob=|1", (Token("", "1"),)),
        ("lob=https://nahdo.org/sopt|", (Token("https://nahdo.org/sopt", None),)),
        ("identifier=a+b", (Token(None, "a b"),)),
        (r"identifier=a\|b|c\,d", (Token("a|b", "c,d"),)),
        ("provider=p1", (Reference(("Organization/p1",)),)),
        ("provider=Organization/p1/_history/2", (Reference(("Organization/p1",)),)),
        (f"provider={BASE}/Organization/p1", (Reference(("Organization/p1",)),)),
        ("provider=https://else.org/Organization/p1", (Reference(("https://else.org/Organization/p1",)),)),
        ("provider:Organization=p1", (Reference(("Organization/p1",)),)),
        ("evaluatedResource=MeasureReport/q1", (Reference(("MeasureReport/q1",)),)),
        ("evaluated-resource:MeasureReport=q1", (Reference(("MeasureReport/q1",)),)),
        ("reporter:identifier=urn:x|9", (Token("urn:x", "9"),)),
        ("measure=http://x/M", (Canonical("http://x/M", None),)),
        ("measure=http://x/M|2", (Canonical("http://x/M", "2"),)),
        ("contract=http://x/C", (Text("http://x/C"),)),
        ("subject:missing=true", (Missing(missing=True),)),
        ("period=2026-02", (Date(Prefix.EQ, "2026-02-01T00:00:00.000Z", "2026-03-01T00:00:00.000Z"),)),
        ("period=ge2026", (Date(Prefix.GE, "2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"),)),
        (
            "metric-score=weighted-avg-star$lt3.5",
            (
                MetricScore(
                    Token(None, "weighted-avg-star"),
                    Number(Prefix.LT, Decimal("3.5"), Decimal("3.45"), Decimal("3.55")),
                    None,
                ),
            ),
        ),
    ],
)
def test_values_are_normalised(query: str, expected: tuple[Value, ...]) -> None:
    assert values(query) == expected


def test_an_id_without_a_type_stands_for_every_type_allowed() -> None:
    (value,) = values("reporter=x")
    assert isinstance(value, Reference)
    assert set(value.forms) == {"Organization/x", "Practitioner/x", "PractitionerRole/x", "Location/x"}


def test_a_repeated_parameter_is_two_terms_and_a_comma_one() -> None:
    both = terms("period=ge2026-01-01&period=le2026-12-31")
    assert [term.parameter.name for term in both] == ["period", "period"]
    (one,) = terms("period=2025,2026")
    assert len(one.values) == 2


def test_both_spellings_of_a_parameter_ask_the_same() -> None:
    assert terms("category=vbp") == terms("measurereport-category=vbp")


def test_equal_criteria_are_equal_and_can_be_shared() -> None:
    one, other = terms("stage=settled&period=ge2026"), terms("stage=settled&period=ge2026")
    assert one == other
    assert hash(one) == hash(other)


MALFORMED = [
    "status:exact=complete",
    "status:Patient=complete",
    "metric-score:not=a$1",
    "metric-score:missing=true",
    "measure:identifier=urn:x|1",
    "subject:Organization=1",
    "status",
    "status=",
    "status=complete,",
    "status=,complete",
    r"identifier=a\b",
    "identifier=a%5C",
    "identifier=a|b|c",
    "identifier=|",
    "identifier=%zz",
    "identifier=%FF",
    "subject:missing=maybe",
    "subject:missing=true,false",
    "_id=sys|x",
    "_id=not an id",
    "period=23 May 2009",
    "period=xx2026",
    "period=GE2026",
    "period=2026-02-30",
    "period=ge",
    "provider=Organization/",
    "provider=#contained",
    "provider:Organization=Practitioner/1",
    "provider:Organization=https://x/Organization/1",
    "evaluated-resource=q1",
    "measure=m1",
    "measure=Measure/m1",
    "measure=http://x/M|",
    "contract=http://x/C|1",
    "contract=C",
    "metric-score=star",
    "metric-score=star$lt",
    "metric-score=star$ltx",
    "metric-score=star$NaN",
    "metric-score=star$3$4",
    "metric-score=star$3|sys|unit",
    "metric-score=$3",
    "threshold-gap=star-4",
    "threshold-gap=star-4$closed",
    "threshold-gap:missing=true",
]
UNSUPPORTED = [
    "type=summary",
    "Status=complete",
    "_has:Measure:x:y=1",
    "subject:Patient.name=peter",
    "subject.name=peter",
    "_filter=x",
    "_text=x",
    "_list=x",
    "_sort=date",
    "_count=10",
    "_include=MeasureReport:subject",
    "stage=setled",
    "stage=http://else|settled",
    "status:not=done",
    "kind=vbp",
    "patient=Group/1",
    "identifier=" + ",".join(str(number) for number in range(MAX_VALUES + 1)),
    "&".join(f"identifier={number}" for number in range(MAX_TERMS + 1)),
]


@pytest.mark.parametrize(
    ("query", "status"), [(query, 400) for query in MALFORMED] + [(query, 422) for query in UNSUPPORTED]
)
def test_a_subscription_is_refused_what_would_not_be_honoured(query: str, status: int) -> None:
    with pytest.raises(CriteriaError) as refusal:
        parse_criteria(f"MeasureReport?{query}", base_url=BASE, expression="Subscription.criteria")
    assert refusal.value.status == status
    assert refusal.value.malformed == (status == 400)
    (issue,) = refusal.value.issues
    assert issue.severity == "error"
    assert issue.expression == "Subscription.criteria"
    assert (
        "expected" in issue.diagnostics
        or "not supported" in issue.diagnostics
        or "nothing" in issue.diagnostics
    )


def test_every_finding_is_told_at_once_and_names_parameter_value_and_reason() -> None:
    with pytest.raises(CriteriaError) as refusal:
        terms("type=summary&period=2026-13&stage=settled&status:exact=complete")
    said = [issue.diagnostics for issue in refusal.value.issues]
    assert [each.partition(": ")[0] for each in said] == [
        "type=summary",
        "period=2026-13",
        "status:exact=complete",
    ]
    assert "'2026-13'" in said[1]
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    "text",
    [
        "provider=Organization/p1",
        "MeasureReport.provider=Organization/p1",
        "MeasureReport?provider=Organization/p1",
        "MeasureReport?MeasureReport.provider=Organization/p1",
        "provider:Organization=p1",
        "MeasureReport.provider:Organization=p1",
    ],
)
def test_the_forms_of_a_filter_ask_the_same(text: str) -> None:
    assert filtered(text) == terms("provider=Organization/p1")


def test_a_filter_may_hold_several_parameters() -> None:
    assert filtered("MeasureReport?stage=settled&period=ge2026") == terms("stage=settled&period=ge2026")


def test_a_question_mark_in_a_value_does_not_make_another_form() -> None:
    assert filtered("contract=http://x/C?a") == terms("contract=http://x/C?a")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 400),
        ("provider", 400),
        ("MeasureReport?", 400),
        ("provider=", 400),
        ("Encounter?patient=Patient/1", 422),
        ("Encounter.patient=Patient/1", 422),
        ("trigger=x", 422),
    ],
)
def test_a_filter_is_refused_by_name(text: str, status: int) -> None:
    with pytest.raises(CriteriaError) as refusal:
        filtered(text)
    assert refusal.value.status == status
    assert all(issue.expression == "Subscription.criteria.extension[0]" for issue in refusal.value.issues)


def test_a_search_sets_apart_what_shapes_its_result() -> None:
    found = searched("stage=settled&_count=10&_sort=-date&_format=json&status=")
    assert found.query.terms == terms("stage=settled")
    assert found.result == (("_count", "10"), ("_sort", "-date"), ("_format", "json"))
    assert found.ignored == ("status",)


def test_an_unknown_parameter_is_ignored_only_by_a_lenient_search() -> None:
    found = searched("stage=settled&type=summary", lenient=True)
    assert found.query.terms == terms("stage=settled")
    assert found.ignored == ("type",)
    with pytest.raises(CriteriaError):
        searched("stage=settled&type=summary")


def test_a_lenient_search_still_refuses_a_modifier_it_does_not_know() -> None:
    with pytest.raises(CriteriaError) as refusal:
        searched("status:exact=complete", lenient=True)
    assert refusal.value.status == 400


def test_a_search_for_what_cannot_be_finds_nothing_and_is_no_error() -> None:
    test = compile_terms(searched("stage=setled").query.terms)
    assert not test({"stage": ["https://vbpr-subscriptions.org/fhir/CodeSystem/report-stage|settled"]}, NOW)


TITLE = SearchParameter("title", SearchType.STRING, "A title.", "http://example.org/title")
COUNT = SearchParameter("count", SearchType.NUMBER, "A count.", "http://example.org/count")


@pytest.mark.parametrize(
    ("query", "found", "expected"),
    [
        ("title=résu", "RESUME of costs", True),
        ("title=resu", "Résumé", True),
        ("title=costs", "Résumé of costs", False),
        ("title:contains=COSTS", "Résumé of costs", True),
        ("title:exact=resume", "Resume", False),
        ("title:exact=Resume", "Resume", True),
        ("count=100", "99.5", True),
        ("count=100", "100.5", False),
        ("count=1e2", "104.9", True),
        ("count=gt100", "100.1", True),
        ("count=sa100", "100", False),
        ("count=le100", "100.0", True),
        ("count=eb100", "99", True),
        ("count=ap100", "91", True),
        ("count=ne100", "101", True),
    ],
)
def test_strings_and_numbers(query: str, found: str, expected: bool) -> None:
    query_ = parse_criteria(
        f"MeasureReport?{query}", base_url=BASE, parameters={"title": TITLE, "count": COUNT}
    )
    assert compile_terms(query_.terms)({query.partition("=")[0].partition(":")[0]: [found]}, NOW) is expected


@given(st.lists(st.text(st.sampled_from(r"ab\,$|%"), min_size=1), min_size=1), st.sampled_from(",$|"))
def test_what_is_escaped_comes_back_as_it_was(pieces: list[str], separator: str) -> None:
    escaped = ["".join(f"\\{each}" if each in r"\,$|" else each for each in piece) for piece in pieces]
    assert [unescaped(piece) for piece in split(separator.join(escaped), separator)] == pieces


@given(st.text(st.sampled_from(r"abT0123456789-:.+%\,$|&=?/ gelt"), max_size=40))
def test_no_text_whatever_breaks_the_parser(text: str) -> None:
    for name, parameter in MEASURE_REPORT.items():
        found = read_or_refused(f"MeasureReport?{name}={text}")
        if isinstance(found, Query):
            assert found.terms[0].parameter is parameter
        else:
            assert found.issues


def read_or_refused(criteria: str) -> Query | CriteriaError:
    try:
        return parse_criteria(criteria, base_url=BASE)
    except CriteriaError as refused:
        return refused


def test_below_is_kept_as_the_modifier() -> None:
    (term,) = terms("measure:below=http://x/M|1")
    assert term.modifier is Modifier.BELOW
