"""What has been received, on disk before it is answered, one JSON object a line.

A receiver that is killed and started again on the same file goes on where it was: numbers, handshakes and
duplicates are judged over everything in the file.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from services.cli.listen.reading import Reading


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as received, judged and answered."""

    at: str
    """When it arrived; ISO 8601, UTC."""
    method: str
    path: str
    headers: dict[str, str]
    """Content-Type, webhook-id and webhook-timestamp; the values of other headers may be secret."""
    header_names: tuple[str, ...]
    reading: Reading
    duplicate: bool
    problems: tuple[str, ...]
    """The reading's and the order's."""
    answered: int | None
    """Status code decided on; `None` when it was left hanging."""
    body: str

    def as_json(self) -> dict[str, Any]:
        """Return the entry as one flat object: the reading's fields stand beside its own."""
        own = {name: getattr(self, name) for name in _OWN}
        return {**own, **{key: value for key, value in asdict(self.reading).items() if key != "problems"}}


_OWN = tuple(field.name for field in fields(Entry) if field.name != "reading")
_READING = tuple(field.name for field in fields(Reading))


def from_json(line: bytes) -> Entry:
    """Return the entry that `as_json` wrote."""
    value = orjson.loads(line)
    reading = {name: value[name] for name in _READING if name in value}
    for name in ("numbers", "reports", "problems"):
        reading[name] = tuple(reading[name])
    own = {name: value[name] for name in _OWN}
    return Entry(
        reading=Reading(**reading),
        **{**own, "header_names": tuple(own["header_names"]), "problems": tuple(own["problems"])},
    )


def entries(path: Path) -> Iterator[Entry]:
    """Yield the entries of a record file that were written whole."""
    if path.exists():
        with path.open("rb") as file:
            yield from (from_json(line) for line in file if line.endswith(b"\n"))


class Record:
    """The open file. `append` returns once the entry is on disk."""

    def __init__(self, path: Path) -> None:
        """Open the file, cutting off a last line that a kill left half written: it was never answered."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        whole = _whole_length(path)
        if whole < self._file.tell():
            self._file.truncate(whole)
            self._file.seek(0, io.SEEK_END)
        self._turn = asyncio.Lock()

    async def append(self, entry: Entry) -> None:
        """Write one entry and wait until it is on disk."""
        line = orjson.dumps(entry.as_json()) + b"\n"
        async with self._turn:
            await asyncio.to_thread(self._write, line)

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _whole_length(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1
