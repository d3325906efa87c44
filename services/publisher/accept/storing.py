"""How do changes get stored? Patches are applied first, and once more when another version came in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from schemas.outcome import FhirError, Issue
from services.database import Database
from services.principal import Principal
from services.publisher.accept import answers
from services.publisher.accept.limits import Limits
from services.publisher.accept.patch import Patch, applied
from services.publisher.accept.pressure import Pressure
from services.publisher.store.decide import OvertakenError
from services.publisher.store.model import REPORT, Effect, Write, Written
from services.publisher.store.plan import together
from services.publisher.store.write import Writer

Change: TypeAlias = Write | Patch
"""What a request asks to have changed."""

_ATTEMPTS: Final = 10


@dataclass(frozen=True, slots=True)
class Storing:
    """Stores changes, and counts what became of them."""

    database: Database
    writer: Writer
    limits: Limits
    pressure: Pressure

    async def store(
        self, changes: Sequence[Change], principal: Principal, traceparent: str | None
    ) -> list[Written]:
        """Store all of the changes or none; return what became of each, in their order.

        Raises:
            FhirError: nothing was stored; its issues say why, each in its place.
        """
        try:
            written = await self._tried(changes, principal, traceparent)
        except FhirError:
            for change in changes:
                answers.count(change.type, "rejected")
            raise
        for each in written:
            answers.counted(each)
            events = each.effect not in {Effect.UNCHANGED, Effect.ABSENT}
            self.pressure.pending += each.count if events and each.stored.type == REPORT else 0
        return written

    async def _tried(
        self, changes: Sequence[Change], principal: Principal, traceparent: str | None
    ) -> list[Written]:
        for _ in range(_ATTEMPTS):
            writes = await self._writes(changes, principal)
            try:
                return await self.writer.write(writes, principal, traceparent=traceparent)
            except OvertakenError:
                continue
        said = "others keep writing the resources that are to be patched; send the request again"
        raise FhirError(503, Issue("error", "transient", said), headers={"Retry-After": "1"})

    async def _writes(self, changes: Sequence[Change], principal: Principal) -> list[Write]:
        writes: list[Write] = []
        refused: list[FhirError] = []
        if not any(isinstance(each, Patch) for each in changes):
            return [each for each in changes if isinstance(each, Write)]
        async with self.database.read() as tx:
            for each in changes:
                try:
                    writes.append(
                        await applied(tx, each, principal, self.limits, self.writer.base_url)
                        if isinstance(each, Patch)
                        else each
                    )
                except FhirError as error:
                    refused.append(error)
        if refused:
            raise together(refused)
        return writes
