"""What is derived of a report, and every reason why one cannot be: all of them at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.event import Stage
from schemas.outcome import FhirError
from services.publisher.derive import contract_facts
from services.publisher.derive.model import Context, Derived, Kind, Listed, ParentFacts
from tests.pure.small_reports import (
    BASE,
    CONTRACT,
    FACTS,
    IDENTIFIERS,
    PARENT,
    PAYER,
    PERIOD_IDENTITY,
    PROVIDER,
    STAGE,
    by_extension,
    derived,
    performance,
    quality,
)

ELSEWHERE = "https://other.example/fhir/Organization/clinic"
KNOWN = Context(FACTS, identifiers=IDENTIFIERS)


def refused(
    report: dict[str, Any], context: Context, *, report_id: str = "year"
) -> list[tuple[str, str | None]]:
    """Return code and expression of each issue a report is refused for."""
    with pytest.raises(FhirError) as error:
        derived(report, context, report_id=report_id)
    assert error.value.status == 422
    return [(issue.code, issue.expression) for issue in error.value.issues]


def test_a_performance_report_stands_under_its_contract_between_its_parties() -> None:
    found = derived(
        performance(measure=f"{CONTRACT}|2", evaluatedResource=[{"reference": "MeasureReport/q1"}])
    )
    assert replace(found, facets={}) == Derived(
        Kind.PERFORMANCE, Stage.FINAL, CONTRACT, PAYER, PROVIDER, PERIOD_IDENTITY, None, ("q1",), {}
    )
    assert not found.waits


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (by_extension({"reference": PROVIDER}), PROVIDER),
        (by_extension({"reference": f"{BASE}/{PROVIDER}/_history/4"}), PROVIDER),
        (by_extension({"reference": ELSEWHERE}), ELSEWHERE),
        (by_extension({"identifier": {"system": "urn:npi", "value": "7"}}), PROVIDER),
        ({"reference": "Group/roster"}, PROVIDER),
        ({"reference": f"{BASE}/Group/roster/_history/1"}, PROVIDER),
        ({"reference": "Group/roster", **by_extension({"reference": ELSEWHERE})}, ELSEWHERE),
    ],
)
def test_the_provider_is_found_in_either_shape(subject: dict[str, Any], expected: str) -> None:
    context = replace(KNOWN, group_manager=PROVIDER, organisations={"urn:npi|7": PROVIDER})
    assert derived(performance(subject=subject), context).provider == expected


@pytest.mark.parametrize(
    ("subject", "context", "expected"),
    [
        (None, KNOWN, ("required", "MeasureReport.subject")),
        ({"display": "Clinic"}, KNOWN, ("required", "MeasureReport.subject")),
        ({"reference": "#roster"}, KNOWN, ("required", "MeasureReport.subject")),
        ({"reference": "Practitioner/p"}, KNOWN, ("required", "MeasureReport.subject")),
        ({"reference": "Group/roster"}, KNOWN, ("not-found", "MeasureReport.subject")),
        (
            {"reference": "Group/roster"},
            replace(KNOWN, group_manager="Organization/gone"),
            ("not-found", "MeasureReport.subject"),
        ),
        (
            by_extension({"reference": "Organization/clinik"}),
            KNOWN,
            ("not-found", "MeasureReport.subject.extension[0].value"),
        ),
        (
            by_extension({"identifier": {"value": "7"}}),
            KNOWN,
            ("not-found", "MeasureReport.subject.extension[0].value"),
        ),
        (
            by_extension({"reference": "Group/g"}),
            KNOWN,
            ("value", "MeasureReport.subject.extension[0].value"),
        ),
        (by_extension({"display": "x"}), KNOWN, ("required", "MeasureReport.subject.extension[0].value")),
        (
            by_extension({"reference": "urn:uuid:0b0e4a0e-4a4e-4f0e-8d5e-2b1d3c4e5f60"}),
            KNOWN,
            ("value", "MeasureReport.subject.extension[0].value"),
        ),
    ],
)
def test_a_subject_that_tells_no_provider_is_refused(
    subject: dict[str, Any] | None, context: Context, expected: tuple[str, str]
) -> None:
    assert refused(performance(subject=subject), context) == [expected]


@pytest.mark.parametrize(
    ("reporter", "expected"),
    [
        (None, ("required", "MeasureReport.reporter")),
        ({"display": "Plan"}, ("required", "MeasureReport.reporter")),
        ({"reference": "#plan"}, ("required", "MeasureReport.reporter")),
        ({"reference": "Location/l"}, ("value", "MeasureReport.reporter")),
        ({"reference": "Organization/plam"}, ("not-found", "MeasureReport.reporter")),
        ({"identifier": {"system": "urn:naic", "value": "1"}}, ("not-found", "MeasureReport.reporter")),
        ({"reference": PROVIDER}, ("business-rule", "MeasureReport.reporter")),
        ({"reference": ELSEWHERE}, ("business-rule", "MeasureReport.reporter")),
    ],
)
def test_a_reporter_that_is_not_the_payer_of_the_contract_is_refused(
    reporter: dict[str, Any] | None, expected: tuple[str, str]
) -> None:
    assert refused(performance(reporter=reporter), KNOWN) == [expected]


@pytest.mark.parametrize(
    "role", ["Practitioner/p", "PractitionerRole/p", "https://o.example/fhir/Practitioner/p"]
)
def test_a_person_reports_for_the_payer_of_the_contract(role: str) -> None:
    report = performance(reporter={"reference": role})
    assert derived(report, KNOWN).payer == PAYER
    nobody = replace(KNOWN, contract=replace(FACTS, payer=None))
    assert refused(report, nobody) == [("business-rule", "MeasureReport.reporter")]


def test_the_first_reporter_is_taken_for_the_payer_of_a_contract_nobody_claimed() -> None:
    nobody = replace(KNOWN, contract=replace(FACTS, payer=None))
    assert derived(performance(), nobody).payer == PAYER
    assert derived(performance(reporter={"reference": ELSEWHERE}), nobody).payer == ELSEWHERE


def test_every_issue_is_told_at_once() -> None:
    report = performance(
        meta={"profile": performance()["meta"]["profile"], "tag": [{"system": STAGE, "code": "done"}]},
        reporter=None,
        subject={"reference": "Group/roster"},
    )
    assert refused(report, Context()) == [
        ("not-found", "MeasureReport.measure"),
        ("required", "MeasureReport.reporter"),
        ("not-found", "MeasureReport.subject"),
        ("code-invalid", "MeasureReport.meta.tag[0].code"),
    ]


def test_a_report_that_is_neither_kind_is_refused() -> None:
    assert refused(performance(meta=None), KNOWN) == [("business-rule", "MeasureReport")]


def test_an_update_may_change_neither_contract_nor_payer_nor_provider() -> None:
    former = derived(performance())
    known = {**IDENTIFIERS, "Organization/hospital": (), "Organization/mutual": ()}
    moved = replace(FACTS, key="https://plan.example/contracts/two", payer="Organization/mutual")
    report = performance(
        measure=moved.key,
        reporter={"reference": "Organization/mutual"},
        subject=by_extension({"reference": "Organization/hospital"}),
    )
    assert refused(report, Context(moved, identifiers=known, former=former)) == [
        ("business-rule", "MeasureReport.measure"),
        ("business-rule", "MeasureReport.reporter"),
        ("business-rule", "MeasureReport.subject"),
    ]
    with pytest.raises(FhirError, match="withdraw it and publish a new report"):
        derived(report, Context(moved, identifiers=known, former=former))


def test_an_update_may_change_everything_else() -> None:
    former = derived(performance())
    changed = performance(
        status="error",
        date="2026-03-01",
        period={"start": "2025-01-01", "end": "2025-06-30"},
        subject={"reference": "Group/g"},
    )
    found = derived(changed, replace(KNOWN, former=former, group_manager=PROVIDER))
    assert found.stage is Stage.WITHDRAWN
    assert found.identity != former.identity


def test_an_update_may_not_make_a_performance_report_a_quality_report() -> None:
    former = derived(performance())
    context = Context(identifiers=IDENTIFIERS, former=former)
    assert refused(quality(), context) == [("business-rule", "MeasureReport")]


def test_a_quality_report_waits_until_its_parent_is_there() -> None:
    found = derived(quality(), Context(identifiers=IDENTIFIERS), report_id="q1")
    assert found.waits
    assert (found.contract, found.payer, found.provider) == (None, PAYER, None)
    assert (found.identity, found.parent) == (None, None)
    assert {"contract", "provider", "parent", "lob"}.isdisjoint(found.facets)


def test_a_quality_report_gets_contract_and_provider_from_its_parent() -> None:
    waiting = derived(quality(), Context(identifiers=IDENTIFIERS), report_id="q1")
    context = Context(FACTS, parent=PARENT, identifiers=IDENTIFIERS, former=waiting)
    found = derived(quality(status="pending"), context, report_id="q1")
    assert replace(found, facets={}) == Derived(
        Kind.QUALITY,
        Stage.INTERIM,
        CONTRACT,
        PAYER,
        PROVIDER,
        f'[{PERIOD_IDENTITY},"https://measures.example/Measure/eyes","q1"]',
        "year",
        (),
        {},
    )


def test_the_reporter_of_a_quality_report_is_its_parents_payer() -> None:
    context = Context(FACTS, parent=PARENT, identifiers={**IDENTIFIERS, "Organization/mutual": ()})
    report = quality(reporter={"reference": "Organization/mutual"})
    assert refused(report, context, report_id="q1") == [("business-rule", "MeasureReport.reporter")]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (Listed(PAYER, replace(PARENT, report="half")), []),
        (Listed(PAYER, None), []),
        (Listed(None, None), []),
        (Listed(PAYER, PARENT), []),
        (
            Listed(PAYER, replace(PARENT, report="half", provider="Organization/hospital")),
            [("business-rule", "MeasureReport.evaluatedResource[1]")],
        ),
        (
            Listed(
                PAYER, ParentFacts("half", "https://plan.example/two", PAYER, "Organization/hospital", "[]")
            ),
            [("business-rule", "MeasureReport.evaluatedResource[1]")] * 2,
        ),
        (Listed("Organization/mutual", None), [("business-rule", "MeasureReport.evaluatedResource[1]")]),
    ],
)
def test_a_listed_quality_report_shares_contract_provider_and_payer(
    listed: Listed, expected: list[tuple[str, str]]
) -> None:
    report = performance(
        evaluatedResource=[{"reference": "Observation/o"}, {"reference": "MeasureReport/q1"}]
    )
    context = replace(KNOWN, listed={"q1": listed})
    if expected:
        assert refused(report, context) == expected
    else:
        assert derived(report, context).lists == ("q1",)


def test_a_contract_without_a_url_is_refused() -> None:
    with pytest.raises(FhirError) as error:
        contract_facts({"resourceType": "Measure"}, None)
    assert error.value.status == 422
    assert [issue.expression for issue in error.value.issues] == ["Measure.url"]
