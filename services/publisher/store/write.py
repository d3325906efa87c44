"""How does a batch of writes become durable? One transaction: versions, what is derived, events, audit.

Either all of it is stored or nothing; only after the commit does anyone hear "accepted".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from schemas.dates import stamp
from schemas.event import Interaction
from schemas.outcome import FhirError, Issue, refuse
from schemas.raw_json import splice
from services.clock import Clock
from services.database import Connection, Database
from services.principal import Principal
from services.publisher.check.profile import is_contract
from services.publisher.derive import contract_facts, needs
from services.publisher.derive.model import Kind
from services.publisher.store import contracts, identifiers, listings, versions
from services.publisher.store.locks import Rank, lock, take
from services.publisher.store.model import REPORT, Effect, Stored, Write, Written
from services.publisher.store.reports import NewVersion, Reports
from services.publisher.store.resolve import Planned, resolve
from services.publisher.store.statements import insert
from services.publisher.store.tables import audit
from services.publisher.store.versions import Current
from services.wakeup import Wakeup

_ATTEMPTS: Final = 5
_TRY_AGAIN: Final = frozenset({"40001", "40P01"})
"""PostgreSQL's serialization failure and deadlock: the transaction did nothing and may simply be run again."""

_ORDER: Final = {"Organization": 0, "Group": 1, "Measure": 2}


class _ChangedError(Exception):
    """What the writes refer to changed while their locks were waited for."""


