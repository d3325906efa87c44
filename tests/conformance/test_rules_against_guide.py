"""The rule table against the guide's own StructureDefinitions: what they demand beyond R4 has a row, or a reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.publisher.check import codes
from services.publisher.check.editions import Edition, Profile, Standard
from services.publisher.check.extensions import URLS
from services.publisher.check.rule import Bound, Cardinality, Context, Fixed, Holds, Rule, Supported
from services.publisher.check.rules import rules
from tests.guide import ARTIFACTS

pytestmark = pytest.mark.guide

Json = dict[str, Any]
GUIDE = (ARTIFACTS or Path()) / "vbpr"
PROFILES = (
    ("StructureDefinition-vbp-performance-measurereport.json", Standard(Profile.PERFORMANCE, Edition.STU1_1)),
    (
        "next/StructureDefinition-vbp-performance-measurereport.json",
        Standard(Profile.PERFORMANCE, Edition.LATER),
    ),
    ("StructureDefinition-vbp-quality-measurereport.json", Standard(Profile.QUALITY, Edition.STU1_1)),
    ("StructureDefinition-vbp-measure.json", Standard(Profile.CONTRACT, Edition.STU1_1)),
)
NAMES = {url: name for name, url in URLS.items()}

NO_ROW = {
    "resource-types": "Reference.type: Target compares it; other types of resource are no VBPR concern",
    "quantity-comparator": "R4's own, required: the structure gate has it",
    "related-artifact-type": "R4's own, required: the structure gate has it",
    "measure-report-status": "R4's own, required: the structure gate has it",
}
"""Bindings of the snapshots without a row."""

IMPLIED = {
    ("extension", "min"): "vbpr-category demands one extension by name",
    ("subject.extension", "min"): "vbpr-provider demands one by name",
    ("relatedArtifact(type=composed-of).extension", "min"): "vbpr-contractual-status demands one by name",
    ("relatedArtifact(type=composed-of).type", "min"): "what is told apart by its type has one",
    ("relatedArtifact(type=composed-of).type", "max"): "R4's own",
    ("relatedArtifact(type=composed-of).url", "max"): "R4's own",
    (
        "group.stratifier.stratum.population.extension(measurereport-countQuantity)",
        "max",
    ): "deqm-9 and the count that deqm-stratum-count demands leave no place for one",
}
"""Cardinalities of the snapshots without a row, with the reason."""

IN_OTHER_WORDS = {
    "group.stratifier.stratum.population.extension(measurereport-countQuantity)": "deqm-9",
    "extension(measureScoring)": "deqm-3",
    "group.extension(measureScoring)": "deqm-3",
    "group.extension(groupImprovementNotation)": "deqm-4",
    "group.population.count": "deqm-8",
    "group.population.extension(measurereport-countQuantity)": "deqm-8",
    "group.stratifier.code": "deqm-7",
    "group.stratifier.stratum.value": "mrp-2",
    "group.stratifier.stratum.component.code": "",
    "group.stratifier.stratum.component.value": "",
    "evaluatedResource(qualityReport)": "supported-evaluated-resource",
    "evaluatedResource(qualityReport).extension(group-reference)": "supported-group-reference",
    "relatedArtifact": "supported-component",
    "relatedArtifact(type=composed-of).type": "supported-component",
}
"""Must Support elements without a row of their own: the rule that misses them; "" where R4 demands them."""


def _elements(name: str) -> list[Json]:
    found: list[Json] = orjson.loads((GUIDE / name).read_bytes())["snapshot"]["element"]
    return found


def _base(kind: str) -> dict[str, Json]:
    return {each["path"]: each for each in _elements(f"parents/StructureDefinition-{kind}.json")}


def _path(element_id: str, slices: dict[str, str]) -> str:
    """Return the path of our table for an element's id in a snapshot."""
    here, out = "", []
    for part in element_id.split(".")[1:]:
        here = f"{here}.{part}"
        name, _, slice_name = part.partition(":")
        if name == "extension" and slice_name:
            out.append(f"extension({slices.get(here, slice_name)})")
        elif part == "relatedArtifact:component":
            out.append("relatedArtifact(type=composed-of)")
        elif slice_name:
            out.append(f"{name}({slice_name})")
        else:
            out.append(name)
    return ".".join(out)


