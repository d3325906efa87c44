"""How is a number read with the digits it was written with? As the slice of the report's text it stands in.

A parsed report has lost them. Here is what those parts of a report that hold such numbers are made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from schemas.facets import token

ABSENT: Final = msgspec.Raw(b"")
"""What an element that is not there decodes to: no JSON value is empty text."""


class Coding(msgspec.Struct):
    """FHIR's Coding."""

    system: str = ""
    code: str | None = None


class Concept(msgspec.Struct):
    """FHIR's CodeableConcept."""

    coding: list[Coding] = []

    def tokens(self) -> Iterator[str]:
        """Yield `system|code` of each coding that has a code."""
        return (token(each.system, each.code) for each in self.coding if each.code is not None)


def written(number: msgspec.Raw) -> str:
    """Return the text of a number, `""` when it is not there."""
    return bytes(number).decode()
