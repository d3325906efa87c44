"""The publisher's tables. Nothing outside the publisher reads them; readers of events go by the log."""

from __future__ import annotations

import sqlalchemy as sa

from services.database import UtcDateTime
from services.event_log_outbox import outbox_tables
from services.publisher.store.index import AFTER_ALL, BEFORE_ALL

metadata = sa.MetaData()

_Ordered = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text compared byte by byte, whatever the database's locale: its order means something."""

SEARCHED = (
    "id", "facet_set", "last_updated", "date_low", "date_high", "period_low", "period_high", "stage", "kind",
)  # fmt: skip
"""What a search looks at of a report's own row."""
ORDERS = {
    "report_search": ("id",),
    "report_facet_set": ("facet_set", "id"),
    "report_last_updated": ("last_updated", "id"),
    "report_date": ("date_low", "id"),
    "report_period": ("period_low", "id"),
    "report_period_high": ("period_high", "id"),
}
"""The indexes over it, with what each begins with."""

resource = sa.Table(
    "resource",
    metadata,
    sa.Column("type", sa.String(32), primary_key=True),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),  # client that created it; the only payer that may write it
    sa.Column("content_hash", sa.String(64), nullable=False),  # token-preserving, without id and meta
    sa.Column("last_updated", UtcDateTime, nullable=False),
    sa.Index("resource_content", "content_hash"),
    sqlite_with_rowid=False,
)
"""The current version of everything stored."""

resource_version = sa.Table(
    "resource_version",
    metadata,
    sa.Column("type", sa.String(32), primary_key=True),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("interaction", sa.String(8), nullable=False),  # create, update, delete
    sa.Column("last_updated", UtcDateTime, nullable=False),
    sa.Column("client", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary),  # NULL for a delete
    sa.Index("resource_version_written", "type", "last_updated", "id", "version"),  # a type's history
)
"""Every version ever accepted, byte for byte."""

identifier = sa.Table(
    "identifier",
    metadata,
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("id", sa.String(64), nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("system", sa.Text, nullable=False),  # '' when the element has none
    sa.Index("identifier_value", "type", "value"),
    sa.Index("identifier_resource", "type", "id"),
)
"""The business identifiers of Organizations, Groups and Measures; those of reports are facets."""

contract = sa.Table(
    "contract",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),  # Measure.url without |version
    sa.Column("measure_id", sa.String(64), nullable=False, unique=True),
    sa.Column("payer", sa.Text),  # bound by its creator or by its first report
    sa.Column("facts", sa.Text, nullable=False),  # JSON of derive.model.ContractFacts
    sa.Index("contract_payer", "payer"),
)

report = sa.Table(
    "report",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("contract", sa.Text),
    sa.Column("payer", sa.Text),
    sa.Column("provider", sa.Text),
    sa.Column("identity", sa.Text),
    sa.Column("parent", sa.String(64)),
    sa.Column("waits", sa.Boolean, nullable=False),
    sa.Column("facets", sa.Text, nullable=False),  # JSON
    sa.Column("facet_set", sa.String(32), nullable=False),  # of `shared_facet`
    sa.Column("last_updated", UtcDateTime, nullable=False),
    # See `index.milliseconds` and `index.NO_DATE`.
    sa.Column("date_low", sa.BigInteger, server_default=str(AFTER_ALL), nullable=False),
    sa.Column("date_high", sa.BigInteger, server_default=str(BEFORE_ALL), nullable=False),
    sa.Column("period_low", sa.BigInteger, server_default=str(AFTER_ALL), nullable=False),
    sa.Column("period_high", sa.BigInteger, server_default=str(BEFORE_ALL), nullable=False),
    # A search reads nothing of a report but one of these, whatever it selects and however it sorts; rows are wide.
    *(
        sa.Index(name, *first, *(each for each in SEARCHED if each not in first))
        for name, first in ORDERS.items()
    ),
    sa.Index("report_code", "stage", "kind"),  # how many there are; a few bytes each
    sa.Index("report_identity", "identity", "last_updated", "id"),  # the generations of an identity, in order
    sa.Index("report_series", "contract", "provider", "period_low"),  # a report and its predecessors
)
"""What was derived for the current version of each report; a deleted one has no row."""
sa.Index(
    "report_waiting",
    report.c.last_updated,
    postgresql_where=report.c.waits,
    sqlite_where=report.c.waits,
)

generation = sa.Table(
    "generation",
    metadata,
    sa.Column("identity", sa.Text, primary_key=True),
    sa.Column("report_id", sa.String(64), nullable=False),
    sqlite_with_rowid=False,
)
"""The current generation of each report identity, what the next one supersedes: the report's current version."""

