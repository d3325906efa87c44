"""SQLite's one writing connection: statements run where they are called, only waiting goes to a thread.

A statement of a writing transaction takes microseconds, and handing each to a thread and back costs ten times
that. What may wait stays in aiosqlite's thread: BEGIN (for the lock another process holds), COMMIT and ROLLBACK
(for the disk), and closing. Reading connections keep their threads: a read may be long.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import aiosqlite

_WAITING = frozenset({"commit", "rollback", "close"})
_ROWS_AT_A_TIME = 64


class WritingConnection(aiosqlite.Connection):
    """aiosqlite's connection, as SQLAlchemy uses it."""

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        begins = bool(args) and isinstance(args[0], str) and args[0].startswith("BEGIN")
        if begins or getattr(fn, "__name__", "") in _WAITING:
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]  # aiosqlite's own
        if self._connection is None:
            raise ValueError("Connection closed")  # what aiosqlite says
        return fn(*args, **kwargs)


def connect(path: str, **options: Any) -> WritingConnection:
    """Open a file; for SQLAlchemy's `async_creator_fn`."""
    connection = WritingConnection(
        lambda: sqlite3.connect(path, **{**options, "check_same_thread": False}), _ROWS_AT_A_TIME
    )
    # As SQLAlchemy does with its own: an abandoned connection does not keep the process alive.
    connection._thread.daemon = True  # noqa: SLF001  # there is no public way
    return connection
