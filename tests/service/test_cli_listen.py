"""`vbpr listen`, as the process a provider's engineer starts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.conditions import eventually
from tests.service.commands import line, run, running

pytestmark = pytest.mark.slow

REPORT = {"resourceType": "MeasureReport", "id": "r1", "meta": {"versionId": "1"}, "score": 1}


class Listening:
    """A running receiver and a client of it."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, session: aiohttp.ClientSession) -> None:
        self.process = process
        self.url = url
        self.session = session

    async def tell(self, number: int, body: bytes | None = None, subscription: str = "s2") -> int:
        """Send one classic notification and return the status it is answered with."""
        async with self.session.put(
            f"{self.url}/MeasureReport/r1",
            data=orjson.dumps(REPORT) if body is None else body,
            headers={
                "Content-Type": "application/fhir+json",
                "webhook-id": f"{subscription}_{number}-{number}",
                "webhook-timestamp": "1767225600",
                "Authorization": "Bearer not-for-the-record",
            },
        ) as response:
            return response.status


@asynccontextmanager
async def listening(*options: str) -> AsyncIterator[Listening]:
    async with running("listen", "--port", "0", *options) as process, aiohttp.ClientSession() as session:
        said = await line(process.stderr if "--json" in options else process.stdout)
        assert said.startswith("listening on http://127.0.0.1:")
        yield Listening(process, said.removeprefix("listening on "), session)


def recorded(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(row) for row in path.read_bytes().splitlines()]


async def test_it_prints_and_keeps_each_notification_with_its_bytes_and_without_secrets(
    tmp_path: Path,
) -> None:
    record = tmp_path / "received.ndjson"
    sent = b'{"resourceType": "MeasureReport", "id": "r1", "meta": {"versionId": "1"}, "score": 1.50}'
    async with listening("--record", str(record)) as receiver:
        assert await receiver.tell(1, sent) == 200
        shown = await line(receiver.process.stdout)
        assert "classic" in shown
        assert "#1" in shown
        assert "MeasureReport/r1/_history/1" in shown
        assert "\x1b" not in shown, "colours only on a terminal"
        receiver.process.send_signal(signal.SIGTERM)
        assert await receiver.process.wait() == 0
    (entry,) = recorded(record)
    assert entry["body"] == sent.decode()
    assert entry["numbers"] == [1]
    assert entry["answered"] == 200
    assert "authorization" in entry["header_names"]
    assert b"not-for-the-record" not in record.read_bytes()


async def test_what_it_answered_survives_a_kill_and_the_next_run_knows_the_duplicate(tmp_path: Path) -> None:
    record = tmp_path / "received.ndjson"
    async with listening("--record", str(record)) as receiver:
        assert await receiver.tell(1) == 200
        assert await receiver.tell(2) == 200
        receiver.process.kill()
        await receiver.process.wait()
    with record.open("ab") as file:
        file.write(b'{"at": "half a li')
    async with listening("--record", str(record)) as receiver:
        assert await receiver.tell(2) == 200
        assert await receiver.tell(3) == 200
    entries = recorded(record)
    assert [entry["numbers"] for entry in entries] == [[1], [2], [2], [3]]
    assert [entry["duplicate"] for entry in entries] == [False, False, True, False]
    assert all(entry["problems"] == [] for entry in entries)


async def test_a_gap_is_shown_and_makes_it_exit_with_1() -> None:
    async with listening("--json") as receiver:
        await receiver.tell(1)
        await receiver.tell(3)
        first = orjson.loads(await line(receiver.process.stdout))
        second = orjson.loads(await line(receiver.process.stdout))
        assert first["problems"] == []
        assert second["problems"] == ["event 2 was expected, 3 came: a gap or out of order"]
        receiver.process.send_signal(signal.SIGINT)
        assert await receiver.process.wait() == 1


async def test_it_fails_as_it_was_told_and_records_what_it_refused(tmp_path: Path) -> None:
    record = tmp_path / "received.ndjson"
    async with listening("--fail", "503", "--fail-first", "2", "--record", str(record)) as receiver:
        assert [await receiver.tell(1) for _ in range(3)] == [503, 503, 200]
    assert [entry["answered"] for entry in recorded(record)] == [503, 503, 200]
    assert [entry["duplicate"] for entry in recorded(record)] == [False, False, False]


async def test_it_hangs_when_told_to_and_still_ends_at_once(tmp_path: Path) -> None:
    record = tmp_path / "received.ndjson"
    async with listening("--hang", "--record", str(record)) as receiver:
        telling = asyncio.ensure_future(receiver.tell(1))
        await eventually(lambda: record.exists() and recorded(record), what="the record")
        assert not telling.done()
        assert recorded(record)[0]["answered"] is None
        receiver.process.send_signal(signal.SIGTERM)
        with pytest.raises(aiohttp.ClientError):
            await telling
        assert await receiver.process.wait() == 0


async def test_a_port_in_use_is_one_sentence() -> None:
    async with listening() as receiver:
        port = receiver.url.rsplit(":", 1)[1]
        ended = await run("listen", "--port", port)
    assert ended.code == 2
    assert f"Port {port} on 127.0.0.1 is in use" in ended.err
    assert "Traceback" not in ended.err
