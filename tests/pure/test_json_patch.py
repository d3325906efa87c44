"""RFC 6902, by its own examples and by what must be refused."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.json_patch import apply_patch
from schemas.number_tokens import read
from schemas.outcome import FhirError


@pytest.mark.parametrize(
    ("document", "operation", "expected"),
    [
        ({"foo": "bar"}, {"op": "add", "path": "/baz", "value": "qux"}, {"foo": "bar", "baz": "qux"}),
        ({"foo": ["a", "c"]}, {"op": "add", "path": "/foo/1", "value": "b"}, {"foo": ["a", "b", "c"]}),
        ({"foo": ["a"]}, {"op": "add", "path": "/foo/-", "value": ["b"]}, {"foo": ["a", ["b"]]}),
        ({"foo": 1, "bar": 2}, {"op": "remove", "path": "/foo"}, {"bar": 2}),
        ({"foo": ["a", "b"]}, {"op": "remove", "path": "/foo/0"}, {"foo": ["b"]}),
        ({"foo": "a"}, {"op": "replace", "path": "/foo", "value": None}, {"foo": None}),
        ({"foo": ["a", "b"]}, {"op": "replace", "path": "/foo/1", "value": "c"}, {"foo": ["a", "c"]}),
        ({"a": {"b": 1}, "c": {}}, {"op": "move", "from": "/a/b", "path": "/c/d"}, {"a": {}, "c": {"d": 1}}),
        ({"foo": [1, 2, 3]}, {"op": "move", "from": "/foo/0", "path": "/foo/2"}, {"foo": [2, 3, 1]}),
        ({"a": {"b": 1}}, {"op": "copy", "from": "/a", "path": "/c"}, {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a/b": 1, "m~n": 2}, {"op": "test", "path": "/a~1b", "value": 1}, {"a/b": 1, "m~n": 2}),
        ({"a/b": 1, "m~n": 2}, {"op": "remove", "path": "/m~0n"}, {"a/b": 1}),
        ({"a": 1}, {"op": "replace", "path": "", "value": {"b": 2}}, {"b": 2}),
        ({"": 1}, {"op": "remove", "path": "/"}, {}),
    ],
)
def test_each_operation_does_what_the_rfc_says(document: Any, operation: Any, expected: Any) -> None:
    before = repr(document)
    assert apply_patch(document, [operation]) == expected
    assert repr(document) == before


def test_a_copy_is_its_own_value() -> None:
    patch = [
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/b/c", "value": 1},
    ]
    assert apply_patch({"a": {}}, patch) == {"a": {}, "b": {"c": 1}}


@pytest.mark.parametrize(
    ("status", "patch", "said"),
    [
        (400, {"op": "add"}, "found an object; expected a JSON Patch, an array"),
        (400, None, "found null; expected a JSON Patch, an array"),
        (400, ["add"], "operation 0 is a string; expected an object"),
        (400, [{"path": "/a", "value": 1}], "operation 0 has no op; expected one of add"),
        (400, [{"op": "spoil", "path": "/a"}], 'the op of operation 0 is "spoil"'),
        (400, [{"op": ["add"], "path": "/a"}], 'the op of operation 0 is ["add"]'),
        (400, [{"op": "add", "path": "/a"}], "has no value"),
        (400, [{"op": "remove", "path": "a"}], "expected a JSON Pointer"),
        (422, [{"op": "remove", "path": "/nothing"}], "there is no 'nothing' to remove"),
        (422, [{"op": "replace", "path": "/nothing", "value": 1}], "there is no 'nothing' to replace"),
        (422, [{"op": "move", "from": "/nothing", "path": "/a"}], "there is no 'nothing' to move"),
        (422, [{"op": "test", "path": "/nothing", "value": 1}], "there is no 'nothing'"),
        (422, [{"op": "add", "path": "/list/5", "value": 1}], "2 items"),
        (422, [{"op": "add", "path": "/list/01", "value": 1}], "no index"),
        (422, [{"op": "remove", "path": "/list/-"}], "no index"),
        (422, [{"op": "add", "path": "/text/x", "value": 1}], "nothing can be added"),
        (422, [{"op": "move", "from": "/object", "path": "/object/in"}], "into itself"),
        (422, [{"op": "test", "path": "/one", "value": True}], "found 1 at /one; expected true"),
        (422, [{"op": "test", "path": "/list", "value": "x" * 999}], 'found [1,2] at /list; expected "xxx'),
        (422, [{"op": "test", "path": "", "value": {}}], 'found {"list":[1,2],'),
        (422, [{"op": "remove", "path": ""}], "the patch leaves null; expected an object"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(status: int, patch: Any, said: str) -> None:
    with pytest.raises(FhirError) as caught:
        apply_patch({"list": [1, 2], "text": "a", "object": {}, "one": 1}, patch)
    assert caught.value.status == status
    assert said in str(caught.value)


def test_a_long_value_is_shown_by_its_start_and_a_deep_one_by_its_kind() -> None:
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    for value, said in (("x" * 5_000, '"xxx'), (deep, "an array")):
        with pytest.raises(FhirError) as caught:
            apply_patch({"one": 1}, [{"op": "test", "path": "/one", "value": value}])
        assert said in str(caught.value)
        assert len(str(caught.value)) < 200


def test_a_number_is_shown_as_it_was_written() -> None:
    document, patch = read(b'{"a": 3.140}'), read(b'[{"op": "test", "path": "/a", "value": 1.50e2}]')
    with pytest.raises(FhirError, match=r"found 3\.140 at /a; expected 1\.50e2"):
        apply_patch(document, patch)
