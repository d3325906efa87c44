"""The revision a service expects is the newest there is, and the chain to it has no gap."""

from __future__ import annotations

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from services.database import Migrations
from services.notifier import wiring as notifier
from services.publisher import wiring as publisher


@pytest.mark.parametrize("migrations", [publisher.MIGRATIONS, notifier.MIGRATIONS])
def test_the_head_is_alembics(migrations: Migrations) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations._folder))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [migrations.head]
    assert scripts.get_bases() == ["0001"]
