"""Why does an event fire a subscription, or why not? Term by term: expected, found, verdict.

Pure, and by the same functions that match: what it says of all checks together is what the index does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.facets import EVERY_ORGANISATION, Facets, FacetValue, parties
from schemas.search.predicate import compile_term, compile_terms, concerns, facet_name
from schemas.search.values import Term
from services.notifier.match.crossing import crossing
from services.notifier.match.interest import GONE, EventView, Interest, ended, triggered

MOST_FOUND: Final = 20
"""Values shown of one parameter."""


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of a subscription, held against an event."""

    name: str
    """`organisation`, `trigger`, `end`, `crossing`, or the search parameter."""
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
    checks = [_organisation(interest, event), _trigger(interest, event), *_end(interest, event)]
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


def _end(interest: Interest, event: EventView) -> Iterator[Check]:
    if interest.ends_at is None:
        return
    over = ended(interest.ends_at, event.time)
    wanted = f"accepted before its end, {interest.ends_at.isoformat()}"
    found = f"accepted at {event.time.isoformat()}"
    yield Check("end", wanted, f"{found}: it had ended" if over else found, not over)


def _term(term: Term, text: str, facets: Facets, event: EventView) -> Check:
    found = _values(facets.get(facet_name(term), ()), [term], event.time)
    return Check(term.parameter.name, text, found, compile_term(term)(facets, event.time))


def _crossing(interest: Interest, event: EventView, predecessor: Facets | None) -> Iterator[Check]:
    watched = interest.audience.crosses
    if not watched:
        return
    before = predecessor if event.previous_facets is None else event.previous_facets
    crosses = crossing(interest.query.terms, watched)(event.facets, before, event.time)
    found = "no report came before"
    if before is not None:
        bounds = [term for term in interest.query.terms if term.parameter.name in watched]
        named = dict.fromkeys(term.parameter.name for term in bounds)
        had = [value for name in named for value in before.get(name, ())]
        found = f"before: {_values(had, bounds, event.time)}"
    yield Check("crossing", "a bound that was not met before", found, crosses)


def _values(values: Sequence[FacetValue], terms: Sequence[Term], at: datetime) -> str:
    """Return what was found; what the terms are about comes first, so that it is never what is cut off."""
    first = sorted(values, key=lambda value: not any(concerns(term, value, at) for term in terms))
    return _listed([_shown(value) for value in first])


def _shown(value: FacetValue) -> str:
    if isinstance(value, str):
        return value
    return " ".join("open" if part is None else part for part in value if part != "")


def _listed(values: list[str]) -> str:
    shown = ", ".join(values[:MOST_FOUND]) or "nothing"
    return shown if len(values) <= MOST_FOUND else f"{shown} and {len(values) - MOST_FOUND} more"
