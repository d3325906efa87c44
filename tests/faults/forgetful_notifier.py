"""`vbpr notifier` without one safety: it commits its position in the log before what it read has had its effect."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from services.cli.main import main
from services.database import Connection, Database
from services.notifier.enqueue import at_once
from services.notifier.enqueue import enqueue as step
from services.settings import load

T = TypeVar("T")


def _apart(move: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Coroutine[Any, Any, T]]:
    """Have a position moved in a transaction of its own."""

    async def moved(_connection: Connection, *what: Any) -> T:
        apart = Database(load().database_url("notifier"))
        async with apart.write() as own:
            done = await move(own, *what)
        await apart.close()
        return done

    return moved


if __name__ == "__main__":
    step._move = _apart(step._move)
    at_once.move = _apart(at_once.move)
    main()
