"""Which topics can be subscribed to? Each is one file here: trigger, filters and notification shape.

Adding a topic is adding a file. The words are those of the R5 SubscriptionTopic; `triggers` says which events of
ours it follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType

import msgspec

from schemas.event import EventType, Stage


class Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One event a topic follows."""

    event: EventType
    previously: Stage | None = None
    """Only when the version it supersedes was at this stage."""


class NotificationShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What a notification carries: the focus, and what is included with it."""

    resource: str
    include: tuple[str, ...] = ()


class Topic(msgspec.Struct, frozen=True, eq=False, forbid_unknown_fields=True, rename="camel"):
    """One SubscriptionTopic, compared by identity."""

    url: str
    """Canonical URL, without a version."""
    version: str
    title: str
    description: str
    triggers: tuple[Trigger, ...]
    can_filter_by: tuple[str, ...]
    """Names of search parameters of `schemas.search.parameters`."""
    notification_shape: NotificationShape
    crosses: tuple[str, ...] = ()
    """The filters that give a bound, if the topic tells of crossings alone; one of them has to be given then."""


@cache
def topics() -> Mapping[str, Topic]:
    """Return every topic by its canonical URL, in the order of the file names."""
    found = sorted(
        (each for each in files(__name__).iterdir() if each.name.endswith(".json")),
        key=lambda each: each.name,
    )
    read = [msgspec.json.decode(each.read_bytes(), type=Topic) for each in found]
    return MappingProxyType({topic.url: topic for topic in read})


@lru_cache(1_000)
def find(canonical: str) -> Topic | None:
    """Return the topic a `Subscription.criteria` names, `url` or `url|version`; `None` when it is not ours."""
    url, bar, version = canonical.partition("|")
    topic = topics().get(url)
    return topic if topic is not None and (not bar or version == topic.version) else None
