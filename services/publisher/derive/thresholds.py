"""How far is a report from its thresholds? The gaps it gives, each with the digits it was written with.

Source: VBPR 1.1.0, extension threshold: a type, and `gapToThreshold`, what is missing to achieve it, as a decimal
or a Quantity. So a gap above 0 is open, one of 0 or less is closed. VBPR says neither what a gap counts nor what a
negative one means; nothing is worked out from score and threshold where no gap is given.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from schemas.facets import token
from schemas.fhir import GAP_TO_THRESHOLD, THRESHOLD
from services.publisher.derive.written import ABSENT, Concept, written


class _Quantity(msgspec.Struct):
    value: msgspec.Raw = ABSENT
    code: str | None = None
    unit: str | None = None


class _Part(msgspec.Struct, rename="camel"):
    url: str
    value_decimal: msgspec.Raw = ABSENT
    value_quantity: _Quantity | None = None
    value_codeable_concept: Concept | None = None


class _Extension(msgspec.Struct):
    url: str
    extension: list[_Part] = []


class _Report(msgspec.Struct):
    extension: list[_Extension] = []


_decoder = msgspec.json.Decoder(_Report)


def threshold_gaps(raw: bytes) -> list[tuple[str, str, str]]:
    """Return `(token of the threshold's type, gap as written, unit)` for each gap of the report, in their order.

    The unit is a Quantity's code, or its text without one; `""` when there is none. `raw` is the text of a
    MeasureReport that has been checked.
    """
    return [
        (token(coding.system, coding.code), number, unit)
        for threshold in _decoder.decode(raw).extension
        if threshold.url == THRESHOLD
        for number, unit in _gaps(threshold.extension)
        for part in threshold.extension
        if part.url == "type" and part.value_codeable_concept is not None
        for coding in part.value_codeable_concept.coding
        if coding.code is not None
    ]


def _gaps(parts: list[_Part]) -> Iterator[tuple[str, str]]:
    for part in parts:
        if part.url != GAP_TO_THRESHOLD:
            continue
        if number := written(part.value_decimal):
            yield number, ""
        elif (quantity := part.value_quantity) is not None and (number := written(quantity.value)):
            yield number, quantity.code or quantity.unit or ""
