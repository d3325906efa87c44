"""What becomes of one HTTP try, over real sockets: the answer, the connection afterwards, and the reason of a failure."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.clock import SystemClock
from services.notifier.model import Answer, Failure, Request
from services.notifier.send.client import RestHookClient
from tests.conditions import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
SOON = 0.2
"""The deadline, in seconds, of a try that is to run into it."""
CAP = 4096
"""Most bytes of an answer that are read."""


@dataclass
class Heard:
    """One request as it arrived."""

    connection: int
    head: str
    body: bytes = b""

    def header(self, name: str) -> str | None:
        found = re.search(rf"\r\n{name}: ([^\r]*)", self.head, re.IGNORECASE)
        return found[1] if found else None


Manners = Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]


async def _nothing() -> None:
    return


@dataclass
class Endpoint:
    """A socket that says exactly what it is told to."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    """Connections that the client has closed."""
    behave: Manners = field(default=lambda _heard, _writer: _nothing())
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    """Unset: it reads no further than a request's head."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                heard = Heard(number, head)
                if self.reads.is_set():
                    heard.body = await reader.readexactly(int(heard.header("Content-Length") or 0))
                self.heard.append(heard)
                await self.behave(heard, writer)
                await self.reads.wait()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            self.ended += 1
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def speaking(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    """Run an endpoint that gives these answers in turn, then 200s."""
    endpoint = Endpoint()
    endpoint.reads.set()
    left = list(answers)

    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if left else OK)

    endpoint.behave = answer
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, ssl=tls)
    endpoint.url = (
        f"{'http' if tls is None else 'https'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    )
    try:
        yield endpoint
    finally:
        server.close()


@pytest.fixture
async def client() -> AsyncIterator[RestHookClient]:
    opened = RestHookClient(SystemClock(), private=True, response_bytes=CAP)
    yield opened
    await opened.close()


def request(url: str, **changes: Any) -> Request:
    given: dict[str, Any] = {
        "method": "POST", "url": url, "headers": (("webhook-id", "s_1-1"),), "body": b"{}", "deadline": 20,
    } | changes  # fmt: skip
    return Request(**given)


def answered(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def test_what_is_sent_is_what_was_asked_for(client: RestHookClient) -> None:
    async with speaking() as endpoint:
        headers = (
            ("Authorization", "Bearer s3cret"),
            ("webhook-id", "s_1-1"),
            ("Content-Type", "application/fhir+json"),
        )
        answer = await client.send(request(endpoint.url, method="PUT", headers=headers, body=b'{"a": 1.50}'))
        (heard,) = endpoint.heard
        assert heard.head.startswith("PUT /hook HTTP/1.1\r\n")
        assert heard.header("Host") == endpoint.url.split("/")[2]
        assert [heard.header(name) for name, _ in headers] == [value for _, value in headers]
        assert heard.body == b'{"a": 1.50}'
        assert (answer.status, answer.failure, answer.delivered) == (200, None, True)


async def test_an_empty_body_says_so(client: RestHookClient) -> None:
    async with speaking() as endpoint:
        await client.send(request(endpoint.url, body=b""))
        assert endpoint.heard[0].header("Content-Length") == "0"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/"),
        ("?key=1", "/?key=1"),
        ("/a%20b/c?d=e%2F", "/a%20b/c?d=e%2F"),
        ("/größe", "/gr%C3%B6%C3%9Fe"),
        ("/a b\r\nX: y", "/a%20b%0D%0AX:%20y"),
    ],
)
async def test_a_target_is_sent_as_it_was_given_and_never_breaks_the_line(
    client: RestHookClient, path: str, target: str
) -> None:
    async with speaking() as endpoint:
        assert (await client.send(request(endpoint.url.removesuffix("/hook") + path))).delivered
        assert endpoint.heard[0].head.startswith(f"POST {target} HTTP/1.1\r\nHost: ")


async def test_a_connection_is_kept(client: RestHookClient) -> None:
    async with speaking(answered(200, body=b"thanks"), answered(503), answered(204)) as endpoint:
        assert [(await client.send(request(endpoint.url))).status for _ in range(4)] == [200, 503, 204, 200]
        assert endpoint.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
    ],
)
async def test_other_ways_to_say_200_keep_the_connection_too(client: RestHookClient, answer: bytes) -> None:
    async with speaking(answer) as endpoint:
        assert (await client.send(request(endpoint.url))).status == 200
        assert (await client.send(request(endpoint.url))).status == 200
        assert endpoint.connections == 1


