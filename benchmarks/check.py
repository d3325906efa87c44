"""What does it cost to say that a right report may be stored: its structure, the rules of its profile, both?

Beside reading its text as JSON. Each figure is the least of several rounds over many reports that differ, so that
nothing is measured but the check: not the machine's other work, nor one report's place in a cache.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from benchmarks.reports import LARGE, MEDIUM, SMALL, Reports
from benchmarks.result import Result, run
from schemas.raw_json import parse
from schemas.structure.gate import check_structure
from services.clock import SystemClock
from services.publisher.check import check
from services.publisher.check.profile import check_profile

SIZES: Final = {"small": (SMALL, 0.5), "medium": (MEDIUM, None), "large": (LARGE, 3.0)}
"""By name: bytes, and the most milliseconds that both halves together may take."""
BYTES, ROUNDS, QUICK_ROUNDS = 2_000_000, 30, 5
"""Bytes of reports in a round, and how many rounds."""


async def measure(result: Result, quick: bool) -> None:
    """Fill the result."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    for name, (size, most) in SIZES.items():
        texts = [Reports(size).make(number) for number in range(BYTES // size)]
        reports = [parse(text) for text in texts]
        result.close(name, [str(issue) for report in reports for issue in check(report)])
        read = _least(orjson.loads, texts, rounds)
        case = f"{name}, {len(texts[0]):,} bytes"
        result.figure(f"{case}: structure", _least(check_structure, reports, rounds), "ms", read)
        result.figure(f"{case}: profile", _least(check_profile, reports, rounds), "ms", read)
        both = _least(check, reports, rounds)
        if most is None:
            result.figure(f"{case}: both", both, "ms", read)
        else:
            result.at_most(f"{case}: both", both, "ms", most, read)


def _least(what: Callable[[Any], object], items: Sequence[Any], rounds: int) -> float:
    """Return the milliseconds an item takes, in the best of so many rounds."""
    clock = SystemClock()
    took = []
    for _ in range(rounds):
        started = clock.monotonic()
        for item in items:
            what(item)
        took.append(clock.monotonic() - started)
    return min(took) / len(items) * 1_000


if __name__ == "__main__":
    sys.exit(run("check", __doc__, measure))
