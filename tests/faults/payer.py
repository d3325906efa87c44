"""A payer that publishes over HTTP and never gives up: what it got no answer for it sends again."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from schemas import examples
from services.clock import SystemClock
from tests.conditions import eventually

_FHIR = {"Content-Type": "application/fhir+json"}
_ANSWER = aiohttp.ClientTimeout(total=5)
_ACCEPTED = {200, 201}


@dataclass(slots=True)
class Payer:
    """Publishes one resource after another; `accepted` is what the ledger is told."""

    fhir: str
    """The publisher's base."""
    session: aiohttp.ClientSession
    accepted: list[dict[str, Any]] = field(default_factory=list)
    """Each with the time of its acknowledgement, `at`, which the ledger does not read."""

    async def publish(self, *texts: str) -> None:
        """PUT each text until it is acknowledged, in order.

        Raises:
            AssertionError: one was refused, or was not acknowledged in time.
        """
        for text in texts:
            answer = functools.partial(self._put, text)
            acknowledged = await eventually(answer, within=60, what="an acknowledgement")
            assert acknowledged is not None
            self.accepted.append(acknowledged)

    async def _put(self, text: str) -> dict[str, Any] | None:
        """Return what was acknowledged, `None` when there was no answer or a later try was asked for."""
        resource = orjson.loads(text)
        url = f"{self.fhir}/{resource['resourceType']}/{resource['id']}"
        try:
            async with self.session.put(url, data=text, headers=_FHIR, timeout=_ANSWER) as answer:
                said = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        if answer.status == 503:
            return None
        if answer.status not in _ACCEPTED:
            # Not an assertion error: that would mean "not yet".
            raise RuntimeError(f"PUT {url} was answered {answer.status}: {said}")
        version = int(answer.headers["ETag"].removeprefix('W/"').removesuffix('"'))
        acknowledged = {"id": resource["id"], "version": version, "status": answer.status, "body": text}
        return acknowledged | {"at": SystemClock().now().isoformat()}


def parties_and_contracts() -> list[str]:
    """Return what has to be there before a report, as text."""
    return _texts((*examples.parties(), *examples.contracts()))


def reports() -> list[str]:
    """Return the example reports in publish order, as text."""
    return _texts(examples.reports())


def varied(text: str, count: int) -> list[str]:
    """Return so many later versions of a report, each dated a day of its own."""
    return list(itertools.islice(versions(text), count))


def versions(text: str) -> Iterator[str]:
    """Yield later versions of a report without end, each dated a day of its own."""
    resource = orjson.loads(text)
    for days in itertools.count():
        day = dt.date(2026, 1, 1) + dt.timedelta(days)
        yield orjson.dumps(resource | {"date": day.isoformat()}).decode()


def _texts(paths: Iterable[Path]) -> list[str]:
    return [path.read_text() for path in paths]


async def subscribe(session: aiohttp.ClientSession, fhir: str, resource: dict[str, Any]) -> dict[str, Any]:
    """POST a Subscription and return it as the ledger is told of it."""
    async with session.post(f"{fhir}/Subscription", json=resource, timeout=_ANSWER) as answer:
        created = await answer.json()
        assert answer.status == 201, created
    query = [each["valueString"] for each in resource.get("_criteria", {}).get("extension", ())]
    topic = "?" not in resource["criteria"]
    return {
        "id": created["id"],
        "kind": "topic" if topic else "classic",
        "criteria": resource["criteria"],
        "filters": query,
    }


def wanted(name: str, endpoint: str) -> dict[str, Any]:
    """Return an example Subscription, `classic` or `topic`, with a real endpoint."""
    (path,) = (path for path in examples.subscriptions() if path.stem == name)
    resource: dict[str, Any] = orjson.loads(path.read_bytes())
    return resource | {"channel": resource["channel"] | {"endpoint": f"{endpoint}/{name}"}}
