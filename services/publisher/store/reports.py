"""How is a version of a MeasureReport stored? What was derived, the search index, its listing, its event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from schemas.event import Interaction, Stage
from schemas.outcome import FhirError, Issue, refuse
from services.clock import Clock
from services.database import Connection
from services.publisher.derive import StageMapping, derive, needs
from services.publisher.derive.model import Context, Derived, Kind, ParentFacts
from services.publisher.store import contracts, events, listings, lookup, versions
from services.publisher.store.events import Change
from services.publisher.store.index import facet_rows
from services.publisher.store.model import REPORT, Stored
from services.publisher.store.statements import insert, upsert
from services.publisher.store.tables import facet, report
from services.settings import HEADER_ROOM

WAITS = Issue(
    "warning",
    "incomplete",
    "the report is stored and waits: no performance report lists it in evaluatedResource yet; "
    "its events follow that report's",
    "MeasureReport",
    "report-waits",
)

_LONGEST_IDENTITY = 2400
"""Bytes of a report identity; PostgreSQL's index rows hold 2,704."""

_MOST_FACETS = (HEADER_ROOM - 16 * 1024) // 2
"""Bytes of facets: an event carries those of a version and of what it supersedes, beside small headers."""

_by_id = sa.select(report).where(report.c.id == sa.bindparam("id"))
_unindex = facet.delete().where(facet.c.report_id == sa.bindparam("of_report"))


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version of a report that is being stored."""

    stored: Stored
    resource: Mapping[str, Any]
    interaction: Interaction
    new: bool
    """Tells that the id has no undeleted former version."""
    now: datetime
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Reports:
    """Stores reports; every call runs in the caller's transaction, under the locks that `write` took."""

    clock: Clock
    base_url: str
    stage_mapping: StageMapping

    async def put(self, tx: Connection, version: NewVersion) -> tuple[Issue, ...]:
        """Store what is derived from a version, emit it, and release the children that waited for it.

        Returns what the sender should be told.

        Raises:
            FhirError: 422 with every reason why the report cannot be filed.
        """
        report_id = version.stored.id
        former = None if version.new else await self._former(tx, report_id)
        wanted = needs(version.resource, self.base_url)
        known = await listings.of(tx, wanted.lists)
        children = await listings.children(tx, wanted.lists)
        if wanted.kind is Kind.QUALITY:
            parent = await listings.parent(tx, report_id)
            context = await lookup.for_quality(tx, wanted, parent=parent, former=former)
        else:
            context = await lookup.for_performance(
                tx, wanted, listings=known, children=children, former=former, base_url=self.base_url
            )
        derived = self._derive(version.resource, version.stored, context)
        await self._rows(tx, version.stored, derived, new=version.new)
        if derived.waits:
            return (WAITS,)
        await self._emit(tx, version, derived, former)
        if derived.kind is Kind.PERFORMANCE:
            await self._bind(tx, context, derived)
            await listings.add(tx, report_id, derived.lists, known)
            for child in children:
                if child.waits:
                    await self._release(tx, _facts(report_id, derived), child.id, version)
        return ()

    def _derive(self, resource: Mapping[str, Any], stored: Stored, context: Context) -> Derived:
        derived = derive(
            resource,
            context,
            report_id=stored.id,
            base_url=self.base_url,
            stage_mapping=self.stage_mapping,
            last_updated=stored.last_updated,
            raw=stored.body,
        )
        if derived.identity is not None and len(derived.identity.encode()) > _LONGEST_IDENTITY:
            raise refuse(
                422,
                "too-long",
                f"measure, provider and period together have more than {_LONGEST_IDENTITY} bytes",
                "MeasureReport.measure",
            )
        if (size := len(orjson.dumps(derived.facets))) > _MOST_FACETS:
            raise refuse(
                422,
                "too-costly",
                f"what the report can be found by takes {size} bytes; at most {_MOST_FACETS} fit into an event, "
                "so list fewer resources or metrics in one report",
                "MeasureReport",
            )
        return derived

    async def _former(self, tx: Connection, report_id: str) -> Derived | None:
        row = (await tx.execute(_by_id, {"id": report_id})).one_or_none()
        return None if row is None else _derived(row)

    async def _rows(self, tx: Connection, stored: Stored, derived: Derived, *, new: bool) -> None:
        if not new:
            await tx.execute(_unindex, {"of_report": stored.id})
        await upsert(
            tx,
            report,
            {
                "id": stored.id,
                "version": stored.version,
                "kind": derived.kind.value,
                "stage": derived.stage.value,
                "contract": derived.contract,
                "payer": derived.payer,
                "provider": derived.provider,
                "identity": derived.identity,
                "parent": derived.parent,
                "waits": derived.waits,
                "facets": orjson.dumps(derived.facets).decode(),
                "last_updated": stored.last_updated,
            },
        )
        await insert(tx, facet, facet_rows(stored.id, derived.facets))

    async def _emit(
        self, tx: Connection, version: NewVersion, derived: Derived, former: Derived | None
    ) -> None:
        change = Change(version.stored.id, version.stored.version, version.interaction, derived, former)
        await events.put(
            tx, change, event_id=self.clock.uuid7(), now=version.now, traceparent=version.traceparent
        )

    async def _bind(self, tx: Connection, context: Context, derived: Derived) -> None:
        """The first report of a contract that nobody claimed says who pays under it."""
        if context.contract is not None and context.contract.payer is None and derived.payer is not None:
            await contracts.bind(tx, context.contract.key, derived.payer)

    async def _release(self, tx: Connection, parent: ParentFacts, child: str, by: NewVersion) -> None:
        """Emit every version of a child that waited for this parent, in order, after the parent's own event."""
        former: Derived | None = None
        stored: Stored | None = None
        for stored in await versions.history(tx, REPORT, child):
            resource = orjson.loads(stored.body)
            context = await lookup.for_quality(
                tx, needs(resource, self.base_url), parent=parent, former=former
            )
            try:
                derived = self._derive(resource, stored, context)
            except FhirError as error:
                raise _cannot_be_child(child, error) from None
            interaction: Interaction = "create" if former is None else "update"
            version = NewVersion(stored, resource, interaction, former is None, by.now, by.traceparent)
            await self._emit(tx, version, derived, former)
            former = derived
        if former is not None and stored is not None:
            await self._rows(tx, stored, former, new=False)


def _facts(report_id: str, derived: Derived) -> ParentFacts:
    assert derived.contract is not None
    assert derived.payer is not None
    assert derived.provider is not None
    assert derived.identity is not None
    return ParentFacts(report_id, derived.contract, derived.payer, derived.provider, derived.identity)


def _cannot_be_child(child: str, error: FhirError) -> FhirError:
    why = "; ".join(issue.diagnostics for issue in error.issues)
    return refuse(
        422,
        "business-rule",
        f"MeasureReport/{child} is listed but does not belong to this report: {why}",
        "MeasureReport.evaluatedResource",
    )


def _derived(row: Any) -> Derived:
    return Derived(
        kind=Kind(row.kind),
        stage=Stage(row.stage),
        contract=row.contract,
        payer=row.payer,
        provider=row.provider,
        identity=row.identity,
        parent=row.parent,
        lists=(),
        facets=orjson.loads(row.facets),
    )
