"""What every service's Alembic `env.py` does: run on the connection that `Migrations` hands over.

The connection is already inside a transaction, so a migration is applied whole or not at all, on SQLite too.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context


def run(metadata: sa.MetaData) -> None:
    """Run the migrations that were asked for; called by Alembic through a service's `env.py`.

    Raises:
        KeyError: there is no `connection` in `config.attributes`; `services.database.Migrations` sets it.
    """
    connection: sa.Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=context.config.attributes["version_table"],
        render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
    )
    context.run_migrations()
