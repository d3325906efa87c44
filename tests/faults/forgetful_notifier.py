"""`vbpr notifier` without one safety: it commits its position in the log before what it read has had its effect."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.cli.main import main
from services.notifier.enqueue import enqueue as step

_move = step._move


async def _move_apart(connection: AsyncConnection, *rest: Any, **named: Any) -> None:
    """Move the position in a transaction of its own."""
    async with connection.engine.begin() as own:
        await _move(own, *rest, **named)


if __name__ == "__main__":
    step._move = _move_apart
    main()
