"""What was just committed, handed to the reader in the same process, so that it need not ask for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from services.event_log_outbox.bounds import READ_BYTES
from services.wakeup import Wakeup

AT_HAND: Final = 500
"""Most rows kept in memory for the reader."""


class Placed(NamedTuple):
    """A row as it was stored, with its place."""

    row: Mapping[str, Any]
    """Its columns, but for the number, which only the database knows."""
    body: bytes | None
    """The bytes of the version it names; `None`: they were stored before."""


class Appended(Wakeup):
    """What has come into the log, for its reader in the same process: a wake-up, and the rows just committed.

    The rows only save asking for them. Whoever appends without handing over sets it, and the reader asks the database;
    so it does when rows do not go on just where it stands, or were too many to be kept.
    """

    def __init__(self) -> None:
        """Start with nothing, as if there were more elsewhere."""
        super().__init__()
        self._rows: deque[Placed] = deque()
        self._bytes = 0
        self.elsewhere = True
        """There may be more in the log than was handed over since the reader last asked the database."""

    def set(self) -> None:
        """Have the reader ask the database."""
        self.elsewhere = True
        super().set()

    def hand(self, placed: Iterable[Placed]) -> None:
        """Hand rows over, in the order of their places. Only once they are committed: they are read at once."""
        for each in placed:
            if each.body is None:
                self.elsewhere = True
                continue
            self._rows.append(each)
            self._bytes += _size(each)
        if len(self._rows) > AT_HAND or self._bytes > READ_BYTES:
            self.forget()
        super().set()

    def forget(self) -> None:
        """Keep nothing at hand: the reader asks the database."""
        self._rows.clear()
        self._bytes = 0
        self.elsewhere = True

    def take(self, start: int, at_most: int) -> list[Placed]:
        """Return the rows from this position on, without a gap; none when the one that stands there is not at hand."""
        while self._rows and _position(self._rows[0]) < start:
            self._drop()
        taken: list[Placed] = []
        while self._rows and len(taken) < at_most and _position(self._rows[0]) == start + len(taken):
            taken.append(self._drop())
        if taken and not self._rows and not self.elsewhere:
            self._event.clear()  # that was all there was to wake for
        return taken

    def _drop(self) -> Placed:
        first = self._rows.popleft()
        self._bytes -= _size(first)
        return first


def _position(placed: Placed) -> int:
    position: int = placed.row["place_position"]
    return position


def _size(placed: Placed) -> int:
    return len(placed.body or b"") + len(placed.row["facets"])
