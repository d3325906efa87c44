"""How is a search answered? Understood, found, with what comes along, written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.dates import stamp
from services.clock import Clock
from services.database import Database
from services.principal import Principal
from services.publisher.accept.search.asked import Asked, understand
from services.publisher.accept.search.searchset import searchset
from services.publisher.store.inclusion import NOTHING, included
from services.publisher.store.search import Total, Wanted, find


@dataclass(frozen=True, slots=True)
class Searching:
    """Answers searches."""

    database: Database
    clock: Clock
    base_url: str

    async def searchset(
        self, kind: str, query: str, principal: Principal, *, lenient: bool
    ) -> dict[str, Any]:
        """Return the Bundle that answers a search; `query` is the part after `?`, as sent.

        Raises:
            FhirError: 400 naming everything in it that is not supported.
        """
        asked = understand(kind, query, base_url=self.base_url, lenient=lenient)
        now = self.clock.now()
        async with self.database.read() as tx:
            page = await find(tx, asked.query, principal, _wanted(asked), now)
            along = NOTHING
            if asked.shape.includes and page.found:
                along = await included(tx, page.found, asked.shape.includes, principal, self.base_url)
        return searchset(asked, page, along, base_url=self.base_url, now=stamp(now))


def _wanted(asked: Asked) -> Wanted:
    shape = asked.shape
    total: Total = "bounded"
    if shape.counted_only or shape.total in {"accurate", "estimate"}:
        total = "exact"
    elif shape.total == "none":
        total = "none"
    return Wanted(0 if shape.counted_only else shape.count, shape.sort, asked.after, total)
