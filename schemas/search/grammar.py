"""What does this query ask? Criteria of classic Subscriptions, filters of topic Subscriptions, search strings.

A Subscription is read strictly: what would not be honoured, or could never be met, is refused by name, since a
subscriber never sees what was ignored. A search may be lenient with parameters it does not know.
Sources: FHIR R4 search and Subscription pages; Subscriptions R5 Backport 1.1.0, filter criteria.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.outcome import FhirError, Issue, IssueCode
from schemas.search import operand
from schemas.search.parameters import MEASURE_REPORT, Modifier, SearchParameter, SearchType
from schemas.search.syntax import pairs, split
from schemas.search.values import Query, Term, Value

RESULT_PARAMETERS: Final = frozenset(
    {
        "_sort",
        "_count",
        "_include",
        "_revinclude",
        "_summary",
        "_elements",
        "_contained",
        "_containedType",
        "_total",
        "_totalMethod",
        "_format",
        "_pretty",
    }
)
"""Parameters that shape a search result and select nothing (R4 search 3.1.1.5).

`_totalMethod` is one server's own, which `fhirpy` sends to every server.
"""

MAX_TERMS: Final = 32
"""Most parameters of one query."""

MAX_VALUES: Final = 256
"""Most values of one parameter: a term is compiled for every event."""

_CRITERIA = re.compile(r"(?P<type>[A-Z][A-Za-z]+)(?:\?(?P<query>.*))?", re.DOTALL)
_TYPE = re.compile(r"[A-Z][A-Za-z]*")


class CriteriaError(FhirError):
    """A query that is not honoured, with every reason found.

    `status` is 400 when it is malformed, and 422 when it is well formed and asks what is not supported here or
    could never be met.
    """

    @property
    def malformed(self) -> bool:
        """Whether the text itself is wrong, rather than what it asks for."""
        return self.status == 400


@dataclass(frozen=True, slots=True)
class Search:
    """A search, taken apart. `result` are the parameters that shape the result, in their order."""

    query: Query
    result: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...]
    """Parameters that are not known, or came without a value; only a lenient search has any."""


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What is known while one query is read."""

    type: str
    base_url: str
    strict: bool
    parameters: Mapping[str, SearchParameter]


class _RefusedError(Exception):
    def __init__(self, status: int, code: IssueCode, reason: str) -> None:
        super().__init__(reason)
        self.status, self.code, self.reason = status, code, reason


def parse_criteria(
    text: str,
    *,
    base_url: str,
    expression: str = "Subscription.criteria",
    parameters: Mapping[str, SearchParameter] = MEASURE_REPORT,
) -> Query:
    """Return what a classic Subscription's criteria ask.

    `base_url` is our own base, taken off references. `expression` goes into every issue. `_format` is accepted
    and says nothing, as in FHIR's own example; every other result parameter is refused.

    Raises:
        CriteriaError: anything in it is malformed, unsupported or impossible; all findings at once.
    """
    found = _CRITERIA.fullmatch(text)
    if found is None:
        reason = f"found {text!r}, expected Type?parameter=value, without [base] and without a leading slash"
        raise CriteriaError(422, Issue("error", "value", reason, expression))
    if found["type"] != "MeasureReport":
        reason = f"found criteria on {found['type']}, expected MeasureReport: only those make events here"
        raise CriteriaError(422, Issue("error", "not-supported", reason, expression))
    dialect = _Dialect(found["type"], base_url, strict=True, parameters=parameters)
    given = [pair for pair in _pairs(found["query"] or "", expression) if pair[0] != "_format"]
    return Query(found["type"], _terms(given, dialect, expression))


def parse_filter(
    text: str,
    *,
    base_url: str,
    expression: str,
    parameters: Mapping[str, SearchParameter] = MEASURE_REPORT,
) -> tuple[Term, ...]:
    """Return the terms of one Backport filter; a Subscription's filters are ANDed.

    The forms are `param=value`, `param:modifier=value` and both with `MeasureReport.` before them. The form
    `MeasureReport?param=value&param=value`, which the guide's own examples use, is read as well.

    Raises:
        CriteriaError: anything in it is malformed, unsupported or impossible; all findings at once.
    """
    head, mark, query = text.partition("?")
    if not mark or _TYPE.fullmatch(head) is None:
        head, query = "MeasureReport", text
    if head != "MeasureReport":
        reason = f"found a filter on {head}, expected MeasureReport, the focus of every topic here"
        raise CriteriaError(422, Issue("error", "not-supported", reason, expression))
    given = [(name.removeprefix(f"{head}."), value) for name, value in _pairs(query, expression)]
    if not given:
        raise CriteriaError(400, Issue("error", "value", f"found {text!r}, expected param=value", expression))
    return _terms(given, _Dialect(head, base_url, strict=True, parameters=parameters), expression)


