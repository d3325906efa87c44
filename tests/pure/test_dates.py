from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dates import END_OF_TIME, bounds, moment, period_bounds, shifted, stamp


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2013", "2013-01-01T00:00:00.000Z", "2014-01-01T00:00:00.000Z"),
        ("2013-02", "2013-02-01T00:00:00.000Z", "2013-03-01T00:00:00.000Z"),
        ("2013-12", "2013-12-01T00:00:00.000Z", "2014-01-01T00:00:00.000Z"),
        ("2013-01-14", "2013-01-14T00:00:00.000Z", "2013-01-15T00:00:00.000Z"),
        ("2024-02-29", "2024-02-29T00:00:00.000Z", "2024-03-01T00:00:00.000Z"),
        ("2013-01-14T10:00", "2013-01-14T10:00:00.000Z", "2013-01-14T10:01:00.000Z"),
        ("2013-01-14T10:00:00Z", "2013-01-14T10:00:00.000Z", "2013-01-14T10:00:01.000Z"),
        ("2013-01-14T10:00:00.123Z", "2013-01-14T10:00:00.123Z", "2013-01-14T10:00:00.124Z"),
        ("2013-01-14T10:00:00.5Z", "2013-01-14T10:00:00.500Z", "2013-01-14T10:00:00.501Z"),
        ("2013-01-14T10:00:00.123999Z", "2013-01-14T10:00:00.123Z", "2013-01-14T10:00:00.124Z"),
        ("2013-01-14T23:30:00-05:00", "2013-01-15T04:30:00.000Z", "2013-01-15T04:30:01.000Z"),
        ("2013-01-14T01:30+14:00", "2013-01-13T11:30:00.000Z", "2013-01-13T11:31:00.000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z", "2017-01-01T00:00:01.000Z"),
        ("0001", "0001-01-01T00:00:00.000Z", "0002-01-01T00:00:00.000Z"),
    ],
)
def test_a_date_is_the_whole_stretch_it_names(text: str, low: str, high: str) -> None:
    assert bounds(text) == (low, high)


@pytest.mark.parametrize(
    "text", ["9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59.999Z", "9999-12-31T23:59-05:00"]
)
def test_what_ends_with_the_last_year_ends_after_every_date(text: str) -> None:
    low, high = bounds(text)
    assert high == END_OF_TIME
    assert low <= "9999-12-31T23:59:59.999Z" < high
    assert len(low) == len(high)


@pytest.mark.parametrize(
    "text",
    [
        "", "23 May 2009", "13-01-14", "2013-1-14", "2013-13", "2013-00", "2013-02-29", "2013-04-31", "2013-01-32",
        "0000", "2013-01-14T", "2013-01-14T10", "2013-01-14T24:00", "2013-01-14T10:60", "2013-01-14T10:00:61",
        "2013-01T10:00", "2013-01-14T10:00+25:00", "2013-01-14T10:00:00z", " 2013", "2013\n", "2013-01-14 10:00",
        "٢٠١٣",  # digits, but not FHIR's
    ],
)  # fmt: skip
def test_what_is_no_date_is_refused_with_what_was_found(text: str) -> None:
    with pytest.raises(ValueError, match="expected") as refusal:
        bounds(text)
    assert repr(text) in str(refusal.value)


def test_what_an_offset_moves_before_the_first_year_is_its_first_moment() -> None:
    low, high = bounds("0001-01-01T00:00:00+14:00")
    assert low == "0001-01-01T00:00:00.000Z" < high


def test_a_period_without_a_side_is_open_there() -> None:
    assert period_bounds("2026-02-20", None) == ("2026-02-20T00:00:00.000Z", None)
    assert period_bounds(None, "2012-02-03") == (None, "2012-02-04T00:00:00.000Z")
    assert period_bounds(None, None) == (None, None)


moments = st.builds(
    lambda seconds, milliseconds, minutes: (
        datetime.fromtimestamp(seconds, UTC).astimezone(timezone(timedelta(minutes=minutes)))
        + timedelta(milliseconds=milliseconds)
    ),
    st.integers(-62_000_000_000, 253_000_000_000),
    st.integers(0, 999),
    st.integers(-839, 839),
)


@given(moments, moments)
def test_comparing_bounds_as_text_compares_time(one: datetime, other: datetime) -> None:
    assert (stamp(one) < stamp(other)) == (one < other)
    assert len(stamp(one)) == len(END_OF_TIME)


@given(moments)
def test_an_instant_lies_within_the_second_minute_day_month_and_year_it_is_cut_to(when: datetime) -> None:
    text = stamp(when)
    inner = bounds(text)
    for cut in (text[:19] + "Z", text[:16] + "Z", text[:10], text[:7], text[:4]):
        outer = bounds(cut)
        assert outer[0] <= inner[0] < inner[1] <= outer[1]
        inner = outer


@given(moments)
def test_a_bound_can_be_read_back(when: datetime) -> None:
    assert moment(stamp(when)) == when
    assert shifted(when, timedelta(0)) == stamp(when)


def test_shifting_stays_within_the_years_that_can_be_written() -> None:
    assert shifted(datetime(9999, 12, 31, tzinfo=UTC), timedelta(days=400)) == END_OF_TIME
    assert shifted(datetime(1, 1, 1, tzinfo=UTC), timedelta(days=-1)) == "0001-01-01T00:00:00.000Z"
