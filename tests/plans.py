"""How does a database mean to execute what the product says? Every statement of some work, with its plan."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable
from typing import Any

from services.database import Database

_BROAD = r"\((?:type|owner|parameter)=\?\)"
"""By a column of few values alone, an index of SQLite leads to nearly all rows."""


async def plans(database: Database, work: Awaitable[Any]) -> list[tuple[str, str]]:
    """Return the plan of every statement that reads or removes rows while the work is done, with the statement."""
    said: dict[str, Any] = {}

    def note(statement: str, parameters: Any, many: bool) -> None:  # as observers are called
        if re.match(r"\s*(SELECT|UPDATE|DELETE|WITH)", statement):
            said.setdefault(statement, parameters[0] if many else parameters)

    database.observers.append(note)
    await work
    database.observers.remove(note)
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    found = []
    async with database.read() as connection:
        for statement, parameters in said.items():
            rows = await connection.exec_driver_sql(explain + statement, parameters)
            found.append((statement, "\n".join(str(row[-1]) for row in rows)))
    return found


def walks(plan: str, tables: Iterable[str]) -> list[str]:
    """Return the lines of a plan that go through one of these tables from end to end, or nearly."""
    named = "|".join(tables)
    # SQLite: `SCAN event` or `SCAN event AS old`; by an index in order, it stops at its LIMIT. PostgreSQL: `Seq Scan on event`.
    lines = [line for line in plan.splitlines() if "USING" not in line]
    whole = [line for line in lines if re.search(rf"(?:\bSCAN|Seq Scan on) (?:{named})\b", line)]
    nearly = [line for line in plan.splitlines() if re.search(rf"SEARCH (?:{named})\b.* {_BROAD}", line)]
    return whole + nearly
