"""Bringing the databases of both services to this version."""

from __future__ import annotations

from services.cli.errors import CommandError
from services.database import Database, Migrations
from services.notifier import wiring as notifier
from services.publisher import wiring as publisher
from services.settings import Settings


async def upgrade(settings: Settings) -> dict[str, str]:
    """Bring both databases to head; return the revision of each by the database's name.

    Raises:
        CommandError: both services are given one database; their tables would meet in it.
    """
    if settings.database_url("publisher") == settings.database_url("notifier"):
        raise CommandError(
            "VBPR_PUBLISHER_DATABASE_URL and VBPR_NOTIFIER_DATABASE_URL name one database: give each service its own."
        )
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    revisions = {}
    for service in (publisher, notifier):
        database = service.open_database(settings)
        revisions[database.name] = await _upgrade(service.MIGRATIONS, database)
    return revisions


async def _upgrade(migrations: Migrations, database: Database) -> str:
    try:
        await migrations.upgrade(database)
    finally:
        await database.close()
    return migrations.head
