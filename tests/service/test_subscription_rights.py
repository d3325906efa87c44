"""A client sees and changes its own Subscriptions only; an answer that would be too long says where it was cut."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from schemas.outcome import FhirError
from services.notifier.subscriptions.history import understand as asked_for
from services.notifier.subscriptions.kept import MOST_EVENTS, kept_events, standing, standings
from services.notifier.subscriptions.search import find, understand
from services.notifier.subscriptions.store import SubscriptionStore
from services.notifier.subscriptions.stored import visible
from services.notifier.subscriptions.versions import history
from services.principal import LOCAL, Principal
from tests.notifier_store import BASE, NotifierStore, notifier_store

STRANGER = Principal("stranger", "provider", frozenset({"Organization/p9"}))


@pytest.fixture
async def store(database_urls: tuple[str, str]) -> AsyncIterator[NotifierStore]:
    async with notifier_store(database_urls[1]) as opened:
        yield opened


@pytest.mark.requirement("R-147", "R-180")
async def test_a_client_sees_and_changes_only_what_is_its_own(store: NotifierStore) -> None:
    made = await store.subscribe(topic=True)
    subscriptions = SubscriptionStore(store.database, store.clock)
    for act in (
        subscriptions.read(STRANGER, made.id),
        subscriptions.delete(STRANGER, made.id),
    ):
        with pytest.raises(FhirError) as caught:
            await act
        assert caught.value.status in {403, 404}
    asked = understand("", base_url=BASE, lenient=False)
    async with store.database.read() as connection:
        assert await standings(connection, STRANGER, [], []) == ([], False)
        assert [each.id for each in (await find(connection, asked, STRANGER, store.clock.now())).found] == []
        assert [each.id for each in (await find(connection, asked, LOCAL, store.clock.now())).found] == [
            made.id
        ]
        assert len((await standings(connection, LOCAL, [], []))[0]) == 1
        with pytest.raises(FhirError):
            await visible(connection, STRANGER, made.id)
        versions = [
            (await history(connection, asked_for("", lenient=False).wanted(None, who)))[1]
            for who in (STRANGER, LOCAL)
        ]
        assert versions == [0, 1]


@pytest.mark.requirement("R-155")
async def test_an_answer_with_too_many_events_says_where_to_go_on(store: NotifierStore) -> None:
    made = await store.subscribe(topic=True, max_count=1)
    await store.take_in(0, 0, list(range(1, MOST_EVENTS + 3)), made.id)
    async with store.database.read() as connection:
        of = await standing(connection, made.id)
        first = await kept_events(connection, of, 1, 10**9)
        rest = await kept_events(connection, of, MOST_EVENTS + 1, 10**9)
    assert [each.number for each in first.owed] == list(range(1, MOST_EVENTS + 1))
    assert first.remarks == [
        f"events {MOST_EVENTS + 1} to {MOST_EVENTS + 2} did not fit; ask again with eventsSinceNumber={MOST_EVENTS + 1}"
    ]
    assert ([each.number for each in rest.owed], rest.remarks) == ([MOST_EVENTS + 1, MOST_EVENTS + 2], [])
