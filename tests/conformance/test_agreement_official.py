"""What is known to disagree in the guide's own examples is found, and nothing else.

Periods of 103 and 104 lie outside their contract's term, 102 uses a payment stream that it does not declare, and
six quality reports are about measures that are no components.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.event import Stage
from services.publisher.check.agreement import disagreements
from services.publisher.derive.contract import contract_facts
from services.publisher.derive.model import Kind
from services.publisher.derive.references import without_version
from tests.guide import ARTIFACTS

pytestmark = pytest.mark.guide

Json = dict[str, Any]
GUIDE = (ARTIFACTS or Path()) / "vbpr"


def _read(name: str) -> Json:
    found: Json = orjson.loads((GUIDE / name).read_bytes())
    return found


def _contract_of(report: Json) -> Json:
    found = [_read(file.name) for file in sorted(GUIDE.glob("Measure-*.json"))]
    (contract,) = (one for one in found if one["url"] == without_version(report["measure"]))
    return contract


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("101", set()),
        ("102", {"contract-payment-stream"}),
        ("103", {"contract-period"}),
        ("104", {"contract-period"}),
    ],
)
def test_performance_reports_against_their_contracts(number: str, expected: set[str]) -> None:
    report = _read(f"MeasureReport-vbp-measurereport{number}.json")
    issues = disagreements(report, Kind.PERFORMANCE, Stage.FINAL, contract_facts(_contract_of(report), None))

    assert {issue.rule for issue in issues} == expected
    streams = [issue for issue in issues if issue.rule == "contract-payment-stream"]
    assert all("|ssq'" in issue.diagnostics for issue in streams)


def test_quality_reports_about_measures_that_are_no_components() -> None:
    found = set()
    for number in ("101", "102", "103", "104"):
        parent = _read(f"MeasureReport-vbp-measurereport{number}.json")
        contract = contract_facts(_contract_of(parent), None)
        for listed in parent.get("evaluatedResource", ()):
            name = listed["reference"].rpartition("/")[2]
            report = _read(f"MeasureReport-{name}.json")
            issues = disagreements(report, Kind.QUALITY, Stage.FINAL, contract)
            if "contract-component" in {issue.rule for issue in issues}:
                found.add(name.removeprefix("quality-measurereport"))

    assert found == {"22", "23", "24", "25", "32", "33"}
