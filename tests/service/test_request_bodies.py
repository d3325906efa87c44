"""Bodies that are not what their headers say: each is refused as FHIR refuses, by both services, and none is a 500."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from tests.notifying import notifying
from tests.publishing import FHIR, performance, publishing

Client = TestClient[web.Request, web.Application]

FORM = "application/x-www-form-urlencoded"
REPORT = json.dumps(performance()).encode()


@pytest.fixture
async def publisher(tmp_path: Path) -> AsyncIterator[Client]:
    async with publishing(f"sqlite+aiosqlite:///{tmp_path / 'publisher'}.sqlite") as opened:
        await opened.prepare()
        yield opened.client


@pytest.fixture
async def notifier(tmp_path: Path) -> AsyncIterator[Client]:
    outbox, own = (f"sqlite+aiosqlite:///{tmp_path / name}.sqlite" for name in ("outbox", "notifier"))
    async with notifying(outbox, own) as opened:
        assert opened.client is not None
        yield opened.client


async def refused(
    client: Client, method: str, path: str, body: bytes, status: int, *said: str, **headers: str
) -> None:
    """Send it and see that an OperationOutcome of this status says so."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.request(method, f"/fhir{path}", data=body, headers={**FHIR, **named}) as answer:
        outcome = await answer.json(content_type="application/fhir+json")
        assert (answer.status, outcome["resourceType"]) == (status, "OperationOutcome"), outcome
        assert all(each in outcome["issue"][0]["diagnostics"] for each in said), outcome


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ("gzip", REPORT),
        ("deflate", REPORT),
        ("gzip", zlib.compress(REPORT)),
        ("gzip", gzip.compress(REPORT)[:-9]),
        ("deflate", zlib.compress(REPORT)[:-9]),
    ],
)
async def test_a_body_that_is_not_packed_as_it_says(
    publisher: Client, notifier: Client, said: str, body: bytes
) -> None:
    for client, method, path in (
        (publisher, "PUT", "/MeasureReport/report"),
        (publisher, "POST", ""),
        (publisher, "POST", "/MeasureReport/$validate"),
        (notifier, "POST", "/Subscription"),
    ):
        await refused(client, method, path, body, 400, f"Content-Encoding is {said}", Content_Encoding=said)
    for client, kind in ((publisher, "MeasureReport"), (notifier, "Subscription")):
        await refused(
            client, "POST", f"/{kind}/_search", body, 400, said, Content_Encoding=said, Content_Type=FORM
        )


@pytest.mark.parametrize("said", ["br", "zstd", "foo", "gzip, gzip"])
async def test_a_coding_that_is_not_known(publisher: Client, notifier: Client, said: str) -> None:
    for client, path in ((publisher, "/MeasureReport"), (notifier, "/Subscription")):
        expected = (said, "gzip, deflate, identity")
        await refused(client, "POST", path, REPORT, 415, *expected, Content_Encoding=said)


@pytest.mark.parametrize(
    ("body", "charset", "said"),
    [(b"status=\xff", "", "byte 7"), (b"status=x", "; charset=foo", "'foo'"), (b"status=x", "; charset=utf-7", "'utf-7'")],
)  # fmt: skip
async def test_a_form_that_is_no_text(
    publisher: Client, notifier: Client, body: bytes, charset: str, said: str
) -> None:
    for client, kind in ((publisher, "MeasureReport"), (notifier, "Subscription")):
        await refused(client, "POST", f"/{kind}/_search", body, 400, said, Content_Type=FORM + charset)


async def test_a_packed_form_is_read(publisher: Client, notifier: Client) -> None:
    for client, kind, found in ((publisher, "Organization", 3), (notifier, "Subscription", 0)):
        headers = {"Content-Type": f"{FORM}; charset=ISO-8859-1", "Content-Encoding": "deflate"}
        body = zlib.compress(b"_count=10")
        async with client.post(f"/fhir/{kind}/_search", data=body, headers=headers) as answer:
            bundle = await answer.json()
            assert (answer.status, len(bundle.get("entry", ()))) == (200, found), bundle


async def test_what_holds_more_than_is_accepted(tmp_path: Path) -> None:
    """However small it comes."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'publisher'}.sqlite"
    async with publishing(url, max_report_bytes=20_000) as opened:
        bomb = gzip.compress(b" " * 5_000_000)
        assert len(bomb) < 20_000
        path = "/MeasureReport/report"
        await refused(opened.client, "PUT", path, bomb, 413, "20000", Content_Encoding="gzip")


async def test_a_weight_of_nothing_is_a_no(publisher: Client) -> None:
    url = "/fhir/metadata"
    async with publisher.get(url, headers={"Accept-Encoding": "gzip;q=0"}) as answer:
        assert (answer.status, answer.headers.get("Content-Encoding")) == (200, None)
    async with publisher.get(url, headers={"Accept-Encoding": "gzip;q=0.1"}) as answer:
        assert (answer.status, answer.headers.get("Content-Encoding")) == (200, "gzip")
    await refused(publisher, "GET", "/metadata", b"", 406, "fhir+json", Accept="application/json;q=0")
