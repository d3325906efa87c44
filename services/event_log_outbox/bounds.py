"""How much of the log is taken into memory at once? As many rows as are small enough, and one at least."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

READ_BYTES: Final = 8 * 1024 * 1024
"""Most bytes of reports taken into memory at once; a single larger one is taken alone."""


def within(sizes: Iterable[tuple[int, int]], limit: int) -> list[int]:
    """Return the keys of the first rows that stay within `limit` bytes together; the first one always."""
    taken: list[int] = []
    total = 0
    for key, size in sizes:
        total += size
        if taken and total > limit:
            break
        taken.append(key)
    return taken
