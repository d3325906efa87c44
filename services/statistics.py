"""How does PostgreSQL come to know a new database? It is told to look, as soon as there is something to see.

Its plans go by what it knows of a table. Of a new one it knows nothing until its own collector comes by, a minute or
more later, and until then it takes any index for as good as any other: under load from the start, looking up one
report version came to read them all. SQLite's plans do not depend on what is in a file.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from services import logs
from services.database import Database

log = logs.get(__name__)

IDLE: Final = 5.0
"""Seconds between two looks for tables that nothing is known of."""

ENOUGH: Final = 200
"""Rows written from which a table is worth a look."""

_UNKNOWN = sa.text(
    "SELECT relname AS name FROM pg_stat_user_tables"
    " WHERE schemaname = current_schema() AND last_analyze IS NULL AND last_autoanalyze IS NULL"
    " AND n_mod_since_analyze >= :enough ORDER BY relname"
).columns(sa.column("name", sa.Text))


class Statistics:
    """The loop step; any number of processes may run it."""

    def __init__(self, database: Database) -> None:
        """Take a service's database."""
        self._database = database

    async def step(self) -> bool:
        """Have the tables looked at that were never looked at, and have something in them."""
        if self._database.is_sqlite:
            return False
        rows = await self._database.ask(_UNKNOWN, {"enough": ENOUGH})
        for (name,) in rows.all():
            async with self._database.write() as connection:
                quoted = connection.dialect.identifier_preparer.quote(name)
                await connection.exec_driver_sql(f"ANALYZE {quoted}")
            log.info("table_analyzed", table=name)
        return False
