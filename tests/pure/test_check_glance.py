"""Where a glance finds nothing wrong, nothing is: it and the walk agree, over thousands of changed resources."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas import examples
from schemas.fhir import METRIC_SYSTEM
from schemas.outcome import Issue
from schemas.structure.gate import check_structure
from services.publisher.check.editions import Edition, Profile, Standard, standard
from services.publisher.check.extensions import URLS
from services.publisher.check.glance import Glance, glance
from services.publisher.check.rules import rules
from services.publisher.check.tree import Tree, grow
from services.publisher.check.walk import findings
from tests.guide import ARTIFACTS
from tests.pure import full_resources as full
from tests.pure.broken_rules import BROKEN, Broken
from tests.pure.changes import Json
from tests.pure.structure_cases import places

EACH = 300
TYPES = ("MeasureReport", "Measure")
OFFICIAL = [
    path
    for kind in TYPES
    for path in sorted(() if ARTIFACTS is None else (ARTIFACTS / "vbpr").rglob(f"{kind}-*.json"))
]
OWN = [path for path in (*examples.reports(), *examples.contracts()) if path != examples.large()]
WHOLE = (
    full.performance, full.later_performance, full.quality, full.first_quality, full.contract, full.first_contract,
)  # fmt: skip
STANDARDS = [Standard(profile, edition) for profile in Profile for edition in Edition]

VALUES: tuple[Any, ...] = (
    "x", "vbp", "summary", "individual", "composed-of", "depends-on", "2024", "2019-01-01", "2030-12-31", 0, 1, 1.5, True,
    {"reference": "Group/1"}, {"reference": "Practitioner/1"}, {"reference": "Organization/1"}, {"display": "x"},
    {"coding": [{"system": METRIC_SYSTEM, "code": "revenue"}]}, {"coding": [{"code": "vbp"}, {"code": "vbp"}]},
    {"text": "x"}, {"start": "2024-01-01", "end": "2024-12-31"}, {"start": "2024"}, {"value": 2, "unit": "USD"},
    {"identifier": {"value": "x"}, "type": "Group"},
)  # fmt: skip
NAMES = (
    "subject", "reporter", "improvementNotation", "evaluatedResource", "group", "population", "stratifier", "stratum",
    "code", "component", "value", "count", "measure", "scoring", "title", "version", "_measure", "_type", "_count", "contained",
)  # fmt: skip


@cache
def _tree(by: Standard) -> Tree:
    kept = (rule for rule in rules(by) if rule.severity == "error")
    return grow(kept, "Measure" if by.profile is Profile.CONTRACT else "MeasureReport")


@cache
def _glance(by: Standard) -> Glance:
    return glance(_tree(by))


def _walked(resource: Json, by: Standard) -> list[Issue]:
    return findings(_tree(by), resource, most=100)


def _standard(resource: Json) -> Standard:
    by = standard(resource)
    assert by is not None
    return by


@pytest.mark.parametrize("path", [*OWN, examples.large()], ids=lambda path: path.stem)
def test_a_glance_is_enough_for_examples_of_our_own(path: Path) -> None:
    resource = orjson.loads(path.read_bytes())

    assert _glance(_standard(resource))(resource)


@pytest.mark.guide
@pytest.mark.parametrize("path", OFFICIAL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_glance_is_enough_for_official_examples(path: Path) -> None:
    resource = orjson.loads(path.read_bytes())

    assert _glance(_standard(resource))(resource)


@pytest.mark.parametrize(
    "broken", BROKEN, ids=[f"{place}-{row.profile}-{row.rule}" for place, row in enumerate(BROKEN)]
)
def test_a_glance_sees_each_broken_rule(broken: Broken) -> None:
    resource = broken.whole()
    broken.change(resource)
    by = _standard(resource)

    if check_structure(resource) == [] and _walked(resource, by):
        assert not _glance(by)(resource)


@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: str(whole.__name__))
def test_a_glance_sees_an_extension_wherever_it_has_no_place(whole: Callable[[], Json]) -> None:
    by, found = _standard(whole()), 0
    for place in range(len(_objects(whole()))):
        for url in (*_tree(by).placed, "https://x.example"):
            resource = whole()
            element = _objects(resource)[place]
            element["extension"] = [*element.get("extension", ()), {"url": url, "valueString": "x"}]
            if _walked(resource, by):
                found += 1
                assert not _glance(by)(resource), (url, element)
    assert found > 500


def _objects(resource: Json) -> list[Json]:
    """Return the resource and all objects in it."""
    return [resource, *(one[key] for one, key in places(resource) if isinstance(one[key], dict))]


@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: str(whole.__name__))
def test_a_glance_is_enough_beside_extensions_of_a_payer(whole: Callable[[], Json]) -> None:
    resource = whole()
    inner: Json = {"url": "b", "extension": [{"url": "c", "valueString": "x"}]}
    own = {"url": "https://plan.example/own", "extension": [inner, {"url": "d", "valueDate": "2024-01-01"}]}
    for element in (resource, resource["group"][0]):
        element["extension"] = [*element.get("extension", ()), own]
    assert check_structure(resource) == []

    assert _glance(_standard(resource))(resource)
    inner["extension"].append({"url": URLS["score"], "valueDecimal": 1})
    assert not _glance(_standard(resource))(resource)


@pytest.mark.parametrize("seed", range(20))
def test_where_a_glance_finds_nothing_wrong_the_walk_finds_nothing(seed: int) -> None:
    chance = random.Random(seed)
    right = wrong = 0
    for _ in range(EACH):
        resource = _changed(_some(chance), chance)
        if check_structure(resource):
            continue  # then it is walked
        contract = resource["resourceType"] == "Measure"
        for by in [one for one in STANDARDS if (one.profile is Profile.CONTRACT) is contract]:
            if _glance(by)(resource):
                right += 1
                assert _walked(resource, by) == [], orjson.dumps(resource)
            else:
                wrong += 1
    assert right > EACH / 10, "a glance is often enough"
    assert wrong > EACH / 10


def _some(chance: random.Random) -> Json:
    texts = _texts()
    place = chance.randrange(len(WHOLE) + len(texts))
    return WHOLE[place]() if place < len(WHOLE) else orjson.loads(texts[place - len(WHOLE)])


@cache
def _texts() -> list[bytes]:
    return [path.read_bytes() for path in OWN]


def _changed(resource: Json, chance: random.Random) -> Json:
    """Return the resource with one to three changes that the structure often allows."""
    for _ in range(chance.randint(1, 3)):
        found = places(resource)
        node, key = chance.choice(found)
        extensions = [one[place] for one, place in found if place == "extension"]
        some = chance.choice(extensions) if extensions else []
        match chance.choice(("drop", "double", "value", "member", "url", "move", "move")):
            case "drop" if key not in {"resourceType", "meta"}:
                del node[key]
            case "double" if isinstance(node, list):
                node.append(copy.deepcopy(node[key]))
            case "value" if key not in {"resourceType", "meta"}:
                node[key] = copy.deepcopy(
                    chance.choice([one for one in VALUES if type(one) is type(node[key])] or [node[key]])
                )
            case "member" if isinstance(node, dict):
                node[chance.choice(NAMES)] = copy.deepcopy(chance.choice(VALUES))
            case "url" if isinstance(some, list) and some:
                some[0] = {
                    **some[0],
                    "url": chance.choice([*URLS.values(), "type", "baseline", "https://x.example"]),
                }
            case "move" if isinstance(some, list) and some:
                objects = [one for one, _ in found if isinstance(one, dict)]
                where = chance.choice(("extension", "extension", "modifierExtension", "_status"))
                moved = [copy.deepcopy(chance.choice(some))]
                chance.choice(objects)[where] = {"extension": moved} if where == "_status" else moved
            case _:
                pass
    resource.setdefault("resourceType", "MeasureReport")
    return resource
