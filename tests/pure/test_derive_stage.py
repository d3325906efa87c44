"""How settled is a report? The table of three places, cell by cell."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.event import Stage
from schemas.outcome import Issue
from services.publisher.derive.stage import stage_mapping, stage_of
from tests.pure.small_reports import PAYER, STAGE, performance

THEIRS = "https://plan.example/run"
TAGGED = {f"{THEIRS}|r3": "settled", f"{THEIRS}|r1": "interim", "https://plan.example/state|S": "withdrawn"}
MAPPING = stage_mapping({PAYER: TAGGED})

OURS_SETTLED = {"system": STAGE, "code": "settled"}
THEIRS_INTERIM = {"system": THEIRS, "code": "r1"}
THEIRS_SETTLED = {"system": THEIRS, "code": "r3"}
UNMAPPED = {"system": THEIRS, "code": "r9"}
CODE = {"url": "https://plan.example/state", "valueCode": "S"}
STRING = {"url": "https://plan.example/state", "valueString": "S"}
CODING = {"url": "https://plan.example/any", "valueCoding": THEIRS_SETTLED}
CONCEPT = {"url": "https://plan.example/any", "valueCodeableConcept": {"coding": [THEIRS_SETTLED]}}


@pytest.mark.parametrize(
    ("tags", "extensions", "by_status"),
    [
        ([], [], {"pending": "interim", "complete": "final", "error": "withdrawn"}),
        ([UNMAPPED], [], {"pending": "interim", "complete": "final", "error": "withdrawn"}),
        ([{"code": "settled"}], [], {"pending": "interim", "complete": "final", "error": "withdrawn"}),
        ([THEIRS_INTERIM], [], {"pending": "interim", "complete": "interim", "error": "interim"}),
        ([THEIRS_SETTLED], [], {"pending": "settled", "complete": "settled", "error": "settled"}),
        ([], [CODE], {"pending": "withdrawn", "complete": "withdrawn", "error": "withdrawn"}),
        ([], [STRING], {"pending": "withdrawn", "complete": "withdrawn", "error": "withdrawn"}),
        ([], [CODING], {"pending": "settled", "complete": "settled", "error": "settled"}),
        ([], [CONCEPT], {"pending": "settled", "complete": "settled", "error": "settled"}),
        ([THEIRS_SETTLED], [CODING], {"pending": "settled", "complete": "settled", "error": "settled"}),
        ([OURS_SETTLED], [], {"pending": "settled", "complete": "settled", "error": "settled"}),
        ([THEIRS_INTERIM, OURS_SETTLED], [CODE], {"pending": "settled", "complete": "settled"}),
    ],
)
def test_the_first_place_that_speaks_decides(
    tags: list[Any], extensions: list[Any], by_status: dict[str, str]
) -> None:
    for status, stage in by_status.items():
        report = performance(status=status, meta={"tag": tags}, extension=extensions)
        assert stage_of(report, PAYER, MAPPING) == Stage(stage)


@pytest.mark.parametrize("code", ["interim", "final", "settled", "withdrawn"])
def test_each_stage_can_be_said_by_our_tag(code: str) -> None:
    report = performance(meta={"tag": [{"system": STAGE, "code": code}]})
    assert stage_of(report, PAYER, {}) == Stage(code)


@pytest.mark.parametrize("payer", ["Organization/other", None])
def test_a_mapping_speaks_for_its_own_payer_alone(payer: str | None) -> None:
    report = performance(meta={"tag": [THEIRS_SETTLED]}, status="pending")
    assert stage_of(report, payer, MAPPING) is Stage.INTERIM


@pytest.mark.parametrize("code", ["finale", "Settled", None])
def test_a_tag_of_ours_that_is_no_stage_is_an_issue(code: str | None) -> None:
    tag = {"system": STAGE} if code is None else {"system": STAGE, "code": code}
    found = stage_of(performance(meta={"tag": [UNMAPPED, tag]}), PAYER, MAPPING)
    assert isinstance(found, Issue)
    assert (found.code, found.expression) == ("code-invalid", "MeasureReport.meta.tag[1].code")
    assert "interim, final, settled, withdrawn" in found.diagnostics


@pytest.mark.parametrize(
    ("tags", "expression"),
    [
        ([OURS_SETTLED, {"system": STAGE, "code": "final"}], "MeasureReport.meta.tag"),
        ([THEIRS_SETTLED, THEIRS_INTERIM], "MeasureReport"),
    ],
)
def test_two_stages_at_once_are_an_issue(tags: list[Any], expression: str) -> None:
    found = stage_of(performance(meta={"tag": tags}), PAYER, MAPPING)
    assert isinstance(found, Issue)
    assert found.expression == expression
    assert "settled" in found.diagnostics


def test_a_setting_that_maps_to_no_stage_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Organization/plan maps s\|x to 'done'; expected one of interim"):
        stage_mapping({PAYER: {"s|x": "done"}})