async def test_an_answer_that_ends_the_connection_is_an_answer(client: RestHookClient) -> None:
    """`Connection: close`, HTTP/1.0, and a body that goes on until the connection ends."""

    async def answer(heard: Heard, writer: asyncio.StreamWriter) -> None:
        if heard.connection == 1:
            writer.write(answered(200, "Connection: close"))
        elif heard.connection == 2:
            writer.write(b"HTTP/1.0 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 201 Created\r\n\r\nuntil the end")
            writer.close()

    async with speaking() as endpoint:
        endpoint.behave = answer
        assert [(await client.send(request(endpoint.url))).status for _ in range(3)] == [200, 202, 201]
        assert endpoint.connections == 3


@pytest.mark.requirement("R-188")
async def test_a_body_is_read_no_further_than_allowed(client: RestHookClient) -> None:
    async with speaking(answered(200, body=bytes(CAP)), answered(200, body=bytes(64 * CAP))) as endpoint:
        for connections in (1, 1, 2):
            assert (await client.send(request(endpoint.url))).delivered
            assert endpoint.connections == connections, "only one that was read to its end is kept"
        await eventually(lambda: endpoint.ended == 1)


@pytest.mark.requirement("R-188")
async def test_a_redirect_is_not_followed(client: RestHookClient) -> None:
    async with speaking(answered(302, "Location: /elsewhere")) as endpoint:
        answer = await client.send(request(endpoint.url))
        assert (answer.status, answer.failure) == (302, Failure.REDIRECT)
        assert len(endpoint.heard) == 1


async def test_how_long_to_wait_is_heard(client: RestHookClient) -> None:
    async with speaking(answered(429, "Retry-After: 17")) as endpoint:
        answer = await client.send(request(endpoint.url))
        assert (answer.failure, answer.retry_after) == (Failure.HTTP_4XX, 17.0)


@pytest.mark.parametrize(
    "said",
    [
        "Mon, 01 Jan 99999999999 00:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999999999",
        "²",
        "9" * 400,
        "soon",
    ],
)
async def test_a_wait_that_is_no_time_is_not_heard(client: RestHookClient, said: str) -> None:
    async with speaking(answered(503, f"Retry-After: {said}")) as endpoint:
        answer = await client.send(request(endpoint.url))
        assert (answer.failure, answer.retry_after) == (Failure.HTTP_5XX, None)


async def test_an_answer_before_all_was_heard_counts_and_ends_the_connection(client: RestHookClient) -> None:
    async with speaking(answered(413)) as endpoint:
        endpoint.reads.clear()
        large = request(endpoint.url, body=bytes(16 * 2**20))
        assert (await client.send(large)).status == 413
        endpoint.reads.set()
        assert (await client.send(request(endpoint.url))).delivered
        assert endpoint.connections == 2


async def test_a_kept_connection_that_ends_as_it_is_used_is_no_failure(client: RestHookClient) -> None:
    async def answer(heard: Heard, writer: asyncio.StreamWriter) -> None:
        if heard.connection == 1 and len(endpoint.heard) == 2:
            writer.transport.abort()
        else:
            writer.write(OK)

    async with speaking() as endpoint:
        endpoint.behave = answer
        assert [(await client.send(request(endpoint.url))).status for _ in range(3)] == [200, 200, 200]
        assert [heard.connection for heard in endpoint.heard] == [1, 1, 2, 2]


