"""Is what arrived what was sent? JSON compared with the digits of its numbers; `id` and `meta` are the server's."""

from __future__ import annotations

import json
from typing import Any

_MANAGED = ("versionId", "lastUpdated")


def exact(text: str) -> Any:
    """Return JSON in which a number is the pair of its kind and its very digits."""
    return json.loads(text, parse_float=_number, parse_int=_number)


def said(resource: dict[str, Any]) -> dict[str, Any]:
    """Return what a payer said in a resource that `exact` read: all but what the server manages."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in _MANAGED}
    rest = {name: value for name, value in resource.items() if name not in {"id", "meta"}}
    return {**rest, "meta": meta} if meta else rest


def _number(digits: str) -> tuple[str, str]:
    return ("number", digits)
