"""What the group has given a reader. aiokafka tells it in the middle of a rebalance; here it is only noted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition

from services.clock import Clock


class Assignment(ConsumerRebalanceListener):
    """The partitions held, and whether they were shared out anew since somebody looked."""

    def __init__(self, consumer: Any, clock: Clock) -> None:
        """Start with nothing held, as if a rebalance had just begun."""
        self._consumer = consumer
        self._clock = clock
        self.held: frozenset[TopicPartition] = frozenset()
        self._anew = False
        self.unsettled_since: float | None = clock.monotonic()
        """When the rebalance began that is not over yet, by the monotonic clock; `None` between two."""

    def shared_anew(self) -> bool:
        """Tell whether a rebalance has begun since the last `acknowledge`."""
        return self._anew

    def acknowledge(self) -> None:
        """Note that the caller has been told that everything it held is taken away."""
        self._anew = False

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002  # every rebalance takes all
        """Note that nothing is held until the group has agreed again."""
        self.held = frozenset()
        self._anew = True
        self.unsettled_since = self._clock.monotonic()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note what is held now, and keep it from being fetched until its position has been sought."""
        self.held = frozenset(assigned)
        self.unsettled_since = None
        self._consumer.pause(*self.held)
