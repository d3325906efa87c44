"""Alembic's entry for the notifier's database."""

from services.migrations_env import run
from services.notifier.tables import metadata

run(metadata)
