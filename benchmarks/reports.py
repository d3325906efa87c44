"""Synthetic reports: the examples' own structure, each with content and identity of its own."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import orjson

from schemas import examples
from services.clock import SystemClock

SMALL, MEDIUM, LARGE = 6_000, 20_000, 64_000
"""Bytes, about: what a payer's summary and what a stratified report come to, and between them."""
_BASIS = "14-harbor-point-commercial-final"
_FIRST_DAY = date(1925, 1, 1)


def setup() -> list[bytes]:
    """Return the Organizations, Groups and contracts the reports need, to be PUT in this order."""
    return [path.read_bytes() for path in (*examples.parties(), *examples.contracts())]


class Reports:
    """Makes reports of one contract, about `size` bytes each; every one of another period, so none supersedes."""

    def __init__(self, size: int) -> None:
        """Grow or cut the example to the size by whole groups."""
        (path,) = (path for path in examples.reports() if path.stem == _BASIS)
        self._report: dict[str, Any] = orjson.loads(path.read_bytes())
        self.contract: str = self._report["measure"]
        groups = self._report["group"]
        kept: list[dict[str, Any]] = []
        self._report["group"] = kept
        while len(orjson.dumps(self._report)) < size - len(orjson.dumps(groups[0])):
            kept.append({**groups[len(kept) % len(groups)], "id": f"metric-{len(kept)}"})

    def make(self, number: int) -> bytes:
        """Return report `number`, whose id is `bench-{number}`."""
        day = (_FIRST_DAY + timedelta(days=number)).isoformat()
        return orjson.dumps(
            {**self._report, "id": f"bench-{number}", "period": {"start": day, "end": day}, "date": _now()}
        )


def _now() -> str:
    return SystemClock().now().isoformat(timespec="seconds")
