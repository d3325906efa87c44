"""Where does a report stand? Under which contract, between whom, at which stage, as which report: or why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.event import Stage
from schemas.outcome import FhirError, Issue
from services.publisher.derive.elements import Element
from services.publisher.derive.identity import performance_identity, quality_identity
from services.publisher.derive.listing import check_listing
from services.publisher.derive.model import Context, Derived, Kind, ParentFacts
from services.publisher.derive.needs import kind_of, listed
from services.publisher.derive.parties import payer_of, provider_of
from services.publisher.derive.references import without_version
from services.publisher.derive.stage import StageMapping, stage_of


@dataclass(frozen=True, slots=True)
class _Claim:
    """Contract and parties as far as they can be told; an issue accounts for what cannot."""

    contract: str | None
    payer: str | None
    provider: str | None
    issues: tuple[Issue, ...]


def standing_of(
    report: Element, context: Context, report_id: str, base_url: str, mapping: StageMapping
) -> Derived:
    """Return all that follows from a report but its facets, which are empty.

    Raises:
        FhirError: 422 with every issue found, as `derive` says.
    """
    kind = kind_of(report)
    performance = kind is Kind.PERFORMANCE
    claim = (_performance if performance else _quality)(report, context, base_url)
    stage = stage_of(report, claim.payer, mapping)
    identity = _identity(report, kind, claim, context, report_id)
    places = listed(report, base_url) if performance else {}
    issues = [*claim.issues, *_changes(kind, claim, context.former)]
    if isinstance(stage, Issue):
        issues.append(stage)
    if places and claim.contract and claim.payer and claim.provider and identity:
        mine = ParentFacts(report_id, claim.contract, claim.payer, claim.provider, identity)
        issues.extend(check_listing(mine, places, context.listed))
    if issues or isinstance(stage, Issue):
        raise FhirError(422, *issues)
    return _derived(kind, stage, claim, identity, context.parent, tuple(places))


def _derived(
    kind: Kind,
    stage: Stage,
    claim: _Claim,
    identity: str | None,
    parent: ParentFacts | None,
    lists: tuple[str, ...],
) -> Derived:
    return Derived(
        kind=kind,
        stage=stage,
        contract=claim.contract,
        payer=claim.payer,
        provider=claim.provider,
        identity=identity,
        parent=parent.report if kind is Kind.QUALITY and parent is not None else None,
        lists=lists,
        facets={},
    )


def _performance(report: Element, context: Context, base_url: str) -> _Claim:
    issues: list[Issue] = []
    key = without_version(report["measure"])
    if context.contract is None:
        found = f"No contract here has the url {key}; publish its Measure first."
        issues.append(Issue("error", "not-found", found, "MeasureReport.measure"))
    payer = _settled(payer_of(report, context, base_url), issues)
    provider = _settled(provider_of(report, context, base_url), issues)
    bound = None if context.contract is None else context.contract.payer
    if bound is not None:
        issues.extend(_other_payer(payer, bound, "the payer of the contract"))
    return _Claim(key, payer, provider, tuple(issues))


def _quality(report: Element, context: Context, base_url: str) -> _Claim:
    issues: list[Issue] = []
    payer = _settled(payer_of(report, context, base_url), issues)
    parent = context.parent
    if parent is None:
        return _Claim(None, payer, None, tuple(issues))
    issues.extend(_other_payer(payer, parent.payer, f"the payer of its parent MeasureReport/{parent.report}"))
    return _Claim(parent.contract, parent.payer, parent.provider, tuple(issues))


def _settled(party: str | Issue | None, issues: list[Issue]) -> str | None:
    """Return the party; an issue goes to the others instead."""
    if isinstance(party, Issue):
        issues.append(party)
        return None
    return party


def _other_payer(payer: str | None, expected: str, whose: str) -> Iterator[Issue]:
    if payer not in {None, expected}:
        found = f"The reporter is {payer}; expected {expected}, {whose}."
        yield Issue("error", "business-rule", found, "MeasureReport.reporter")


def _identity(report: Element, kind: Kind, claim: _Claim, context: Context, report_id: str) -> str | None:
    if kind is Kind.QUALITY:
        parent = context.parent
        return None if parent is None else quality_identity(parent.identity, report["measure"], report_id)
    if claim.contract is None or claim.provider is None:
        return None
    return performance_identity(claim.contract, claim.provider, report["period"])


def _changes(kind: Kind, claim: _Claim, former: Derived | None) -> Iterator[Issue]:
    """Yield an issue for each thing an update may not change; one that was not known before may be learnt."""
    if former is None:
        return
    parties = kind is Kind.PERFORMANCE
    for name, was, now, expression in (
        ("kind", former.kind, kind, "MeasureReport"),
        (
            "contract",
            former.contract,
            claim.contract,
            "MeasureReport.measure" if parties else "MeasureReport",
        ),
        ("payer", former.payer, claim.payer, "MeasureReport.reporter"),
        (
            "provider",
            former.provider,
            claim.provider,
            "MeasureReport.subject" if parties else "MeasureReport",
        ),
    ):
        if was is not None and now is not None and was != now:
            found = (
                f"The {name} of this report was {was} and would become {now}; "
                "withdraw it and publish a new report under another id."
            )
            yield Issue("error", "business-rule", found, expression)
