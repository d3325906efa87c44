"""How are connections kept? A few, opened when they are needed, the last used first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

import sqlalchemy as sa

from services.database.connection import Session

Used = TypeVar("Used")

_WAIT_SECONDS = 30.0


class Pool:
    """Up to `size` sessions; one that came back unusable is closed, and another opened in its place."""

    def __init__(
        self, size: int, connect: Callable[[], Awaitable[Session]], *, patience: float | None = _WAIT_SECONDS
    ) -> None:
        """Open lazily; one who finds all in use waits as long as `patience` says, in the order they came."""
        self._connect = connect
        self._patience = patience
        self._free = asyncio.Semaphore(size)
        self._idle: list[Session] = []

    def transaction(self, use: Callable[[Session], Used]) -> Transaction[Used]:
        """Return a transaction, and what to `use` its session as."""
        return Transaction(self, use)

    async def begun(self) -> Session:
        """Return a session inside a transaction; it is to be given back, by `ended`.

        Raises:
            sqlalchemy.exc.TimeoutError: all are in use, and stay so.
        """
        await self._wait()
        try:
            return await self._begun()
        except BaseException:
            self._free.release()
            raise

    async def ended(self, session: Session) -> None:
        """Take a session back whose transaction has ended."""
        try:
            await self._back(session)
        finally:
            self._free.release()

    @contextlib.asynccontextmanager
    async def borrowed(self) -> AsyncIterator[tuple[Session, bool]]:
        """Yield a session outside any transaction, and whether it was opened just now: an older one may be lost.

        Raises:
            sqlalchemy.exc.TimeoutError: all are in use, and stay so.
        """
        await self._wait()
        try:
            session = await self._kept()
            fresh = session is None
            if session is None:
                session = await self._connect()
            try:
                yield session, fresh
            finally:
                await self._back(session)
        finally:
            self._free.release()

    async def close(self) -> None:
        """Close every session; one that is in use is closed when it comes back."""
        idle, self._idle = self._idle, []
        for session in idle:
            await session.close()

    async def _wait(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise sa.exc.TimeoutError(f"no connection came free within {self._patience:.0f} s") from None

    async def _kept(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            if session.usable:
                return session
            await session.close()
        return None

    async def _begun(self) -> Session:
        while (session := await self._kept()) is not None:
            try:
                await session.begin()
            except sa.exc.OperationalError:
                await self._back(session)
                if session in self._idle:
                    raise
                continue  # the server has gone, and may be back
            except BaseException:
                await session.close()  # it may have begun all the same, and would keep its lock
                raise
            return session
        session = await self._connect()
        try:
            await session.begin()
        except BaseException:
            await session.close()
            raise
        return session

    async def _back(self, session: Session) -> None:
        if session.usable:
            self._idle.append(session)
        else:
            await session.close()


class Transaction(Generic[Used]):
    """A block inside a transaction: committed when it ends, rolled back when it raises.

    A class, not a generator: every report goes through one or two of them.
    """

    __slots__ = ("_pool", "_session", "_use")

    def __init__(self, pool: Pool, use: Callable[[Session], Used]) -> None:
        """Begin when the block is entered."""
        self._pool = pool
        self._use = use

    async def __aenter__(self) -> Used:
        """Begin.

        Raises:
            sqlalchemy.exc.TimeoutError: all sessions are in use, and stay so.
        """
        self._session = await self._pool.begun()
        return self._use(self._session)

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Commit, or undo; whatever comes of it, the session goes back."""
        session = self._session
        try:
            if error is None:
                await _committed(session)
            else:
                await _undone(session)
        finally:
            await self._pool.ended(session)


async def _committed(session: Session) -> None:
    try:
        await session.commit()
    except BaseException:
        await _undone(session)
        raise


async def _undone(session: Session) -> None:
    try:
        await session.rollback()
    except sa.exc.DBAPIError:
        await session.close()
