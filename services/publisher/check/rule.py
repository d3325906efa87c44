"""Answers: what can a row of the rule table say, and what is the Issue when a resource breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

from schemas.outcome import Issue, IssueCode, Severity
from services.publisher.check.paths import Found, Step, select


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
class Invariant:
    """The test holds for every value the path leads to."""

    holds: Callable[[Any], bool]
    code: IssueCode = "invariant"


Demand: TypeAlias = Cardinality | Fixed | Invariant


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: its id, where it looks, what it demands, that in words, and who says so."""

    id: str
    steps: tuple[Step, ...]
    demand: Demand
    what: str
    source: str
    severity: Severity = "error"


def broken(rule: Rule, resource: Found) -> Iterator[Issue]:
    """Yield one Issue for each place of the resource that breaks the rule."""
    match rule.demand:
        case Cardinality():
            yield from _counted(rule, rule.demand, resource)
        case Fixed(value):
            for found in select(resource, rule.steps):
                if found.value != value:
                    yield _issue(rule, "value", found.expression, f"found '{_short(found.value)}'")
        case Invariant(holds, code):
            for found in select(resource, rule.steps):
                if not holds(found.value):
                    yield _issue(rule, code, found.expression, None)
        case _ as never:
            assert_never(never)


def _counted(rule: Rule, demand: Cardinality, resource: Found) -> Iterator[Issue]:
    *before, last = rule.steps
    for parent in select(resource, tuple(before)):
        found = list(last.of(parent))
        if len(found) < demand.low:
            where = found[0].expression if found else last.missing(parent)
            yield _issue(rule, "required", where, f"found {len(found) or 'none'}")
        if demand.high is not None and len(found) > demand.high:
            where = found[demand.high].expression
            yield _issue(rule, "structure", where, f"found {len(found)}" if demand.high else "it is there")


def _issue(rule: Rule, code: IssueCode, expression: str, found: str | None) -> Issue:
    words = f"{rule.what} ({rule.source})." if found is None else f"{rule.what}; {found} ({rule.source})."
    return Issue(rule.severity, code, words, expression, rule.id)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:60] + "…"
