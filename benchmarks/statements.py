"""How many SQL statements does something take? Counted where SQLAlchemy hands them to the driver."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from services.database import Database


@contextlib.contextmanager
def counted(database: Database) -> Iterator[Counter[str]]:
    """Count the statements of a database while the block runs, by their text.

    Many rows in one call are one statement. The beginnings of transactions are not counted: a driver may send
    them by itself, where nobody sees them.
    """
    seen: Counter[str] = Counter()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            seen[statement] += 1

    engines = [engine.sync_engine for engine in database.engines]
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", note)
