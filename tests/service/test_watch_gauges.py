"""The gauges say what the rows say, and say so again when it is over."""

from __future__ import annotations

from prometheus_client import generate_latest

from services.metrics import REGISTRY
from services.notifier.watch.gauges import Gauges
from tests.watching import watched


def shown() -> dict[str, float]:
    lines = [line for line in generate_latest(REGISTRY).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_gauges_follow_the_rows(database_urls: tuple[str, str]) -> None:
    async with watched(database_urls[1]) as rows:
        gauges = Gauges(rows.database, rows.clock)
        rows.receiver.statuses(500)
        failing = await rows.subscribe()
        await rows.owe(3, failing)
        await rows.turns()
        fresh = await rows.subscribe()
        await rows.owe(2, fresh)
        assert await gauges.step() is False
        now = shown()
        assert now['vbpr_notifications_owed{state="retrying"}'] == 3
        assert now['vbpr_notifications_owed{state="open"}'] == 2
        assert now['vbpr_subscriptions{status="active"}'] == 2
        assert now["vbpr_oldest_owed_age_seconds"] > 0
        assert now["vbpr_dead_letters"] == 0
        await rows.again(failing)
        await rows.turns()
        await rows.delete(fresh)
        await gauges.step()
        after = shown()
        assert after['vbpr_notifications_owed{state="retrying"}'] == 0
        assert after['vbpr_notifications_owed{state="open"}'] == 0
        assert after["vbpr_oldest_owed_age_seconds"] == 0
        assert after['vbpr_subscriptions{status="active"}'] == 1
