"""Answers: what does R4 (4.0.1) say that the models of fhir.resources (R4B, 4.3.0) do not carry.

Everything here was decided by reading the R4 pages named; the generator applies it.
"""

from __future__ import annotations

from typing import Final

ROOTS: Final = (
    "MeasureReport",
    "Measure",
    "Organization",
    "Group",
    "Subscription",
    "Parameters",
    "Bundle",
    "OperationOutcome",
)
"""Resource types this project is sent or sends; each can be checked on its own."""

CONTAINED_ONLY: Final = ("Practitioner", "PractitionerRole", "Location")
"""Types a report may refer to (`reporter`, `subject`) and so may contain."""

NOT_IN_R4: Final = {
    "CodeableReference": "Data type of R4B and later; R4's Extension.value[x] has no valueCodeableReference.",
    "RatioRange": "Data type of R4B and later; R4's Extension.value[x] has no valueRatioRange.",
}
"""Types whose elements are left out of the schema, with the reason."""

_COMPARATOR: Final = ("<", "<=", ">=", ">")
_MIME: Final = r"^[^\s/;]+/[^\s/;]+(\s?;\s?[^\s;]+)*$"
_ISSUE_TYPE: Final = (
    "invalid", "structure", "required", "value", "invariant", "security", "login", "unknown", "expired",
    "forbidden", "suppressed", "processing", "not-supported", "duplicate", "multiple-matches", "not-found",
    "deleted", "too-long", "code-invalid", "extension", "too-costly", "business-rule", "conflict",
    "transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled",
    "informational",
)  # fmt: skip
_EVENT_TIMING: Final = (
    "MORN", "MORN.early", "MORN.late", "NOON", "AFT", "AFT.early", "AFT.late", "EVE", "EVE.early",
    "EVE.late", "NIGHT", "PHS", "HS", "WAKE", "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC",
    "PCM", "PCD", "PCV",
)  # fmt: skip

REQUIRED_CODES: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("Quantity", "comparator"): _COMPARATOR,  # hl7.org/fhir/R4/valueset-quantity-comparator.html
    ("Age", "comparator"): _COMPARATOR,
    ("Count", "comparator"): _COMPARATOR,
    ("Distance", "comparator"): _COMPARATOR,
    ("Duration", "comparator"): _COMPARATOR,
    ("OperationOutcomeIssue", "code"): _ISSUE_TYPE,  # hl7.org/fhir/R4/valueset-issue-type.html
    ("TimingRepeat", "when"): _EVENT_TIMING,  # hl7.org/fhir/R4/valueset-event-timing.html
}
"""Required bindings of R4 that the models leave out."""

CODE_PATTERNS: Final[dict[tuple[str, str], str]] = {
    ("Attachment", "contentType"): _MIME,  # BCP 13, hl7.org/fhir/R4/valueset-mimetypes.html
    ("Signature", "sigFormat"): _MIME,
    ("Signature", "targetFormat"): _MIME,
    ("SubscriptionChannel", "payload"): _MIME,
    ("Money", "currency"): "^[A-Z]{3}$",  # ISO 4217, hl7.org/fhir/R4/valueset-currencies.html
}
"""Required bindings to a code system that is too large or too open to list, checked by its form."""

NOT_REQUIRED_CODES: Final = {
    ("Expression", "language"): "The binding is extensible in R4 (expression-language).",
}
"""Lists in the models that are no required binding in R4, with the reason."""
