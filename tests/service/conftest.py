"""What the tests of one service share: both databases it runs on, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.notifying import Notifying, notifying
from tests.publishing import Publishing, publishing
from tests.receiver import Receiver, receiving


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two empty databases: the publisher's and the notifier's."""
    if request.param == "sqlite":
        first, second = (
            f"sqlite+aiosqlite:///{tmp_path / name}.sqlite" for name in ("publisher", "notifier")
        )
        yield first, second
        return
    server: Any = request.getfixturevalue("shared_postgresql")
    names = [server.create_database(), server.create_database()]
    yield server.url(names[0]), server.url(names[1])
    for name in names:
        server.drop_database(name)


@pytest.fixture
def publisher_database_url(database_urls: tuple[str, str]) -> str:
    """An empty database for a publisher."""
    return database_urls[0]


@pytest.fixture
async def publisher(publisher_database_url: str) -> AsyncIterator[Publishing]:
    """A publisher that knows a payer, two providers and a contract."""
    async with publishing(publisher_database_url) as opened:
        await opened.prepare()
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """An endpoint that checks whatever it gets."""
    async with receiving() as endpoint:
        yield endpoint


@pytest.fixture
async def running(database_urls: tuple[str, str]) -> AsyncIterator[Notifying]:
    """A notifier on both databases."""
    async with notifying(*database_urls) as notifier:
        yield notifier
