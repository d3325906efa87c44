"""How is a number read with the digits it was written with? As the slice of the report's text it stands in.

A parsed report has lost them. Here is what those parts of a report that hold such numbers are made of.
"""

from __future__ import annotations

from typing import Final

import msgspec

ABSENT: Final = msgspec.Raw(b"")
"""What an element that is not there decodes to: no JSON value is empty text."""


class Coding(msgspec.Struct):
    """FHIR's Coding."""

    system: str = ""
    code: str | None = None


class Concept(msgspec.Struct):
    """FHIR's CodeableConcept."""

    coding: list[Coding] = []


def written(number: msgspec.Raw) -> str:
    """Return the text of a number, `""` when it is not there."""
    return bytes(number).decode()
