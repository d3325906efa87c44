"""What does each accepted version say, and which event does it make?

The rules are those of the project's design: contract and provider of a performance report are its own, of a
quality report those of the first performance report that listed it, for which it waits; the stage is read from
the report-stage tag, else from `status`; a report supersedes what has the same contract, provider and period.
What is deleted stands for nothing any more, and what had listed others leaves them: those that have come keep what
they got from it, until another one that lists them has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.ledger.inputs import Accepted, InputError, Version

_STAGE = "https://vbpr-subscriptions.org/fhir/CodeSystem/report-stage"
_PROFILE = "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/vbp-{}-measurereport"
_SUBJECT = "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/organization-subject"
_BY_STATUS = {"pending": "interim", "complete": "final", "error": "withdrawn"}
_WHOLE_DAY = len("2024-01-31")


@dataclass(frozen=True, slots=True)
class Facts:
    """What one version says."""

    id: str
    kind: str
    contract: str
    provider: str
    reporter: str
    status: str
    stage: str


@dataclass(frozen=True, slots=True)
class Event:
    """What one version made known."""

    report: Version
    type: str
    """published, settled, corrected, withdrawn, deleted."""
    now: Facts
    before: Facts | None
    """What it superseded."""
    rank: tuple[int, int]
    """Place in the order of acceptance; what was waiting comes after what it waited for, in any order."""


@dataclass(frozen=True, slots=True)
class History:
    """All that follows from what was accepted."""

    events: tuple[Event, ...]
    waiting: tuple[str, ...]
    """Ids of the reports that still wait for the one they belong to."""


@dataclass(slots=True)
class _Reader:
    managers: dict[str, str] = field(default_factory=dict)
    """`Group/id` → the organisation behind it."""
    listers: dict[str, list[str]] = field(default_factory=dict)
    """Id of a quality report → the performance reports that have listed it, the first one first."""
    families: dict[str, tuple[Facts, tuple[str, ...]]] = field(default_factory=dict)
    """Id of a quality report that has come → what its parent said by then, and what that was a version of."""
    identities: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Id of a report → what it is a version of, by its latest version."""
    latest: dict[str, Facts] = field(default_factory=dict)
    standing: dict[tuple[str, ...], Facts] = field(default_factory=dict)
    waiting: dict[str, list[Accepted]] = field(default_factory=dict)
    place: int = 0

    def take(self, accepted: Accepted) -> Iterator[Event]:
        """Take in one version; yield the events it makes, and those of what waited for it."""
        self.place += 1
        resource = accepted.resource
        if accepted.deleted:
            yield from self._deletion(accepted)
            return
        if resource["resourceType"] == "Group" and "managingEntity" in resource:
            self.managers[f"Group/{accepted.id}"] = _reference(resource["managingEntity"])
        if resource["resourceType"] != "MeasureReport":
            return
        if _kind(resource) == "quality":
            yield from self._quality(accepted, resource, after=0)
            return
        yield self._event(accepted, *self._performance(accepted, resource), after=0)
        for child in _listed(resource):
            listers = self.listers.setdefault(child, [])
            if accepted.id not in listers:
                listers.append(accepted.id)
            for version in self.waiting.pop(child, ()):
                yield from self._quality(version, version.resource, after=1)

    def _deletion(self, accepted: Accepted) -> Iterator[Event]:
        gone, identity = self.latest.pop(accepted.id, None), self.identities.pop(accepted.id, None)
        for listers in self.listers.values():
            if accepted.id in listers:
                listers.remove(accepted.id)
        self.families.pop(accepted.id, None)
        self.waiting.pop(accepted.id, None)
        if gone is None or identity is None:
            return  # it waited, and nobody had heard of it
        if (standing := self.standing.get(identity)) is not None and standing.id == accepted.id:
            del self.standing[identity]
        yield Event((accepted.id, accepted.version), "deleted", gone, gone, (self.place, 0))

    def _performance(self, accepted: Accepted, resource: Any) -> tuple[Facts, tuple[str, ...]]:
        contract = resource["measure"].partition("|")[0]
        provider = self._provider(resource)
        period = resource["period"]
        if any(len(period[end]) != _WHOLE_DAY for end in ("start", "end")):
            raise InputError(f"accepted: the period of {accepted.id} is not given in whole days")
        facts = _facts(accepted, resource, "performance", contract, provider)
        return facts, (contract, provider, period["start"], period["end"])

    def _quality(self, accepted: Accepted, resource: Any, after: int) -> Iterator[Event]:
        family = self._family(accepted.id)
        if family is None:
            self.waiting.setdefault(accepted.id, []).append(accepted)
            return
        parent, identity = self.families[accepted.id] = family
        facts = _facts(accepted, resource, "quality", parent.contract, parent.provider)
        measure = resource["measure"].partition("|")[0]
        yield self._event(accepted, facts, (*identity, measure, accepted.id), after)

    def _family(self, child: str) -> tuple[Facts, tuple[str, ...]] | None:
        """Return the parent of a quality report: the one it has while that is there, else who lists it, else the one it had."""
        had = self.families.get(child)
        lists = self.listers.get(child, [])
        found = had[0].id if had is not None and had[0].id in self.latest else next(iter(lists), None)
        return had if found is None else (self.latest[found], self.identities[found])

    def _event(self, accepted: Accepted, now: Facts, identity: tuple[str, ...], after: int) -> Event:
        standing, former = self.standing.get(identity), self.latest.get(now.id)
        # An id that another one has superseded goes on by itself.
        passed = standing is not None and standing.id != now.id and self.identities.get(now.id) == identity
        before = former if passed or standing is None else standing
        if not passed:
            self.standing[identity] = now
        self.latest[now.id], self.identities[now.id] = now, identity
        type_ = _type(now, before)
        return Event((accepted.id, accepted.version), type_, now, before, (self.place, after))

    def _provider(self, resource: Any) -> str:
        subject = resource["subject"]
        for extension in subject.get("extension", ()):
            if extension["url"] == _SUBJECT:
                return _reference(extension["valueReference"])
        return self.managers[_reference(subject)]


