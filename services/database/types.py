"""How are times kept? In microseconds, in both databases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC time: `timestamptz` on PostgreSQL, microseconds since 1970 on SQLite (exact, sortable)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.engine.Dialect) -> sa.types.TypeEngine[Any]:
        """Choose the column type."""
        return dialect.type_descriptor(
            sa.BigInteger() if dialect.name == "sqlite" else sa.DateTime(timezone=True)
        )

    def process_bind_param(self, value: datetime | None, dialect: sa.engine.Dialect) -> Any:
        """Turn an aware time into what the column holds."""
        if value is None or dialect.name != "sqlite":
            return value
        return micros(value)

    def process_result_value(self, value: Any, dialect: sa.engine.Dialect) -> datetime | None:
        """Turn what the column holds into an aware time."""
        if value is None or dialect.name != "sqlite":
            return value  # type: ignore[no-any-return]  # the driver's own aware datetime
        return from_micros(value)


def micros(value: datetime) -> int:
    """Return microseconds since 1970-01-01 UTC, without passing through a float."""
    delta = value - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(value: int) -> datetime:
    """Return the aware UTC time for microseconds since 1970."""
    return _EPOCH + _MICROSECOND * value


def utc(value: int | datetime) -> datetime:
    """Return the aware UTC time for what a column of these holds in either database."""
    return value if isinstance(value, datetime) else from_micros(value)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND = datetime.resolution
