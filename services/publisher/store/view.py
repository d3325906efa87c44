"""What does a batch see of the store? What was gathered for it, as its own decisions change that. Pure.

A later request of a batch sees what an earlier one did, as if that had been stored. One that is refused takes its
changes back.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from services.publisher.store.model import REPORT, Contract, Current, Filed, Listing, Stored

K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Any = object()


@dataclass(slots=True)
class View:
    """What is known; what was asked for and is not in here is not in the store."""

    current: dict[tuple[str, str], Current] = field(default_factory=dict)
    """By type and id."""
    same: dict[tuple[str, str, str], tuple[str, ...]] = field(default_factory=dict)
    """Ids by owner, type and content; what has changed since is in `current`."""
    stored: dict[tuple[str, str, int], Stored] = field(default_factory=dict)
    """Versions that may be the answer to a write that changes nothing, by type, id and version."""
    contracts: dict[str, Contract] = field(default_factory=dict)
    """By key."""
    measures: dict[str, str] = field(default_factory=dict)
    """Measure id → key of the contract it says."""
    managers: dict[str, str] = field(default_factory=dict)
    """`Group/id` → its managing entity, normalised."""
    identifiers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """`Organization/id` → its identifiers as tokens; there with none when it has none."""
    identified: dict[str, frozenset[str]] = field(default_factory=dict)
    """Token → the Organizations that have it."""
    listings: dict[str, tuple[Listing, ...]] = field(default_factory=dict)
    """Id of a quality report → who has listed it, in order."""
    reports: dict[str, Filed] = field(default_factory=dict)
    """By id: reports that are written, that are listed, and that list."""
    histories: dict[str, tuple[Stored, ...]] = field(default_factory=dict)
    """Id of a quality report that waits → its versions since it was last deleted, oldest first."""
    referrers: dict[str, str] = field(default_factory=dict)
    """What is to be deleted → a resource that refers to it, both as `Type/id`."""
    _before: list[tuple[MutableMapping[Any, Any], Any, Any]] = field(default_factory=list)

    def put(self, part: MutableMapping[K, V], key: K, value: V) -> None:
        """Change one of the parts above."""
        self._before.append((part, key, part.get(key, _ABSENT)))
        part[key] = value

    def drop(self, part: MutableMapping[K, V], key: K) -> None:
        """Take something out of one of the parts above."""
        self._before.append((part, key, part.pop(key, _ABSENT)))

    def keep(self) -> None:
        """Let the changes since the last `keep` or `undo` stand."""
        self._before.clear()

    def undo(self) -> None:
        """Take back the changes since the last `keep` or `undo`."""
        for part, key, value in reversed(self._before):
            if value is _ABSENT:
                part.pop(key, None)
            else:
                part[key] = value
        self._before.clear()

    def repeated(self, owner: str, kind: str, content: str) -> Current | None:
        """Return the owner's newest resource whose current version says this, of several the first by id."""
        found = [self.current[kind, id_] for id_ in sorted(self.same.get((owner, kind, content), ()))]
        there = [each for each in found if each.content_hash == content and not each.deleted]
        return max(there, key=lambda each: each.last_updated, default=None)

    def version(self, current: Current) -> Stored:
        """Return the version where a resource stands; it was gathered since it may be the answer."""
        return self.stored[current.type, current.id, current.version]

    def add(self, new: Current, body: Stored) -> None:
        """See a new version as current."""
        self.put(self.current, (new.type, new.id), new)
        if new.deleted:
            self.put(self.histories, new.id, ())
            return
        self.put(self.stored, (new.type, new.id, new.version), body)
        said = (new.owner, new.type, new.content_hash)
        if new.id not in (known := self.same.get(said, ())):
            self.put(self.same, said, (*known, new.id))
        if new.type == REPORT:
            self.put(self.histories, new.id, (*self.histories.get(new.id, ()), body))
