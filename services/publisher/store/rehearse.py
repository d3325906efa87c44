"""What would become of a write? The decisions of the store over what is stored now, and nothing of it kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from schemas.outcome import FhirError, Issue
from services.database import Connection
from services.principal import Principal
from services.publisher.store import gather, remarks
from services.publisher.store.decide import Batch
from services.publisher.store.events import Change, follows
from services.publisher.store.model import Effect, Write
from services.publisher.store.plan import Planned, Request, plan
from services.publisher.store.predecessors import earlier
from services.publisher.store.write import Writer

_ATTEMPTS: Final = 5
_NO_OTHER: Final = "-"
"""Hash of no content there is: a write that says it repeats nothing."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a write would come to."""

    refused: FhirError | None
    effect: Effect | None
    """`None` when it would be refused."""
    issues: Sequence[Issue]
    """What its sender would be told; of a write that would change nothing, what was to be told of it."""


async def rehearse(writer: Writer, write: Write, principal: Principal) -> Rehearsal:
    """Return what the writer would make of a write that passed the check."""
    try:
        planned = plan(write, principal, writer.base_url)
    except FhirError as error:
        return Rehearsal(error, None, ())
    for _ in range(_ATTEMPTS):
        try:
            async with writer.database.read() as tx:
                return await _decided(tx, writer, planned, principal)
        except gather.ChangedError:
            continue  # a newer version came while this one was read
    raise FhirError(503, Issue("error", "transient", "what the resource refers to keeps changing; try again"))


async def _decided(tx: Connection, writer: Writer, planned: Planned, principal: Principal) -> Rehearsal:
    view = await gather.gather(tx, [Request([planned], principal)], writer.base_url)
    new = writer.clock.uuid7
    batch = Batch(view, writer.clock.now(), writer.base_url, writer.stage_mapping, new)
    try:
        (written,) = batch.decide(Request([planned], principal))
        effect = written.effect
        if effect is Effect.UNCHANGED:
            (written,) = batch.decide(Request([replace(planned, content=_NO_OTHER)], principal))
    except FhirError as error:
        return Rehearsal(error, None, ())
    said = await _on_former(tx, batch.rows.changes)
    return Rehearsal(None, effect, [*written.issues, *said])


async def _on_former(tx: Connection, changes: Sequence[Change]) -> list[Issue]:
    known = await gather.generations(tx, changes)
    before = await earlier(tx, changes, known)
    return [
        issue
        for change in changes
        for issue in remarks.on_former(
            change.report,
            change.derived,
            follows(change, known.get(change.derived.identity or "")).previous or before.before(change),
        )
    ]
