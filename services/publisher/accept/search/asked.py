"""What does a search ask? Its query string, understood: what selects, what shapes, what was ignored.

Source: FHIR R4 search.html. A parameter that is not known is refused unless the client is lenient
(`Prefer: handling=lenient`): whoever filters wants to know when a filter does not work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.outcome import FhirError
from schemas.search.grammar import CriteriaError, Search, parse_search
from schemas.search.resources import PARAMETERS
from schemas.search.result import Shape, shape
from schemas.search.values import Query
from services.negotiation import require_json
from services.publisher.accept.search import cursor
from services.publisher.accept.search.cursor import CURSOR
from services.publisher.store.order import Place
from services.publisher.store.search import sorts


@dataclass(frozen=True, slots=True)
class Asked:
    """A search, understood."""

    query: Query
    shape: Shape
    understood: str
    """The query string without what was ignored: the `self` link."""
    ignored: Sequence[str]
    after: Place | None
    """Where the page begins; `None` for the first one."""


def understand(kind: str, query: str, *, base_url: str, lenient: bool) -> Asked:
    """Return what a search asks; `query` is the part after `?`, as sent.

    Raises:
        FhirError: 400 naming everything in it that is not supported; 406 for a format that is not.
    """
    parts = [part for part in query.split("&") if part]
    cursors = [part.partition("=")[2] for part in parts if part.startswith(f"{CURSOR}=")]
    parts = [part for part in parts if not part.startswith(f"{CURSOR}=")]
    search = _parsed(kind, "&".join(parts), base_url, lenient=lenient)
    _check_format(search)
    shown, not_shown = shape(kind, search.result, sorts=sorts(kind), lenient=lenient)
    ignored = [*search.ignored, *not_shown]
    understood = "&".join(part for part in parts if _name(part) not in ignored)
    after = cursor.read(cursors[-1], f"{kind}?{understood}") if cursors else None
    return Asked(search.query, shown, understood, ignored, after)


def _parsed(kind: str, query: str, base_url: str, *, lenient: bool) -> Search:
    try:
        return parse_search(query, base_url=base_url, lenient=lenient, parameters=PARAMETERS[kind], type=kind)
    except CriteriaError as error:
        # In a Subscription what is not supported is a business rule (422); in a search it is a bad request.
        raise FhirError(400, *error.issues) from None


def _check_format(search: Search) -> None:
    """A form may say `_format` too, where nobody has looked yet."""
    for name, value in search.result:
        if name == "_format":
            require_json(value)


def _name(part: str) -> str:
    return part.partition("=")[0].replace("%3A", ":").replace("%3a", ":")
