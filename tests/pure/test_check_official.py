"""Every example the VBPR guide publishes passes the check, in both of its revisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import raw_json
from services.publisher.check import check
from services.publisher.derive.kind import kind
from tests.guide import ARTIFACTS

TYPES = ("MeasureReport", "Measure", "Organization", "Group")
FOLDERS = [] if ARTIFACTS is None else [ARTIFACTS / "vbpr", ARTIFACTS / "vbpr" / "next"]
FILES = [path for folder in FOLDERS for name in TYPES for path in sorted(folder.glob(f"{name}-*.json"))]

pytestmark = pytest.mark.guide


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_all_of_them_are_here() -> None:
    assert len(FILES) == 28 + 2 + 3 + 4 + 2


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_an_official_example_has_no_issue(path: Path) -> None:
    assert check(raw_json.parse(path.read_bytes())) == []


@pytest.mark.parametrize("path", [path for path in FILES if path.name.startswith("MeasureReport")], ids=_name)
def test_an_official_report_is_of_the_kind_its_name_says(path: Path) -> None:
    expected = "quality" if "-quality-" in path.name else "performance"
    report = raw_json.parse(path.read_bytes())

    assert kind(report) == expected
    report.pop("meta")
    assert kind(report) == expected, "without the profile it claims"
