"""`python -m tests.simulation --seeds 0:1000`: run seeds, print what they found; exit 0 only if that is nothing.

Each seed runs in a forked process of its own, from the very same state, so it does the same alone or among
others. A seed that fails prints the command that runs it again.
"""

from __future__ import annotations

import argparse
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.clock import SystemClock

_HASHES = "0"
_LONGEST = 120
"""Seconds of real time after which a run is called stuck."""


@dataclass(frozen=True)
class _Asked:
    seeds: Sequence[int]
    without: str | None
    templates: Path
    trace: bool


def main() -> int:
    """Run what the command line asks for."""
    if os.environ.get("PYTHONHASHSEED") != _HASHES:
        # The order of sets of text is a source of chance too: fix it, from the start of the interpreter.
        os.environ["PYTHONHASHSEED"] = _HASHES
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:100", help="FIRST:LAST (not included), or seeds with commas")
    parser.add_argument("--trace", type=int, metavar="SEED", help="run one seed and print all that it did")
    parser.add_argument("--without", metavar="SAFETY", help="take a safety out: some seed must notice")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    given = parser.parse_args()
    seeds = [given.trace] if given.trace is not None else _seeds(given.seeds)
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        asked = _Asked(seeds, given.without, Path(folder), given.trace is not None)
        _prepare(asked)
        return _report(asked, given.jobs)


def _seeds(text: str) -> Sequence[int]:
    if ":" in text:
        first, last = text.split(":")
        return range(int(first), int(last))
    return [int(seed) for seed in text.split(",")]


def _prepare(asked: _Asked) -> None:
    """Do once what every run needs, before any of them begins."""
    from tests.simulation import run, unsafe

    logging.disable(logging.CRITICAL)
    run.templates(asked.templates)
    run.warm_up()
    if asked.trace:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    else:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if asked.without is not None:
        unsafe.take_out(asked.without)


def _report(asked: _Asked, jobs: int) -> int:
    from tests.simulation.judge import finding_kind

    clock, faults = SystemClock(), Counter[str]()
    gc.collect()
    gc.freeze()
    began, kinds, failed, events, arrivals, virtual = clock.monotonic(), Counter[str](), 0, 0, 0, 0.0
    for result in _each(asked, jobs):
        events, arrivals, virtual = events + result.events, arrivals + result.arrivals, virtual + result.virtual
        faults.update({name.partition(" at ")[0]: count for name, count in result.faults.items()})
        if asked.trace:
            _print_trace(result)
        if result.findings:
            failed += 1
            kinds.update({finding_kind(each) for each in result.findings})
            print(f"seed {result.seed} failed; again: python -m tests.simulation --trace {result.seed}" + (f" --without {asked.without}" if asked.without else ""))
            for finding in result.findings[:8]:
                print(f"    {finding}")
    seconds = clock.monotonic() - began
    print(f"{len(asked.seeds)} seeds, {failed} failed; {events} events, {arrivals} requests, {virtual / 3600:.0f} h in {seconds:.1f} s")
    print("faults: " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items())))
    for kind, count in kinds.most_common():
        print(f"  {count:5} {kind}")
    return 1 if failed else 0


def _print_trace(result) -> None:
    print(result.trace)
    for name, count in sorted(result.faults.items()):
        print(f"{count:5} {name}")
    print(f"digest {hashlib.sha256(result.trace.encode()).hexdigest()}")


def _each(asked: _Asked, jobs: int) -> Iterator:
    """Yield the result of every seed, in their order."""
    waiting = list(asked.seeds)
    running: dict[int, tuple[int, int]] = {}
    for seed in waiting[:jobs]:
        running[seed] = _fork(seed, asked)
    for place, seed in enumerate(waiting):
        yield _result(seed, *running.pop(seed))
        if place + jobs < len(waiting):
            running[waiting[place + jobs]] = _fork(waiting[place + jobs], asked)


def _fork(seed: int, asked: _Asked) -> tuple[int, int]:
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        gc.disable()  # a run is short, and what a killed process left must not be collected
        signal.alarm(_LONGEST)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(_run(seed, asked)))
    finally:
        sys.stdout.flush()
        os._exit(0)


def _run(seed: int, asked: _Asked):
    from tests.simulation.run import Result, run

    try:
        return run(seed, asked.templates)
    except BaseException:
        return Result(seed, (f"the simulation broke down: {traceback.format_exc()}",), "", {}, 0, 0, 0.0, 0)


def _result(seed: int, child: int, reading: int):
    from tests.simulation.run import Result

    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    if told:
        return pickle.loads(told)
    return Result(seed, (f"no end after {_LONGEST} s of real time",), "", {}, 0, 0, 0.0, 0)


if __name__ == "__main__":
    sys.exit(main())
