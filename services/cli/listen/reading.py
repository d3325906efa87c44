"""What an HTTP request is, read as a notification: classic or topic, of which subscription, which numbers.

A classic subscription with a payload is told by `PUT {endpoint}/{Type}/{id}`, one without by an empty `POST`
(FHIR R4 Subscription, rest-hook); neither body carries a number, so subscription and number are read from
`webhook-id`, `{subscription}_{first}-{last}`. A topic subscription is told by a `POST` of a Bundle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import orjson

from services.cli.listen.bundle import read_bundle

Kind: TypeAlias = Literal["classic", "topic", "unknown"]

_WEBHOOK_ID = re.compile(r"(?P<subscription>[A-Za-z0-9.-]{1,64})_(?P<first>\d+)-(?P<last>\d+)")


@dataclass(frozen=True, slots=True)
class Reading:
    """One request, read. `numbers` is empty for a handshake or a heartbeat."""

    kind: Kind
    type: str
    """`handshake`, `heartbeat`, `event-notification`; `resource` or `empty` for classic."""
    subscription: str
    numbers: tuple[int, ...]
    since: int | None
    """`events-since-subscription-start`; classic notifications have none."""
    webhook_id: str
    reports: tuple[str, ...]
    problems: tuple[str, ...]
    skipped: int = 0
    """Numbers right before the first that a topic notification says were skipped as superseded."""


def read_request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reading:
    """Read and check one request; `headers` has lower-case names.

    Never raises: whatever cannot be read is a problem of the reading.
    """
    problems: list[str] = []
    _check_headers(headers, problems)
    if method == "PUT":
        return _classic_resource(path, headers, body, problems)
    if method == "POST" and not body:
        return _classic(headers, "empty", (), problems)
    if method == "POST":
        return _topic(headers, body, problems)
    problems.append(f"{method} is no notification; expected PUT of a resource or POST")
    return Reading("unknown", "", "", (), None, headers.get("webhook-id", ""), (), tuple(problems))


def _check_headers(headers: Mapping[str, str], problems: list[str]) -> None:
    if not headers.get("webhook-id"):
        problems.append("header webhook-id is missing")
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdigit():
        problems.append(f"header webhook-timestamp is {stamp!r}, expected seconds since 1970")


def _check_content_type(headers: Mapping[str, str], problems: list[str]) -> None:
    found = headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in {"application/fhir+json", "application/json"}:
        problems.append(f"Content-Type is {found!r}, expected application/fhir+json")


def _classic_resource(path: str, headers: Mapping[str, str], body: bytes, problems: list[str]) -> Reading:
    _check_content_type(headers, problems)
    named = "/".join(path.rstrip("/").split("/")[-2:])
    report = named
    try:
        resource = orjson.loads(body)
    except ValueError as wrong:
        problems.append(f"the body is not JSON: {wrong}")
        resource = None
    if isinstance(resource, dict):
        found = f"{resource.get('resourceType')}/{resource.get('id')}"
        if found != named:
            problems.append(f"the URL ends in {named}, but the body is {found}")
        version = (resource.get("meta") or {}).get("versionId")
        if version is None:
            problems.append("meta.versionId is missing: the receiver cannot tell the version")
        report = f"{found}/_history/{version}"
    elif resource is not None:
        problems.append("the body is not a resource")
    return _classic(headers, "resource", (report,), problems)


def _classic(headers: Mapping[str, str], what: str, reports: tuple[str, ...], problems: list[str]) -> Reading:
    webhook_id = headers.get("webhook-id", "")
    matched = _WEBHOOK_ID.fullmatch(webhook_id)
    if matched is None:
        if webhook_id:
            problems.append(f"webhook-id is {webhook_id!r}, expected subscription_first-last")
        return Reading("classic", what, "", (), None, webhook_id, reports, tuple(problems))
    first, last = int(matched["first"]), int(matched["last"])
    if first != last or first == 0:
        problems.append(f"webhook-id names the events {first}-{last}; a classic notification tells of one")
    return Reading(
        "classic", what, matched["subscription"], tuple(range(first, last + 1)), None, webhook_id, reports, tuple(problems)
    )  # fmt: skip


def _topic(headers: Mapping[str, str], body: bytes, problems: list[str]) -> Reading:
    _check_content_type(headers, problems)
    notification = read_bundle(body)
    problems.extend(notification.problems)
    webhook_id = headers.get("webhook-id", "")
    status = notification.status
    if status is None:
        return Reading("topic", "", "", (), None, webhook_id, (), tuple(problems))
    numbers = status.numbers if status.type == "event-notification" else ()
    if numbers and webhook_id:
        expected = f"{status.subscription}_{numbers[0]}-{numbers[-1]}"
        if webhook_id != expected:
            problems.append(f"webhook-id is {webhook_id!r}, expected {expected}")
    return Reading(
        "topic", status.type, status.subscription, numbers, status.since, webhook_id, notification.reports,
        tuple(problems), status.skipped if numbers else 0,
    )  # fmt: skip
