"""Should this subscription be told of this event? Term by term; what is not known here is refused, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

from tests.ledger.inputs import InputError, Subscription
from tests.ledger.reports import Event, Facts

_TOPIC = "https://vbpr-subscriptions.org/fhir/SubscriptionTopic/"
_TOKENS: dict[str, Callable[[Facts], str]] = {
    "_id": lambda facts: facts.id,
    "kind": lambda facts: facts.kind,
    "stage": lambda facts: facts.stage,
    "status": lambda facts: facts.status,
}
_REFERENCES: dict[str, Callable[[Facts], str]] = {
    "contract": lambda facts: facts.contract,
    "provider": lambda facts: facts.provider,
    "reporter": lambda facts: facts.reporter,
}
_GONE = ("withdrawn", "deleted")


def fires(subscription: Subscription, event: Event) -> bool:
    """Tell whether the subscription is told of the event.

    A classic one judges the new version, at every write, and hears of no deletion. One on a topic follows the
    topic's triggers; of a report that is withdrawn it hears too if what was superseded satisfied it.

    Raises:
        InputError: topic, parameter, modifier or value are not known to this ledger.
    """
    if subscription.kind == "classic":
        return _satisfied(subscription.criteria, event.now) and event.type != "deleted"
    if not _triggered(subscription.criteria, event):
        return False
    views = [event.now]
    if event.type in _GONE and event.before is not None:
        views.append(event.before)
    return any(all(_satisfied(each, view) for each in subscription.filters) for view in views)


def _triggered(topic: str, event: Event) -> bool:
    was_settled = event.before is not None and event.before.stage == "settled"
    followed = {
        "report-available": True,
        "report-settled": event.type in {"settled", "corrected"} or (event.type in _GONE and was_settled),
        "report-corrected": event.type == "corrected",
        "report-withdrawn": event.type in _GONE,
    }
    name = topic.removeprefix(_TOPIC)
    if name not in followed:
        raise InputError(f"the ledger knows no topic {topic}")
    return followed[name]


def _satisfied(criteria: str, facts: Facts) -> bool:
    type_, question, query = criteria.partition("?")
    if type_ != "MeasureReport" or bool(question) != bool(query):
        raise InputError(f"the ledger cannot read the criteria {criteria!r}")
    try:
        terms = parse_qsl(query, strict_parsing=True) if query else []
    except ValueError:
        raise InputError(f"the ledger cannot read the criteria {criteria!r}") from None
    held = [_holds(name, values, facts) for name, values in terms]  # all are read, so that all are known
    return all(held)


def _holds(name: str, values: str, facts: Facts) -> bool:
    if any(sign in values for sign in "\\|$"):
        raise InputError(f"the ledger cannot read the value {values!r} of {name}")
    wanted = values.split(",")
    if name in _REFERENCES:
        return _REFERENCES[name](facts) in wanted
    plain, colon, modifier = name.partition(":")
    if plain not in _TOKENS or (colon and modifier != "not"):
        raise InputError(f"the ledger knows no search parameter {name}")
    found = _TOKENS[plain](facts) in wanted
    return not found if colon else found
