"""How is a topic shown on R4, which knows no SubscriptionTopic? As a Basic with R5's elements as extensions.

Source: Subscriptions R5 Backport, CI build, "Topics in R4" (R-023); R5 SubscriptionTopic.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.event import EventType
from schemas.search.parameters import MEASURE_REPORT
from schemas.topics import Topic, topics

CODE_SYSTEM: Final = "http://hl7.org/fhir/fhir-types"
CODE: Final = "SubscriptionTopic"
_EXTENSION: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic."
_RESOURCE: Final = "http://hl7.org/fhir/StructureDefinition/MeasureReport"
_INTERACTIONS: Final = {EventType.DELETED: ("delete",)}


def topic_ids() -> dict[str, Topic]:
    """Return the topics by the logical id of their Basic: the last part of their URL."""
    return {url.rpartition("/")[2]: topic for url, topic in topics().items()}


def basic(logical_id: str, topic: Topic) -> dict[str, Any]:
    """Return the Basic resource of a topic."""
    return {
        "resourceType": "Basic",
        "id": logical_id,
        "extension": [
            _value("url", "Uri", topic.url),
            _value("version", "String", topic.version),
            _value("title", "String", topic.title),
            _value("status", "Code", "active"),
            _value("description", "Markdown", topic.description),
            _trigger(topic),
            *(_filter(name) for name in topic.can_filter_by),
            _shape(topic),
        ],
        "code": {"coding": [{"system": CODE_SYSTEM, "code": CODE}]},
    }


def _trigger(topic: Topic) -> dict[str, Any]:
    found = {
        each for trigger in topic.triggers for each in _INTERACTIONS.get(trigger.event, ("create", "update"))
    }
    parts = [_part("description", "Markdown", topic.description), _part("resource", "Uri", _RESOURCE)]
    parts += [_part("supportedInteraction", "Code", each) for each in sorted(found)]
    return {"url": f"{_EXTENSION}resourceTrigger", "extension": parts}


def _filter(name: str) -> dict[str, Any]:
    parameter = MEASURE_REPORT[name]
    parts = [
        _part("description", "Markdown", parameter.documentation),
        _part("resource", "Uri", "MeasureReport"),
        _part("filterParameter", "String", name),
        _part("filterDefinition", "Uri", parameter.url),
    ]
    parts += [_part("modifier", "Code", each.value) for each in sorted(parameter.modifiers)]
    return {"url": f"{_EXTENSION}canFilterBy", "extension": parts}


def _shape(topic: Topic) -> dict[str, Any]:
    shape = topic.notification_shape
    parts = [_part("resource", "Uri", shape.resource)]
    parts += [_part("include", "String", each) for each in shape.include]
    return {"url": f"{_EXTENSION}notificationShape", "extension": parts}


def _value(name: str, kind: str, value: str) -> dict[str, Any]:
    return {"url": f"{_EXTENSION}{name}", f"value{kind}": value}


def _part(name: str, kind: str, value: str) -> dict[str, Any]:
    return {"url": name, f"value{kind}": value}
