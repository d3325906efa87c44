"""Do two texts say the same? The hash by which a repeated write is known, and `meta` as far as it says something."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from schemas.raw_json import content_hash

_GIVEN_BY_THE_SERVER = frozenset({"versionId", "lastUpdated"})


def same_as(text: bytes, resource: Mapping[str, Any]) -> str:
    """Return the hash (hex, 64 digits) of everything the sender says.

    The server's own `id`, `meta.versionId` and `meta.lastUpdated` do not count; the rest of `meta` does,
    since a tag alone can make a final report a settled one.
    """
    meta = resource.get("meta")
    said = (
        {name: meta[name] for name in meta if name not in _GIVEN_BY_THE_SERVER}
        if isinstance(meta, dict)
        else {}
    )
    body = content_hash(text, resource)
    if not said:
        return body
    return hashlib.sha256(body.encode() + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
