"""What a Subscription looks like: a row of the list, its details, and what became of it, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.fhir import BACKPORT_FILTER, BACKPORT_PAYLOAD_CONTENT, OURS

HEADINGS = ("id", "status", "asks for", "endpoint")


def row(subscription: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a row of the list."""
    endpoint = told_at(subscription)
    return subscription["id"], subscription["status"], asks(subscription), endpoint


def told_at(subscription: Mapping[str, Any]) -> str:
    """Return the endpoint, or `websocket`, which has none."""
    channel = subscription["channel"]
    return str(channel.get("endpoint") or channel["type"])


def asks(subscription: Mapping[str, Any]) -> str:
    """Return criteria, or topic and filters."""
    criteria = str(subscription["criteria"]).removeprefix(f"{OURS}SubscriptionTopic/")
    filters = _extended(subscription.get("_criteria"), BACKPORT_FILTER, "valueString")
    return " ".join([criteria, *filters])


def details(subscription: Mapping[str, Any], standing: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what there is to know, name by name; header values stay untold, they may be secrets."""
    channel = subscription["channel"]
    level = _extended(channel.get("_payload"), BACKPORT_PAYLOAD_CONTENT, "valueCode")
    said = {each["name"]: each for each in standing["entry"][0]["resource"]["parameter"]}
    rows = [
        ("id", subscription["id"]),
        ("status", subscription["status"]),
        ("asks for", asks(subscription)),
        ("endpoint", told_at(subscription)),
        ("payload", " ".join([channel.get("payload", "none"), *level])),
        ("headers", ", ".join(header.partition(":")[0] for header in channel.get("header", []))),
        ("ends", subscription.get("end", "")),
        ("events so far", said["events-since-subscription-start"]["valueString"]),
        ("last failure", said.get("error", {}).get("valueCodeableConcept", {}).get("text", "")),
        ("version", f"{subscription['meta']['versionId']}, {subscription['meta']['lastUpdated']}"),
    ]
    return [(name, value) for name, value in rows if value]


def became(subscription: Mapping[str, Any]) -> str:
    """Return what became of one that was asked for, and what to do about it."""
    name, endpoint = f"Subscription/{subscription['id']}", told_at(subscription)
    match subscription["status"]:
        case "active" if endpoint == "websocket":
            return (
                f"{name} is active: its client gets a token with $get-ws-binding-token, connects and binds."
            )
        case "active":
            return f"{name} is active: reports go to {endpoint} from now on."
        case "requested":
            return f"{name} waits for {endpoint} to take its handshake; look again with vbpr subscriptions show {subscription['id']}."
        case "off":
            return f"{name} is off: nothing is sent."
        case _:
            why = subscription.get("error", "no reason is known")
            return f"{name} is in error: {why}. Put {endpoint} right, then vbpr subscriptions resume {subscription['id']}."


def _extended(element: Mapping[str, Any] | None, url: str, value: str) -> list[str]:
    extensions = (element or {}).get("extension", ())
    return [str(each[value]) for each in extensions if each.get("url") == url and value in each]