def parse_search(
    query: str,
    *,
    base_url: str,
    lenient: bool,
    parameters: Mapping[str, SearchParameter] = MEASURE_REPORT,
    type: str = "MeasureReport",  # noqa: A002  # FHIR's word, and the field's of Query
) -> Search:
    """Return what a search on resources of a type asks; `query` is the part of the URL after `?`.

    Empty parameters are ignored, as FHIR says, and with `lenient` unknown ones too (`Prefer:
    handling=lenient`). A value that no report can have finds nothing and is no error.

    Raises:
        CriteriaError: anything in it is malformed or not supported; all findings at once.
    """
    dialect = _Dialect(type, base_url, strict=False, parameters=parameters)
    wanted: list[tuple[str, str | None]] = []
    result: list[tuple[str, str]] = []
    ignored: list[str] = []
    for name, value in _pairs(query, None):
        bare = name.partition(":")[0]
        if bare in RESULT_PARAMETERS:
            result.append((name, value or ""))
        elif not value or (lenient and bare.partition(".")[0] not in parameters):
            ignored.append(name)
        else:
            wanted.append((name, value))
    return Search(Query(type, _terms(wanted, dialect, None)), tuple(result), tuple(ignored))


def _pairs(query: str, expression: str | None) -> list[tuple[str, str | None]]:
    try:
        return pairs(query)
    except ValueError as wrong:
        raise CriteriaError(400, Issue("error", "invalid", str(wrong), expression)) from None


def _terms(
    given: Iterable[tuple[str, str | None]], dialect: _Dialect, expression: str | None
) -> tuple[Term, ...]:
    terms: list[Term] = []
    refused: list[tuple[int, Issue]] = []
    for name, text in given:
        try:
            terms.append(_term(name, text, dialect))
        except _RefusedError as why:
            said = name if text is None else f"{name}={text}"
            refused.append((why.status, Issue("error", why.code, f"{said}: {why.reason}", expression)))
    if len(terms) > MAX_TERMS:
        reason = f"found {len(terms)} parameters, expected at most {MAX_TERMS}"
        refused.append((422, Issue("error", "too-costly", reason, expression)))
    if refused:
        raise CriteriaError(min(status for status, _ in refused), *(issue for _, issue in refused))
    return tuple(terms)


def _term(name: str, text: str | None, dialect: _Dialect) -> Term:
    parameter, modifier, target = _named(name, dialect)
    if not text:
        raise _RefusedError(
            400, "value", "found no value, expected one; an empty filter would select everything"
        )
    pieces = split(text, ",")
    if len(pieces) > MAX_VALUES:
        raise _RefusedError(422, "too-costly", f"found {len(pieces)} values, expected at most {MAX_VALUES}")
    values = tuple(dict.fromkeys(_value(parameter, modifier, target, piece, dialect) for piece in pieces))
    if modifier is Modifier.MISSING and len(pieces) > 1:
        raise _RefusedError(400, "value", "found several values, expected true or false")
    return Term(parameter, modifier, values)


def _value(
    parameter: SearchParameter, modifier: Modifier | None, target: str | None, text: str, dialect: _Dialect
) -> Value:
    if not text:
        raise _RefusedError(400, "value", "found an empty value, expected one on either side of a comma")
    try:
        if modifier is Modifier.MISSING:
            return operand.missing(text)
        value = operand.operand(parameter, modifier, text, target=target, base_url=dialect.base_url)
    except ValueError as wrong:
        raise _RefusedError(400, "value", str(wrong)) from None
    if dialect.strict and modifier is not Modifier.IDENTIFIER:
        reason = operand.impossible(parameter, value)
        if reason is not None:
            raise _RefusedError(422, "value", reason)
    return value


def _named(name: str, dialect: _Dialect) -> tuple[SearchParameter, Modifier | None, str | None]:
    """Return the parameter, its modifier, and the target type when that was the modifier."""
    spelling, colon, modifier = name.partition(":")
    if spelling == "_has" or "." in name:
        raise _RefusedError(422, "not-supported", "chained parameters and _has are not supported")
    if spelling in RESULT_PARAMETERS:
        raise _RefusedError(422, "not-supported", "it shapes a search result and selects nothing")
    parameter = dialect.parameters.get(spelling)
    if parameter is None:
        known = ", ".join(sorted(each.name for each in set(dialect.parameters.values())))
        raise _RefusedError(
            422, "not-supported", f"{spelling!r} is not a parameter here, expected one of {known}"
        )
    if not colon:
        return parameter, None, None
    if modifier in parameter.modifiers:
        return parameter, Modifier(modifier), None
    if parameter.type is SearchType.REFERENCE and not parameter.canonical and _TYPE.fullmatch(modifier):
        if parameter.targets and modifier not in parameter.targets:
            expected = " or ".join(parameter.targets)
            raise _RefusedError(400, "not-supported", f"found the type {modifier}, expected {expected}")
        return parameter, None, modifier
    honoured = ", ".join(sorted(parameter.modifiers)) or "none"
    raise _RefusedError(
        400, "not-supported", f"the modifier {modifier!r} is not supported, expected {honoured}"
    )
