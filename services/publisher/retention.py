"""What does a publisher keep, and for how long? Report versions for ever; events until nobody can need them.

Never removed, however old: what has no place in the event log yet, what an operator wants emitted again, and,
where the outbox itself is the log, what its reader has not taken in. What the search index says of no report any more
goes at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from services.database import Connection
from services.event_log_outbox import PARTITION
from services.publisher.store.tables import (
    audit,
    log_head,
    outbox,
    outbox_copy,
    report,
    set_pruning,
    shared_facet,
)
from services.retention import AT_ONCE, Sweep, Swept, in_order_of_age
from services.settings import Settings


def sweeps(settings: Settings, needed_from: Callable[[], int] | None = None) -> dict[str, Sweep]:
    """Return the sweeps that the settings ask for; 0 days means for ever.

    `needed_from` tells the first position that the outbox's reader may still ask for, where there is one.
    """
    wanted: dict[str, Sweep] = {}
    if (days := settings.keep_outbox_days) and needed_from is None:
        wanted["outbox"] = OutboxSweep(days)
    elif days and needed_from is not None:
        wanted["outbox"] = LogSweep(days, needed_from)
    if settings.keep_audit_days:
        wanted["audit"] = in_order_of_age(audit, settings.keep_audit_days)
    if settings.prune_index:
        wanted["shared_facet"] = SetSweep()
    return wanted


_row, _copy, _head = outbox.c, outbox_copy.c, log_head.c
_cutoff = sa.bindparam("cutoff", type_=_row.accepted_at.type)
_of_the_row = _copy.number == _row.number


class OutboxSweep:
    """Rows whose events are in another log: walks over them in order of their numbers, a window at a time."""

    def __init__(self, days: int) -> None:
        """Remove what was accepted more than `days` days ago."""
        self._keep = timedelta(days=days)
        self._after = 0

    async def __call__(self, connection: Connection, now: datetime) -> Swept:
        """Remove what may go of the next window."""
        window = (await connection.execute(_WINDOW, {"after": self._after})).all()
        cutoff = now - self._keep
        past = [row.number for row in window if row.accepted_at < cutoff]
        gone = 0
        if past:
            named = {"after": self._after, "last": past[-1], "cutoff": cutoff}
            gone = (await connection.execute(_PLACED, named)).rowcount
        more = len(past) == AT_ONCE
        self._after = past[-1] if more else 0
        return Swept(gone, more)


_WINDOW: Final = (
    sa.select(_row.number, _row.accepted_at)
    .where(_row.number > sa.bindparam("after"))
    .order_by(_row.number)
    .limit(AT_ONCE)
)
_PLACED: Final = sa.delete(outbox).where(
    _row.number > sa.bindparam("after"),
    _row.number <= sa.bindparam("last"),
    _row.accepted_at < _cutoff,
    _row.place_position.is_not(None),
    sa.not_(sa.exists().where(_of_the_row, _copy.place_position.is_(None))),
)


class LogSweep:
    """Rows that are the log: its beginning moves first, in order of position, and what lies before it goes.

    So a reader that asks for what is gone is told so, and never steps over a hole.
    """

    def __init__(self, days: int, needed_from: Callable[[], int]) -> None:
        """Remove what was accepted more than `days` days ago and lies before `needed_from()`."""
        self._keep = timedelta(days=days)
        self._needed_from = needed_from

    async def __call__(self, connection: Connection, now: datetime) -> Swept:
        """Move the log's beginning over what may go, a window at a time, and remove that."""
        here = _head.partition == PARTITION
        oldest = (await connection.execute(sa.select(_head.oldest_position).where(here))).scalar()
        if oldest is None:
            return Swept(0, more=False)
        window = await connection.execute(_PLACES, {"oldest": oldest, "needed": self._needed_from()})
        begins = oldest
        for place in window:
            if place.accepted_at >= now - self._keep:
                break
            begins = place.position + 1
        if begins > oldest:
            await connection.execute(sa.update(log_head).where(here).values(oldest_position=begins))
        gone = (await connection.execute(_BEFORE, {"begins": begins})).rowcount
        return Swept(gone, more=begins - oldest == AT_ONCE or gone == AT_ONCE)


class SetSweep:
    """Sets of the search index that no report names any more: walks over them by name, a window at a time.

    Whoever stores a report remembers which sets are there. So a removal waits until nobody is about to name one,
    keeps newcomers waiting, and moves the round, at which they forget what they remember.
    """

    def __init__(self) -> None:
        """Begin with the first set."""
        self._after = ""

    async def __call__(self, connection: Connection, _now: datetime) -> Swept:
        """Remove what may go of the next window."""
        window = list((await connection.execute(_SETS, {"after": self._after})).scalars())
        more = len(window) == AT_ONCE
        gone = 0
        if window:
            named = {"after": self._after, "last": window[-1]}
            if (await connection.execute(_UNNAMED, named)).scalar() is not None:
                await connection.execute(_NEXT_ROUND)
                gone = (await connection.execute(_REMOVED, named)).rowcount
        self._after = window[-1] if more else ""
        return Swept(gone, more)


_set = shared_facet.c.facet_set
_SETS: Final = sa.select(_set).distinct().where(_set > sa.bindparam("after")).order_by(_set).limit(AT_ONCE)
_of_no_report = (
    _set > sa.bindparam("after"),
    _set <= sa.bindparam("last"),
    sa.not_(sa.exists().where(report.c.facet_set == _set)),
)
_UNNAMED: Final = sa.select(_set).where(*_of_no_report).limit(1)
_REMOVED: Final = sa.delete(shared_facet).where(*_of_no_report)
_NEXT_ROUND: Final = sa.update(set_pruning).values(round=set_pruning.c.round + 1)


def _places() -> sa.Select[tuple[int, datetime]]:
    oldest: sa.BindParameter[int] = sa.bindparam("oldest")
    needed: sa.BindParameter[int] = sa.bindparam("needed")
    own = (
        sa.select(_row.place_position.label("position"), _row.accepted_at)
        .where(_row.place_partition == PARTITION, _row.place_position >= oldest, _row.place_position < needed)
        .order_by(_row.place_position)
        .limit(AT_ONCE)
    )
    again = (
        sa.select(_copy.place_position, _row.accepted_at)
        .select_from(outbox_copy.join(outbox, _of_the_row))
        .where(
            _copy.place_partition == PARTITION, _copy.place_position >= oldest, _copy.place_position < needed
        )
        .order_by(_copy.place_position)
        .limit(AT_ONCE)
    )
    # Each side has its own limit, so that each follows its own index and stops there.
    both = sa.union_all(sa.select(own.subquery()), sa.select(again.subquery())).subquery()
    return sa.select(both.c.position, both.c.accepted_at).order_by(both.c.position).limit(AT_ONCE)


_PLACES: Final = _places()
_old = outbox.alias("old").c
_BEFORE: Final = sa.delete(outbox).where(
    _row.number.in_(
        sa.select(_old.number)
        .where(
            _old.place_partition == PARTITION,
            _old.place_position < sa.bindparam("begins"),
            # A row whose copy stands further on is still read from there.
            sa.not_(
                sa.exists().where(
                    _copy.number == _old.number,
                    sa.or_(_copy.place_position.is_(None), _copy.place_position >= sa.bindparam("begins")),
                )
            ),
        )
        .order_by(_old.place_position)
        .limit(AT_ONCE)
    )
)
