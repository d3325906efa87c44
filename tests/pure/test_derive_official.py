"""Is every official report filed as a person reading its JSON would file it?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.publisher.derive import contract_facts, derive, needs
from services.publisher.derive.model import Context, Derived, ParentFacts
from tests import guide
from tests.flow.official_examples import OFFICIAL_REPORTS, REVISED_REPORTS, OfficialReport
from tests.pure.small_reports import BASE, STORED_AT

pytestmark = pytest.mark.guide

REPORTS = {report.id: report for report in OFFICIAL_REPORTS}
GROUP_MANAGERS = {report.group: report.report.provider for report in REVISED_REPORTS}


@dataclass
class _Shelf:
    """Derives official reports as the store would have them derived: parents first."""

    folder: Path
    parents: dict[str, ParentFacts] = field(default_factory=dict)

    def read(self, name: str) -> tuple[dict[str, Any], bytes]:
        raw = (self.folder / f"{name}.json").read_bytes()
        return orjson.loads(raw), raw

    def derive(self, report: OfficialReport, folder: Path) -> Derived:
        raw = (folder / f"MeasureReport-{report.id}.json").read_bytes()
        resource = orjson.loads(raw)
        wanted = needs(resource, BASE)
        measures = [self.read(f"Measure-vbp-measure0{number}")[0] for number in (1, 2)]
        contracts = {facts.key: facts for facts in (contract_facts(each, None) for each in measures)}
        parent = self.parents.get(report.id)
        context = Context(
            contract=contracts.get(wanted.contract or (parent.contract if parent else "")),
            group_manager=GROUP_MANAGERS.get(wanted.group or ""),
            parent=parent,
            identifiers=dict.fromkeys((report.payer, report.provider), ()),
        )
        found = derive(
            resource,
            context,
            report_id=report.id,
            base_url=BASE,
            stage_mapping={},
            last_updated=STORED_AT,
            raw=raw,
        )
        for child in found.lists:
            assert found.contract
            assert found.payer
            assert found.provider
            assert found.identity
            self.parents[child] = ParentFacts(
                report.id, found.contract, found.payer, found.provider, found.identity
            )
        return found


@pytest.fixture
def shelf() -> _Shelf:
    assert guide.ARTIFACTS is not None
    return _Shelf(guide.ARTIFACTS / "vbpr")


def _filed(found: Derived) -> tuple[str, str | None, str | None, str | None, str, str | None]:
    return (found.kind.value, found.contract, found.payer, found.provider, found.stage.value, found.parent)


def _expected(report: OfficialReport) -> tuple[str, str, str, str, str, str | None]:
    return (report.kind, report.contract, report.payer, report.provider, report.stage, report.parent)


def test_every_report_is_filed_right_and_none_is_taken_for_another(shelf: _Shelf) -> None:
    found = {report.id: shelf.derive(report, shelf.folder) for report in OFFICIAL_REPORTS}
    assert {id_: _filed(each) for id_, each in found.items()} == {
        report.id: _expected(report) for report in OFFICIAL_REPORTS
    }
    assert len({each.identity for each in found.values()}) == len(OFFICIAL_REPORTS)
    assert not any(each.waits for each in found.values())


def test_a_report_revised_to_name_a_group_is_still_the_same_report(shelf: _Shelf) -> None:
    for revised in REVISED_REPORTS:
        first = shelf.derive(REPORTS[revised.report.id], shelf.folder)
        again = shelf.derive(revised.report, shelf.folder / "next")
        assert _filed(again) == _expected(revised.report)
        assert again.identity == first.identity
        assert again.facets["subject"] == [revised.group]
        assert "subject" not in first.facets


TYPES = "http://hl7.org/fhir/us/davinci-vbpr/CodeSystem/threshold-type"
GAPS = {
    "quality-measurereport30": [("star-4", "3"), ("star-5", "5")],
    "quality-measurereport31": [("star-4", "0"), ("star-5", "5")],
    "quality-measurereport32": [("star-4", "3"), ("star-5", "4")],
}
"""The gaps of all reports that give one; twenty reports have thresholds."""


def test_the_gaps_to_thresholds_are_those_a_person_reads(shelf: _Shelf) -> None:
    found = {report.id: shelf.derive(report, shelf.folder).facets for report in OFFICIAL_REPORTS}
    assert {id_: facets["threshold-gap"] for id_, facets in found.items() if "threshold-gap" in facets} == {
        id_: [[f"{TYPES}|{code}", gap, ""] for code, gap in gaps] for id_, gaps in GAPS.items()
    }


def test_quality_reports_without_their_parent_wait(shelf: _Shelf) -> None:
    for report in OFFICIAL_REPORTS:
        if report.kind == "quality":
            assert shelf.derive(report, shelf.folder).waits
