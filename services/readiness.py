"""Can a service work with its database? What `/readyz` asks, the same of each."""

from __future__ import annotations

import sqlite3
from typing import Final

import sqlalchemy as sa

from services.database import Database

_ALIVE: Final = sa.select(sa.literal(1))
_TOUCH: Final = "PRAGMA user_version = 1"
"""Writes the first page of the file, and a number in it that nobody reads."""


async def database_trouble(database: Database) -> str | None:
    """Return what keeps the database from being worked with, in a sentence; `None` when nothing does.

    A file can be read though the disk is full, so it is written to. Which revision it is at is asked at the
    start only: a migration that a newer version brings leaves the running ones at work.
    """
    try:
        if database.is_sqlite:
            async with database.write() as transaction:
                await transaction.exec_driver_sql(_TOUCH)
        else:
            async with database.read() as transaction:
                await transaction.execute(_ALIVE)
    except (OSError, sa.exc.SQLAlchemyError) as error:
        return f"The {database.name} cannot be {_what(error)}."
    return None


def _what(error: Exception) -> str:
    # A server's text may name hosts and users; SQLite's names what is wrong with the disk.
    reason = getattr(error, "orig", None)
    if isinstance(reason, sqlite3.Error):
        return f"written to ({reason})"
    return f"reached ({type(error).__name__})"
