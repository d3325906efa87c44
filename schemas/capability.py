"""What can be asked of this FHIR base? The CapabilityStatement, the same from every process.

It lists what is served and nothing else. Source: FHIR R4 CapabilityStatement; VBPR 1.1.0 server requirements;
Subscriptions R5 Backport 1.1.0, R4 server (topics are named by an extension on Subscription).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from schemas.fhir import (
    BACKPORT_SUBSCRIPTION_PROFILE,
    BACKPORT_TOPIC_CANONICAL,
    CONTRACT_PROFILE,
    OURS,
    PERFORMANCE_PROFILE,
    QUALITY_PROFILE,
)
from schemas.search import subscription
from schemas.search.parameters import ALL, SearchParameter
from schemas.topics import topics

_DATE = "2026-11-22"
"""When this statement last changed in substance."""

_GUIDES = (
    "http://hl7.org/fhir/us/davinci-vbpr/ImplementationGuide/hl7.fhir.us.davinci-vbpr",
    "http://hl7.org/fhir/uv/subscriptions-backport/ImplementationGuide/hl7.fhir.uv.subscriptions-backport",
)
_BACKPORT_SERVER = (
    "http://hl7.org/fhir/uv/subscriptions-backport/CapabilityStatement/backport-subscription-server-r4"
)
_BACKPORT_OPERATION = (
    "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-"
)
_R4 = "http://hl7.org/fhir/SearchParameter/"
_VALIDATE = "http://hl7.org/fhir/OperationDefinition/Resource-validate"


@cache
def capability_statement(base_url: str) -> dict[str, Any]:
    """Return the CapabilityStatement (R4) of the base at `base_url`."""
    return {
        "resourceType": "CapabilityStatement",
        "url": f"{OURS}CapabilityStatement/vbpr-subscriptions",
        "name": "VbprSubscriptions",
        "title": "VBPR reports and their Subscriptions",
        "status": "active",
        "date": _DATE,
        "kind": "instance",
        "software": {"name": "vbpr-subscriptions"},
        "implementation": {"description": "VBPR reports and their Subscriptions", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": ["json", "application/fhir+json"],
        "instantiates": [_BACKPORT_SERVER],
        "implementationGuide": list(_GUIDES),
        "rest": [
            {
                "mode": "server",
                "resource": [
                    _measure_report(),
                    _measure(),
                    _party("Organization"),
                    _party("Group"),
                    _subscription(),
                    _topic(),
                ],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }


def _interactions(*codes: str) -> list[dict[str, str]]:
    return [{"code": code} for code in codes]


def _stored() -> dict[str, Any]:
    """What is so of every type the publisher keeps."""
    return {
        "interaction": _interactions("create", "read", "vread", "update", "search-type"),
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "not-match",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "operation": [{"name": "validate", "definition": _VALIDATE}],
    }


def _measure_report() -> dict[str, Any]:
    return {
        "type": "MeasureReport",
        "supportedProfile": [PERFORMANCE_PROFILE, QUALITY_PROFILE],
        "documentation": "A quality report that no performance report lists yet is stored, and its events wait.",
        **_stored(),
        "referencePolicy": ["literal", "logical"],
        "searchParam": [
            _parameter(parameter, spelling)
            for parameter in ALL
            for spelling in (parameter.name, *parameter.aliases)
        ],
    }


def _measure() -> dict[str, Any]:
    url = {"name": "url", "definition": _R4 + "Measure-url", "type": "uri"}
    return {
        "type": "Measure",
        "supportedProfile": [CONTRACT_PROFILE],
        "documentation": "A contract. Its url names it for good; two Measures never share one.",
        **_stored(),
        "searchParam": [*_by_id_and_identifier("Measure"), url],
    }


def _party(kind: str) -> dict[str, Any]:
    return {"type": kind, **_stored(), "searchParam": _by_id_and_identifier(kind)}


def _by_id_and_identifier(kind: str) -> list[dict[str, str]]:
    return [
        {"name": "_id", "definition": _R4 + "Resource-id", "type": "token"},
        {"name": "identifier", "definition": f"{_R4}{kind}-identifier", "type": "token"},
    ]


def _subscription() -> dict[str, Any]:
    return {
        "extension": [{"url": BACKPORT_TOPIC_CANONICAL, "valueCanonical": url} for url in topics()],
        "type": "Subscription",
        "supportedProfile": [BACKPORT_SUBSCRIPTION_PROFILE],
        "documentation": "Classic criteria on MeasureReport, or a topic; channel rest-hook.",
        "interaction": _interactions(
            "create", "read", "vread", "update", "patch", "delete", "history-instance", "search-type"
        ),
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "searchParam": [_parameter(parameter, parameter.name) for parameter in subscription.ALL],
        "operation": [
            {"name": "status", "definition": f"{_BACKPORT_OPERATION}status"},
            {"name": "events", "definition": f"{_BACKPORT_OPERATION}events"},
            {"name": "resend", "definition": f"{_BACKPORT_OPERATION}resend"},
            {"name": "preview", "definition": f"{OURS}OperationDefinition/Subscription-preview"},
            {"name": "explain", "definition": f"{OURS}OperationDefinition/Subscription-explain"},
        ],
    }


def _topic() -> dict[str, Any]:
    code = {"name": "code", "definition": _R4 + "Basic-code", "type": "token"}
    return {
        "type": "Basic",
        "documentation": "The topics, code http://hl7.org/fhir/fhir-types|SubscriptionTopic.",
        "interaction": _interactions("read", "search-type"),
        "searchParam": [code],
    }


def _parameter(parameter: SearchParameter, spelling: str) -> dict[str, str]:
    return {
        "name": spelling,
        "definition": parameter.url,
        "type": parameter.type.value,
        "documentation": parameter.documentation,
    }