listing = sa.Table(
    "listing",
    metadata,
    sa.Column("quality_id", sa.String(64), primary_key=True),
    sa.Column("performance_id", sa.String(64), primary_key=True),
    sa.Column("since", sa.Integer, nullable=False),  # 1, 2, … in order of first listing: 1 is the parent
    sa.Index("listing_performance", "performance_id"),
    sqlite_with_rowid=False,
)
"""Which performance reports have listed which quality reports, whether or not these have come.

A row stays when a later version lists the report no more: the parent is the first that ever did. It goes with the
performance report when that is deleted.
"""

shared_facet = sa.Table(
    "shared_facet",
    metadata,
    sa.Column("parameter", sa.String(64), primary_key=True),
    sa.Column("value", _Ordered, primary_key=True),  # reference, uri; code of a token; url of a canonical
    sa.Column("facet_set", sa.String(32), primary_key=True),
    sa.Column("system", _Ordered, primary_key=True),  # of a token, version of a canonical; '' without one
    sa.Index("shared_facet_set", "facet_set"),
    sqlite_with_rowid=False,
)
"""The search index: what many reports say alike, once a set. A set is named by its content and never changes.

A payer's reports about one contract share nearly all they can be found by. A new report mostly names a set that
is there, and writes none of it.
"""

own_facet = sa.Table(
    "own_facet",
    metadata,
    sa.Column("parameter", sa.String(64), primary_key=True),
    sa.Column("value", _Ordered, primary_key=True),
    sa.Column("system", _Ordered, primary_key=True),
    sa.Column("report_id", sa.String(64), primary_key=True),
    sqlite_with_rowid=False,
)
"""The search index: values that hardly two reports share, such as business identifiers."""

date_facet = sa.Table(
    "date_facet",
    metadata,
    sa.Column("parameter", sa.String(64), primary_key=True),
    sa.Column("low", sa.BigInteger, primary_key=True, autoincrement=False),  # see `index.milliseconds`
    sa.Column("high", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("report_id", sa.String(64), primary_key=True),
    sa.Index("date_facet_high", "parameter", "high", "low", "report_id"),
    sa.Index("date_facet_report", "report_id", "parameter", "low", "high"),
    sqlite_with_rowid=False,
)
"""The search index: dates and periods."""

score_facet = sa.Table(
    "score_facet",
    metadata,
    sa.Column("value", _Ordered, primary_key=True),  # see `index.scored`
    sa.Column("number", _Ordered, primary_key=True),  # see `index.sortable`
    sa.Column("system", _Ordered, primary_key=True),  # see `index.scored_in`
    sa.Column("unit", _Ordered, primary_key=True),  # '' when there is none
    sa.Column("report_id", sa.String(64), primary_key=True),
    sa.Index("score_facet_report", "report_id", "value", "number", "system", "unit"),
    sqlite_with_rowid=False,
)
"""The search index: metrics with their scores, and thresholds with the gaps to them."""

resource_facet = sa.Table(
    "resource_facet",
    metadata,
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("id", sa.String(64), nullable=False),
    sa.Column("parameter", sa.String(64), nullable=False),
    sa.Column("value", _Ordered, nullable=False),  # as in `shared_facet`; the beginning of a string, folded
    sa.Column("system", _Ordered, nullable=False),  # as in `shared_facet`; all of a string, folded
    sa.Column("said", sa.Text, nullable=False),  # a string as it was sent; '' for all else
    sa.Index("resource_facet_value", "type", "parameter", "value", "id"),
    sa.Index("resource_facet_resource", "type", "id", "parameter"),
)
"""The search index of Measures, Organizations and Groups."""

resource_date = sa.Table(
    "resource_date",
    metadata,
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("id", sa.String(64), nullable=False),
    sa.Column("parameter", sa.String(64), nullable=False),
    sa.Column("low", sa.BigInteger, nullable=False),
    sa.Column("high", sa.BigInteger, nullable=False),
    sa.Index("resource_date_low", "type", "parameter", "low"),
    sa.Index("resource_date_resource", "type", "id", "parameter"),
)
"""Their dates and periods."""

set_pruning = sa.Table(
    "set_pruning",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # 1
    sa.Column("round", sa.BigInteger, nullable=False),
)
"""How often sets were removed from `shared_facet`: whoever remembers which are there forgets them when it moves.

The one row is read under a shared lock by whoever names sets, and written by whoever removes them.
"""

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("client", sa.Text, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
)

outbox, log_head, outbox_copy = outbox_tables(metadata)
