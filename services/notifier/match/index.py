"""Which subscriptions does this event fire? The index: signature tables, kept up to date one write at a time.

Subscriptions whose queries look up the same columns share a table. Its key is an organisation and one value for
each column; the organisation always comes first, so that criteria can only ever narrow what its holder may see.
Under a key stand the *conditions* still to be tested, each with the subscriptions that share it: a condition is
compiled once and tested once a cell, however many stand behind it.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, Final, TypeAlias
from weakref import WeakValueDictionary

from schemas.facets import EVERY_ORGANISATION, Facets, parties
from schemas.search.predicate import Predicate, compile_terms
from schemas.search.values import Term
from services.notifier.match.columns import Column, Place, Plan, Signature, plan, read
from services.notifier.match.crossing import Crossing, crossing
from services.notifier.match.interest import GONE, Audience, EventView, Interest, ended, triggered


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class _Condition:
    """What is left to test once a lookup has hit; the same object wherever the same is left."""

    holds: Predicate


_Holders: TypeAlias = str | set[str]
"""The subscriptions behind a condition; one alone is no set, which would be larger than all else it takes."""


_MANY: Final = 20_000
"""Subscriptions that make a full collection a pause that is noticed."""


class _Cell:
    """What is filed under one place of one table."""

    __slots__ = ("conditions", "place")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.conditions: dict[_Condition, _Holders] = {}

    def add(self, condition: _Condition, subscription: str) -> None:
        """File a subscription that is not here yet."""
        held = self.conditions.get(condition)
        if held is None:
            self.conditions[condition] = subscription
        elif isinstance(held, str):
            self.conditions[condition] = {held, subscription}
        else:
            held.add(subscription)

    def remove(self, condition: _Condition, subscription: str) -> None:
        """Forget a subscription that is here."""
        held = self.conditions[condition]
        if isinstance(held, set):
            held.discard(subscription)
        if not held or held == subscription:
            del self.conditions[condition]


_Table: TypeAlias = dict[Place, _Cell]
_Tables: TypeAlias = dict[Signature, _Table]


@dataclass(frozen=True, slots=True)
class _Filed:
    """Where a subscription stands: all that is kept of it, for there may be a million."""

    audience: Audience
    signature: Signature
    condition: _Condition
    cells: tuple[_Cell, ...]


class MatchIndex:
    """The subscriptions of this notifier, by what they can be found under.

    Cost of a match: one lookup for each table, organisation of the event and combination of its values, then
    what was found. It does not depend on how many subscriptions there are.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._audiences: dict[Audience, _Tables] = {}
        self._filed: dict[str, _Filed] = {}
        self._signatures: dict[Signature, Signature] = {}
        """One object for each signature there ever was: they are few, and named a million times."""
        self._crossings: dict[str, Crossing] = {}
        self._ends: dict[str, datetime] = {}
        """Of those that have an `end` only: few do."""
        self._conditions: WeakValueDictionary[tuple[Term, ...], _Condition] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._filed)

    def __contains__(self, subscription: str) -> bool:
        return subscription in self._filed

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Let many be put at once, without the garbage collector walking them all again and again.

        What lives at the end of it, if it is many, is never walked again: it lives as long as the process.
        """
        collects = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if len(self) >= _MANY:
                gc.freeze()
            if collects:
                gc.enable()

    def put(self, interest: Interest) -> None:
        """Add a subscription, or replace what it wanted before."""
        subscription = interest.subscription
        self.remove(subscription)
        audience, planned = interest.audience, plan(interest.query)
        condition = self._condition(planned.residual)
        if audience.crosses:
            self._crossings[subscription] = crossing(interest.query.terms, audience.crosses)
        if interest.ends_at is not None:
            self._ends[subscription] = interest.ends_at
        cells = []
        signature = self._signatures.setdefault(planned.signature, planned.signature)
        for place in _places(interest, planned):
            table = self._audiences.setdefault(audience, {}).setdefault(signature, {})
            cell = table.get(place)
            if cell is None:
                cell = table[place] = _Cell(place)
            cell.add(condition, subscription)
            cells.append(cell)
        self._filed[subscription] = _Filed(audience, signature, condition, tuple(cells))

    def remove(self, subscription: str) -> None:
        """Forget a subscription; one that is not here is no error."""
        filed = self._filed.pop(subscription, None)
        if filed is None:
            return
        self._crossings.pop(subscription, None)
        self._ends.pop(subscription, None)
        for cell in filed.cells:
            cell.remove(filed.condition, subscription)
            if cell.conditions:
                continue
            tables = self._audiences[filed.audience]
            table = tables[filed.signature]
            del table[cell.place]
            _drop_empty(tables, filed.signature)
            _drop_empty(self._audiences, filed.audience)

    @property
    def watches_crossings(self) -> bool:
        """Whether anybody asked for crossings: only then is it worth finding out what came before an event."""
        return bool(self._crossings)

    def match(self, event: EventView, predecessor: Facets | None = None) -> list[str]:
        """Return the ids of the subscriptions the event fires, each once, in text order.

        Crossings are judged against what the event supersedes, else against the `predecessor` in its series.
        """
        organisations = (*parties(event.facets), EVERY_ORGANISATION)
        superseded = event.previous_facets if event.type in GONE else None
        found: set[str] = set()
        for audience, tables in self._audiences.items():
            if not triggered(audience.triggers, event):
                continue
            if audience.crosses:
                found |= self._crossed(tables, event, organisations, predecessor)
                continue
            _collect(tables, event.facets, organisations, event.time, found)
            if audience.also_previous and superseded is not None:
                # Judged by what it was, shown to the parties of what it is.
                _collect(tables, superseded, organisations, event.time, found)
        if self._ends:
            found = {each for each in found if not ended(self._ends.get(each), event.time)}
        return sorted(found)

    def _crossed(
        self, tables: _Tables, event: EventView, organisations: tuple[str, ...], predecessor: Facets | None
    ) -> set[str]:
        before = predecessor if event.previous_facets is None else event.previous_facets
        met: set[str] = set()
        _collect(tables, event.facets, organisations, event.time, met)
        return {each for each in met if self._crossings[each](event.facets, before, event.time)}

    def _condition(self, residual: tuple[Term, ...]) -> _Condition:
        condition = self._conditions.get(residual)
        if condition is None:
            condition = self._conditions[residual] = _Condition(compile_terms(residual))
        return condition


def _collect(
    tables: _Tables, facets: Facets, organisations: tuple[str, ...], now: datetime, found: set[str]
) -> None:
    values: dict[Column, tuple[str, ...]] = {}
    for signature, table in tables.items():
        for column in signature:
            if column not in values:
                values[column] = read(facets, column)
        for place in product(organisations, *(values[column] for column in signature)):
            cell = table.get(place)
            if cell is None:
                continue
            for condition, held in cell.conditions.items():
                if not condition.holds(facets, now):
                    continue
                if isinstance(held, str):
                    found.add(held)
                else:
                    found |= held


def _drop_empty(holder: dict[Any, Any], key: object) -> None:
    if not holder[key]:
        del holder[key]


def _places(interest: Interest, planned: Plan) -> list[Place]:
    return [(organisation, *place) for organisation in interest.organisations for place in planned.places]
