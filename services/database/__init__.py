"""The databases: how they are opened, and how statements reach them.

database      the ways in: write, read, glance    connection    what a transaction may do
statements    compiled once by SQLAlchemy         pool          connections that are kept
sqlite        one file, one writer                postgresql    a server that many share
types         how times are kept                  migrations    revisions, by Alembic
"""

from services.database.connection import Connection
from services.database.database import Database
from services.database.migrations import DatabaseStateError, Migrations
from services.database.postgresql import Bounds
from services.database.types import UtcDateTime, from_micros, micros, utc

__all__ = [
    "Bounds",
    "Connection",
    "Database",
    "DatabaseStateError",
    "Migrations",
    "UtcDateTime",
    "from_micros",
    "micros",
    "utc",
]
