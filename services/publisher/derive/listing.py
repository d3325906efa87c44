"""May this performance report list these quality reports? A quality report has one contract and one provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from schemas.outcome import Issue
from services.publisher.derive.model import Listed, ParentFacts


def check_listing(
    mine: ParentFacts, places: Mapping[str, int], listed: Mapping[str, Listed]
) -> Iterator[Issue]:
    """Yield an issue for each listed report that belongs to somebody else.

    `mine` is the listing report, `places` where it lists what (`needs.listed`), `listed` what is known of it.
    A quality report stays with the first performance report that listed it; another one that lists it
    must share contract and provider. One that came before its parent must have the parent's payer.
    """
    for report, place in places.items():
        known = listed.get(report)
        if known is None:
            continue
        expression = f"MeasureReport.evaluatedResource[{place}]"
        parent = known.parent
        if parent is not None and parent.report != mine.report:
            for name, theirs, ours in (
                ("contract", parent.contract, mine.contract),
                ("provider", parent.provider, mine.provider),
            ):
                if theirs != ours:
                    found = (
                        f"MeasureReport/{report} belongs to MeasureReport/{parent.report}, "
                        f"whose {name} is {theirs}; expected {ours}, the {name} of this report."
                    )
                    yield Issue("error", "business-rule", found, expression)
        elif known.payer is not None and known.payer != mine.payer:
            found = (
                f"The reporter of MeasureReport/{report} is {known.payer}; expected {mine.payer}, the payer."
            )
            yield Issue("error", "business-rule", found, expression)
