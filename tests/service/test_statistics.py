"""A new database on PostgreSQL is looked at as soon as there is something in it, not when its own collector comes by."""

from __future__ import annotations

import sqlalchemy as sa

from services.publisher.store.tables import resource_version
from services.statistics import ENOUGH, Statistics
from tests.conditions import eventually
from tests.plans import plans
from tests.publishing import organisation, publishing

_LOOKED_AT = sa.text(
    "SELECT last_analyze IS NOT NULL FROM pg_stat_user_tables WHERE relname = :name"
).columns(sa.column("done", sa.Boolean))


async def test_a_version_is_looked_up_by_its_key_once_there_are_some(postgresql_url: str) -> None:
    async with publishing(postgresql_url) as publisher:
        for number in range(ENOUGH + 50):
            assert (await publisher.put(organisation(f"o{number}", str(number)))).status == 201
        statistics = Statistics(publisher.database)

        async def looked_at() -> bool:
            await statistics.step()
            rows = await publisher.database.ask(_LOOKED_AT, {"name": resource_version.name})
            return bool(rows.scalar_one())

        await eventually(looked_at, what="the versions are looked at")

        async def look_up() -> None:
            of = resource_version.c
            await publisher.database.ask(
                sa.select(of.client).where(of.type == "Organization", of.id == "o7", of.version == 1)
            )

        ((_, plan),) = await plans(publisher.database, look_up())
        assert "resource_version_pkey" in plan
