"""Which versions are asked for, and how are they shown? As R4's history Bundle, newest first (http.html, history).

Source: FHIR R4 http.html: `_count` and `_since`. `_before` is our own, in `next` links only: where a page ended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, quote

from schemas.dates import bounds, moment
from schemas.outcome import refuse
from services.negotiation import require_json
from services.notifier.subscriptions.search import DEFAULT_COUNT, MOST
from services.notifier.subscriptions.stored import Stored
from services.notifier.subscriptions.versions import Wanted
from services.principal import Principal
from services.shown import PRESENTATION

_KNOWN = frozenset({"_count", "_since", "_before"})
_PLACE = re.compile(r"(?P<id>[A-Za-z0-9.-]{1,64})/(?P<version>[0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the query string of a history says."""

    count: int
    since: datetime | None
    since_text: str
    """As it was sent, for the links."""
    before: tuple[str, int] | None

    def wanted(self, of: str | None, principal: Principal) -> Wanted:
        """Return the versions asked for, of one Subscription or of all that the principal may see."""
        client = None if principal.role == "operator" else principal.client
        return Wanted(of, client, self.since, self.before, self.count)


def understand(query: str, *, lenient: bool) -> Asked:
    """Return what a query string asks of a history.

    Raises:
        FhirError: 400, something in it is not served; 406, a format is not.
    """
    count, since, since_text, before = DEFAULT_COUNT, None, "", None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "_count" and value.isdecimal() and len(value) < 10:
            count = max(1, min(int(value), MOST))
        elif name == "_since":
            since, since_text = _instant(value), value
        elif name == "_before" and (place := _PLACE.fullmatch(value)):
            before = place["id"], int(place["version"])
        elif name == "_format":
            require_json(value)
        elif name in _KNOWN or (name not in PRESENTATION and not lenient):
            said = f"{name}={value} is not served here; expected _count=n or _since=instant"
            raise refuse(400, "not-supported", said)
    return Asked(count, since, since_text, before)


def _instant(text: str) -> datetime:
    try:
        return moment(bounds(text)[0])
    except ValueError:
        raise refuse(400, "value", f"_since is {text!r}; expected an instant") from None


def history_bundle(
    found: Sequence[Stored], of: str | None, total: int, asked: Asked, *, base: str
) -> dict[str, Any]:
    """Return one page, of one Subscription or of the type; the next one is linked when more was found than it holds."""
    path = "Subscription/_history" if of is None else f"Subscription/{of}/_history"
    url = f"{base}/{path}?_count={asked.count}" + (
        f"&_since={quote(asked.since_text)}" if asked.since_text else ""
    )
    links = [{"relation": "self", "url": url}]
    if len(found) > asked.count:
        found = found[: asked.count]
        links.append({"relation": "next", "url": f"{url}&_before={found[-1].id}/{found[-1].version}"})
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
