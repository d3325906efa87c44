"""Where and how a Subscription wants to be told: everything about its channel that will not be honoured is found.

Source: R4 Subscription, Subscriptions R5 Backport 1.1 (requirements R-030…R-062, R-135, R-189).
"""

from __future__ import annotations

import ipaddress
import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from schemas.fhir import (
    BACKPORT_CHANNEL_TYPE,
    BACKPORT_HEARTBEAT,
    BACKPORT_MAX_COUNT,
    BACKPORT_PAYLOAD_CONTENT,
    BACKPORT_TIMEOUT,
    FHIR_JSON,
    LATEST_ONLY,
)
from schemas.outcome import Issue
from services.notifier.model import ChannelType, Content, SubscriptionKind
from services.notifier.render import MOST_SECONDS
from services.notifier.send.addresses import allowed, dialable

MOST_HEADERS = 20
MOST_HEADER_BYTES = 8 * 1024
MOST_URL = 2048
DEFAULT_BATCH = 10
"""Events in one Bundle when the subscriber names no `max-count`."""
MOST_BATCH = 50
LEAST_HEARTBEAT, MOST_HEARTBEAT = 10, 86_400
"""Seconds between heartbeats that may be asked for."""

_NO_URL = re.compile(r"[\s\\\x00-\x1f\x7f-\x9f]")
"""Never in a URL as it is: what reads one leniently drops it or takes it for another, and each in its own way."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset(
    {"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "te",
     "trailer", "upgrade", "expect", "cookie", "keep-alive", "traceparent", "tracestate"}
)  # fmt: skip
_CONTENTS: dict[str, Content] = {"empty": "empty", "id-only": "id-only", "full-resource": "full-resource"}


@dataclass(frozen=True, slots=True)
class _Number:
    """An extension whose value is a number within bounds."""

    name: str
    value: str
    """The element that has it."""
    least: int
    most: int
    unit: str

    def issues(self, item: dict[str, Any], at: str) -> Iterator[Issue]:
        number = item.get(self.value)
        if number is None or not self.least <= number <= self.most:
            said = f"found {self.name} with {_found(item)}; expected {self.value}, {self.least} to {self.most} {self.unit}"
            yield Issue("error", "value", said, at)


_NUMBERS = {
    BACKPORT_HEARTBEAT: _Number(
        "backport-heartbeat-period", "valueUnsignedInt", LEAST_HEARTBEAT, MOST_HEARTBEAT, "seconds"
    ),
    BACKPORT_TIMEOUT: _Number("backport-timeout", "valueUnsignedInt", 1, int(MOST_SECONDS), "seconds"),
    BACKPORT_MAX_COUNT: _Number("backport-max-count", "valuePositiveInt", 1, MOST_BATCH, "events"),
}
_CHANNEL_EXTENSIONS = frozenset({*_NUMBERS, LATEST_ONLY})


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """Which endpoints are delivered to."""

    allow_http: bool
    allow_private: bool


@dataclass(frozen=True, slots=True)
class AskedChannel:
    """The channel as asked for."""

    type: ChannelType
    endpoint: str
    """Empty for a websocket."""
    mime: str | None
    content: Content | None
    headers: tuple[str, ...]
    timeout: int | None
    heartbeat: int | None
    batch_size: int
    latest_only: bool


def read_channel(
    channel: dict[str, Any], kind: SubscriptionKind, policy: EndpointPolicy
) -> tuple[AskedChannel, list[Issue]]:
    """Return the channel and every reason why it is not served; with a reason the channel is not to be used."""
    websocket = channel.get("type") == "websocket"
    issues = [
        *_type(channel, kind),
        *(_called(channel) if websocket else _endpoint(channel.get("endpoint"), policy)),
        *_payload(channel, kind),
        *([] if websocket else _headers(channel.get("header", []))),
        *_extensions(channel, kind),
    ]
    given = {item.get("url"): item for item in channel.get("extension", [])}
    most = given.get(BACKPORT_MAX_COUNT, {}).get("valuePositiveInt", DEFAULT_BATCH)
    return AskedChannel(
        type="websocket" if websocket else "rest-hook",
        endpoint=str(channel.get("endpoint", "")),
        mime=channel.get("payload"),
        content=_content(channel),
        headers=tuple(channel.get("header", [])),
        timeout=given.get(BACKPORT_TIMEOUT, {}).get("valueUnsignedInt"),
        heartbeat=given.get(BACKPORT_HEARTBEAT, {}).get("valueUnsignedInt"),
        batch_size=1 if kind == "classic" else most,
        latest_only=given.get(LATEST_ONLY, {}).get("valueBoolean") is True,
    ), issues


def _type(channel: dict[str, Any], kind: SubscriptionKind) -> Iterator[Issue]:
    at = "Subscription.channel.type"
    if (found := channel.get("type")) not in {"rest-hook", "websocket"}:
        yield _unsupported(f"the channel type is {found}; expected rest-hook or websocket", at)
    elif found == "websocket" and kind == "classic":
        # R4's `bind :id` has no token: whoever knows an id would be told, and a `ping` has no number to go on from.
        said = (
            "criteria that are a search are not told over a websocket: R4's bind has no token to know a client by;"
            " expected rest-hook, or a topic as criteria"
        )
        yield _unsupported(said, at)
    for item in channel.get("_type", {}).get("extension", []):
        what = (
            "a custom channel type"
            if item.get("url") == BACKPORT_CHANNEL_TYPE
            else f"extension {item.get('url')}"
        )
        yield _unsupported(f"{what} is not served", f"{at}.extension")


def _called(channel: dict[str, Any]) -> Iterator[Issue]:
    """Return what a channel has that serves nothing where it is the client that connects."""
    if channel.get("endpoint"):
        said = "a websocket has no endpoint: its client connects, with a token of $get-ws-binding-token; leave it out"
        yield _unsupported(said, "Subscription.channel.endpoint")
    if channel.get("header"):
        said = "headers are not sent over a websocket; leave them out"
        yield _unsupported(said, "Subscription.channel.header")


def _endpoint(endpoint: str | None, policy: EndpointPolicy) -> Iterator[Issue]:
    at = "Subscription.channel.endpoint"
    if not endpoint:
        yield Issue("error", "required", "rest-hook needs an endpoint, the https URL to notify", at)
        return
    if (mark := _NO_URL.search(endpoint)) is not None:
        said = f"found {mark[0]!r} in {endpoint!r}; expected an absolute https URL, with that percent-encoded or left out"
        yield Issue("error", "value", said, at)
        return
    try:
        url = urlsplit(endpoint)
        host, port = url.hostname, url.port
    except ValueError:
        yield Issue("error", "value", f"{endpoint!r} is not a URL", at)
        return
    if url.scheme not in {"https", "http"} or not host:
        yield Issue("error", "value", f"found {endpoint!r}; expected an absolute https URL", at)
        return
    if url.scheme == "http" and not policy.allow_http:
        yield Issue(
            "error",
            "security",
            "found an http endpoint; expected https, reports are not sent in the clear",
            at,
        )
    if url.username is not None or url.password is not None:
        yield Issue("error", "security", "the URL carries credentials; put them into channel.header", at)
    if url.fragment:
        yield Issue("error", "value", "the URL has a fragment, which is never sent", at)
    if len(endpoint) > MOST_URL:
        yield Issue(
            "error", "too-long", f"the URL has {len(endpoint)} characters; at most {MOST_URL} are kept", at
        )
    yield from _host(host, port, policy)


def _host(host: str, port: int | None, policy: EndpointPolicy) -> Iterator[Issue]:
    at = "Subscription.channel.endpoint"
    if port == 0:
        yield Issue("error", "value", "found port 0, which nothing listens on; expected 1 to 65535", at)
    if not dialable(host):
        said = (
            f"found host {reprlib.repr(host)}, which can never be requested; expected a name of at most 253 characters"
            " (labels of 1 to 63 letters, digits, - and _, the last one no number), or a whole IP address"
        )
        yield Issue("error", "value", said, at)
    elif _forbidden(host, private=policy.allow_private):
        yield Issue("error", "security", f"{host} is not an address that is delivered to", at)


def _forbidden(host: str, *, private: bool) -> bool:
    # Early and friendly only: names are judged by the address they resolve to, at every connection.
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" and not private
    return not allowed(host, private=private)


def _payload(channel: dict[str, Any], kind: SubscriptionKind) -> Iterator[Issue]:
    at = "Subscription.channel.payload"
    mime = channel.get("payload")
    if kind == "topic":
        yield from _content_level(channel)
        if mime is None:
            yield Issue(
                "error", "required", f"a topic Subscription needs a payload; expected {FHIR_JSON}", at
            )
    elif _levels(channel):
        yield _unsupported(
            "a payload content level belongs to topic Subscriptions; criteria here are a search", at
        )
    for item in channel.get("_payload", {}).get("extension", []):
        if item.get("url") != BACKPORT_PAYLOAD_CONTENT:
            yield _unsupported(f"extension {item.get('url')} is not served", f"{at}.extension")
    if mime is not None and not _served(mime):
        yield _unsupported(f"found payload {mime!r}; expected {FHIR_JSON}, with fhirVersion 4.0 if any", at)


def _served(mime: str) -> bool:
    base, *parameters = (part.strip().lower() for part in mime.split(";"))
    return base == FHIR_JSON and all(
        part.replace('"', "") in {"fhirversion=4.0", "charset=utf-8"} for part in parameters
    )


def _levels(channel: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the extensions that say how much is to be sent; there is to be one."""
    extensions = channel.get("_payload", {}).get("extension", [])
    return [item for item in extensions if item.get("url") == BACKPORT_PAYLOAD_CONTENT]


