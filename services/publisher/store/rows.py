"""What does a batch write? Rows by table: one for each key, the last that was decided. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from services.publisher.store.events import Change
from services.publisher.store.index import Indexed, IndexedOther

Row = dict[str, Any]

NOTHING: Final = Indexed("", ())


@dataclass(frozen=True, slots=True)
class Filing:
    """What becomes of one report's row and of its entries in the index."""

    row: Row | None
    """`None`: the report is deleted."""
    now: Indexed
    before: Indexed = NOTHING
    """What the index says until this batch is stored."""


@dataclass(slots=True)
class Rows:
    """The rows of a request, and then of a batch."""

    versions: list[Row] = field(default_factory=list)
    audit: list[Row] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    """Events to be, in their order."""
    current: dict[tuple[str, str], Row] = field(default_factory=dict)
    reports: dict[str, Filing] = field(default_factory=dict)
    contracts: dict[str, Row | None] = field(default_factory=dict)
    """By key; `None`: there is no such contract any more."""
    identifiers: dict[tuple[str, str], list[Row]] = field(default_factory=dict)
    others: dict[tuple[str, str], IndexedOther] = field(default_factory=dict)
    """What Measures, Organizations and Groups are found by from now on."""
    listings: list[Row] = field(default_factory=list)
    unlisted: set[str] = field(default_factory=set)
    """Reports whose listings from before count no more; the rows above come after that."""

    def take(self, other: Rows) -> None:
        """Add what a later request writes."""
        self.versions += other.versions
        self.audit += other.audit
        self.changes += other.changes
        if other.unlisted:
            self.listings = [row for row in self.listings if row["performance_id"] not in other.unlisted]
            self.unlisted |= other.unlisted
        self.listings += other.listings
        self.current |= other.current
        self.contracts |= other.contracts
        self.identifiers |= other.identifiers
        self.others |= other.others
        for id_, filing in other.reports.items():
            self.file(id_, filing)

    def file(self, report_id: str, filing: Filing) -> None:
        """Note what becomes of a report; what the index says before is as it was before the first time."""
        first = self.reports.get(report_id)
        self.reports[report_id] = filing if first is None else Filing(filing.row, filing.now, first.before)
