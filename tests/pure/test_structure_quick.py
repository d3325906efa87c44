"""What is quickly seen to be right is right: the quick schema lets nothing pass that the schema refuses."""

from __future__ import annotations

import copy
import random
from datetime import date, timedelta
from functools import cache
from typing import Any

import jsonschema_rs
import orjson
import pytest

from schemas import examples
from schemas.structure.bindings import ROOTS
from schemas.structure.gate import compiled, r4_schema
from schemas.structure.quick import quick
from schemas.structure.values import FORMATS, reference_to
from tests.guide import ARTIFACTS
from tests.pure.structure_cases import NAMES, WRONG, Json, names, places, resource

OFFICIAL = [
    path
    for kind in ROOTS
    for path in sorted(() if ARTIFACTS is None else (ARTIFACTS / "vbpr").rglob(f"{kind}-*.json"))
]
EACH = 400


@cache
def _validators(kind: str) -> tuple[jsonschema_rs.Draft4Validator, jsonschema_rs.Draft4Validator]:
    return compiled(quick(r4_schema()), kind), compiled(r4_schema(), kind)


@cache
def _of_format(form: str) -> jsonschema_rs.Draft4Validator:
    said = quick({"definitions": {"Extension": {"properties": {}}}, "type": "string", "format": form})
    return jsonschema_rs.Draft4Validator(said)


@pytest.mark.parametrize(
    "path", [*examples.reports(), *examples.contracts(), *examples.parties()], ids=lambda path: path.stem
)
def test_examples_of_our_own_are_quickly_seen_to_be_right(path: Any) -> None:
    value = orjson.loads(path.read_bytes())

    assert _validators(value["resourceType"])[0].is_valid(value)


@pytest.mark.guide
@pytest.mark.parametrize("path", OFFICIAL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_official_examples_are_quickly_seen_to_be_right(path: Any) -> None:
    value = orjson.loads(path.read_bytes())

    assert _validators(value["resourceType"])[0].is_valid(value)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_quickly_seen_to_be_right_is_right(seed: int) -> None:
    chance = random.Random(seed)
    passed = 0
    for _ in range(EACH):
        value = _changed(resource(chance.choice(names())), chance)
        soon, surely = _validators(value["resourceType"])
        if soon.is_valid(value):
            passed += 1
            assert surely.is_valid(value), orjson.dumps(value)
    assert EACH / 10 < passed < EACH, "some changes break something, and some do not"


def _changed(value: Json, chance: random.Random) -> Json:
    """Return the resource with one change in it; extensions are where the two schemas differ most."""
    kind = value["resourceType"]
    node, key = chance.choice(places(value))
    others = [one for one, place in places(value) if place == "url" and isinstance(one, dict)]
    extension = chance.choice(others) if others else value
    match chance.choice(("drop", "wrong", "same type", "extension")):
        case "drop":
            del node[key]
        case "wrong":
            node[key] = copy.deepcopy(chance.choice(WRONG))
        case "same type":
            node[key] = copy.deepcopy(
                chance.choice([one for one in WRONG if type(one) is type(node[key])] or [node[key]])
            )
        case _:
            name = chance.choice(
                [*(name for name in NAMES if name.startswith("v")), "id", "extension", "_valueDate"]
            )
            if chance.random() < 0.5:
                for member in [one for one in extension if one != "url"]:
                    del extension[member]
            extension[name] = chance.choice(
                ["x", "2024-02-29", {"value": 1}, {"reference": "Group/1"}, [{"url": "x", "valueCode": "y"}]]
            )
    value["resourceType"] = kind
    return value


@pytest.mark.parametrize("form", ["date", "dateTime", "instant", "time"])
def test_dates_and_times_are_the_same_in_both(form: str) -> None:
    def agree(text: str) -> None:
        assert _of_format(form).is_valid(text) is FORMATS[form](text), text

    day = date(1, 1, 1)
    while day.year < 9999:
        day += timedelta(days=37)
        agree(day.isoformat())
    for year in ("0000", "0001", "1900", "2000", "2023", "2024", "2100", "0004", "0400", "9996", "9999"):
        agree(year)
        for month in range(14):
            agree(f"{year}-{month:02}")
            for number in (0, 1, 28, 29, 30, 31, 32):
                agree(f"{year}-{month:02}-{number:02}")
                agree(f"{year}-{month:02}-{number:02}T10:00:00Z")
    for time in (
        "00:00:00",
        "23:59:60",
        "24:00:00",
        "10:60:00",
        "10:00:61",
        "10:00",
        "10:00:00.",
        "10:00:00.123456789",
    ):
        agree(time)
        for zone in ("", "Z", "z", "+00:00", "-14:00", "+14:01", "+13:59", "+15:00", "+1:00", "+10", "Z\n"):
            agree(f"2024-02-29T{time}{zone}")
            agree(f"2024-02-29 {time}{zone}")


@pytest.mark.parametrize("form", ["reference", "reference:Group|Patient"])
def test_a_reference_that_is_quickly_right_is_right(form: str) -> None:
    soon, chance, passed = _of_format(form), random.Random(form), 0
    parts = ("Group", "Patient", "List", "group", "1", "a-1.b", "_history", "x" * 65, "", "https:", "urn:uuid:1", "#", "#a", "é", " ", "?")  # fmt: skip
    targets = (
        reference_to(frozenset(form.partition(":")[2].split("|"))) if ":" in form else FORMATS["reference"]
    )
    for _ in range(20_000):
        text = "/".join(chance.choices(parts, k=chance.randint(1, 6)))
        if soon.is_valid(text):
            passed += 1
            assert FORMATS["reference"](text), text
            assert targets(text), text
    assert passed > 100
    assert all(
        soon.is_valid(text) for text in ("Group/1", "https://x.example/fhir/Group/1/_history/2", "#", "#a")
    )


def test_blanks_are_the_same_in_both() -> None:
    soon = jsonschema_rs.Draft4Validator(
        quick({"definitions": {"Extension": {"properties": {}}}, "type": "string", "pattern": r"^\S+$"})
    )
    surely = jsonschema_rs.Draft4Validator({"type": "string", "pattern": r"^\S+$"})
    for number in (*range(0xD800), *range(0xE000, 0x10000)):
        assert soon.is_valid(f"a{chr(number)}b") is surely.is_valid(f"a{chr(number)}b"), hex(number)
    assert not soon.is_valid("")
