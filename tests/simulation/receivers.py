"""Endpoints that take notifications, or do not; what they took is kept here, outside every process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.clock import Clock
from services.notifier.model import Answer, Failure, Request
from services.notifier.record.verdict import failure_of
from tests.ledger.content import exact
from tests.ledger.inputs import Arrival
from tests.simulation.chance import Chance
from tests.simulation.dice import Dice
from tests.simulation.loop import Process, VirtualLoop, current

_WEBHOOK = re.compile(r"(?P<subscription>.+)_(?:handshake-\d+|(?P<first>\d+)-(?P<last>\d+))")
_REPORT = re.compile(r".*MeasureReport/([A-Za-z0-9.-]+)$")
_SKIPPED = "https://vbpr-subscriptions.org/fhir/StructureDefinition/skipped-events"
REFUSES = 422
GONE = 410


class Mood(StrEnum):
    """How an endpoint is for a while."""

    WELL = "well"
    HANGS = "hangs"
    RESETS = "resets"
    LOSES_ANSWERS = "loses answers"
    """Takes what comes, and the connection breaks before its answer."""
    SLOW = "slow"
    """Answers, sometimes after nobody waits any more."""
    BROKEN = "answers 500"
    BUSY = "answers 503, Retry-After"
    LIMITS = "answers 429, Retry-After"
    MISSING = "answers 404"
    GONE = "answers 410"


_STATUS = {Mood.BROKEN: 500, Mood.BUSY: 503, Mood.LIMITS: 429, Mood.MISSING: 404, Mood.GONE: GONE}


@dataclass(frozen=True)
class Seen:
    """One request as an endpoint saw it, and what came of it."""

    arrival: Arrival
    status: int | None
    """What it answered, whether or not that got through."""
    decided_at: float
    """When the sender began it."""
    deadline: float
    """How long it waited at most."""
    at: float
    sender: Process


@dataclass(eq=False)
class Receiver:
    """One endpoint."""

    url: str
    chance: Chance
    moods: list[tuple[float, float, Mood]] = field(default_factory=list)
    """From, until, how; between them it is well."""
    moody: float = 0.0
    """Probability of a mood for one request alone."""
    dislikes: set[str] = field(default_factory=set)
    """Reports that it refuses for ever."""
    seen: list[Seen] = field(default_factory=list)

    def mood(self, now: float) -> Mood:
        for since, until, mood in self.moods:
            if since <= now < until:
                return mood
        passing = [mood for mood in Mood if mood is not Mood.GONE]
        return self.chance.one_of(passing) if self.chance.happens(self.moody) else Mood.WELL


class Receivers:
    """Every endpoint of a run: part of the world, not of a process."""

    def __init__(self, loop: VirtualLoop) -> None:
        """Begin with none."""
        self.loop = loop
        self.by_url: dict[str, Receiver] = {}

    def heal(self) -> None:
        """Make every endpoint well; what it refuses it refuses still."""
        for receiver in self.by_url.values():
            receiver.moods, receiver.moody = [], 0.0

    async def take(self, request: Request, sender: Process, decided_at: float) -> tuple[int, float | None]:
        """Do what an endpoint does with a request, whoever still waits for it."""
        receiver = next(each for url, each in self.by_url.items() if request.url.startswith(url))
        chance = receiver.chance
        await self._wait(chance.between(0.001, 0.05))
        mood = receiver.mood(self.loop.time())
        if mood is Mood.HANGS:
            await self._wait(1e9)
        if mood is Mood.SLOW:
            await self._wait(chance.between(1, 40))
        if mood is Mood.RESETS:
            raise ConnectionResetError
        status = _STATUS.get(mood) or (
            REFUSES if self._disliked(receiver, request) else chance.one_of((200, 202, 204))
        )
        arrival = read(request, status)
        receiver.seen.append(Seen(arrival, status, decided_at, request.deadline, self.loop.time(), sender))
        if mood is Mood.LOSES_ANSWERS:
            raise ConnectionResetError
        return status, chance.between(1, 120) if mood in {Mood.BUSY, Mood.LIMITS} else None

    @staticmethod
    def _disliked(receiver: Receiver, request: Request) -> bool:
        return any(each.encode() in request.body for each in receiver.dislikes)

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # noqa: TID251  # virtual time: the loop is this run's own


def read(request: Request, status: int) -> Arrival:
    """Read a request as a receiver does, from its bytes and headers alone."""
    webhook_id = dict(request.headers)["webhook-id"]
    found = _WEBHOOK.fullmatch(webhook_id)
    assert found is not None, f"no webhook-id is like {webhook_id}"
    taken = 200 <= status < 300
    named = tuple(range(int(found["first"]), int(found["last"]) + 1)) if found["first"] else ()
    if request.method == "PUT":
        report = exact(request.body.decode())
        version = (report["id"], int(report["meta"]["versionId"]))
        return Arrival(found["subscription"], False, named, webhook_id, (version,), taken, (), (report,))
    if not request.body:
        return Arrival(found["subscription"], False, named, webhook_id, (), taken, (), ())
    bundle = exact(request.body.decode())
    status_entry, *entries = bundle["entry"]
    parts = status_entry["resource"]["parameter"]
    reports = [entry["resource"] for entry in entries if "resource" in entry]
    handshake = next(each["valueCode"] for each in parts if each["name"] == "type") == "handshake"
    events = [dict(_event(each)) for each in parts if each["name"] == "notification-event"]
    numbers = tuple(event["number"] for event in events)
    problems = () if numbers == named else (f"{webhook_id} carries the numbers {numbers}",)
    told: tuple[Any, ...] = tuple(event["report"] for event in events if "report" in event)
    if entries:
        told = tuple(map(_entry, entries))
    return Arrival(
        found["subscription"],
        handshake,
        numbers,
        webhook_id,
        told,
        taken,
        problems,
        tuple(reports),
        _skipped(parts),
    )


def _entry(entry: dict[str, Any]) -> tuple[str, int]:
    """Return which version an entry tells of; that of a deletion carries no report."""
    found = _REPORT.fullmatch(entry["fullUrl"])
    assert found is not None
    assert ("resource" in entry) == (entry["request"]["method"] != "DELETE")
    return found[1], int(entry["response"]["etag"].removeprefix('W/"').removesuffix('"'))


def _skipped(parts: list[dict[str, Any]]) -> int:
    first = next((each for each in parts if each["name"] == "notification-event"), {})
    given = {each["url"]: each["valueUnsignedInt"] for each in first.get("extension", ())}
    return int(given.get(_SKIPPED, ("number", "0"))[1])  # as `exact` reads numbers


def _event(parameter: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for part in parameter["part"]:
        if part["name"] == "event-number":
            yield "number", int(part["valueString"])
        elif part["name"] == "focus":
            found = _REPORT.fullmatch(part["valueReference"]["reference"])
            assert found is not None
            yield "report", (found[1], None)


class SimulatedHooks:
    """The send seam of one process: what stands where `RestHookClient` stands, with the same promises."""

    def __init__(self, receivers: Receivers, dice: Dice, clock: Clock) -> None:
        """Take the world's endpoints."""
        self._receivers = receivers
        self._dice = dice
        self._clock = clock

    async def send(self, request: Request) -> Answer:
        """Try once within `request.deadline`."""
        loop, started = self._receivers.loop, self._clock.monotonic()
        process = current()
        assert process is not None
        try:
            async with asyncio.timeout(request.deadline):
                # A task of the world: it goes on when nobody waits for it any more.
                status, retry_after = await asyncio.shield(
                    loop.spawn(self._receivers.take(request, process, started), "request")
                )
        except TimeoutError:
            return Answer(None, Failure.TIMEOUT, "no answer in time", self._took(started))
        except ConnectionResetError:
            return Answer(None, Failure.RESET, "reset", self._took(started))
        finally:
            await self._dice.roll("answered", hot=True)
        if 200 <= status < 300:
            return Answer(status, None, f"answered {status}", self._took(started))
        return Answer(status, failure_of(status), f"answered {status}", self._took(started), retry_after)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _took(self, started: float) -> int:
        return round((self._clock.monotonic() - started) * 1000)
