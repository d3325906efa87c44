"""Alembic's entry for the publisher's database."""

from services.migrations_env import run
from services.publisher.store.tables import metadata

run(metadata)
