"""For everything that can be asked for there is a report that fires it: derived as the publisher does, not made up.

A facet that derive never filled would leave a Subscription that is admitted and never told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import orjson
import pytest

from schemas import examples
from schemas.event import EventType
from schemas.facets import Facets
from schemas.fhir import METRIC_SYSTEM, OURS
from schemas.search.parameters import ALL, MEASURE_REPORT, Modifier
from services.notifier.match.explain import explain
from services.notifier.match.index import MatchIndex
from services.notifier.subscriptions.admission import admit, interest, term_texts
from services.notifier.subscriptions.channels import EndpointPolicy
from tests.notifying import classic, topical
from tests.publishing import threshold
from tests.pure.filed_examples import filed
from tests.pure.small_reports import BASE, EXTENSION, STREAM

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOOK = "https://provider.example/hook"
POLICY = EndpointPolicy(allow_http=False, allow_private=False)
CONTRACT = "https://lakeshore-health-plan.example/contracts/medicare-advantage-harbor-point"
MEASURE = "https://quality-measures.example/Measure/breast-cancer-screening"
NPI = "http://hl7.org/fhir/sid/us-npi"
NAIC = "urn:oid:2.16.840.1.113883.6.300"
QUALITY: Final = frozenset({"quality-measure", "threshold-gap"})
"""What only a quality report has."""


def with_what_few_have(text: bytes) -> bytes:
    """Return an example report with what none of them has: labels, a source, a patient, references by identifier."""
    report = orjson.loads(text)
    (named,) = report["subject"]["extension"]
    report["meta"] |= {
        "source": "https://lakeshore-health-plan.example/reporting",
        "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}],
    }
    report["subject"] |= {"reference": "Patient/p7", "identifier": {"system": "urn:mrn", "value": "7"}}
    named["valueReference"]["identifier"] = {"system": "urn:tin", "value": "9"}
    report["reporter"]["identifier"] = {"system": "urn:naic", "value": "99021"}
    report["evaluatedResource"].append({"identifier": {"system": "urn:reports", "value": "q3"}})
    return bytes(orjson.dumps(report))


def with_a_gap(text: bytes) -> bytes:
    """Return a report with the gap to a threshold, which the examples' quality reports leave out."""
    report = orjson.loads(text)
    if report["id"] == "harbor-point-2024-breast-cancer-screening":
        report["extension"].append(threshold(2.5))
    return bytes(orjson.dumps(report))


@cache
def derived() -> tuple[Facets, Facets]:
    """Return the facets of a performance report, and of a quality report that it lists."""
    *texts, last = (with_a_gap(path.read_bytes()) for path in examples.reports())
    found = filed([*texts, with_what_few_have(last)])
    by_id = {report_id: each.facets for report_id, each in found}
    return by_id["harbor-point-2024"], by_id["harbor-point-2024-breast-cancer-screening"]


ASKED: Final = {
    "_id": ("harbor-point-2024", "harbor-point-2023"),
    "_lastUpdated": ("2026-03-04", "lt2026-03-04"),
    "_tag": ("settled", "unsettled"),
    "_security": ("R", "N"),
    "_profile": (EXTENSION + "vbp-performance-measurereport", EXTENSION + "vbp-quality-measurereport"),
    "_source": ("https://lakeshore-health-plan.example/reporting", "https://lakeshore-health-plan.example/"),
    "date": ("2025-09-09", "2025-09-10"),
    "period": ("2024", "2025"),
    "identifier": ("https://lakeshore-health-plan.example/performance-reports|MA-0417-2024", "MA-0417-2023"),
    "status": ("complete", "pending"),
    "measure": (CONTRACT, CONTRACT + "-2"),
    "patient": ("p7", "p8"),
    "subject": ("Patient/p7", "Group/p7"),
    "reporter": ("Organization/lakeshore-health-plan", "Organization/summit-mutual"),
    "evaluated-resource": ("MeasureReport/harbor-point-2024-blood-pressure", "MeasureReport/other"),
    "category": ("http://hl7.org/fhir/CodeSystem/measurereport-category|vbp", "deqm"),
    "subject-organization": ("harbor-point-clinic", "prairie-valley"),
    "contract": (CONTRACT, CONTRACT + "-2"),
    "payer": ("lakeshore-health-plan", "summit-mutual"),
    "provider": ("harbor-point-clinic", "prairie-valley"),
    "payer-identifier": (f"{NAIC}|99021", f"{NAIC}|99022"),
    "provider-identifier": (f"{NPI}|2100044173", f"{NPI}|2100088352"),
    "stage": ("settled", "final"),
    "kind": ("performance", "quality"),
    "lob": ("https://nahdo.org/sopt|1", "https://nahdo.org/sopt|2"),
    "program-model": ("3A", "4A"),
    "cohort": ("hmo", "pos"),
    "payment-stream": (f"{STREAM}|ssq", f"{STREAM}|ubip"),
    "metric": (f"{METRIC_SYSTEM}|revenue-pmpm", "readmission"),
    "metric-score": ("revenue-pmpm$1050||USD", "revenue-pmpm$gt1050"),
    "quality-measure": (MEASURE, MEASURE + "-2"),
    "threshold-gap": ("star-4$gt0", "star-4$le0"),
    "paid-through": ("2025-06-30", "2025-07"),
    "service-period": ("2024", "2023"),
}
"""Of each parameter, a value that the report has, and one that it has not."""

