"""What the status Parameters of a notification says, and whether it is shaped as the guide asks.

Source: Subscriptions R5 Backport 1.1.0, profile backport-subscription-status-r4: names are kebab-case, numbers
are `valueString`. Rules on counts and types: R5 Subscription (event numbering), Backport "Notifications".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

from schemas.fhir import BACKPORT_STATUS_PROFILE, SKIPPED_EVENTS

Shape: TypeAlias = Mapping[str, tuple[str, int, int | None]]
"""Parameter name to the element that holds its value, and how often it may stand there."""

PARAMETERS: Final[Shape] = {
    "subscription": ("valueReference", 1, 1),
    "topic": ("valueCanonical", 0, 1),
    "status": ("valueCode", 1, 1),
    "type": ("valueCode", 1, 1),
    "events-since-subscription-start": ("valueString", 0, 1),
    "notification-event": ("part", 0, None),
    "error": ("valueCodeableConcept", 0, None),
}
PARTS: Final[Shape] = {
    "event-number": ("valueString", 1, 1),
    "timestamp": ("valueInstant", 0, 1),
    "focus": ("valueReference", 0, 1),
    "additional-context": ("valueReference", 0, None),
}
STATUSES: Final = frozenset({"requested", "active", "error", "off"})
PUSHED_TYPES: Final = frozenset({"handshake", "heartbeat", "event-notification"})
"""Types a receiver may be sent; the two query types are answers."""


@dataclass(frozen=True, slots=True)
class Event:
    """One `notification-event`. `focus` is the reference as sent, `None` at payload level empty."""

    number: int | None
    timestamp: str | None
    focus: str | None
    contexts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The Parameters, read. What could not be read is empty or `None`, and a problem says so."""

    subscription: str
    """Logical id of the Subscription."""
    topic: str | None
    status: str
    type: str
    since: int | None
    """`events-since-subscription-start`."""
    events: tuple[Event, ...]
    skipped: int = 0
    """How many numbers right before the first event were skipped, for a Subscription that wants the latest only."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The event numbers that could be read, as they stand."""
        return tuple(event.number for event in self.events if event.number is not None)


def read_status(resource: Any, problems: list[str]) -> Status | None:
    """Read the first entry's resource; append what is wrong with it to `problems`.

    Returns `None` when it is no Parameters at all.
    """
    if not isinstance(resource, dict) or resource.get("resourceType") != "Parameters":
        found = resource.get("resourceType") if isinstance(resource, dict) else None
        problems.append(
            f"entry[0].resource is {found or 'missing'}, expected Parameters (backport-notification-bundle-r4-1)"
        )
        return None
    profiles = (resource.get("meta") or {}).get("profile") or []
    if not any(str(profile).partition("|")[0] == BACKPORT_STATUS_PROFILE for profile in profiles):
        problems.append(f"Parameters.meta.profile does not name {BACKPORT_STATUS_PROFILE}")
    values = _collect(resource.get("parameter"), PARAMETERS, "Parameters", problems)
    status = Status(
        subscription=_subscription(values.get("subscription"), problems),
        topic=_first(values, "topic"),
        status=_first(values, "status") or "",
        type=_first(values, "type") or "",
        since=_number(
            _first(values, "events-since-subscription-start"), "events-since-subscription-start", problems
        ),
        events=tuple(
            _event(part, at, problems) for at, part in enumerate(values.get("notification-event", []))
        ),
        skipped=_skipped(resource),
    )
    _check_codes(status, problems)
    _check_counts(status, problems)
    return status


def _collect(parameters: Any, shape: Shape, where: str, problems: list[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for parameter in parameters if isinstance(parameters, list) else []:
        name = parameter.get("name") if isinstance(parameter, dict) else None
        if not isinstance(name, str) or name not in shape:
            problems.append(f"{where} has a parameter named {name!r}; expected one of {', '.join(shape)}")
            continue
        element = shape[name][0]
        held = [key for key in parameter if key.startswith("value") or key in {"part", "resource"}]
        if held != [element]:
            problems.append(
                f"{where} parameter {name} holds {', '.join(held) or 'nothing'}; expected {element}"
            )
            continue
        found.setdefault(name, []).append(parameter[element])
    for name, (_, least, most) in shape.items():
        count = len(found.get(name, []))
        if count < least or (most is not None and count > most):
            problems.append(
                f"{where} has {count} readable {name}; expected {least}..{'*' if most is None else most}"
            )
    return found


def _first(values: dict[str, list[Any]], name: str) -> str | None:
    value = values.get(name, [None])[0]
    return value if isinstance(value, str) else None


def _reference(value: Any) -> str | None:
    reference = value.get("reference") if isinstance(value, dict) else None
    return reference if isinstance(reference, str) and reference else None


def _subscription(values: list[Any] | None, problems: list[str]) -> str:
    if not values:
        return ""  # its absence is a problem already
    segments = (_reference(values[0]) or "").split("/")
    if len(segments) < 2 or segments[-2] != "Subscription":
        problems.append("Parameters parameter subscription is no unversioned reference to a Subscription")
        return ""
    return segments[-1]


def _number(text: str | None, name: str, problems: list[str]) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        problems.append(f"{name} is {text!r}, expected a decimal number")
        return None
    return int(text)


def _skipped(resource: dict[str, Any]) -> int:
    events = [
        each
        for each in resource.get("parameter") or []
        if isinstance(each, dict) and each.get("name") == "notification-event"
    ]
    for extension in events[0].get("extension") or [] if events else []:
        if isinstance(extension, dict) and extension.get("url") == SKIPPED_EVENTS:
            count = extension.get("valueUnsignedInt")
            return count if isinstance(count, int) else 0
    return 0


def _event(part: Any, at: int, problems: list[str]) -> Event:
    where = f"notification-event[{at}]"
    values = _collect(part, PARTS, where, problems)
    references = {
        name: [_reference(value) for value in values.get(name, [])]
        for name in ("focus", "additional-context")
    }
    for name, found in references.items():
        if None in found:
            problems.append(f"{where} parameter {name} has no reference")
    return Event(
        number=_number(_first(values, "event-number"), f"{where} event-number", problems),
        timestamp=_first(values, "timestamp"),
        focus=next(iter(references["focus"]), None),
        contexts=tuple(reference for reference in references["additional-context"] if reference),
    )


def _check_codes(status: Status, problems: list[str]) -> None:
    if status.type and status.type not in PUSHED_TYPES:
        problems.append(f"type is {status.type!r}, expected {', '.join(sorted(PUSHED_TYPES))}")
    if status.status and status.status not in STATUSES:
        problems.append(f"status is {status.status!r}, expected {', '.join(sorted(STATUSES))}")
    wanted = {"handshake": "requested", "event-notification": "active"}.get(status.type)
    if wanted and status.status in STATUSES and status.status != wanted:
        problems.append(f"status of this {status.type} is {status.status}, expected {wanted}")


def _check_counts(status: Status, problems: list[str]) -> None:
    if status.type != "event-notification":
        return
    if not status.events:
        problems.append("an event-notification has no notification-event, expected at least one")
    numbers = status.numbers
    if any(later != earlier + 1 for earlier, later in pairwise(numbers)):
        problems.append(
            f"event numbers inside one Bundle are {list(numbers)}, expected each one more than the last"
        )
    if status.since is None:
        problems.append("an event-notification has no events-since-subscription-start")
    elif numbers and status.since != max(numbers):
        problems.append(
            f"events-since-subscription-start is {status.since}, expected the highest event number, {max(numbers)}"
        )
