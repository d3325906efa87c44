"""Answers: does a report agree with its contract, and with the report it follows. Warnings only; pure.

The guide demands none of it, and its own examples break most of it; a payer wants to hear of it all the same.
What is compared is given as values:

- `terms(measure)`: what a contract says that a report can disagree with
- `units(report)`: in which units and currencies a report gives its metrics
- `disagreements(report, ...)`: every Issue, in the order of this list of codes

| code | what disagrees |
|---|---|
| `contract-period` | the report's period is not within the contract's term |
| `contract-metric` | a metric is not among those the contract lists |
| `contract-payment-stream` | a payment stream is not among the contract's, nor a kind of one of them |
| `contract-component` | the measure of a quality report is not a component of the contract |
| `contract-component-missing` | a settled report lists no quality report for a component |
| `predecessor-unit` | a settled report gives a metric in another unit or currency than the report before |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.dates import period_bounds
from schemas.event import Stage
from schemas.facets import token
from schemas.fhir import PAYMENT_STREAM_SYSTEM
from schemas.outcome import Issue
from services.publisher.check.extensions import URLS
from services.publisher.derive.elements import (
    Element,
    coding_tokens,
    concept_tokens,
    extensions,
    inner_tokens,
)
from services.publisher.derive.model import Kind
from services.publisher.derive.references import without_version

_INCENTIVES: Final = token(PAYMENT_STREAM_SYSTEM, "qip")
_KINDS_OF_INCENTIVE: Final = frozenset(
    token(PAYMENT_STREAM_SYSTEM, code) for code in ("aha", "cdm", "p4r", "p4p", "sip", "sst", "ubip")
)
"""VBPR code system payment-stream: these are kinds of `qip` (is-a)."""
_ALTERNATE: Final = "contractual-alternate"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a contract says that a report can disagree with. Tokens are `system|code`."""

    key: str
    period: tuple[str | None, str | None] | None
    """`Measure.effectivePeriod` as `[low, high)`."""
    metrics: frozenset[str]
    """Empty when the contract lists none: then any will do; so with the payment streams."""
    payment_streams: frozenset[str]
    components: Mapping[str, bool]
    """URL of each component's measure, without a version -> whether a settled report is to have it: an
    alternate measure may stand for another, all others are due."""


def terms(measure: Element) -> Terms:
    """Return what a contract (a vbp-measure that passed the check) says."""
    period = measure.get("effectivePeriod")
    return Terms(
        key=without_version(measure.get("url", "")),
        period=None if period is None else period_bounds(period.get("start"), period.get("end")),
        metrics=frozenset(
            code for group in measure.get("group", ()) for code in concept_tokens(group.get("code"))
        ),
        payment_streams=frozenset(inner_tokens(measure, URLS["payment-stream"], "type")),
        components={
            without_version(artifact["resource"]): not _is_alternate(artifact)
            for artifact in measure.get("relatedArtifact", ())
            if artifact.get("type") == "composed-of" and "resource" in artifact
        },
    )


def _is_alternate(artifact: Element) -> bool:
    return any(
        coding.get("code") == _ALTERNATE
        for extension in extensions(artifact, URLS["contractual-status"])
        for coding in extension.get("valueCodeableConcept", {}).get("coding", ())
    )


def units(report: Element) -> dict[str, frozenset[str]]:
    """Return the units and currencies of each metric (its tokens) that a report gives a score for.

    A unit is a Quantity's code or text, a currency that of an alternate score in Money, and `1` a bare number.
    """
    found: dict[str, frozenset[str]] = {}
    for group in report.get("group", ()):
        here = frozenset(_units(group.get("measureScore", {})))
        for code in concept_tokens(group.get("code")) if here else ():
            found[code] = found.get(code, frozenset()) | here
    return found


def _units(score: Element) -> Iterator[str]:
    if "value" in score:
        yield score.get("code") or score.get("unit") or "1"
    for extension in extensions(score, URLS["alternate-measurescore"]):
        if "valueMoney" in extension:
            yield extension["valueMoney"].get("currency", "1")
        elif "valueDecimal" in extension or "valueInteger" in extension:
            yield "1"


