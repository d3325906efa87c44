"""How are connections kept? A few, opened when they are needed, the last used first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import sqlalchemy as sa

from services.database.connection import Session

_WAIT_SECONDS = 30.0


class Pool:
    """Up to `size` sessions; one that came back unusable is closed, and another opened in its place."""

    def __init__(self, size: int, connect: Callable[[], Awaitable[Session]]) -> None:
        """Open lazily."""
        self._connect = connect
        self._free = asyncio.Semaphore(size)
        self._idle: list[Session] = []

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Yield a session inside a transaction: committed when the block ends, rolled back when it raises.

        Raises:
            sqlalchemy.exc.TimeoutError: all are in use, and stay so.
        """
        await self._wait()
        try:
            session = await self._begun()
            try:
                yield session
                await session.commit()
            except BaseException:
                await _undone(session)
                raise
            finally:
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
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise sa.exc.TimeoutError(f"no connection came free within {_WAIT_SECONDS:.0f} s") from None

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


async def _undone(session: Session) -> None:
    try:
        await session.rollback()
    except sa.exc.DBAPIError:
        await session.close()
