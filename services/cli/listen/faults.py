"""Which requests the receiver answers with a failure, late, or never, because it was told to."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """The failures asked for; with none, every request is answered 200 at once.

    With `rate` that share of requests fails, drawn from `seed`; with `first` the first so many fail; with
    neither and a `status`, all do.
    """

    status: int | None = None
    rate: float | None = None
    first: int | None = None
    seed: int = 0
    delay: float = 0.0
    """Seconds before the answer."""
    hang: bool = False
    _seen: int = 0
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Seed the chance, so that a run can be had again."""
        self._chance = random.Random(self.seed)  # noqa: S311  # which requests fail is no secret

    def answer(self) -> int:
        """Return the status code for the next request."""
        self._seen += 1
        code = self.status or 500
        if self.first is not None and self._seen <= self.first:
            return code
        if self.rate is not None:
            return code if self._chance.random() < self.rate else 200
        if self.first is None and self.status is not None:
            return code
        return 200
