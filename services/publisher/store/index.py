"""How do facets become rows that a database can search? Pure; `search` reads what this writes.

Dates and numbers become text whose order is theirs, so SQLite and PostgreSQL compare them alike and exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from schemas.facets import Facets, FacetValue
from schemas.search.parameters import MEASURE_REPORT, SearchType

BEFORE_ALL = ""
"""The low bound of a date without a beginning."""
AFTER_ALL = "~"
"""The high bound of a date without an end; sorts after every digit."""

IDENTIFIER = ":identifier"
"""Ends the parameter of the identifiers that stand in references."""

_EMPTY: dict[str, str | None] = {"system": None, "low": None, "high": None, "number": None, "unit": None}


def facet_rows(report_id: str, facets: Facets) -> list[dict[str, Any]]:
    """Return the rows of the table `facet` for one report, each value once."""
    rows = {
        (parameter, *row.values()): {"report_id": report_id, "parameter": parameter, **row}
        for parameter, values in facets.items()
        for value in values
        for row in _row(parameter, value)
    }
    return list(rows.values())


def _row(parameter: str, value: FacetValue) -> Iterator[dict[str, str | None]]:
    if not isinstance(value, str):
        if len(value) == 2:
            low, high = value
            yield {**_EMPTY, "value": "", "low": low or BEFORE_ALL, "high": high or AFTER_ALL}
        else:
            token, number, unit = value
            system, code = _token(token or "|")
            score = {"number": sortable(Decimal(number or 0)), "unit": unit}
            yield {**_EMPTY, "value": indexed(code), "system": system, **score}
        return
    known = MEASURE_REPORT.get(parameter)
    if parameter.endswith(IDENTIFIER) or (known is not None and known.type is SearchType.TOKEN):
        system, code = _token(value)
        yield {**_EMPTY, "value": indexed(code), "system": system}
    elif known is not None and known.canonical:
        url, _, version = value.partition("|")
        yield {**_EMPTY, "value": indexed(url), "system": version}
    else:
        yield {**_EMPTY, "value": indexed(value)}


def indexed(text: str) -> str:
    """Return what stands in the index for a text: itself, or its digest when an index could not hold it."""
    if len(text) <= _LONGEST:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


_LONGEST = 600
"""In characters; four bytes each still fit PostgreSQL's limit of 2,704 bytes an index row."""


def _token(value: str) -> tuple[str, str]:
    system, _, code = value.partition("|")
    return system, code


def sortable(number: Decimal) -> str:
    """Return a text whose byte order is the order of numbers, with every digit kept; 1.0 equals 1.

    A sign, the exponent of the leading digit on a shifted scale, the digits. Negative numbers are the
    complement of their positive, ended by a byte that sorts after every digit.
    """
    if not number:
        return "1"
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # JSON has no NaN and no infinity
    leading = min(max(exponent + len(digits) + 500_000, 0), 999_999)
    text = f"{leading:06d}{''.join(map(str, digits)).rstrip('0')}"
    if number > 0:
        return f"2{text}"
    return "0" + text.translate(_COMPLEMENT) + "~"


_COMPLEMENT = str.maketrans("0123456789", "9876543210")