def _slices(elements: list[Json]) -> dict[str, str]:
    """Return the short name of the extension each slice is for, by the id of the slice without its type."""
    out: dict[str, str] = {}
    for element in elements:
        for kind in element.get("type", ()):
            for profile in kind.get("profile", ()):
                url = profile.partition("|")[0]
                if url in NAMES:
                    out["." + element["id"].partition(".")[2]] = NAMES[url]
    return out


def _demands(name: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (path, what, value) for everything a profile's snapshot demands beyond R4."""
    elements = _elements(name)
    slices = _slices(elements)
    base = _base(elements[0]["path"])
    for element in elements:
        path, before = _path(element["id"], slices), base.get(element["path"])
        inside = before is None
        sliced = ":" in element["id"].rpartition(".")[2]
        if element["path"] == elements[0]["path"]:
            pass
        elif sliced or inside:
            if element.get("min") and not (inside and not sliced and _of_datatype(element)):
                yield path, "min", element["min"]
            if element.get("max") not in {None, "*"} and not (
                inside and not sliced and _of_datatype(element)
            ):
                yield path, "max", int(element["max"])
        else:
            assert before is not None
            if element["min"] > before["min"]:
                yield path, "min", element["min"]
            if element["max"] != before["max"]:
                yield path, "max", int(element["max"])
        for key in element:
            if key.startswith("fixed") and not path.endswith(".url"):
                yield path, "fixed", element[key]
        binding = element.get("binding")
        if (
            binding
            and binding["strength"] in {"required", "extensible"}
            and (before is None or binding != before.get("binding"))
        ):
            yield path, "binding", binding
        for constraint in element.get("constraint", ()):
            if constraint["key"].startswith(("deqm-", "mrp-")):
                yield path, "constraint", constraint["key"]
        if element.get("mustSupport"):
            yield path, "must support", True


def _of_datatype(element: Json) -> bool:
    """Tell whether it is an element of a data type, which demands there what the type demands anywhere."""
    last = element["path"].rpartition(".")[2]
    usual = {
        "id": (0, "1"),
        "extension": (0, "*"),
        "url": (1, "1"),
        "code": (0, "1"),
        "userSelected": (0, "1"),
    }
    here = (element.get("min"), element.get("max"))
    return here == usual.get(last, (0, "1"))


def _matches(rule: Rule, path: str) -> bool:
    return re.sub(r"\[[A-Za-z]+\]", "[x]", rule.path) == path


def _has_row(table: tuple[Rule, ...], path: str, what: str, value: Any) -> bool:
    rows = [rule for rule in table if _matches(rule, path)]
    if what in {"min", "max"}:
        return (path, what) in IMPLIED or _is_counted(table, rows, path, what, value)
    if what == "must support":
        return _is_supported(table, rows, path)
    if what == "binding":
        return _is_bound(rows, value)
    if what == "fixed":
        return value == "composed-of" or any(rule.demand == Fixed(value) for rule in rows)
    return any(rule.id == value for rule in table)


def _is_counted(table: tuple[Rule, ...], rows: list[Rule], path: str, what: str, value: int) -> bool:
    if path.endswith(".value[x]"):  # R4: an extension has one value at most
        above = (rule for rule in table if _matches(rule, path.removesuffix(".value[x]")))
        return what == "max" or any(isinstance(rule.demand, Holds) for rule in above)
    counts = [rule.demand for rule in rows if isinstance(rule.demand, Cardinality)]
    return any(count.high == value if what == "max" else count.low >= value for count in counts)


def _is_bound(rows: list[Rule], binding: Json) -> bool:
    name = binding["valueSet"].partition("|")[0].rpartition("/")[2]
    bounds = [rule.demand for rule in rows if isinstance(rule.demand, Bound)]
    return name in NO_ROW or (binding["strength"], name) in {
        (one.strength, one.values.name) for one in bounds
    }


def _is_supported(table: tuple[Rule, ...], rows: list[Rule], path: str) -> bool:
    plain = re.sub(r"\(qualityReport\)", "", path)
    rows = rows + [rule for rule in table if _matches(rule, plain)]
    known = any(
        isinstance(rule.demand, Supported | Fixed)
        or (isinstance(rule.demand, Cardinality) and rule.demand.low)
        for rule in rows
    )
    needed_by_r4 = plain in {"period", "status", "type", "group.stratifier.stratum.component"}
    named = IN_OTHER_WORDS.get(path)
    return known or needed_by_r4 or named == "" or any(rule.id == named for rule in table)


DEMANDS = [
    pytest.param(standard, *demand, id=f"{standard.profile}-{standard.edition.name}-{place}-{demand[0]}")
    for name, standard in (PROFILES if ARTIFACTS else ())
    for place, demand in enumerate(_demands(name))
]


def test_the_snapshots_were_read() -> None:
    assert len(DEMANDS) > 250


@pytest.mark.parametrize(("standard", "path", "what", "value"), DEMANDS)
def test_what_the_guide_demands_has_a_row(standard: Standard, path: str, what: str, value: Any) -> None:
    assert _has_row(rules(standard), path, what, value)


EXTENSIONS = sorted(GUIDE.glob("StructureDefinition-*.json")) if ARTIFACTS else []


def _own_extensions() -> Iterator[Json]:
    for file in EXTENSIONS:
        definition: Json = orjson.loads(file.read_bytes())
        if definition["type"] == "Extension":
            yield definition


def _every_rule() -> list[Rule]:
    return [rule for _, standard in PROFILES for rule in rules(standard)]


def test_each_extension_of_the_guide_has_its_place() -> None:
    placed = {rule.path: set(rule.demand.paths) for rule in _every_rule() if isinstance(rule.demand, Context)}
    for definition in _own_extensions():
        wanted = {context["expression"] for context in definition["context"]}
        found = placed[f"extension({definition['id']})"]
        if definition["id"] == "score":
            assert found - wanted == {"MeasureReport.group.stratifier.stratum"}, (
                "the quality profile puts it there"
            )
        assert wanted <= found
        assert found - wanted <= {"MeasureReport.group.stratifier.stratum"}


def test_each_extension_of_the_guide_holds_the_types_it_may() -> None:
    rows = _every_rule()
    for definition in _own_extensions():
        for element in definition["snapshot"]["element"]:
            if not element["id"].endswith("value[x]") or element["max"] == "0":
                continue
            part = element["id"].split(".")[1].partition(":")[2]
            tail = f"extension({definition['id']})" + (f".extension({part})" if part else "")
            types = {kind["code"][0].upper() + kind["code"][1:] for kind in element["type"]}
            found = [rule for rule in rows if rule.path.endswith(tail) and isinstance(rule.demand, Holds)]
            assert found, tail
            for rule in found:
                assert isinstance(rule.demand, Holds)
                assert set(rule.demand.types) == (types if len(types) < 50 else set()), tail


def test_each_part_of_a_complex_extension_is_there_as_often_as_it_may() -> None:
    rows = _every_rule()
    for definition in _own_extensions():
        for element in definition["snapshot"]["element"]:
            _, _, part = element["id"].rpartition(".extension:")
            if "." in part or not part or element["id"].count(".") != 1:
                continue
            tail = f"extension({definition['id']}).extension({part})"
            found = [
                rule for rule in rows if rule.path.endswith(tail) and isinstance(rule.demand, Cardinality)
            ]
            assert found, tail
            wanted = Cardinality(element["min"], int(element["max"]))
            assert {rule.demand for rule in found} == {wanted}, tail


CODE_SYSTEMS = sorted(GUIDE.glob("CodeSystem-*.json")) if ARTIFACTS else []


@pytest.mark.parametrize("file", CODE_SYSTEMS, ids=lambda file: str(file.stem))
def test_each_code_list_is_the_guide_s(file: Path) -> None:
    system: Json = orjson.loads(file.read_bytes())
    if system["id"] == "measure-stratifier-example":
        return  # bound as an example only: no rule compares with it
    ours = [
        values.codes[system["url"]]
        for values in vars(codes).values()
        if isinstance(values, codes.ValueSet) and system["url"] in values.codes
    ]

    assert ours == [frozenset(_codes(system["concept"]))]


def _codes(concepts: list[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", []))
