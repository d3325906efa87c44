"""What is scraped of durations is what the library's histogram would say of the same values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from services.durations import Durations

BOUNDS = (0.005, 0.5, 1, 86400)


def scraped(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


@given(
    st.lists(st.lists(st.one_of(st.sampled_from(BOUNDS), st.integers(-1, 100_000)), max_size=20), max_size=5)
)
def test_as_the_library_counts(batches: list[list[float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    durations = Durations("waited_seconds", "How long.", registry=ours, buckets=BOUNDS)
    histogram = Histogram("waited_seconds", "How long.", registry=theirs, buckets=BOUNDS)
    for batch in batches:
        durations.observe_all(batch)
        for each in batch:
            histogram.observe(each)
    assert scraped(ours) == scraped(theirs)
