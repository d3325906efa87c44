"""What does the world outside a reader's database remember of how far it had come? Its witness.

A database restored from a backup has forgotten events that it numbered and sent. It cannot know that by itself:
only something that was not restored with it can say so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import orjson

from services import logs
from services.event_log import EventSource

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One partition, as it is known outside the reader's database."""

    oldest: int
    end: int
    """The positions the log holds: from `oldest` to before `end`."""
    reached: int | None = None
    """Where the reader once was to read on, after it had committed what lies before; `None`: never told."""
    passed_over: int = 0
    """How many numbers had been passed over by then, in all restorations together."""


class Witness(Protocol):
    """What remembers. It is told after each commit, so it never knows of more than was committed."""

    async def look(self) -> Mapping[int, Sighting]:
        """Return what is known of every partition of the log, whoever reads it.

        Raises:
            LogUnavailableError: it cannot be asked; the same call may be made again.
        """

    def note(self, positions: Mapping[int, int], passed_over: int) -> None:
        """Remember where the reader goes on, by partition; soon, and at best."""


class FileWitness:
    """A small file that is not restored with the database: for the one reader of one machine.

    It is written without waiting for the disk: it outlives the process, and mostly the machine.
    """

    def __init__(self, path: Path, source: EventSource) -> None:
        """Open the file, made if need be; `source` tells where the log ends."""
        self._source = source
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    async def look(self) -> Mapping[int, Sighting]:
        """Return what the file says, beside what the log holds."""
        ends = await self._source.ends()
        known = self._read()
        return {partition: Sighting(0, end, *known.get(partition, ())) for partition, end in ends.items()}

    def _read(self) -> dict[int, tuple[int, int]]:
        raw = os.pread(self._file, _LENGTH, 0)
        if not raw.strip():
            return {}
        try:
            return {int(name): (at, passed_over) for name, (at, passed_over) in orjson.loads(raw).items()}
        except (ValueError, TypeError, AttributeError):
            log.warning("witness_unreadable")
            return {}

    def note(self, positions: Mapping[int, int], passed_over: int) -> None:
        """Write the positions over what stood there: of one length, so that a kill leaves one or the other."""
        line = orjson.dumps({str(name): (at, passed_over) for name, at in positions.items()})
        os.pwrite(self._file, line.ljust(_LENGTH - 1) + b"\n", 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


_LENGTH: Final = 128
