"""The checker that every notification goes through finds what is wrong, and nothing in the guide's good examples."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.notifier.model import ChannelType
from services.notifier.render.backport import handshake_bundle
from tests import guide
from tests.notification import check_notification
from tests.pure.test_render import BASE, NOW, sent, topic_channel
from tests.pure.test_render import owed as event

FULL = sent(topic_channel("full-resource"), event(3), event(4, "update"))[1]
EMPTY = sent(topic_channel("empty"), event(1))[1]
IDS = sent(topic_channel("id-only"), event(1))[1]
REPORT = {
    "resourceType": "MeasureReport", "id": "r3", "status": "complete", "type": "summary",
    "measure": "https://x.example/M", "period": {"start": "2026-01-01", "end": "2026-03-31"},
}  # fmt: skip
for _place, _name in ((1, "r3"), (2, "r4")):
    FULL["entry"][_place]["resource"] = {**REPORT, "id": _name}

Change = Callable[[dict[str, Any]], Any]


def parameters(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bundle["entry"][0]["resource"]["parameter"]
    return found


@pytest.mark.parametrize("bundle", [FULL, EMPTY, IDS], ids=["full-resource", "empty", "id-only"])
def test_a_good_one_is_good(bundle: dict[str, Any]) -> None:
    assert check_notification(bundle) == []


@pytest.mark.parametrize(
    ("bundle", "change", "said"),
    [
        (FULL, lambda b: b.update(type="collection"), "R-080"),
        (FULL, lambda b: b.pop("timestamp"), "R-087"),
        (FULL, lambda b: b["entry"].reverse(), "R-081"),
        (FULL, lambda b: b["entry"].append(b["entry"][0]), "R-082"),
        (FULL, lambda b: b["entry"][1].pop("request"), "R-083"),
        (FULL, lambda b: b["entry"][1].pop("response"), "R-083"),
        (FULL, lambda b: b["entry"][0]["request"].update(url="Subscription/s2/$status"), "R-084"),
        (FULL, lambda b: b["entry"][2]["request"].update(url="MeasureReport"), "R-085"),
        (FULL, lambda b: b["entry"][1].pop("fullUrl"), "R-086"),
        (FULL, lambda b: b["entry"][1].update(fullUrl="https://x.example/MeasureReport/r9"), "R-086"),
        (FULL, lambda b: b["entry"][1].pop("resource"), "R-088"),
        (FULL, lambda b: b["entry"].pop(), "R-103"),
        (FULL, lambda b: parameters(b)[5]["part"].append(parameters(b)[5]["part"][0]), "R-089"),
        (FULL, lambda b: parameters(b)[4].update(valueString="9"), "R-112"),
        (FULL, lambda b: parameters(b)[2].update(valueCode="error"), "R-092"),
        (FULL, lambda b: parameters(b)[3].update(valueCode="heartbeat"), "R-095"),
        (FULL, lambda b: parameters(b)[4].pop("valueString"), "events-since"),
        (FULL, lambda b: parameters(b).insert(0, {"name": "colour", "valueString": "red"}), "unknown parameter"),
        (FULL, lambda b: parameters(b)[5]["part"][0].update(valueString="2"), "a gap"),
        (FULL, lambda b: b.update(type=7), "R4"),
        (EMPTY, lambda b: parameters(b)[4]["part"][0].update(name="number"), "R-089"),
        (IDS, lambda b: parameters(b)[5]["part"].pop(), "R-101"),
        (IDS, lambda b: parameters(b)[4].update(valueString="none"), "R-093"),
    ],
)  # fmt: skip
@pytest.mark.requirement(
    "R-080", "R-081", "R-082", "R-083", "R-084", "R-085", "R-086", "R-087", "R-088", "R-089", "R-133"
)
def test_what_is_wrong_is_found(bundle: dict[str, Any], change: Change, said: str) -> None:
    broken = copy.deepcopy(bundle)
    change(broken)
    assert any(said in problem for problem in check_notification(broken)), check_notification(broken)


def subscription(content: str, most: int | None = None) -> dict[str, Any]:
    prefix = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
    channel: dict[str, Any] = {
        "_payload": {"extension": [{"url": f"{prefix}backport-payload-content", "valueCode": content}]}
    }
    if most is not None:
        channel["extension"] = [{"url": f"{prefix}backport-max-count", "valuePositiveInt": most}]
    topic = next(each["valueCanonical"] for each in parameters(FULL) if each["name"] == "topic")
    return {"id": "s1", "criteria": topic, "channel": channel}


@pytest.mark.parametrize(
    ("bundle", "promised", "said"),
    [
        (FULL, subscription("id-only"), "R-103"),
        (IDS, subscription("empty"), "R-101"),
        (EMPTY, subscription("full-resource"), "R-101"),
        (FULL, subscription("full-resource", 1), "R-117"),
        (FULL, {**subscription("full-resource"), "id": "s2"}, "R-082"),
        (FULL, {**subscription("full-resource"), "criteria": "https://x.example/t"}, "asked for was"),
    ],
)
@pytest.mark.requirement("R-107", "R-117")
def test_what_was_promised_is_held_against_it(bundle: Any, promised: Any, said: str) -> None:
    assert check_notification(FULL, subscription("full-resource", 2)) == []
    assert any(said in problem for problem in check_notification(bundle, promised))


@pytest.mark.requirement("R-073", "R-092")
def test_a_handshake_says_the_status_that_its_subscription_has_on_its_channel() -> None:
    pairs: tuple[tuple[ChannelType, ChannelType], ...] = (
        ("rest-hook", "websocket"),
        ("websocket", "rest-hook"),
    )
    for kind, other in pairs:
        channel = replace(topic_channel("id-only"), type=kind)
        bundle = json.loads(handshake_bundle(channel, events=0, base=BASE, now=NOW))
        promised = subscription("id-only")
        told = {
            name: {**promised, "channel": {**promised["channel"], "type": name}} for name in (kind, other)
        }
        assert check_notification(bundle, told[kind]) == []
        assert any("R-092" in problem for problem in check_notification(bundle, told[other]))


def _examples() -> list[Path]:
    if guide.ARTIFACTS is None:
        return []
    return sorted((guide.ARTIFACTS / "subscriptions" / "derived").glob("Bundle-*.json"))


@pytest.mark.guide
@pytest.mark.parametrize("path", _examples(), ids=lambda path: path.stem)
def test_the_guide_s_own_shapes_are_good(path: Path) -> None:
    bundle = json.loads(path.read_text())
    if bundle["type"] == "history":
        assert [each for each in check_notification(bundle) if not _free(each)] == []


def _free(problem: str) -> bool:
    """Tell whether the guide leaves free what ours always do the same way."""
    return problem.startswith(("R-085", "R-095", "R-103: entries", "status: the order"))
