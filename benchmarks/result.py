"""What did a run come to? Rows for a table and for JSON, and whether its ledger closed."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from services.event_loop import run_until_complete

NO_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ratio` is value / ceiling; `expected` a sentence, `holds` whether the figure keeps it."""

    case: str
    value: float
    unit: str
    ceiling: float | None = None
    ratio: float | None = None
    expected: str | None = None
    holds: bool | None = None


@dataclass(slots=True)
class Result:
    """The figures of one benchmark, and every reason why its run would be void."""

    name: str
    rows: list[Row] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was not measured, and why."""

    def share(self, case: str, value: float, unit: str, ceiling: float, least: float | None = None) -> None:
        """Add a figure beside its ceiling; `least` is the smallest ratio that is good enough."""
        ratio = value / ceiling
        expected = None if least is None else f"ratio at least {least:g}"
        self._add(Row(case, value, unit, ceiling, ratio, expected, None if least is None else ratio >= least))

    def at_most(self, case: str, value: float, unit: str, most: float, ceiling: float | None = None) -> None:
        """Add a figure that has to be `most` or less; `ceiling` is what the machine does without us."""
        ratio = None if not ceiling else value / ceiling
        self._add(Row(case, value, unit, ceiling, ratio, f"at most {most:g}", value <= most))

    def at_least(
        self, case: str, value: float, unit: str, least: float, ceiling: float | None = None
    ) -> None:
        """Add a figure that has to be `least` or more."""
        ratio = None if not ceiling else value / ceiling
        self._add(Row(case, value, unit, ceiling, ratio, f"at least {least:g}", value >= least))

    def figure(self, case: str, value: float, unit: str, ceiling: float | None = None) -> None:
        """Add a figure that nothing is expected of."""
        self._add(Row(case, value, unit, ceiling, None if not ceiling else value / ceiling))

    def close(self, case: str, faults: list[str]) -> None:
        """Take what does not add up at the endpoint."""
        self.faults += [f"{case}: {fault}" for fault in faults]

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        print(f"  {row.case}: {_number(row.value)} {row.unit}", file=sys.stderr, flush=True)

    def json(self) -> bytes:
        """Return the run as JSON."""
        rows = [asdict(row) for row in self.rows]
        return orjson.dumps(
            {
                "name": self.name,
                "machine": machine(),
                "rows": rows,
                "faults": self.faults,
                "notes": self.notes,
            },
            option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
        )

    def print(self) -> None:
        """Print the table."""
        table = Table(title=f"{self.name} on {machine()}")
        table.add_column("case")
        for heading in ("value", "unit", "ceiling", "ratio", "expected", "holds"):
            table.add_column(heading, justify="right")
        for row in self.rows:
            holds = {None: "", True: "yes", False: "NO"}[row.holds]
            table.add_row(
                row.case, _number(row.value), row.unit, _number(row.ceiling), _number(row.ratio),
                row.expected or "", holds,
            )  # fmt: skip
        console = Console() if sys.stdout.isatty() else Console(width=140)
        console.print(table)
        for note in self.notes:
            console.print(note, markup=False)
        for fault in self.faults:
            console.print(f"The ledger does not close. {fault}", markup=False)


def percentile(values: list[float], percent: int) -> float:
    """Return the value that so many per cent stay below."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def machine() -> str:
    """Return what the run was on: cores, processor, interpreter. Nothing that names the machine."""
    return f"{os.cpu_count()} x {_processor()}, Python {platform.python_version()}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)  # so that every server that was started is ended on the way out


def run(
    name: str,
    question: str | None,
    measure: Callable[..., Coroutine[Any, Any, None]],
    *,
    minutes: float | None = None,
    options: Mapping[str, Mapping[str, Any]] = NO_OPTIONS,
) -> int:
    """Run a benchmark as a command and return its exit code: 1 when the ledger does not close.

    `measure` takes the result and whether to be quick, and with `minutes` how long the command line asks it to run;
    further `options` are named with what argparse is told of them.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=question)
    parser.add_argument(
        "--quick", action="store_true", help="smaller, for a first look: within a minute or two"
    )
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    if minutes is not None:
        parser.add_argument("--minutes", type=float, default=minutes, help="how long (default: %(default)g)")
    for option, told in options.items():
        parser.add_argument(f"--{option}", **told)
    given = parser.parse_args()
    asked: dict[str, Any] = {} if minutes is None else {"minutes": given.minutes}
    asked |= {option: getattr(given, option) for option in options}
    result = Result(name)
    signal.signal(signal.SIGTERM, _end)
    run_until_complete(measure(result, given.quick, **asked))
    result.print()
    if given.out is not None:
        given.out.write_bytes(result.json())
    if not result.rows:
        print("Nothing was measured.", file=sys.stderr)
    return 1 if result.faults or not result.rows else 0
