"""What Kafka remembers of a group: the positions it was told of, kept apart from any database of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from services.event_log_kafka.cluster import KafkaLog, end
from services.event_log_kafka.source import KafkaSource
from services.event_log_witness import Sighting


class KafkaWitness:
    """The group's committed positions, with the numbers passed over as their remark."""

    def __init__(self, log: KafkaLog, source: KafkaSource, *, group: str) -> None:
        """Take the topic, the reader that commits for the group, and the group's name."""
        self._log = log
        self._source = source
        self._group = group

    async def look(self) -> Mapping[int, Sighting]:
        """Return what Kafka knows of every partition of the topic.

        Raises:
            LogUnavailableError: Kafka does not answer.
        """
        noted = await self._committed()
        limits = await self._source.limits(self._log.partitions)
        return {
            partition: Sighting(oldest, last, *noted.get(partition, ()))
            for partition, (oldest, last) in limits.items()
        }

    async def _committed(self) -> dict[int, tuple[int, int]]:
        admin = AIOKafkaAdminClient(
            request_timeout_ms=int(self._log.request_timeout * 1000), **self._log.client()
        )
        try:
            await self._log.answer(admin.start(), "connecting")
            partitions = [TopicPartition(self._log.topic, number) for number in range(self._log.partitions)]
            question: Any = admin.list_consumer_group_offsets(self._group, partitions=partitions)
            found = await self._log.answer(question, "asking what the group has noted")
        finally:
            await end(admin.close(), "kafka-admin-close", within=2.0)
        return {
            tp.partition: (int(noted.offset), int(noted.metadata or 0))
            for tp, noted in found.items()
            if noted.offset >= 0 and (noted.metadata or "0").isdecimal()
        }

    def note(self, positions: Mapping[int, int], passed_over: int) -> None:
        """Have the reader commit these positions, soon."""
        self._source.note(positions, str(passed_over))
