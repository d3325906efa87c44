"""What `vbpr publish` makes of files, and of answers."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from services.cli.publish.answer import read_answer
from services.cli.publish.sources import SourceError, files, resources

REPORT = b'{"resourceType": "MeasureReport", "id": "r1", "score": 1.500}'


def read(tmp_path: Path, text: bytes) -> list[tuple[int | None, str, str | None, bytes]]:
    file = tmp_path / "file"
    file.write_bytes(text)
    return [(found.line, found.kind, found.id, found.text) for found in resources(str(file))]


def test_a_resource_over_many_lines_is_one(tmp_path: Path) -> None:
    text = b'\n{\n  "resourceType": "Measure",\n  "id": "m1"\n}\n'
    assert read(tmp_path, text) == [(None, "Measure", "m1", text)]


def test_a_resource_on_one_line_is_one(tmp_path: Path) -> None:
    assert read(tmp_path, REPORT) == [(None, "MeasureReport", "r1", REPORT)]


def test_lines_are_numbered_as_an_editor_does_and_empty_ones_skipped(tmp_path: Path) -> None:
    text = b"\n" + REPORT + b"\n\n" + REPORT + b"\n"
    assert [(line, kind) for line, kind, _, _ in read(tmp_path, text)] == [
        (2, "MeasureReport"),
        (4, "MeasureReport"),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "no resourceType"),
        (b'{"id": "x"}', "no resourceType"),
        (b'{"resourceType": "../../x"}', "no resourceType"),
    ],
)
def test_what_cannot_be_sent_says_why(text: bytes, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(text)
    (found,) = resources(str(file))
    assert found.problem is not None
    assert problem in found.problem


def test_a_folder_is_sorted_and_what_is_not_there_is_said(tmp_path: Path) -> None:
    for name in ("b.json", "a.ndjson", "sub/c.json", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(REPORT)
    assert files([str(tmp_path), "-"]) == [
        *(str(tmp_path / name) for name in ("a.ndjson", "b.json", "sub/c.json")),
        "-",
    ]
    with pytest.raises(SourceError, match="is not there"):
        files([str(tmp_path / "gone.json")])


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_an_answer_that_says_nothing_of_the_resource_is_none(status: int) -> None:
    assert read_answer(status, {}, b"") is None


def outcome(code: str) -> dict[str, object]:
    issue = {"severity": "information", "code": code, "diagnostics": "as it was"}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


@pytest.mark.parametrize(
    ("status", "code", "result"),
    [
        (201, "informational", "accepted"),
        (200, "informational", "accepted"),
        (200, "duplicate", "unchanged"),
        (409, "duplicate", "rejected"),
        (422, "required", "rejected"),
        (307, "", "rejected"),
    ],
)
def test_status_and_issue_code_tell_the_result(status: int, code: str, result: str) -> None:
    answer = read_answer(status, {}, orjson.dumps(outcome(code)) if code else b"")
    assert answer is not None
    assert answer.result == result


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://h/fhir/MeasureReport/r1/_history/3", "MeasureReport/r1/_history/3"),
        ("MeasureReport/r1/_history/3", "MeasureReport/r1/_history/3"),
        ("http://h/fhir/MeasureReport/r1", None),
    ],
)
def test_the_version_is_read_from_the_location(location: str, expected: str | None) -> None:
    answer = read_answer(201, {"Location": location}, b"")
    assert answer is not None
    assert answer.location == expected


@pytest.mark.parametrize(
    ("codes", "result"),
    [(("duplicate", "duplicate"), "unchanged"), (("duplicate", "informational"), "accepted")],
)
def test_a_transaction_is_unchanged_only_when_every_entry_is(codes: tuple[str, ...], result: str) -> None:
    entries = [{"response": {"status": "200", "outcome": outcome(code)}} for code in codes]
    answer = read_answer(200, {}, orjson.dumps({"resourceType": "Bundle", "entry": entries}))
    assert answer is not None
    assert answer.result == result
