"""PostgreSQL, by asyncpg."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from services.database.connection import Answer

if TYPE_CHECKING:
    import asyncpg  # takes a tenth of a second to load, and one machine does without

_CACHED_STATEMENTS = 512
_ROWS_AT_A_TIME = 200
_CONNECT_SECONDS = 10.0
_BOUNDS_TRANSACTIONS = 17
"""The first PostgreSQL that can end a transaction for its age."""
_ENDED = ("25P03", "25P04")
"""SQLSTATEs of a transaction that stood idle, or went on, for too long: the server has ended the session."""
_OURS = ("prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback")
"""What SQLAlchemy would take from a URL's query for itself."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a transaction may last, in seconds, before the server ends it with the locks it holds."""

    idle: float
    """Between two statements."""
    whole: float
    """From its beginning, waits and statements together; 0: however long. PostgreSQL has that since 17."""


async def opened(url: sa.URL, dialect: sa.Dialect, bounds: Bounds, *, planned_once: bool) -> PostgresSession:
    """Connect; with `planned_once` a statement is planned for any values, the first time.

    Raises:
        OSError, asyncpg.PostgresError: the server cannot be reached or refuses; TimeoutError: it does not answer.
    """
    import asyncpg

    _, arguments = dialect.create_connect_args(url)
    settings = {"idle_in_transaction_session_timeout": _milliseconds(bounds.idle)}
    if planned_once:
        settings["plan_cache_mode"] = "force_generic_plan"
    raw = await asyncpg.connect(
        **{name: value for name, value in arguments.items() if name not in _OURS},
        server_settings=settings,
        statement_cache_size=_CACHED_STATEMENTS,
        timeout=_CONNECT_SECONDS,
    )
    if raw.get_server_version().major >= _BOUNDS_TRANSACTIONS:
        # Not before: a server that does not know a setting refuses the connection.
        await raw.execute("SELECT set_config('transaction_timeout', $1, false)", _milliseconds(bounds.whole))
    return PostgresSession(raw)


def _milliseconds(seconds: float) -> str:
    return f"{int(seconds * 1000)}ms"


def translated(error: Exception) -> sa.exc.DBAPIError:
    """Return SQLAlchemy's error for one of asyncpg's; its text names no values."""
    import asyncpg

    # A connection that breaks in the middle of many may be reported as a fault of asyncpg's own.
    gone = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
    lost = isinstance(error, gone) or getattr(error, "sqlstate", None) in _ENDED
    kind: type[sa.exc.DBAPIError] = sa.exc.DBAPIError
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        kind = sa.exc.IntegrityError
    elif lost or isinstance(error, asyncpg.OperatorInterventionError):
        kind = sa.exc.OperationalError
    return kind(None, None, error, hide_parameters=True, connection_invalidated=lost)


class PostgresSession:
    """One connection to a server."""

    def __init__(self, raw: asyncpg.Connection[Any]) -> None:
        """Take over an open connection."""
        self._raw = raw
        self._broken = False

    @property
    def usable(self) -> bool:
        """Tell whether the server is still there, as far as is known, and waits for a transaction."""
        return not (self._broken or self._raw.is_closed() or self._raw.is_in_transaction())

    async def begin(self) -> None:
        """Begin a transaction."""
        await self._called(self._raw.execute("BEGIN"))

    async def commit(self) -> None:
        """Commit."""
        await self._called(self._raw.execute("COMMIT"))

    async def rollback(self) -> None:
        """Roll back what was begun; a connection that is lost has done so."""
        if not self._broken and not self._raw.is_closed():
            await self._called(self._raw.execute("ROLLBACK"))

    async def run(self, text: str, values: Sequence[Any], *, returns: bool) -> Answer:
        """Execute a statement."""
        if not returns:
            return Answer((), _count(await self._called(self._raw.execute(text, *values))))
        rows = await self._called(self._raw.fetch(text, *values))
        return Answer(rows, len(rows), tuple(rows[0].keys()) if rows else ())

    async def run_many(self, text: str, many: Sequence[Sequence[Any]], *, returns: bool) -> Answer:
        """Execute a statement for each set of values, without waiting for each."""
        if len(many) == 1:
            return await self.run(text, many[0], returns=returns)  # asyncpg takes longer over many
        if returns:
            rows = await self._called(self._raw.fetchmany(text, many))
            return Answer(rows, len(rows))
        await self._called(self._raw.executemany(text, many))
        return Answer((), -1)

    @contextlib.asynccontextmanager
    async def stream(self, text: str, values: Sequence[Any]) -> AsyncIterator[AsyncIterator[Any]]:
        """Execute a query and yield some of its rows at a time."""

        async def some() -> AsyncIterator[list[Any]]:
            cursor = await self._called(self._raw.cursor(text, *values))
            while rows := await self._called(cursor.fetch(_ROWS_AT_A_TIME)):
                yield rows

        yield some()

    async def close(self) -> None:
        """Let go of the connection at once."""
        if not self._raw.is_closed():
            self._raw.terminate()

    async def _called(self, call: Any) -> Any:
        import asyncpg

        try:
            return await call
        except asyncio.CancelledError:
            self._broken = True  # what the server makes of it is not known
            raise
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            self._broken = self._broken or isinstance(error, asyncpg.InternalClientError)
            raise translated(error) from error


def _count(status: str) -> int:
    """Return the rows that a command tag names: `UPDATE 3`, `INSERT 0 1`."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else -1
