"""A next version of this one, as far as an upgrade goes: the same code, and a migration more in each database."""

from __future__ import annotations

import shutil
from pathlib import Path

from services.notifier.wiring import MIGRATIONS as NOTIFIER
from services.publisher.wiring import MIGRATIONS as PUBLISHER

ROOT = Path(__file__).resolve().parents[2]
REVISION = "9001"

_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{head}"


def upgrade():
    op.add_column("{table}", sa.Column("of_the_next_version", sa.Text))
"""


def next_version(folder: Path) -> dict[str, str]:
    """Make it in a folder, and return the environment in which `vbpr` is that version."""
    for package in ("services", "schemas"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for service, head, table in (
        ("publisher", PUBLISHER.head, "outbox"),
        ("notifier", NOTIFIER.head, "subscription"),
    ):
        versions = folder / "services" / service / "migrations" / "versions"
        text = _MIGRATION.format(revision=REVISION, head=head, table=table)
        (versions / f"{REVISION}_next.py").write_text(text)
    return {"PYTHONPATH": str(folder)}
