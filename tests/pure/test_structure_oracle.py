"""The gate against fhir.resources: it rejects all that they reject, and what it alone rejects is on a list."""

from __future__ import annotations

import copy
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.structure.gate import check_structure
from tests.pure.structure_cases import (
    GATE_ALONE,
    NAMES,
    WRONG,
    GateAlone,
    Json,
    listed,
    names,
    oracle_rejects,
    places,
    report,
    resource,
)


@st.composite
def broken(draw: st.DrawFn) -> Json:
    """Draw an example resource with one to three changes anywhere in it."""
    value = resource(draw(st.sampled_from(names())))
    for _ in range(draw(st.integers(1, 3))):
        node, key = draw(st.sampled_from(list(places(value))))
        change = draw(st.sampled_from(["drop", "wrong", "add", "wrap", "swap"]))
        if change == "drop":
            del node[key]
        elif change == "wrong":
            node[key] = copy.deepcopy(draw(st.sampled_from(WRONG)))
        elif change == "wrap":
            node[key] = node[key][0] if isinstance(node[key], list) and node[key] else [node[key]]
        elif change == "swap":
            node[key] = str(node[key])
        else:
            target = node[key] if isinstance(node[key], dict) else value
            target[draw(st.sampled_from(NAMES))] = copy.deepcopy(draw(st.sampled_from(WRONG)))
        value.setdefault("resourceType", "MeasureReport")
        if not isinstance(value["resourceType"], str):
            value["resourceType"] = "MeasureReport"
    return value


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(broken())
def test_the_gate_rejects_all_that_the_models_reject(value: Json) -> None:
    issues = check_structure(value)

    if oracle_rejects(value):
        assert issues
    else:
        assert [issue for issue in issues if not listed(issue)] == []


@pytest.mark.parametrize("row", GATE_ALONE, ids=lambda row: str(row.reason))
def test_what_the_gate_alone_rejects(row: GateAlone) -> None:
    value = report()
    assert check_structure(value) == []
    row.change(value)

    issues = check_structure(value)

    assert any(re.search(row.words, issue.diagnostics) for issue in issues), issues
    assert not oracle_rejects({"resourceType": "MeasureReport", **value})


@pytest.mark.parametrize("name", names())
def test_the_examples_have_the_structure_of_r4(name: str) -> None:
    assert check_structure(resource(name)) == []
    assert not oracle_rejects(resource(name))
