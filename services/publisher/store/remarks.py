"""What does the sender of a report hear though the report is stored? Where it disagrees with what was agreed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from schemas.event import Stage
from schemas.outcome import Issue
from services.publisher.check.agreement import changed_units, disagreements, units
from services.publisher.derive.elements import Element
from services.publisher.derive.model import Derived, Kind
from services.publisher.store.view import View


def on_stage(report: Element, derived: Derived) -> list[Issue]:
    """Return what is odd about a report that is an error by its status, and not withdrawn by its tags."""
    if report["status"] != "error" or derived.stage is Stage.WITHDRAWN:
        return []
    said = (
        f"the status is error, and its tags say that the report is {derived.stage}: the tags decide, so it is not "
        "withdrawn; leave them out, or tag it withdrawn, to withdraw it"
    )
    return [Issue("warning", "business-rule", said, "MeasureReport.status", "stage-status")]


def on_contract(view: View, report: Element, derived: Derived) -> list[Issue]:
    """Return where a report disagrees with its contract, or a quality report with its parent's; warnings only."""
    known = None if derived.contract is None else view.contracts.get(derived.contract)
    if known is None:
        return []
    measures = _measures(view, report, derived.lists) if is_compared(derived) else None
    return disagreements(
        report, derived.kind, derived.stage, known.facts, measures=measures, facets=derived.facets
    )


def is_compared(derived: Derived) -> bool:
    """Tell whether a report is compared with the one before it: once it is settled, and speaks of metrics."""
    return derived.stage is Stage.SETTLED and derived.kind is Kind.PERFORMANCE


def on_former(report: Element, derived: Derived, before: tuple[Stage, str] | None) -> list[Issue]:
    """Return where a settled report disagrees with the one before it, given by its stage and its facets as JSON.

    A withdrawn report is none to agree with.
    """
    if before is None or before[0] is Stage.WITHDRAWN or not is_compared(derived):
        return []
    return changed_units(report, units(derived.facets), units(orjson.loads(before[1])))


def _measures(view: View, report: Element, lists: Sequence[str]) -> list[str] | None:
    """Return the measures of the reports that are listed; `None` when one is not known here."""
    if len(lists) < len(report.get("evaluatedResource", ())):
        return None
    known = [view.reports.get(each) for each in lists]
    if None in known:
        return None
    return [
        measure
        for each in known
        if each is not None
        for measure in orjson.loads(each.facets).get("measure", ())
    ]
