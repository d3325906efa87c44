"""The bytes that leave: each payload level says what it may and no more, and reports are not re-written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from schemas.event import Interaction
from services.notifier.model import Batch, Channel, Content, Event, Owed, Status
from services.notifier.render import render_batch, render_handshake

NOW = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)
BASE = "https://vbpr.example/fhir"
TOPIC = "https://vbpr-subscriptions.org/fhir/SubscriptionTopic/report-available"
BODY = b'{"resourceType": "MeasureReport", "id": "r1", "group": [{"measureScore": {"value": 4.50}}]}'


def owed(number: int, interaction: Interaction = "create") -> Owed:
    accepted = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    return Owed(number, Event(f"e{number}", f"r{number}", 2, interaction, accepted, len(BODY), BODY))


def topic_channel(content: Content, **options: Any) -> Channel:
    return Channel(
        "s1", "topic", Status.ACTIVE, "https://provider.example/hook", "application/fhir+json", content, TOPIC,
        **options,
    )  # fmt: skip


def sent(channel: Channel, *batch: Owed) -> tuple[dict[str, str], dict[str, Any], bytes]:
    request = render_batch(channel, Batch("s1", batch), base=BASE, now=NOW, deadline=20)
    assert (request.method, request.url) == ("POST", channel.endpoint)
    return dict(request.headers), orjson.loads(request.body), request.body


def parameters(bundle: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    out: dict[str, list[dict[str, Any]]] = {}
    for each in bundle["entry"][0]["resource"]["parameter"]:
        out.setdefault(each["name"], []).append(each)
    return out


@pytest.mark.requirement("R-080", "R-081", "R-082", "R-083", "R-084", "R-085", "R-086", "R-087")
def test_every_entry_has_a_request_and_a_response() -> None:
    _, bundle, _ = sent(topic_channel("full-resource"), owed(1), owed(2, "update"), owed(3, "delete"))
    assert bundle["type"] == "history"
    assert [
        (e["request"]["method"], e["request"]["url"], e["response"]["status"]) for e in bundle["entry"]
    ] == [
        ("GET", f"{BASE}/Subscription/s1/$status", "200"),
        ("POST", "MeasureReport", "201"),
        ("PUT", "MeasureReport/r2", "200"),
        ("DELETE", "MeasureReport/r3", "204"),
    ]
    assert bundle["entry"][0]["fullUrl"] == f"urn:uuid:{bundle['entry'][0]['resource']['id']}"
    assert bundle["entry"][1]["fullUrl"] == f"{BASE}/MeasureReport/r1"


@pytest.mark.requirement("R-108")
def test_a_report_is_embedded_as_it_was_stored() -> None:
    _, _, body = sent(topic_channel("full-resource"), owed(1))
    assert BODY in body


@pytest.mark.requirement("R-088")
def test_a_deleted_report_is_named_and_not_carried() -> None:
    _, bundle, body = sent(topic_channel("full-resource"), owed(1, "delete"))
    assert "resource" not in bundle["entry"][1]
    assert BODY not in body


@pytest.mark.parametrize(
    ("content", "entries", "topic", "focus"),
    [("empty", 1, False, False), ("id-only", 1, True, True), ("full-resource", 2, True, True)],
)
@pytest.mark.requirement("R-004", "R-096", "R-100", "R-101", "R-103", "R-104", "R-107")
def test_what_each_payload_level_says(content: Content, entries: int, topic: bool, focus: bool) -> None:
    _, bundle, _ = sent(topic_channel(content), owed(1))
    found = parameters(bundle)
    parts = {part["name"]: part for part in found["notification-event"][0]["part"]}
    assert len(bundle["entry"]) == entries
    assert ("topic" in found) is topic
    assert ("focus" in parts) is focus
    if focus:
        assert parts["focus"]["valueReference"] == {"reference": f"{BASE}/MeasureReport/r1"}


@pytest.mark.requirement("R-005", "R-089", "R-092", "R-112")
def test_numbers_are_strings_and_the_total_is_the_batchs_highest() -> None:
    _, bundle, _ = sent(topic_channel("id-only"), owed(7), owed(8))
    found = parameters(bundle)
    assert found["events-since-subscription-start"][0]["valueString"] == "8"
    assert [each["part"][0]["valueString"] for each in found["notification-event"]] == ["7", "8"]
    assert found["status"][0]["valueCode"] == "active"
    assert found["type"][0]["valueCode"] == "event-notification"


@pytest.mark.requirement("R-114", "R-132")
def test_a_retry_is_the_same_notification_at_another_time() -> None:
    channel = topic_channel("full-resource", headers=(("Authorization", "Bearer x"),))
    later = datetime(2026, 3, 1, 13, 0, tzinfo=UTC)
    first, again = (
        render_batch(channel, Batch("s1", [owed(1)]), base=BASE, now=now, deadline=20) for now in (NOW, later)
    )
    assert dict(first.headers)["webhook-id"] == dict(again.headers)["webhook-id"] == "s1_1-1"
    assert dict(first.headers)["webhook-timestamp"] != dict(again.headers)["webhook-timestamp"]
    assert dict(first.headers)["Authorization"] == "Bearer x"
    bundles = [orjson.loads(each.body) for each in (first, again)]
    for bundle in bundles:
        del bundle["timestamp"]
    assert bundles[0] == bundles[1]


@pytest.mark.requirement("R-090", "R-092", "R-093", "R-095")
def test_a_handshake_carries_no_event() -> None:
    request = render_handshake(topic_channel("full-resource"), events=0, base=BASE, now=NOW, deadline=20)
    found = parameters(orjson.loads(request.body))
    assert found["type"][0]["valueCode"] == "handshake"
    assert found["status"][0]["valueCode"] == "requested"
    assert found["events-since-subscription-start"][0]["valueString"] == "0"
    assert "notification-event" not in found
    assert dict(request.headers)["Content-Type"] == "application/fhir+json"


@pytest.mark.parametrize(("asked", "deadline"), [(None, 20), (5, 5), (60, 60), (600, 60)])
@pytest.mark.requirement("R-037", "R-118")
def test_a_subscriber_may_ask_for_its_own_deadline_up_to_a_minute(asked: int | None, deadline: float) -> None:
    request = render_batch(
        topic_channel("id-only", timeout=asked), Batch("s1", [owed(1)]), base=BASE, now=NOW, deadline=20
    )
    assert request.deadline == deadline


def test_classic_puts_the_report_under_its_service_base() -> None:
    channel = Channel(
        "s1", "classic", Status.ACTIVE, "https://p.example/fhir/", "application/fhir+json", None, None
    )
    request = render_batch(channel, Batch("s1", [owed(1)]), base=BASE, now=NOW, deadline=20)
    assert (request.method, request.url, request.body) == (
        "PUT",
        "https://p.example/fhir/MeasureReport/r1",
        BODY,
    )


def test_a_service_base_may_have_a_query() -> None:
    endpoint = "https://p.example/fhir/?key=a%2Fb"
    channel = Channel("s1", "classic", Status.ACTIVE, endpoint, "application/fhir+json", None, None)
    request = render_batch(channel, Batch("s1", (owed(1),)), base=BASE, now=NOW, deadline=20)
    assert request.url == "https://p.example/fhir/MeasureReport/r1?key=a%2Fb"


def test_classic_without_payload_is_an_empty_post() -> None:
    channel = Channel("s1", "classic", Status.ACTIVE, "https://p.example/hook", None, None, None)
    request = render_batch(channel, Batch("s1", [owed(1)]), base=BASE, now=NOW, deadline=20)
    assert (request.method, request.url, request.body) == ("POST", "https://p.example/hook", b"")
    assert "Content-Type" not in dict(request.headers)
