"""Clients: each has one Subscription, looks after it, and may switch it off or give it up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from schemas.fhir import LATEST_ONLY
from schemas.outcome import FhirError
from services.notifier.model import Status
from services.notifier.subscriptions.admission import admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.principal import LOCAL
from tests.simulation.chance import Chance
from tests.simulation.machines import Machine, UnansweredError

POLICY = EndpointPolicy(allow_http=True, allow_private=True)


@dataclass(eq=False)
class Client:
    """One client of the notifier and its Subscription."""

    id: str
    resource: dict[str, Any]
    chance: Chance
    machines: list[Machine]
    asked_at: list[tuple[float, float]] = field(default_factory=list)
    """Each time it asked to be told: when the request began, when it was answered."""
    left_at: list[float] = field(default_factory=list)
    """Each time `off` or the deletion was answered."""
    deleted: bool = False
    unsure: bool = False
    """A request was sent twice: one that was frozen may be carried out at any later time."""
    calm: bool = False
    complaints: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return "classic" if str(self.resource["criteria"]).startswith("MeasureReport") else "topic"

    @property
    def latest_only(self) -> bool:
        extensions = self.resource["channel"].get("extension", ())
        return any(each["url"] == LATEST_ONLY for each in extensions)

    @property
    def _now(self) -> float:
        return self.machines[0].site.loop.time()

    async def subscribe(self) -> None:
        """Ask to be told, until that is answered."""
        began = self._now
        await self._insist(self._put(Status.REQUESTED))
        self.asked_at.append((began, self._now))

    async def look_after(self, *, restless: float) -> None:
        """Ask again when the Subscription is in `error` or `off`; now and then leave, and perhaps come back."""
        while not self.deleted:
            rest = self.machines[0].site.settings.poll_seconds * self.chance.between(2, 10)
            await asyncio.sleep(rest)  # noqa: TID251  # virtual time
            status = await self._status()
            if status in {Status.ERROR, Status.OFF}:
                await self.subscribe()
            elif not self.calm and self.chance.happens(restless):
                await self._leave()

    async def _leave(self) -> None:
        if self.chance.happens(0.5):
            await self._insist(self._put(Status.OFF))
            self.left_at.append(self._now)
            return
        self.deleted = True
        await self._insist(self._delete)
        self.left_at.append(self._now)

    async def _insist(self, request: Any) -> None:
        while True:
            try:
                await self.chance.one_of(self.machines).call(request)
            except FhirError as error:
                self.complaints.append(f"{self.id} was refused with {error.status}: {error}")
                return
            except Exception:  # noqa: BLE001  # no answer, or a 500: nobody knows, so it is sent again
                self.unsure = True
                await asyncio.sleep(self.chance.about(3))  # noqa: TID251  # virtual time
            else:
                return

    async def _status(self) -> Status | None:
        async def read(machine: Machine) -> Status:
            store, _ = _entrance(machine)
            stored = await store.read(LOCAL, self.id)
            return Status(stored.status)

        try:
            return await self.chance.one_of(self.machines).call(read)
        except Exception:  # noqa: BLE001  # asked again later
            return None

    def _put(self, status: Status) -> Any:
        async def put(machine: Machine) -> None:
            store, changed = _entrance(machine)
            resource = {**self.resource, "id": self.id, "status": status.value}
            now = store._clock.now()
            admitted = admit(resource, base_url=machine.site.settings.fhir_base, policy=POLICY, now=now)
            await store.update(LOCAL, self.id, admitted, status.value, None)
            changed()

        return put

    async def _delete(self, machine: Machine) -> None:
        store, changed = _entrance(machine)
        await store.delete(LOCAL, self.id)
        changed()


def _entrance(machine: Machine) -> tuple[Any, Any]:
    """Return what `/fhir/Subscription` calls below HTTP."""
    if machine.notifier is None:
        raise UnansweredError
    routes = machine.notifier._routes
    return routes._store, routes._changed
