"""Where is the report for this contract? Every version that came, and what each subscription got of it."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from services.database import Database
from services.notifier import tables as t
from services.notifier.watch.insights.deliveries import EVENT_COLUMNS, event_view, of_events
from services.notifier.watch.insights.views import ReportTrail

MOST_DELIVERIES = 500
"""Most deliveries looked up for one answer."""


async def by_contract(database: Database, contract: str, at_most: int = 20) -> Sequence[ReportTrail]:
    """Return the newest versions of a contract's reports, newest first; a `|version` of the contract is ignored."""
    return await _trails(database, t.event.c.contract == contract.partition("|")[0], at_most)


async def by_report(database: Database, report: str, at_most: int = 20) -> Sequence[ReportTrail]:
    """Return the newest versions of one report, newest first; `report` is its id, or `MeasureReport/{id}`."""
    return await _trails(database, t.event.c.report_id == report.removeprefix("MeasureReport/"), at_most)


async def contracts(database: Database, part: str, at_most: int = 20) -> Sequence[str]:
    """Return the contracts with reports whose key has `part` in it, whatever the case."""
    key = t.event.c.contract
    statement = sa.select(key).where(key.icontains(part, autoescape=True)).distinct().order_by(key)
    async with database.read() as connection:
        return list((await connection.execute(statement.limit(at_most))).scalars())


async def search(database: Database, words: str) -> tuple[Sequence[ReportTrail], Sequence[str]]:
    """Return what an operator's words find: a report by its id, else a contract by its key or a part of it.

    When several contracts have the words in them, no report is returned but the contracts to choose from.
    """
    if not (words := words.strip()):
        return [], []
    if found := await by_report(database, words) or await by_contract(database, words):
        return found, []
    candidates = await contracts(database, words)
    if len(candidates) == 1:
        return await by_contract(database, candidates[0]), []
    return [], candidates


async def _trails(
    database: Database, condition: sa.ColumnElement[bool], at_most: int
) -> Sequence[ReportTrail]:
    statement = sa.select(*EVENT_COLUMNS).where(condition).order_by(t.event.c.seq.desc()).limit(at_most)
    async with database.read() as connection:
        rows = (await connection.execute(statement)).all()
    if not rows:
        return []
    delivered = await of_events(database, [row.seq for row in rows], MOST_DELIVERIES)
    return [ReportTrail(event_view(row), delivered[row.seq]) for row in rows]