async def test_a_new_connection_that_ends_without_an_answer_is_a_failure(client: RestHookClient) -> None:
    async def hang_up(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with speaking() as endpoint:
        endpoint.behave = hang_up
        answer = await client.send(request(endpoint.url))
        assert (answer.status, answer.failure) == (None, Failure.RESET)
        assert len(endpoint.heard) == 1


async def test_what_was_said_unasked_answers_nothing(client: RestHookClient) -> None:
    """Some servers say 408 on an idle connection before they close it: the next request must not take that for its own."""
    said = asyncio.Event()

    async def answer(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        if heard.connection == 1:
            await writer.drain()
            await asyncio.wait_for(first_answered.wait(), 5)
            writer.write(answered(408))
            await writer.drain()
            said.set()

    async with speaking() as endpoint:
        first_answered = asyncio.Event()
        endpoint.behave = answer
        assert (await client.send(request(endpoint.url))).delivered
        first_answered.set()
        await said.wait()
        kept = client._wire._connector._conns
        (proto,) = [proto for many in kept.values() for proto, _ in many]
        await eventually(lambda: proto.should_close, what="that the client has read it")
        assert (await client.send(request(endpoint.url))).delivered
        assert [heard.connection for heard in endpoint.heard] == [1, 2]


@pytest.mark.requirement("R-118")
@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"]
)
async def test_a_try_ends_at_its_deadline_wherever_the_endpoint_hangs(
    client: RestHookClient, said: bytes
) -> None:
    async with speaking(said) as endpoint:
        answer = await client.send(request(endpoint.url, deadline=SOON))
        assert (answer.status, answer.failure) == (None, Failure.TIMEOUT)
        assert answer.said == "no answer within 0.2 s"
        assert answer.milliseconds >= SOON * 1000
        await eventually(lambda: endpoint.ended == 1, what="that the connection is gone")


async def test_an_endpoint_that_takes_nothing_holds_no_connection(client: RestHookClient) -> None:
    """Closing in good order would wait for it to read what is still to be sent."""
    async with speaking(b"") as endpoint:
        endpoint.reads.clear()
        large = request(endpoint.url, body=bytes(16 * 2**20), deadline=SOON)
        assert (await client.send(large)).failure is Failure.TIMEOUT
        assert not client._wire._connector._acquired
        endpoint.reads.set()
        await eventually(lambda: endpoint.ended == 1, what="that the connection is gone")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 twohundred OK\r\n\r\n", "the answer is not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nX: " + bytes(20_000).replace(b"\0", b"a") + b"\r\n\r\n",
            "the answer is not HTTP",
        ),
    ],
)
async def test_what_is_not_http_is_named_as_that(client: RestHookClient, said: bytes, words: str) -> None:
    async with speaking(said) as endpoint:
        answer = await client.send(request(endpoint.url))
        assert (answer.status, answer.failure) == (None, Failure.PROTOCOL)
        assert answer.said.startswith(words)
        assert (await client.send(request(endpoint.url))).delivered, (
            "and the next try has a connection of its own"
        )


async def test_a_body_that_breaks_off_is_named_as_that(client: RestHookClient) -> None:
    async def break_off(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        writer.close()

    async with speaking() as endpoint:
        endpoint.behave = break_off
        answer = await client.send(request(endpoint.url))
        assert (answer.failure, answer.said) == (Failure.PROTOCOL, "the answer's body broke off")


@pytest.mark.requirement("R-188")
async def test_a_forbidden_address_is_not_dialled() -> None:
    async with speaking() as endpoint:
        guarded = RestHookClient(SystemClock(), private=False, response_bytes=CAP)
        answer = await guarded.send(request(endpoint.url))
        await guarded.close()
        assert (answer.failure, answer.status) == (Failure.BLOCKED, None)
        assert "127.0.0.1" in answer.said
        assert endpoint.connections == 0


async def test_a_certificate_nobody_vouches_for_is_not_trusted(client: RestHookClient) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Path(__file__).with_name("untrusted_endpoint.pem"))
    async with speaking(tls=context) as endpoint:
        answer = await client.send(request(endpoint.url))
        assert (answer.status, answer.failure) == (None, Failure.TLS)
        assert "its certificate is not trusted (self-signed certificate)" in answer.said
        assert endpoint.heard == []


async def test_what_does_not_speak_tls_is_named_as_that(client: RestHookClient) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await client.send(request(f"https://127.0.0.1:{port}/hook"))).failure is Failure.TLS


async def test_why_there_is_no_connection(client: RestHookClient) -> None:
    async with speaking() as endpoint:
        pass
    refused: Answer = await client.send(request(endpoint.url))
    assert (refused.failure, "refuses connections" in refused.said) == (Failure.CONNECT, True)
    unknown = await client.send(request("http://nowhere.invalid/hook"))
    assert (unknown.failure, unknown.said) == (Failure.DNS, "the name nowhere.invalid does not resolve")


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": (("X", "a\r\nInjected: b"),)},
        {"headers": (("X", "a\nb"),)},
        {"headers": (("X y", "a"),)},
        {"headers": (("", "a"),)},
        {"url": "ftp://127.0.0.1/hook"},
        {"url": "http:///hook"},
        {"url": "http://127.0.0.1:99999/hook"},
        {"url": "hook"},
    ],
)
async def test_what_no_client_would_send_is_not_sent(client: RestHookClient, changes: dict[str, Any]) -> None:
    async with speaking() as endpoint:
        answer = await client.send(request(**{"url": endpoint.url} | changes))
        assert (answer.status, answer.failure) == (None, Failure.UNSENDABLE)
        assert endpoint.heard == []


async def test_a_try_that_is_cut_off_leaves_no_connection(client: RestHookClient) -> None:
    async with speaking(b"") as endpoint:
        task = asyncio.create_task(client.send(request(endpoint.url)))
        await eventually(lambda: endpoint.heard)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: endpoint.ended == 1, what="that the connection is gone")
