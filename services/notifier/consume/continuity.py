"""Does the log go on where it was left? What stands right before is read again and compared.

A topic that was made anew, or a publisher's database restored from a backup, has the same positions for other
events: to read on there would step over what came meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.event_log import PositionUnknownError, Record
from services.notifier.consume.positions import FROM_OLDEST, Kept

DECIDE = (
    "look with `vbpr positions list`, then `vbpr positions accept` to read on from the oldest record kept"
)


class LogChangedError(Exception):
    """The log holds something else right before a position than was read there."""

    def __init__(self, partition: int, position: int) -> None:
        """Take the place at which another record was expected."""
        super().__init__(
            f"position {position} of partition {partition} of the event log holds another record than was read there"
        )


class Continuity:
    """What the first record of each partition has to be, from `begin` until it was read."""

    def __init__(self) -> None:
        """Expect nothing."""
        self._expected: dict[int, tuple[int, str]] = {}
        self._gone: set[int] = set()

    def begin(self, kept: Mapping[int, Kept]) -> dict[int, int]:
        """Return the positions to seek: one before where to read on, where it is known what stands there."""
        self._expected.clear()
        sought = {}
        for partition, at in kept.items():
            if at.next_position == FROM_OLDEST:
                continue
            sought[partition] = at.next_position
            if at.last_event is not None and partition not in self._gone:
                sought[partition] -= 1
                self._expected[partition] = (sought[partition], at.last_event)
        self._gone.clear()
        return sought

    def check(self, records: Sequence[Record]) -> list[Record]:
        """Return the records to take in: those after what was read again only to be compared.

        Raises:
            LogChangedError: it is not what was read there.
        """
        if not self._expected:
            return list(records)
        new = []
        for record in records:
            expected = self._expected.pop(record.partition, None)
            if expected is None:
                new.append(record)
            elif (record.position, record.event and record.event.id) != expected:
                raise LogChangedError(record.partition, expected[0])
        return new

    def only_compared(self, unknown: PositionUnknownError) -> bool:
        """Tell whether nothing but the record to compare is gone: retention ends just there, and all else is kept.

        The next `begin` then compares nothing for that partition.
        """
        expected = self._expected.get(unknown.partition)
        if expected is None or unknown.position != expected[0] or unknown.oldest != expected[0] + 1:
            return False
        self._gone.add(unknown.partition)
        return True
