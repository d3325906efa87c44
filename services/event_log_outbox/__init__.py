"""The event log of one machine: the publisher's outbox, read by position. One partition, number 0.

tables     outbox, head and copies, in a service's metadata
rows       outbox rows as events
bounds     how much is taken into memory at once
sink       the publisher's end: gives the next dense positions
handover   what was just committed, for the reader in the same process
source     the notifier's end: reads by position, and never writes

An event that is emitted again stands at a further place, as it would in Kafka: its first place is never taken
away, so no reader can miss it because it moved.
"""

from services.event_log_outbox.bounds import READ_BYTES, within
from services.event_log_outbox.handover import Appended, Placed
from services.event_log_outbox.rows import MissingBodyError, OutboxRows
from services.event_log_outbox.sink import OutboxSink
from services.event_log_outbox.source import OutboxSource
from services.event_log_outbox.tables import PARTITION, outbox_tables

__all__ = [
    "PARTITION",
    "READ_BYTES",
    "Appended",
    "MissingBodyError",
    "OutboxRows",
    "OutboxSink",
    "OutboxSource",
    "Placed",
    "outbox_tables",
    "within",
]
