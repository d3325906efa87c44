"""A type's history in the order it was written; what leans on what is deleted, and what it has listed.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("resource_version_written", "resource_version", ["type", "last_updated", "id", "version"])
    op.create_index("listing_performance", "listing", ["performance_id"])
    op.create_index("contract_payer", "contract", ["payer"])
