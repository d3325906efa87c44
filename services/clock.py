"""Time, chance and identifiers, handed in: nothing else in the project asks the machine for them."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a process may know of time and chance."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards; for measuring and for deadlines inside one process."""

    async def sleep(self, seconds: float) -> None:
        """Suspend the caller; zero only yields."""

    def random(self) -> float:
        """Return a number in [0, 1)."""

    def uuid7(self) -> str:
        """Return a fresh UUID version 7 (RFC 9562), its first 48 bits the time in milliseconds."""


def uuid7_from(milliseconds: int, entropy: bytes) -> str:
    """Return the UUIDv7 text for a time and ten random bytes (RFC 9562 §5.7)."""
    raw = bytearray(milliseconds.to_bytes(6, "big") + entropy[:10])
    raw[6] = (raw[6] & 0x0F) | 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(slots=True)
class SystemClock:
    """The machine's own clock and randomness."""

    entropy: Callable[[int], bytes] = field(default=os.urandom)

    def now(self) -> datetime:
        """Return the machine's wall-clock time."""
        return datetime.now(UTC)  # noqa: TID251  # the one place that may ask

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()  # noqa: TID251  # the one place that may ask

    async def sleep(self, seconds: float) -> None:
        """Suspend the caller on the running loop."""
        await asyncio.sleep(seconds)  # noqa: TID251  # the one place that may ask

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()  # noqa: TID251, S311  # jitter, not a secret

    def uuid7(self) -> str:
        """Return a fresh UUIDv7."""
        return uuid7_from(time.time_ns() // 1_000_000, self.entropy(10))  # noqa: TID251  # the one place that may ask
