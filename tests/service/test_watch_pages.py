"""What an operator sees and can do at /ops, through a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.notifier import tables as t
from services.notifier.watch.pages.overview import mount_ops
from tests.notifier_store import BASE, event
from tests.notifying import contract
from tests.watching import Watched, watched

HOSTILE = "<script>alert('x')</script>\"'&"
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def rows(tmp_path: Path) -> AsyncIterator[Watched]:
    # The pages have no statement of their own: insights and actions are tested on both databases.
    async with watched(f"sqlite+aiosqlite:///{tmp_path / 'notifier'}.sqlite") as opened:
        yield opened


@pytest.fixture
async def client(rows: Watched) -> AsyncIterator[Client]:
    app = web.Application()
    mount_ops(app, rows.database, rows.clock, base=BASE)
    async with TestClient(TestServer(app)) as opened:
        yield opened


async def text(client: Client, path: str, expected: int = 200, **query: str) -> str:
    async with client.get(path, params=query) as response:
        assert response.status == expected
        return await response.text()


def own(client: Client) -> dict[str, str]:
    return {"Origin": f"http://{client.host}:{client.port}"}


async def failing(rows: Watched) -> str:
    rows.receiver.statuses(503)
    lane = await rows.subscribe()
    await rows.owe(2, lane)
    await rows.turns()
    return lane


async def test_the_first_page_says_who_fails_why_and_what_happens_next(rows: Watched, client: Client) -> None:
    lane = await failing(rows)
    page = await text(client, "/ops")
    for words in (lane, "answered 503", "due in 59 min", rows.receiver.url, "<title>1 failing", "log</td>"):
        assert words in page


async def test_with_nothing_there_it_names_the_next_command(client: Client) -> None:
    page = await text(client, "/ops/")
    assert "vbpr listen --port 9000" in page
    assert f"{BASE}/Subscription" in page
    assert "vbpr publish" in page


async def test_a_subscription_shows_what_it_is_owed_and_its_tries(rows: Watched, client: Client) -> None:
    lane = await failing(rows)
    page = await text(client, f"/ops/subscriptions/{lane}")
    assert f'href="/ops/subscriptions/{lane}/2"' in page
    assert page.count("MeasureReport/r") == 2
    assert f"{lane}_1-1" in page
    owed = await text(client, f"/ops/subscriptions/{lane}", state="owed")
    assert "MeasureReport/r2" in owed
    assert "MeasureReport/r1" not in owed
    assert "None is given up" in await text(client, f"/ops/subscriptions/{lane}", state="given_up")
    assert "MeasureReport/r1" in await text(client, f"/ops/subscriptions/{lane}", state="<nonsense>")


async def test_a_number_tells_its_story(rows: Watched, client: Client) -> None:
    lane = await failing(rows)
    page = await text(client, f"/ops/subscriptions/{lane}/1")
    for words in (event(1).id, "partition 0, position 0", "retrying", "answered 503", contract("c1")):
        assert words in page
    assert "has no number 7" in await text(client, f"/ops/subscriptions/{lane}/7", 404)
    assert "There is no Subscription/nobody" in await text(client, "/ops/subscriptions/nobody", 404)


async def test_a_report_is_found_by_its_contract_or_id(rows: Watched, client: Client) -> None:
    lane = await failing(rows)
    await rows.take_in((event(9, "other"), ()))
    for sought in ("c1", contract("c1"), "r1"):
        page = await text(client, "/ops/find", q=sought)
        assert "MeasureReport/r1 version 1" in page
        assert f'href="/ops/subscriptions/{lane}/1"' in page
    assert "No subscription matched it" in await text(client, "/ops/find", q="other")
    assert contract("other") in await text(client, "/ops/find", q="payer.example")
    assert "vbpr status --contract" in await text(client, "/ops/find", q="nothing")


async def test_what_others_wrote_is_never_markup(rows: Watched, client: Client) -> None:
    lane = await failing(rows)
    async with rows.database.write() as connection:
        await connection.execute(sa.update(t.subscription).values(endpoint=HOSTILE, criteria=HOSTILE))
        await connection.execute(sa.update(t.lane).values(said=HOSTILE))
        await connection.execute(sa.update(t.attempt).values(said=HOSTILE))
    await rows.take_in((replace(event(9), contract=HOSTILE), (lane,)))
    found = f"/ops/find?{urlencode({'q': HOSTILE})}"
    for path in ("/ops", f"/ops/subscriptions/{lane}", f"/ops/subscriptions/{lane}/3", found):
        page = await text(client, path)
        assert "alert(" in page
        assert "<script>" not in page


async def test_pages_run_nothing_inline_and_load_nothing_from_elsewhere(
    rows: Watched, client: Client
) -> None:
    await failing(rows)
    async with client.get("/ops") as response:
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in page
    assert "onclick" not in page
    for asset in ("ops.js", "ops.css", "icon.svg"):
        assert f"/ops/static/{asset}" in page
        assert await text(client, f"/ops/static/{asset}")


async def test_no_report_and_no_header_value_is_shown(rows: Watched, client: Client) -> None:
    lane = await rows.subscribe(topic=True)  # with an Authorization header
    await rows.owe(1, lane)
    for path in ("/ops", f"/ops/subscriptions/{lane}", f"/ops/subscriptions/{lane}/1", "/ops/find?q=r1"):
        page = await text(client, path)
        assert "s3cret" not in page
        assert "resourceType" not in page


async def test_retry_makes_it_due_now_and_keeps_the_reason(rows: Watched, client: Client) -> None:
    lane = await failing(rows)
    assert await rows.lease() == []
    async with client.post(
        f"/ops/subscriptions/{lane}/retry", data={"reason": "back"}, headers=own(client)
    ) as response:
        assert response.status == 200
        assert str(response.url.relative()) == f"/ops/subscriptions/{lane}?retried"
        assert "It is due now" in await response.text()
    await rows.turns()
    assert len(rows.receiver.got) == 3
    async with rows.database.read() as connection:
        kept: Any = (
            await connection.execute(sa.select(t.audit).order_by(t.audit.c.id.desc()).limit(1))
        ).one()
    assert (kept.action, kept.subject, kept.reason) == ("delivery-retry", f"Subscription/{lane}", "back")
    async with client.post(
        f"/ops/subscriptions/{lane}/retry", data={"reason": "again"}, headers=own(client)
    ) as response:
        assert response.status == 409
        assert "owes nothing" in await response.text()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_cannot_retry(rows: Watched, client: Client, headers: dict[str, str]) -> None:
    lane = await failing(rows)
    async with client.post(
        f"/ops/subscriptions/{lane}/retry", data={"reason": "x"}, headers=headers
    ) as response:
        assert response.status == 403
    assert await rows.lease() == []


async def test_a_database_that_does_not_answer_is_said(rows: Watched, client: Client) -> None:
    async with rows.database.write() as connection:
        await connection.execute(sa.text("ALTER TABLE dead_letter RENAME TO elsewhere"))
    assert "The database does not answer" in await text(client, "/ops", 503)
