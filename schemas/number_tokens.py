"""How is JSON changed without changing a digit? Numbers are read as the tokens they were written as, and so written.

A number compares by its value, as JSON Patch's `test` asks (RFC 6902 §4.6), and is written as it stood: `1.50e2`
equals 150 and stays `1.50e2`.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Self

import orjson

from schemas.outcome import refuse


class Number(Decimal):
    """A number, and the token it was written as."""

    token: str

    def __new__(cls, token: str) -> Self:
        """Read a JSON number."""
        made = super().__new__(cls, token)
        made.token = token
        return made

    def __copy__(self) -> Number:
        """Return the number itself: it never changes."""
        return self

    def __deepcopy__(self, memo: Any) -> Number:
        """Return the number itself: a copy that Decimal makes would forget the token."""
        return self


def read(text: bytes) -> Any:
    """Return what a JSON text says, its numbers as `Number`.

    Raises:
        FhirError: 400 for text that is no JSON (line and column), or names a key of an object twice.
    """
    try:
        orjson.loads(text)  # says where it is wrong, and takes no NaN
    except orjson.JSONDecodeError as wrong:
        said = f"The body is not JSON: {wrong.msg}, at line {wrong.lineno} column {wrong.colno}."
        raise refuse(400, "invalid", said) from None
    return json.loads(text, parse_float=Number, parse_int=Number, object_pairs_hook=_unlike)


def written(value: Any) -> bytes:
    """Return the JSON text of a value, each `Number` as its token."""
    return orjson.dumps(value, default=_token)


def _token(value: Any) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.token)
    raise TypeError(type(value).__name__)


def _unlike(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise refuse(400, "structure", f"The key '{twice}' stands twice in one object.")
    return out
