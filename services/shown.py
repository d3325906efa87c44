"""What do the parameters of a request ask that searches nothing? How its answer is shown, and what else it takes.

A read takes `_summary` and `_elements`. What is not understood is refused by name, as by a search, and ignored for a
client that is lenient. Source: FHIR R4 http.html (general parameters, read) and search.html (3.1.1.5.8, 3.1.1.5.9).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiMapping

from schemas.outcome import FhirError, Issue
from schemas.search.result import shape
from schemas.subset import Summary, only, summarised
from services.negotiation import require_json

PRESENTATION: Final = frozenset({"_format", "_pretty"})
"""Taken by every request; JSON is all there is, and it is as pretty as it was sent."""
_OF_A_READ: Final = ("_summary", "_elements")


@dataclass(frozen=True, slots=True)
class Shown:
    """The part of a resource that is asked for."""

    summary: Summary | None = None
    elements: Sequence[str] = ()

    @property
    def whole(self) -> bool:
        """Tell whether that is all of it."""
        return self.summary is None and not self.elements

    def of(self, text: bytes, kind: str) -> bytes:
        """Return that part of a stored resource; `_elements` goes before `_summary`, where both are asked."""
        if self.elements:
            return only(text, kind, self.elements)
        return text if self.summary is None else summarised(text, kind, self.summary)


def shown(kind: str, query: str, *, lenient: bool) -> Shown:
    """Return how a read is to be shown; `query` is the part after `?`.

    Raises:
        FhirError: 400 naming everything in it that is not supported; 406 for a format that is not served.
    """
    given = parse_qsl(query, keep_blank_values=True)
    require_json(next((value for name, value in given if name == "_format"), ""))
    issues = _unknown((name for name, _ in given), _OF_A_READ)
    asked = [(name, value) for name, value in given if name in _OF_A_READ]
    if ("_summary", "count") in asked:
        said = (
            "_summary=count is not supported here: a read counts nothing; expected true, text, data or false"
        )
        issues.append(Issue("error", "not-supported", said))
    try:
        found, _ = shape(kind, asked, sorts=(), lenient=lenient)
    except FhirError as error:
        raise FhirError(400, *issues, *error.issues) from None
    if issues and not lenient:
        raise FhirError(400, *issues)
    return Shown(found.summary, found.elements)


def takes(request: web.Request, *known: str) -> None:
    """Refuse a request whose URL has parameters other than these, unless its client is lenient.

    Raises:
        FhirError: 400 naming all of them.
    """
    issues = _unknown(request.query, known)
    if issues and not is_lenient(request.headers):
        raise FhirError(400, *issues)


def preferences(headers: MultiMapping[str]) -> list[str]:
    """Return what the `Prefer` headers say, in lower case."""
    said = ",".join(headers.getall("Prefer", ())).replace(";", ",").split(",")
    return [each.strip().lower() for each in said]


def is_lenient(headers: MultiMapping[str]) -> bool:
    """Tell whether what is not known may be ignored (`Prefer: handling=lenient`)."""
    return "handling=lenient" in preferences(headers)


def _unknown(names: Iterable[str], known: Collection[str]) -> list[Issue]:
    expected = ", ".join((*known, *sorted(PRESENTATION)))
    return [
        Issue("error", "not-supported", f"{name} is no parameter of this request; expected {expected}")
        for name in dict.fromkeys(names)
        if name not in PRESENTATION and name not in known
    ]
