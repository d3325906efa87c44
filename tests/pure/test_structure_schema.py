"""The committed schema is the one the models give, and its parts fit together."""

from __future__ import annotations

import pytest

from schemas.structure import bindings, generate
from schemas.structure.gate import check_structure
from schemas.structure.primitives import EXPECTED_PATTERNS, PRIMITIVES
from schemas.structure.values import EXPECTED, FORMATS


def test_the_committed_schema_is_what_the_models_give() -> None:
    assert generate.TARGET.read_text(encoding="utf-8") == generate.text()


def test_check_mode_tells_a_stale_schema(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--check"]) == 0
    monkeypatch.setattr(generate, "TARGET", generate.TARGET.with_name("no-such.schema.json"))
    assert generate.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().out


def test_every_format_and_pattern_of_a_primitive_can_be_said_in_words() -> None:
    assert FORMATS.keys() == EXPECTED.keys()
    used = {schema["pattern"] for schema in PRIMITIVES.values() if "pattern" in schema}
    assert used == EXPECTED_PATTERNS.keys()


@pytest.mark.parametrize("kind", bindings.ROOTS)
def test_every_root_type_is_judged_by_its_own_definition(kind: str) -> None:
    (issue,) = [
        found
        for found in check_structure({"resourceType": kind, "nonsense": 1})
        if "nonsense" in found.diagnostics
    ]

    assert issue.expression == f"{kind}.nonsense"


def test_every_row_of_the_tables_is_about_an_element_of_the_schema() -> None:
    definitions = generate.generate()["definitions"]
    for model, name in (*bindings.REQUIRED_CODES, *bindings.CODE_PATTERNS, *bindings.NOT_REQUIRED_CODES):
        assert name in definitions[model]["properties"]
    assert not definitions.keys() & bindings.NOT_IN_R4.keys()
    assert "valueRatioRange" not in definitions["Extension"]["properties"]
