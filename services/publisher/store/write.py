"""How do writes become durable? In one transaction: versions, what is derived, events, audit.

Either all of a request is stored or nothing; only after the commit does anyone hear "accepted". Requests that come
while a transaction is under way are taken together by the next one: what it costs, it costs once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from schemas.outcome import FhirError, Issue
from services import logs
from services.clock import Clock
from services.database import Connection, Database
from services.principal import Principal
from services.publisher.derive import StageMapping
from services.publisher.derive.model import Kind
from services.publisher.store import gather
from services.publisher.store.batches import Batches
from services.publisher.store.decide import Batch
from services.publisher.store.locks import PARTIES, PARTIES_ALONE, Rank, lock, take
from services.publisher.store.model import REPORT, Effect, Placing, Write, Written
from services.publisher.store.plan import Planned, Request, plan, together
from services.publisher.store.resolve import asks, resolve
from services.publisher.store.save import KnownSets, Saved, save
from services.publisher.store.several import as_one
from services.wakeup import Wakeup

log = logs.get(__name__)

_ATTEMPTS: Final = 5
_TRY_AGAIN: Final = frozenset({"40001", "40P01"})
"""PostgreSQL's serialization failure and deadlock: the transaction did nothing and may simply be run again."""

_AT_ONCE: Final = 4
"""Transactions of one process on a database that takes more than one writer."""

