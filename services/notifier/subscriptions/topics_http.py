"""`/fhir/Basic`: the topics, to read and to search; nobody can write them.

Source: Subscriptions R5 Backport, CI build (R-018, R-023).
"""

from __future__ import annotations

from schemas.topics.basic import CODE, CODE_SYSTEM, basic, topic_ids
from services.fixed_http import FixedResources

_CODES = frozenset({CODE, f"{CODE_SYSTEM}|{CODE}", f"{CODE_SYSTEM}|"})


def topics_as_basic(base: str) -> FixedResources:
    """Return the topics as R4 shows them, found by their `code`."""
    shown = {name: basic(name, topic) for name, topic in topic_ids().items()}
    return FixedResources("Basic", shown, {"code": lambda _topic, value: value in _CODES}, base=base)
