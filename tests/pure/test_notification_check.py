"""What the receiver says of good notifications and of each kind of bad one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from schemas.fhir import SKIPPED_EVENTS
from services.cli.listen.faults import Faults
from services.cli.listen.order import Lanes
from services.cli.listen.reading import Reading, read_request

BASE = "http://127.0.0.1:8080/fhir"
TOPIC = "https://vbpr-subscriptions.org/fhir/SubscriptionTopic/report-available"
STATUS_PROFILE = (
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-status-r4"
)


def headers(webhook_id: str, **changed: str) -> dict[str, str]:
    return {
        "content-type": "application/fhir+json",
        "webhook-id": webhook_id,
        "webhook-timestamp": "1767225600",
        **changed,
    }


def event(number: int, *, focus: bool = True) -> dict[str, Any]:
    part: list[dict[str, Any]] = [
        {"name": "event-number", "valueString": str(number)},
        {"name": "timestamp", "valueInstant": "2026-01-01T00:00:00.000Z"},
    ]
    if focus:
        part.append({"name": "focus", "valueReference": {"reference": f"{BASE}/MeasureReport/r{number}"}})
    return {"name": "notification-event", "part": part}


def bundle(
    kind: str, numbers: tuple[int, ...] = (), *, level: str = "full-resource", since: int | None = None
) -> Any:
    parameter: list[dict[str, Any]] = [
        {"name": "subscription", "valueReference": {"reference": f"{BASE}/Subscription/s1"}}
    ]
    if level != "empty":
        parameter.append({"name": "topic", "valueCanonical": TOPIC})
    parameter += [
        {"name": "status", "valueCode": "requested" if kind == "handshake" else "active"},
        {"name": "type", "valueCode": kind},
        {
            "name": "events-since-subscription-start",
            "valueString": str(max(numbers, default=0) if since is None else since),
        },
    ]
    parameter += [event(number, focus=level != "empty") for number in numbers]
    entries: list[dict[str, Any]] = [
        {
            "fullUrl": "urn:uuid:0190d7a0-0000-7000-8000-000000000001",
            "resource": {
                "resourceType": "Parameters",
                "meta": {"profile": [STATUS_PROFILE]},
                "parameter": parameter,
            },
            "request": {"method": "GET", "url": f"{BASE}/Subscription/s1/$status"},
            "response": {"status": "200"},
        }
    ]
    if level == "full-resource":
        entries += [
            {
                "fullUrl": f"{BASE}/MeasureReport/r{number}",
                "resource": {"resourceType": "MeasureReport", "id": f"r{number}", "meta": {"versionId": "1"}},
                "request": {"method": "PUT", "url": f"MeasureReport/r{number}"},
                "response": {"status": "201"},
            }
            for number in numbers
        ]
    return {
        "resourceType": "Bundle",
        "type": "history",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "entry": entries,
    }


def topic(value: Any, webhook_id: str, **changed: str) -> Reading:
    return read_request("POST", "/topic", headers(webhook_id, **changed), orjson.dumps(value))


def told(*numbers: int, webhook_id: str | None = None) -> Reading:
    return topic(bundle("event-notification", numbers), webhook_id or f"s1_{numbers[0]}-{numbers[-1]}")


HANDSHAKE = topic(bundle("handshake"), "s1_handshake-1")


@pytest.mark.parametrize("level", ["empty", "id-only", "full-resource"])
def test_a_good_notification_of_every_payload_level_has_no_problem(level: str) -> None:
    reading = topic(bundle("event-notification", (3, 4), level=level), "s1_3-4")
    assert reading.problems == ()
    assert (reading.kind, reading.type, reading.subscription, reading.numbers) == (
        "topic", "event-notification", "s1", (3, 4),
    )  # fmt: skip
    assert (
        reading.reports
        == {
            "empty": (),
            "id-only": ("MeasureReport/r3", "MeasureReport/r4"),
            "full-resource": ("MeasureReport/r3/_history/1", "MeasureReport/r4/_history/1"),
        }[level]
    )


def test_a_good_handshake_has_no_problem_and_no_number() -> None:
    assert HANDSHAKE.problems == ()
    assert (HANDSHAKE.type, HANDSHAKE.numbers, HANDSHAKE.since) == ("handshake", (), 0)


def test_two_versions_of_one_report_in_one_bundle_are_told_apart_in_their_order() -> None:
    value = bundle("event-notification", (1, 2))
    for at, version in ((1, "6"), (2, "7")):
        value["entry"][at]["fullUrl"] = f"{BASE}/MeasureReport/same"
        value["entry"][at]["resource"] = {
            "resourceType": "MeasureReport", "id": "same", "meta": {"versionId": version},
        }  # fmt: skip
    for part in value["entry"][0]["resource"]["parameter"][-2:]:
        part["part"][-1]["valueReference"]["reference"] = f"{BASE}/MeasureReport/same"
    reading = topic(value, "s1_1-2")
    assert reading.problems == ()
    assert reading.reports == ("MeasureReport/same/_history/6", "MeasureReport/same/_history/7")


def parameters(value: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = value["entry"][0]["resource"]["parameter"]
    return found


def named(value: Any, name: str) -> dict[str, Any]:
    return next(parameter for parameter in parameters(value) if parameter["name"] == name)


BAD: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Bundle type": (lambda b: b.update(type="collection"), "Bundle.type is 'collection', expected history"),
    "no timestamp": (lambda b: b.pop("timestamp"), "Bundle.timestamp is missing"),
    "no entry": (lambda b: b.pop("entry"), "Bundle.entry is missing"),
    "status is not first": (lambda b: b["entry"].reverse(), "entry[0].resource is MeasureReport, expected Parameters"),
    "two statuses": (lambda b: b["entry"].append(b["entry"][0]), "entry[3].resource is a second Parameters"),
    "no profile": (lambda b: b["entry"][0]["resource"].pop("meta"), "Parameters.meta.profile does not name"),
    "no request": (lambda b: b["entry"][1].pop("request"), "entry[1].request is missing"),
    "no response": (lambda b: b["entry"][2].pop("response"), "entry[2].response is missing"),
    "search": (lambda b: b["entry"][1].update(search={"mode": "match"}), "entry[1].search must not exist"),
    "relative fullUrl": (lambda b: b["entry"][1].update(fullUrl="MeasureReport/r1"), "expected an absolute URL"),
    "versioned fullUrl": (
        lambda b: b["entry"][1].update(fullUrl=f"{BASE}/MeasureReport/r1/_history/1"),
        "entry[1].fullUrl names a version",
    ),
    "fullUrl of another": (
        lambda b: b["entry"][1]["resource"].update(id="other"),
        "entry[1].fullUrl does not end in MeasureReport/other",
    ),
    "$status of another": (
        lambda b: b["entry"][0]["request"].update(url=f"{BASE}/Subscription/s2/$status"),
        "expected GET …/Subscription/s1/$status",
    ),
    "camelCase name": (
        lambda b: named(b, "events-since-subscription-start").update(name="eventsSinceSubscriptionStart"),
        "a parameter named 'eventsSinceSubscriptionStart'",
    ),
    "number as a number": (
        lambda b: parameters(b)[-1]["part"].__setitem__(0, {"name": "event-number", "valueInteger": 2}),
        "parameter event-number holds valueInteger; expected valueString",
    ),
    "number in words": (
        lambda b: named(b, "events-since-subscription-start").update(valueString="two"),
        "is 'two', expected a decimal number",
    ),
    "no subscription": (lambda b: parameters(b).pop(0), "0 readable subscription; expected 1..1"),
    "versioned subscription": (
        lambda b: named(b, "subscription")["valueReference"].update(reference=f"{BASE}/Subscription/s1/_history/2"),
        "is no unversioned reference to a Subscription",
    ),
    "no type": (lambda b: parameters(b).remove(named(b, "type")), "0 readable type; expected 1..1"),
    "an answer's type": (lambda b: named(b, "type").update(valueCode="query-status"), "type is 'query-status'"),
    "status of a handshake": (
        lambda b: named(b, "status").update(valueCode="requested"),
        "status of this event-notification is requested, expected active",
    ),
    "count is not the highest number": (
        lambda b: named(b, "events-since-subscription-start").update(valueString="9"),
        "events-since-subscription-start is 9, expected the highest event number, 2",
    ),
    "numbers with a hole": (
        lambda b: parameters(b)[-1]["part"][0].update(valueString="3"),
        "event numbers inside one Bundle are [1, 3]",
    ),
    "no focus": (lambda b: parameters(b)[-1]["part"].pop(), "notification-event[1] has no focus"),
    "no topic": (lambda b: parameters(b).remove(named(b, "topic")), "the topic is not named"),
    "focus without its resource": (
        lambda b: b["entry"].pop(),
        "MeasureReport/r2 is a focus, but no entry carries it",
    ),
    "no event": (
        lambda b: b["entry"][0]["resource"].update(parameter=parameters(b)[:-2]),
        "has no notification-event, expected at least one",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_each_fault_of_a_bundle_is_named(name: str) -> None:
    spoil, expected = BAD[name]
    value = copy.deepcopy(bundle("event-notification", (1, 2)))
    assert topic(value, "s1_1-2").problems == ()
    spoil(value)
    assert any(expected in problem for problem in topic(value, "s1_1-2").problems)


def test_level_empty_must_not_name_the_topic() -> None:
    value = bundle("event-notification", (1,), level="empty")
    parameters(value).insert(1, {"name": "topic", "valueCanonical": TOPIC})
    assert topic(value, "s1_1-1").problems == ("payload level empty, but the topic is named",)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b'{"resourceType":"Bundle","entry":[1,{"resource":7}]}']
)
def test_a_body_that_cannot_be_read_is_a_problem_not_a_crash(body: bytes) -> None:
    assert read_request("POST", "/", headers("s1_1-1"), body).problems


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"webhook-id": ""}, "header webhook-id is missing"),
        ({"webhook-timestamp": "now"}, "header webhook-timestamp is 'now'"),
        ({"content-type": "text/plain"}, "Content-Type is 'text/plain'"),
        ({"webhook-id": "s1_1-3"}, "webhook-id is 's1_1-3', expected s1_1-2"),
    ],
)
def test_each_fault_of_the_headers_is_named(changed: dict[str, str], expected: str) -> None:
    reading = read_request(
        "POST", "/", headers("s1_1-2") | changed, orjson.dumps(bundle("event-notification", (1, 2)))
    )
    assert any(expected in problem for problem in reading.problems)


def test_a_classic_put_names_its_report_version_and_takes_its_number_from_the_webhook_id() -> None:
    body = orjson.dumps({"resourceType": "MeasureReport", "id": "r1", "meta": {"versionId": "2"}})
    reading = read_request("PUT", "/some/base/MeasureReport/r1", headers("s2_5-5"), body)
    assert reading.problems == ()
    assert (reading.kind, reading.subscription, reading.numbers) == ("classic", "s2", (5,))
    assert reading.reports == ("MeasureReport/r1/_history/2",)


def test_a_classic_put_of_another_resource_than_its_url_says_is_named() -> None:
    body = orjson.dumps({"resourceType": "MeasureReport", "id": "r2", "meta": {"versionId": "2"}})
    reading = read_request("PUT", "/MeasureReport/r1", headers("s2_5-6"), body)
    assert reading.problems == (
        "the URL ends in MeasureReport/r1, but the body is MeasureReport/r2",
        "webhook-id names the events 5-6; a classic notification tells of one",
    )


def test_an_empty_post_is_a_classic_notification() -> None:
    reading = read_request("POST", "/", headers("s2_1-1"), b"")
    assert (reading.kind, reading.type, reading.numbers, reading.problems) == ("classic", "empty", (1,), ())


def test_numbers_in_order_after_a_handshake_have_no_problem() -> None:
    lanes = Lanes()
    for reading in (HANDSHAKE, told(1), told(2, 3), told(4)):
        judged = lanes.judge(reading, accepted=True)
        assert (judged.duplicate, judged.problems) == (False, ())


def test_the_same_batch_again_is_a_duplicate_and_no_fault() -> None:
    lanes = Lanes()
    for reading in (HANDSHAKE, told(1), told(2, 3)):
        lanes.judge(reading, accepted=True)
    judged = lanes.judge(told(2, 3), accepted=True)
    assert (judged.duplicate, judged.problems) == (True, ())


@pytest.mark.parametrize(("count", "problems"), [(2, 0), (1, 1), (0, 1)])
def test_a_gap_that_the_notification_itself_says_was_skipped_is_none(count: int, problems: int) -> None:
    made = bundle("event-notification", (4,))
    *_, first = made["entry"][0]["resource"]["parameter"]
    first["extension"] = [{"url": SKIPPED_EVENTS, "valueUnsignedInt": count}]
    reading = read_request("POST", "/", headers("s1_4-4"), orjson.dumps(made))
    assert (reading.skipped, reading.problems) == (count, ())
    lanes = Lanes()
    lanes.judge(HANDSHAKE, accepted=True)
    lanes.judge(told(1), accepted=True)
    assert len(lanes.judge(reading, accepted=True).problems) == problems


def test_a_gap_is_named_once_and_then_the_late_number_is_out_of_order() -> None:
    lanes = Lanes()
    lanes.judge(HANDSHAKE, accepted=True)
    lanes.judge(told(1), accepted=True)
    assert lanes.judge(told(3), accepted=True).problems == (
        "event 2 was expected, 3 came: a gap or out of order",
    )
    assert lanes.judge(told(4), accepted=True).problems == ()
    assert lanes.judge(told(2), accepted=True).problems == ("event 2 came first after event 4: out of order",)


def test_an_accepted_number_under_another_webhook_id_is_named() -> None:
    lanes = Lanes()
    for reading in (HANDSHAKE, told(1), told(2)):
        lanes.judge(reading, accepted=True)
    judged = lanes.judge(told(2, 3), accepted=True)
    assert judged.problems == ("event 2 was accepted before under webhook-id s1_2-2",)


def test_an_accepted_number_may_come_back_alone() -> None:
    """An operator had one of a batch sent again: a duplicate under an id of its own."""
    lanes = Lanes()
    lanes.judge(topic(bundle("handshake"), "s1_handshake-1"), accepted=True)
    lanes.judge(told(1, 2, 3), accepted=True)
    for _ in range(2):
        judged = lanes.judge(told(2), accepted=True)
        assert (judged.duplicate, judged.problems) == (True, ())
    assert lanes.judge(told(1, 2, 3), accepted=True).duplicate


def test_a_refused_batch_may_come_back_split() -> None:
    lanes = Lanes()
    lanes.judge(HANDSHAKE, accepted=True)
    lanes.judge(told(1, 2), accepted=False)
    for reading in (told(1), told(2), told(3)):
        assert lanes.judge(reading, accepted=True).problems == ()


def test_an_event_before_the_handshake_is_named() -> None:
    assert Lanes().judge(told(1), accepted=True).problems == (
        "an event came before any handshake was accepted",
    )


def test_the_first_handshake_counts_no_event() -> None:
    late = topic(bundle("handshake", since=3), "s1_handshake-1")
    assert Lanes().judge(late, accepted=True).problems == ("the first handshake counts 3 events, expected 0",)


def test_a_classic_lane_needs_no_handshake() -> None:
    lanes = Lanes()
    for number in (1, 2):
        reading = read_request("POST", "/", headers(f"s2_{number}-{number}"), b"")
        assert lanes.judge(reading, accepted=True).problems == ()


def test_faults_answer_as_they_were_told() -> None:
    assert [Faults().answer() for _ in range(3)] == [200, 200, 200]
    assert [answer() for answer in [Faults(status=503).answer] * 3] == [503, 503, 503]
    assert [answer() for answer in [Faults(first=2).answer] * 4] == [500, 500, 200, 200]
    assert [answer() for answer in [Faults(status=429, first=1).answer] * 3] == [429, 200, 200]
    drawn = [Faults(rate=0.5, seed=7) for _ in range(2)]
    runs = [[faults.answer() for _ in range(200)] for faults in drawn]
    assert runs[0] == runs[1]
    assert 60 < runs[0].count(500) < 140
