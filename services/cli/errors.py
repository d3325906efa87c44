"""Which failures of a command can be foreseen, and what each asks its user to do.

Imports happen where a failure is looked at: a command that works need not load database drivers for it.
"""

from __future__ import annotations

_CHECK = "check VBPR_PUBLISHER_DATABASE_URL, VBPR_NOTIFIER_DATABASE_URL and VBPR_DATA_DIR, and that the server runs"


class CommandError(Exception):
    """A command cannot go on; the message says why and what to do, in a sentence."""


def sentence(error: BaseException) -> str | None:
    """Return what to tell the user, `None` when the error is a fault of ours and deserves its traceback."""
    if isinstance(error, BaseExceptionGroup):
        found = [sentence(inner) for inner in error.exceptions]
        return found[0] if found and None not in found else None
    return _ours(error) or _database(error) or _machine(error)


def _ours(error: BaseException) -> str | None:
    from services.cli.publish.sources import SourceError
    from services.database import DatabaseStateError
    from services.event_log import LogUnavailableError
    from services.event_log_kafka.topic import TopicStateError
    from services.ports import PortError
    from services.settings import SettingsError

    said = (CommandError, SettingsError, DatabaseStateError, PortError, SourceError)
    log = (LogUnavailableError, TopicStateError)
    return str(error) if isinstance(error, said + log) else None


def _database(error: BaseException) -> str | None:
    import asyncpg
    from sqlalchemy.exc import ArgumentError, InterfaceError, NoSuchModuleError, OperationalError

    if isinstance(error, ArgumentError | NoSuchModuleError):
        return f"The database URL cannot be used ({_first_line(error)}): {_CHECK}."
    if isinstance(error, OperationalError | InterfaceError):
        return f"The database cannot be used ({_first_line(error.orig or error)}): {_CHECK}."
    refused = (
        asyncpg.PostgresConnectionError,
        asyncpg.CannotConnectNowError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.InvalidAuthorizationSpecificationError,
    )
    if isinstance(error, refused):
        return f"The database cannot be used ({_first_line(error)}): {_CHECK}."
    if isinstance(error, ConnectionError | TimeoutError):
        return f"A server this command needs cannot be reached ({_first_line(error)}): {_CHECK}."
    return None


def _machine(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}."
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
