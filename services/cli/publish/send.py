"""Sends resources until each is answered, and never twice by mistake: a resend finds what is there already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import aiohttp

from schemas.fhir import FHIR_JSON
from services.cli.publish.answer import Answer, Finding, read_answer
from services.cli.publish.sources import Resource
from services.clock import Clock

FIRST_WAIT = 0.25
LONGEST_WAIT = 10.0
ANSWER_SECONDS = 60.0

Shown = Callable[[Resource, Answer], None]


@dataclass(slots=True)
class Tally:
    """How a run went so far."""

    accepted: int = 0
    unchanged: int = 0
    rejected: int = 0
    unreachable: int = 0

    def count(self, answer: Answer) -> None:
        """Take one answer in."""
        setattr(self, answer.result, getattr(self, answer.result) + 1)

    @property
    def exit_code(self) -> int:
        """0 all there, 1 something rejected, 2 the publisher could not be reached."""
        if self.unreachable:
            return 2
        return 1 if self.rejected else 0


class Sender:
    """One publisher, reached through one session."""

    def __init__(self, session: aiohttp.ClientSession, base: str, clock: Clock, *, patience: float) -> None:
        """Take the FHIR base; `patience` is how many seconds one resource is tried for."""
        self._session = session
        self._base = base.rstrip("/")
        self._clock = clock
        self._patience = patience

    async def send(self, resource: Resource) -> Answer:
        """Send one resource: PUT when it has an id, a Bundle to the base, else POST. Try again what got no answer."""
        if resource.problem is not None:
            return Answer("rejected", None, None, (Finding("error", "invalid", resource.problem, None),))
        until = self._clock.monotonic() + self._patience
        wait = FIRST_WAIT
        while True:
            asked, answer, why = await self._try(resource)
            if answer is not None:
                return answer
            pause = max(asked, wait * (0.5 + self._clock.random()))
            if self._clock.monotonic() + pause > until:
                return Answer("unreachable", None, None, (Finding("error", "transient", why, None),))
            await self._clock.sleep(pause)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _try(self, resource: Resource) -> tuple[float, Answer | None, str]:
        """Return the pause asked for, the answer if there is one, and why there is none."""
        method, url = self._target(resource)
        headers = {"Content-Type": FHIR_JSON, "Accept": FHIR_JSON, "Prefer": "return=OperationOutcome"}
        try:
            async with self._session.request(
                method,
                url,
                data=resource.text,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
            ) as response:
                body = await response.read()
        except TimeoutError:
            return 0.0, None, f"{self._base} did not answer within {ANSWER_SECONDS:.0f} s"
        except aiohttp.ClientError as error:
            return 0.0, None, f"{self._base} cannot be reached: {error}"
        answer = read_answer(response.status, response.headers, body)
        asked = response.headers.get("Retry-After", "")
        return (
            float(asked) if asked.isdigit() else 0.0,
            answer,
            f"{self._base} answered {response.status} to every try",
        )

    def _target(self, resource: Resource) -> tuple[str, str]:
        if resource.kind == "Bundle":
            return "POST", self._base
        if resource.id is None:
            return "POST", f"{self._base}/{resource.kind}"
        return "PUT", f"{self._base}/{resource.kind}/{resource.id}"


async def send_all(
    sender: Sender, files: Sequence[Iterable[Resource]], *, at_once: int, shown: Shown
) -> Tally:
    """Send the resources of each file in their order, `at_once` files at a time.

    Stops at the first resource the publisher cannot be reached for: what follows it may depend on it.
    """
    tally = Tally()
    waiting = iter(files)
    unreachable = asyncio.Event()

    async def worker() -> None:
        for file in waiting:
            for resource in file:
                if unreachable.is_set():
                    return
                answer = await sender.send(resource)
                tally.count(answer)
                shown(resource, answer)
                if answer.result == "unreachable":
                    unreachable.set()

    async with asyncio.TaskGroup() as group:
        for number in range(at_once):
            group.create_task(worker(), name=f"send {number}")
    return tally