def history(accepted: Iterable[Accepted]) -> History:
    """Return the events of what was accepted, in the order of acceptance.

    Raises:
        InputError: one version was acknowledged with two bodies, or a report is not one these rules cover.
    """
    reader = _Reader()
    events: list[Event] = []
    for version in _once(accepted):
        try:
            events.extend(reader.take(version))
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"accepted: {version.id} cannot be read: {type(error).__name__}: {error}"
            ) from error
    return History(tuple(events), tuple(reader.waiting))


def _once(accepted: Iterable[Accepted]) -> Iterator[Accepted]:
    known: dict[tuple[str, str, int], Accepted] = {}
    for each in accepted:
        key = (each.resource.get("resourceType", ""), each.id, each.version)
        first = known.setdefault(key, each)
        if first is each:
            yield each
        elif first.resource != each.resource:
            raise InputError(
                f"accepted: version {each.version} of {each.id} was acknowledged with two bodies"
            )


def _facts(accepted: Accepted, resource: Any, kind: str, contract: str, provider: str) -> Facts:
    facts = Facts(
        id=accepted.id,
        kind=kind,
        contract=contract,
        provider=provider,
        reporter=_reference(resource["reporter"]),
        status=resource["status"],
        stage=_BY_STATUS[resource["status"]],
    )
    for tag in resource.get("meta", {}).get("tag", ()):
        if tag.get("system") == _STAGE:
            return replace(facts, stage=tag["code"])
    return facts


def _type(now: Facts, before: Facts | None) -> str:
    if now.stage == "withdrawn":
        return "withdrawn"
    if before is not None and before.stage == "settled":
        return "corrected"
    return "settled" if now.stage == "settled" else "published"


def _kind(resource: Mapping[str, Any]) -> str:
    for profile in resource["meta"]["profile"]:
        for kind in ("performance", "quality"):
            if profile.partition("|")[0] == _PROFILE.format(kind):
                return kind
    raise InputError(f"accepted: {resource['id']} claims neither profile")


def _listed(resource: Mapping[str, Any]) -> Iterator[str]:
    for reference in resource.get("evaluatedResource", ()):
        found = _reference(reference)
        if found.startswith("MeasureReport/"):
            yield found.removeprefix("MeasureReport/")


def _reference(reference: Mapping[str, Any]) -> str:
    return str(reference["reference"]).partition("/_history/")[0]
