"""Says whether a resource may be stored: FHIR's structure first, then the rules of its VBPR profile. Pure.

profile     which profile a resource must follow, and what is wrong with it by that
rules       the table: one row a rule, with its source
rule        what a row can say: cardinality, fixed value, invariant
paths       how a row finds the elements it speaks about
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from schemas.structure.gate import MOST_ISSUES, check_structure
from services.publisher.check.profile import check_profile

if TYPE_CHECKING:
    from schemas.outcome import Issue


def check(resource: dict[str, Any]) -> list[Issue]:
    """Return everything that keeps a resource from being stored; an empty list when nothing does.

    A broken structure does not hide a broken rule: both are reported at once, each element once. Every Issue
    has the FHIRPath of its element, and those of a profile have the rule's id.
    `resource` is JSON as `schemas.raw_json.parse` returns it.
    """
    structure = check_structure(resource)
    named = {issue.expression for issue in structure}
    profile = (issue for issue in check_profile(resource) if issue.expression not in named)
    return [*structure, *islice(profile, MOST_ISSUES)]
