"""What the demo publishes, in which order, and which subscription must be told of it: written by hand.

Read off the example reports by the rules the product promises, so that the product cannot agree with itself
by mistake. Two subscriptions: `classic` follows the settled reports of one contract (corrections of settled
ones are settled too), `topic` follows every report of Lakeshore Health Plan. A quality report belongs to the
contract of the performance report that lists it, and waits for that one when it comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["classic", "topic"]


@dataclass(frozen=True, slots=True)
class Step:
    """One report version. `file` is the stem under `schemas/examples/reports`."""

    file: str
    shows: str
    version: str
    """As a receiver names it: `MeasureReport/{id}/_history/{version}`."""
    told: frozenset[Kind]
    waits_for: str | None = None
    """The file of the performance report whose coming lets this quality report go out."""


NOBODY: Final[frozenset[Kind]] = frozenset()
TOPIC: Final[frozenset[Kind]] = frozenset({"topic"})
BOTH: Final[frozenset[Kind]] = frozenset({"classic", "topic"})

_H1, _FINAL = "02-harbor-point-h1-interim", "09-harbor-point-final"
_ST_BRIGID = "12-st-brigid-final-large"


def _report(name: str, version: int) -> str:
    return f"MeasureReport/{name}/_history/{version}"


STEPS: Final = (
    Step("01-quality-harbor-point-h1-interim", "a quality report before its parent: it waits",
         _report("harbor-point-2024-h1-breast-cancer-screening", 1), TOPIC, waits_for=_H1),
    Step(_H1, "its performance report: both go out",
         _report("harbor-point-2024-h1", 1), TOPIC),
    Step("03-prairie-valley-interim", "Medicaid, interim",
         _report("prairie-valley-2024-interim", 1), TOPIC),
    Step("04-quality-prairie-valley-interim", "a quality report after its parent",
         _report("prairie-valley-2024-well-child", 1), TOPIC),
    Step("05-st-brigid-q3-pending", "the other payer: nobody here has subscribed to it",
         _report("st-brigid-2024-q3", 1), NOBODY),
    Step("06-harbor-point-q3-interim", "Medicare Advantage, year to date",
         _report("harbor-point-2024-q3", 1), TOPIC),
    Step("07-quality-harbor-point-breast-cancer-final", "waits for the final report",
         _report("harbor-point-2024-breast-cancer-screening", 1), TOPIC, waits_for=_FINAL),
    Step("08-quality-harbor-point-blood-pressure-final", "waits for the final report",
         _report("harbor-point-2024-blood-pressure", 1), TOPIC, waits_for=_FINAL),
    Step(_FINAL, "final: three go out together",
         _report("harbor-point-2024", 1), TOPIC),
    Step("10-quality-prairie-valley-final", "a new version of 04",
         _report("prairie-valley-2024-well-child", 2), TOPIC),
    Step("11-prairie-valley-final", "final, superseding 03",
         _report("prairie-valley-2024-final", 1), TOPIC),
    Step(_ST_BRIGID, "commercial, large",
         _report("st-brigid-2024", 1), NOBODY),
    Step("13-quality-st-brigid-final", "its quality report",
         _report("st-brigid-2024-readmissions", 1), NOBODY),
    Step("14-harbor-point-commercial-final", "commercial, final",
         _report("harbor-point-commercial-2024", 1), TOPIC),
    Step("15-harbor-point-commercial-withdrawn", "14 withdrawn",
         _report("harbor-point-commercial-2024", 2), TOPIC),
    Step("16-quality-harbor-point-breast-cancer-settled", "07 settled",
         _report("harbor-point-2024-breast-cancer-screening", 2), BOTH),
    Step("17-quality-harbor-point-blood-pressure-settled", "08 settled",
         _report("harbor-point-2024-blood-pressure", 2), BOTH),
    Step("18-harbor-point-settled", "09 settled",
         _report("harbor-point-2024", 2), BOTH),
    Step("19-prairie-valley-settled", "11 settled",
         _report("prairie-valley-2024-settled", 1), TOPIC),
    Step("20-harbor-point-corrected", "18 corrected after settlement",
         _report("harbor-point-2024", 3), BOTH),
)  # fmt: skip

CRASH_AFTER: Final = _FINAL
"""Right after this report's 201, three events of it owed, the services are killed."""


def owed(kind: Kind, published: int = len(STEPS)) -> frozenset[str]:
    """Return the report versions a subscription must have been told of once so many steps are published."""
    done = {step.file for step in STEPS[:published]}
    return frozenset(
        step.version
        for step in STEPS[:published]
        if kind in step.told and (step.waits_for is None or step.waits_for in done)
    )
