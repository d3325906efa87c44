"""FHIR's, DEQM's and VBPR's canonical URLs and code systems, each named once.

Source: HL7 Da Vinci VBPR 1.1.0 (`hl7.fhir.us.davinci-vbpr`), FHIR R4 4.0.1, Subscriptions R5 Backport 1.1.0.
"""

from __future__ import annotations

from typing import Final

FHIR_JSON: Final = "application/fhir+json"

_VBPR = "http://hl7.org/fhir/us/davinci-vbpr/"
_DEQM = "http://hl7.org/fhir/us/davinci-deqm/StructureDefinition/"
_CORE = "http://hl7.org/fhir/StructureDefinition/"
_BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
OURS: Final = "https://vbpr-subscriptions.org/fhir/"
"""Base of the canonicals this project defines itself: topics, search parameters, code systems."""

# VBPR profiles
PERFORMANCE_PROFILE: Final = _VBPR + "StructureDefinition/vbp-performance-measurereport"
QUALITY_PROFILE: Final = _VBPR + "StructureDefinition/vbp-quality-measurereport"
CONTRACT_PROFILE: Final = _VBPR + "StructureDefinition/vbp-measure"

# Extensions
CATEGORY: Final = _CORE + "measurereport-category"
ORGANIZATION_SUBJECT: Final = _VBPR + "StructureDefinition/organization-subject"
PAYMENT_STREAM: Final = _VBPR + "StructureDefinition/payment-stream"
SERVICE_PERIOD: Final = _VBPR + "StructureDefinition/service-period"
PAID_THROUGH_DATE: Final = _VBPR + "StructureDefinition/paid-through-date"
ALTERNATE_SCORE: Final = _VBPR + "StructureDefinition/alternate-measurescore"
THRESHOLD: Final = _VBPR + "StructureDefinition/threshold"
GAP_TO_THRESHOLD: Final = "gapToThreshold"
"""Inside a threshold."""
GROUP_REFERENCE: Final = _VBPR + "StructureDefinition/group-reference"
LINE_OF_BUSINESS: Final = _VBPR + "StructureDefinition/lob"
PROGRAM_MODEL: Final = _VBPR + "StructureDefinition/program-model"
CONTRACTUAL_STATUS: Final = _VBPR + "StructureDefinition/contractual-status"
MEASURE_SCORING: Final = _DEQM + "extension-measureScoring"

# Code systems
CATEGORY_SYSTEM: Final = "http://hl7.org/fhir/CodeSystem/measurereport-category"
STATUS_SYSTEM: Final = "http://hl7.org/fhir/measure-report-status"
METRIC_SYSTEM: Final = _VBPR + "CodeSystem/vbp-performance-metric"
THRESHOLD_TYPE_SYSTEM: Final = _VBPR + "CodeSystem/threshold-type"
PAYMENT_STREAM_SYSTEM: Final = _VBPR + "CodeSystem/payment-stream"
PAYER_TYPE_SYSTEM: Final = "https://nahdo.org/sopt"
REPORT_STAGE_SYSTEM: Final = OURS + "CodeSystem/report-stage"
REPORT_KIND_SYSTEM: Final = OURS + "CodeSystem/report-kind"

# Subscriptions R5 Backport
BACKPORT_SUBSCRIPTION_PROFILE: Final = _BACKPORT + "backport-subscription"
BACKPORT_NOTIFICATION_PROFILE: Final = _BACKPORT + "backport-subscription-notification-r4"
BACKPORT_STATUS_PROFILE: Final = _BACKPORT + "backport-subscription-status-r4"
BACKPORT_FILTER: Final = _BACKPORT + "backport-filter-criteria"
BACKPORT_CHANNEL_TYPE: Final = _BACKPORT + "backport-channel-type"
BACKPORT_PAYLOAD_CONTENT: Final = _BACKPORT + "backport-payload-content"
BACKPORT_HEARTBEAT: Final = _BACKPORT + "backport-heartbeat-period"
BACKPORT_TIMEOUT: Final = _BACKPORT + "backport-timeout"
BACKPORT_MAX_COUNT: Final = _BACKPORT + "backport-max-count"
LATEST_ONLY: Final = OURS + "StructureDefinition/latest-only"
"""On `Subscription.channel`, valueBoolean: skip what a later version supersedes by the time it would be sent."""
SKIPPED_EVENTS: Final = OURS + "StructureDefinition/skipped-events"
"""On a `notification-event` of SubscriptionStatus, valueUnsignedInt: so many numbers right before it were skipped."""
BACKPORT_TOPIC_CANONICAL: Final = _BACKPORT + "capabilitystatement-subscriptiontopic-canonical"
"""Lists a topic on `CapabilityStatement.rest.resource[Subscription]` (R-021)."""
