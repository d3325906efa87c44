"""Answers: what is wrong with a resource by the profile it must follow."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from schemas.outcome import Issue
from services.publisher.check.editions import Profile, Standard, is_contract, standard
from services.publisher.check.glance import Glance, glance
from services.publisher.check.rules import rules
from services.publisher.check.tree import Tree, grow
from services.publisher.check.walk import findings

__all__ = ["check_profile", "is_contract"]

_TYPES: Final = {
    Profile.PERFORMANCE: "MeasureReport",
    Profile.QUALITY: "MeasureReport",
    Profile.CONTRACT: "Measure",
}

_NO_KIND: Final = Issue(
    "error",
    "business-rule",
    "Nothing tells whether this is a performance or a quality report; expected a VBPR profile in meta.profile, "
    "DEQM's measureScoring for a quality report, or the category 'vbp' for a performance report.",
    "MeasureReport.meta.profile",
    "vbpr-kind",
)


def check_profile(
    resource: dict[str, Any],
    *,
    by: Standard | None = None,
    everything: bool = False,
    sound: bool = True,
    most: int = 100,
) -> list[Issue]:
    """Return an Issue for every place where a resource breaks a rule of its profile; none for types that have none.

    A MeasureReport follows the profile of its kind, a Measure is a contract unless it claims other profiles and
    not `vbp-measure`, in the edition it was written to; `by` judges it by another. Organizations and Groups are
    structure only. `everything` adds what does not keep it from being stored: warnings and information.
    `sound` says that its structure is right.
    """
    if by is None:
        try:
            by = standard(resource)
        except (AttributeError, KeyError, TypeError):
            return []  # too broken to tell its kind: the structure gate has said where, and no rule can add to it
    if by is not None:
        if sound and not everything and _glance(by)(resource):
            return []
        return findings(_tree(by, everything=everything), resource, most=most, sound=sound)
    return [_NO_KIND] if resource.get("resourceType") == "MeasureReport" else []


@cache
def _tree(by: Standard, *, everything: bool) -> Tree:
    table = (rule for rule in rules(by) if everything or rule.severity == "error")
    return grow(table, _TYPES[by.profile])


@cache
def _glance(by: Standard) -> Glance:
    return glance(_tree(by, everything=False))
