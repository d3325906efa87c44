"""How do facets become rows that a database can search? Pure; `criteria` reads what this writes.

Dates become milliseconds, and numbers text whose order is theirs, so SQLite and PostgreSQL compare them alike and
exactly.
Nothing here is looked up again to be removed: the rows of a version follow from its facets, which are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

import orjson

from schemas.dates import END_OF_TIME, moment
from schemas.facets import Facets, FacetValue
from schemas.search.parameters import ALL, SearchType
from schemas.search.predicate import plain_text
from schemas.search.resources import PARAMETERS
from services.database import micros

BEFORE_ALL: Final = -(1 << 53)
"""The low bound of a date without a beginning."""
AFTER_ALL: Final = 1 << 53
"""The high bound of a date without an end."""

NO_DATE: Final = (AFTER_ALL, BEFORE_ALL)
"""The bounds of a date that is not there: no date can be compared with it, and it is sorted last."""

IDENTIFIER: Final = ":identifier"
"""Ends the parameter of the identifiers that stand in references."""

ID: Final = "_id"
LAST_UPDATED: Final = "_lastUpdated"
"""With `ID`, what is asked of the report's own row."""

SCORES: Final = frozenset(each.name for each in ALL if each.type is SearchType.COMPOSITE)
"""A code with a number: the scores of metrics, and the gaps to thresholds."""

DATES: Final = frozenset(each.name for each in ALL if each.type is SearchType.DATE) - {LAST_UPDATED}
MANY_DATES: Final = DATES - {"date", "period"}
"""Dates that a report may have several of; the other two stand in its own row."""

_OWN = ("identifier", "evaluated-resource", "patient", "subject", "_source")
OWN: Final = frozenset(name + end for name in _OWN for end in ("", IDENTIFIER))
"""Parameters whose values hardly two reports share."""

_EVERY = tuple(each for parameters in PARAMETERS.values() for each in parameters.values())
_PIECED: Final = frozenset(
    {each.name for each in _EVERY if each.type is SearchType.TOKEN or each.canonical}
    | {each.name + IDENTIFIER for each in _EVERY if each.type is SearchType.REFERENCE}
)
_TOKENS: Final = frozenset(name for name in OWN if name == "identifier" or name.endswith(IDENTIFIER))
HAS: Final = "has"
"""The parameter under which a set tells which of the others have values, and in which systems: no parameter's name."""

SHARED: Final = frozenset(
    {each.name for each in ALL}
    | {each.name + IDENTIFIER for each in ALL if each.type is SearchType.REFERENCE}
) - {ID, LAST_UPDATED, *SCORES, *DATES, *OWN}
"""All others that can be asked."""
_CANONICAL: Final = frozenset(each.name for each in _EVERY if each.canonical)

LONGEST_DATE: Final = 366 * 86_400_000
"""In milliseconds: a FHIR date names a year at most."""

STRING_HEAD: Final = 200
"""Characters of a string that an index holds; no row of one grows too large, whatever the characters."""

Row: TypeAlias = tuple[str | int, ...]
"""Values of one row of the index, in the order of its table's columns, without the report or the set."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index says of one version of a report."""

    facet_set: str
    """Names `shared` by its content."""
    shared: tuple[tuple[str, str, str], ...]
    own: frozenset[Row] = frozenset()
    dates: frozenset[Row] = frozenset()
    scores: frozenset[Row] = frozenset()
    date: tuple[int, int] = NO_DATE
    """When the report was generated: `[low, high)`."""
    period: tuple[int, int] = NO_DATE
    """Its period."""


def index(facets: Facets) -> Indexed:
    """Return what the index says of a version with these facets; what no parameter asks is left out."""
    said: list[tuple[str, ...]] = []
    own: list[tuple[str, str, str]] = []
    for name, values in facets.items():
        if name in SHARED:
            said.append((name, *_texts(values)))
        elif name in OWN:
            found = [_text(name, value) for value in _texts(values)]
            own += found
            said.append((HAS, name, *(system for _, _, system in found if name in _TOKENS)))
        elif name in DATES or name in SCORES:
            said.append((HAS, name))
    facet_set, shared = _shared(tuple(said))
    return Indexed(
        facet_set,
        shared,
        frozenset(own),
        frozenset(row for name in MANY_DATES & facets.keys() for row in _dates(name, facets[name])),
        frozenset(_score(name, value) for name in SCORES & facets.keys() for value in facets[name]),
        _only(facets.get("date")),
        _only(facets.get("period")),
    )


@lru_cache(maxsize=1024)  # many reports say the same but for what is theirs alone
def _shared(said: tuple[tuple[str, ...], ...]) -> tuple[str, tuple[tuple[str, str, str], ...]]:
    """Return the set's name and its rows: each part is a parameter with its values, or what a report has."""
    shared: set[tuple[str, str, str]] = set()
    for name, *values in said:
        if name == HAS:
            parameter, *systems = values
            shared.add((HAS, parameter, ""))
            shared.update((HAS, parameter, system) for system in systems)
        else:
            shared.update(_text(name, value) for value in values)
    rows = tuple(sorted(shared))
    return _name(rows), rows


@dataclass(frozen=True, slots=True)
class IndexedOther:
    """What the index says of one Measure, Organization or Group: rows of `resource_facet` and `resource_date`."""

    facets: Sequence[dict[str, Any]]
    dates: Sequence[dict[str, Any]]


