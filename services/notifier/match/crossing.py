"""Does a report cross a bound? It meets one now that what came before it did not meet.

Pure: what came before is handed in. Whoever stands beyond a bound already is told nothing: once a crossing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TypeAlias

from schemas.facets import Facets
from schemas.search.predicate import compile_term
from schemas.search.values import Term

Crossing: TypeAlias = Callable[[Facets, Facets | None, datetime], bool]
"""Takes the facets of now and of before, `None` when nothing came before, and the event's time."""


def crossing(terms: Sequence[Term], parameters: Collection[str]) -> Crossing:
    """Return the function that tells whether a value of the terms on these parameters is newly met.

    That all terms hold now is for the index to say. Values separated by a comma are bounds of their own: each one
    that comes to be met is a crossing, also while another stays met.
    """
    bounds = [
        compile_term(Term(term.parameter, term.modifier, (value,)))
        for term in terms
        if term.parameter.name in parameters
        for value in term.values
    ]

    def crosses(now: Facets, before: Facets | None, at: datetime) -> bool:
        return any(meets(now, at) and not (before is not None and meets(before, at)) for meets in bounds)

    return crosses
