"""What an HTTP answer means for what was sent: accepted, unchanged, rejected, or to be tried again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import orjson

Result: TypeAlias = Literal["accepted", "unchanged", "rejected", "unreachable"]

RETRIED: frozenset[int] = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that say nothing about the resource; a resend is safe, for the publisher knows what it has."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One issue of an OperationOutcome."""

    severity: str
    code: str
    sentence: str
    expression: str | None
    """Where in what was sent; FHIRPath."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one resource."""

    result: Result
    status: int | None
    location: str | None
    """`Type/id/_history/version`, when the publisher named it."""
    findings: tuple[Finding, ...] = ()
    """Every issue of a rejection; of an accepted resource, what the publisher remarked."""


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer | None:
    """Return what an answer means, `None` when the same should be sent again later."""
    if status in RETRIED:
        return None
    outcome = _loads(body)
    findings = tuple(_findings(outcome))
    if status >= 300:
        return Answer(
            "rejected", status, None, findings or (Finding("error", "processing", _said(status), None),)
        )
    failed = tuple(_failed_entries(outcome))
    if failed:
        return Answer("rejected", status, None, failed)
    if _entries(outcome):
        findings = tuple(finding for found in _entry_findings(outcome) for finding in found)
    remarks = tuple(finding for finding in findings if finding.severity not in {"information", "success"})
    result: Result = "unchanged" if _nothing_new(outcome) else "accepted"
    return Answer(result, status, _location(headers), remarks)


def read_batch(body: bytes, kinds: Sequence[str]) -> list[Answer | None] | None:
    """Return what became of each entry of a batch of resources of these types, `None` for one to be sent again.

    In all `None` if it is no such answer.
    """
    entries = _entries(_loads(body))
    if len(entries) != len(kinds):
        return None
    return [
        _read_entry(entry.get("response") or {}, f"Bundle.entry[{at}].resource", kind)
        for at, (entry, kind) in enumerate(zip(entries, kinds, strict=True))
    ]


def _read_entry(response: dict[str, Any], place: str, kind: str) -> Answer | None:
    said = str(response.get("status", ""))[:3]
    status = int(said) if said.isdecimal() else 500
    location = {"Location": str(response.get("location", ""))}
    outcome = response.get("outcome")
    found = read_answer(status, location, b"" if outcome is None else orjson.dumps(outcome))
    # The batch is of our own making: to its reader the resource stands by itself.
    return found and replace(
        found,
        findings=tuple(
            replace(each, expression=each.expression and each.expression.replace(place, kind, 1))
            for each in found.findings
        ),
    )


def _said(status: int) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: the server sends us elsewhere; give its final address with --url"
    return f"HTTP {status} without an OperationOutcome: is this the base URL of a FHIR server?"


def _loads(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _findings(outcome: Any) -> list[Finding]:
    if not isinstance(outcome, dict) or outcome.get("resourceType") != "OperationOutcome":
        return []
    return [
        Finding(
            str(issue.get("severity", "error")),
            str(issue.get("code", "processing")),
            str(issue.get("diagnostics") or (issue.get("details") or {}).get("text") or issue.get("code")),
            next(iter(issue.get("expression") or issue.get("location") or ()), None),
        )
        for issue in outcome.get("issue") or ()
        if isinstance(issue, dict)
    ]


def _entries(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    if bundle.get("resourceType") != "Bundle":
        return []
    return [entry for entry in bundle.get("entry") or () if isinstance(entry, dict)]


def _failed_entries(bundle: dict[str, Any]) -> list[Finding]:
    """Return the issues of a batch's entries that failed, each said to be in `Bundle.entry[n]`."""
    out: list[Finding] = []
    for at, entry in enumerate(_entries(bundle)):
        response = entry.get("response") or {}
        status = str(response.get("status", ""))
        if status[:1] in {"4", "5"}:
            where = f"Bundle.entry[{at}]"
            inside = _findings(response.get("outcome")) or [
                Finding("error", "processing", f"HTTP {status}", None)
            ]
            out.extend(
                Finding(f.severity, f.code, f.sentence, f"{where}: {f.expression}" if f.expression else where)
                for f in inside
            )
    return out


def _entry_findings(bundle: dict[str, Any]) -> list[list[Finding]]:
    return [_findings((entry.get("response") or {}).get("outcome")) for entry in _entries(bundle)]


def _nothing_new(outcome: dict[str, Any]) -> bool:
    """Tell whether the publisher says that it had this already: issue code `duplicate`, in every entry of a Bundle."""
    answers = _entry_findings(outcome) if _entries(outcome) else [_findings(outcome)]
    return all(any(finding.code == "duplicate" for finding in found) for found in answers)


def _location(headers: Mapping[str, str]) -> str | None:
    for name in ("Location", "Content-Location"):
        segments = headers.get(name, "").rstrip("/").split("/")
        if len(segments) >= 4 and segments[-2] == "_history":
            return "/".join(segments[-4:])
    return None
