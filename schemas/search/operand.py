"""What does the text of one value mean? Parsed by the parameter's type and modifier, with a reason when it fails.

Source: FHIR R4 search 3.1.1.4.5 to 3.1.1.4.17. All functions take text that is still escaped and raise
ValueError with what was found and what was expected.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal

from schemas.dates import bounds
from schemas.search.parameters import Modifier, SearchParameter, SearchType
from schemas.search.references import comparable, is_absolute, is_id, local_type
from schemas.search.syntax import split, unescaped
from schemas.search.values import (
    Canonical,
    Date,
    MetricScore,
    Missing,
    Number,
    Prefix,
    Reference,
    Text,
    Token,
    Value,
)

_PREFIX = re.compile(r"[a-z]{2}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_LOST_PLUS = re.compile(r"(T.*) (\d\d:\d\d)$")
_EXACT = Context(prec=100)


def operand(  # noqa: PLR0911  # one return for each type of parameter
    parameter: SearchParameter, modifier: Modifier | None, text: str, *, target: str | None, base_url: str
) -> Value:
    """Return the value; `target` is the resource type given as modifier, `base_url` our own base."""
    if modifier is Modifier.IDENTIFIER:
        return _token(text)
    if parameter.canonical:
        return _canonical(parameter, unescaped(text))
    match parameter.type:
        case SearchType.TOKEN:
            return _token(text) if parameter.piped else _id(unescaped(text))
        case SearchType.REFERENCE:
            return _reference(parameter, comparable(unescaped(text), base_url), target)
        case SearchType.DATE:
            return _date(unescaped(text))
        case SearchType.NUMBER:
            return _number(unescaped(text))
        case SearchType.URI:
            return _uri(parameter, modifier, unescaped(text))
        case SearchType.STRING:
            return Text(unescaped(text))
        case SearchType.COMPOSITE:
            return _metric_score(parameter, text)


def missing(text: str) -> Missing:
    """Return what `:missing=` was asked."""
    if text not in {"true", "false"}:
        raise ValueError(f"found {text!r}, expected true or false")
    return Missing(text == "true")


def impossible(parameter: SearchParameter, value: Value) -> str | None:
    """Return why no report can ever have the value, `None` when one could."""
    match value:
        case Token(system=system, code=code) if parameter.system is not None:
            if system is not None and system != parameter.system:
                return f"found the system {system!r}, expected {parameter.system}"
            if code is not None and code not in parameter.codes:
                return f"found the code {code!r}, expected one of {', '.join(sorted(parameter.codes))}"
        case Reference(forms=(form,)) if parameter.targets:
            type_ = local_type(form)
            if type_ is not None and type_ not in parameter.targets:
                return f"found a {type_}, expected a reference to {' or '.join(parameter.targets)}"
        case _:
            pass
    return None


def _token(text: str) -> Token:
    match [unescaped(part) for part in split(text, "|")]:
        case [code] if code:
            return Token(None, code)
        case [system, code] if system or code:
            return Token(system, code or None)
        case _:
            raise ValueError(f"found {text!r}, expected code, system|code, |code or system|")


def _id(text: str) -> Token:
    if not is_id(text):
        raise ValueError(f"found {text!r}, expected a logical id: letters, digits, - and . (at most 64)")
    return Token(None, text)


def _canonical(parameter: SearchParameter, text: str) -> Canonical:
    url, bar, version = text.partition("|")
    if not is_absolute(url) or (bar and not version):
        raise ValueError(
            f"found {text!r}, expected the canonical URL of the {' or '.join(parameter.targets) or 'profile'}, "
            "with |version or without"
        )
    return Canonical(url, version or None)


def _reference(parameter: SearchParameter, text: str, target: str | None) -> Reference:
    if target is not None:
        id_ = text.removeprefix(f"{target}/")
        if not is_id(id_):
            raise ValueError(f"found {text!r}, expected the id of a {target}")
        return Reference((f"{target}/{id_}",))
    if is_id(text):
        if not parameter.targets:
            raise ValueError(f"found {text!r}, expected Type/id: {parameter.name} may refer to any type")
        return Reference(tuple(f"{type_}/{text}" for type_ in parameter.targets))
    if local_type(text) is None and not is_absolute(text):
        raise ValueError(f"found {text!r}, expected id, Type/id or an absolute URL")
    return Reference((text,))


def _comparison(text: str) -> tuple[Prefix, str]:
    if _PREFIX.match(text) is None:
        return Prefix.EQ, text
    try:
        return Prefix(text[:2]), text[2:]
    except ValueError:
        raise ValueError(f"found the prefix {text[:2]!r}, expected one of {', '.join(Prefix)}") from None


def _date(text: str) -> Date:
    prefix, rest = _comparison(text)
    low, high = bounds(_LOST_PLUS.sub(r"\1+\2", rest))
    return Date(prefix, low, high)


def _number(text: str) -> Number:
    prefix, rest = _comparison(text)
    if _NUMBER.fullmatch(rest) is None:
        raise ValueError(f"found {rest!r}, expected a decimal number")
    value = Decimal(rest)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # the pattern lets neither NaN nor infinity through
    # FHIR's own examples: 100 is [99.5, 100.5), but 1e2 is [95, 105), a digit finer than it is written.
    finer = 2 if "e" in rest.lower() and "." not in rest else 1
    half = Decimal(5).scaleb(exponent - finer, _EXACT)
    return Number(prefix, value, _EXACT.subtract(value, half), _EXACT.add(value, half))


def _uri(parameter: SearchParameter, modifier: Modifier | None, text: str) -> Text:
    if parameter.versionless and "|" in text:
        raise ValueError(f"found {text!r}, expected a URL without |version: {parameter.name} has none")
    if parameter.versionless and modifier is None and not is_absolute(text):
        raise ValueError(f"found {text!r}, expected an absolute URL")
    return Text(text)


def _metric_score(parameter: SearchParameter, text: str) -> MetricScore:
    parts = split(text, "$")
    if len(parts) != 2:
        raise ValueError(f"found {text!r}, expected code$number such as {parameter.example}")
    match [unescaped(part) for part in split(parts[1], "|")]:
        case [number]:
            return MetricScore(_token(parts[0]), _number(number), None)
        case [number, "", unit]:
            return MetricScore(_token(parts[0]), _number(number), unit)
        case _:
            raise ValueError(f"found {parts[1]!r} behind the $, expected a number, or number||unit")
