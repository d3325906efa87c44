"""docs/vbpr.md tells the truth: every Must Support element of the guide, by rules, parameters and codes that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.search.parameters import ALL
from services.publisher.check import agreement
from services.publisher.check.editions import Profile
from services.publisher.check.rules import TABLE
from tests.conformance.test_rules_against_guide import DEMANDS
from tests.guide import ARTIFACTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "vbpr.md"
HEADINGS = {
    "Performance report": Profile.PERFORMANCE,
    "Quality report": Profile.QUALITY,
    "Contract": Profile.CONTRACT,
}
OF_MEASURES = {"url", "identifier", "_id"}


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
    for element, validated, searched, compared, _ in rows:
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
