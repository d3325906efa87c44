"""Is this notification what the requirements say? Written from them alone: it knows nothing of how ours are made.

Every notification that any test's receiver gets goes through `check_notification`. Numbers are those of
`docs/conformance.md`. Source: Subscriptions R5 Backport 1.1.0 on R4, and R4's invariants of Bundle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.structure.gate import check_structure

_PROFILES = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
_CONTENT = _PROFILES + "backport-payload-content"
_MAX_COUNT = _PROFILES + "backport-max-count"
_SKIPPED = "https://vbpr-subscriptions.org/fhir/StructureDefinition/skipped-events"
_TYPES = {"handshake", "heartbeat", "event-notification", "query-status", "query-event"}
_STATUSES = {"requested", "active", "error", "off"}
_VALUES = {
    "subscription": "valueReference",
    "topic": "valueCanonical",
    "status": "valueCode",
    "type": "valueCode",
    "events-since-subscription-start": "valueString",
    "notification-event": "part",
    "error": "valueCodeableConcept",
}
_PARTS = {
    "event-number": "valueString",
    "timestamp": "valueInstant",
    "focus": "valueReference",
    "additional-context": "valueReference",
}
_ORDER = list(_VALUES)
_CODE = re.compile(r"\d{3}\b")


def parameters_of(bundle: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the status Parameters' parameters by name."""
    out: dict[str, list[dict[str, Any]]] = {}
    for each in bundle["entry"][0]["resource"]["parameter"]:
        out.setdefault(each["name"], []).append(each)
    return out


def check_notification(bundle: Any, subscription: Mapping[str, Any] | None = None) -> list[str]:
    """Return everything that is wrong with a history Bundle: a notification, or the answer to `$events`.

    With the Subscription it was sent for, its payload level, `max-count`, topic and id are held against it too.
    """
    if structural := check_structure(bundle):
        return [f"R4: {issue.expression}: {issue.diagnostics}" for issue in structural]
    problems = list(_envelope(bundle))
    if problems:
        return problems
    parameters = bundle["entry"][0]["resource"]
    problems += _parameters(parameters)
    if problems:
        return problems
    found = parameters_of(bundle)
    problems += _status_entry(bundle["entry"][0], found)
    problems += _entries(bundle["entry"])
    problems += _by_type(found, subscription)
    problems += _payload(bundle, found, subscription)
    if subscription is not None:
        problems += _promised(found, subscription)
    return problems


def check_status_searchset(bundle: Any) -> None:
    """Hold the answer to `$status` against R-142 and R-143."""
    assert check_structure(bundle) == []
    assert bundle["type"] == "searchset"
    assert bundle["total"] == len(bundle.get("entry", []))
    assert "$status" in bundle["link"][0]["url"]
    for entry in bundle.get("entry", []):
        assert "request" not in entry
        assert "response" not in entry
        assert entry["search"] == {"mode": "match"}
        assert entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}"
        assert list(_parameters(entry["resource"])) == []
        named = {each["name"]: each for each in entry["resource"]["parameter"]}
        assert named["type"]["valueCode"] == "query-status"
        assert "events-since-subscription-start" in named


def _envelope(bundle: Any) -> Iterator[str]:
    if bundle["resourceType"] != "Bundle":
        yield f"R-080: a {bundle['resourceType']} is no notification"
        return
    if bundle["type"] != "history":
        yield f"R-080: Bundle.type is {bundle['type']}"
    if "timestamp" not in bundle:
        yield "R-087: no timestamp"
    if "total" in bundle:
        yield "bdl-1: total in a history of notifications"
    kinds = [entry.get("resource", {}).get("resourceType") for entry in bundle.get("entry", [])]
    if kinds[:1] != ["Parameters"]:
        yield "R-081: the first entry is no Parameters"
    if kinds.count("Parameters") != 1:
        yield "R-082: not exactly one status entry"
    for place, entry in enumerate(bundle.get("entry", [])):
        if "request" not in entry or "response" not in entry:
            yield f"R-083: entry[{place}] lacks request or response"
        elif not _CODE.match(entry["response"].get("status", "")):
            yield f"R-083: entry[{place}].response.status"
        if "search" in entry:
            yield f"R-087: entry[{place}].search"
        url = entry.get("fullUrl", "")
        if not url.startswith(("http://", "https://", "urn:uuid:")) or "/_history/" in url:
            yield f"R-086: entry[{place}].fullUrl {url!r}"


