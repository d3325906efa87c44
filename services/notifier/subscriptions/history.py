"""How are the versions of a Subscription shown? As R4's history Bundle, newest first (http.html, history)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.notifier.subscriptions.stored import Stored


def history_bundle(found: Sequence[Stored], of: str, total: int, *, base: str, count: int) -> dict[str, Any]:
    """Return one page; the next one is linked when this one is full and does not end at the first version kept."""
    url = f"{base}/Subscription/{of}/_history"
    links = [{"relation": "self", "url": f"{url}?_count={count}"}]
    if len(found) == count and found[-1].version > 1:
        links.append({"relation": "next", "url": f"{url}?_count={count}&_before={found[-1].version}"})
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "history", "total": total, "link": links}
    entries = [_entry(each, base) for each in found]
    return bundle | {"entry": entries} if entries else bundle


def _entry(version: Stored, base: str) -> dict[str, Any]:
    method, status = ("PUT", "200") if version.version > 1 else ("POST", "201")
    if version.deleted:
        method, status = "DELETE", "204"
    entry: dict[str, Any] = {"fullUrl": f"{base}/Subscription/{version.id}"}
    if not version.deleted:
        entry["resource"] = version.wire()
    entry["request"] = {
        "method": method,
        "url": "Subscription" if method == "POST" else f"Subscription/{version.id}",
    }
    entry["response"] = {
        "status": status,
        "etag": f'W/"{version.version}"',
        "lastModified": version.last_updated.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return entry
