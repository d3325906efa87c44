"""What becomes of a request, given what is stored? All of it is accepted, or none with every reason. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.dates import stamp
from schemas.event import Interaction
from schemas.outcome import FhirError, Issue, refuse
from schemas.raw_json import splice
from services.principal import Principal
from services.publisher.derive import StageMapping
from services.publisher.derive.found_by import found_by
from services.publisher.store import contracts, deletions, identifiers, reports
from services.publisher.store.index import index_other
from services.publisher.store.model import REPORT, Current, Effect, Stored, Write, Written
from services.publisher.store.plan import Planned, Request, in_place, together
from services.publisher.store.references import manager_of
from services.publisher.store.rows import Rows
from services.publisher.store.view import View


class OvertakenError(Exception):
    """A patch was applied to a version that is not the current one any more: it is to be applied anew."""


@dataclass(slots=True)
class Batch:
    """The requests of one transaction, decided one after the other."""

    view: View
    now: datetime
    """When all of it is stored: in milliseconds, as `meta.lastUpdated` shows and searches compare."""
    base_url: str
    stage_mapping: StageMapping
    new_id: Callable[[], str]
    """Gives the ids of events."""
    rows: Rows = field(default_factory=Rows)

    def decide(self, request: Request) -> list[Written]:
        """Return what becomes of each write, in their order; add what has to be stored for that.

        Raises:
            FhirError: nothing of the request is accepted, and later ones see nothing of it.
            OvertakenError: the same, and it may be accepted once its patches are applied anew.
        """
        step = _Step(self, request, Rows())
        try:
            written = step.all()
        except BaseException:
            self.view.undo()
            raise
        self.view.keep()
        self.rows.take(step.rows)
        return written


@dataclass(slots=True)
class _Step:
    """One request."""

    batch: Batch
    request: Request
    rows: Rows
    made: dict[tuple[str, str], Current] = field(default_factory=dict)
    """What creates have made, by type and content: another that says the same is the same (docs/publishing.md)."""

    def all(self) -> list[Written]:
        planned = self.request.planned
        found = [self._found(each) for each in planned]
        written: dict[int, Written] = {}
        refused: list[FhirError] = []
        for place in sorted(range(len(planned)), key=lambda place: planned[place].order):
            try:
                written[place] = self._one(planned[place], found[place])
            except FhirError as error:
                refused.append(in_place(error, planned[place].write))
        if refused:
            raise together(refused)
        return [written[place] for place in range(len(planned))]

    def _found(self, planned: Planned) -> Current | None:
        """Return what a create would repeat: what its own search found, else what says the same."""
        write, view = planned.write, self.batch.view
        if not write.creates:
            return None
        if write.if_none_exist is not None:
            return None if planned.found is None else view.current[write.type, planned.found]
        return view.repeated(self.request.principal.client, write.type, planned.content)

    def _one(self, planned: Planned, found: Current | None) -> Written:
        write, view = planned.write, self.batch.view
        if found is not None and not view.current[write.type, found.id].deleted:
            return self._unchanged(found)
        if write.creates and (first := self.made.get((write.type, planned.content))) is not None:
            return self._unchanged(first)
        current = None if write.creates else view.current.get((write.type, write.id))
        _check_rights(self.request.principal, write, current)
        _check_match(write, current)
        if write.deletes:
            return self._gone(planned, current)
        if write.patches not in {None, 0 if current is None or current.deleted else current.version}:
            raise OvertakenError
        if current is not None and not current.deleted and current.content_hash == planned.content:
            return self._unchanged(current)
        return self._new(planned, current)

    def _unchanged(self, there: Current) -> Written:
        """Answer with what is there. That it waits is said again: the first answer may never have come."""
        view = self.batch.view
        filed = view.reports.get(there.id) if there.type == REPORT else None
        waits = filed is not None and filed.derived.waits
        return Written(view.version(there), Effect.UNCHANGED, (reports.WAITS,) if waits else ())

    def _new(self, planned: Planned, current: Current | None) -> Written:
        write, now = planned.write, self.batch.now
        number = 1 if current is None else current.version + 1
        new = current is None or current.deleted
        body = splice(write.text, id=write.id, version=number, last_updated=stamp(now))
        stored = Stored(write.type, write.id, number, now, body)
        interaction: Interaction = "create" if new else "update"
        issues: Sequence[Issue] = ()
        if planned.needs is not None:
            issues = reports.decide(
                self.batch.view,
                self.rows,
                reports.NewVersion(
                    stored, write.resource, planned.needs, interaction, new, now, self.request.traceparent
                ),
                reports.Rules(self.batch.base_url, self.batch.stage_mapping, self.batch.new_id),
            )
        else:
            self._other(planned)
        self._note(planned, stored, current, interaction)
        return Written(stored, Effect.CREATED if new else Effect.UPDATED, tuple(issues))

    def _gone(self, planned: Planned, current: Current | None) -> Written:
        write, now = planned.write, self.batch.now
        if current is None or current.deleted:
            there, at = (0, now) if current is None else (current.version, current.last_updated)
            return Written(Stored(write.type, write.id, there, at, b"", deleted=True), Effect.ABSENT)
        stored = Stored(write.type, write.id, current.version + 1, now, b"", deleted=True)
        deletions.decide(
            self.batch.view,
            self.rows,
            stored,
            new_id=self.batch.new_id,
            traceparent=self.request.traceparent,
        )
        self._note(planned, stored, current, "delete")
        return Written(stored, Effect.DELETED)

    def _other(self, planned: Planned) -> None:
        write, view = planned.write, self.batch.view
        rows = identifiers.rows(write.type, write.id, write.resource)
        if write.type == "Organization":
            identifiers.see(view, f"Organization/{write.id}", rows)
        elif write.type == "Group":
            manager = manager_of(write.resource, self.batch.base_url)
            view.put(view.managers, f"Group/{write.id}", manager or "")
        elif planned.contract is not None:
            contract = contracts.decide(view, write.id, planned.contract)
            self.rows.contracts[contract.facts.key] = contracts.row(contract)
        self.rows.identifiers[write.type, write.id] = rows
        values = found_by(write.resource, self.batch.base_url)
        self.rows.others[write.type, write.id] = index_other(write.type, write.id, values)

    def _note(self, planned: Planned, stored: Stored, current: Current | None, action: Interaction) -> None:
        client = self.request.principal.client
        now = Current(
            stored.type,
            stored.id,
            stored.version,
            deleted=stored.deleted,
            owner=client if current is None else current.owner,
            content_hash=planned.content,
            last_updated=stored.last_updated,
        )
        self.batch.view.add(now, stored)
        if planned.write.creates:
            self.made[stored.type, planned.content] = now
        key = {
            "type": stored.type, "id": stored.id, "version": stored.version, "last_updated": stored.last_updated,
        }  # fmt: skip
        body = None if stored.deleted else stored.body
        self.rows.versions.append({**key, "interaction": action, "client": client, "body": body})
        self.rows.current[stored.type, stored.id] = {
            **key, "deleted": now.deleted, "owner": now.owner, "content_hash": now.content_hash,
        }  # fmt: skip
        self.rows.audit.append(
            {
                "at": stored.last_updated,
                "client": client,
                "action": action,
                "subject": f"{stored.reference}/_history/{stored.version}",
                "reason": None,
            }
        )


def _check_rights(principal: Principal, write: Write, current: Current | None) -> None:
    if principal.role == "operator":
        return
    if principal.role == "provider":
        raise refuse(
            403, "forbidden", f"a provider may read and subscribe, not write a {write.type}", write.type
        )
    if current is not None and current.owner != principal.client:
        raise refuse(
            403, "forbidden", f"{write.type}/{write.id} belongs to another payer", f"{write.type}.id"
        )


def _check_match(write: Write, current: Current | None) -> None:
    if write.if_match is None:
        return
    there = 0 if current is None or current.deleted else current.version
    if there != write.if_match:
        asked = f'If-Match is W/"{write.if_match}"' if write.if_match else "If-None-Match is *"
        found = f'is at W/"{there}"' if there else "is not there"
        raise refuse(
            412,
            "conflict",
            f"{asked}, but {write.type}/{write.id} {found}; read it and try again",
            f"{write.type}.meta.versionId",
        )
