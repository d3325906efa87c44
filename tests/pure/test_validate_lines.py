"""The line of an element is where an editor shows it, however the text is laid out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.structure.gate import choices
from services.cli.validate.lines import line_of
from tests.pure import full_resources as full

MARK = "the place that is looked for"


def _places(node: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        name = f"[{key}]" if isinstance(key, int) else f".{choices().get(key, key)}"
        yield node, key, path + name
        if isinstance(node[key], dict | list):
            yield from _places(node[key], path + name)


@pytest.mark.parametrize("indent", [0, 1, 4, None])
@pytest.mark.parametrize(
    "whole", [full.performance, full.quality, full.contract], ids=lambda one: str(one.__name__)
)
def test_every_element_is_found_on_its_line(whole: Any, indent: int | None) -> None:
    resource = json.loads(json.dumps(whole()))  # no part of it stands in two places
    looked_for = 0
    for node, key, path in _places(resource, resource["resourceType"]):
        kept, node[key] = node[key], MARK
        text = json.dumps(resource, indent=indent)
        node[key] = kept
        expected = text.count("\n", 0, text.index(MARK)) + 1
        assert line_of(text, path) == expected, path
        looked_for += 1
    assert looked_for > 70


TEXT = """
{
  "resourceType": "MeasureReport",
  "_status": {"id": "x"},
  "extension": [
    {"url": "a", "valueString": "b"},
    {"url": "c",
     "valueDecimal": 1}
  ],
  "group": [
    {
      "id": "tricky: } ] \\" , {"
    }
  ]
}"""


@pytest.mark.parametrize(
    ("expression", "line"),
    [
        ("MeasureReport", 2),
        ("MeasureReport.status", 4),
        ("MeasureReport.extension[1].value", 8),
        ("MeasureReport.extension('http://hl7.org/fhir/x.y[0]')", 2),
        ("MeasureReport.group[0].id", 12),
        ("MeasureReport.group[0].extension('x')", 11),
        ("MeasureReport.group[0].code", 11),
        ("MeasureReport.group[7].code", 10),
        ("MeasureReport.relatedArtifact.where(type='composed-of')", 2),
        ("MeasureReport.date", 2),
    ],
)
def test_what_is_missing_is_looked_for_where_it_would_stand(expression: str, line: int) -> None:
    assert line_of(TEXT, expression) == line


@pytest.mark.parametrize("text", ["", "{", '{"a"', '{"group": [', "[]", '{"group": [{]}', "null"])
def test_text_that_is_no_json_is_no_crash(text: str) -> None:
    assert line_of(text, "MeasureReport.group[1].code") == 1
