"""What every contract says of its metrics and components: read anew from its Measure, for the first versions kept neither.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import orjson
import sqlalchemy as sa
from alembic import op

from services.publisher.derive.contract import contract_facts

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_AT_ONCE = 500
_PAGE = sa.text(
    "SELECT contract.key, contract.payer, resource_version.body FROM contract"
    " JOIN resource ON resource.type = 'Measure' AND resource.id = contract.measure_id"
    " JOIN resource_version ON resource_version.type = 'Measure' AND resource_version.id = resource.id"
    " AND resource_version.version = resource.version"
    " WHERE contract.key > :after AND NOT resource.deleted ORDER BY contract.key LIMIT :most"
)
_KEEP = sa.text("UPDATE contract SET facts = :facts WHERE key = :key")


def upgrade() -> None:
    connection = op.get_bind()
    after = ""
    while page := connection.execute(_PAGE, {"after": after, "most": _AT_ONCE}).all():
        said = [(row.key, contract_facts(orjson.loads(bytes(row.body)), row.payer)) for row in page]
        connection.execute(
            _KEEP, [{"key": key, "facts": orjson.dumps(facts).decode()} for key, facts in said]
        )
        after = page[-1].key
