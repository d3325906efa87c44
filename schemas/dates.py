"""What stretch of time does a FHIR date mean? Each is a half-open interval `[low, high)` in UTC.

A bound is text of one width, `YYYY-MM-DDThh:mm:ss.sssZ`, so comparing text compares time. A date of less
precision is the whole stretch it names: `2026-02` is the month. A date without a zone is read as UTC, in
reports and in criteria alike.
Source: FHIR R4 search 3.1.1.4.7 (date) and the grammar of the R4 types date, dateTime and instant.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

END_OF_TIME = "9999-12-31T24:00:00.000Z"
"""The bound after the last moment a FHIR date can name: ISO 8601's end of day, greater than all others."""

_START_OF_TIME = "0001-01-01T00:00:00.000Z"
_FIRST_HIGH = "0001-01-01T00:00:00.001Z"
_LAST_LOW = "9999-12-31T23:59:59.999Z"

_DATE = re.compile(
    r"(?P<year>(?!0000)[0-9]{4})(?:-(?P<month>0[1-9]|1[0-2])(?:-(?P<day>0[1-9]|[12][0-9]|3[01])"
    r"(?:T(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9]|60)(?:\.(?P<fraction>[0-9]+))?)?"
    r"(?P<zone>Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)?)?)?)?"
)


@lru_cache(maxsize=256)  # all of a transaction is stored at one moment
def stamp(moment: datetime) -> str:
    """Return an aware moment as a bound, cut to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def moment(bound: str) -> datetime:
    """Return the moment a bound stands for; the end of time is the last microsecond Python knows."""
    return datetime.max.replace(tzinfo=UTC) if bound == END_OF_TIME else datetime.fromisoformat(bound)


@lru_cache(maxsize=4096)  # the dates of one report, and of a payer's reports, are a handful
def bounds(text: str) -> tuple[str, str]:
    """Return `[low, high)` of a date, dateTime or instant of any precision, as two bounds.

    An instant is one millisecond wide, whatever digits follow; a leap second is the second after it.

    Raises:
        ValueError: the text is no such date; the message says what was found and what was expected.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"found {text!r}, expected a date such as 2026, 2026-02, 2026-02-15 or 2026-02-15T10:00:00Z"
        )
    part = found.groupdict()
    year, month = int(part["year"]), int(part["month"] or 1)
    try:
        low = datetime(year, month, int(part["day"] or 1), tzinfo=UTC)
    except ValueError:
        raise ValueError(
            f"found {text!r}, expected a day that month {part['year']}-{month:02d} has"
        ) from None
    if part["month"] is None:
        return _first_day(year, 1), _first_day(year + 1, 1)
    if part["day"] is None:
        return _first_day(year, month), _first_day(year + month // 12, month % 12 + 1)
    if part["hour"] is None:
        return f"{text}T00:00:00.000Z", shifted(low, timedelta(days=1))
    start = _time_of_day(part) - _offset(part["zone"])
    # Where the offset leads out of the years that can be written, the first or last millisecond stands in.
    return min(shifted(low, start), _LAST_LOW), max(shifted(low, start + _tick(part)), _FIRST_HIGH)


def period_bounds(start: str | None, end: str | None) -> tuple[str | None, str | None]:
    """Return `[low, high)` of a Period; a missing start or end is `None`, an open side.

    An end includes the whole stretch it names: the end `2012-02-03` covers that day.

    Raises:
        ValueError: either is not a date.
    """
    return (None if start is None else bounds(start)[0], None if end is None else bounds(end)[1])


def shifted(moment: datetime, by: timedelta) -> str:
    """Return the bound `by` after a moment, held within the years 1 to 9999 that FHIR can write."""
    try:
        return stamp(moment + by)
    except OverflowError:
        return END_OF_TIME if by > timedelta(0) else _START_OF_TIME


def _first_day(year: int, month: int) -> str:
    return END_OF_TIME if year > 9999 else f"{year:04d}-{month:02d}-01T00:00:00.000Z"


def _time_of_day(part: dict[str, str | None]) -> timedelta:
    milliseconds = (part["fraction"] or "")[:3].ljust(3, "0")
    return timedelta(
        hours=int(part["hour"] or 0),
        minutes=int(part["minute"] or 0),
        seconds=int(part["second"] or 0),
        milliseconds=int(milliseconds),
    )


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta(0)
    size = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    return size if zone[0] == "+" else -size


def _tick(part: dict[str, str | None]) -> timedelta:
    if part["second"] is None:
        return timedelta(minutes=1)
    return timedelta(seconds=1) if part["fraction"] is None else timedelta(milliseconds=1)
