"""The table of requirements is complete, current, and names no test that is not there."""

from __future__ import annotations

from tests.conformance.table import DOCUMENT, document, proofs, requirements


def test_every_requirement_has_a_proof_or_a_reason() -> None:
    proved = proofs()
    assert [each.number for each in requirements() if each.number not in proved and not each.reason] == []


def test_no_test_proves_a_requirement_that_is_not_there() -> None:
    assert set(proofs()) <= {each.number for each in requirements()}


def test_the_page_is_current() -> None:
    assert DOCUMENT.read_text() == document(), "run python -m tests.conformance.table"
