"""The conformance table: requirements, and the tests that say which of them they prove.

A test names its requirements with `@pytest.mark.requirement("R-001")`. The marks are read from the text of the
tests, so that making the table runs nothing. Written to `docs/conformance.md` by `python -m tests.conformance.table`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "conformance.md"
_SHOWN = 3
"""Tests named in one row."""

_HEAD = """# Conformance

What the Subscriptions R5 Backport guide (STU 1.1.0, and the optional parts of its CI build named here) asks of a
server on FHIR R4, in our words, and the test that proves it. Strength is the guide's own verb: *stated* is plain
prose, *ours* what we hold ourselves to where the guide is silent, *R4* is FHIR's own rule. Every notification
that any test receives goes through `tests/notification.py`, which is written from these requirements.

Made by `python -m tests.conformance.table` from the marks on the tests; do not edit.

"""


@dataclass(frozen=True)
class Requirement:
    """One row."""

    number: str
    strength: str
    words: str
    reason: str
    """Why it is not met, or what holds it besides tests."""


def requirements() -> list[Requirement]:
    """Return every requirement, in order."""
    lines = (TESTS / "conformance" / "requirements.txt").read_text().splitlines()
    return [
        Requirement(*(cell.strip() for cell in line.split("|")))
        for line in lines
        if line and not line.startswith("#")
    ]


def proofs() -> dict[str, list[str]]:
    """Return the tests by the number of the requirement they prove, `file::test` each."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        if "mark.requirement" not in (text := path.read_text()):
            continue
        for name, numbers in _marked(ast.parse(text)):
            for number in numbers:
                found.setdefault(number, []).append(f"{path.relative_to(TESTS)}::{name}")
    return found


def _marked(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for each in node.decorator_list:
            if (
                isinstance(each, ast.Call)
                and isinstance(each.func, ast.Attribute)
                and each.func.attr == "requirement"
            ):
                yield node.name, [str(given.value) for given in each.args if isinstance(given, ast.Constant)]


def document() -> str:
    """Return the page."""
    proved = proofs()
    rows = ["| | strength | what | proved by |", "|---|---|---|---|"]
    for each in requirements():
        tests = proved.get(each.number, [])
        named = "<br>".join(f"`{test}`" for test in tests[:_SHOWN])
        if len(tests) > _SHOWN:
            named += f"<br>and {len(tests) - _SHOWN} more"
        said = "; ".join(part for part in (named, each.reason and f"*{each.reason}*") if part)
        rows.append(f"| {each.number} | {each.strength} | {each.words} | {said} |")
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
