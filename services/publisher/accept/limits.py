"""What is accepted, and how much of it at once? Types and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.publisher.store.model import REPORT

TYPES: Final = (REPORT, "Measure", "Organization", "Group")
"""What this service stores, alone and in a Bundle."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The sizes accepted, in bytes, and the deepest nesting."""

    report_bytes: int
    bundle_bytes: int
    json_depth: int
