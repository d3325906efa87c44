"""What is answered to `$status` and `$events`: the same Parameters a notification begins with.

Source: Subscriptions R5 Backport 1.1.0, operations backport-subscription-status and -events (R-140…R-155).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from schemas.outcome import Issue, operation_outcome
from services.notifier.model import Channel, Content, Failure, Owed
from services.notifier.render.backport import (
    history_bundle,
    instant,
    report_entry,
    status_entry,
    status_parameters,
)

_ERROR_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/subscription-error"
_ERROR_CODES: Final = {
    Failure.TIMEOUT: "no-response",
    Failure.CONNECT: "no-response",
    Failure.RESET: "no-response",
    Failure.DNS: "dns-resolution-error",
    Failure.REDIRECT: "error-response",
    Failure.HTTP_4XX: "error-response",
    Failure.HTTP_5XX: "error-response",
    Failure.PROTOCOL: "error-response",
}
_LEVELS: Final[tuple[Content, ...]] = ("empty", "id-only", "full-resource")


@dataclass(frozen=True, slots=True)
class Standing:
    """A Subscription as `$status` tells of it."""

    channel: Channel
    events: int
    """Numbers given since it was created."""
    failure: Failure | None
    said: str | None
    """The last failure in words; `None` when there is none."""


def status_searchset(
    standings: Sequence[Standing], *, more: bool = False, url: str, base: str, now: datetime
) -> dict[str, Any]:
    """Return the Bundle that answers `$status`: one Parameters a Subscription, by id (R-142, R-143).

    Where there are more than these, an outcome says so, and no total is claimed.
    """
    entries: list[dict[str, Any]] = []
    for standing in standings:
        parameters = _parameters(
            standing, kind="query-status", owed=(), errors=_failed(standing), base=base, now=now
        )
        entries.append(
            {
                "fullUrl": f"urn:uuid:{parameters['id']}",
                "resource": parameters,
                "search": {"mode": "match"},
            }
        )
    if more:
        said = (
            f"there are more Subscriptions than these {len(standings)}, the first by id; ask for the others by id,"
            " or for fewer by status"
        )
        outcome = operation_outcome([Issue("warning", "incomplete", said)])
        entries.append({"resource": outcome, "search": {"mode": "outcome"}})
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "timestamp": instant(now),
        **({} if more else {"total": len(standings)}),
        "link": [{"relation": "self", "url": url}],
    }
    return bundle | {"entry": entries} if entries else bundle


def events_history(
    standing: Standing,
    owed: Sequence[Owed],
    *,
    content: Content | None,
    remarks: Sequence[str],
    base: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the Bundle that answers `$events`: what is kept, in number order, under its original numbers.

    `content` is what the caller asked for; never more than the Subscription's own level is told (R-154).
    `remarks` says, a sentence each, which numbers of those asked for are not in it, or were skipped.
    """
    level = _level(standing.channel, content)
    at_level = replace(standing, channel=replace(standing.channel, content=level))
    errors = [{"text": each} for each in remarks]
    status = _parameters(at_level, kind="query-event", owed=owed, errors=errors, base=base, now=now)
    entries = [status_entry(standing.channel, status, base)]
    if level == "full-resource":
        entries += [report_entry(each.event, base) for each in owed]
    return history_bundle(entries, now)


def _level(channel: Channel, asked: Content | None) -> Content:
    # A classic Subscription without a payload is told nothing but that something happened.
    own = channel.content or ("empty" if channel.mime is None else "full-resource")
    return own if asked is None else min(own, asked, key=_LEVELS.index)


def _parameters(
    standing: Standing,
    *,
    kind: Any,
    owed: Sequence[Owed],
    errors: Sequence[dict[str, Any]],
    base: str,
    now: datetime,
) -> dict[str, Any]:
    channel = standing.channel
    parameters = status_parameters(
        channel,
        kind=kind,
        status=channel.status,
        events=standing.events,
        owed=owed,
        name=f"{channel.subscription}_{instant(now)}",
        base=base,
    )
    parameters["parameter"] += [{"name": "error", "valueCodeableConcept": each} for each in errors]
    return parameters


def _failed(standing: Standing) -> list[dict[str, Any]]:
    if standing.said is None:
        return []
    code = None if standing.failure is None else _ERROR_CODES.get(standing.failure)
    coding = {} if code is None else {"coding": [{"system": _ERROR_SYSTEM, "code": code}]}
    return [{**coding, "text": standing.said}]
