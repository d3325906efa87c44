"""Whether a notification Bundle is shaped as the guide says, and which report versions it tells of.

Source: profile backport-subscription-notification-r4 (Subscriptions R5 Backport 1.1.0), its payload levels,
and the invariants of R4 history Bundles (bdl-2, bdl-3, bdl-4, bdl-8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

from services.cli.listen.status import Event, Status, read_status

Level: TypeAlias = Literal["empty", "id-only", "full-resource"]


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification Bundle, read."""

    status: Status | None
    level: Level
    """The payload level its shape amounts to."""
    reports: tuple[str, ...]
    """One per event that has a focus: `Type/id`, and `/_history/version` when the resource came along."""
    problems: tuple[str, ...]


def read_bundle(body: bytes) -> Notification:
    """Read the body of a topic notification and check it."""
    problems: list[str] = []
    try:
        bundle = orjson.loads(body)
    except ValueError as wrong:
        return Notification(None, "empty", (), (f"the body is not JSON: {wrong}",))
    entries = _envelope(bundle, problems)
    status = read_status(entries[0].get("resource"), problems) if entries else None
    if status is None:
        return Notification(None, "empty", (), tuple(problems))
    _status_entry(entries[0], status, problems)
    extra = entries[1:]
    level = _level(status, extra)
    _check_level(level, status, extra, problems)
    return Notification(status, level, _reports(status.events, extra), tuple(problems))


def _envelope(bundle: Any, problems: list[str]) -> list[dict[str, Any]]:
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        problems.append("the body is not a Bundle")
        return []
    if bundle.get("type") != "history":
        problems.append(f"Bundle.type is {bundle.get('type')!r}, expected history")
    if not isinstance(bundle.get("timestamp"), str):
        problems.append("Bundle.timestamp is missing")
    entries = [entry for entry in bundle.get("entry") or [] if isinstance(entry, dict)]
    if not entries:
        problems.append("Bundle.entry is missing, expected the status Parameters first")
    for at, entry in enumerate(entries):
        _check_entry(entry, f"entry[{at}]", problems)
        if (
            at
            and isinstance(entry.get("resource"), dict)
            and entry["resource"].get("resourceType") == "Parameters"
        ):
            problems.append(f"entry[{at}].resource is a second Parameters; expected one status a Bundle")
    return entries


def _check_entry(entry: dict[str, Any], where: str, problems: list[str]) -> None:
    request = entry.get("request")
    if not isinstance(request, dict) or not request.get("method") or not request.get("url"):
        problems.append(f"{where}.request is missing or has no method and url (bdl-3)")
    response = entry.get("response")
    code = response.get("status") if isinstance(response, dict) else None
    if not isinstance(code, str) or not code[:3].isdigit():
        problems.append(f"{where}.response is missing or has no status that begins with a code (bdl-4)")
    if "search" in entry:
        problems.append(f"{where}.search must not exist in a history (bdl-2)")
    full_url = entry.get("fullUrl")
    if not isinstance(full_url, str) or not full_url.startswith(("http://", "https://", "urn:uuid:")):
        problems.append(f"{where}.fullUrl is {full_url!r}, expected an absolute URL")
    elif "/_history/" in full_url:
        problems.append(f"{where}.fullUrl names a version (bdl-8)")


def _status_entry(entry: dict[str, Any], status: Status, problems: list[str]) -> None:
    request = entry.get("request") or {}
    url = str(request.get("url", ""))
    if request.get("method") != "GET" or not url.endswith(f"Subscription/{status.subscription}/$status"):
        problems.append(
            f"entry[0].request is {request.get('method')} {url}, expected GET …/Subscription/{status.subscription}/$status"
        )


def _level(status: Status, extra: list[dict[str, Any]]) -> Level:
    if any("resource" in entry for entry in extra):
        return "full-resource"
    if extra or any(event.focus or event.contexts for event in status.events):
        return "id-only"
    return "empty"


def _check_level(level: Level, status: Status, extra: list[dict[str, Any]], problems: list[str]) -> None:
    if level == "empty":
        if status.topic is not None and status.events:
            problems.append("payload level empty, but the topic is named")
        return
    for at, event in enumerate(status.events):
        if event.focus is None:
            problems.append(f"notification-event[{at}] has no focus, expected one at payload level {level}")
    if level == "full-resource":
        if status.topic is None:
            problems.append("payload level full-resource, but the topic is not named")
        present = {_local(str(entry.get("fullUrl"))) for entry in extra}
        problems.extend(
            f"{_local(event.focus)} is a focus, but no entry carries it"
            for event in status.events
            if event.focus and _local(event.focus) not in present
        )
    for at, entry in enumerate(extra, start=1):
        resource = entry.get("resource")
        if isinstance(resource, dict):
            named = f"{resource.get('resourceType')}/{resource.get('id')}"
            if _local(str(entry.get("fullUrl"))) != named:
                problems.append(f"entry[{at}].fullUrl does not end in {named}, the resource it carries")


def _local(reference: str) -> str:
    """Return `Type/id` of a relative or absolute reference, versioned or not."""
    return "/".join(reference.partition("/_history/")[0].split("/")[-2:])


def _reports(events: tuple[Event, ...], extra: list[dict[str, Any]]) -> tuple[str, ...]:
    versions: dict[str, list[str]] = {}
    for entry in extra:
        version = _version(entry)
        if version:
            versions.setdefault(_local(str(entry.get("fullUrl"))), []).append(version)
    out = []
    for event in events:
        if event.focus is not None:
            name = _local(event.focus)
            # Two versions of one report in one Bundle stand in the order of their events.
            left = versions.get(name)
            out.append(f"{name}/_history/{left.pop(0)}" if left else name)
    return tuple(out)


def _version(entry: dict[str, Any]) -> str | None:
    """Return the version of the resource an entry carries; of a deleted one, what its ETag says."""
    resource = entry.get("resource")
    meta = resource.get("meta") if isinstance(resource, dict) else None
    if isinstance(meta, dict) and isinstance(meta.get("versionId"), str):
        return str(meta["versionId"])
    response = entry.get("response")
    tag = response.get("etag") if isinstance(response, dict) else None
    return tag.removeprefix("W/").strip('"') if isinstance(tag, str) else None
