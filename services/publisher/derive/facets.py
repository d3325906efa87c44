"""What can a report be found by? The values of every search parameter, in the form of `schemas.facets`.

Names are those of `schemas.search.parameters`; `parent` (the performance report that lists a quality report)
is carried besides, for those who relate events to each other, and is no search parameter.
Payment streams, paid-through dates and service periods are those of the report and its metrics, not those the
contract allows: a Subscription to a stream asks for reports that say something about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from schemas.dates import bounds, period_bounds, stamp
from schemas.facets import Facets, FacetValue, token
from schemas.fhir import (
    CATEGORY,
    GAP_TO_THRESHOLD,
    ORGANIZATION_SUBJECT,
    PAID_THROUGH_DATE,
    PAYMENT_STREAM,
    REPORT_KIND_SYSTEM,
    REPORT_STAGE_SYSTEM,
    SERVICE_PERIOD,
    STATUS_SYSTEM,
    THRESHOLD,
)
from services.publisher.derive.elements import (
    Element,
    coding_tokens,
    concept_tokens,
    extensions,
    identifier_tokens,
)
from services.publisher.derive.metrics import metric_scores
from services.publisher.derive.model import Context, Derived, Kind
from services.publisher.derive.references import literal, logical, target_type
from services.publisher.derive.thresholds import threshold_gaps

_Texts = Mapping[str, Sequence[str]]


def facets_of(
    report: Element,
    derived: Derived,
    context: Context,
    *,
    report_id: str,
    base_url: str,
    last_updated: datetime,
    raw: bytes,
) -> Facets:
    """Return the facets of one version of a report; arguments are those of `derive`, and what it found out."""
    references = _references(report, base_url)
    metrics = _Metrics(report)
    facets: dict[str, Sequence[FacetValue]] = {}
    for texts in (
        _of_any_resource(report, report_id),
        _of_measure_report(report),
        _of_references(references, base_url),
        {"metric": metrics.codes, "payment-stream": metrics.payment_streams},
        _of_standing(report, derived),
        _of_contract(context),
        _of_parties(references, derived, context),
    ):
        for name, values in texts.items():
            if values:
                facets[name] = list(dict.fromkeys(values)) if len(values) > 1 else list(values)
    facets["_lastUpdated"] = [list(bounds(stamp(last_updated)))]
    if (date := report.get("date")) is not None:
        facets["date"] = [list(bounds(date))]
    if (period := report.get("period")) is not None:
        facets["period"] = [list(_bounds(period))]
    _add(facets, "paid-through", metrics.paid_through)
    _add(facets, "service-period", metrics.service_periods)
    if metrics.codes:
        _add(facets, "metric-score", metric_scores(raw))
    if metrics.has_gaps:
        _add(facets, "threshold-gap", threshold_gaps(raw))
    return facets


def _add(
    facets: dict[str, Sequence[FacetValue]], name: str, values: Sequence[tuple[str | None, ...]]
) -> None:
    """Add values of several parts, each once."""
    if values:
        facets[name] = [list(value) for value in dict.fromkeys(values)]


def _bounds(period: Element) -> tuple[str | None, str | None]:
    return period_bounds(period.get("start"), period.get("end"))


def _of_any_resource(report: Element, report_id: str) -> _Texts:
    meta = report.get("meta", {})
    return {
        "_id": [token("", report_id)],
        "_tag": coding_tokens(meta.get("tag", ())),
        "_security": coding_tokens(meta.get("security", ())),
        "_profile": [profile for profile in meta.get("profile", ()) if profile is not None],
        "_source": _given(meta, "source"),
    }


def _of_measure_report(report: Element) -> _Texts:
    return {
        "identifier": list(identifier_tokens(report.get("identifier", ()))),
        "status": [token(STATUS_SYSTEM, status) for status in _given(report, "status")],
        "measure": _given(report, "measure"),
        "category": [
            found
            for extension in extensions(report, CATEGORY)
            for found in concept_tokens(extension.get("valueCodeableConcept"))
        ],
    }


def _references(report: Element, base_url: str) -> dict[str, list[Element]]:
    subjects = _given(report, "subject")
    return {
        "subject": subjects,
        "patient": [each for each in subjects if target_type(each, base_url) == "Patient"],
        "reporter": _given(report, "reporter"),
        "evaluated-resource": report.get("evaluatedResource", []),
        "subject-organization": [
            extension["valueReference"]
            for subject in subjects
            for extension in extensions(subject, ORGANIZATION_SUBJECT)
            if "valueReference" in extension
        ],
    }


def _of_references(references: Mapping[str, Sequence[Element]], base_url: str) -> _Texts:
    """What the references point to, and then the identifiers they carry."""
    named = [(name, found) for name, found in references.items() if found]
    texts: dict[str, Sequence[str]] = {name: _targets(found, base_url) for name, found in named}
    for name, found in named:
        texts[f"{name}:identifier"] = _logical(found)
    return texts


def _targets(references: Iterable[Element], base_url: str) -> list[str]:
    return [found for each in references if (found := literal(each, base_url)) is not None]


def _logical(references: Iterable[Element]) -> list[str]:
    return [found for each in references if "identifier" in each and (found := logical(each)) is not None]


class _Metrics:
    """What the report and its metrics give, in one pass over them: a large report has hundreds, and few values."""

    def __init__(self, report: Element) -> None:
        """Read the report and its groups."""
        codes: dict[tuple[str, str], None] = {}
        self._streams: dict[tuple[str, str], None] = {}
        self._paid_through: dict[str, None] = {}
        self._periods: dict[tuple[str | None, str | None], None] = {}
        found = report.get("extension", ())
        self._read(found)
        self.has_gaps = any(_has_gap(each) for each in found if each["url"] == THRESHOLD)
        for group in report.get("group", ()):
            if (code := group.get("code")) is not None:
                _note_codes(codes, code)
            if (found := group.get("extension")) is not None:
                self._read(found)
        self.codes = [token(*each) for each in codes]
        """Each metric's code once, as a token."""

    def _read(self, found: Iterable[Element]) -> None:
        for extension in found:
            url = extension["url"]
            if url == PAYMENT_STREAM:
                for inner in extension.get("extension", ()):
                    if inner["url"] == "type" and (stream := inner.get("valueCodeableConcept")) is not None:
                        _note_codes(self._streams, stream)
            elif url == PAID_THROUGH_DATE:
                if (day := extension.get("valueDate")) is not None:
                    self._paid_through[day] = None
            elif url == SERVICE_PERIOD and (period := extension.get("valuePeriod")) is not None:
                self._periods[period.get("start"), period.get("end")] = None

    @property
    def payment_streams(self) -> list[str]:
        """Each payment stream's code once, as a token."""
        return [token(*each) for each in self._streams]

    @property
    def paid_through(self) -> list[tuple[str, str]]:
        """The paid-through dates, as bounds."""
        return [bounds(day) for day in self._paid_through]

    @property
    def service_periods(self) -> list[tuple[str | None, str | None]]:
        """The service periods, as bounds."""
        return [period_bounds(*each) for each in self._periods]


