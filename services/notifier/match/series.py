"""Which reports follow one another? Those of one measure, under one contract, for one provider, from one day on.

What a report is compared with when nothing of its own identity came before it: year-to-date reports grow, so the
end of the period is not part of it.
"""

from __future__ import annotations

import orjson

from schemas.facets import Facets, FacetValue


def series_of(facets: Facets) -> str | None:
    """Return the name of the series a report stands in; `None` when it lacks contract, provider or period."""
    contract, provider, period, measure = (
        _only(facets, name) for name in ("contract", "provider", "period", "measure")
    )
    if contract is None or provider is None or period is None or isinstance(period, str):
        return None
    # A report computed anew under the next version of its measure goes on with the same series.
    url = measure.partition("|")[0] if isinstance(measure, str) else ""
    return orjson.dumps([contract, provider, period[0], url]).decode()


def _only(facets: Facets, name: str) -> FacetValue | None:
    values = facets.get(name, ())
    return values[0] if values else None