def _content(channel: dict[str, Any]) -> Content | None:
    levels = _levels(channel)
    return _CONTENTS.get(str(levels[0].get("valueCode"))) if levels else None


def _content_level(channel: dict[str, Any]) -> Iterator[Issue]:
    at = "Subscription.channel.payload.extension"
    expected = "empty, id-only or full-resource"
    levels = _levels(channel)
    if not levels:
        yield Issue("error", "required", f"backport-payload-content is missing; expected {expected}", at)
    elif len(levels) > 1:
        said = f"found {BACKPORT_PAYLOAD_CONTENT} more than once; expected it once"
        yield Issue("error", "value", said, at)
    elif _content(channel) is None:
        said = f"found backport-payload-content with {_found(levels[0])}; expected valueCode, {expected}"
        yield _unsupported(said, at)


def _extensions(channel: dict[str, Any], kind: SubscriptionKind) -> Iterator[Issue]:
    seen = set()
    for place, item in enumerate(channel.get("extension", [])):
        at, url = f"Subscription.channel.extension[{place}]", item.get("url")
        if url not in _CHANNEL_EXTENSIONS:
            yield _unsupported(f"extension {url} is not served", at)
        elif url in seen:
            yield Issue("error", "value", f"found {url} more than once; expected it once at most", at)
        elif kind == "classic":
            said = "this extension belongs to topic Subscriptions; criteria here are a search"
            yield _unsupported(said, at)
        elif url == LATEST_ONLY:
            yield from _latest_only(item, _content(channel), at)
        else:
            yield from _NUMBERS[url].issues(item, at)
        seen.add(url)


