"""The table of elements, compared with FHIR's own definitions as `fhir.resources` has them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from schemas.subset import ELEMENTS


def _fields(kind: str) -> dict[str, dict[str, Any]]:
    model = getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    return {
        str(field.alias): field.json_schema_extra or {}
        for field in model.model_fields.values()
        if (field.json_schema_extra or {}).get("element_property")
    }


@pytest.mark.parametrize("kind", sorted(ELEMENTS))
def test_every_element_is_known(kind: str) -> None:
    assert ELEMENTS[kind].all == set(_fields(kind))


@pytest.mark.parametrize("kind", sorted(ELEMENTS))
def test_summary_elements_are_those_of_fhir(kind: str) -> None:
    of_any_resource = {"id", "meta", "implicitRules"}
    summary = {name for name, about in _fields(kind).items() if about.get("summary_element_property")}
    assert ELEMENTS[kind].summary == summary - of_any_resource


@pytest.mark.parametrize("kind", sorted(ELEMENTS))
def test_no_part_is_without_what_is_mandatory(kind: str) -> None:
    required = {name for name, about in _fields(kind).items() if about.get("element_required")}
    assert required <= ELEMENTS[kind].kept
