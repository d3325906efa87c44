"""Answers: what is there to say about one resource of a file. The checks of the publisher, and no others.

Contracts that come before the reports in the same run are remembered by what they say, so that reports can be
compared with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from schemas import raw_json
from schemas.event import Stage
from schemas.outcome import FhirError, Issue
from schemas.structure.gate import check_structure
from services.cli.publish.sources import Resource
from services.cli.validate.lines import line_of
from services.publisher.check import review
from services.publisher.check.agreement import disagreements
from services.publisher.check.editions import Profile, Standard, by_canonical, standard
from services.publisher.derive.contract import contract_facts
from services.publisher.derive.kind import kind
from services.publisher.derive.model import ContractFacts
from services.publisher.derive.references import without_version
from services.publisher.derive.stage import stage_of

_UNTELLABLE: Final = (AttributeError, KeyError, TypeError)
"""What a resource with a broken structure may raise where its structure is relied on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One Issue, and the line of the file it stands on; `None` when nothing says."""

    issue: Issue
    line: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All there is to say about one resource."""

    resource: Resource
    judged_by: Standard | None
    """`None` when only its structure was judged."""
    findings: tuple[Finding, ...]

    @property
    def valid(self) -> bool:
        """Whether the publisher would take it, as far as the resource alone can tell."""
        return not self.count("error")

    def count(self, severity: str) -> int:
        """Return how many findings are of this severity."""
        return sum(finding.issue.severity == severity for finding in self.findings)


class Judge:
    """Judges resources one after the other, in the order of their sources."""

    def __init__(self, profile: str = "") -> None:
        """Take the canonical of the profile to judge all by; without one, each by its own."""
        self._profile = profile
        self._contracts: dict[str, ContractFacts] = {}

    def judge(self, resource: Resource) -> Verdict:
        """Return what is wrong with a resource, every issue with its line."""
        try:
            value = raw_json.parse(resource.text)
        except FhirError as unreadable:
            line = _line_of_fault(resource)
            return Verdict(resource, None, tuple(Finding(issue, line) for issue in unreadable.issues))
        by = self._standard(value)
        issues = list(self._bundle(value) if value.get("resourceType") == "Bundle" else self._one(value, by))
        text = resource.text.decode() if issues and resource.line is None else ""
        return Verdict(resource, by, tuple(Finding(issue, _line(resource, text, issue)) for issue in issues))

    def _bundle(self, bundle: dict[str, Any]) -> Iterator[Issue]:
        yield from check_structure(bundle)
        entries = bundle.get("entry")
        for place, entry in enumerate(entries if isinstance(entries, list) else ()):
            inside = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(inside, dict):
                for issue in self._one(inside, self._standard(inside)):
                    yield issue.under(f"Bundle.entry[{place}].resource")

    def _one(self, value: dict[str, Any], by: Standard | None) -> list[Issue]:
        issues = review(value, by)
        if any(issue.severity == "error" for issue in issues) or by is None:
            return issues
        if by.profile is Profile.CONTRACT:
            found = contract_facts(value, None)
            self._contracts[found.key] = found
        return issues + self._disagreements(value, by)

    def _disagreements(self, report: dict[str, Any], by: Standard) -> list[Issue]:
        contract = self._contracts.get(without_version(report.get("measure", "")))
        stage, found = None, kind(report)
        if by.profile is Profile.PERFORMANCE:
            stage = stage_of(report, None, {})
        if contract is None or found is None or not isinstance(stage, Stage):
            return []
        return disagreements(report, found, stage, contract)

    def _standard(self, value: dict[str, Any]) -> Standard | None:
        try:
            return by_canonical(self._profile, value) if self._profile else standard(value)
        except _UNTELLABLE:
            return None


def _line(resource: Resource, text: str, issue: Issue) -> int | None:
    if resource.line is not None:
        return resource.line
    return None if issue.expression is None else line_of(text, issue.expression)


def _line_of_fault(resource: Resource) -> int | None:
    if resource.line is not None:
        return resource.line
    try:
        orjson.loads(resource.text)
    except orjson.JSONDecodeError as fault:
        return fault.lineno
    return None
