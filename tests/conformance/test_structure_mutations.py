"""The gate against fhir.resources, over thousands of broken reports: the guide's, our own, and made-up ones.

The gate rejects all that the models reject; what it alone rejects is of a kind that stands on the list with its
reason (`tests.pure.structure_cases.GATE_ALONE`).
"""

from __future__ import annotations

import copy
import random
from functools import cache
from typing import Any

import orjson
import pytest

from schemas.structure.gate import check_structure
from tests.conformance.generated import Maker
from tests.guide import ARTIFACTS
from tests.pure.structure_cases import NAMES, WRONG, Json, listed, names, oracle_rejects, places, resource

EACH = 150
"""Broken resources a seed."""

TYPES = ("MeasureReport", "MeasureReport", "MeasureReport", "Measure", "Organization", "Group")
SMALL = 8_000
"""Bytes up to which a resource is broken here: the models take 38 ms for a large one."""


@cache
def _of_the_guide() -> list[bytes]:
    folder = ARTIFACTS / "vbpr" if ARTIFACTS else None
    files = (
        [] if folder is None else sorted([*folder.glob("Measure*.json"), *folder.glob("next/Group*.json")])
    )
    found = [orjson.loads(file.read_bytes()) for file in files]
    for one in found:
        one.pop("text", None)
    return [text for one in found if len(text := orjson.dumps(one)) < SMALL]


def _made_up(seed: int, chance: random.Random) -> Json:
    return Maker(seed * EACH + chance.randrange(EACH)).resource(chance.choice(TYPES))


def _our_own(_: int, chance: random.Random) -> Json:
    return resource(chance.choice(names()))


def _real(_: int, chance: random.Random) -> Json:
    value: Json = orjson.loads(chance.choice(_of_the_guide()))
    return value


def _broken(value: Json, chance: random.Random) -> Json:
    """Return the resource with one to three changes anywhere in it."""
    for _ in range(chance.randint(1, 3)):
        node, key = chance.choice(places(value))
        match chance.choice(("drop", "wrong", "wrong", "add", "wrap", "swap", "double")):
            case "drop":
                del node[key]
            case "wrong":
                node[key] = copy.deepcopy(chance.choice(WRONG))
            case "wrap":
                node[key] = node[key][0] if isinstance(node[key], list) and node[key] else [node[key]]
            case "swap":
                node[key] = str(node[key])
            case "double" if isinstance(node, list):
                node.append(copy.deepcopy(node[key]))
            case _:
                target = node[key] if isinstance(node[key], dict) else value
                target[chance.choice(NAMES)] = copy.deepcopy(chance.choice(WRONG))
        if not places(value):
            break
    value.setdefault("resourceType", "MeasureReport")
    if not isinstance(value["resourceType"], str):
        value["resourceType"] = "MeasureReport"
    return value


def _judge(source: Any, seed: int) -> None:
    chance = random.Random(seed)
    rejected = 0
    for _ in range(EACH):
        value = _broken(source(seed, chance), chance)
        issues = check_structure(value)
        if oracle_rejects(value):
            rejected += 1
            assert issues, orjson.dumps(value)
        else:
            assert [issue for issue in issues if not listed(issue)] == [], orjson.dumps(value)
    assert rejected > EACH / 5, "most changes break something"


@pytest.mark.parametrize("seed", range(8))
def test_made_up_resources_that_were_broken(seed: int) -> None:
    _judge(_made_up, seed)


@pytest.mark.parametrize("seed", range(8))
def test_resources_of_our_own_that_were_broken(seed: int) -> None:
    _judge(_our_own, seed)


@pytest.mark.guide
@pytest.mark.parametrize("seed", range(8))
def test_resources_of_the_guide_that_were_broken(seed: int) -> None:
    _judge(_real, seed)


@pytest.mark.parametrize("kind", sorted(set(TYPES)))
def test_what_is_made_up_is_right_by_both(kind: str) -> None:
    sizes = 0
    for seed in range(50):
        value = Maker(seed).resource(kind)
        assert check_structure(value) == [], orjson.dumps(value)
        assert not oracle_rejects(value), orjson.dumps(value)
        sizes += len(orjson.dumps(value))
    assert sizes / 50 > 200, "more than what R4 demands"


@pytest.mark.guide
def test_real_resources_were_found() -> None:
    assert len(_of_the_guide()) > 20