BY_IDENTIFIER: Final = {
    "patient": ("urn:mrn|7", "urn:mrn|8"),
    "subject": ("urn:mrn|7", "urn:mrn|8"),
    "reporter": ("urn:naic|99021", "urn:naic|1"),
    "evaluated-resource": ("urn:reports|q3", "urn:reports|q4"),
    "subject-organization": ("urn:tin|9", "urn:tin|8"),
    "payer": (f"{NAIC}|99021", f"{NAIC}|99022"),
    "provider": (f"{NPI}|2100044173", f"{NPI}|2100088352"),
}
"""The same of each reference that may be asked for by `:identifier`."""


@dataclass(frozen=True)
class Event:
    facets: Facets
    type: EventType = EventType.PUBLISHED
    previous_facets: Facets | None = None
    time: datetime = NOW


def told(resource: dict[str, Any], facets: Facets) -> bool:
    """Tell whether a Subscription, admitted as it is sent, is told of a report; index and explanation agree."""
    sent = admit(resource, base_url=BASE, policy=POLICY, now=NOW)
    wanted = interest("s", frozenset({"*"}), sent.kind, sent.criteria, sent.filters, base_url=BASE)
    index = MatchIndex()
    index.put(wanted)
    event = Event(facets)
    found = index.match(event) == ["s"]
    assert explain(wanted, term_texts(sent.kind, sent.criteria, sent.filters), event, None).fires == found
    return found


def asking(kind: str, text: str) -> dict[str, Any]:
    if kind == "classic":
        return {**classic(HOOK), "criteria": f"MeasureReport?{text}"}
    # The topic about bounds has a test of its own: it asks what came before as well.
    return {**topical(HOOK, text), "criteria": f"{OURS}SubscriptionTopic/report-available"}


def test_every_parameter_is_asked_for_here() -> None:
    assert set(ASKED) == {parameter.name for parameter in ALL}
    by_identifier = {each.name for each in ALL if Modifier.IDENTIFIER in each.modifiers}
    assert set(BY_IDENTIFIER) == by_identifier


@pytest.mark.requirement("R-031", "R-041", "R-043", "R-050")
@pytest.mark.parametrize("kind", ["classic", "topic"])
@pytest.mark.parametrize("spelling", sorted(MEASURE_REPORT))
def test_a_derived_report_fires_who_asks_for_what_it_has_and_nobody_else(spelling: str, kind: str) -> None:
    name = MEASURE_REPORT[spelling].name
    facets = derived()[name in QUALITY]
    assert facets.get(name), "the report has a value"
    has, has_not = ASKED[name]
    assert told(asking(kind, f"{spelling}={has}"), facets)
    assert not told(asking(kind, f"{spelling}={has_not}"), facets)


@pytest.mark.requirement("R-031", "R-041", "R-043", "R-050")
@pytest.mark.parametrize("kind", ["classic", "topic"])
@pytest.mark.parametrize("name", sorted(BY_IDENTIFIER))
def test_a_derived_report_fires_who_asks_for_a_reference_by_its_identifier(name: str, kind: str) -> None:
    facets, _ = derived()
    has, has_not = BY_IDENTIFIER[name]
    assert told(asking(kind, f"{name}:identifier={has}"), facets)
    assert not told(asking(kind, f"{name}:identifier={has_not}"), facets)
