"""docs/vbpr.md tells the truth: every Must Support element of the guide, by rules, parameters and codes that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.number_tokens import read
from schemas.search.parameters import ALL
from services.publisher.accept.lineage.comparison import Change, changes
from services.publisher.check import agreement
from services.publisher.check.editions import Profile
from services.publisher.check.extensions import URLS
from services.publisher.check.rules import TABLE
from tests.conformance.test_rules_against_guide import DEMANDS
from tests.guide import ARTIFACTS
from tests.pure import full_resources as full

PAGE = Path(__file__).resolve().parents[2] / "docs" / "vbpr.md"
HEADINGS = {
    "Performance report": Profile.PERFORMANCE,
    "Quality report": Profile.QUALITY,
    "Contract": Profile.CONTRACT,
}
OF_MEASURES = {"url", "identifier", "_id"}
Json = dict[str, Any]


def _everything(report: Json) -> Json:
    """Return a full report with what stands there instead of something else, too."""
    counted = {"url": URLS["measurereport-countQuantity"], "valueQuantity": {"value": 7}}
    code, value = ({"coding": [{"system": "https://x.example", "code": each}]} for each in ("cohort", "hmo"))
    population = {"code": code, "extension": [counted]}
    stratum = {"component": [{"code": code, "value": value}], "population": [population]}
    report["group"][0]["stratifier"][0]["stratum"].append(stratum)
    report["extension"].append(full.scoring())
    return report


WHOLE: dict[Profile, Callable[[], Json]] = {
    Profile.PERFORMANCE: lambda: _everything(full.performance()),
    Profile.QUALITY: lambda: _everything(full.quality()),
}
STEP = re.compile(r"(?P<name>[A-Za-z]+(?:\[x\])?)(?:\((?P<short>[^)]+)\))?(?:\.|$)")


def _rows() -> dict[Profile, list[list[str]]]:
    """Return the cells of each Must Support table."""
    out: dict[Profile, list[list[str]]] = {}
    here: list[list[str]] | None = None
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            profile = HEADINGS.get(line.lstrip("# "))
            here = None if profile is None else out.setdefault(profile, [])
        elif here is not None and line.startswith("| `"):
            here.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return out


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("profile", Profile)
def test_every_rule_parameter_and_code_is_there(profile: Profile) -> None:
    rules = {rule.id for rule in TABLE[profile]}
    parameters = {name for parameter in ALL for name in (parameter.name, *parameter.aliases)}
    codes = set(re.findall(r"\| `((?:contract|predecessor)-[a-z-]+)` \|", agreement.__doc__ or ""))
    rows = _rows()[profile]

    assert len(rows) > 20
    for element, validated, searched, compared, _, _ in rows:
        assert validated == "structure" or set(_names(validated)) <= rules, element
        assert validated, element
        assert set(_names(searched)) <= parameters | (
            OF_MEASURES if profile is Profile.CONTRACT else set()
        ), element
        assert set(_names(compared)) <= codes, element


@pytest.mark.parametrize("profile", Profile)
def test_every_rule_about_a_missing_element_is_on_the_page(profile: Profile) -> None:
    named = {name for row in _rows()[profile] for name in _names(row[1])}

    # On the report itself those extensions may stand and are not what the profile supports.
    missed = {rule.id for rule in TABLE[profile] if rule.severity == "information"}
    assert {name for name in missed if not name.startswith("report-")} <= named


def test_every_code_of_a_disagreement_is_on_the_page() -> None:
    text = PAGE.read_text()

    for code in re.findall(r"\| `((?:contract|predecessor)-[a-z-]+)` \|", agreement.__doc__ or ""):
        assert f"| `{code}` |" in text


@pytest.mark.guide
@pytest.mark.parametrize("profile", Profile)
def test_every_must_support_element_of_the_guide_is_on_the_page(profile: Profile) -> None:
    assert ARTIFACTS is not None
    wanted = {
        path
        for standard, path, what, _ in (demand.values for demand in DEMANDS)
        if standard.profile is profile and what == "must support"  # type: ignore[union-attr]  # a Standard
    }

    assert {_names(row[0])[0] for row in _rows()[profile]} == wanted


def _places(node: Any, steps: list[tuple[str, str | None]], path: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield what holds an element, the key it stands under, and its FHIRPath, for each place it stands in."""
    (name, short), *rest = steps
    key = next((each for each in node if each.startswith("value")), name) if name == "value[x]" else name
    if key not in node:
        return
    inside = f"{path}.{'value' if key.startswith('value') else key}"
    found = node[key]
    for place, item in enumerate(found) if isinstance(found, list) else [(None, found)]:
        if name == "extension" and item["url"] != URLS[short or ""]:
            continue
        numbered = f"[{place}]" if place is not None else ""
        here = f"{path}.extension('{item['url']}')" if name == "extension" else inside + numbered
        if rest:
            yield from _places(item, rest, here)
        else:
            yield (node, key, here) if place is None else (found, place, here)


def _taken_away(profile: Profile, element: str) -> Iterator[tuple[str, list[Change]]]:
    """Yield the place of an element in a full report, and what $lineage says when it is taken away there."""
    steps = [(each["name"], each["short"]) for each in STEP.finditer(element)]
    for number in range(len(list(_places(WHOLE[profile](), steps, "MeasureReport")))):
        report = WHOLE[profile]()
        holder, key, path = list(_places(report, steps, "MeasureReport"))[number]
        del holder[key]
        whole, less = (read(json.dumps(each).encode()) for each in (WHOLE[profile](), report))
        yield path, changes(whole, less)


@pytest.mark.parametrize("profile", WHOLE)
def test_every_must_support_element_is_compared_in_lineage_under_the_names_on_the_page(
    profile: Profile,
) -> None:
    for element, _, _, _, named, _ in _rows()[profile]:
        told = list(_taken_away(profile, _names(element)[0]))
        assert told, element
        for path, found in told:
            # A part of a value (`period.start`) is told with the value it is part of.
            here = [
                each
                for each in found
                if f"{path}.".startswith(f"{each.place.path}.") or each.place.path.startswith(path)
            ]
            assert here, (element, path)
            places = [each.place for each in here]
            names = {
                "metric": all(each.metric for each in places),
                "population": all(each.population for each in places),
                "stratum": all(each.stratum for each in places),
                "itself": not any(each.metric for each in places),
            }
            assert all(names[name] for name in named.split(", ")), (element, named)


def test_of_a_contract_nothing_is_compared_in_lineage() -> None:
    assert {row[4] for row in _rows()[Profile.CONTRACT]} == {""}
