"""Where a report disagrees with its contract or with the report before it: said, with a code, and never refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from schemas import examples
from schemas.event import Stage
from schemas.outcome import Issue
from services.publisher.check.agreement import changed_units, disagreements, units
from services.publisher.derive.contract import contract_facts
from services.publisher.derive.metrics import metric_scores
from services.publisher.derive.model import ContractFacts, Kind
from tests.pure import full_resources as full

Json = dict[str, Any]
METRICS = full.VBPR + "CodeSystem/vbp-performance-metric"
STREAMS = full.VBPR + "CodeSystem/payment-stream"
SCREENING = "https://measures.example/Measure/screening"


def terms(measure: Json) -> ContractFacts:
    return contract_facts(measure, None)


def units_of(report: Json) -> dict[str, frozenset[str]]:
    return units({"metric-score": metric_scores(orjson.dumps(report))})


def found(report: Json, stage: Stage = Stage.INTERIM, **known: Any) -> list[tuple[str | None, str | None]]:
    kind = Kind.QUALITY if "subject" not in report else Kind.PERFORMANCE
    contract = known.pop("contract", None) or terms(full.contract())
    return named(disagreements(report, kind, stage, contract, **known))


def named(issues: list[Issue]) -> list[tuple[str | None, str | None]]:
    assert {issue.severity for issue in issues} <= {"warning"}
    return [(issue.rule, issue.expression) for issue in issues]


def test_what_a_contract_says() -> None:
    said = terms(full.contract())

    assert said.key == "https://plan.example/contracts/one"
    assert said.term == ("2024-01-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z")
    assert said.metrics == (f"{METRICS}|med-cost-pmpm",)
    assert said.payment_streams == (f"{STREAMS}|cdm",)
    assert said.components == {SCREENING: True}


def test_an_alternate_component_is_not_due() -> None:
    contract = full.contract()
    status = contract["relatedArtifact"][0]["extension"][1]["valueCodeableConcept"]["coding"][0]
    status["code"] = "contractual-alternate"

    assert terms(contract).components == {SCREENING: False}


def test_reports_that_agree() -> None:
    assert found(full.performance()) == []
    assert found(full.quality()) == []
    assert found(full.performance(), Stage.SETTLED, measures=[f"{SCREENING}|2024.0"]) == []
    now = units_of(full.performance())
    assert changed_units(full.performance(), now, now) == []


@pytest.mark.parametrize(
    ("period", "agrees"),
    [
        ({"start": "2024-01-01", "end": "2024-12-31"}, True),
        ({"start": "2024-02", "end": "2024-02"}, True),
        ({"start": "2023-12-31", "end": "2024-12-31"}, False),
        ({"start": "2024-01-01", "end": "2025-01-01"}, False),
        ({"start": "2024-01-01"}, False),
        ({"end": "2024-12-31"}, False),
    ],
)
def test_a_period_outside_the_term_of_the_contract(period: Json, agrees: bool) -> None:
    expected = [] if agrees else [("contract-period", "MeasureReport.period")]

    assert found({**full.performance(), "period": period}) == expected
    assert found({**full.quality(), "period": period}) == expected


def test_a_metric_that_the_contract_does_not_list() -> None:
    report = full.performance()
    report["group"].append(copy.deepcopy(report["group"][0]))
    report["group"][1]["code"]["coding"][0]["code"] = "revenue"

    assert found(report) == [("contract-metric", "MeasureReport.group[1].code")]
    contract = full.contract()
    del contract["group"]
    assert found(report, contract=terms(contract)) == []


def _stream(code: str) -> Json:
    stream = full.payment_stream()
    stream["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] = code
    return stream


@pytest.mark.parametrize(
    ("agreed", "reported", "agrees"),
    [("cdm", "cdm", True), ("qip", "cdm", True), ("qip", "ssp", False), ("cdm", "qip", False), ("cdm", "p4p", False)],
)  # fmt: skip
def test_a_payment_stream_is_one_of_the_contract_or_a_kind_of_it(
    agreed: str, reported: str, agrees: bool
) -> None:
    contract, report = full.contract(), full.performance()
    contract["extension"][2] = _stream(agreed)
    report["extension"].pop(1)
    report["group"][0]["extension"][0] = _stream(reported)

    expected = [] if agrees else [("contract-payment-stream", "MeasureReport.group[0].extension[0]")]
    assert found(report, contract=terms(contract)) == expected


def test_a_quality_measure_that_is_no_component() -> None:
    report = {**full.quality(), "measure": "https://measures.example/Measure/other|1"}

    assert found(report) == [("contract-component", "MeasureReport.measure")]


def test_a_settled_report_that_misses_a_component() -> None:
    report = full.performance()

    missing = [("contract-component-missing", "MeasureReport.evaluatedResource")]
    assert found(report, Stage.SETTLED, measures=[]) == missing
    assert found(report, Stage.SETTLED, measures=None) == []
    assert found(report, Stage.FINAL, measures=[]) == []


def _in_euro(report: Json) -> None:
    report["group"][0]["measureScore"]["extension"][0]["valueMoney"]["currency"] = "EUR"


def _as_quantity(report: Json) -> None:
    report["group"][0]["measureScore"] = {"value": 790.25, "unit": "points"}


@pytest.mark.parametrize("change", [_in_euro, _as_quantity])
def test_a_settled_report_in_another_unit_or_currency(change: Callable[[Json], None]) -> None:
    report = full.performance()
    change(report)
    issues = changed_units(report, units_of(report), units_of(full.performance()))

    assert named(issues) == [("predecessor-unit", "MeasureReport.group[0].measureScore")]


def test_of_a_metric_without_a_score_there_is_no_unit() -> None:
    report = full.performance()
    del report["group"][0]["measureScore"]

    assert units_of(report) == {}


def test_our_own_examples_agree_with_their_contracts() -> None:
    contracts = {
        one.key: one for one in (terms(orjson.loads(path.read_bytes())) for path in examples.contracts())
    }
    judged = 0
    for path in examples.reports():
        report = orjson.loads(path.read_bytes())
        if report["measure"] in contracts:
            judged += 1
            assert found(report, Stage.SETTLED, contract=contracts[report["measure"]]) == [], path.name
    assert judged > 10


@pytest.mark.parametrize("metric", ["med-cost-pmpm", "revenue"])
@pytest.mark.parametrize("stream", ["cdm", "ssp"])
def test_facets_spare_a_look_and_change_nothing_of_what_is_said(metric: str, stream: str) -> None:
    report = full.performance()
    report["group"][0]["code"]["coding"][0]["code"] = metric
    report["extension"].pop(1)
    report["group"][0]["extension"][0] = _stream(stream)
    facets = {"metric": [f"{METRICS}|{metric}"], "payment-stream": [f"{STREAMS}|{stream}"]}

    assert found(report, facets=facets) == found(report)
    assert len(found(report)) == (metric == "revenue") + (stream == "ssp")
