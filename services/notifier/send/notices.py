"""PostgreSQL's LISTEN: wakes this process when another one made a lane due. Only a wake-up: polling always works."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from services.database import Connection, Database
from services.wakeup import Wakeup

CHANNEL = "vbpr_owed"
_CONNECT_SECONDS = 5.0


async def announce(connection: Connection) -> None:
    """Tell every notifier, when the transaction commits, that lanes are due; once a batch."""
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))


class Notices:
    """A connection of its own that listens; made again when it is lost."""

    def __init__(self, database: Database, wake: Wakeup) -> None:
        """Set `wake` whenever something is announced."""
        self._database = database
        self._wake = wake
        self._connection: Any = None

    async def listen(self) -> bool:
        """See to it that the connection is there; a loop step that is never busy."""
        if self._database.is_sqlite or (self._connection is not None and not self._connection.is_closed()):
            return False
        import asyncpg

        url = self._database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
        await self._connection.add_listener(CHANNEL, lambda *_: self._wake.set())
        self._wake.set()  # whatever was announced while nobody listened
        return False

    async def close(self) -> None:
        """Close the connection; at once, whatever state it is in."""
        if self._connection is not None:
            self._connection.terminate()
