"""Sends resources until each is answered, and never twice by mistake: a resend finds what is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from schemas.fhir import FHIR_JSON
from services.cli.publish.answer import RETRIED, Answer, Finding, read_answer, read_batch
from services.cli.publish.sources import Resource
from services.clock import Clock

FIRST_WAIT = 0.25
LONGEST_WAIT = 10.0
ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class UnreachableError(Exception):
    """The publisher did not answer for as long as is waited; the message says what it did."""


class Sender:
    """One publisher, reached through one session."""

    def __init__(self, session: aiohttp.ClientSession, base: str, clock: Clock, *, patience: float) -> None:
        """Take the FHIR base; `patience` is how many seconds one request is tried for."""
        self._session = session
        self._base = base.rstrip("/")
        self._clock = clock
        self._patience = patience

    async def send(self, resources: Sequence[Resource]) -> list[Answer]:
        """Send resources that go together, in their order; return what became of each.

        One goes by itself: PUT when it has an id, a Bundle to the base, else POST. Several go as a batch, in which
        each has an outcome of its own.

        Raises:
            UnreachableError: what became of them is not known.
        """
        whole = [each for each in resources if each.problem is None]
        answers = iter(await (self._batch(whole) if len(whole) > 1 else self._singly(whole)))
        return [
            next(answers) if each.problem is None else _rejected("invalid", each.problem)
            for each in resources
        ]

    async def _singly(self, resources: Sequence[Resource]) -> list[Answer]:
        return [await self._one(each) for each in resources]

    async def _one(self, resource: Resource) -> Answer:
        method, path = _target(resource)
        reply = await self._asked(method, f"/{path}" if path else "", resource.text)
        found = read_answer(reply.status, reply.headers, reply.body)
        assert found is not None, "answers that say nothing are not returned"
        return found

    async def _batch(self, resources: Sequence[Resource]) -> list[Answer]:
        reply = await self._asked("POST", "", _bundle(resources))
        found = read_batch(reply.body, [each.kind for each in resources]) if reply.status < 300 else None
        if found is None:
            # Something about one of them keeps the server from looking at any: it is found by halves.
            half = len(resources) // 2
            return [
                answer for part in (resources[:half], resources[half:]) for answer in await self._part(part)
            ]
        again = iter(
            await self._part([each for each, one in zip(resources, found, strict=True) if one is None])
        )
        return [next(again) if one is None else one for one in found]

    async def _part(self, resources: Sequence[Resource]) -> list[Answer]:
        return await (self._batch(resources) if len(resources) > 1 else self._singly(resources))

    async def _asked(self, method: str, path: str, body: bytes) -> _Reply:
        """Return an answer that says something about what was sent; until there is one, send it again."""
        until = self._clock.monotonic() + self._patience
        wait = FIRST_WAIT
        while True:
            asked, why = "", ""
            try:
                reply = await self._try(method, f"{self._base}{path}", body)
                if reply.status not in RETRIED:
                    return reply
                asked = reply.headers.get("Retry-After", "")
                why = f"{self._base} answered {reply.status} to every try"
            except TimeoutError:
                why = f"{self._base} did not answer within {ANSWER_SECONDS:.0f} s"
            except aiohttp.ClientError as error:
                why = f"{self._base} cannot be reached: {error}"
            pause = max(float(asked) if asked.isdigit() else 0.0, wait * (0.5 + self._clock.random()))
            if self._clock.monotonic() + pause > until:
                raise UnreachableError(why)
            await self._clock.sleep(pause)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _try(self, method: str, url: str, body: bytes) -> _Reply:
        headers = {"Content-Type": FHIR_JSON, "Accept": FHIR_JSON, "Prefer": "return=OperationOutcome"}
        async with self._session.request(
            method,
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        ) as response:
            return _Reply(response.status, response.headers, await response.read())


def _target(resource: Resource) -> tuple[str, str]:
    """Return method and path below the base."""
    if resource.kind == "Bundle":
        return "POST", ""
    if resource.id is None:
        return "POST", resource.kind
    return "PUT", f"{resource.kind}/{resource.id}"


def _bundle(resources: Sequence[Resource]) -> bytes:
    """Return a batch of resources, each as it was read."""
    entries = []
    for each in resources:
        method, url = _target(each)
        request = orjson.dumps({"method": method, "url": url})
        entries.append(b'{"resource":%b,"request":%b}' % (each.text.strip(), request))
    return b'{"resourceType":"Bundle","type":"batch","entry":[%b]}' % b",".join(entries)


def _rejected(code: str, why: str) -> Answer:
    return Answer("rejected", None, None, (Finding("error", code, why, None),))
