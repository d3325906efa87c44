"""Why does an event fire a subscription, or why not? Term by term: expected, found, verdict.

Pure, and by the same functions that match: what it says of all checks together is what the index does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.facets import EVERY_ORGANISATION, Facets, FacetValue, parties
from schemas.search.predicate import compile_term, compile_terms, facet_name
from schemas.search.values import Term
from services.notifier.match.crossing import crossing
from services.notifier.match.interest import GONE, EventView, Interest, triggered

MOST_FOUND: Final = 20
"""Values shown of one parameter."""


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of a subscription, held against an event."""

    name: str
    """`organisation`, `trigger`, `crossing`, or the search parameter."""
    expected: str
    found: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that decides whether an event fires a subscription."""

    checks: tuple[Check, ...]

    @property
    def fires(self) -> bool:
        """Whether it does: every check holds."""
        return all(check.holds for check in self.checks)


def explain(
    interest: Interest, texts: tuple[str, ...], event: EventView, predecessor: Facets | None
) -> Explanation:
    """Return every check; `texts` are the terms as the subscriber wrote them, in the order of the query's."""
    facets = _judged(interest, event)
    checks = [_organisation(interest, event), _trigger(interest, event)]
    checks += [
        _term(term, text, facets, event) for term, text in zip(interest.query.terms, texts, strict=True)
    ]
    checks += _crossing(interest, event, predecessor)
    return Explanation(tuple(checks))


def _judged(interest: Interest, event: EventView) -> Facets:
    """Return the facets that the terms are held against: of what was superseded, where only that meets them."""
    before = event.previous_facets
    if not interest.audience.also_previous or event.type not in GONE or before is None:
        return event.facets
    holds = compile_terms(interest.query.terms)
    superseded = not holds(event.facets, event.time) and holds(before, event.time)
    return before if superseded else event.facets


def _organisation(interest: Interest, event: EventView) -> Check:
    found = parties(event.facets)
    holds = not interest.organisations.isdisjoint({*found, EVERY_ORGANISATION})
    wanted = (
        "any" if EVERY_ORGANISATION in interest.organisations else _listed(sorted(interest.organisations))
    )
    return Check(
        "organisation", f"a report that one of these is party to: {wanted}", _listed(sorted(found)), holds
    )


def _trigger(interest: Interest, event: EventView) -> Check:
    wanted = (
        trigger.event.value
        + ("" if trigger.previously is None else f" of a report that was {trigger.previously.value}")
        for trigger in interest.audience.triggers
    )
    return Check(
        "trigger", _listed(sorted(wanted)), event.type.value, triggered(interest.audience.triggers, event)
    )


def _term(term: Term, text: str, facets: Facets, event: EventView) -> Check:
    found = _listed([_shown(value) for value in facets.get(facet_name(term), ())])
    return Check(term.parameter.name, text, found, compile_term(term)(facets, event.time))


def _crossing(interest: Interest, event: EventView, predecessor: Facets | None) -> Iterator[Check]:
    watched = interest.audience.crosses
    if not watched:
        return
    before = predecessor if event.previous_facets is None else event.previous_facets
    crosses = crossing(interest.query.terms, watched)(event.facets, before, event.time)
    found = "no report came before"
    if before is not None:
        named = dict.fromkeys(term.parameter.name for term in interest.query.terms)
        values = [_shown(each) for name in named if name in watched for each in before.get(name, ())]
        found = f"before: {_listed(values)}"
    yield Check("crossing", "a bound that was not met before", found, crosses)


def _shown(value: FacetValue) -> str:
    if isinstance(value, str):
        return value
    return " ".join("open" if part is None else part for part in value if part != "")


def _listed(values: list[str]) -> str:
    shown = ", ".join(values[:MOST_FOUND]) or "nothing"
    return shown if len(values) <= MOST_FOUND else f"{shown} and {len(values) - MOST_FOUND} more"
