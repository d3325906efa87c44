"""How is a version of a MeasureReport filed? What is derived, its place in the index, its listing, its event. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from schemas.event import Interaction
from schemas.facets import Facets
from schemas.outcome import FhirError, Issue, refuse
from services.publisher.derive import StageMapping, derive, needs
from services.publisher.derive.model import Context, Derived, Kind, Needs, ParentFacts
from services.publisher.store import context, contracts, remarks
from services.publisher.store.events import Change, Former
from services.publisher.store.index import Indexed, index
from services.publisher.store.model import Contract, Filed, Listing, Stored
from services.publisher.store.rows import Filing, Rows
from services.publisher.store.view import View
from services.settings import HEADER_ROOM

WAITS = Issue(
    "warning",
    "incomplete",
    "the report waits: no performance report lists it in evaluatedResource yet; its events follow that report's",
    "MeasureReport",
    "report-waits",
)

_LONGEST_IDENTITY = 2400
"""Bytes of a report identity; PostgreSQL's index rows hold 2,704."""

_MOST_FACETS = (HEADER_ROOM - 16 * 1024) // 2
"""Bytes of facets: an event carries those of a version and of what it supersedes, beside small headers."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a decision needs beside report and store."""

    base_url: str
    stage_mapping: StageMapping
    new_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version of a report that is being stored."""

    stored: Stored
    resource: Mapping[str, Any]
    needs: Needs
    interaction: Interaction
    new: bool
    """Tells that the id has no undeleted former version."""
    now: datetime
    traceparent: str | None


def decide(view: View, rows: Rows, version: NewVersion, rules: Rules) -> Sequence[Issue]:
    """File a version, emit it, and release the children that waited for it; return what to tell the sender.

    Raises:
        FhirError: 422 with every reason why the report cannot be filed.
    """
    report_id, wanted = version.stored.id, version.needs
    former = None if version.new else view.reports.get(report_id)
    if wanted.kind is Kind.QUALITY:
        parent = context.parent(view, report_id)
        known = context.for_quality(view, wanted, parent, former)
    else:
        known = context.for_performance(view, wanted, former)
    filed = _filed(version.stored, _derive(version, known, rules))
    _file(view, rows, report_id, filed, former)
    if filed.waits:
        return (WAITS,)
    rows.changes.append(_change(version, filed, _before(former), rules))
    if wanted.kind is Kind.PERFORMANCE:
        _bind(view, rows, known, filed.derived)
        waiting = context.waiting(view, wanted.lists)
        _list(view, rows, report_id, wanted.lists)
        for child in waiting:
            _release(view, rows, _Parent(report_id, filed), child, version, rules)
    said = remarks.on_stage(version.resource, filed.derived)
    return [*said, *remarks.on_contract(view, version.resource, filed.derived)]


@dataclass(frozen=True, slots=True)
class _New:
    """A version, filed: with its facets as values and as text."""

    derived: Derived
    text: str
    index: Indexed
    stored: Stored

    @property
    def waits(self) -> bool:
        return self.derived.waits

    def kept(self) -> Filed:
        return Filed(
            self.stored.version,
            self.derived,
            self.text,
            self.index.facet_set,
            self.stored.last_updated,
        )


def _derive(version: NewVersion, known: Context, rules: Rules) -> Derived:
    derived = derive(
        version.resource,
        known,
        report_id=version.stored.id,
        base_url=rules.base_url,
        stage_mapping=rules.stage_mapping,
        last_updated=version.stored.last_updated,
        raw=version.stored.body,
    )
    if derived.identity is not None and len(derived.identity.encode()) > _LONGEST_IDENTITY:
        raise refuse(
            422,
            "too-long",
            f"measure, provider and period together have more than {_LONGEST_IDENTITY} bytes",
            "MeasureReport.measure",
        )
    return derived


def _filed(stored: Stored, derived: Derived) -> _New:
    text = orjson.dumps(derived.facets)
    if len(text) > _MOST_FACETS:
        raise refuse(
            422,
            "too-costly",
            f"what the report can be found by takes {len(text)} bytes; at most {_MOST_FACETS} fit into an event, "
            "so list fewer resources or metrics in one report",
            "MeasureReport",
        )
    return _New(derived, text.decode(), index(derived.facets), stored)


def _file(view: View, rows: Rows, report_id: str, new: _New, former: Filed | None) -> None:
    derived = new.derived
    row = {
        "id": report_id,
        "version": new.stored.version,
        "kind": str(derived.kind),
        "stage": str(derived.stage),
        "contract": derived.contract,
        "payer": derived.payer,
        "provider": derived.provider,
        "identity": derived.identity,
        "parent": derived.parent,
        "waits": derived.waits,
        "facets": new.text,
        "facet_set": new.index.facet_set,
        "last_updated": new.stored.last_updated,
        "date_low": new.index.date[0],
        "date_high": new.index.date[1],
        "period_low": new.index.period[0],
        "period_high": new.index.period[1],
    }
    if former is None:
        rows.file(report_id, Filing(row, new.index))
    else:
        rows.file(report_id, Filing(row, new.index, index(_facets(former))))
    view.put(view.reports, report_id, new.kept())


def _facets(filed: Filed) -> Facets:
    found: Facets = orjson.loads(filed.facets)
    return found


def _before(former: Filed | None) -> Former | None:
    return None if former is None else Former(former.derived.identity, former.derived.stage, former.facets)


def _change(version: NewVersion, filed: _New, former: Former | None, rules: Rules) -> Change:
    return Change(
        version.stored.id,
        version.stored.version,
        version.interaction,
        version.resource,
        filed.derived,
        filed.text,
        former,
        rules.new_id(),
        version.now,
        version.traceparent,
    )


def _bind(view: View, rows: Rows, known: Context, derived: Derived) -> None:
    """The first report of a contract that nobody claimed says who pays under it."""
    facts = known.contract
    if facts is None or facts.payer is not None or derived.payer is None:
        return
    bound = Contract(view.contracts[facts.key].measure_id, replace(facts, payer=derived.payer))
    view.put(view.contracts, facts.key, bound)
    rows.contracts[facts.key] = contracts.row(bound)


def _list(view: View, rows: Rows, report_id: str, quality_ids: Sequence[str]) -> None:
    """Note that a performance report lists these; those that it listed before keep their order."""
    for each in quality_ids:
        known = view.listings.get(each, ())
        if any(one.performance == report_id for one in known):
            continue
        since = known[-1].since + 1 if known else 1
        view.put(view.listings, each, (*known, Listing(report_id, since)))
        rows.listings.append({"quality_id": each, "performance_id": report_id, "since": since})


@dataclass(frozen=True, slots=True)
class _Parent:
    id: str
    filed: _New

    @property
    def facts(self) -> ParentFacts:
        return self.filed.kept().as_parent(self.id)


def _release(view: View, rows: Rows, parent: _Parent, child: str, by: NewVersion, rules: Rules) -> None:
    """Emit every version of a child that waited for this parent, in order, after the parent's own event."""
    former: _New | None = None
    for stored in view.histories[child]:
        resource = orjson.loads(stored.body)
        wanted = needs(resource, rules.base_url)
        interaction: Interaction = "create" if former is None else "update"
        version = NewVersion(stored, resource, wanted, interaction, former is None, by.now, by.traceparent)
        known = context.for_quality(view, wanted, parent.facts, None if former is None else former.kept())
        try:
            filed = _filed(stored, _derive(version, known, rules))
        except FhirError as error:
            raise _cannot_be_child(child, error) from None
        before = None if former is None else _before(former.kept())
        rows.changes.append(_change(version, filed, before, rules))
        former = filed
    if former is not None:
        _file(view, rows, child, former, view.reports[child])


def _cannot_be_child(child: str, error: FhirError) -> FhirError:
    why = "; ".join(issue.diagnostics for issue in error.issues)
    return refuse(
        422,
        "business-rule",
        f"MeasureReport/{child} is listed but does not belong to this report: {why}",
        "MeasureReport.evaluatedResource",
    )
