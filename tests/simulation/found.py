"""Bugs that the simulation found, each with a seed that meets it.

The bug can be put back (`unsafe` has it by its name), so that the seed is known to meet it still: what a seed
draws changes when the simulation does. `python -m tests.simulation --first --without NAME` finds another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Found:
    """One bug."""

    safety: str
    """What the fix put in, by its name in `unsafe`."""
    seed: int
    what: str
    fix: str
    """Title of the commit."""


FOUND: Final = (
    Found(
        "reading again",
        1,
        "A database error between reading a batch and enqueueing it (while the match index was brought up to date) "
        "left the reader past the batch and its position before it: the next batch moved the position over both, "
        "and the events between were never numbered.",
        "Simulate publisher and notifier on virtual time, and read a batch again that could not be taken in",
    ),
)