def _found(extension: dict[str, Any]) -> str:
    found = [f"{name} {reprlib.repr(value)}" for name, value in extension.items() if name.startswith("value")]
    return ", ".join(found) or "no value"


def _latest_only(item: dict[str, Any], content: Content | None, at: str) -> Iterator[Issue]:
    if not isinstance(item.get("valueBoolean"), bool):
        yield Issue("error", "value", "latest-only takes a valueBoolean", at)
    elif item["valueBoolean"] and content == "empty":
        said = "latest-only needs id-only or full-resource: an empty payload names no report that could be superseded"
        yield Issue("error", "business-rule", said, at)


def _headers(headers: list[str]) -> Iterator[Issue]:
    at = "Subscription.channel.header"
    if len(headers) > MOST_HEADERS or sum(len(header.encode()) for header in headers) > MOST_HEADER_BYTES:
        yield Issue(
            "error", "too-long", f"at most {MOST_HEADERS} headers and {MOST_HEADER_BYTES} bytes are sent", at
        )
    for place, header in enumerate(headers):
        name, colon, value = header.partition(":")
        here = f"{at}[{place}]"
        if not colon or _TOKEN.fullmatch(name.strip()) is None:
            yield Issue(
                "error", "value", "expected `Name: value`", here
            )  # never the value: it may be a secret
        elif any((ord(mark) < 32 and mark != "\t") or ord(mark) == 127 for mark in value):
            yield Issue("error", "security", f"the value of {name.strip()} has control characters", here)
        elif name.strip().lower() in _OURS or name.strip().lower().startswith(("proxy-", "webhook-")):
            yield Issue("error", "security", f"{name.strip()} is set by this service", here)


def _unsupported(diagnostics: str, expression: str) -> Issue:
    return Issue("error", "not-supported", diagnostics, expression)
