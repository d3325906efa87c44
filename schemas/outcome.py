"""What is wrong with what we were sent, said the way FHIR says it: an OperationOutcome.

Issue codes are those of http://hl7.org/fhir/issue-type (R4); `expression` is a FHIRPath into the
resource that was sent, so a client can point at the element.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Severity = Literal["fatal", "error", "warning", "information"]

IssueCode = Literal[
    "invalid", "structure", "required", "value", "invariant", "security", "login", "forbidden",
    "processing", "not-supported", "duplicate", "not-found", "deleted", "too-long", "code-invalid",
    "extension", "too-costly", "business-rule", "conflict", "transient", "exception", "timeout",
    "incomplete", "throttled", "informational",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding. `diagnostics` says what was found and what was expected, in one sentence."""

    severity: Severity
    code: IssueCode
    diagnostics: str
    expression: str | None = None
    rule: str | None = None
    """Identifier of the rule that was broken (`mrp-1`, `vbpr-category`); goes into `details.coding`."""

    def under(self, prefix: str) -> Issue:
        """Return the same finding as seen from an enclosing resource, `Bundle.entry[3].resource` say."""
        if self.expression is None:
            return replace(self, expression=prefix)
        _, dot, tail = self.expression.partition(".")
        return replace(self, expression=f"{prefix}{dot}{tail}")


RULE_SYSTEM = "https://vbpr-subscriptions.org/fhir/CodeSystem/rule"


def operation_outcome(issues: list[Issue] | tuple[Issue, ...]) -> dict[str, Any]:
    """Return the OperationOutcome resource (R4) that carries the issues, in their order."""
    return {"resourceType": "OperationOutcome", "issue": [_issue(issue) for issue in issues]}


def _issue(issue: Issue) -> dict[str, Any]:
    out: dict[str, Any] = {"severity": issue.severity, "code": issue.code}
    if issue.rule is not None:
        out["details"] = {"coding": [{"system": RULE_SYSTEM, "code": issue.rule}]}
    out["diagnostics"] = issue.diagnostics
    if issue.expression is not None:
        out["expression"] = [issue.expression]
    return out


class FhirError(Exception):
    """A request that cannot be honoured: its HTTP status and every issue found, never just the first."""

    def __init__(self, status: int, *issues: Issue, headers: dict[str, str] | None = None) -> None:
        """Take the HTTP status, at least one issue, and response headers such as `Retry-After`."""
        super().__init__(status, "; ".join(issue.diagnostics for issue in issues))
        self.status = status
        self.issues = issues
        self.headers = headers or {}


def refuse(status: int, code: IssueCode, diagnostics: str, expression: str | None = None) -> FhirError:
    """Return the error for a single finding, ready to raise."""
    return FhirError(status, Issue("error", code, diagnostics, expression))
