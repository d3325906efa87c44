"""Which report is a settled one compared with, when nothing of its own identity came before it? Its predecessor.

The latest earlier report of the same contract, provider and start of the period, whatever its end: year-to-date
reports grow. A withdrawn or deleted report is none to compare with.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import sqlalchemy as sa

from schemas.event import Stage
from services.database import Connection
from services.publisher.derive.model import Derived, Kind
from services.publisher.store.events import Change
from services.publisher.store.index import index
from services.publisher.store.remarks import is_compared
from services.publisher.store.tables import report

Series: TypeAlias = tuple[str, str, int]
"""Contract, provider and start of the period: what a report shares with its predecessors."""
Before: TypeAlias = tuple[Stage, str]
"""Stage and facets of a report, these as JSON."""

_series = (report.c.contract, report.c.provider, report.c.period_low)
_in_series = (
    sa.select(*_series, report.c.stage, report.c.facets)
    .where(sa.tuple_(*_series).in_(sa.bindparam("series", expanding=True)))
    .where(report.c.kind == Kind.PERFORMANCE.value, report.c.stage != Stage.WITHDRAWN.value)
    .order_by(report.c.last_updated)
)


@dataclass(slots=True)
class Earlier:
    """The latest report of each series that is asked about, as the changes of a batch go by."""

    _asked: frozenset[Series] = frozenset()
    _latest: dict[Series, Before] = field(default_factory=dict)

    def before(self, change: Change) -> Before | None:
        """Return the predecessor of a report that is stored; `None` when there is none to compare it with."""
        return self._latest.get(series_of(change.derived)) if self._asked and _asks(change) else None

    def pass_by(self, change: Change) -> None:
        """See a report as the latest of its series."""
        if not self._asked or change.deletes or change.derived.kind is not Kind.PERFORMANCE:
            return
        if change.derived.stage is not Stage.WITHDRAWN:
            self._latest[series_of(change.derived)] = (change.derived.stage, change.facets)


async def earlier(tx: Connection, changes: Sequence[Change], superseded: Container[str]) -> Earlier:
    """Return what is there before these changes; those whose identity is in `superseded` need none of it."""
    asked = frozenset(
        series_of(each.derived)
        for each in changes
        if _asks(each) and each.former is None and each.derived.identity not in superseded
    )
    if not asked:
        return Earlier()
    rows = await tx.execute(_in_series, {"series": sorted(asked)})
    return Earlier(
        asked,
        {(row.contract, row.provider, row.period_low): (Stage(row.stage), row.facets) for row in rows},
    )


def _asks(change: Change) -> bool:
    return is_compared(change.derived) and not change.deletes


def series_of(derived: Derived) -> Series:
    """Return the series of a performance report."""
    assert derived.contract is not None
    assert derived.provider is not None
    return derived.contract, derived.provider, index({"period": derived.facets["period"]}).period[0]
