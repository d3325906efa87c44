"""The event as it crosses: every attribute survives, what is none is told with its reason, the documents agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import schemas
from schemas.event import TOPIC, EventType, ReportEvent, UndecodableEventError, from_record, headers
from services.event_log_kafka.cluster import KafkaLog
from services.event_log_kafka.topic import RETENTION_DAYS
from services.settings import Settings

FOLDER = Path(schemas.__file__).parent
SCHEMA: dict[str, Any] = orjson.loads((FOLDER / "event.schema.json").read_bytes())
ASYNCAPI: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text())
HEADERS = jsonschema_rs.validator_for(SCHEMA)
FACETS = jsonschema_rs.validator_for({**SCHEMA["$defs"]["facets"], "$defs": SCHEMA["$defs"]})

EVENT = ReportEvent(
    id="018bcfe5-6800-7000-8000-000000000001",
    type=EventType.CORRECTED,
    source="https://publisher.example/fhir",
    subject="MeasureReport/r-1.a/_history/12",
    time=datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC),
    contract="https://payer.example/Measure/contract",
    interaction="update",
    facets={
        "status": ["http://hl7.org/fhir/measure-report-status|complete"],
        "period": [["2026-01-01T00:00:00.000Z", None]],
        "metric-score": [["https://codes.example|quality", "4.50", ""]],
    },
    previous_facets={"status": ["http://hl7.org/fhir/measure-report-status|pending"]},
    body=b'{"resourceType":"MeasureReport", "score": 4.50}',
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)

_text = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)
_bound = st.datetimes().map(
    lambda at: f"{at:%Y}".zfill(4) + f"-{at:%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
)
_value = st.one_of(
    _text,
    st.tuples(st.none() | _bound, st.none() | _bound).map(list),
    st.tuples(_text, st.decimals(allow_nan=False, allow_infinity=False).map(str), _text).map(list),
)
_facets = st.dictionaries(_text, st.lists(_value, min_size=1, max_size=3), max_size=4)
events = st.builds(
    ReportEvent,
    id=st.uuids().map(str),
    type=st.sampled_from(EventType),
    source=_text,
    subject=st.builds(
        "MeasureReport/{}/_history/{}".format,
        st.from_regex(r"[A-Za-z0-9.-]{1,64}", fullmatch=True),
        st.integers(1, 999_999_999),
    ),
    time=st.datetimes(timezones=st.just(UTC)).map(
        lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
    ),
    contract=_text,
    interaction=st.sampled_from(["create", "update", "delete"]),
    facets=_facets,
    previous_facets=st.none() | _facets,
    body=st.binary(min_size=1),
    traceparent=st.none() | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", fullmatch=True),
)


@given(events)
def test_every_attribute_survives_the_crossing_and_fits_the_schema(event: ReportEvent) -> None:
    sent = headers(event)
    assert from_record(sent, event.body) == event
    read = {name: value.decode() for name, value in sent}
    assert len(read) == len(sent)
    HEADERS.validate(read)
    for name in ("ce_facets", "ce_previousfacets"):
        if name in read:
            FACETS.validate(orjson.loads(read[name]))


def test_the_schema_names_every_header_and_requires_those_that_are_always_there() -> None:
    assert {name for name, _ in headers(EVENT)} == set(SCHEMA["properties"])
    least = headers(replace(EVENT, previous_facets=None, traceparent=None))
    assert {name for name, _ in least} == set(SCHEMA["required"])
    assert SCHEMA["properties"]["ce_type"]["enum"] == [kind.value for kind in EventType]
    jsonschema_rs.meta.validate(SCHEMA)


def test_an_event_names_its_report_and_version() -> None:
    assert (EVENT.report_id, EVENT.version) == ("r-1.a", 12)


def test_headers_of_others_are_ignored_and_a_broken_traceparent_is_dropped() -> None:
    sent = [
        *headers(replace(EVENT, traceparent=None)),
        ("x-other", b"\xff"),
        ("traceparent", b"\xffnonsense"),
    ]
    assert from_record(sent, EVENT.body) == replace(EVENT, traceparent=None)


def test_the_time_is_utc_whatever_offset_was_sent() -> None:
    sent = dict(headers(EVENT))
    sent["ce_time"] = EVENT.time.astimezone(timezone(timedelta(hours=-6))).isoformat().encode()
    read = from_record(list(sent.items()), EVENT.body)
    assert read.time == EVENT.time
    assert read.time.tzinfo is UTC


@pytest.mark.parametrize("name", SCHEMA["required"][:-1])
def test_a_missing_header_is_told_by_its_name(name: str) -> None:
    with pytest.raises(UndecodableEventError, match=f"header {name} is missing"):
        from_record([(have, value) for have, value in headers(EVENT) if have != name], EVENT.body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_specversion", b"2.0"),
        ("ce_id", b""),
        ("ce_id", b"not-a-uuid"),
        ("ce_id", b"\xff\xfe"),
        ("ce_type", b"org.vbpr.report.published.v2"),
        ("ce_type", b"org.example.other"),
        ("ce_source", b""),
        ("ce_source", b"a\x00b"),
        ("ce_subject", b"MeasureReport/a"),
        ("ce_subject", b"Patient/a/_history/1"),
        ("ce_subject", b"MeasureReport/a/_history/0"),
        ("ce_subject", b"MeasureReport/a/_history/\xc2\xb2"),
        ("ce_subject", b"MeasureReport/" + b"a" * 65 + b"/_history/1"),
        ("ce_time", b"yesterday"),
        ("ce_time", b"2026-03-01T12:00:00"),
        ("ce_time", b"0001-01-01T00:00:00+14:00"),
        ("ce_partitionkey", b""),
        ("ce_partitionkey", b"a\nb"),
        ("ce_interaction", b"patch"),
        ("ce_facets", b""),
        ("ce_facets", b"{"),
        ("ce_facets", b"[]"),
        ("ce_facets", b'{"status": "complete"}'),
        ("ce_facets", b'{"status": [1]}'),
        ("ce_facets", b'{"period": [[["nested"]]]}'),
        ("ce_previousfacets", b"null"),
    ],
)
def test_a_header_that_is_not_what_it_should_be_is_told(name: str, value: bytes) -> None:
    sent = {**dict(headers(EVENT)), name: value}
    with pytest.raises(UndecodableEventError) as told:
        from_record(list(sent.items()), EVENT.body)
    assert str(told.value)


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_a_value_is_told(value: bytes | None) -> None:
    with pytest.raises(UndecodableEventError, match="no value"):
        from_record(headers(EVENT), value)


@given(
    st.lists(st.tuples(st.sampled_from([*SCHEMA["properties"], "x"]), st.binary())), st.none() | st.binary()
)
def test_whatever_comes_is_an_event_or_told(sent: list[tuple[str, bytes]], value: bytes | None) -> None:
    try:
        found = from_record([*headers(EVENT), *sent], value)
    except UndecodableEventError:
        return
    # What is let through is what a publisher could have sent.
    HEADERS.validate({name: one.decode() for name, one in headers(found)})


def test_the_channel_described_is_the_topic_that_is_made() -> None:
    settings = Settings()
    channel = ASYNCAPI["channels"]["measureReports"]
    described = channel["bindings"]["kafka"]
    assert channel["address"] == described["topic"] == TOPIC == settings.kafka_topic
    assert described["partitions"] == settings.kafka_partitions
    made = described["topicConfiguration"]
    assert made["max.message.bytes"] == KafkaLog.of(settings).max_batch_bytes
    assert made["retention.ms"] == RETENTION_DAYS * 86_400_000
    group = ASYNCAPI["operations"]["consume"]["bindings"]["kafka"]["groupId"]["default"]
    assert group == settings.kafka_group


def test_every_reference_of_the_channel_description_leads_somewhere() -> None:
    references = list(_references(ASYNCAPI))
    assert "./event.schema.json" in references
    for reference in references:
        if reference.startswith("#/"):
            at: Any = ASYNCAPI
            for part in reference[2:].split("/"):
                at = at[part]
        else:
            assert (FOLDER / reference).is_file()


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)