def _parameters(parameters: Any) -> Iterator[str]:
    if _PROFILES + "backport-subscription-status-r4" not in parameters.get("meta", {}).get("profile", []):
        yield "R-081: the status does not claim its profile"
    names = [each["name"] for each in parameters.get("parameter", [])]
    for required in ("subscription", "status", "type"):
        if names.count(required) != 1:
            yield f"status: {names.count(required)} times {required}"
    for once in ("topic", "events-since-subscription-start"):
        if names.count(once) > 1:
            yield f"status: {names.count(once)} times {once}"
    for each in parameters.get("parameter", []):
        if each["name"] not in _VALUES:
            yield f"status: unknown parameter {each['name']}"
        elif set(each) - {"extension"} != {"name", _VALUES[each["name"]]}:
            yield f"status: {each['name']} has {sorted(each)}"
        elif each["name"] == "notification-event":
            yield from _event(each["part"])
    yield from _skipping(parameters.get("parameter", []))
    if names != sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER)):
        yield f"status: the order of {names}"
    named = {each["name"]: each for each in parameters.get("parameter", [])}
    if named.get("status", {}).get("valueCode") not in _STATUSES:
        yield "status: status"
    if named.get("type", {}).get("valueCode") not in _TYPES:
        yield "R-090: type"


def _skipping(parameters: list[dict[str, Any]]) -> Iterator[str]:
    """Numbers may be said to have been skipped by the first event alone, and only as many as come before it."""
    events = [each for each in parameters if each["name"] == "notification-event"]
    for each in parameters:
        for extension in each.get("extension", ()):
            if set(extension) != {"url", "valueUnsignedInt"} or extension["url"] != _SKIPPED:
                yield f"status: {each['name']} has the extension {extension}"
            elif each is not events[0]:
                yield "status: skipped events that are not right before the first"
            elif not 0 < extension["valueUnsignedInt"] < int(each["part"][0]["valueString"]):
                yield f"status: {extension['valueUnsignedInt']} skipped before {each['part'][0]['valueString']}"


def _event(parts: list[dict[str, Any]]) -> Iterator[str]:
    names = [part["name"] for part in parts]
    if names.count("event-number") != 1:
        yield f"R-089: {names.count('event-number')} numbers in one notification-event"
    if names.count("focus") > 1 or names.count("timestamp") > 1:
        yield "R-089: two events in one notification-event"
    for part in parts:
        if part["name"] not in _PARTS or _PARTS[part["name"]] not in part:
            yield f"notification-event: part {part['name']}"


def _status_entry(entry: Any, found: Any) -> Iterator[str]:
    reference = found["subscription"][0]["valueReference"]["reference"]
    kind, _, logical_id = reference.rpartition("/")
    if not kind.endswith("Subscription") or "/_history/" in reference:
        yield f"status: the subscription is {reference}"
    if entry["request"]["method"] != "GET" or not entry["request"]["url"].endswith(
        f"Subscription/{logical_id}/$status"
    ):
        yield f"R-084: entry[0].request {entry['request']}"
    if not entry["response"]["status"].startswith("200"):
        yield "R-084: entry[0].response"
    if entry["fullUrl"] != f"urn:uuid:{entry['resource'].get('id')}":
        yield f"R-086: entry[0].fullUrl {entry['fullUrl']}"


def _entries(entries: list[Any]) -> Iterator[str]:
    for place, entry in enumerate(entries[1:], start=1):
        resource = entry.get("resource")
        local = "/".join(entry["fullUrl"].split("/")[-2:])
        if resource is not None and local != f"{resource['resourceType']}/{resource['id']}":
            yield f"R-086: entry[{place}].fullUrl does not end in its resource's type and id"
        method, url = entry["request"]["method"], entry["request"]["url"]
        if method in {"POST", "PUT"} and resource is None:
            yield f"R-088: entry[{place}] is a {method} without resource"
        if method == "DELETE" and resource is not None:
            yield f"entry[{place}] is a DELETE with a resource"
        if url != (local.partition("/")[0] if method == "POST" else local):
            yield f"R-085: entry[{place}].request.url {url}"


def _numbers(found: Any) -> list[int]:
    return [
        int(part["valueString"])
        for event in found.get("notification-event", [])
        for part in event["part"]
        if part["name"] == "event-number"
    ]


