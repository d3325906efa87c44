"""What `latest-only` needs: which other report an event supersedes, and which number was told instead of a skipped one.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # NULL for events that are there already: nobody has asked for the latest alone so far.
    op.add_column("event", sa.Column("supersedes", sa.String(length=64), nullable=True))
    op.add_column("given_up", sa.Column("superseded_by", sa.BigInteger(), nullable=True))