Outcome = list[Written] | Exception


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants stored: all of it or none."""

    writes: Sequence[Write]
    principal: Principal
    traceparent: str | None
    planned: Sequence[Planned] | None
    """`None` when the store has to be asked first what the writes say."""


@dataclass(slots=True, eq=False)
class Writer:
    """Stores writes. `committed` is set after each commit that emitted or stored anything."""

    database: Database
    clock: Clock
    base_url: str
    stage_mapping: StageMapping
    committed: Wakeup
    placing: Placing | None = None
    """Where the log is the outbox."""
    _batches: Batches[Asked, list[Written]] = field(init=False)
    _known: KnownSets = field(default_factory=KnownSets)

    def __post_init__(self) -> None:
        """Set up the queue."""
        self._batches = Batches(self._store, width=1 if self.database.is_sqlite else _AT_ONCE)

    async def write(
        self, writes: Sequence[Write], principal: Principal, *, traceparent: str | None = None
    ) -> list[Written]:
        """Store all of the writes or none; return what became of each, in their order.

        Raises:
            FhirError: nothing was stored; its issues say why, each in its place.
            OvertakenError: nothing was stored, since a patch was applied to a version that is current no more.
        """
        size = sum(len(each.text) for each in writes)
        if asks(writes) or _takes_party_away(writes):
            # Searches see what is stored, not what others of the same batch are about to store.
            asked = Asked(writes, principal, traceparent, None)
            return await self._batches.ask(asked, size=size, alone=True)
        planned = self._planned([(each, None) for each in writes], principal)
        return await self._batches.ask(Asked(writes, principal, traceparent, planned), size=size)

    def _planned(self, writes: Iterable[tuple[Write, str | None]], principal: Principal) -> Sequence[Planned]:
        planned: list[Planned] = []
        refused: list[FhirError] = []
        for write, found in writes:
            try:
                planned.append(plan(write, principal, self.base_url, found))
            except FhirError as error:
                refused.append(error)
        if refused:
            raise together(refused)
        return planned

    async def _store(self, batch: Sequence[Asked]) -> Sequence[Outcome]:
        """Store a batch in one transaction; what cannot be stored together is stored one by one."""
        try:
            return await self._tried(batch)
        except (OSError, sa.exc.InterfaceError, sa.exc.OperationalError, sa.exc.TimeoutError):
            raise  # the database is away: for all of them
        except Exception as error:
            if len(batch) == 1:
                raise
            log.warning("batch_taken_apart", requests=len(batch), failure=type(error).__name__)
        answers: list[Outcome] = []
        for each in batch:
            try:
                answers += await self._tried([each])
            except Exception as error:  # noqa: BLE001  # it is this one's answer, and whoever asked raises it
                answers.append(error)
        return answers

    async def _tried(self, batch: Sequence[Asked]) -> Sequence[Outcome]:
        for _ in range(_ATTEMPTS):
            # Milliseconds: what `meta.lastUpdated` shows is exactly what searches and pages compare.
            now = self.clock.now()
            now = now.replace(microsecond=now.microsecond // 1000 * 1000)
            try:
                async with self.database.write() as tx:
                    answers, saved = await self._all(tx, batch, now)
            except gather.ChangedError:
                continue
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) in _TRY_AGAIN:
                    continue
                raise
            self._known.add(saved.sets, saved.round)
            if saved.placed and self.placing is not None:
                self.placing.committed(saved.placed)
            elif any(_changed(each) for each in answers):
                self.committed.set()
            return answers
        raise FhirError(
            503,
            Issue("error", "transient", "others keep writing the same resources; send the request again"),
            headers={"Retry-After": "1"},
        )

    async def _all(
        self, tx: Connection, batch: Sequence[Asked], now: datetime
    ) -> tuple[list[Outcome], Saved]:
        requests = await self._locked(tx, batch)
        view = await gather.gather(tx, requests, self.base_url)
        decisions = Batch(view, now, self.base_url, self.stage_mapping, self.clock.uuid7)
        answers: list[Outcome] = []
        for request in requests:
            try:
                answers.append(as_one((each.write for each in request.planned), decisions.decide(request)))
            except Exception as error:  # noqa: BLE001  # this request's own answer; the others go on
                answers.append(error)
        saved = await save(tx, decisions.rows, self._known, self.placing)
        return [_told(each, saved) for each in answers], saved

    async def _locked(self, tx: Connection, batch: Sequence[Asked]) -> list[Request]:
        """Resolve what has to be, and lock what the batch touches.

        Raises:
            ChangedError: what was found before the locks is not what is found under them.
        """
        requests = await self._requests(tx, batch)
        if tx.dialect.name != "postgresql":
            return requests
        keys = set(self._locks(requests))
        orphans = {
            each.write.id
            for request in requests
            for each in request.planned
            if each.write.kind is Kind.QUALITY or (each.write.deletes and each.write.type == REPORT)
        }
        if not orphans and all(each.planned is not None for each in batch):
            await take(tx, keys.union(self._contract_locks(requests)))
            return requests
        await take(tx, keys)
        if any(each.planned is None for each in batch):
            requests = await self._requests(tx, batch)
            if not keys.issuperset(self._locks(requests)):
                raise gather.ChangedError
        # Whose contracts these have is certain only now that nobody else can list them.
        inherited = await gather.contracts_of(tx, orphans) if orphans else ()
        await take(tx, {*self._contract_locks(requests), *(lock(Rank.CONTRACT, key) for key in inherited)})
        return requests

    async def _requests(self, tx: Connection, batch: Sequence[Asked]) -> list[Request]:
        out = []
        for each in batch:
            planned = each.planned
            if planned is None:
                found = await resolve(tx, each.writes, each.principal, self.base_url)
                planned = self._planned([(one.write, one.found) for one in found], each.principal)
            out.append(Request(planned, each.principal, each.traceparent))
        return out

    def _locks(self, requests: Iterable[Request]) -> Iterable[int]:
        for request in requests:
            for each in request.planned:
                write = each.write
                yield PARTIES_ALONE if write.deletes and write.type != REPORT else PARTIES
                if write.search is not None:
                    yield lock(Rank.CONTENT, f"{request.principal.client}/{write.type}?{write.search}")
                if write.creates:
                    said = each.content if write.if_none_exist is None else write.if_none_exist
                    yield lock(Rank.CONTENT, f"{request.principal.client}/{write.type}/{said}")
                else:
                    yield lock(Rank.RESOURCE, f"{write.type}/{write.id}")
                for child in () if each.needs is None else each.needs.lists:
                    yield lock(Rank.RESOURCE, f"{REPORT}/{child}")

    def _contract_locks(self, requests: Iterable[Request]) -> Iterable[int]:
        for request in requests:
            for each in request.planned:
                if each.contract is not None:
                    yield lock(Rank.CONTRACT, each.contract.key)
                elif each.needs is not None and each.needs.contract is not None:
                    yield lock(Rank.CONTRACT, each.needs.contract)


def _told(outcome: Outcome, saved: Saved) -> Outcome:
    """Add what is to be said about what was stored, as far as only storing it showed that."""
    if not saved.remarks or isinstance(outcome, Exception):
        return outcome
    return [
        replace(each, issues=(*each.issues, *more))
        if (more := saved.remarks.get((each.stored.id, each.stored.version)))
        and each.stored.type == REPORT
        and each.effect is not Effect.UNCHANGED
        else each
        for each in outcome
    ]


def _takes_party_away(writes: Sequence[Write]) -> bool:
    """Tell whether what others may refer to is deleted: no other request may come in between."""
    return any(write.deletes and write.type != REPORT for write in writes)


def _changed(outcome: Outcome) -> bool:
    idle = {Effect.UNCHANGED, Effect.ABSENT}
    return isinstance(outcome, list) and any(each.effect not in idle for each in outcome)
