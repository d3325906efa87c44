"""`vbpr` on a machine whose wall clock is wrong by as many seconds as the file that CLOCK names says."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from services.cli.main import main
from services.clock import SystemClock, uuid7_from

CLOCK = "VBPR_TESTS_CLOCK"

_right = SystemClock.now


def _wrong(clock: SystemClock) -> datetime:
    return _right(clock) + timedelta(seconds=float(Path(os.environ[CLOCK]).read_text()))


def _uuid7(clock: SystemClock) -> str:
    return uuid7_from(int(clock.now().timestamp() * 1000), os.urandom(10))


if __name__ == "__main__":
    SystemClock.now = _wrong  # type: ignore[method-assign, assignment]  # the fault itself
    SystemClock.uuid7 = _uuid7  # type: ignore[method-assign, assignment]  # the fault itself
    main()
