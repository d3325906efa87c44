"""What a run of `vbpr publish` looks like: a line a resource, its issues below it, and a summary."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from services.cli.publish.answer import Answer
from services.cli.publish.lanes import Tally
from services.cli.publish.sources import Resource

_STYLES = {"accepted": "green", "unchanged": "dim", "rejected": "red", "unreachable": "red"}


def line(resource: Resource, answer: Answer) -> Text:
    """Return the line of one resource, with every issue below it."""
    text = Text()
    text.append(f"{answer.result:11}", style=_STYLES[answer.result])
    text.append(f"{answer.status or '-':>4}  {resource.where}")
    if answer.location:
        text.append(f"  {answer.location}", style="dim")
    for finding in answer.findings:
        text.append(f"\n    {finding.severity}: ", style="red" if answer.result == "rejected" else "yellow")
        if finding.expression:
            text.append(f"{finding.expression}: ")
        text.append(finding.sentence)
    return text


def as_json(resource: Resource, answer: Answer) -> dict[str, Any]:
    """Return the same as one object."""
    return {
        "source": resource.source,
        "line": resource.line,
        "result": answer.result,
        "status": answer.status,
        "location": answer.location,
        "issues": [
            {
                "severity": finding.severity,
                "code": finding.code,
                "expression": finding.expression,
                "diagnostics": finding.sentence,
            }
            for finding in answer.findings
        ],
    }


def summary(tally: Tally) -> str:
    """Return the last line of a run."""
    counted = f"{tally.accepted} accepted, {tally.unchanged} unchanged, {tally.rejected} rejected"
    if tally.unreachable:
        return f"{counted}; the publisher could not be reached, the rest was not sent. Run the same again: what is current already is not stored twice."
    return counted
