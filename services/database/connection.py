"""What may a transaction do? Execute statements; its results are SQLAlchemy's.

The driver's connection behind it is a `Session`: `sqlite` and `postgresql` have one each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVarTuple, overload

import sqlalchemy as sa
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.sql.selectable import TypedReturnsRows

from services.database.statements import Parameters, Prepared, Statements

Ts = TypeVarTuple("Ts")

Observer: TypeAlias = Callable[[str, Sequence[Any], bool], None]
"""Is told each statement's text and values before it is executed, and whether there are many sets of values."""


@dataclass(slots=True)
class Answer:
    """What the driver says to a statement."""

    rows: Sequence[Any]
    count: int
    """Rows touched or returned; -1 when the driver does not say."""
    names: Sequence[str] = ()
    """What the rows hold, if there are any."""


class Session(Protocol):
    """One connection to a database; it serves one transaction at a time."""

    @property
    def usable(self) -> bool:
        """Tell whether another transaction may be begun on it."""

    async def begin(self) -> None:
        """Begin a transaction."""

    async def commit(self) -> None:
        """Make everything since `begin` durable."""

    async def rollback(self) -> None:
        """Undo everything since `begin`."""

    async def run(self, text: str, values: Sequence[Any], *, returns: bool) -> Answer:
        """Execute a statement; without `returns` its rows, if it has any, may be left out."""

    async def run_many(self, text: str, many: Sequence[Sequence[Any]], *, returns: bool) -> Answer:
        """Execute a statement once for each set of values, in order."""

    def stream(self, text: str, values: Sequence[Any]) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        """Execute a query and yield its rows as they come, inside a transaction."""

    async def close(self) -> None:
        """Let go of the connection, in whatever state it is."""


class Rows(IteratorResult[*Ts]):
    """The result of a statement, as SQLAlchemy's own, all there.

    What is mostly asked for is answered at once: SQLAlchemy makes functions for each result first.
    """

    rowcount: int
    iterator: Iterator[Any]

    def __iter__(self) -> Iterator[sa.Row[*Ts]]:
        """Yield the rows."""
        return map(self._row, self.iterator)

    def all(self) -> Sequence[sa.Row[*Ts]]:
        """Return the rows."""
        return list(map(self._row, self.iterator))

    def first(self) -> sa.Row[*Ts] | None:
        """Return the first row, `None` when there is none."""
        found = next(self.iterator, None)
        return None if found is None else self._row(found)

    def _row(self, values: Sequence[Any]) -> sa.Row[*Ts]:
        shape = self._metadata
        return sa.Row(shape, None, shape._key_to_index, values)  # noqa: SLF001  # as its own results make them


class Connection:
    """A transaction's way to the database; it ends with the transaction."""

    def __init__(self, session: Session, statements: Statements, observers: Sequence[Observer]) -> None:
        """Execute on an open session."""
        self._session = session
        self._statements = statements
        self._observers = observers

    @property
    def dialect(self) -> sa.Dialect:
        """SQLAlchemy's dialect of this database; its `name` is `sqlite` or `postgresql`."""
        return self._statements.dialect

    @overload
    async def execute(
        self,
        statement: TypedReturnsRows[*Ts],
        parameters: Parameters | Sequence[Parameters] | None = None,
    ) -> Rows[*Ts]: ...

    @overload
    async def execute(
        self, statement: sa.Executable, parameters: Parameters | Sequence[Parameters] | None = None
    ) -> Rows[*tuple[Any, ...]]: ...

    async def execute(
        self, statement: sa.Executable, parameters: Parameters | Sequence[Parameters] | None = None
    ) -> Rows[*tuple[Any, ...]]:
        """Execute a statement, with one set of parameters or, in one round trip, with many.

        Raises:
            sqlalchemy.exc.DBAPIError: of the kind that says what happened; `orig` is the driver's own error.
        """
        given = parameters or {}
        if not isinstance(
            given, (dict, Mapping)
        ):  # a dict is told apart at once, any mapping only in the end
            return await self._many(statement, given)
        prepared = self._statements.prepared(statement, given)
        text, values = prepared.filled(given)
        if self._observers:
            self._observe(text, values, many=False)
        answer = await self._session.run(text, values, returns=prepared.names != ())
        return _rows(prepared, answer)

    async def _many(
        self, statement: sa.Executable, parameters: Sequence[Parameters]
    ) -> Rows[*tuple[Any, ...]]:
        prepared = self._statements.prepared(statement, parameters[0])
        if prepared.lists is not None:
            raise TypeError("a list of values cannot be given to a statement many times")
        many = [prepared.values(each) for each in parameters]
        if self._observers:
            self._observe(prepared.text, many, many=True)
        return _rows(
            prepared, await self._session.run_many(prepared.text, many, returns=bool(prepared.names))
        )

    async def scalar(self, statement: sa.Executable, parameters: Parameters | None = None) -> Any:
        """Return the first value of the first row, `None` when there is no row."""
        return (await self.execute(statement, parameters)).scalar()

    async def scalars(self, statement: sa.Executable, parameters: Parameters | None = None) -> Any:
        """Return the first values of all rows."""
        return (await self.execute(statement, parameters)).scalars()

    async def exec_driver_sql(self, text: str, values: Sequence[Any] = ()) -> Rows[*tuple[Any, ...]]:
        """Execute text in the driver's own dialect; for migrations, benchmarks and tests."""
        self._observe(text, values, many=False)
        answer = await self._session.run(text, values, returns=True)
        return _rows(_AS_IT_IS, answer)

    async def stream(
        self, statement: sa.Executable, parameters: Parameters | None = None
    ) -> AsyncIterator[sa.Row[*tuple[Any, ...]]]:
        """Yield the rows of a query that may have more than memory should hold."""
        given = parameters or {}
        prepared = self._statements.prepared(statement, given)
        text, values = prepared.filled(given)
        self._observe(text, values, many=False)
        async with self._session.stream(text, values) as rows:
            async for some in rows:
                for row in _rows(prepared, Answer(some, len(some))):
                    yield row

    def _observe(self, text: str, values: Sequence[Any], *, many: bool) -> None:
        for observer in self._observers:
            observer(text, values, many)


_AS_IT_IS = Prepared("", None, None, (), {}, lambda _: (), {}, (), None)


def _rows(prepared: Prepared, answer: Answer) -> Rows[*tuple[Any, ...]]:
    shape = prepared.shape or SimpleResultMetaData(answer.names)
    found = prepared.seen(answer.rows, answer.names) if answer.rows else ()
    rows: Rows[*tuple[Any, ...]] = Rows(shape, iter(found))
    rows.rowcount = answer.count
    return rows
