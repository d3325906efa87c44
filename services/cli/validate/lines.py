"""Answers: on which line of a JSON text does the element stand that a FHIRPath names."""

from __future__ import annotations

import json
import re
from json import JSONDecodeError
from typing import Final

from schemas.structure.gate import choices

_STEP: Final = re.compile(r"\.([A-Za-z][A-Za-z0-9]*)(\([^)]*\))?|\[([0-9]+)\]")
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_decoder: Final = json.JSONDecoder()


def line_of(text: str, expression: str) -> int:
    """Return the line, from 1, of the element; of the one it would stand in when it is not there.

    `expression` is the FHIRPath of an Issue: names, places in lists, and at its end perhaps a search for what is
    missing. `text` is the JSON it was found in; of text that is none, as far as it can be read.
    """
    place = _blank(text, 0)
    try:
        for name, search, index in _STEP.findall(expression):
            if search:
                break
            found = _item(text, place, int(index)) if index else _member(text, place, name)
            if found is None:
                break
            place = found
    except (JSONDecodeError, IndexError):
        pass  # not JSON from here on: so far is as near as it gets
    return text.count("\n", 0, place) + 1


def _member(text: str, place: int, name: str) -> int | None:
    """Return where the value of an object's member begins; a choice is found by the name it has in FHIRPath."""
    if text[place] != "{":
        return None
    place = _blank(text, place + 1)
    while text[place] == '"':
        key, place = _decoder.raw_decode(text, place)
        place = _blank(text, _blank(text, place) + 1)
        plain = key.removeprefix("_")
        if plain == name or choices().get(plain) == name:
            return place
        _, place = _decoder.raw_decode(text, place)
        place = _blank(text, place)
        if text[place] != ",":
            return None
        place = _blank(text, place + 1)
    return None


def _item(text: str, place: int, index: int) -> int | None:
    """Return where an item of a list begins."""
    if text[place] != "[":
        return place if index == 0 else None
    place = _blank(text, place + 1)
    for _ in range(index):
        _, place = _decoder.raw_decode(text, place)
        place = _blank(text, place)
        if text[place] != ",":
            return None
        place = _blank(text, place + 1)
    return None if text[place] == "]" else place


def _blank(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    return place if found is None else found.end()
