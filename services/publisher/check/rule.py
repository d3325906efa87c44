"""Answers: what can a row of the rule table say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from schemas.outcome import IssueCode, Severity
from services.publisher.check.codes import ValueSet
from services.publisher.check.editions import Edition


@dataclass(frozen=True, slots=True)
class Cardinality:
    """How often the last step of the path is there, in each element the steps before lead to."""

    low: int
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every value the path leads to is this one."""

    value: str


@dataclass(frozen=True, slots=True)
class Holds:
    """Every extension the path leads to holds a value of one of these types; of any type when there are none."""

    types: tuple[str, ...]
    required: bool = True
    """Whether it must hold a value at all, rather than extensions."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Every CodeableConcept the path leads to has a code of the value set."""

    values: ValueSet
    strength: Literal["required", "extensible"] = "extensible"


@dataclass(frozen=True, slots=True)
class Target:
    """Every Reference the path leads to is to a resource of one of these types, as far as it tells."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Invariant:
    """The test holds for every value the path leads to; its second argument is the whole resource."""

    holds: Callable[[Any, Mapping[str, Any]], bool]
    code: IssueCode = "invariant"
    found: Callable[[Any], str] | None = None
    """Says what stands there instead, where the rule's words alone do not tell."""


@dataclass(frozen=True, slots=True)
class Context:
    """The extension the path names stands on one of these elements only, wherever in the resource."""

    paths: tuple[str, ...]
    """`MeasureReport.group`; a type's name alone is the resource itself."""


@dataclass(frozen=True, slots=True)
class Supported:
    """The last step is Must Support: its absence is worth a word, counted over the resource."""

    needless: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] | None = None
    """Tells, of an element without it and of the whole resource, whether something else says the same."""


Demand: TypeAlias = Cardinality | Fixed | Holds | Bound | Target | Invariant | Context | Supported

ONE: Final = Cardinality(1, 1)
AT_LEAST_ONE: Final = Cardinality(1)
AT_MOST_ONE: Final = Cardinality(0, 1)
NONE: Final = Cardinality(0, 0)
SUPPORTED: Final = Supported()


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: its id, where it looks, what it demands, that in words, who says so, and in which editions."""

    id: str
    path: str
    demand: Demand
    what: str
    source: str
    since: Edition = Edition.STU1
    until: Edition = Edition.LATER
    milder: Severity | None = None
    """A milder severity than the demand's own; the row's comment says why."""

    @property
    def severity(self) -> Severity:
        """`error` rejects; `warning` and `information` are said and no more."""
        if self.milder is not None:
            return self.milder
        match self.demand:
            case Bound(_, "extensible"):
                return "warning"
            case Supported():
                return "information"
            case _:
                return "error"
