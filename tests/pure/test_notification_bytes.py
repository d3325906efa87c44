"""A Bundle put together from kept pieces is the Bundle that its definition makes, byte for byte."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import Interaction
from services.notifier.model import Batch, Channel, Content, Event, Owed, Status
from services.notifier.render.backport import (
    event_parameter,
    history_bundle,
    report_entry,
    status_entry,
    status_id,
    status_parameters,
)
from services.notifier.render.notification import notification_bundle

IDS = st.from_regex(r"[A-Za-z0-9\-.]{1,20}", fullmatch=True) | st.just(str(10**30))
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # made aware by the strategy
BODIES = st.sampled_from(
    [b'{"value": 4.50}', b'{"a": "]}"}', b'{"id": "body 1000000000000000000000000000000"}']
)
INTERACTIONS = st.sampled_from(list[Interaction](["create", "update", "delete"]))
EVENTS = st.tuples(IDS, st.integers(1, 99), INTERACTIONS, TIMES, BODIES)


@given(
    subscription=IDS,
    content=st.sampled_from(list[Content](["empty", "id-only", "full-resource"])),
    topic=st.sampled_from(["https://vbpr.example/topic", 'https://vbpr.example/"quoted"']),
    base=st.sampled_from(["https://vbpr.example/fhir", "http://[::1]:8080/größe"]),
    first=st.integers(1, 10**12),
    events=st.lists(EVENTS, min_size=1, max_size=4),
    now=TIMES,
    skipped=st.just(0) | st.integers(1, 99),
)
def test_pieces_make_what_the_definition_makes(
    subscription: str,
    content: Content,
    topic: str,
    base: str,
    first: int,
    events: list[tuple[str, int, Interaction, datetime, bytes]],
    now: datetime,
    skipped: int,
) -> None:
    owed = [
        Owed(first + place, Event(f"e{place}", report, version, interaction, at, len(body), body))
        for place, (report, version, interaction, at, body) in enumerate(events)
    ]
    channel = Channel(
        subscription, "topic", Status.ACTIVE, "https://e", "application/fhir+json", content, topic
    )
    batch = Batch(subscription, owed, skipped)
    status = status_parameters(
        channel, kind="event-notification", status=Status.ACTIVE, events=batch.last, owed=owed,
        name=batch.webhook_id, base=base,
    )  # fmt: skip
    if skipped:
        place = len(status["parameter"]) - len(owed)
        status["parameter"][place] = event_parameter(owed[0], content, base, skipped=skipped)
    entries = [status_entry(channel, status, base)]
    if content == "full-resource":
        entries += [report_entry(each.event, base) for each in owed]
    expected = orjson.dumps(history_bundle(entries, now))
    assert notification_bundle(channel, batch, base=base, now=now) == expected


@given(name=st.text(max_size=60))
def test_the_id_of_a_status_is_a_version_5_uuid_of_its_name(name: str) -> None:
    namespace = uuid.UUID("5b2f7f0e-2f35-5d0c-9a54-0f3c1b6f7c11")
    assert status_id(name, "handshake") == str(uuid.uuid5(namespace, f"{name}/handshake"))


def test_an_id_that_looks_like_what_bundles_are_cut_by_stays_as_it_is() -> None:
    channel = Channel("s", "topic", Status.ACTIVE, "https://e", "application/fhir+json", "full-resource", "t")
    for report in (str(10**30 + n) for n in range(5)):
        event = Event("e", report, 7, "update", datetime(2026, 3, 1, tzinfo=UTC), 2, b"{}")
        text = notification_bundle(
            channel, Batch("s", [Owed(1, event)]), base="https://b", now=event.accepted_at
        )
        entry = orjson.loads(text)["entry"][1]
        assert (entry["fullUrl"], entry["request"]["url"]) == (
            f"https://b/MeasureReport/{report}",
            f"MeasureReport/{report}",
        )
