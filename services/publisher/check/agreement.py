"""Answers: does a report agree with its contract, and with the report it follows. Warnings only; pure.

The guide demands none of it, and its own examples break most of it; a payer wants to hear of it all the same.
What is compared is given as values:

- `disagreements(report, ...)`: where a report disagrees with its contract
- `changed_units(report, before)`: where a settled report disagrees with the one before it
- `units(facets)`: in which units and currencies a report gives its metrics

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
from typing import Any, Final

from schemas.dates import period_bounds
from schemas.event import Stage
from schemas.facets import Facets, token
from schemas.fhir import PAYMENT_STREAM, PAYMENT_STREAM_SYSTEM
from schemas.outcome import Issue
from services.publisher.derive.elements import Element, coding_tokens, concept_tokens, extensions
from services.publisher.derive.model import ContractFacts, Kind
from services.publisher.derive.references import without_version

_INCENTIVES: Final = token(PAYMENT_STREAM_SYSTEM, "qip")
_KINDS_OF_INCENTIVE: Final = frozenset(
    token(PAYMENT_STREAM_SYSTEM, code) for code in ("aha", "cdm", "p4r", "p4p", "sip", "sst", "ubip")
)
"""VBPR code system payment-stream: these are kinds of `qip` (is-a)."""


def disagreements(
    report: Element,
    kind: Kind,
    stage: Stage,
    contract: ContractFacts,
    *,
    measures: Iterable[str] | None = None,
    facets: Facets | None = None,
) -> list[Issue]:
    """Return where a report that passed the check disagrees with its contract, in the order of the codes above.

    `contract` is the report's, or for a quality report its parent's. `measures` are the canonicals of the
    quality reports it lists; `None` when they are not all known yet, so that nothing can be said to be missing.
    `facets` are the report's, where they have been worked out: most reports are seen to agree by these alone.
    """
    found = [*_period(report, contract)]
    if kind is Kind.QUALITY:
        return [*found, *_component(report, contract)]
    if facets is None or not frozenset(contract.metrics).issuperset(facets.get("metric", ())):
        found += _metrics(report, contract)
    if facets is None or not frozenset(contract.payment_streams).issuperset(facets.get("payment-stream", ())):
        found += _payment_streams(report, contract)
    if stage is Stage.SETTLED and measures is not None:
        found += _missing(contract, {without_version(measure) for measure in measures})
    return found


def units(facets: Facets) -> dict[str, frozenset[str]]:
    """Return the units and currencies of each metric (a token) that a report gives a score for.

    A unit is a Quantity's code or text, a currency that of an alternate score in Money, and `1` a bare number.
    """
    found: dict[str, frozenset[str]] = {}
    for score in facets.get("metric-score", ()):
        metric, _, unit = (part or "" for part in score)
        found[metric] = found.get(metric, frozenset()) | {unit or "1"}
    return found


def changed_units(
    report: Element, now: Mapping[str, frozenset[str]], before: Mapping[str, frozenset[str]]
) -> list[Issue]:
    """Return which metrics of a settled report have another unit or currency than in the report before it.

    `now` and `before` are the `units` of the report, and of the one it supersedes or else of its predecessor.
    """
    changed = {code for code in now if code in before and now[code].isdisjoint(before[code])}
    issues = []
    for place, group in enumerate(report.get("group", ()) if changed else ()):
        for code in concept_tokens(group.get("code")):
            if code in changed:
                said = (
                    f"The metric {code} is given in {_listed(sorted(now[code]))}; expected "
                    f"{_listed(sorted(before[code]))}, as in the report before"
                )
                issues.append(
                    _warning("predecessor-unit", said, f"MeasureReport.group[{place}].measureScore")
                )
                break
    return issues


def _period(report: Element, contract: ContractFacts) -> Iterator[Issue]:
    if contract.term is None:
        return
    period = report["period"]
    low, high = period_bounds(period.get("start"), period.get("end"))
    first, last = contract.term
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


def _metrics(report: Element, contract: ContractFacts) -> Iterator[Issue]:
    agreed = frozenset(contract.metrics)
    for place, group in enumerate(report.get("group", ()) if agreed else ()):
        codes = concept_tokens(group.get("code"))
        if codes and agreed.isdisjoint(codes):
            said = f"The metric {_listed(codes)} is not in the contract {contract.key}; expected one that it lists"
            yield _warning("contract-metric", said, f"MeasureReport.group[{place}].code")


def _payment_streams(report: Element, contract: ContractFacts) -> Iterator[Issue]:
    streams = frozenset(contract.payment_streams)
    if not streams:
        return
    for path, element in _elements(report):
        for place, extension in enumerate(element.get("extension", ())):
            if extension["url"] != PAYMENT_STREAM:
                continue
            codes = [code for part in extensions(extension, "type") for code in _codes(part)]
            if codes and not any(_agreed(code, streams) for code in codes):
                said = f"The payment stream {_listed(codes)} is not in the contract {contract.key}; expected one of "
                yield _warning(
                    "contract-payment-stream",
                    said + _listed(sorted(streams)),
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


def _component(report: Element, contract: ContractFacts) -> Iterator[Issue]:
    measure = without_version(report.get("measure", ""))
    if contract.components and measure not in contract.components:
        said = (
            f"The measure {measure} is not a component of the contract {contract.key}; expected one that is"
        )
        yield _warning("contract-component", said, "MeasureReport.measure")


def _missing(contract: ContractFacts, measures: set[str]) -> Iterator[Issue]:
    for measure, due in contract.components.items():
        if due and measure not in measures:
            said = f"The report is settled and lists no quality report for {measure}; expected one for each component"
            yield _warning("contract-component-missing", said, "MeasureReport.evaluatedResource")


def _listed(codes: Iterable[Any]) -> str:
    return " or ".join(f"'{code}'" for code in codes)


def _warning(rule: str, said: str, expression: str) -> Issue:
    return Issue("warning", "business-rule", f"{said}.", expression, rule)
