"""A batch that was read and could not be taken in is read again; nothing is stepped over."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from services.notifier import tables as t
from services.notifier.consume.freshness import LiveIndex
from tests.conditions import eventually
from tests.notifying import Notifying, notifying


async def _taken_in(running: Notifying) -> list[str]:
    async with running.database.read() as connection:
        return list(
            (await connection.execute(sa.select(t.event.c.event_id).order_by(t.event.c.seq))).scalars()
        )


async def test_a_failure_between_reading_and_enqueueing_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = LiveIndex.refresh
    failures = 2

    async def failing(self: LiveIndex) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError("the database is gone for a moment")
        await working(self)

    here = f"sqlite+aiosqlite:///{tmp_path}"
    async with notifying(f"{here}/publisher.sqlite", f"{here}/notifier.sqlite") as running:
        monkeypatch.setattr(LiveIndex, "refresh", failing)
        published = await running.publish("c1", "c2")
        await eventually(lambda: failures == 0, what="both failures")
        published += await running.publish("c1")

        async def all_of_them() -> bool:
            return await _taken_in(running) == [event.id for event in published]

        await eventually(all_of_them, what="every event in its order")
