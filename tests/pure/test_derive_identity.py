"""Do two reports supersede each other exactly when they should?"""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from services.publisher.derive.identity import performance_identity, quality_identity
from tests.pure.small_reports import PERIOD_IDENTITY

_text = st.text(alphabet='ab"[],\\|/ é', max_size=4)
_days = st.dates(min_value=date(2020, 1, 1), max_value=date(2020, 1, 5)).map(date.isoformat)
_periods = st.fixed_dictionaries({}, optional={"start": _days, "end": _days})
_performance = st.tuples(_text, _text, _periods)
_quality = st.tuples(_performance, st.text(alphabet='ab"[],\\/', max_size=3), st.text("ab", max_size=2))


@given(_performance, _performance)
def test_performance_reports_share_an_identity_only_if_all_parts_are_the_same(
    one: tuple[str, str, dict[str, str]], other: tuple[str, str, dict[str, str]]
) -> None:
    assert (performance_identity(*one) == performance_identity(*other)) == (one == other)


@given(_quality, _quality)
def test_quality_reports_share_an_identity_only_if_all_parts_are_the_same(
    one: tuple[tuple[str, str, dict[str, str]], str, str],
    other: tuple[tuple[str, str, dict[str, str]], str, str],
) -> None:
    texts = [
        quality_identity(performance_identity(*parent), measure, id_) for parent, measure, id_ in (one, other)
    ]
    assert (texts[0] == texts[1]) == (one == other)
    assert performance_identity(*one[0]) not in texts


def test_the_text_can_be_read() -> None:
    period = {"start": "2025-01-01", "end": "2025-12-31"}
    text = performance_identity("https://plan.example/contracts/one", "Organization/clinic", period)
    assert text == PERIOD_IDENTITY
    assert quality_identity(text, "https://measures.example/eyes|2.1", "q1") == (
        f'[{PERIOD_IDENTITY},"https://measures.example/eyes","q1"]'
    )


def test_a_period_is_the_time_it_covers_not_the_way_it_is_written() -> None:
    written = [
        {"start": "2025-01-01", "end": "2025-12-31"},
        {"start": "2025-01", "end": "2025-12"},
        {"start": "2025", "end": "2025"},
        {"start": "2025-01-01T00:00:00Z", "end": "2025-12-31T23:59:59+00:00"},
    ]
    assert len({performance_identity("c", "o", period) for period in written}) == 1


def test_a_later_version_of_the_measure_is_the_same_report() -> None:
    assert quality_identity("[]", "https://m.example/eyes|2.1", "q1") == quality_identity(
        "[]", "https://m.example/eyes|2.2", "q1"
    )
