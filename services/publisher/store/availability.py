"""Did the database fail, or did we? Only the first may be answered with "send it again"."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import sqlalchemy as sa

from schemas.outcome import FhirError, Issue
from services import logs

log = logs.get(__name__)

_GONE = (
    OSError,
    sa.exc.InterfaceError,
    sa.exc.OperationalError,
    sa.exc.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
)
_CLOSING = ("57P01", "57P02", "57P03")
"""SQLSTATEs of a PostgreSQL that shuts down or starts: a connection refused so is not "invalidated"."""


@contextmanager
def or_503() -> Iterator[None]:
    """Turn a database that cannot be reached, or takes no writes, into 503 with `Retry-After`.

    Whatever the failed transaction did is undone or, if its commit was under way, found again by a resend.
    """
    try:
        yield
    except _GONE as error:
        raise _unavailable(error) from error
    except sa.exc.DBAPIError as error:
        closing = getattr(error.orig, "sqlstate", None) in _CLOSING
        if not (error.connection_invalidated or closing):
            raise
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> FhirError:
    # The text of a database error may quote a row; its class says enough.
    log.warning("database_unavailable", failure=type(error).__name__)
    issue = Issue("error", "transient", "the database cannot be reached; send the request again")
    return FhirError(503, issue, headers={"Retry-After": "5"})