@dataclass(frozen=True, slots=True)
class _By:
    """Whose writes these are, and when."""

    principal: Principal
    now: datetime
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Writer:
    """Stores writes. `committed` is set after each commit that emitted or stored anything."""

    database: Database
    clock: Clock
    reports: Reports
    committed: Wakeup

    async def write(
        self, writes: Sequence[Write], principal: Principal, *, traceparent: str | None = None
    ) -> list[Written]:
        """Store all of the writes or none; return what became of each, in their order.

        Raises:
            FhirError: nothing was stored; its issues say why, each in its place.
        """
        for _ in range(_ATTEMPTS):
            # Milliseconds: what `meta.lastUpdated` shows is exactly what searches and pages compare.
            now = self.clock.now()
            by = _By(principal, now.replace(microsecond=now.microsecond // 1000 * 1000), traceparent)
            try:
                async with self.database.write() as tx:
                    written = await self._all(tx, writes, by)
            except _ChangedError:
                continue
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) in _TRY_AGAIN:
                    continue
                raise
            if any(each.effect is not Effect.UNCHANGED for each in written):
                self.committed.set()
            return written
        raise FhirError(
            503,
            Issue("error", "transient", "others keep writing the same resources; send the request again"),
            headers={"Retry-After": "1"},
        )

    async def _all(self, tx: Connection, writes: Sequence[Write], by: _By) -> list[Written]:
        planned = await self._lock(tx, writes, by.principal.client)
        await take(tx, await self._contract_locks(tx, planned))
        written: dict[int, Written] = {}
        refused: list[FhirError] = []
        for place in sorted(range(len(planned)), key=lambda place: _order(planned[place].write)):
            try:
                written[place] = await self._one(tx, planned[place], by)
            except FhirError as error:
                refused.append(_in_place(error, planned[place].write))
        if refused:
            # Whatever was stored before is rolled back as this leaves the transaction.
            raise _together(refused)
        return [written[place] for place in range(len(planned))]

    async def _lock(self, tx: Connection, writes: Sequence[Write], client: str) -> list[Planned]:
        """Resolve the writes and lock what they touch; refuse to go on with what changed meanwhile."""
        planned = await resolve(tx, writes, client, self.reports.base_url)
        if tx.dialect.name != "postgresql":
            return planned
        keys = set(self._locks(planned, client))
        await take(tx, keys)
        if all(not write.creates and write.where is None for write in writes):
            return planned  # a plain update looks nothing up: what it says and where it goes are fixed
        planned = await resolve(tx, writes, client, self.reports.base_url)
        if not keys.issuperset(self._locks(planned, client)):
            raise _ChangedError
        return planned

    def _locks(self, planned: Iterable[Planned], client: str) -> Iterable[int]:
        for each in planned:
            write = each.write
            yield lock(Rank.RESOURCE, f"{write.type}/{each.found or write.id}")
            if write.creates:
                said = each.content if write.if_none_exist is None else write.if_none_exist
                yield lock(Rank.CONTENT, f"{client}/{write.type}/{said}")
            if write.type == REPORT:
                for child in needs(write.resource, self.reports.base_url).lists:
                    yield lock(Rank.RESOURCE, f"{REPORT}/{child}")

    async def _contract_locks(self, tx: Connection, planned: Iterable[Planned]) -> list[int]:
        if tx.dialect.name != "postgresql":
            return []
        keys: set[str] = set()
        orphans: list[str] = []
        for each in planned:
            write = each.write
            if write.type == "Measure" and is_contract(write.resource):
                keys.add(contract_facts(write.resource, None).key)
            elif write.kind is Kind.QUALITY:
                orphans.append(each.found or write.id)
            elif write.type == REPORT:
                keys.add(needs(write.resource, self.reports.base_url).contract or "")
        keys.update(one.by.contract for one in await listings.of(tx, orphans))
        return [lock(Rank.CONTRACT, key) for key in keys]

    async def _one(self, tx: Connection, planned: Planned, by: _By) -> Written:
        write = planned.write
        if planned.found is not None:
            found = (await versions.newest(tx, write.type, [planned.found]))[planned.found]
            return Written(found, Effect.UNCHANGED)
        current = None if write.creates else await versions.current(tx, write.type, write.id)
        _check_rights(by.principal, write, current)
        _check_match(write, current)
        if current is not None and not current.deleted and current.content_hash == planned.content:
            same = await versions.version(tx, write.type, write.id, current.version)
            assert same is not None
            return Written(same, Effect.UNCHANGED)
        return await self._new(tx, planned, current, by)

    async def _new(self, tx: Connection, planned: Planned, current: Current | None, by: _By) -> Written:
        write = planned.write
        number = 1 if current is None else current.version + 1
        new = current is None or current.deleted
        body = splice(write.text, id=write.id, version=number, last_updated=stamp(by.now))
        stored = Stored(write.type, write.id, number, by.now, body)
        interaction: Interaction = "create" if new else "update"
        await versions.put(
            tx,
            stored,
            interaction=interaction,
            owner=by.principal.client if current is None else current.owner,
            client=by.principal.client,
            content_hash=planned.content,
        )
        issues: tuple[Issue, ...] = ()
        if write.type == REPORT:
            version = NewVersion(stored, write.resource, interaction, new, by.now, by.traceparent)
            issues = await self.reports.put(tx, version)
        else:
            await identifiers.put(tx, write.type, write.id, write.resource, new=current is None)
            if write.type == "Measure" and is_contract(write.resource):
                await contracts.put(tx, write.id, contract_facts(write.resource, _payer(by.principal)))
        await insert(tx, audit, [_audit(stored, interaction, by)])
        return Written(stored, Effect.CREATED if new else Effect.UPDATED, issues)


def _order(write: Write) -> int:
    if write.type == REPORT:
        return 4 if write.kind is Kind.QUALITY else 3
    return _ORDER[write.type]


def _payer(principal: Principal) -> str | None:
    """A payer publishes for the one organisation it stands for; an operator for nobody in particular."""
    if principal.role != "payer" or len(principal.organisations) != 1:
        return None
    (only,) = principal.organisations
    return only


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
    there = "nothing" if current is None or current.deleted else f'W/"{current.version}"'
    if there != f'W/"{write.if_match}"':
        raise refuse(
            412,
            "conflict",
            f'If-Match is W/"{write.if_match}", but {write.type}/{write.id} is at {there}; read it and try again',
            f"{write.type}.meta.versionId",
        )


def _in_place(error: FhirError, write: Write) -> FhirError:
    if write.where is None:
        return error
    issues = (issue.under(write.where) for issue in error.issues)
    return FhirError(error.status, *issues, headers=error.headers)


def _together(refused: Sequence[FhirError]) -> FhirError:
    if len(refused) == 1:
        return refused[0]
    return FhirError(min(error.status for error in refused), *(i for error in refused for i in error.issues))


def _audit(stored: Stored, action: str, by: _By) -> dict[str, object]:
    return {
        "at": by.now,
        "client": by.principal.client,
        "action": action,
        "subject": f"{stored.reference}/_history/{stored.version}",
        "reason": None,
    }