def _by_type(found: Any, subscription: Mapping[str, Any] | None) -> Iterator[str]:
    kind, status = found["type"][0]["valueCode"], found["status"][0]["valueCode"]
    since = found.get("events-since-subscription-start")
    numbers = _numbers(found)
    if since is None or not since[0]["valueString"].isdecimal():
        yield "R-093: events-since-subscription-start"
        return
    total = int(since[0]["valueString"])
    if numbers != sorted(set(numbers)) or (numbers and numbers[0] < 1):
        yield f"R-111: the numbers {numbers}"
    # On a websocket the Subscription is active before anybody binds, and its status is told as it is.
    websocket = subscription is not None and subscription["channel"].get("type") == "websocket"
    if kind == "handshake" and (status != ("active" if websocket else "requested") or numbers):
        yield f"R-092, R-095: a handshake in {status} with {numbers}"
    if kind == "heartbeat" and (status not in {"active", "error"} or numbers):
        yield f"R-092, R-095: a heartbeat in {status} with {numbers}"
    if kind == "event-notification":
        if status != "active":
            yield f"R-092: events in {status}"
        if not numbers:
            yield "R-095: an event-notification without event"
        elif numbers[-1] != total:
            yield f"R-112: the highest number is {numbers[-1]}, events since start {total}"
        if numbers != list(range(numbers[0], numbers[-1] + 1)) if numbers else False:
            yield f"R-111: a gap in {numbers}"
    if numbers and numbers[-1] > total:
        yield f"R-110: number {numbers[-1]} of {total}"


def _payload(bundle: Any, found: Any, subscription: Mapping[str, Any] | None) -> Iterator[str]:
    extra = bundle["entry"][1:]
    level = _level(subscription) if subscription is not None else _apparent_level(extra, found)
    foci = [
        part["valueReference"]["reference"]
        for event in found.get("notification-event", [])
        for part in event["part"]
        if part["name"] == "focus"
    ]
    count = len(found.get("notification-event", []))
    contexts = any(
        part["name"] == "additional-context"
        for event in found.get("notification-event", [])
        for part in event["part"]
    )
    if level == "empty":
        if foci or contexts:
            yield "R-101, R-102: an empty payload names its focus"
        if extra:
            yield "R-103: an empty payload has entries"
        if "topic" in found:
            yield "R-104: an empty payload names its topic"
        return
    if len(foci) != count:
        yield f"R-101: {len(foci)} foci of {count} events"
    if level == "id-only" and any("resource" in entry for entry in extra):
        yield "R-103: id-only with a resource"
    if level == "full-resource":
        if "topic" not in found:
            yield "R-104: full-resource without its topic"
        urls = [entry["fullUrl"] for entry in extra]
        if count and urls != foci:
            yield f"R-103: entries {urls} for the foci {foci}"


def _apparent_level(extra: list[Any], found: Any) -> str:
    if any("resource" in entry or entry["request"]["method"] == "DELETE" for entry in extra):
        return "full-resource"
    named = any(
        part["name"] == "focus" for event in found.get("notification-event", []) for part in event["part"]
    )
    return "id-only" if named or "topic" in found else "empty"


def _level(subscription: Mapping[str, Any]) -> str:
    for each in subscription["channel"].get("_payload", {}).get("extension", []):
        if each["url"] == _CONTENT:
            return str(each["valueCode"])
    return "full-resource" if "payload" in subscription["channel"] else "empty"


def _promised(found: Any, subscription: Mapping[str, Any]) -> Iterator[str]:
    reference = found["subscription"][0]["valueReference"]["reference"]
    if not reference.endswith(f"/Subscription/{subscription['id']}"):
        yield f"R-082: told {subscription['id']} of {reference}"
    topic = found.get("topic")
    if topic is not None and topic[0]["valueCanonical"] != subscription["criteria"]:
        yield f"the topic is {topic[0]['valueCanonical']}, asked for was {subscription['criteria']}"
    most = [
        each["valuePositiveInt"]
        for each in subscription["channel"].get("extension", [])
        if each["url"] == _MAX_COUNT
    ]
    kind = found["type"][0]["valueCode"]
    if most and kind == "event-notification" and len(_numbers(found)) > most[0]:
        yield f"R-117: {len(_numbers(found))} events, at most {most[0]} were asked for"
