"""Who ends the servers of a test run that was itself killed? This program: it waits for the run's end.

Its standard input is a pipe that the run holds open and never writes to. When that closes, for whatever
reason, the keeper ends every process noted in the run's folder and removes the folder. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
from pathlib import Path

PIDS = "pids"
"""Subfolder of notes: each file is named after a process id and holds the number of the signal that ends it."""
_TRIES = 100


def main(folder: Path) -> None:
    """Wait for the end of the run, then clear up after it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for _ in range(_TRIES):
        _end_noted(folder / PIDS)
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        select.select([], [], [], 0.1)  # a server that is ending may still write


def _end_noted(notes: Path) -> None:
    for note in notes.glob("*"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(note.name), int(note.read_text()))
        note.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
