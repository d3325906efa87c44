r"""Facets: the search-index values of one report version, the form every match and every search runs over.

Shape: `{parameter: [value, ...]}`; a parameter without a value is absent (which is what `:missing` asks).
The publisher works them out once (`services.publisher.derive.facets`); they travel in the event as JSON.

| parameter type | one value                                                                       |
|----------------|---------------------------------------------------------------------------------|
| token          | `"system\|code"`; `"\|code"` when the element has no system                       |
| reference      | `"Type/id"` for our own base, the absolute URL otherwise; a canonical as it was sent |
| date           | `[low, high]`, half-open, `YYYY-MM-DDThh:mm:ss.sssZ` in UTC; `None` is an open end   |
| uri, string    | the text                                                                        |
| number         | the decimal as the report wrote it, a string                                    |
| composite      | `[token, number, unit]` for `metric-score` and `threshold-gap`; without one the unit is `""` |

Identifiers inside a Reference stand under `"<parameter>:identifier"` as tokens.
Dates compare as strings: every bound has the same width, so text order is time order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

DateBounds: TypeAlias = Sequence[str | None]
"""`[low, high)`; exactly two items."""

FacetValue: TypeAlias = str | Sequence[str | None]
Facets: TypeAlias = Mapping[str, Sequence[FacetValue]]

PARTIES: Final = ("payer", "provider")
"""The parameters whose references are the report's parties: who may see it, whatever criteria say."""

EVERY_ORGANISATION: Final = "*"
"""An organisation of its own, party to every report: a real key of the match index, not a bypass."""


def token(system: str, code: str) -> str:
    """Return the facet of one code or identifier; `system` is `""` when the element has none."""
    return f"{system}|{code}"


def parties(facets: Facets) -> frozenset[str]:
    """Return the organisations that are party to the report, as references; `*` is not among them."""
    return frozenset(value for name in PARTIES for value in facets.get(name, ()) if isinstance(value, str))
