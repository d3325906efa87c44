"""The seam between publisher and notifier: a log of events, split into partitions, in order within each.

Two implementations, one contract suite (`tests/contract/test_event_log.py`): `event_log_kafka` for many
machines, `event_log_outbox` for one. Reading never removes; the reader keeps its own positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.event import ReportEvent
from services.database import Connection
from services.wakeup import Wakeup


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands in the log."""

    partition: int
    position: int


@dataclass(frozen=True, slots=True)
class Record:
    """What stands at one place: an event, or the raw parts of something that is none and why."""

    partition: int
    position: int
    event: ReportEvent | None
    poison: str | None = None
    """Why the record cannot be read; its raw parts are below, for the dead-letter table."""
    raw_headers: tuple[tuple[str, bytes], ...] = ()
    raw_value: bytes | None = None


class LogUnavailableError(Exception):
    """The log cannot be reached or did not answer in time; the same call may be made again."""


class PositionUnknownError(LogUnavailableError):
    """A position lies outside what the log holds: one side was restored, or retention went past a reader.

    Nothing is skipped silently. Someone decides where to go on, and seeks there.
    """

    def __init__(self, partition: int, position: int, oldest: int, end: int) -> None:
        """Take the position that was sought and the range [oldest, end] of positions that can be."""
        super().__init__(
            f"position {position} of partition {partition} is not in the event log, which has {oldest} to {end}"
        )
        self.partition = partition
        self.position = position
        self.oldest = oldest
        self.end = end


class EventSink(Protocol):
    """The publisher's end."""

    async def append(self, transaction: Connection, events: Sequence[ReportEvent]) -> Sequence[Place]:
        """Append committed outbox rows in the given order; return their places once all are durable.

        Runs inside the relay's numbering transaction: Kafka sends and ignores it, the outbox hands out its
        next dense positions in it. A repeat after an error may leave a second copy in Kafka; readers drop
        it by `ReportEvent.id`.

        Raises:
            LogUnavailableError: not all events are known to be durable.
        """

    async def close(self) -> None:
        """Let go of the log; bounded in time whatever state the log is in."""


class EventSource(Protocol):
    """The notifier's end. Positions are those of the next record to read, by partition."""

    @property
    def wake(self) -> Wakeup:
        """What ends the wait of a `read` when it is set: whoever is told to stop does not wait for an event."""

    async def assigned(self) -> frozenset[int]:
        """Return the partitions this reader holds now; it may change between two reads.

        Whenever the log has shared its partitions out anew, an empty answer comes first, even when the same
        ones come back: a caller that seeks after each change of the answer never misses one.

        Raises:
            LogUnavailableError: the log cannot be reached.
        """

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read on from these positions; partitions not named start at the oldest record kept."""

    async def read(self, at_most: int, wait: float) -> Sequence[Record]:
        """Return up to `at_most` records after the last ones returned, of one partition or several.

        Waits up to `wait` seconds for the first. Records of a partition that was never sought are not
        returned. An empty answer means none came, or the assignment changed (ask `assigned`, `seek`).

        Raises:
            LogUnavailableError: the log cannot be reached.
            PositionUnknownError: a position sought is outside what the log holds; seek again.
        """

    async def ends(self) -> Mapping[int, int]:
        """Return the position after the newest record of each assigned partition; for measuring lag."""

    async def close(self) -> None:
        """Let go of the log; bounded in time whatever state the log is in."""
