"""`vbpr subscriptions` and `vbpr subscribe`, as processes, against a service and an endpoint that really answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from schemas import examples
from tests.conditions import eventually
from tests.notifying import Notifying, contract, notifying
from tests.processes import VbprProcesses
from tests.receiver import Receiver
from tests.service.commands import Ended, run

pytestmark = pytest.mark.slow


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Notifying]:
    urls = [f"sqlite+aiosqlite:///{tmp_path / name}.sqlite" for name in ("publisher", "notifier")]
    async with notifying(urls[0], urls[1], handshake_schedule=(0.05, 0.05)) as opened:
        yield opened


async def asked(running: Notifying, *arguments: str, given: bytes = b"") -> Ended:
    assert running.client is not None
    base = str(running.client.make_url("/fhir"))
    return await run(*arguments, given=given, settings={"VBPR_BASE_URL": base})


async def created(running: Notifying, receiver: Receiver, *options: str) -> str:
    done = await asked(running, "subscriptions", "create", "--endpoint", receiver.url, "--json", *options)
    assert done.code == 0, done.err
    return str(orjson.loads(done.out)["id"])


async def test_a_subscription_is_created_seen_paused_resumed_and_deleted(
    running: Notifying, receiver: Receiver
) -> None:
    options = [
        "--topic",
        "report-available",
        "--filter",
        f"contract={contract('c1')}",
        "--payload",
        "id-only",
    ]
    made = await created(running, receiver, *options, "--header", "X-Key: s3cret", "--max-count", "5")
    await running.publish("c1", "c2")
    await eventually(lambda: [got.numbers for got in receiver.events()] == [[1]])
    assert receiver.got[0].headers["X-Key"] == "s3cret"

    shown = await asked(running, "subscriptions", "show", made)
    assert "events so far  1" in shown.out
    assert "id-only" in shown.out
    assert "X-Key" in shown.out
    assert "s3cret" not in shown.out
    listed = await asked(running, "subscriptions", "list")
    assert made in listed.out
    assert (
        "There is no Subscription" in (await asked(running, "subscriptions", "list", "--status", "off")).out
    )

    assert "is off" in (await asked(running, "subscriptions", "pause", made)).out
    tried = await asked(running, "subscriptions", "test", made)
    assert (tried.code, "it is off" in tried.err) == (2, True)
    assert made in (await asked(running, "subscriptions", "list", "--status", "off")).out
    await running.publish("c1")
    resumed = await asked(running, "subscriptions", "resume", made)
    assert (resumed.code, "is active" in resumed.out) == (0, True)
    await running.publish("c1")
    await eventually(lambda: [got.numbers for got in receiver.events()] == [[1], [2]])

    assert (await asked(running, "subscriptions", "delete", made, "--yes")).code == 0
    gone = await asked(running, "subscriptions", "show", made)
    assert (gone.code, "was deleted" in gone.err) == (2, True)


async def test_an_endpoint_that_does_not_take_the_handshake_is_told_of(
    running: Notifying, receiver: Receiver
) -> None:
    receiver.answer = lambda _got: web.Response(status=500)
    done = await asked(
        running, "subscriptions", "create", "--topic", "report-settled", "--endpoint", receiver.url
    )
    assert done.code == 1
    assert "is in error: answered 500" in done.out
    receiver.answer = lambda _got: web.Response()
    (made,) = orjson.loads((await asked(running, "subscriptions", "list", "--json")).out)
    tried = await asked(running, "subscriptions", "test", made["id"])
    assert (tried.code, "is active" in tried.out) == (0, True)


async def test_classic_criteria_are_tried_with_their_last_event(
    running: Notifying, receiver: Receiver
) -> None:
    made = await created(running, receiver, "--criteria", f"MeasureReport?contract={contract('c1')}")
    early = await asked(running, "subscriptions", "test", made)
    assert (early.code, "no event yet" in early.err) == (2, True)
    await running.publish("c1", "c1")
    await eventually(lambda: len(receiver.got) == 2)
    tried = await asked(running, "subscriptions", "test", made)
    assert "number 2 will be sent again" in tried.out
    await eventually(lambda: [got.webhook_id for got in receiver.got[2:]] == [f"{made}_2-2"])


async def test_what_is_refused_is_said_in_the_server_s_words(running: Notifying, tmp_path: Path) -> None:
    wrong = await asked(
        running,
        "subscriptions",
        "create",
        "--criteria",
        "MeasureReport?colour=red",
        "--endpoint",
        "https://p.example/x",
    )
    assert wrong.code == 2
    assert "Subscription.criteria: colour=red" in wrong.err
    assert "either --topic or --criteria" in (await asked(running, "subscriptions", "create")).err
    file = tmp_path / "subscription.json"
    file.write_text('{"resourceType": "Subscription"}')
    refused = await asked(running, "subscriptions", "create", str(file))
    assert (refused.code, "Subscription.channel" in refused.err) == (2, True)


async def test_a_few_answers_end_in_a_working_subscription(vbpr: VbprProcesses, receiver: Receiver) -> None:
    serve = await asyncio.to_thread(vbpr.start, "serve")
    settings = {"VBPR_BASE_URL": serve.fhir}
    known = map(str, (*examples.parties(), *examples.contracts()))
    published = await run("publish", *known, "--quiet", settings=settings)
    assert published.code == 0, published.out
    refused = ["9", "2", "1", "colour=red", receiver.url, "2", ""]
    answers = [*refused, "", "2", "stage=settled", receiver.url, "2", "X-Key: s3cret", "y", ""]
    done = await run("subscribe", given="\n".join(answers).encode(), settings=settings)
    assert done.code == 0, done.out + done.err
    assert "a number from 1 to 5" in done.out
    assert "Number [2]" in done.out, "any report is what is usually wanted"
    assert "'colour' is not a parameter here" in done.out
    assert "Of 0 events kept here" in done.out
    assert "is active" in done.out
    (made,) = orjson.loads((await run("subscriptions", "list", "--json", settings=settings)).out)
    filters = [each["valueString"] for each in made["_criteria"]["extension"]]
    assert filters[0].startswith("contract=https://")
    assert filters[1:] == ["stage=settled"]
    assert made["criteria"].endswith("/report-available")
    assert receiver.got[0].headers["X-Key"] == "s3cret"
