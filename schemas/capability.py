"""What can be asked of this FHIR base? The CapabilityStatement, the same from every process.

It lists what is served and nothing else. Source: FHIR R4 CapabilityStatement; VBPR 1.1.0 server requirements;
Subscriptions R5 Backport 1.1.0, R4 server (topics are named by an extension on Subscription).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from schemas import operations
from schemas.fhir import (
    BACKPORT_SUBSCRIPTION_PROFILE,
    BACKPORT_TOPIC_CANONICAL,
    CONTRACT_PROFILE,
    LATEST_ONLY,
    OURS,
    PERFORMANCE_PROFILE,
    QUALITY_PROFILE,
)
from schemas.search import subscription
from schemas.search.parameters import SearchParameter
from schemas.search.resources import PARAMETERS
from schemas.search.result import every_spelling
from schemas.topics import topics

_DATE = "2026-11-30"
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
        "patchFormat": ["application/json-patch+json"],
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
                    _operation_definition(),
                    _search_parameter(),
                ],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }


_ALL_INTERACTIONS: Final = (
    "create", "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "search-type",
)  # fmt: skip


def _interactions(*codes: str) -> list[dict[str, str]]:
    return [{"code": code} for code in codes]


def _stored(kind: str) -> dict[str, Any]:
    """What is so of every type the publisher keeps."""
    return {
        "interaction": _interactions(*_ALL_INTERACTIONS),
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        **_searched(kind),
        "operation": [{"name": "validate", "definition": _VALIDATE}, *operations.of_type(kind)],
    }


def _measure_report() -> dict[str, Any]:
    return {
        "type": "MeasureReport",
        "supportedProfile": [PERFORMANCE_PROFILE, QUALITY_PROFILE],
        "documentation": "A quality report that no performance report lists yet is stored, and its events wait.",
        **_stored("MeasureReport"),
        "conditionalDelete": "multiple",  # nothing else refers to a report; to all others something may
        "referencePolicy": ["literal", "logical"],
    }


def _measure() -> dict[str, Any]:
    return {
        "type": "Measure",
        "supportedProfile": [CONTRACT_PROFILE],
        "documentation": "A contract. Its url names it for good; two Measures never share one.",
        **_stored("Measure"),
    }


def _party(kind: str) -> dict[str, Any]:
    return {"type": kind, **_stored(kind)}


def _searched(kind: str) -> dict[str, Any]:
    """What resources of a type can be found by, in every spelling, and what comes along with them."""
    revinclude = [f"{by}:{name}" for by, name, each in every_spelling(reverse=True) if _leads_to(each, kind)]
    return {
        "searchInclude": [f"{by}:{name}" for by, name, _ in every_spelling(reverse=False) if by == kind],
        "searchRevInclude": revinclude,
        "searchParam": [_parameter(parameter, name) for name, parameter in PARAMETERS[kind].items()],
    }


def _leads_to(parameter: SearchParameter, kind: str) -> bool:
    return kind in parameter.targets or (not parameter.targets and kind == "MeasureReport")


def _subscription() -> dict[str, Any]:
    return {
        "extension": [{"url": BACKPORT_TOPIC_CANONICAL, "valueCanonical": url} for url in topics()],
        "type": "Subscription",
        "supportedProfile": [BACKPORT_SUBSCRIPTION_PROFILE],
        "documentation": (
            "Classic criteria on MeasureReport, or a topic; channel rest-hook, for a topic websocket too. "
            f"A topic's channel may ask for the latest only: {LATEST_ONLY}."
        ),
        "interaction": _interactions(*_ALL_INTERACTIONS),
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "searchParam": [_parameter(parameter, parameter.name) for parameter in subscription.ALL],
        "operation": [
            {"name": "status", "definition": f"{_BACKPORT_OPERATION}status"},
            {"name": "events", "definition": f"{_BACKPORT_OPERATION}events"},
            {"name": "resend", "definition": f"{_BACKPORT_OPERATION}resend"},
            {"name": "get-ws-binding-token", "definition": f"{_BACKPORT_OPERATION}get-ws-binding-token"},
            *operations.of_type("Subscription"),
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


def _operation_definition() -> dict[str, Any]:
    return {
        "type": "OperationDefinition",
        "documentation": "The operations that this project defines itself.",
        "interaction": _interactions("read", "search-type"),
        "searchParam": [
            {"name": "code", "definition": _R4 + "OperationDefinition-code", "type": "token"},
            {"name": "url", "definition": _R4 + "conformance-url", "type": "uri"},
        ],
    }


def _search_parameter() -> dict[str, Any]:
    return {
        "type": "SearchParameter",
        "documentation": "The search parameters that this project defines itself.",
        "interaction": _interactions("read", "search-type"),
        "searchParam": [
            {"name": "code", "definition": _R4 + "SearchParameter-code", "type": "token"},
            {"name": "name", "definition": _R4 + "conformance-name", "type": "string"},
            {"name": "url", "definition": _R4 + "conformance-url", "type": "uri"},
        ],
    }


def _parameter(parameter: SearchParameter, spelling: str) -> dict[str, str]:
    return {
        "name": spelling,
        "definition": parameter.url,
        "type": parameter.type.value,
        "documentation": parameter.documentation,
    }
