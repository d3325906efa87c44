"""Time, chance and identifiers, handed in: nothing else in the project asks the machine for them."""

from __future__ import annotations

import asyncio
import os
import random
import time
from datetime import UTC, datetime
from typing import Final, Protocol


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


_AT_ONCE: Final = 100
_tens: Final[list[bytes]] = []
"""Random bytes for the next identifiers: asked for many at once, since each asking is a call of the system."""
os.register_at_fork(after_in_child=_tens.clear)  # two processes must not have the same


def _entropy() -> bytes:
    """Return ten random bytes that nobody has had; threads may ask side by side."""
    try:
        return _tens.pop()
    except IndexError:
        many = os.urandom(10 * _AT_ONCE)
        _tens.extend(many[at : at + 10] for at in range(10, len(many), 10))
        return many[:10]


class SystemClock:
    """The machine's own clock and randomness."""

    __slots__ = ()

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
        return uuid7_from(time.time_ns() // 1_000_000, _entropy())  # noqa: TID251  # the one place that may ask
