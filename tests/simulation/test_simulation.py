"""The simulation finds nothing in the product, repeats itself exactly, and finds each safety that is taken out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.found import FOUND, Found
from tests.simulation.unsafe import HARMLESS, SAFETIES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SEEDS = int(os.environ.get("VBPR_SIMULATION_SEEDS", "1000"))
TOGETHER = 125
"""Seeds in one test: several workers share them."""
ROOT = Path(__file__).parents[2]
ONLY = {"claims": "freeze", "fence": "freeze", "resends": "lost answer"}
"""The one fault against which a safety stands: it is noticed sooner where that strikes more often."""
LOOKED_AT = 120
"""Seeds within which a missing safety must be noticed."""


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    jobs = "2" if "PYTEST_XDIST_WORKER" not in os.environ else "1"
    command = [sys.executable, "-m", "tests.simulation", "--jobs", jobs, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def digest(seed: int) -> str:
    said = simulate("--trace", str(seed))
    found = re.search(r"^digest (\w+)$", said.stdout, re.MULTILINE)
    assert found is not None, said.stdout + said.stderr
    return found[1]


@pytest.mark.parametrize("first", range(0, SEEDS, TOGETHER))
def test_no_seed_finds_anything(first: int) -> None:
    said = simulate("--seeds", f"{first}:{min(SEEDS, first + TOGETHER)}")
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seed_does_the_same_each_time(seed: int) -> None:
    assert digest(seed) == digest(seed)


@pytest.mark.parametrize("safety", SAFETIES)
def test_a_missing_safety_is_noticed(safety: str) -> None:
    only = ("--only", ONLY[safety]) if safety in ONLY else ()
    said = simulate("--first", "--seeds", f"0:{LOOKED_AT}", "--without", safety, *only)
    assert said.returncode == 1, said.stdout + said.stderr
    assert "again: python -m tests.simulation --trace" in said.stdout, said.stdout + said.stderr
    assert "broke down" not in said.stdout


@pytest.mark.parametrize("name", HARMLESS)
def test_the_judge_sees_no_ghosts(name: str) -> None:
    said = simulate("--seeds", "0:20", "--without", name)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("bug", FOUND, ids=lambda bug: bug.safety)
def test_a_bug_that_was_found_is_gone(bug: Found) -> None:
    """What its seed does changes with the code; that the safety is needed is shown above, by any seed."""
    said = simulate("--seeds", str(bug.seed))
    assert said.returncode == 0, said.stdout + said.stderr
