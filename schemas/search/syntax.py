r"""How is the text of a query taken apart? Decoding, splitting and escapes, in the one order that is right.

Split on `&`, then at the first `=`, decode percent signs, split on `,` that no `\` escapes, then on `$` and `|`
likewise, and only then take the escapes out. So `%2C` still separates and `%5C%2C` is an escaped comma.
Source: FHIR R4 search 3.1.1.4.19 (escaping).
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_SEPARATORS = {separator: re.compile(rf"\\.|[{separator}]", re.DOTALL) for separator in ",$|"}


def pairs(query: str) -> list[tuple[str, str | None]]:
    """Return the parameters of a query string in their order, as (name with modifier, still escaped value).

    The value is `None` when there is no `=`. Empty stretches between `&` are no parameters.

    Raises:
        ValueError: a percent escape is malformed, or the bytes it gives are not UTF-8.
    """
    found: list[tuple[str, str | None]] = []
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        found.append((_decoded(name), _decoded(value) if equals else None))
    return found


def split(text: str, separator: str) -> list[str]:
    """Return the pieces of an escaped text between separators (`,`, `$` or `|`), each still escaped."""
    pieces, start = [], 0
    for hit in _SEPARATORS[separator].finditer(text):
        if hit.group() == separator:
            pieces.append(text[start : hit.start()])
            start = hit.end()
    return [*pieces, text[start:]]


def unescaped(text: str) -> str:
    r"""Return the text that was meant.

    Raises:
        ValueError: a `\` stands before anything but `\`, `,`, `$` or `|`.
    """
    for hit in _ESCAPE.finditer(text):
        if hit.group(1) not in {"\\", ",", "$", "|"}:
            raise ValueError(
                f"found {hit.group()!r}, expected a backslash only before a comma, $, | or itself"
            )
    return _ESCAPE.sub(r"\1", text)


def _decoded(text: str) -> str:
    if (bad := _BAD_PERCENT.search(text)) is not None:
        raise ValueError(
            f"found {text[bad.start() : bad.start() + 3]!r}, expected % and two hexadecimal digits"
        )
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise ValueError(f"found {text!r}, expected percent escapes of UTF-8") from None