def disagreements(
    report: Element,
    kind: Kind,
    stage: Stage,
    contract: Terms,
    *,
    before: Mapping[str, frozenset[str]] | None = None,
    measures: Iterable[str] | None = None,
) -> list[Issue]:
    """Return where a report that passed the check disagrees with its contract or with the report before it.

    `contract` is the report's, or for a quality report its parent's. `before` is `units` of the report it
    supersedes, or else of its predecessor; `None` when there is none. `measures` are the canonicals of the
    quality reports it lists; `None` when they are not all known yet, so that nothing can be said to be missing.
    """
    found = [*_period(report, contract)]
    if kind is Kind.QUALITY:
        return [*found, *_component(report, contract)]
    found += [*_metrics(report, contract), *_payment_streams(report, contract)]
    if stage is Stage.SETTLED:
        if measures is not None:
            found += _missing(contract, {without_version(measure) for measure in measures})
        found += _changed(report, before or {})
    return found


def _period(report: Element, contract: Terms) -> Iterator[Issue]:
    if contract.period is None:
        return
    period = report["period"]
    low, high = period_bounds(period.get("start"), period.get("end"))
    first, last = contract.period
    early = first is not None and (low is None or low < first)
    late = last is not None and (high is None or high > last)
    if early or late:
        yield _warning(
            "contract-period",
            f"The period of the report is {_span(low, high)}; expected one within the contract's term, "
            f"{_span(first, last)}",
            "MeasureReport.period",
        )


def _span(low: str | None, high: str | None) -> str:
    return f"from {(low or 'any time')[:10]} to before {(high or 'any time')[:10]}"


def _metrics(report: Element, contract: Terms) -> Iterator[Issue]:
    for place, group in enumerate(report.get("group", ())):
        codes = list(concept_tokens(group.get("code")))
        if codes and contract.metrics and contract.metrics.isdisjoint(codes):
            said = f"The metric {_listed(codes)} is not in the contract {contract.key}; expected one that it lists"
            yield _warning("contract-metric", said, f"MeasureReport.group[{place}].code")


def _payment_streams(report: Element, contract: Terms) -> Iterator[Issue]:
    if not contract.payment_streams:
        return
    for path, element in _elements(report):
        for place, extension in enumerate(element.get("extension", ())):
            if extension["url"] != URLS["payment-stream"]:
                continue
            codes = [code for part in extensions(extension, "type") for code in _codes(part)]
            if codes and not any(_agreed(code, contract.payment_streams) for code in codes):
                said = f"The payment stream {_listed(codes)} is not in the contract {contract.key}; expected one of "
                yield _warning(
                    "contract-payment-stream",
                    said + _listed(sorted(contract.payment_streams)),
                    f"{path}.extension[{place}]",
                )


def _elements(report: Element) -> Iterator[tuple[str, Element]]:
    yield "MeasureReport", report
    for place, group in enumerate(report.get("group", ())):
        yield f"MeasureReport.group[{place}]", group


def _codes(part: Element) -> Iterator[str]:
    yield from coding_tokens(part.get("valueCodeableConcept", {}).get("coding", ()))


def _agreed(code: str, streams: frozenset[str]) -> bool:
    return code in streams or (code in _KINDS_OF_INCENTIVE and _INCENTIVES in streams)


def _component(report: Element, contract: Terms) -> Iterator[Issue]:
    measure = without_version(report.get("measure", ""))
    if contract.components and measure not in contract.components:
        said = (
            f"The measure {measure} is not a component of the contract {contract.key}; expected one that is"
        )
        yield _warning("contract-component", said, "MeasureReport.measure")


def _missing(contract: Terms, measures: set[str]) -> Iterator[Issue]:
    for measure, due in contract.components.items():
        if due and measure not in measures:
            said = f"The report is settled and lists no quality report for {measure}; expected one for each component"
            yield _warning("contract-component-missing", said, "MeasureReport.evaluatedResource")


def _changed(report: Element, before: Mapping[str, frozenset[str]]) -> Iterator[Issue]:
    for place, group in enumerate(report.get("group", ())):
        now = frozenset(_units(group.get("measureScore", {})))
        for code in concept_tokens(group.get("code")):
            then = before.get(code)
            if now and then and now.isdisjoint(then):
                said = (
                    f"The metric {code} is given in {_listed(sorted(now))}; expected {_listed(sorted(then))}, "
                    "as in the report before"
                )
                yield _warning("predecessor-unit", said, f"MeasureReport.group[{place}].measureScore")
                break


def _listed(codes: Iterable[Any]) -> str:
    return " or ".join(f"'{code}'" for code in codes)


def _warning(rule: str, said: str, expression: str) -> Issue:
    return Issue("warning", "business-rule", f"{said}.", expression, rule)