def _has_gap(threshold: Element) -> bool:
    return next(extensions(threshold, GAP_TO_THRESHOLD), None) is not None


def _note_codes(known: dict[tuple[str, str], None], concept: Element) -> None:
    """Note the codes of a CodeableConcept with their systems."""
    for coding in concept.get("coding", ()):
        if (code := coding.get("code")) is not None:
            known[coding.get("system", ""), code] = None


def _of_standing(report: Element, derived: Derived) -> _Texts:
    quality = derived.kind is Kind.QUALITY
    return {
        "contract": _known(derived.contract),
        "stage": [token(REPORT_STAGE_SYSTEM, derived.stage)],
        "kind": [token(REPORT_KIND_SYSTEM, derived.kind)],
        "payer": _known(derived.payer),
        "provider": _known(derived.provider),
        "parent": [f"MeasureReport/{parent}" for parent in _known(derived.parent)],
        "quality-measure": _given(report, "measure") if quality else [],
    }


def _of_contract(context: Context) -> _Texts:
    contract = context.contract
    if contract is None:
        return {}
    return {
        "lob": contract.lines_of_business,
        "program-model": contract.program_models,
        "cohort": contract.cohorts,
    }


def _of_parties(references: Mapping[str, list[Element]], derived: Derived, context: Context) -> _Texts:
    """Identifiers of the parties: those of the stored Organization, and those the report itself gives."""
    return {
        f"{name}-identifier": [
            *context.identifiers.get(party or "", ()),
            *_logical(references[shown]),
        ]
        for name, party, shown in (
            ("payer", derived.payer, "reporter"),
            ("provider", derived.provider, "subject-organization"),
        )
    }


def _given(element: Element, name: str) -> list[Any]:
    return [element[name]] if name in element else []


def _known(value: str | None) -> list[str]:
    return [] if value is None else [value]
