"""How do the statements of the hot path differ between the two databases? In how they say the time and take a list.

They are written once, as text with `{now}`, `{ids}` and such in it, and compiled once for each database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import sqlalchemy as sa

from services.clock import Clock
from services.database import Connection, Database, UtcDateTime

_LISTS: Final = ("ids", "full")


@dataclass(frozen=True, slots=True)
class Hot:
    """One statement, in both dialects."""

    sqlite: sa.Executable
    postgresql: sa.Executable

    def of(self, connection: Connection) -> sa.Executable:
        """Return it as the connection's database takes it."""
        return self.sqlite if connection.dialect.name == "sqlite" else self.postgresql


def hot(
    template: str,
    returns: Sequence[sa.ColumnClause[Any]] = (),
    *,
    sqlite: dict[str, str] | None = None,
    postgresql: dict[str, str] | None = None,
) -> Hot:
    """Return a statement written as text; `returns` are its columns when some have to be converted.

    `{now}` is the time leases go by: the parameter `now` on SQLite, see `moment`. `{ids}` and `{full}` say that a
    value is one of the list in the parameter of that name, see `listed`; `{not_full}` that it is none of them.
    `{lock}` locks the rows of a query. What else differs is given for each dialect, and may have these in it too.
    """
    lists = {name: f"IN (SELECT value FROM json_each(:{name}))" for name in _LISTS}
    arrays = {name: f"= ANY(CAST(:{name} AS text[]))" for name in _LISTS}
    return Hot(
        _text(
            template,
            {"now": ":now", "lock": "", "not_full": f"NOT {lists['full']}", **lists},
            sqlite or {},
            returns,
        ),
        _text(
            template,
            {"now": "now()", "lock": "FOR UPDATE", "not_full": "<> ALL(CAST(:full AS text[]))", **arrays},
            postgresql or {},
            returns,
        ),
    )


def _text(
    template: str, common: dict[str, str], own: dict[str, str], returns: Sequence[sa.ColumnClause[Any]]
) -> sa.Executable:
    text = template.format(**common, **{name: each.format(**common) for name, each in own.items()})
    statement = sa.text(text)
    if ":now" in text:
        statement = statement.bindparams(sa.bindparam("now", type_=UtcDateTime()))
    return statement.columns(*returns) if returns else statement


def moment(database: Database, clock: Clock) -> dict[str, datetime | None]:
    """Return the parameter `now`: what a SQLite goes by; a PostgreSQL has a time of its own, and takes none."""
    return {"now": database.time(clock)}


def listed(connection: Connection, values: Sequence[str]) -> Any:
    """Return values as the parameter of a list."""
    return orjson.dumps(values).decode() if connection.dialect.name == "sqlite" else values
