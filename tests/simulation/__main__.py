"""`python -m tests.simulation --seeds 0:1000`: run seeds, print what they found; exit 0 only if that is nothing.

Each seed runs in a forked process of its own, from the very same state, so it does the same alone or among
others. A seed that fails prints the command that runs it again.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import hashlib
import logging
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from services.clock import SystemClock
from tests.simulation import run, unsafe
from tests.simulation.dice import Fault
from tests.simulation.judge import finding_kind

_HASHES = "0"
_LONGEST = 120
"""Seconds of real time after which a run is called stuck."""


@dataclass(frozen=True)
class _Asked:
    """What the command line asks for."""

    seeds: Sequence[int]
    without: str | None
    only: Fault | None
    first: bool
    trace: bool
    jobs: int
    templates: Path

    def again(self, seed: int) -> str:
        without = f" --without {self.without!r}" if self.without else ""
        only = f" --only {self.only.value!r}" if self.only else ""
        return f"python -m tests.simulation --trace {seed}{without}{only}"


@dataclass
class _Sum:
    """All seeds together."""

    runs: int = 0
    failed: int = 0
    events: int = 0
    arrivals: int = 0
    virtual: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, result: run.Result) -> None:
        self.runs += 1
        self.failed += bool(result.findings)
        self.events += result.events
        self.arrivals += result.arrivals
        self.virtual += result.virtual
        for name, count in result.faults.items():
            self.faults[name.partition(" at ")[0]] += count
        self.kinds.update({finding_kind(each) for each in result.findings})


def main() -> int:
    """Run what the command line asks for."""
    if os.environ.get("PYTHONHASHSEED") != _HASHES:
        # The order of sets of text is a source of chance too, fixed when an interpreter starts.
        os.environ["PYTHONHASHSEED"] = _HASHES
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the files go, whoever ends it
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=run.MEMORY) as folder:
        asked = _read(Path(folder))
        _prepare(asked)
        return _report(asked)


def _read(folder: Path) -> _Asked:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument(
        "--seeds", default="0:100", help="FIRST:LAST, the last left out; or seeds with commas"
    )
    parser.add_argument("--trace", type=int, metavar="SEED", help="run one seed and print all that it did")
    parser.add_argument(
        "--without",
        choices=[*unsafe.SAFETIES, *unsafe.HARMLESS],
        help="take a safety out: some seed must notice",
    )
    parser.add_argument("--only", type=Fault, metavar="FAULT", help="let only this strike, and more often")
    parser.add_argument("--first", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    given = parser.parse_args()
    seeds = _seeds(given.seeds) if given.trace is None else [given.trace]
    return _Asked(
        seeds=seeds,
        without=given.without,
        only=given.only,
        first=given.first,
        trace=given.trace is not None,
        jobs=given.jobs,
        templates=folder,
    )


def _seeds(text: str) -> Sequence[int]:
    if ":" in text:
        first, last = text.split(":")
        return range(int(first), int(last))
    return [int(seed) for seed in text.split(",")]


def _prepare(asked: _Asked) -> None:
    """Do once what every run needs, so that none of them begins with it."""
    logging.disable(logging.CRITICAL)
    gc.disable()  # a run is short, and what a killed process left must not be collected
    _log_from(logging.CRITICAL)
    run.templates(asked.templates)
    run.warm_up(asked.templates)
    _log_from(logging.INFO if asked.trace else logging.CRITICAL)
    if asked.without is not None:
        unsafe.take_out(asked.without)
    gc.freeze()


def _log_from(level: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


def _report(asked: _Asked) -> int:
    clock, found = SystemClock(), _Sum()
    began = clock.monotonic()
    with contextlib.closing(_each(asked)) as results:
        for result in results:
            found.add(result)
            if asked.trace:
                _say(*_trace(result))
            if result.findings:
                _say(f"seed {result.seed} failed; again: {asked.again(result.seed)}")
                _say(*(f"    {finding}" for finding in result.findings[:8]))
                if asked.first:
                    break
    _say(
        f"{found.runs} seeds, {found.failed} failed; {found.events} events, {found.arrivals} requests, "
        f"{found.virtual / 3600:.0f} h in {clock.monotonic() - began:.1f} s",
        "faults: " + ", ".join(f"{name} {count}" for name, count in sorted(found.faults.items())),
        *(f"  {count:5} {kind}" for kind, count in found.kinds.most_common()),
    )
    return 1 if found.failed else 0


def _trace(result: run.Result) -> Iterator[str]:
    yield result.trace
    for name, count in sorted(result.faults.items()):
        yield f"{count:5} {name}"
    yield f"digest {hashlib.sha256(result.trace.encode()).hexdigest()}"


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def _each(asked: _Asked) -> Generator[run.Result]:
    """Yield the result of every seed, in their order, `jobs` running at a time."""
    running: list[tuple[int, int, int]] = []
    waiting = iter(asked.seeds)
    try:
        for seed in waiting:
            running.append(_fork(seed, asked))
            if len(running) == asked.jobs:
                yield _result(*running.pop(0))
        while running:
            yield _result(*running.pop(0))
    finally:
        for _, child, _ in running:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _fork(seed: int, asked: _Asked) -> tuple[int, int, int]:
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.close(writing)
        return seed, child, reading
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        faulthandler.dump_traceback_later(_LONGEST, exit=True)  # says where it stands still
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(_run(seed, asked)))
    finally:
        sys.stdout.flush()
        os._exit(0)


def _run(seed: int, asked: _Asked) -> run.Result:
    try:
        return run.run(seed, asked.templates, asked.only)
    except Exception:  # noqa: BLE001  # whatever it is, it is a finding
        return run.Result.broken(seed, f"the simulation broke down: {traceback.format_exc()}")


def _result(seed: int, child: int, reading: int) -> run.Result:
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    if not told:
        return run.Result.broken(seed, f"no end after {_LONGEST} s of real time")
    found: run.Result = pickle.loads(told)
    return found


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # what the warming runs left is not collected: it would run on
