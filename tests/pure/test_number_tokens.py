"""JSON is changed without changing a digit: whatever a patch leaves, moves, copies or brings is written as it stood."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.json_patch import apply_patch
from schemas.number_tokens import read, written
from schemas.outcome import FhirError
from tests.pure.test_raw_json import NUMBERS, json_texts, number_tokens


def _patched(text: bytes, operations: str) -> bytes:
    return written(apply_patch(read(text), read(operations.encode())))


@given(json_texts())
def test_what_is_read_and_written_says_the_same_with_the_same_digits(text: str) -> None:
    again = written(read(text.encode()))
    assert orjson.loads(again) == orjson.loads(text)
    assert number_tokens(again) == number_tokens(text.encode())


@given(json_texts(), st.sampled_from(NUMBERS))
def test_a_patch_keeps_every_number_and_brings_its_own(text: str, number: str) -> None:
    before = number_tokens(text.encode())
    added = _patched(text.encode(), f'[{{"op": "add", "path": "/new", "value": [{number}]}}]')
    assert number_tokens(added) == [*before, number]
    copied = _patched(added, '[{"op": "copy", "from": "/new/0", "path": "/new/-"}]')
    assert number_tokens(copied) == [*before, number, number]
    moved = _patched(added, '[{"op": "move", "from": "/new/0", "path": "/newer"}]')
    assert number_tokens(moved) == [*before, number]
    assert number_tokens(_patched(added, '[{"op": "remove", "path": "/new"}]')) == before


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [("1.50e2", "150", True), ("1.0", "1.00", True), ("0.1", "0.10000000000000000001", False), ("-0", "0", True)],
)  # fmt: skip
def test_a_test_compares_by_value(one: str, other: str, equal: bool) -> None:
    operations = f'[{{"op": "test", "path": "/n", "value": {other}}}]'
    if equal:
        assert _patched(f'{{"n": {one}}}'.encode(), operations) == f'{{"n":{one}}}'.encode()
    else:
        with pytest.raises(FhirError):
            _patched(f'{{"n": {one}}}'.encode(), operations)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"a": NaN}', "not JSON"),
        (b"[1,", "line 1"),
    ],
)
def test_what_is_ambiguous_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(FhirError, match=said):
        read(text)


def test_a_patch_cannot_grow_without_end() -> None:
    doubling: list[dict[str, Any]] = [
        {"op": "copy", "from": "", "path": f"/{number}"} for number in range(60)
    ]
    with pytest.raises(FhirError, match="would be copied"):
        apply_patch({"a": [1] * 10}, doubling)
