"""The websocket channel: a token, a client that binds with it, and everything it is owed, in order, on its connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa

from schemas.structure.gate import check_structure
from services.notifier import tables as t
from services.notifier.model import LaneState
from tests.notifying import Notifying, classic, notifying, topical
from tests.receiver import receiving
from tests.websockets import by_name, connected, eventually, on_websocket, token_for


@pytest.fixture
async def at(database_urls: tuple[str, str]) -> AsyncIterator[Notifying]:
    async with notifying(*database_urls) as opened:
        yield opened


async def lane(at: Notifying, of: dict[str, Any]) -> Any:
    """Return a lane's row."""
    async with at.database.read() as connection:
        found = await connection.execute(sa.select(t.lane).where(t.lane.c.subscription_id == of["id"]))
        return found.one()


async def attempts(at: Notifying, of: dict[str, Any]) -> list[Any]:
    """Return the tries of a Subscription, oldest first."""
    statement = sa.select(t.attempt).where(t.attempt.c.subscription_id == of["id"]).order_by(t.attempt.c.id)
    async with at.database.read() as connection:
        return list((await connection.execute(statement)).all())


async def unbound(at: Notifying, of: dict[str, Any]) -> None:
    """Wait until no client is bound to a Subscription."""

    async def is_so() -> bool:
        row = await lane(at, of)
        return (row.state, row.holder, row.due_at, row.claim_id) == (LaneState.UNBOUND, None, None, None)

    await eventually(is_so)


async def settled(at: Notifying, of: dict[str, Any], number: int) -> None:
    """Wait until everything up to a number is recorded as delivered."""

    async def is_so() -> bool:
        row = await lane(at, of)
        return bool(row.next_number == number + 1 and row.claim_id is None)

    await eventually(is_so)


@pytest.mark.requirement("R-003", "R-160", "R-161", "R-162", "R-163", "R-164", "R-166", "R-167", "R-073")
async def test_a_client_binds_is_greeted_and_told_in_order(at: Notifying) -> None:
    made = await at.subscribe(on_websocket(max_count=1))
    assert made["status"] == "active"
    token = await token_for(at, made["id"])
    assert token["subscription"] == [made["id"]]
    assert token["websocket-url"] == "wss://vbpr.example/fhir/ws"
    async with connected(at, made=made) as client:
        await client.bind(token["token"])
        await client.until(1)
        assert client.kinds == ["handshake"]
        assert client.heard[0].total == 0
        for _ in range(20):
            await at.publish("c1")
        await client.until_number(20)
        assert client.numbers == list(range(1, 21))
        assert set(client.kinds[1:]) == {"event-notification"}
        await settled(at, made, 20)
    await unbound(at, made)
    assert [row.outcome for row in await attempts(at, made)] == ["delivered"] * 21
    assert (await at.get(made["id"]))["status"] == "active"
