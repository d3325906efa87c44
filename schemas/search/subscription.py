"""What can a Subscription be searched by? R4's parameters, and those of the Backport guide.

Sources: FHIR R4 4.0.1; Subscriptions R5 Backport 1.1.0, whose parameters on extensions are served as meant: their
FHIRPath looks for the extensions at the root, where they never stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from schemas.facets import Facets, token
from schemas.fhir import BACKPORT_FILTER, BACKPORT_PAYLOAD_CONTENT
from schemas.search.parameters import SearchParameter, SearchType

_R4 = "http://hl7.org/fhir/SearchParameter/"
_BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/SearchParameter/Subscription-"
_STATUS_SYSTEM = "http://hl7.org/fhir/subscription-status"
_TYPE_SYSTEM = "http://hl7.org/fhir/subscription-channel-type"
_CONTENT_SYSTEM = "http://hl7.org/fhir/uv/subscriptions-backport/CodeSystem/backport-content-code-system"
_CONTENTS = ("empty", "id-only", "full-resource")

_TOKEN, _URI, _STRING = SearchType.TOKEN, SearchType.URI, SearchType.STRING

ALL: Final = (
    SearchParameter("_id", _TOKEN, "Logical id.", _R4 + "Resource-id", piped=False),
    SearchParameter(
        "_lastUpdated", SearchType.DATE, "When this version was stored.", _R4 + "Resource-lastUpdated"
    ),
    SearchParameter("url", _URI, "The endpoint that is notified.", _R4 + "Subscription-url"),
    SearchParameter(
        "status",
        _TOKEN,
        "requested, active, error or off.",
        _R4 + "Subscription-status",
        system=_STATUS_SYSTEM,
        codes=frozenset({"requested", "active", "error", "off"}),
    ),
    SearchParameter(
        "criteria", _STRING, "The search string, or the topic's canonical.", _R4 + "Subscription-criteria"
    ),
    SearchParameter("payload", _TOKEN, "The MIME type of notifications.", _R4 + "Subscription-payload"),
    SearchParameter(
        "type",
        _TOKEN,
        "The channel type: rest-hook or websocket.",
        _R4 + "Subscription-type",
        system=_TYPE_SYSTEM,
        codes=frozenset({"rest-hook", "websocket", "email", "sms", "message"}),
    ),
    SearchParameter(
        "contact", _TOKEN, "A contact's address, as it stands there.", _R4 + "Subscription-contact"
    ),
    SearchParameter("topic", _URI, "The topic's canonical; none for a classic one.", _BACKPORT + "topic"),
    SearchParameter("filter-criteria", _STRING, "One of its filters.", _BACKPORT + "filter-criteria"),
    SearchParameter(
        "payload-type",
        _TOKEN,
        "empty, id-only or full-resource.",
        _BACKPORT + "payload-type",
        system=_CONTENT_SYSTEM,
        codes=frozenset(_CONTENTS),
    ),
)
"""Every parameter of Subscription, once."""

SUBSCRIPTION: Final[Mapping[str, SearchParameter]] = MappingProxyType({each.name: each for each in ALL})


def facets_of(resource: Mapping[str, Any], *, logical_id: str, topical: bool, updated: list[str]) -> Facets:
    """Return what a Subscription, as it is served, can be found by; `updated` are the bounds of its time."""
    channel = resource["channel"]
    criteria = resource["criteria"]
    found: dict[str, list[str | list[str]]] = {
        "_id": [token("", logical_id)],
        "_lastUpdated": [updated],
        "url": [channel["endpoint"]] if "endpoint" in channel else [],
        "status": [token(_STATUS_SYSTEM, resource["status"])],
        "criteria": [criteria],
        "payload": [token("", channel["payload"])] if "payload" in channel else [],
        "type": [token(_TYPE_SYSTEM, channel["type"])],
        "contact": [token("", each["value"]) for each in resource.get("contact", ()) if "value" in each],
        "topic": [criteria] if topical else [],
        "filter-criteria": _extended(resource.get("_criteria"), BACKPORT_FILTER, "valueString"),
        "payload-type": [
            token(_CONTENT_SYSTEM, code)
            for code in _extended(channel.get("_payload"), BACKPORT_PAYLOAD_CONTENT, "valueCode")
        ],
    }
    return {name: values for name, values in found.items() if values}


def _extended(element: Mapping[str, Any] | None, url: str, value: str) -> list[Any]:
    extensions = (element or {}).get("extension", ())
    return [each[value] for each in extensions if each.get("url") == url and value in each]
