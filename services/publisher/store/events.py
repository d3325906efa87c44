"""Which event does a report version make, and what does it supersede? Its row goes into the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import orjson
import sqlalchemy as sa

from schemas.event import Interaction, Stage, event_type
from schemas.facets import Facets
from services.database import Connection
from services.publisher.derive.model import Derived
from services.publisher.store.statements import insert, upsert
from services.publisher.store.tables import generation, outbox


@dataclass(frozen=True, slots=True)
class Generation:
    """The version that stands for a report identity."""

    report_id: str
    stage: Stage
    facets: Facets


@dataclass(frozen=True, slots=True)
class Succession:
    """What a version supersedes, and whether it stands for its identity from now on."""

    previous: tuple[Stage, Facets] | None
    takes_over: bool


def succession(
    report_id: str, identity: str, current: Generation | None, former: Derived | None
) -> Succession:
    """Decide what a version of a report supersedes.

    The identity's current generation, whatever its id. A write to an id that another one has superseded
    supersedes that id's own former version and changes nothing else (design words: event).
    """
    own = None if former is None else (former.stage, former.facets)
    if current is None:
        return Succession(own, takes_over=True)
    superseded = current.report_id != report_id and former is not None and former.identity == identity
    return Succession(own if superseded else (current.stage, current.facets), takes_over=not superseded)


_current = sa.select(generation.c.report_id, generation.c.stage, generation.c.facets).where(
    generation.c.identity == sa.bindparam("identity")
)
_leave = (
    generation.delete()
    .where(generation.c.identity == sa.bindparam("of_identity"))
    .where(generation.c.report_id == sa.bindparam("by_report"))
)


@dataclass(frozen=True, slots=True)
class Change:
    """A version of a report that is about to become an event."""

    report_id: str
    version: int
    interaction: Interaction
    derived: Derived
    former: Derived | None


async def put(
    tx: Connection, change: Change, *, event_id: str, now: datetime, traceparent: str | None
) -> None:
    """Add the event of a version to the outbox, and note which version stands for its identity.

    The caller holds the contract's lock: the outbox number that is drawn here is commit order within it.
    """
    derived = change.derived
    assert derived.identity is not None
    assert derived.contract is not None
    row = (await tx.execute(_current, {"identity": derived.identity})).one_or_none()
    current = None if row is None else Generation(row.report_id, Stage(row.stage), orjson.loads(row.facets))
    follows = succession(change.report_id, derived.identity, current, change.former)
    facets = orjson.dumps(derived.facets).decode()
    previous = follows.previous
    await insert(
        tx,
        outbox,
        [
            {
                "event_id": event_id,
                "event_type": event_type(derived.stage, previous and previous[0], deleted=False).value,
                "contract": derived.contract,
                "report_id": change.report_id,
                "version": change.version,
                "body_version": change.version,
                "interaction": change.interaction,
                "accepted_at": now,
                "facets": facets,
                "previous_facets": None if previous is None else orjson.dumps(previous[1]).decode(),
                "traceparent": traceparent,
                "place_partition": None,
                "place_position": None,
            }
        ],
    )
    if change.former is not None and change.former.identity not in {None, derived.identity}:
        await tx.execute(_leave, {"of_identity": change.former.identity, "by_report": change.report_id})
    if follows.takes_over:
        await upsert(
            tx,
            generation,
            {
                "identity": derived.identity,
                "report_id": change.report_id,
                "version": change.version,
                "stage": derived.stage.value,
                "facets": facets,
            },
        )
