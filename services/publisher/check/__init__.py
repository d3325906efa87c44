"""Says whether a resource may be stored: FHIR's structure first, then the rules of its VBPR profile. Pure.

profile     what is wrong with a resource by the profile it must follow
editions    which profile that is, and in which edition of the guide
rules/      the table: one row a rule, with its source
rule        what a row can say: cardinality, fixed value, type, value set, place, invariant
paths       how a row names the elements it speaks about
extensions  the extensions by their short names
codes       the value sets
tree        the rows of a table joined into the tree of a resource, once
glance      the tree written out as one function: is it certain that a resource breaks no rule
walk        the one walk over a resource that may break one: which, and where
agreement   does a report agree with its contract and with the report before it: warnings
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.structure.gate import MOST_ISSUES, check_structure
from services.publisher.check.profile import check_profile

if TYPE_CHECKING:
    from schemas.outcome import Issue
    from services.publisher.check.editions import Standard


def check(resource: dict[str, Any]) -> list[Issue]:
    """Return everything that keeps a resource from being stored; an empty list when nothing does.

    A broken structure does not hide a broken rule: both are reported at once, each element once. Every Issue
    has the FHIRPath of its element, and those of a profile have the rule's id.
    `resource` is JSON as `schemas.raw_json.parse` returns it.
    """
    return _all(resource, None, everything=False)


def review(resource: dict[str, Any], by: Standard | None = None) -> list[Issue]:
    """Return all there is to say about a resource: what `check` does, then warnings and information.

    `by` judges it by another profile or edition than the one it was written to.
    """
    return _all(resource, by, everything=True)


def _all(resource: dict[str, Any], by: Standard | None, *, everything: bool) -> list[Issue]:
    structure = check_structure(resource)
    rules = check_profile(resource, by=by, everything=everything, sound=not structure, most=MOST_ISSUES)
    if not structure:
        return rules
    named = {issue.expression for issue in structure}
    return [*structure, *(issue for issue in rules if issue.expression not in named)]
