"""How much has the publisher accepted, and what has become of it? Read-only, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from services.clock import Clock
from services.database import Database
from services.publisher.emit.backlog import backlog
from services.publisher.store.tables import outbox, report, resource_version


@dataclass(frozen=True, slots=True)
class Intake:
    """The publisher's side of the ledger."""

    reports: int
    """Report versions accepted, deletions among them."""
    waiting: int
    """Quality reports whose performance report has not come."""
    events: int
    """Outbox rows."""
    emitted: int
    """Those that have their place in the event log."""
    pending: int
    """Those that have not."""
    oldest_age_seconds: float
    """Age of the oldest pending one; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class EmittedVersion:
    """One report version on its way into the event log."""

    event_id: str
    report: str
    version: int
    contract: str
    accepted: datetime
    partition: int | None
    """With `position`, its place in the log; `None`: it waits for the log."""
    position: int | None


async def intake(database: Database, clock: Clock) -> Intake:
    """Count what was accepted and what of it has left."""
    versions = sa.select(sa.func.count()).where(resource_version.c.type == "MeasureReport")
    waiting = sa.select(sa.func.count()).select_from(report).where(report.c.waits)
    async with database.read() as connection:
        reports = (await connection.execute(versions)).scalar_one()
        held = (await connection.execute(waiting)).scalar_one()
        events = (await connection.execute(sa.select(sa.func.count()).select_from(outbox))).scalar_one()
    left = await backlog(database)
    return Intake(
        reports=reports,
        waiting=held,
        events=events,
        emitted=max(0, events - left.pending),
        pending=left.pending,
        oldest_age_seconds=left.age(clock.now()),
    )


async def of_contract(database: Database, contract: str, at_most: int = 20) -> Sequence[EmittedVersion]:
    """Return the newest versions of a contract's reports, newest first; a `|version` of the contract is ignored."""
    row = outbox.c
    statement = (
        sa.select(
            row.event_id, row.report_id, row.version, row.contract, row.accepted_at, row.place_partition,
            row.place_position,
        )
        .where(row.contract == contract.partition("|")[0])
        .order_by(row.number.desc())
        .limit(at_most)
    )  # fmt: skip
    async with database.read() as connection:
        rows = await connection.execute(statement)
        return [
            EmittedVersion(
                found.event_id, f"MeasureReport/{found.report_id}", found.version, found.contract,
                found.accepted_at, found.place_partition, found.place_position,
            )
            for found in rows
        ]  # fmt: skip
