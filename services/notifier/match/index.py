"""Which subscriptions does this event fire? The index: signature tables, kept up to date one write at a time.

Subscriptions whose queries look up the same columns share a table. Its key is an organisation and one value for
each column; the organisation always comes first, so that criteria can only ever narrow what its holder may see.
Under a key stand the *conditions* still to be tested, each with the subscriptions that share it: a condition is
compiled once and tested once a cell, however many stand behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TypeAlias
from weakref import WeakValueDictionary

from schemas.facets import EVERY_ORGANISATION, Facets, parties
from schemas.search.predicate import Predicate, compile_terms
from schemas.search.values import Term
from schemas.topics import Trigger
from services.notifier.match.columns import Column, Place, Plan, Signature, plan, read
from services.notifier.match.interest import GONE, EventView, Interest, triggered


@dataclass(frozen=True, slots=True)
class _Terms:
    """What identifies a condition."""

    residual: tuple[Term, ...]
    triggers: tuple[Trigger, ...]
    also_previous: bool


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class _Condition:
    """What is left to test once a lookup has hit; the same object wherever the same is left."""

    triggers: tuple[Trigger, ...]
    also_previous: bool
    predicate: Predicate


_Cell: TypeAlias = dict[_Condition, set[str]]
_Table: TypeAlias = dict[Place, _Cell]


class MatchIndex:
    """The subscriptions of this notifier, by what they can be found under.

    Cost of a match: one lookup for each table, organisation of the event and combination of its values, then
    what was found. It does not depend on how many subscriptions there are.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._tables: dict[Signature, _Table] = {}
        self._interests: dict[str, Interest] = {}
        self._conditions: WeakValueDictionary[_Terms, _Condition] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._interests)

    def __contains__(self, subscription: str) -> bool:
        return subscription in self._interests

    def put(self, interest: Interest) -> None:
        """Add a subscription, or replace what it wanted before."""
        self.remove(interest.subscription)
        self._interests[interest.subscription] = interest
        planned = plan(interest.query)
        condition = self._condition(interest, planned)
        for place in _places(interest, planned):
            table = self._tables.setdefault(planned.signature, {})
            table.setdefault(place, {}).setdefault(condition, set()).add(interest.subscription)

    def remove(self, subscription: str) -> None:
        """Forget a subscription; one that is not here is no error."""
        interest = self._interests.pop(subscription, None)
        if interest is None:
            return
        planned = plan(interest.query)
        condition = self._condition(interest, planned)
        for place in _places(interest, planned):
            table = self._tables[planned.signature]
            cell = table[place]
            cell[condition].discard(subscription)
            if not cell[condition]:
                del cell[condition]
            if not cell:
                del table[place]
            if not table:
                del self._tables[planned.signature]

    def match(self, event: EventView) -> list[str]:
        """Return the ids of the subscriptions the event fires, each once, in text order."""
        organisations = (*parties(event.facets), EVERY_ORGANISATION)
        found: set[str] = set()
        self._collect(event, event.facets, organisations, found, previous=False)
        if event.type in GONE and event.previous_facets is not None:
            # Judged by what it was, shown to the parties of what it is.
            self._collect(event, event.previous_facets, organisations, found, previous=True)
        return sorted(found)

    def _collect(
        self,
        event: EventView,
        facets: Facets,
        organisations: tuple[str, ...],
        found: set[str],
        *,
        previous: bool,
    ) -> None:
        values: dict[Column, tuple[str, ...]] = {}
        for signature, table in self._tables.items():
            for column in signature:
                if column not in values:
                    values[column] = read(facets, column)
            for place in product(organisations, *(values[column] for column in signature)):
                for condition, subscriptions in table.get(place, {}).items():
                    if _holds(condition, event, facets, previous=previous):
                        found |= subscriptions

    def _condition(self, interest: Interest, planned: Plan) -> _Condition:
        terms = _Terms(planned.residual, interest.triggers, interest.also_previous)
        condition = self._conditions.get(terms)
        if condition is None:
            condition = _Condition(terms.triggers, terms.also_previous, compile_terms(terms.residual))
            self._conditions[terms] = condition
        return condition


def _places(interest: Interest, planned: Plan) -> list[Place]:
    return [(organisation, *place) for organisation in interest.organisations for place in planned.places]


def _holds(condition: _Condition, event: EventView, facets: Facets, *, previous: bool) -> bool:
    return (
        (condition.also_previous or not previous)
        and triggered(condition.triggers, event)
        and condition.predicate(facets, event.time)
    )
