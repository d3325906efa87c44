"""What an operator sees and can do at /ops, through a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
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


async def act(client: Client, path: str, expected: int = 200, **form: str) -> tuple[str, str]:
    """Send an act's form, as its page would; return where that led, and the page there."""
    async with client.post(path, data=form, headers=own(client)) as response:
        assert response.status == expected, await response.text()
        return str(response.url.relative()), await response.text()


async def trail(rows: Watched) -> tuple[str, str, str, str]:
    """Return the newest row of the audit trail."""
    a = t.audit.c
    newest = sa.select(a.client, a.action, a.subject, a.reason).order_by(a.id.desc()).limit(1)
    async with rows.database.read() as connection:
        return tuple((await connection.execute(newest)).one())


async def test_retry_makes_it_due_now_and_keeps_the_reason(rows: Watched, client: Client) -> None:
    lane = await failing(rows)
    assert await rows.lease() == []
    place = f"/ops/subscriptions/{lane}"
    assert "is tried now from number 1 on; 2 owed" in await text(client, f"{place}/retry")
    assert await rows.lease() == [], "to look changes nothing"
    where, page = await act(client, f"{place}/retry", reason="back")
    assert where == f"{place}?done=retry"
    assert "It is due now" in page
    await rows.turns()
    assert len(rows.receiver.got) == 3
    assert await trail(rows) == ("local", "delivery-retry", f"Subscription/{lane}", "back")
    _, refusal = await act(client, f"{place}/retry", 409, reason="again")
    assert "owes nothing" in refusal


async def test_a_parked_classic_subscription_is_brought_back_without_its_client(
    rows: Watched, client: Client
) -> None:
    rows.receiver.statuses(503, 503, 503)
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    for _ in range(3):
        await rows.again(lane)
    place = f"/ops/subscriptions/{lane}"
    page = await text(client, place)
    assert "Re-activate: try now" in page
    assert ">error<" in page
    await act(client, f"{place}/retry", reason="their gateway is up")
    await rows.turns()
    assert ">active<" in await text(client, place)


async def test_the_head_is_skipped_after_it_was_said_which_one_that_is(rows: Watched, client: Client) -> None:
    lane = await failing(rows)
    place = f"/ops/subscriptions/{lane}"
    question = await text(client, f"{place}/skip")
    assert "Number 1 would be given up; 1 would still be owed. Last failure: answered 503." in question
    assert '<input type="hidden" name="through" value="1">' in question
    _, refusal = await act(client, f"{place}/skip", 409, through="1", reason=" ")
    assert "A reason is needed" in refusal
    _, page = await act(client, f"{place}/skip", through="1", reason="a bad one")
    assert "It is given up" in page
    assert "1 owed, 1 given up" in page
    assert (await trail(rows))[1:] == (
        "delivery-skip", f"Subscription/{lane}", "number 1: a bad one",
    )  # fmt: skip
    _, late = await act(client, f"{place}/skip", 409, through="1", reason="twice")
    assert "1 is not among them" in late, "what was shown is skipped, or nothing"


async def test_numbers_are_sent_again_after_they_were_counted(rows: Watched, client: Client) -> None:
    lane = await rows.subscribe()
    await rows.owe(3, lane)
    await rows.all_turns()
    place = f"/ops/subscriptions/{lane}"
    story = await text(client, f"{place}/2")
    assert f'href="{place}/resend?first=2&amp;last=2"' in story
    assert "1 of 1 Subscription would be sent again" in await text(
        client, f"{place}/resend", first="2", last="2"
    )
    assert "2 of 1 Subscription would" in await text(client, f"{place}/resend", first="2", last="")
    assert len(rows.receiver.got) == 3
    await act(client, f"{place}/resend", first="2", reason="their disk broke")
    await rows.all_turns()
    assert [got.webhook_id for got in rows.receiver.got[3:]] == [f"{lane}_2-2", f"{lane}_3-3"]
    assert (await trail(rows))[1:] == (
        "delivery-resend", f"Subscription/{lane}", "numbers 2 to 3: their disk broke",
    )  # fmt: skip
    assert "abc is no event number" in await text(client, f"{place}/resend", 409, first="abc")
    nothing = await text(client, f"{place}/resend", first="9")
    assert "Nothing that was delivered or given up is like that" in nothing
    assert "<button>Send again" not in nothing


async def test_what_was_lost_since_a_time_is_recovered_of_all(rows: Watched, client: Client) -> None:
    rows.receiver.answer = lambda _got: web.Response(status=422)
    one, other = await rows.subscribe(), await rows.subscribe()
    await rows.owe(1, one, other)
    for _ in range(3):
        await rows.again(one)
        await rows.again(other)
    rows.receiver.statuses()
    since = "2020-01-01T00:00"
    assert "Recover what was given up since" in await text(client, "/ops")
    assert "2 of 2 Subscriptions would be sent again" in await text(client, "/ops/recover", since=since)
    assert "Nothing that was" in await text(client, "/ops/recover", since="2999-01-01T00:00")
    assert "soon is no time" in await text(client, "/ops/recover", 409, since="soon")
    before = len(rows.receiver.got)
    where, page = await act(client, "/ops/recover", since=since, reason="it refused everything")
    assert where == "/ops?done=recover"
    assert "will be sent again" in page
    await rows.all_turns()
    assert len(rows.receiver.got) == before + 2
    assert f"/ops/subscriptions/{one}/recover" in await text(client, f"/ops/subscriptions/{one}")


@pytest.mark.parametrize("name", ["retry", "skip", "resend", "recover"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[bad"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_can_do_nothing(
    rows: Watched, client: Client, headers: dict[str, str], name: str
) -> None:
    lane = await failing(rows)
    form = {"reason": "x", "through": "1", "first": "1", "since": "2020-01-01T00:00"}
    before = await trail(rows)
    async with client.post(f"/ops/subscriptions/{lane}/{name}", data=form, headers=headers) as response:
        assert response.status == 403
    assert await rows.lease() == []
    assert await trail(rows) == before


async def test_a_database_that_does_not_answer_is_said(rows: Watched, client: Client) -> None:
    async with rows.database.write() as connection:
        await connection.execute(sa.text("ALTER TABLE dead_letter RENAME TO elsewhere"))
    assert "The database does not answer" in await text(client, "/ops", 503)
