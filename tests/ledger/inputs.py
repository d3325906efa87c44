"""What is the ledger told? Four files: what was accepted, who asked, what arrived, what operators are shown.

accepted       NDJSON, a line for each answer of the publisher, in the order of the answers:
               `{"id", "version", "status", "body"}`; `body` is the JSON text that was sent, of any type. What a
               resend found after an answer was lost stands here too; a version may stand here twice. The
               deletion of a MeasureReport has the status 204 and an empty `body`.
subscriptions  JSON, `[{"id", "kind", "criteria", "filters", "latest_only"}]`; all were answered before the first report was
               sent, by a principal that may hear of everything. `criteria` of a topic is its canonical.
received       NDJSON, the record file of `vbpr listen`.
listed         JSON, `{"status", "deliveries"}`: what `vbpr status` and `vbpr deliveries list` print with `--json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from tests.ledger.content import exact

Version: TypeAlias = tuple[str, int]
"""A report's id and the number of its version."""

_REPORT = re.compile(r"MeasureReport/([A-Za-z0-9.-]{1,64})(?:/_history/(\d+))?")


class InputError(Exception):
    """The ledger cannot judge what it was given; the message says what and where."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One version that the publisher acknowledged."""

    id: str
    version: int
    body: str
    """Empty: it says that the report was deleted."""

    @property
    def deleted(self) -> bool:
        """Tell a deletion."""
        return not self.body

    @property
    def resource(self) -> dict[str, Any]:
        """The body as JSON; of a deletion no more than the type."""
        if self.deleted:
            return {"resourceType": "MeasureReport"}
        found = orjson.loads(self.body)
        if not isinstance(found, dict):
            raise InputError(f"accepted: {self.id} is not a resource")
        return found


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who asked for what."""

    id: str
    kind: str
    """classic or topic."""
    criteria: str
    filters: tuple[str, ...] = ()
    latest_only: bool = False
    """It asked for versions to be skipped that a later one supersedes."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request at the receiver."""

    subscription: str
    handshake: bool
    numbers: tuple[int, ...]
    webhook_id: str
    reports: tuple[tuple[str, int | None], ...]
    """Report of each number as far as the payload said it; the version is `None` if only the id was told."""
    taken: bool
    """The receiver answered 2xx: what it holds is its own from then on."""
    problems: tuple[str, ...]
    """What the receiver itself found wrong."""
    contents: tuple[dict[str, Any], ...]
    """Each report it carried, as `content.exact` reads it."""
    skipped: int = 0
    """So many numbers right before its first it said to have been skipped."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the operators' listing."""

    subscription: str
    number: int
    state: str
    """owed, retrying, parked, delivered, given_up, skipped."""
    report: Version


@dataclass(frozen=True, slots=True)
class Listed:
    """What operators are shown."""

    rows: tuple[Row, ...]
    events: int
    """Events that the publisher has made."""
    waiting: int
    """Reports that wait for the report they belong to."""
    pending: int
    """Events that have not reached the log."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that the ledger judges by."""

    accepted: tuple[Accepted, ...]
    subscriptions: tuple[Subscription, ...]
    received: tuple[Arrival, ...]
    listed: Listed


def read(accepted: Path, subscriptions: Path, received: Path, listed: Path) -> Inputs:
    """Read the four files.

    Raises:
        InputError: a file is missing, or is not what this module says.
    """
    try:
        return Inputs(
            tuple(_accepted(line) for line in _lines(accepted)),
            tuple(_subscription(one) for one in orjson.loads(subscriptions.read_bytes())),
            tuple(_arrival(line) for line in _lines(received)),
            _listed(orjson.loads(listed.read_bytes())),
        )
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"the input is not what it should be: {type(error).__name__}: {error}") from error


def _lines(path: Path) -> Iterator[Any]:
    for line in path.read_bytes().splitlines():
        yield orjson.loads(line)


def _accepted(line: Any) -> Accepted:
    if line["status"] not in ({200, 201} if line["body"] else {204}):
        raise InputError(f"accepted: {line['id']} was answered {line['status']}, which acknowledges nothing")
    return Accepted(line["id"], int(line["version"]), line["body"])


def _subscription(one: Any) -> Subscription:
    if one["kind"] not in {"classic", "topic"}:
        raise InputError(f"subscription {one['id']} is of the unknown kind {one['kind']!r}")
    return Subscription(
        one["id"],
        one["kind"],
        one["criteria"],
        tuple(one.get("filters", ())),
        latest_only=one.get("latest_only", False),
    )


def _arrival(line: Any) -> Arrival:
    answered = line["answered"]
    return Arrival(
        subscription=line["subscription"],
        handshake=line["type"] == "handshake",
        numbers=tuple(line["numbers"]),
        webhook_id=line["webhook_id"],
        reports=tuple(_told(report) for report in line["reports"]),
        taken=answered is not None and 200 <= answered < 300,
        problems=tuple(line["problems"]),
        contents=tuple(_contents(line["type"], line["body"])),
        skipped=line.get("skipped", 0),
    )


def _told(reference: str) -> tuple[str, int | None]:
    found = _REPORT.fullmatch(reference)
    if found is None:
        raise InputError(f"received: {reference} is no report")
    return found[1], None if found[2] is None else int(found[2])


def _contents(kind: str, body: str) -> Iterator[dict[str, Any]]:
    try:
        if kind == "resource":
            yield exact(body)
        elif kind == "event-notification":
            for entry in exact(body)["entry"]:
                if entry.get("resource", {}).get("resourceType") == "MeasureReport":
                    yield entry["resource"]
    except json.JSONDecodeError as wrong:
        raise InputError(f"received: a body is not JSON: {wrong}") from None


def _listed(value: Any) -> Listed:
    return Listed(
        rows=tuple(
            Row(
                row["subscription"],
                row["number"],
                row["state"],
                (row["report"].removeprefix("MeasureReport/"), int(row["version"])),
            )
            for row in value["deliveries"]
        ),
        events=value["status"]["events"]["accepted"],
        waiting=value["status"]["reports"]["waiting"],
        pending=value["status"]["outbox"]["pending"],
    )
