"""What does matching one event cost, by the number of subscriptions? Beside a linear scan of the same criteria.

The number of matches an event has is the same at every size, so what grows is the cost of not matching. Each size
is built in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.result import Result, run
from schemas.dates import period_bounds
from schemas.event import EventType
from schemas.facets import EVERY_ORGANISATION, Facets, parties, token
from schemas.fhir import METRIC_SYSTEM, OURS, REPORT_KIND_SYSTEM, REPORT_STAGE_SYSTEM
from schemas.search.predicate import compile_terms
from services.clock import SystemClock
from services.notifier.match.index import MatchIndex
from services.notifier.match.interest import Interest, triggered
from services.notifier.subscriptions.admission import interest

SIZES, QUICK = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000, 100_000)
LINEAR_AT_MOST = 100_000
MOST_GROWTH, MOST_MIB, MOST_SECONDS = 3.0, 1024, 60
BROAD = 10
"""Subscriptions that every event matches, whatever their number in all."""
_A_CONTRACT = 10
_EVENTS, _CHANGES = 200, 1_000
_NOW = datetime(2026, 3, 2, tzinfo=UTC)
_TOPIC = OURS + "SubscriptionTopic/report-available"
_ALL = frozenset({EVERY_ORGANISATION})


@dataclass(frozen=True, slots=True)
class Event:
    """What matching reads."""

    type: EventType
    facets: Facets
    time: datetime = _NOW
    previous_facets: Facets | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One size."""

    match: float
    """Seconds an event, the median."""
    matches: float
    linear: float | None
    build: float
    mib: float
    create: float
    delete: float
    agrees: bool


def subscription(number: int) -> Interest:
    """Return one of a realistic mix: most name a contract, some a range, a score, or what they do not want."""
    if number < BROAD:
        return interest(f"s{number}", _ALL, "topic", _TOPIC, ("stage=settled",), base_url="")
    contract = f"contract=https://payer.example/Measure/{number // _A_CONTRACT}"
    mine = frozenset({f"Organization/{number // _A_CONTRACT}"})
    rest: tuple[str, ...]
    match number % 20:
        case 0 | 1 | 2:
            rest = ("period=ge2026-01-01", "period=lt2026-12-31")
        case 3 | 4:
            rest = (f"metric-score=star$lt{number % 50 / 10}",)
        case 5:
            rest = ("stage:not=withdrawn",)
        case 6:
            return interest(f"s{number}", mine, "classic", "MeasureReport?kind=quality", (), base_url="")
        case _:
            rest = ("stage=settled",)
    return interest(f"s{number}", mine, "topic", _TOPIC, (contract, *rest), base_url="")


def events(subscriptions: int) -> list[Event]:
    """Return events of contracts spread evenly over those that somebody asks for."""
    contracts = max(1, subscriptions // _A_CONTRACT)
    step = max(1, contracts // _EVENTS)
    return [_event(1 + place * step % max(1, contracts - 1)) for place in range(_EVENTS)]


def _event(contract: int) -> Event:
    score = f"{contract % 50 / 10}"
    return Event(
        EventType.SETTLED,
        {
            "contract": [f"https://payer.example/Measure/{contract}"],
            "payer": ["Organization/payer"],
            "provider": [f"Organization/{contract}"],
            "stage": [token(REPORT_STAGE_SYSTEM, "settled")],
            "kind": [token(REPORT_KIND_SYSTEM, "performance")],
            "period": [list(period_bounds("2026-01-01", "2026-06-30"))],
            "metric": [f"{METRIC_SYSTEM}|star"],
            "metric-score": [[f"{METRIC_SYSTEM}|star", score, ""]],
        },
    )


def measure_size(size: int) -> Measured:
    """Build an index of a size, in this process, and measure it."""
    clock = SystemClock()
    gc.collect()
    before, started = _resident(), clock.monotonic()
    index = MatchIndex()
    with index.loading():
        for number in range(size):
            index.put(subscription(number))
    build = clock.monotonic() - started
    gc.collect()
    mib = _resident() - before
    seen = events(size)
    each = [_timed(clock, partial(index.match, event)) for event in seen]
    found = [index.match(event) for event in seen]
    more = [subscription(size + number) for number in range(_CHANGES)]
    create = _timed(clock, lambda: deque(map(index.put, more), 0)) / _CHANGES
    visible = index.match(_event((size + 100) // _A_CONTRACT))
    gone = [wanted.subscription for wanted in more]
    delete = _timed(clock, lambda: deque(map(index.remove, gone), 0)) / _CHANGES
    linear, agrees = _linear(clock, size, seen, found)
    return Measured(
        statistics.median(each),
        statistics.mean(map(len, found)),
        linear,
        build,
        mib,
        create,
        delete,
        agrees and len(visible) > BROAD and [index.match(event) for event in seen] == found,
    )


def _linear(
    clock: SystemClock, size: int, seen: list[Event], found: list[list[str]]
) -> tuple[float | None, bool]:
    if size > LINEAR_AT_MOST:
        return None, True
    plain = [(wanted, compile_terms(wanted.query.terms)) for wanted in map(subscription, range(size))]

    def scan(event: Event) -> Iterator[str]:
        there = {*parties(event.facets), EVERY_ORGANISATION}
        for wanted, holds in plain:
            if (
                not there.isdisjoint(wanted.organisations)
                and triggered(wanted.audience.triggers, event)
                and holds(event.facets, event.time)
            ):
                yield wanted.subscription

    few = seen[:: len(seen) // 5]
    seconds = _timed(clock, lambda: [sorted(scan(event)) for event in few]) / len(few)
    return seconds, [sorted(scan(event)) for event in few] == found[:: len(seen) // 5]


def _timed(clock: SystemClock, act: Callable[[], object]) -> float:
    started = clock.monotonic()
    act()
    return clock.monotonic() - started


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(result: Result, quick: bool) -> None:
    """Measure every size."""
    least: float | None = None
    for size in QUICK if quick else SIZES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            found = alone.submit(measure_size, size).result()
        name = f"{size:,} subscriptions"
        if not found.agrees:
            result.faults.append(
                f"{name}: index and linear scan disagree, or a change was not seen by the next event"
            )
        if least is None:
            least = found.match
            result.figure(f"{name}: match", found.match * 1e6, "µs/event")
        else:
            result.at_most(
                f"{name}: match", found.match * 1e6, "µs/event", MOST_GROWTH * least * 1e6, least * 1e6
            )
        result.figure(f"{name}: matches", found.matches, "an event")
        if found.linear is not None:
            result.figure(f"{name}: linear scan", found.linear * 1e6, "µs/event")
        result.at_most(f"{name}: build", found.build, "s", MOST_SECONDS)
        result.at_most(f"{name}: memory", found.mib, "MiB", MOST_MIB)
        result.figure(f"{name}: one create", found.create * 1e6, "µs")
        result.figure(f"{name}: one delete", found.delete * 1e6, "µs")
    result.notes.append(
        f"No linear scan above {LINEAR_AT_MOST:,} subscriptions. Build: criteria read and filed."
    )


if __name__ == "__main__":
    sys.exit(run("match", __doc__, measure))
