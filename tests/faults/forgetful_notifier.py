"""`vbpr notifier` without one safety: it commits its position in the log before what it read has had its effect."""

from __future__ import annotations

from collections.abc import Mapping

from services.cli.main import main
from services.database import Connection, Database
from services.event_log import Record
from services.notifier.enqueue import enqueue as step
from services.settings import load

_move = step._move


async def _move_apart(
    connection: Connection, log_name: str, at: Mapping[int, int | None], last: Mapping[int, Record]
) -> None:
    """Move the position in a transaction of its own."""
    apart = Database(load().database_url("notifier"))
    async with apart.write() as own:
        await _move(own, log_name, at, last)
    await apart.close()


if __name__ == "__main__":
    step._move = _move_apart
    main()
