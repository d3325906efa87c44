"""Reads resources ahead of those who send them, in a thread: a slow pipe keeps no answer waiting.

What was read and is not taken yet is bounded, so memory does not grow with the files.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Final

from services.cli.publish.sources import Resource

MOST: Final = 1000
MOST_BYTES: Final = 4 * 1024 * 1024


class Ahead:
    """Resources of a source, taken as many at a time as have been read by then."""

    def __init__(self, source: Iterable[Resource]) -> None:
        """Begin to read."""
        self._source = source
        self._read: deque[Resource] = deque()
        self._bytes = 0
        self._ended = False
        self._failure: Exception | None = None
        self._changed = threading.Condition()
        # A daemon: nothing ends the read of a pipe into which nobody writes.
        threading.Thread(target=self._run, name="read ahead", daemon=True).start()

    def take(self, most: int) -> list[Resource]:
        """Wait for something to be read, and return up to `most` resources; none when there are no more.

        Raises:
            Exception: what reading raised, once what was read before is taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._read or self._ended)
            if not self._read and self._failure is not None:
                raise self._failure
            taken = [self._read.popleft() for _ in range(min(most, len(self._read)))]
            self._bytes -= sum(len(each.text) for each in taken)
            self._changed.notify_all()
            return taken

    def stop(self) -> None:
        """Read no further."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            for resource in self._source:
                with self._changed:
                    self._changed.wait_for(lambda: self._ended or not self._full())
                    if self._ended:
                        return
                    self._read.append(resource)
                    self._bytes += len(resource.text)
                    self._changed.notify_all()
        except Exception as failure:  # noqa: BLE001  # it is raised to whoever takes
            self._failure = failure
        finally:
            self.stop()

    def _full(self) -> bool:
        return len(self._read) >= MOST or self._bytes >= MOST_BYTES
