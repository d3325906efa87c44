"""What does a criterion say? Its terms and values, parsed and normalised: no text is left to interpret.

Matching compiles these to functions (`predicate`), the publisher's search turns them into SQL: bounds, system,
code and prefix are ready to compare. All are frozen and hashable, so equal criteria share their work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from schemas.search.parameters import Modifier, SearchParameter


class Prefix(StrEnum):
    """FHIR's comparators, R4 search 3.1.1.4.5. No prefix is `eq`."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    LT = "lt"
    GE = "ge"
    LE = "le"
    SA = "sa"
    EB = "eb"
    AP = "ap"


@dataclass(frozen=True, slots=True)
class Token:
    """`code`, `system|code`, `|code` or `system|`.

    `system` is `None` when any is meant and `""` for an element without one; `code` is `None` when any is meant.
    """

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class Reference:
    """The forms that match, any of them: several when an id came without a type."""

    forms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Canonical:
    """A canonical URL; `version` is `None` when any version is meant."""

    url: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Date:
    """`[low, high)` as `schemas.dates` writes bounds, and how to compare with it."""

    prefix: Prefix
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal as it was written, and `[low, high)`, the range its significant digits leave open.

    The range counts for `eq` and `ne` only; the other prefixes compare with `value` (R4 search 3.1.1.4.6).
    """

    prefix: Prefix
    value: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Text:
    """A uri or a string."""

    text: str


@dataclass(frozen=True, slots=True)
class Missing:
    """What `:missing` was asked: true when the element must not be there."""

    missing: bool


@dataclass(frozen=True, slots=True)
class MetricScore:
    """A metric and its score, to be found in one group, or a threshold's type and its gap; `unit` is `None` when any will do."""

    metric: Token
    score: Number
    unit: str | None


Value: TypeAlias = Token | Reference | Canonical | Date | Number | Text | Missing | MetricScore


@dataclass(frozen=True, slots=True)
class Term:
    """One `name=value,value`: any of the values will do. Under `:not`, none may."""

    parameter: SearchParameter
    modifier: Modifier | None
    values: tuple[Value, ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Terms are what a million subscriptions share, and found again by: hashed once, not at each look.
        object.__setattr__(self, "_hash", hash((self.parameter, self.modifier, self.values)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class Query:
    """Every term must hold; no term means every resource of the type."""

    type: str
    terms: tuple[Term, ...] = ()
