"""What becomes of what is deleted? It leaves the index, its listings and its contract; of a report goes an event. Pure."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from schemas.outcome import refuse
from services.publisher.derive.model import Kind
from services.publisher.store import identifiers
from services.publisher.store.events import Change, Former
from services.publisher.store.index import index, index_other
from services.publisher.store.model import REPORT, Filed, Stored
from services.publisher.store.rows import NOTHING, Filing, Rows
from services.publisher.store.view import View


def decide(
    view: View, rows: Rows, gone: Stored, *, new_id: Callable[[], str], traceparent: str | None
) -> None:
    """Take a resource out of all that is known by its version; `gone` is the version that says it was deleted.

    A report that waits has made no event, and makes none now.

    Raises:
        FhirError: 409 while something refers to the Organization, Group or Measure.
    """
    if gone.type != REPORT:
        _party(view, rows, gone)
        return
    former = view.reports[gone.id]
    rows.file(gone.id, Filing(None, NOTHING, index(orjson.loads(former.facets))))
    view.drop(view.reports, gone.id)
    if former.derived.kind is Kind.PERFORMANCE:
        _unlist(view, rows, gone.id)
    if not former.derived.waits:
        rows.changes.append(_change(gone, former, new_id(), traceparent))


def _change(gone: Stored, former: Filed, event_id: str, traceparent: str | None) -> Change:
    said = former.derived
    return Change(
        report_id=gone.id,
        version=gone.version,
        interaction="delete",
        report={},
        derived=said,
        facets=former.facets,
        former=Former(said.identity, said.stage, former.facets),
        event_id=event_id,
        now=gone.last_updated,
        traceparent=traceparent,
    )


def _unlist(view: View, rows: Rows, report_id: str) -> None:
    """Whoever comes after this, or waits, does not belong to a report that is gone; whoever belongs to it, stays."""
    rows.unlisted.add(report_id)
    rows.listings = [row for row in rows.listings if row["performance_id"] != report_id]
    for child, known in list(view.listings.items()):
        left = tuple(each for each in known if each.performance != report_id)
        if left != known:
            view.put(view.listings, child, left)


def _party(view: View, rows: Rows, gone: Stored) -> None:
    if (by := view.referrers.get(gone.reference)) is not None:
        said = f"{by} refers to {gone.reference}; delete or change that first"
        raise refuse(409, "conflict", said, gone.type)
    rows.identifiers[gone.type, gone.id] = []
    rows.others[gone.type, gone.id] = index_other(gone.type, gone.id, {})
    if gone.type == "Organization":
        identifiers.see(view, gone.reference, ())
        view.drop(view.identifiers, gone.reference)
    elif gone.type == "Group":
        view.drop(view.managers, gone.reference)
    elif (key := view.measures.get(gone.id)) is not None:
        rows.contracts[key] = None
        view.drop(view.contracts, key)
        view.drop(view.measures, gone.id)
