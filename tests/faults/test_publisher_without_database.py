"""The publisher's database goes away and comes back: intake says "later", and nothing has to be restarted."""

from __future__ import annotations

from tests.publishing import Publishing, performance, publishing
from tools.postgresql import PostgreSQL


async def test_intake_says_later_and_goes_on_when_postgresql_is_back(own_postgresql: PostgreSQL) -> None:
    async with publishing(own_postgresql.url("postgres"), database_pool_size=2) as publisher:
        await publisher.prepare()
        assert (await publisher.put(performance())).status == 201
        own_postgresql.kill()
        for _ in range(3):
            refused = await publisher.put(performance(score=4))
            assert (refused.status, refused.issues[0][1]) == (503, "transient"), refused.text
            assert int(refused.headers["Retry-After"]) > 0
        assert (await publisher.get("/MeasureReport/report")).status == 503
        assert "cannot be reached" in str((await publisher.publisher.ready())["publisher_database"])
        own_postgresql.start()
        await _stored(publisher)
        assert (await publisher.publisher.ready())["publisher_database"] is None
        assert [event.subject for event in await publisher.emitted()] == ["report/1", "report/2"]


async def _stored(publisher: Publishing) -> None:
    """Connections that died with the server cost one "later" each, and no more."""
    for _ in range(5):
        answer = await publisher.put(performance(score=4))
        if answer.status == 200:
            return
        assert answer.status == 503, answer.text
    raise AssertionError("the publisher did not go on")
