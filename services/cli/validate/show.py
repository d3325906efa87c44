"""What a run of `vbpr validate` looks like: a line a resource, its findings below it, and a summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from services.cli.validate.judge import Finding, Verdict

_STYLES = {"error": "red", "warning": "yellow", "information": "dim"}


@dataclass(slots=True)
class Tally:
    """How a run went so far."""

    valid: int = 0
    invalid: int = 0
    warnings: int = 0
    information: int = 0

    def count(self, verdict: Verdict) -> None:
        """Take one verdict in."""
        self.valid += verdict.valid
        self.invalid += not verdict.valid
        self.warnings += verdict.count("warning")
        self.information += verdict.count("information")

    @property
    def summary(self) -> str:
        """The last line of a run."""
        return (
            f"{self.valid} valid, {self.invalid} not valid; "
            f"{self.warnings} warnings, {self.information} notes on Must Support"
        )


def line(verdict: Verdict, *, notes: bool) -> Text:
    """Return the line of one resource, with its findings below it; of those for information only with `notes`."""
    resource = verdict.resource
    text = Text()
    text.append("valid    " if verdict.valid else "not valid", style="green" if verdict.valid else "red")
    name = f"{resource.kind}/{resource.id}" if resource.id else resource.kind
    text.append(f"  {resource.where}  {name}".rstrip())
    if verdict.judged_by is not None:
        text.append(f"  {verdict.judged_by.words}", style="dim")
    for finding in _shown(verdict, notes=notes):
        issue = finding.issue
        text.append(f"\n    {where(verdict, finding)}: ")
        text.append(issue.severity, style=_STYLES[issue.severity])
        text.append(f": {issue.expression}: " if issue.expression else ": ")
        text.append(issue.diagnostics)
        if issue.rule:
            text.append(f" [{issue.rule}]", style="dim")
    return text


def where(verdict: Verdict, finding: Finding) -> str:
    """Return `file:line`, as editors and terminals make links of it."""
    source = verdict.resource.source
    return source if finding.line is None else f"{source}:{finding.line}"


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Return the same as one object, notes included."""
    return {
        "source": verdict.resource.source,
        "line": verdict.resource.line,
        "valid": verdict.valid,
        "judged_by": None if verdict.judged_by is None else verdict.judged_by.words,
        "issues": [
            {
                "line": finding.line,
                "severity": finding.issue.severity,
                "code": finding.issue.code,
                "expression": finding.issue.expression,
                "rule": finding.issue.rule,
                "diagnostics": finding.issue.diagnostics,
            }
            for finding in verdict.findings
        ],
    }


def _shown(verdict: Verdict, *, notes: bool) -> Iterator[Finding]:
    for finding in verdict.findings:
        if notes or finding.issue.severity != "information":
            yield finding
