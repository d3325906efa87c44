"""How is a search result to be shown? The parameters that shape it and select nothing. Pure.

Source: FHIR R4 search 3.1.1.5: `_sort`, `_count`, `_summary`, `_elements`, `_total`, `_include` and `_revinclude`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from schemas.outcome import FhirError, Issue
from schemas.search.parameters import SearchParameter, SearchType
from schemas.search.resources import PARAMETERS
from schemas.subset import ELEMENTS, Summary

DEFAULT_COUNT: Final = 50
MOST: Final = 1000
"""Resources on one page, whatever `_count` asks for."""

Total: TypeAlias = Literal["none", "estimate", "accurate"]

_SAYS_NOTHING: Final = frozenset({"_format", "_pretty", "_totalMethod"})
"""Read elsewhere, or without effect: JSON is all there is."""

_SAID_TOO: Final = {
    "MeasureReport": {"evaluatedResources": PARAMETERS["MeasureReport"]["evaluated-resource"]}
}
"""What VBPR's CapabilityStatement includes by; nothing is searched by it."""

_ITERATE: Final = frozenset({"iterate", "recurse"})
"""`recurse` is what earlier versions of FHIR called it."""


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of `_sort`."""

    parameter: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """One `_include`, or `_revinclude` when it goes against the reference."""

    source: str
    """The type that has the reference."""
    parameter: SearchParameter
    target: str | None
    """The only type to include, or that is pointed at."""
    iterate: bool
    """Also from what is included itself."""
    reverse: bool


@dataclass(slots=True)
class Shape:
    """How a result is shown."""

    count: int = DEFAULT_COUNT
    sort: Sequence[Sort] = ()
    summary: Summary | None = None
    counted_only: bool = False
    """Nothing but the total is asked for."""
    elements: Sequence[str] = ()
    total: Total | None = None
    includes: list[Include] = field(default_factory=list)


def shape(
    kind: str, given: Sequence[tuple[str, str]], *, sorts: Collection[str], lenient: bool
) -> tuple[Shape, list[str]]:
    """Return what the result parameters ask, and the names of those that are ignored.

    `sorts` names what resources of this type can be sorted by. A parameter without a value is ignored, as FHIR says.

    Raises:
        FhirError: 400 naming everything that is not supported; nothing is refused when the client is lenient.
    """
    out = Shape()
    issues: list[Issue] = []
    ignored: list[str] = []
    for name, value in given:
        bare, _, modifier = name.partition(":")
        try:
            if bare in _SAYS_NOTHING:
                continue
            if not value:
                ignored.append(name)
            elif bare in {"_include", "_revinclude"}:
                out.includes += _include(kind, value, modifier, reverse=bare == "_revinclude")
            elif modifier or bare not in _READ:
                expected = ", ".join(sorted({*_READ, "_include", "_revinclude"}))
                raise ValueError(f"expected one of {expected}")  # all reasons take one way
            else:
                _READ[bare](out, value, kind, sorts)
        except ValueError as why:
            ignored.append(name)
            issues.append(Issue("error", "not-supported", f"{name}={value} is not supported here: {why}"))
    if out.summary == "text" and out.includes:
        ignored += ["_include", "_revinclude"]
        issues.append(
            Issue("error", "not-supported", "_summary=text goes with no _include and no _revinclude")
        )
        out.includes = []
    if issues and not lenient:
        raise FhirError(400, *issues)
    return out, ignored


def _count(out: Shape, value: str, _kind: str, _sorts: Collection[str]) -> None:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise ValueError("expected a number of resources, 0 for their total alone")
    out.count = min(int(value), MOST)
    out.counted_only = out.counted_only or out.count == 0


def _sort(out: Shape, value: str, _kind: str, sorts: Collection[str]) -> None:
    keys = [Sort(each.removeprefix("-"), each.startswith("-")) for each in value.split(",")]
    names = [each.parameter for each in keys]
    if not set(names) <= set(sorts) or len(set(names)) < len(names):
        raise ValueError(f"expected some of {', '.join(sorted(sorts))}, each once, with - for descending")
    out.sort = keys


def _summary(out: Shape, value: str, _kind: str, _sorts: Collection[str]) -> None:
    if value == "count":
        out.counted_only = True
    elif value in _SUMMARIES:
        out.summary = _SUMMARIES[value]
    elif value != "false":
        raise ValueError("expected true, text, data, count or false")


_SUMMARIES: Final[dict[str, Summary]] = {"true": "true", "text": "text", "data": "data"}


def _elements(out: Shape, value: str, kind: str, _sorts: Collection[str]) -> None:
    names = [each.removeprefix(f"{kind}.") for each in value.split(",") if each]
    unknown = [each for each in names if each not in ELEMENTS[kind].all]
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)} is no element of {kind}; expected names such as status,identifier"
        )
    out.elements = names


def _total(out: Shape, value: str, _kind: str, _sorts: Collection[str]) -> None:
    if value not in get_args(Total):
        raise ValueError(f"expected one of {', '.join(get_args(Total))}")
    out.total = "none" if value == "none" else "accurate" if value == "accurate" else "estimate"


_READ: Final[dict[str, Callable[[Shape, str, str, Collection[str]], None]]] = {
    "_count": _count,
    "_sort": _sort,
    "_summary": _summary,
    "_elements": _elements,
    "_total": _total,
}


def _include(kind: str, value: str, modifier: str, *, reverse: bool) -> list[Include]:
    """Read `Type:parameter`, `Type:parameter:Target` or `*`."""
    if modifier and modifier not in _ITERATE:
        raise ValueError(f"the modifier is {modifier!r}; expected iterate")
    if value == "*":
        return [
            Include(source, each, None, bool(modifier), reverse)
            for source, each in every_include(reverse=reverse)
            if reverse or source == kind
        ]
    source, _, rest = value.partition(":")
    name, _, target = rest.partition(":")
    spelled = {(by, spelling): each for by, spelling, each in every_spelling(reverse=reverse)}
    parameter = spelled.get((source, name))
    if parameter is None:
        known = sorted(f"{by}:{spelling}" for by, spelling in spelled)
        raise ValueError(f"expected one of {', '.join(known)}")
    if target and parameter.targets and target not in parameter.targets:
        raise ValueError(f"{name} refers to {' or '.join(parameter.targets)}, never to {target}")
    return [Include(source, parameter, target or None, bool(modifier), reverse)]


def every_include(*, reverse: bool) -> list[tuple[str, SearchParameter]]:
    """Return each type with each of its parameters that leads to what is kept here, or from it."""
    kept = frozenset(PARAMETERS)
    return [
        (source, each)
        for source, parameters in PARAMETERS.items()
        for each in dict.fromkeys(parameters.values())
        if _refers(each) and (not each.targets or kept & set(each.targets))
        if not (reverse and not each.targets and each.name != "evaluated-resource")
    ]


def every_spelling(*, reverse: bool) -> list[tuple[str, str, SearchParameter]]:
    """Return each type with each name by which a request may say one of `every_include`."""
    every = every_include(reverse=reverse)
    return [
        (source, spelling, each)
        for source, parameters in PARAMETERS.items()
        for spelling, each in (*parameters.items(), *_SAID_TOO.get(source, {}).items())
        if (source, each) in every
    ]


def _refers(parameter: SearchParameter) -> bool:
    return parameter.type is SearchType.REFERENCE
