"""Is every operation of our own defined, as R4 defines operations, and listed where it is served?"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from fhir.resources.R4B.operationdefinition import OperationDefinition

from schemas.capability import capability_statement
from schemas.fhir import OURS
from schemas.operations import of_type, operations


def test_each_file_is_one_operation_under_the_url_its_name_says() -> None:
    names = {
        each.name.removesuffix(".json")
        for each in files("schemas.operations").iterdir()
        if each.name.endswith(".json")
    }
    assert set(operations()) == names
    for name, found in operations().items():
        assert found["url"] == f"{OURS}OperationDefinition/{name}"
        assert name in {f"{kind}-{found['code']}" for kind in found["resource"]}


@pytest.mark.parametrize("found", operations().values(), ids=operations())
def test_a_definition_is_one_by_fhir_and_says_what_each_parameter_is_for(found: dict[str, Any]) -> None:
    OperationDefinition.model_validate(found)
    parameters = [*found["parameter"]]
    for each in parameters:
        assert each["documentation"].endswith("."), each["name"]
        parameters += each.get("part", ())
        assert ("type" in each) != ("part" in each), each["name"]


def test_the_capability_statement_lists_each_operation_on_its_types() -> None:
    (rest,) = capability_statement("https://vbpr.example/fhir")["rest"]
    listed = {each["type"]: each.get("operation", []) for each in rest["resource"]}
    for found in operations().values():
        for kind in found["resource"]:
            entry = {"name": found["code"], "definition": found["url"]}
            assert entry in listed[kind]
            assert entry in of_type(kind)