def index_other(kind: str, logical_id: str, facets: Facets) -> IndexedOther:
    """Return the rows of a resource that can be found by these values."""
    of_resource = {"type": kind, "id": logical_id}
    found: set[tuple[str, str, str, str]] = set()
    dates: set[Row] = set()
    for name, values in facets.items():
        parameter = PARAMETERS[kind].get(name)
        if parameter is not None and parameter.type is SearchType.DATE:
            dates |= set(_dates(name, values))
        elif parameter is not None and parameter.type is SearchType.STRING:
            found |= {
                (name, folded[:STRING_HEAD], folded, text)
                for text in _texts(values)
                for folded in (plain_text(text),)
            }
        else:
            found |= {(*_text(name, value), "") for value in _texts(values)}
    named = ("parameter", "value", "system", "said")
    return IndexedOther(
        [{**of_resource, **dict(zip(named, row, strict=True))} for row in sorted(found)],
        [
            {**of_resource, "parameter": name, "low": low, "high": high}
            for name, low, high in sorted(dates, key=str)
        ],
    )


def _only(dates: Sequence[FacetValue] | None) -> tuple[int, int]:
    return _bounds(dates[0]) if dates else NO_DATE


def _name(rows: tuple[tuple[str, str, str], ...]) -> str:
    return hashlib.sha256(orjson.dumps(rows)).hexdigest()[:32]


def _texts(values: Sequence[FacetValue]) -> Sequence[str]:
    return cast("Sequence[str]", values)  # only dates and composites are not


@lru_cache(maxsize=16_384)  # the codes of a payer's reports are a few hundred
def _text(name: str, value: str) -> tuple[str, str, str]:
    """Return a value with the code and system of a token, or the url and version of a canonical."""
    if name not in _PIECED:
        return (name, key(value), "")
    first, _, last = value.partition("|")
    return (name, key(first), key(last)) if name in _CANONICAL else (name, key(last), key(first))


def _dates(name: str, values: Iterable[FacetValue]) -> Iterator[Row]:
    for each in values:
        yield (name, *_bounds(each))


def _bounds(value: FacetValue) -> tuple[int, int]:
    low, high = value[0], value[1]
    return (
        BEFORE_ALL if low is None else milliseconds(low),
        AFTER_ALL if high is None else milliseconds(high),
    )


@lru_cache(maxsize=8192)  # the dates of a payer's reports are a handful
def milliseconds(bound: str) -> int:
    """Return a bound as milliseconds since 1970: the order of bounds is theirs."""
    if bound == END_OF_TIME:
        return milliseconds(_LAST) + 1
    return micros(moment(bound)) // 1000


_LAST = "9999-12-31T23:59:59.999Z"


def _score(name: str, value: FacetValue) -> Row:
    code, system = _scored(name, value[0] or "|")
    return (code, sortable(value[1] or "0"), system, key(value[2] or ""))


@lru_cache(maxsize=16_384)  # as few as the metrics, and the types of thresholds
def _scored(name: str, token: str) -> tuple[str, str]:
    system, _, code = token.partition("|")
    return scored(name, code), scored_in(name, system)


def scored(name: str, code: str) -> str:
    """Return what stands for the code of a score, or of whatever else a number belongs to."""
    return key(_apart(name, code))


def scored_in(name: str, system: str) -> str:
    """Return what stands for the system of such a code."""
    return short(key(_apart(name, system)))


def _apart(name: str, text: str) -> str:
    """Return a text that no other parameter's is equal to: they share a table, and scores stand there as they are.

    No code or system of a report begins with a blank; should one that is asked for, it is told apart too.
    """
    if name == "metric-score" and not text.startswith(" "):
        return text
    return f" {name}|{text}"


@lru_cache(maxsize=1024)
def short(system: str) -> str:
    """Return what stands for a code system where many entries name the same few: a digest, `""` for none."""
    return system and hashlib.sha256(system.encode()).hexdigest()[:16]


def key(text: str) -> str:
    """Return what stands in the index for a text: itself, or its digest when an index could not hold it."""
    if len(text) * 4 <= _LONGEST or len(encoded := text.encode()) <= _LONGEST:
        return text
    return f"sha256:{hashlib.sha256(encoded).hexdigest()}"


_LONGEST = 1000
"""In bytes; two of them and the rest of a row fit PostgreSQL's limit of 2,704 bytes an index row."""


@lru_cache(maxsize=8192)
def sortable(number: str | Decimal) -> str:
    """Return a text whose byte order is the order of numbers, with every digit kept; 1.0 equals 1.

    A sign, the exponent of the leading digit on a shifted scale, the digits. Negative numbers are the
    complement of their positive, ended by a byte that sorts after every digit.
    """
    value = Decimal(number)
    if not value:
        return "1"
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # JSON has no NaN and no infinity
    leading = min(max(exponent + len(digits) + 500_000, 0), 999_999)
    text = f"{leading:06d}{''.join(map(str, digits)).rstrip('0')}"
    if value > 0:
        return f"2{text}"
    return "0" + text.translate(_COMPLEMENT) + "~"


_COMPLEMENT = str.maketrans("0123456789", "9876543210")
