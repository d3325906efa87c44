"""SQLite where statements run where they are called, and only waiting goes to a thread.

A short statement takes microseconds, and handing it to a thread and back costs ten times that. What may wait
stays in aiosqlite's thread: BEGIN IMMEDIATE (for the lock another process holds), COMMIT and ROLLBACK (for the
disk), and closing. A connection that only glances waits for nothing. Long reads have threads of their own: see
`services.database.Database.read`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, ClassVar

import aiosqlite

_ROWS_AT_A_TIME = 64


class GlancingConnection(aiosqlite.Connection):
    """aiosqlite's connection, as SQLAlchemy uses it, for short reads."""

    _waiting: ClassVar[frozenset[str]] = frozenset({"close"})

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        begins = bool(args) and args[0] == "BEGIN IMMEDIATE"
        if begins or getattr(fn, "__name__", "") in self._waiting:
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]  # aiosqlite's own
        if self._connection is None:
            raise ValueError("Connection closed")  # what aiosqlite says
        return fn(*args, **kwargs)


class WritingConnection(GlancingConnection):
    """The same for writing transactions."""

    _waiting: ClassVar[frozenset[str]] = frozenset({"commit", "rollback", "close"})


def glancing(path: str, **options: Any) -> GlancingConnection:
    """Open a file for short reads; for SQLAlchemy's `async_creator_fn`."""
    return _opened(GlancingConnection, path, options)


def writing(path: str, **options: Any) -> GlancingConnection:
    """Open a file for writing transactions; for SQLAlchemy's `async_creator_fn`."""
    return _opened(WritingConnection, path, options)


def _opened(kind: type[GlancingConnection], path: str, options: dict[str, Any]) -> GlancingConnection:
    connection = kind(
        lambda: sqlite3.connect(path, **{**options, "check_same_thread": False}), _ROWS_AT_A_TIME
    )
    # As SQLAlchemy does with its own: an abandoned connection does not keep the process alive.
    connection._thread.daemon = True  # noqa: SLF001  # there is no public way
    return connection
