"""One FHIR base, asked for Subscriptions; what it refuses is told as it says it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from schemas.fhir import FHIR_JSON
from services.cli.errors import CommandError

ANSWER_SECONDS = 30.0


class FhirClient:
    """The base, reached through one session."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        """Take the FHIR base."""
        self._session = session
        self.base = base.rstrip("/")

    async def ask(
        self, method: str, path: str, body: Any = None, *, kind: str = FHIR_JSON, **query: str
    ) -> dict[str, Any]:
        """Return what the base answers; an empty answer is an empty resource.

        Raises:
            CommandError: it refused, in its own words, or cannot be reached.
        """
        headers: Mapping[str, str] = {"Accept": FHIR_JSON, "Content-Type": kind}
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._session.request(
                method, self._url(path), data=data, params=query, headers=headers, allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
            ) as response:  # fmt: skip
                text = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CommandError(f"{self.base} cannot be reached: {str(error) or 'no answer'}") from None
        found = _resource(text)
        if response.status >= 400:
            raise CommandError(refusal(response.status, found))
        return found

    def _url(self, path: str) -> str:
        return path if path.startswith(self.base) else f"{self.base}/{path}"

    async def patch(self, logical_id: str, *operations: dict[str, Any]) -> dict[str, Any]:
        """Change a Subscription by JSON Patch."""
        kind = "application/json-patch+json"
        return await self.ask("PATCH", f"Subscription/{logical_id}", list(operations), kind=kind)

    async def entries(self, path: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the resources that a search finds, page after page."""
        page = await self.ask("GET", path, **query)
        while True:
            for entry in page.get("entry", []):
                if entry.get("search", {}).get("mode") != "outcome":
                    yield entry["resource"]
            following = [link["url"] for link in page.get("link", []) if link["relation"] == "next"]
            if not following:
                return
            page = await self.ask("GET", following[0])


def refusal(status: int, outcome: Mapping[str, Any]) -> str:
    """Return what an OperationOutcome says, a line an issue."""
    issues = outcome.get("issue", [])
    said = [
        ": ".join([*issue.get("expression", []), issue.get("diagnostics") or issue.get("code", "")])
        for issue in issues
    ]
    return "\n  ".join([f"the server answered {status}", *said])


def _resource(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text) if text else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


@asynccontextmanager
async def connected(base: str) -> AsyncIterator[FhirClient]:
    """Open a client for a FHIR base; without one, for that of the settings."""
    if not base:
        from services import settings

        base = settings.load().fhir_base
    async with aiohttp.ClientSession() as session:
        yield FhirClient(session, base)
