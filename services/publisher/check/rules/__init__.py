"""The table of profile rules: what VBPR and its parents demand beyond FHIR R4. A new rule is a new row.

reports       what both reports have in common
performance   vbp-performance-measurereport
quality       vbp-quality-measurereport and DEQM's summary MeasureReport, its parent
contract      vbp-measure and CRMI's shareable Measure, its parent
extensions    shapes, value sets and places of the extensions they all use

Where the guide contradicts itself, the module says at its top what was decided and why. Example bindings
demand nothing, and cardinalities that R4 has already are the structure gate's: neither has a row.

Sources: Da Vinci VBPR 1.1.0 (with its 1.0.0 and the revision after it), DEQM 5.0.0, CRMI 1.0.0, FHIR R4 4.0.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.publisher.check.editions import Profile, Standard
from services.publisher.check.rule import Rule
from services.publisher.check.rules.contract import CONTRACT
from services.publisher.check.rules.performance import PERFORMANCE
from services.publisher.check.rules.quality import QUALITY

TABLE: Final[Mapping[Profile, tuple[Rule, ...]]] = {
    Profile.PERFORMANCE: PERFORMANCE,
    Profile.QUALITY: QUALITY,
    Profile.CONTRACT: CONTRACT,
}


def rules(standard: Standard) -> tuple[Rule, ...]:
    """Return the rows that hold in one edition of one profile, in their order."""
    return tuple(rule for rule in TABLE[standard.profile] if rule.since <= standard.edition <= rule.until)
