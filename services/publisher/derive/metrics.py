"""Which metrics does a report give, with which scores? Scores keep the digits they were written with.

Source: VBPR 1.1.0, one `group` is one metric; its value is `measureScore`, or an alternate-measurescore
extension on that when the metric is an amount of money or a plain number.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from schemas.facets import token
from schemas.fhir import ALTERNATE_SCORE
from services.publisher.derive.written import ABSENT, Concept, written


class _Money(msgspec.Struct):
    value: msgspec.Raw = ABSENT
    currency: str = ""


class _Extension(msgspec.Struct, rename="camel"):
    url: str
    value_decimal: msgspec.Raw = ABSENT
    value_integer: msgspec.Raw = ABSENT
    value_money: _Money | None = None


class _Score(msgspec.Struct):
    value: msgspec.Raw = ABSENT
    code: str | None = None
    unit: str | None = None
    extension: list[_Extension] = []


class _Group(msgspec.Struct, rename="camel"):
    code: Concept | None = None
    measure_score: _Score | None = None


class _Report(msgspec.Struct):
    group: list[_Group] = []


_decoder = msgspec.json.Decoder(_Report)


def metric_scores(raw: bytes) -> list[tuple[str, str, str]]:
    """Return `(metric token, number as written, unit)` for each score of each metric, in their order.

    The unit is a Quantity's code, or its text without one, or a currency; `""` when there is none. Scores of
    strata are not the metric's and are left out. `raw` is the text of a MeasureReport that has been checked.
    """
    return [
        (token(coding.system, coding.code), number, unit)
        for group in _decoder.decode(raw).group
        if group.code is not None and group.measure_score is not None
        for number, unit in _numbers(group.measure_score)
        for coding in group.code.coding
        if coding.code is not None
    ]


def _numbers(score: _Score) -> Iterator[tuple[str, str]]:
    """Yield the Quantity's value; without one, the alternate scores that are numbers."""
    if value := written(score.value):
        yield value, score.code or score.unit or ""
        return
    for extension in score.extension:
        if extension.url != ALTERNATE_SCORE:
            continue
        for plain in (extension.value_decimal, extension.value_integer):
            if number := written(plain):
                yield number, ""
        if (money := extension.value_money) is not None and (amount := written(money.value)):
            yield amount, money.currency
