"""Payers: each publishes under one contract, one request at a time, and sends again what was not answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson

from schemas.number_tokens import read
from schemas.outcome import FhirError
from services.principal import LOCAL
from services.publisher.accept.examine import checked, parsed
from services.publisher.accept.patch import Patch
from services.publisher.accept.storing import Change, Storing
from services.publisher.derive import kind as kind_of
from services.publisher.store.model import REPORT, Write, Written
from tests.publishing import contract, contract_url, performance, quality
from tests.simulation.chance import Chance
from tests.simulation.machines import Machine, UnansweredError

Resource = dict[str, Any]
SCORE = "/group/0/measureScore/value"


@dataclass(frozen=True)
class Sent:
    """One resource on its way."""

    resource: Resource
    creates: bool = False
    """POST rather than PUT."""
    if_match: int | None = None
    deletes: bool = False
    """DELETE: of the resource nothing is sent but its id."""
    operations: tuple[Resource, ...] = ()
    """PATCH: what makes the resource of the version before."""

    @property
    def text(self) -> bytes:
        """What is to be stored."""
        return b"" if self.deletes else orjson.dumps(self.resource)


@dataclass(frozen=True)
class Acknowledged:
    """A version that the publisher has answered for; without a text, that it was deleted."""

    type: str
    id: str
    version: int
    text: bytes
    asked_at: float
    """When it was first sent."""


@dataclass(eq=False)
class Payer:
    """One client of the publisher."""

    name: str
    chance: Chance
    machines: list[Machine]
    steps: int
    pause: float
    acknowledged: list[Acknowledged] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    patient: bool = False
    """Waits for nothing between two reports: the faults are over."""
    done: bool = False
    _versions: dict[str, int] = field(default_factory=dict)
    _reports: dict[str, Resource] = field(default_factory=dict)
    _count: int = 0

    async def prepare(self, parties: list[Resource]) -> None:
        """Store the contract, and the parties beside it."""
        await self.send(*[Sent(each) for each in (*parties, contract(self.name))])

    async def publish(self) -> None:
        """Send report after report."""
        for _ in range(self.steps):
            if not self.patient:
                await asyncio.sleep(self.chance.about(self.pause))  # noqa: TID251  # virtual time
            await self._step()
        self.done = True

    async def _step(self) -> None:
        match self.chance.whole(0, 9):
            case 0 | 1:
                await self.send(Sent(self._new()))
            case 2 | 3:
                await self.send(Sent(self._new(named=False), creates=True))
            case 4 | 5 | 6 if self._reports:
                await self.send(self._changed())
            case 7 if self._reports:
                # Told by the count, so that a seed draws what it drew when there were no deletions.
                gone = self._withdrawn()
                await self.send(Sent(gone, deletes=self._count % 2 == 0))
            case 8:
                await self._family()
            case _:
                await self.send(Sent(self._new()), Sent(self._new()))

    async def _family(self) -> None:
        """A performance report and the quality report it lists, in any order or as one transaction."""
        self._count += 1
        child = quality(f"{self.name}-q{self._count}", score=self._score() / 1000)  # a proportion
        parent = self._new(lists=[child["id"]])
        if self.chance.happens(0.3):
            await self.send(Sent(parent), Sent(child))
            return
        first, second = (parent, child) if self.chance.happens(0.5) else (child, parent)
        await self.send(Sent(first))
        await self.send(Sent(second))

    def _new(self, *, named: bool = True, lists: Any = ()) -> Resource:
        self._count += 1
        id_ = f"{self.name}-r{self._count}"
        year = 2000 + (self._count if self.chance.happens(0.6) else 1)
        report = performance(
            id_,
            self.chance.one_of((None, "interim", "settled")),
            measure=contract_url(self.name),
            score=self._score(),
            lists=lists,
            period={"start": f"{year}-01-01", "end": f"{year}-12-31"},
        )
        if not named:
            del report["id"]
            return report
        self._reports[id_] = report
        return report

    def _score(self) -> float:
        return self._count + self.chance.whole(1, 9999) / 10_000

    def _changed(self) -> Sent:
        id_ = self.chance.one_of(sorted(self._reports))
        report = orjson.loads(orjson.dumps(self._reports[id_]))
        self._count += 1
        report["group"][0]["measureScore"]["value"] = self._score()
        self._reports[id_] = report
        guarded = self.chance.happens(0.3)
        score = {"op": "replace", "path": SCORE, "value": report["group"][0]["measureScore"]["value"]}
        return Sent(
            report,
            if_match=self._versions.get(id_) if guarded else None,
            operations=(score,) if self._count % 3 == 0 else (),
        )

    def _withdrawn(self) -> Resource:
        id_ = self.chance.one_of(sorted(self._reports))
        report = {**self._reports.pop(id_), "status": "error"}
        report["meta"] = {"profile": report["meta"]["profile"]}
        return report

    async def send(self, *sent: Sent) -> None:
        """Send as one transaction until somebody answers for it."""
        began = self.machines[0].site.loop.time()
        resent = False
        texts = [each.text for each in sent]
        while True:
            machine = self.chance.one_of(self.machines)
            try:
                written = await machine.call(lambda at: _write(at, sent, texts))
            except FhirError as error:
                if error.status == 412 and resent:
                    # The answer that was lost has moved the version on: what was asked for is there.
                    for each in sent:
                        self._versions.pop(str(each.resource.get("id")), None)
                    return
                if error.status != 503:
                    self.complaints.append(f"refused with {error.status}: {error}")
                    return
            except Exception:  # noqa: BLE001  # no answer, or a 500: nobody knows, so it is sent again
                resent = True
            else:
                self._note(written, texts, began)
                return
            await asyncio.sleep(self.chance.about(3))  # noqa: TID251  # virtual time

    def _note(self, written: list[Written], texts: list[bytes], began: float) -> None:
        for each, text in zip(written, texts, strict=True):
            stored = each.stored
            self._versions[stored.id] = stored.version
            self.acknowledged.append(Acknowledged(stored.type, stored.id, stored.version, text, began))


async def _write(machine: Machine, sent: tuple[Sent, ...], texts: list[bytes]) -> list[Written]:
    """Do what the FHIR server does between HTTP and the store."""
    publisher = machine.publisher
    if publisher is None:
        raise UnansweredError
    changes: list[Change] = []
    for each, text in zip(sent, texts, strict=True):
        type_ = each.resource["resourceType"]
        if each.operations:
            operations = read(orjson.dumps(each.operations))
            changes.append(Patch(type_, each.resource["id"], None, operations, if_match=each.if_match))
            continue
        if each.deletes:
            changes.append(
                Write(
                    type_,
                    each.resource["id"],
                    creates=False,
                    text=b"",
                    resource={},
                    deletes=True,
                    if_match=each.if_match,
                )
            )
            continue
        resource = await checked(await parsed(text, 64), len(text), kind=type_)
        changes.append(
            Write(
                type_,
                machine.clock.uuid7() if each.creates else each.resource["id"],
                creates=each.creates,
                text=text,
                resource=resource,
                kind=kind_of(resource) if type_ == REPORT else None,
                if_match=each.if_match,
            )
        )
    server = publisher.server
    storing = Storing(server.database, server.writer, server.limits, server.pressure)
    return await storing.store(changes, LOCAL, None)
