"""One version of one report, as it crosses from publisher to notifier.

CloudEvents 1.0 in Kafka's binary mode: attributes are headers, the value is the stored version's bytes,
the key is the contract. `schemas/asyncapi.yaml` and `schemas/event.schema.json` describe the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec
import orjson

from schemas.facets import Facets
from schemas.fhir import FHIR_JSON

TOPIC = "vbpr.measure-reports.v1"
"""Name of the Kafka topic; the key of every record is the contract."""

Interaction: TypeAlias = Literal["create", "update", "delete"]


class Stage(StrEnum):
    """How settled a report is. VBPR cannot say it: see `services.publisher.derive.stage`."""

    INTERIM = "interim"
    FINAL = "final"
    SETTLED = "settled"
    WITHDRAWN = "withdrawn"


class EventType(StrEnum):
    """What happened to the report; the value is `ce_type`."""

    PUBLISHED = "org.vbpr.report.published.v1"
    SETTLED = "org.vbpr.report.settled.v1"
    CORRECTED = "org.vbpr.report.corrected.v1"
    WITHDRAWN = "org.vbpr.report.withdrawn.v1"
    DELETED = "org.vbpr.report.deleted.v1"


def event_type(stage: Stage, previous: Stage | None, *, deleted: bool) -> EventType:
    """Return the type of the event for a version of `stage` that supersedes one of `previous`.

    Withdrawn goes before everything, and whoever saw a settled report hears of each change to it.
    """
    if stage is Stage.WITHDRAWN and not deleted:
        return EventType.WITHDRAWN
    if deleted:
        return EventType.DELETED
    if previous is Stage.SETTLED:
        return EventType.CORRECTED
    if stage is Stage.SETTLED:
        return EventType.SETTLED
    return EventType.PUBLISHED


@dataclass(frozen=True, slots=True)
class ReportEvent:
    """The event. Fields are the CloudEvents attributes by their plain names; see `headers`."""

    id: str
    """uuid7; the idempotency key from the outbox to the receiver."""
    type: EventType
    source: str
    subject: str
    """`MeasureReport/{id}/_history/{version}`."""
    time: datetime
    """When the version was accepted; aware, UTC."""
    contract: str
    interaction: Interaction
    facets: Facets
    previous_facets: Facets | None
    body: bytes = field(repr=False)
    """The stored version, byte for byte; a deletion carries the last version's."""
    traceparent: str | None = None

    @property
    def report_id(self) -> str:
        """Logical id of the MeasureReport."""
        return self.subject.split("/")[1]

    @property
    def version(self) -> int:
        """`meta.versionId` of the MeasureReport."""
        return int(self.subject.rsplit("/", 1)[1])


class UndecodableEventError(ValueError):
    """A record is not an event this version understands; the message says which header and why."""


def headers(event: ReportEvent) -> list[tuple[str, bytes]]:
    """Return the event's attributes as Kafka record headers (CloudEvents Kafka binding, binary mode)."""
    out = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.value.encode()),
        ("ce_source", event.source.encode()),
        ("ce_subject", event.subject.encode()),
        ("ce_time", event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()),
        ("ce_partitionkey", event.contract.encode()),
        ("ce_interaction", event.interaction.encode()),
        ("ce_facets", orjson.dumps(event.facets)),
        ("content-type", FHIR_JSON.encode()),
    ]
    if event.previous_facets is not None:
        out.append(("ce_previousfacets", orjson.dumps(event.previous_facets)))
    if event.traceparent is not None:
        out.append(("traceparent", event.traceparent.encode()))
    return out


def from_record(record_headers: list[tuple[str, bytes]], value: bytes | None) -> ReportEvent:
    """Rebuild the event from a record; unknown headers are ignored, and so is a broken `traceparent`.

    Raises:
        UndecodableEventError: a required header is missing or is not what `event.schema.json` says, the type
            is unknown, or the value is empty.
    """
    if not value:
        raise UndecodableEventError("record has no value; expected the bytes of a MeasureReport")
    have = dict(record_headers)
    try:
        if have["ce_specversion"] != b"1.0":
            raise UndecodableEventError(f"ce_specversion is {have['ce_specversion']!r}, expected 1.0")
        previous = have.get("ce_previousfacets")
        traceparent = have.get("traceparent", b"").decode("ascii", "replace")
        return ReportEvent(
            id=_text(have, "ce_id", _UUID, "a UUID"),
            type=EventType(have["ce_type"].decode()),
            source=_text(have, "ce_source", _PRINTABLE, "a URI"),
            subject=_text(have, "ce_subject", _SUBJECT, "MeasureReport/id/_history/n"),
            time=_time(have["ce_time"].decode()),
            contract=_text(have, "ce_partitionkey", _PRINTABLE, "a contract"),
            interaction=_interaction(have["ce_interaction"].decode()),
            facets=_facets.decode(have["ce_facets"]),
            previous_facets=None if previous is None else _facets.decode(previous),
            body=value,
            traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else None,
        )
    except KeyError as missing:
        raise UndecodableEventError(f"header {missing.args[0]} is missing") from None
    except UndecodableEventError:
        raise
    except (ValueError, OverflowError, msgspec.DecodeError) as wrong:
        raise UndecodableEventError(str(wrong)) from wrong


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SUBJECT = re.compile(r"MeasureReport/[A-Za-z0-9.-]{1,64}/_history/[1-9][0-9]{0,8}")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]+")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_INTERACTIONS: dict[str, Interaction] = {"create": "create", "update": "update", "delete": "delete"}
_facets = msgspec.json.Decoder(dict[str, list[str | list[str | None]]])


def _text(have: dict[str, bytes], name: str, pattern: re.Pattern[str], expected: str) -> str:
    text = have[name].decode()
    if pattern.fullmatch(text) is None:
        raise UndecodableEventError(f"{name} is {text!r}, expected {expected}")
    return text


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise UndecodableEventError("ce_time has no offset")
    return time.astimezone(UTC)


def _interaction(text: str) -> Interaction:
    if (known := _INTERACTIONS.get(text)) is None:
        raise UndecodableEventError(f"ce_interaction is {text!r}, expected create, update or delete")
    return known
