"""A Subscription that will not be honoured is refused, and the error says which element and why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.fhir import (
    BACKPORT_CHANNEL_TYPE,
    BACKPORT_FILTER,
    BACKPORT_HEARTBEAT,
    BACKPORT_MAX_COUNT,
    BACKPORT_PAYLOAD_CONTENT,
    BACKPORT_TIMEOUT,
    LATEST_ONLY,
    OURS,
)
from schemas.outcome import FhirError
from services.cli.subscriptions.making import Wanted, resource
from services.notifier.model import Status
from services.notifier.subscriptions.admission import Admitted, admit
from services.notifier.subscriptions.channels import EndpointPolicy
from tests.notifying import classic, topical
from tests.websockets import on_websocket

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STRICT = EndpointPolicy(allow_http=False, allow_private=False)
HOOK = "https://provider.example/hook"

Resource = dict[str, Any]


def admitted(resource: Resource, policy: EndpointPolicy = STRICT) -> Admitted:
    return admit(resource, base_url="https://vbpr.example/fhir", policy=policy, now=NOW)


def refused(resource: Resource) -> FhirError:
    with pytest.raises(FhirError) as caught:
        admitted(resource)
    return caught.value


@pytest.mark.requirement("R-030", "R-035", "R-038", "R-039")
def test_what_is_asked_is_what_is_kept() -> None:
    found = admitted(topical(HOOK, "stage=settled", max_count=7))
    assert (found.kind, found.asked, found.criteria) == (
        "topic",
        Status.REQUESTED,
        OURS + "SubscriptionTopic/report-available",
    )
    assert found.filters == ("stage=settled",)
    assert (found.channel.content, found.channel.batch_size) == ("full-resource", 7)
    assert found.channel.headers == ("Authorization: Bearer s3cret",)
    assert "status" not in found.resource


def test_a_classic_subscription_is_told_by_its_criteria() -> None:
    found = admitted(classic(HOOK))
    assert (found.kind, found.channel.batch_size, found.channel.mime) == (
        "classic",
        1,
        "application/fhir+json",
    )


def channel(name: str, value: object) -> Callable[[Resource], Resource]:
    return lambda r: {**r, "channel": {**r["channel"], name: value}}


def element(name: str, value: object) -> Callable[[Resource], Resource]:
    return lambda r: {**r, name: value}


def extended(url: str, **value: object) -> Callable[[Resource], Resource]:
    return channel("extension", [{"url": url, **value}])


@pytest.mark.parametrize(
    ("change", "status", "expression", "said"),
    [
        (element("criteria", "https://x.example/topic"), 422, "Subscription.criteria", "expected one of"),
        (element("end", "2026-01-01T00:00:00Z"), 422, "Subscription.end", "expected an instant ahead"),
        (element("status", "error"), 422, "Subscription.status", "requested or off"),
        (channel("type", "email"), 422, "Subscription.channel.type", "expected rest-hook or websocket"),
        (channel("endpoint", "http://provider.example/hook"), 422, "Subscription.channel.endpoint", "expected https"),
        (channel("endpoint", "ftp://provider.example"), 422, "Subscription.channel.endpoint", "absolute https URL"),
        (channel("endpoint", "https://u:p@provider.example"), 422, "Subscription.channel.endpoint", "channel.header"),
        (channel("endpoint", "https://169.254.169.254/x"), 422, "Subscription.channel.endpoint", "not an address"),
        (channel("endpoint", "https://provider\\b/"), 422, "Subscription.channel.endpoint", "found '\\\\'"),
        (channel("endpoint", "https://provider.example/#x"), 422, "Subscription.channel.endpoint", "fragment"),
        (channel("payload", "application/fhir+xml"), 422, "Subscription.channel.payload", "expected application/fhir+json"),
        (channel("payload", "application/fhir+json; fhirVersion=5.0"), 422, "Subscription.channel.payload", "4.0"),
        (channel("header", ["Host: x"]), 422, "Subscription.channel.header[0]", "set by this service"),
        (channel("header", ["a: b", "nonsense"]), 422, "Subscription.channel.header[1]", "Name: value"),
        (extended(BACKPORT_HEARTBEAT, valueUnsignedInt=5), 422, "Subscription.channel.extension[0]", "valueUnsignedInt 5; expected valueUnsignedInt, 10 to 86400 seconds"),
        (extended(BACKPORT_HEARTBEAT, valueString="60"), 422, "Subscription.channel.extension[0]", "valueString '60'; expected valueUnsignedInt, 10"),
        (extended(BACKPORT_TIMEOUT, valueUnsignedInt=600), 422, "Subscription.channel.extension[0]", "valueUnsignedInt 600; expected valueUnsignedInt, 1 to 60"),
        (extended(BACKPORT_TIMEOUT, valueString="30"), 422, "Subscription.channel.extension[0]", "found backport-timeout with valueString '30'; expected"),
        (extended(BACKPORT_MAX_COUNT, valueString="20"), 422, "Subscription.channel.extension[0]", "valueString '20'; expected valuePositiveInt, 1 to 50"),
        (extended(BACKPORT_MAX_COUNT, valueUnsignedInt=20), 422, "Subscription.channel.extension[0]", "valueUnsignedInt 20; expected valuePositiveInt"),
        (extended(BACKPORT_MAX_COUNT, valuePositiveInt=51), 422, "Subscription.channel.extension[0]", "valuePositiveInt 51; expected valuePositiveInt, 1 to 50"),
        (channel("extension", 2 * [{"url": BACKPORT_MAX_COUNT, "valuePositiveInt": 3}]), 422, "Subscription.channel.extension[1]", "more than once"),
        (element("modifierExtension", [{"url": "http://x.example/not", "valueBoolean": True}]), 422, "Subscription.modifierExtension[0]", "found modifier extension http://x.example/not"),
        (channel("modifierExtension", [{"url": "http://x.example/not", "valueBoolean": True}]), 422, "Subscription.channel.modifierExtension[0]", "expected none"),
        (extended(LATEST_ONLY, valueString="yes"), 422, "Subscription.channel.extension[0]", "valueBoolean"),
        (extended("http://x.example", valueString="x"), 422, "Subscription.channel.extension[0]", "not served"),
    ],
)  # fmt: skip
@pytest.mark.requirement(
    "R-051",
    "R-053",
    "R-054",
    "R-055",
    "R-056",
    "R-057",
    "R-061",
    "R-062",
    "R-036",
    "R-121",
    "R-078",
    "R-135",
    "R-183",
    "R-188",
    "R-189",
)
def test_what_will_not_be_honoured_is_named(
    change: Callable[[Resource], Resource], status: int, expression: str, said: str
) -> None:
    error = refused(change(topical(HOOK)))
    assert error.status == status
    assert [(issue.expression, said in issue.diagnostics) for issue in error.issues] == [(expression, True)]


@pytest.mark.parametrize("mark", ["\\", " ", "\t", "\n", "\x7f", "\u00a0"])
@pytest.mark.parametrize("make", [topical, classic])
def test_what_cannot_be_in_a_url_is_refused_wherever_it_stands(
    make: Callable[[str], Resource], mark: str
) -> None:
    for endpoint in (
        f"https://a{mark}b/",
        f"{mark}https://a.example/",
        f"https://a.example/x{mark}y",
        f"https://a.example/{mark}",
    ):
        assert {issue.expression for issue in refused(make(endpoint)).issues} == {
            "Subscription.channel.endpoint"
        }


@pytest.mark.parametrize("make", [topical, classic])
@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..b", "127.1", "2130706433", "0x7f.1", "-bad-"])
def test_a_host_that_can_never_be_requested_is_refused(make: Callable[[str], Resource], host: str) -> None:
    (issue,) = refused(make(f"https://{host}/hook")).issues
    assert (issue.code, issue.expression) == ("value", "Subscription.channel.endpoint")
    assert f"found host '{host[:5]}" in issue.diagnostics
    assert "can never be requested" in issue.diagnostics


def test_a_port_that_nothing_listens_on_is_refused() -> None:
    (issue,) = refused(topical("https://provider.example:0/hook")).issues
    assert (issue.expression, issue.diagnostics) == (
        "Subscription.channel.endpoint",
        "found port 0, which nothing listens on; expected 1 to 65535",
    )


@pytest.mark.parametrize(
    "host",
    [
        "provider.example.",
        "b\u00fccher.example",
        "93.184.216.34",
        "[2606:2800:220:1:248:1893:25c8:1946]:8443",
    ],
)
def test_names_in_every_alphabet_and_whole_addresses_are_kept(host: str) -> None:
    assert admitted(topical(f"https://{host}/hook")).channel.endpoint == f"https://{host}/hook"


def test_headers_are_bounded_in_bytes() -> None:
    fits, over = ["X-A: " + "\u00e4" * 2000, "X-B: " + "\u00e4" * 2091], ["X-A: " + "\u00e4" * 4094]
    assert len(admitted(channel("header", fits)(topical(HOOK))).channel.headers) == 2
    (issue,) = refused(channel("header", over)(topical(HOOK))).issues
    assert (issue.code, issue.expression) == ("too-long", "Subscription.channel.header")


def test_the_most_events_that_may_be_asked_for_are_what_is_kept() -> None:
    assert [admitted(topical(HOOK, max_count=most)).channel.batch_size for most in (1, 50, None)] == [
        1,
        50,
        10,
    ]


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ("Patient?name=x", "expected MeasureReport"),
        ("/MeasureReport", "leading slash"),
        ("MeasureReport?colour=red", "colour"),
        ("MeasureReport?status:above=final", "above"),
    ],
)
def test_criteria_that_will_not_be_honoured_are_named(criteria: str, said: str) -> None:
    error = refused(element("criteria", criteria)(classic(HOOK)))
    assert error.status in {400, 422}
    assert [(i.expression, said in i.diagnostics) for i in error.issues] == [("Subscription.criteria", True)]


@pytest.mark.requirement("R-160", "R-033")
def test_a_websocket_is_for_a_topic_and_has_neither_endpoint_nor_headers() -> None:
    found = admitted(on_websocket("stage=settled", max_count=7, heartbeat=60))
    assert found.channel.type == "websocket"
    assert (found.channel.endpoint, found.channel.headers) == ("", ())
    assert (found.channel.batch_size, found.channel.heartbeat) == (7, 60)
    error = refused(channel("endpoint", HOOK)(channel("header", ["a: b"])(on_websocket())))
    assert error.status == 422
    assert [(issue.code, issue.expression) for issue in error.issues] == [
        ("not-supported", "Subscription.channel.endpoint"),
        ("not-supported", "Subscription.channel.header"),
    ]


@pytest.mark.requirement("R-160")
def test_criteria_that_are_a_search_are_not_told_over_a_websocket_and_it_says_why() -> None:
    resource = classic(HOOK)
    del resource["channel"]["endpoint"]
    (issue,) = refused(channel("type", "websocket")(resource)).issues
    assert (issue.code, issue.expression) == ("not-supported", "Subscription.channel.type")
    assert "bind has no token" in issue.diagnostics
    assert "a topic as criteria" in issue.diagnostics


@pytest.mark.requirement("R-052", "R-059")
def test_every_reason_is_given_at_once() -> None:
    resource = channel("type", "sms")(
        channel("payload", "text/plain")(element("end", "2026-01-01T00:00:00Z")(topical(HOOK, "colour=red")))
    )
    assert sorted(str(issue.expression) for issue in refused(resource).issues) == [
        "Subscription.channel.payload",
        "Subscription.channel.type",
        "Subscription.criteria.extension[0]",
        "Subscription.end",
    ]


@pytest.mark.requirement("R-040")
def test_what_is_no_subscription_by_its_structure_is_a_bad_request() -> None:
    resource = classic(HOOK)
    del resource["reason"]
    error = refused(resource)
    assert error.status == 400
    assert any(issue.expression == "Subscription.reason" for issue in error.issues)


@pytest.mark.requirement("R-062")
def test_backport_extensions_on_a_classic_subscription_are_ambiguous() -> None:
    error = refused(extended(BACKPORT_MAX_COUNT, valuePositiveInt=3)(classic(HOOK)))
    assert [issue.expression for issue in error.issues] == ["Subscription.channel.extension[0]"]


def test_the_latest_only_is_refused_where_it_would_mean_nothing() -> None:
    said = [
        (
            refused(classic(HOOK) | {"channel": topical(HOOK, latest_only=True)["channel"]}),
            "topic Subscriptions",
        ),
        (refused(topical(HOOK, content="empty", latest_only=True)), "names no report"),
        (
            refused(
                element("criteria", OURS + "SubscriptionTopic/metric-threshold")(
                    topical(HOOK, "metric-score=weighted-avg-star$lt3.5", latest_only=True)
                )
            ),
            "each crossing is told for itself",
        ),
    ]
    for error, words in said:
        assert error.status == 422
        assert any(words in issue.diagnostics for issue in error.issues), (words, error)
    assert admitted(topical(HOOK, latest_only=True)).channel.latest_only
    assert not admitted(topical(HOOK)).channel.latest_only


def test_what_the_command_line_asks_for_is_what_is_admitted() -> None:
    options = Wanted(HOOK, topic="report-settled", filters=["stage=settled"], max_count=3, latest_only=True)
    found = admitted(resource(options))
    assert found.channel.latest_only
    assert (found.channel.batch_size, found.filters) == (3, ("stage=settled",))
    assert not admitted(resource(Wanted(HOOK, topic="report-settled"))).channel.latest_only


@pytest.mark.requirement("R-034", "R-035", "R-060")
def test_a_topic_subscription_needs_a_payload_level() -> None:
    resource = topical(HOOK)
    del resource["channel"]["_payload"]
    assert any("empty, id-only or full-resource" in issue.diagnostics for issue in refused(resource).issues)


def levels(*values: dict[str, object]) -> Callable[[Resource], Resource]:
    return channel("_payload", {"extension": [{"url": BACKPORT_PAYLOAD_CONTENT, **each} for each in values]})


@pytest.mark.requirement("R-034", "R-035")
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([{"valueCode": "empty"}, {"valueCode": "full-resource"}], "backport-payload-content more than once"),
        ([{"valueCode": "empty"}, {"valueCode": "empty"}], "backport-payload-content more than once"),
        ([{"valueString": "id-only"}], "with valueString 'id-only'; expected valueCode, empty, id-only or"),
        ([{"valueCode": "everything"}], "with valueCode 'everything'; expected valueCode, empty"),
        ([{"extension": [{"url": "http://x.example", "valueCode": "empty"}]}], "with no value; expected"),
    ],
)
def test_there_is_one_payload_level_and_it_is_a_code(values: list[dict[str, object]], said: str) -> None:
    (issue,) = refused(levels(*values)(topical(HOOK))).issues
    assert issue.expression == "Subscription.channel.payload.extension"
    assert said in issue.diagnostics


R5_CONTENT = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Subscription.content"


@pytest.mark.requirement("R-009", "R-062")
@pytest.mark.parametrize("make", [topical, classic])
def test_whatever_stands_on_the_payload_and_is_not_served_is_refused(
    make: Callable[[str], Resource],
) -> None:
    resource = make(HOOK)
    there = resource["channel"].get("_payload", {}).get("extension", [])
    added = {"extension": [*there, {"url": R5_CONTENT, "valueCode": "empty"}]}
    (issue,) = refused(channel("_payload", added)(resource)).issues
    assert (issue.code, issue.expression) == ("not-supported", "Subscription.channel.payload.extension")
    assert R5_CONTENT in issue.diagnostics


@pytest.mark.requirement("R-009", "R-062")
@pytest.mark.parametrize("url", [BACKPORT_FILTER, LATEST_ONLY, R5_CONTENT])
@pytest.mark.parametrize("make", [topical, classic])
@pytest.mark.parametrize(
    ("put", "on"),
    [
        (lambda found: channel("_endpoint", found), "Subscription.channel.endpoint"),
        (lambda found: channel("_header", [found]), "Subscription.channel.header[0]"),
        (lambda found: element("_reason", found), "Subscription.reason"),
        (lambda found: element("_end", found), "Subscription.end"),
    ],
)
def test_what_says_how_to_serve_it_is_refused_on_an_element_that_is_not_read_for_it(
    put: Callable[[Resource], Callable[[Resource], Resource]],
    on: str,
    make: Callable[[str], Resource],
    url: str,
) -> None:
    resource = channel("header", ["a: b"])(element("end", "2027-01-01T00:00:00Z")(make(HOOK)))
    (issue,) = refused(put({"extension": [{"url": url, "valueString": "empty"}]})(resource)).issues
    assert (issue.code, issue.expression) == ("not-supported", f"{on}.extension[0]")
    assert url in issue.diagnostics
    own = put({"extension": [{"url": "https://provider.example/ticket", "valueString": "42"}]})(resource)
    kept = admitted(own).resource
    assert {**kept, "status": "requested"} == own


@pytest.mark.requirement("R-189", "R-184")
def test_a_header_value_is_never_quoted() -> None:
    error = refused(channel("header", ["s3cret without a name"])(classic(HOOK)))
    assert "s3cret" not in str(error)


@pytest.mark.requirement("R-009", "R-058", "R-062")
def test_a_custom_channel_type_and_r5_s_own_extensions_are_refused_by_name() -> None:
    custom = {
        "extension": [{"url": BACKPORT_CHANNEL_TYPE, "valueCoding": {"system": "urn:x", "code": "kafka"}}]
    }
    error = refused(channel("_type", custom)(topical(HOOK)))
    assert [(issue.expression, issue.code) for issue in error.issues] == [
        ("Subscription.channel.type.extension", "not-supported")
    ]
    r5 = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Subscription.maxCount"
    error = refused(extended(r5, valuePositiveInt=3)(topical(HOOK)))
    assert r5 in str(error)


@pytest.mark.requirement("R-009", "R-062")
@pytest.mark.parametrize(
    ("url", "value"),
    [
        (BACKPORT_FILTER, {"valueString": "stage=settled"}),
        (BACKPORT_MAX_COUNT, {"valuePositiveInt": 3}),
        (LATEST_ONLY, {"valueBoolean": True}),
        ("http://hl7.org/fhir/5.0/StructureDefinition/extension-Subscription.filterBy", {"valueString": "x"}),
        (
            "http://hl7.org/fhir/5.0/StructureDefinition/extension-Subscription.content",
            {"valueCode": "empty"},
        ),
    ],
)
def test_what_stands_where_it_is_not_read_is_refused(url: str, value: dict[str, object]) -> None:
    error = refused(element("extension", [{"url": url, **value}])(topical(HOOK)))
    assert [(issue.expression, issue.code) for issue in error.issues] == [
        ("Subscription.extension[0]", "not-supported")
    ]
    assert url in str(error)


def test_extensions_that_concern_the_client_alone_are_kept() -> None:
    own = [
        {"url": "https://provider.example/ticket", "valueString": "42"},
        {
            "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-Subscription.name",
            "valueString": "x",
        },
    ]
    assert admitted(element("extension", own)(topical(HOOK))).resource["extension"] == own


@pytest.mark.parametrize(
    "end", ["9999-12-31T23:59:59-14:00", "2027-01-01T23:59:60Z", "2027-01-01T00:00:00.123456789Z"]
)
def test_an_end_that_python_cannot_say_is_as_near_as_it_can(end: str) -> None:
    found = admitted(element("end", end)(topical(HOOK)))
    assert found.ends_at is not None
    assert found.ends_at.year in {2027, 9999}
    assert found.resource["end"] == end
