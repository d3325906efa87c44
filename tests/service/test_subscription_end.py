"""At its `end` a Subscription is over, to the moment: nothing is matched, sent or shown as active from then on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.notifier import tables as t
from services.notifier.model import Status
from services.notifier.subscriptions.admission import admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.store import SubscriptionStore
from services.notifier.subscriptions.timers import Patience, StatusTimers
from services.principal import LOCAL
from tests.clock import ManualClock
from tests.conditions import eventually
from tests.notifier_store import BASE
from tests.notifying import Notifying, classic, topical
from tests.receiver import Receiver
from tests.watching import Watched, watched

HOUR = 3600.0
SOON = 2.5
"""Seconds until the `end`, where time cannot be moved."""


@pytest.fixture
async def rows(database_urls: tuple[str, str], clock: ManualClock) -> AsyncIterator[Watched]:
    async with watched(database_urls[1], clock=clock) as opened:
        yield opened


async def in_an_hour(rows: Watched, *, topic: bool) -> str:
    """Make a Subscription that ends in an hour."""
    made = (topical if topic else classic)(rows.receiver.url)
    asked = admit(
        {**made, "end": (rows.clock.now() + timedelta(hours=1)).isoformat()},
        base_url=BASE,
        policy=EndpointPolicy(allow_http=True, allow_private=True),
        now=rows.clock.now(),
    )
    return (await SubscriptionStore(rows.database, rows.clock).create(LOCAL, asked)).id


async def given_up(rows: Watched) -> list[tuple[int, str]]:
    async with rows.database.read() as connection:
        found: Any = await connection.execute(sa.select(t.given_up).order_by(t.given_up.c.number))
        return [(row.number, row.reason) for row in found]


@pytest.mark.requirement("R-077")
async def test_what_is_owed_is_sent_until_the_end_and_given_up_from_then_on(
    rows: Watched, clock: ManualClock
) -> None:
    made = await in_an_hour(rows, topic=False)
    await rows.owe(1, made)
    await clock.advance(HOUR - 0.001)
    await rows.turns()
    assert len(rows.receiver.got) == 1
    await rows.owe(1, made)
    await clock.advance(0.001)
    await rows.turns()
    assert len(rows.receiver.got) == 1, (
        "at the end itself nothing is sent, though nobody has turned it off yet"
    )

    timers = StatusTimers(rows.database, clock, Patience(None, None))
    while await timers.step():
        pass
    assert (await SubscriptionStore(rows.database, clock).read(LOCAL, made)).status is Status.OFF
    assert await given_up(rows) == [(2, "the subscription has reached its end")]
    await rows.turns()
    assert len(rows.receiver.got) == 1


@pytest.mark.requirement("R-077")
async def test_one_that_ended_is_not_greeted_any_more(rows: Watched, clock: ManualClock) -> None:
    made = await in_an_hour(rows, topic=True)
    await clock.advance(HOUR)
    await rows.turns()
    assert rows.receiver.got == []
    assert (await SubscriptionStore(rows.database, clock).read(LOCAL, made)).status is Status.REQUESTED


def soon(running: Notifying) -> datetime:
    now = running.clock.now() + timedelta(seconds=SOON)
    return now.replace(microsecond=0)


def written(end: datetime) -> str:
    return end.isoformat(timespec="milliseconds")


async def explained(running: Notifying, subscription: str, report: str) -> tuple[bool, dict[str, list[Any]]]:
    """Ask why a report fired; return whether it did, and what was expected, found and judged, by check."""
    assert running.client is not None
    path = f"/fhir/Subscription/{subscription}/$explain?report=MeasureReport/{report}"
    found = await (await running.client.get(path)).json()
    (fires,) = (each["valueBoolean"] for each in found["parameter"] if each["name"] == "fires")
    checks = [each["part"] for each in found["parameter"] if each["name"] == "check"]
    values = [[next(v for k, v in part.items() if k != "name") for part in each] for each in checks]
    return fires, {name: rest for name, *rest in values}


async def previewed(running: Notifying, subscription: str) -> int:
    assert running.client is not None
    found = await (await running.client.get(f"/fhir/Subscription/{subscription}/$preview")).json()
    (fired,) = (each["valueUnsignedInt"] for each in found["parameter"] if each["name"] == "fired")
    return int(fired)


async def off_at(running: Notifying, subscription: str) -> datetime:
    """Wait until a Subscription is shown as `off`, and return when it was turned off."""

    async def off() -> bool:
        return bool((await running.get(subscription))["status"] == "off")

    await eventually(off, within=SOON + 3)
    found = await running.get(subscription)
    assert found["error"] == "it has reached its end"
    return datetime.fromisoformat(found["meta"]["lastUpdated"])


@pytest.mark.requirement("R-077")
async def test_what_is_accepted_before_the_end_is_told_and_what_is_accepted_at_it_is_not(
    running: Notifying, receiver: Receiver
) -> None:
    end = soon(running) + timedelta(hours=1)
    made = await running.subscribe(classic(receiver.url) | {"end": written(end)})
    other = await running.subscribe(classic(receiver.url))
    running.outbox.accepted = end - timedelta(microseconds=1)
    before = (await running.publish("c1"))[0]
    await eventually(lambda: len(receiver.got) == 2)
    assert (await running.get(made["id"]))["status"] == "active"
    running.outbox.accepted = end - timedelta(seconds=1)
    after = (await running.publish("c1"))[0]
    assert (before.time, after.time) == (end - timedelta(microseconds=1), end)
    await eventually(lambda: len(receiver.got) == 3)
    assert receiver.got[2].webhook_id == f"{other['id']}_2-2"

    fires, checks = await explained(running, made["id"], before.report_id)
    assert fires
    assert checks["end"][2] is True
    fires, checks = await explained(running, made["id"], after.report_id)
    assert not fires
    wanted, said, holds = checks["end"]
    assert wanted.startswith("accepted before its end, ")
    assert said.endswith(": it had ended")
    assert not holds
    assert "end" not in (await explained(running, other["id"], after.report_id))[1]
    assert await previewed(running, made["id"]) == 1
    assert await previewed(running, other["id"]) == 2


@pytest.mark.requirement("R-077")
async def test_it_is_off_as_soon_as_it_has_ended(running: Notifying) -> None:
    """Whoever waits for the end is told of it, when it is made and when it is moved."""
    sent = classic("http://127.0.0.1:9/hook")
    end = soon(running)
    made = await running.subscribe(sent | {"end": written(end)})
    moved = await running.subscribe(sent | {"end": written(end + timedelta(hours=1))})
    await running.replace(moved["id"], sent | {"end": written(end + timedelta(seconds=0.5))})
    for each, expected in ((made, end), (moved, end + timedelta(seconds=0.5))):
        turned_off = await off_at(running, each["id"])
        assert expected <= turned_off < expected + timedelta(seconds=1)
