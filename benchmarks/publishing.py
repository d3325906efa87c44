"""Publishing and subscribing over HTTP, as a payer's and a provider's software would."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import orjson

from benchmarks.reports import Reports, setup
from benchmarks.wire import Connection, Reply
from services.clock import SystemClock


async def prepare(url: str) -> None:
    """PUT what the reports refer to: organisations, groups and contracts."""
    connection = Connection(url)
    for body in setup():
        resource = orjson.loads(body)
        path = f"/fhir/{resource['resourceType']}/{resource['id']}"
        _require(await connection.send("PUT", path, body), 201)
    connection.close()


async def subscribe(url: str, contract: str, endpoint: str) -> str:
    """Create a classic Subscription to a contract's reports, by PUT below the endpoint; return its id."""
    connection = Connection(url)
    resource = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "measured",
        "criteria": f"MeasureReport?contract={contract}",
        "channel": {"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json"},
    }
    reply = await connection.send("POST", "/fhir/Subscription", orjson.dumps(resource))
    _require(reply, 201)
    connection.close()
    return str(orjson.loads(reply.body)["id"])


@dataclass(slots=True)
class OpenLoop:
    """Publishes at a fixed rate whatever the answers do, and knows when each report should have been sent.

    A slow answer delays nothing, and a report that is sent late counts from when it was due, so a pause of the
    server shows in every report it held up (no "coordinated omission").
    """

    url: str
    reports: Reports
    at_once: int | None = None
    """Most requests under way; `None`: as many as the rate makes, so that no answer holds up another report."""
    next_number: int = 0
    due: dict[str, float] = field(default_factory=dict)
    """Report id → when it was due to be sent, on the machine's monotonic clock."""
    _idle: list[Connection] = field(default_factory=list)

    async def run(self, rate: float, count: int) -> None:
        """Publish `count` reports at `rate` a second; return once every one is answered."""
        clock = SystemClock()
        started = clock.monotonic() + 0.05
        room = asyncio.Semaphore(self.at_once or count)
        async with asyncio.TaskGroup() as group:
            for place in range(count):
                due = started + place / rate
                body = self.reports.make(self.next_number)
                self.next_number += 1
                if (wait := due - clock.monotonic()) > 0:
                    await clock.sleep(wait)
                await room.acquire()
                group.create_task(self._publish(body, due)).add_done_callback(lambda _: room.release())

    async def _publish(self, body: bytes, due: float) -> None:
        connection = self._idle.pop() if self._idle else Connection(self.url)
        reply = await connection.send("POST", "/fhir/MeasureReport", body)
        _require(reply, 201)
        self.due[reply.header("Location").rpartition("/MeasureReport/")[2].partition("/")[0]] = due
        self._idle.append(connection)

    def close(self) -> None:
        """Let go of every connection."""
        for connection in self._idle:
            connection.close()


def _require(reply: Reply, status: int) -> None:
    if reply.status != status:
        raise RuntimeError(f"answered {reply.status}: {reply.body[:500].decode()}")
