"""Who did what, and why? Kept in the transaction of the act itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.database import Connection
from services.notifier import tables as t

REASON_LENGTH = 500


class RecoveryRefusedError(Exception):
    """An act that cannot be done; the message is a sentence that says why and what would help."""


@dataclass(frozen=True, slots=True)
class Order:
    """On whose word, and why."""

    actor: str
    reason: str

    def __post_init__(self) -> None:
        """Refuse an act without a reason.

        Raises:
            RecoveryRefusedError: the reason is blank.
        """
        if not self.reason.strip():
            raise RecoveryRefusedError("A reason is needed: it is kept in the audit trail.")

    def entry(self, at: datetime, action: str, subject: str, what: str = "") -> dict[str, Any]:
        """Return the audit row; `what` says how much was touched and goes before the reason."""
        reason = self.reason.strip()[:REASON_LENGTH]
        return {
            "at": at,
            "client": self.actor,
            "action": action,
            "subject": subject,
            "reason": f"{what}: {reason}" if what else reason,
        }


async def note(connection: Connection, *entries: dict[str, Any]) -> None:
    """Keep these audit rows."""
    if entries:
        await connection.execute(sa.insert(t.audit), list(entries))
