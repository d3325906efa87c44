"""How many SQL statements does something take? Counted where they are handed to the driver."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from services.database import Database


@contextlib.contextmanager
def counted(database: Database) -> Iterator[Counter[str]]:
    """Count the statements of a database while the block runs, by their text.

    Many rows in one call are one statement; the beginnings and ends of transactions are none.
    """
    seen: Counter[str] = Counter()

    def note(statement: str, *_: Any) -> None:
        seen[statement] += 1

    database.observers.append(note)
    try:
        yield seen
    finally:
        database.observers.remove(note)
