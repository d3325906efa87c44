"""Small reports, and what is known besides them, for the tests of the derive step: literal values only."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from services.publisher.derive import StageMapping, derive
from services.publisher.derive.model import Context, ContractFacts, Derived, ParentFacts

BASE = "https://publisher.example/fhir"
CONTRACT = "https://plan.example/contracts/one"
PAYER = "Organization/plan"
PROVIDER = "Organization/clinic"
STORED_AT = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)

VBPR = "http://hl7.org/fhir/us/davinci-vbpr/"
EXTENSION = VBPR + "StructureDefinition/"
METRIC = VBPR + "CodeSystem/vbp-performance-metric"
STREAM = VBPR + "CodeSystem/payment-stream"
STAGE = "https://vbpr-subscriptions.org/fhir/CodeSystem/report-stage"
PERIOD_IDENTITY = (
    '["https://plan.example/contracts/one","Organization/clinic",'
    '"2025-01-01T00:00:00.000Z","2026-01-01T00:00:00.000Z"]'
)

FACTS = ContractFacts(CONTRACT, PAYER)
PARENT = ParentFacts("year", CONTRACT, PAYER, PROVIDER, PERIOD_IDENTITY)
IDENTIFIERS: dict[str, tuple[str, ...]] = {PAYER: (), PROVIDER: ()}


def performance(**changes: Any) -> dict[str, Any]:
    """Return a performance report; a change of `None` takes the element away."""
    report = {
        "resourceType": "MeasureReport",
        "meta": {"profile": [EXTENSION + "vbp-performance-measurereport"]},
        "status": "complete",
        "type": "summary",
        "measure": CONTRACT,
        "subject": by_extension({"reference": PROVIDER}),
        "date": "2026-02-03",
        "reporter": {"reference": PAYER},
        "period": {"start": "2025-01-01", "end": "2025-12-31"},
    }
    return {name: value for name, value in {**report, **changes}.items() if value is not None}


def quality(**changes: Any) -> dict[str, Any]:
    """Return a quality report; a change of `None` takes the element away."""
    report = {
        "resourceType": "MeasureReport",
        "meta": {"profile": [EXTENSION + "vbp-quality-measurereport"]},
        "status": "complete",
        "type": "summary",
        "measure": "https://measures.example/Measure/eyes|2.1",
        "date": "2026-02-03",
        "reporter": {"reference": PAYER},
        "period": {"start": "2025-01-01", "end": "2025-12-31"},
    }
    return {name: value for name, value in {**report, **changes}.items() if value is not None}


def by_extension(organisation: dict[str, Any]) -> dict[str, Any]:
    """Return a subject that names the provider as VBPR 1.0 and 1.1 do."""
    return {
        "display": "Clinic",
        "extension": [{"url": EXTENSION + "organization-subject", "valueReference": organisation}],
    }


def derived(
    report: dict[str, Any],
    context: Context | None = None,
    *,
    report_id: str = "year",
    stage_mapping: StageMapping | None = None,
    raw: bytes | None = None,
) -> Derived:
    """Derive a report, by default under a contract that is known and has the payer."""
    return derive(
        report,
        Context(FACTS, identifiers=IDENTIFIERS) if context is None else context,
        report_id=report_id,
        base_url=BASE,
        stage_mapping={} if stage_mapping is None else stage_mapping,
        last_updated=STORED_AT,
        raw=json.dumps(report).encode() if raw is None else raw,
    )
