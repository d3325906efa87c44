"""Every metric this project exposes, named once, with its unit. Labels are bounded: never an id."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.durations import Durations

REGISTRY: Final = CollectorRegistry()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_END_TO_END = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 86400)

# Intake
HTTP_SECONDS = Histogram(
    "vbpr_http_request_duration_seconds", "Time to answer a request.", ["method", "route", "code"],
    registry=REGISTRY, buckets=_SECONDS,
)  # fmt: skip
REPORTS = Counter(
    "vbpr_reports_received", "Reports sent to us, by what became of them.", ["result"], registry=REGISTRY
)
QUALITY_WAITING = Gauge(
    "vbpr_quality_reports_waiting",
    "Quality reports whose performance report has not come.",
    registry=REGISTRY,
)
OUTBOX_PENDING = Gauge("vbpr_outbox_pending", "Events accepted and not yet in the log.", registry=REGISTRY)
OUTBOX_AGE = Gauge(
    "vbpr_outbox_oldest_age_seconds", "Age of the oldest of them; 0 when none.", registry=REGISTRY
)
EMITTED = Counter("vbpr_events_emitted", "Events appended to the log.", registry=REGISTRY)
EMIT_FAILURES = Counter("vbpr_emit_failures", "Appends that failed and are tried again.", registry=REGISTRY)

# Notifier
CONSUMER_LAG = Gauge(
    "vbpr_consumer_lag_records",
    "Records in the log that this process has not taken in.",
    ["partition"],
    registry=REGISTRY,
)
CONSUMED = Counter(
    "vbpr_events_consumed", "Events taken in, by what they were.", ["result"], registry=REGISTRY
)
MATCH_SECONDS = Histogram(
    "vbpr_match_duration_seconds", "Time to match one batch.", registry=REGISTRY, buckets=_SECONDS
)
OWED = Gauge(
    "vbpr_notifications_owed", "Notifications not yet delivered or given up.", ["state"], registry=REGISTRY
)
OLDEST_OWED = Gauge(
    "vbpr_oldest_owed_age_seconds",
    "Age of the oldest owed notification that does not wait for a client to bind; 0 when none.",
    registry=REGISTRY,
)
DEAD_LETTERS = Gauge("vbpr_dead_letters", "Records of the log that could not be read.", registry=REGISTRY)
SUBSCRIPTIONS = Gauge("vbpr_subscriptions", "Subscriptions, by status.", ["status"], registry=REGISTRY)
ATTEMPTS = Counter("vbpr_delivery_attempts", "Tries, by outcome.", ["outcome"], registry=REGISTRY)
ATTEMPT_SECONDS = Histogram(
    "vbpr_delivery_attempt_duration_seconds", "Time one try took.", registry=REGISTRY, buckets=_SECONDS
)
END_TO_END_SECONDS = Durations(
    "vbpr_delivery_end_to_end_seconds", "From a report's acceptance to the endpoint's 2xx.",
    registry=REGISTRY, buckets=_END_TO_END,
)  # fmt: skip
WEBSOCKETS = Gauge("vbpr_websocket_connections", "Clients connected to this process.", registry=REGISTRY)
LEASES_LOST = Counter(
    "vbpr_leases_lost", "Claims that had run out when their result came.", registry=REGISTRY
)

LOG_STOPPED = Gauge(
    "vbpr_event_log_stopped",
    "1 while the event log cannot be read on from where it was left: somebody has to decide.",
    registry=REGISTRY,
)
CLOCK_JUMPS = Counter(
    "vbpr_clock_jumps",
    "Times the wall clock was found to have been put forward or back; what waits is moved back with it.",
    ["direction"],
    registry=REGISTRY,
)
RESTORATIONS = Counter(
    "vbpr_restorations",
    "Times the database was found to have been restored from a backup.",
    registry=REGISTRY,
)

# Keeping
ROWS_PRUNED = Counter(
    "vbpr_rows_pruned", "Rows removed because they were past their time.", ["table"], registry=REGISTRY
)

# Process
LOOP_FAILURES = Counter(
    "vbpr_loop_failures", "Rounds of a loop that failed and are tried again.", ["loop"], registry=REGISTRY
)
