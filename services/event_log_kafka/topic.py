"""The topic: who makes it, and whether it has the partitions and the size limit that the settings say."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, TopicAlreadyExistsError, for_code

from services.clock import Clock, SystemClock
from services.event_log import LogUnavailableError
from services.event_log_kafka.cluster import KafkaLog, end

RETENTION_DAYS: Final = 30
"""How long a new topic keeps events: longer than any outage of a notifier that is expected to end."""
DEAD_LETTER_DAYS: Final = 90
"""The same for records that are no event, as long as the notifier's table keeps them by default."""

_CLOCK: Final = SystemClock()


class TopicStateError(Exception):
    """The topic is not one this version can work on; the message says what to do about it."""


async def ensure_topic(log: KafkaLog, clock: Clock = _CLOCK) -> None:
    """Create the topic unless it is there, and the one of its dead letters; check it as `require_topic` does.

    Raises:
        TopicStateError: it is there, but different from the settings; or Kafka refuses to make it.
        LogUnavailableError: Kafka does not answer.
    """
    async with _admin(log) as admin:
        for topic, partitions, days in (
            (log.topic, log.partitions, RETENTION_DAYS),
            (log.dead_letter_topic, 1, DEAD_LETTER_DAYS),
        ):
            if await _partitions(log, admin, topic) is None:
                await _create(log, admin, topic, partitions, days)
                await log.answer(_seen(log, admin, topic, clock), f"waiting for the topic {topic}")
        await _check(log, admin)


async def require_topic(log: KafkaLog) -> None:
    """Check that the topic is there as the settings say.

    Raises:
        TopicStateError: it is not; says what to do.
        LogUnavailableError: Kafka does not answer.
    """
    async with _admin(log) as admin:
        await _check(log, admin)


async def remove_topic(log: KafkaLog) -> None:
    """Remove the topic and the one of its dead letters, if there; for those who made one to try something.

    Raises:
        TopicStateError: Kafka refuses.
        LogUnavailableError: Kafka does not answer.
    """
    async with _admin(log) as admin:
        both = (log.topic, log.dead_letter_topic)
        there = [topic for topic in both if await _partitions(log, admin, topic) is not None]
        if not there:
            return
        answer = await log.answer(admin.delete_topics(there), f"removing the topic {log.topic}")
        for topic, code in answer.topic_error_codes:
            if code:
                raise TopicStateError(f"Kafka refused to remove the topic {topic}: {for_code(code).__name__}")


@contextlib.asynccontextmanager
async def _admin(log: KafkaLog) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(request_timeout_ms=int(log.request_timeout * 1000), **log.client())
    try:
        try:
            await log.answer(admin.start(), "connecting")
        except LogUnavailableError as failure:
            if isinstance(failure.__cause__, TimeoutError | KafkaConnectionError):
                raise LogUnavailableError(
                    f"Kafka does not answer at {log.bootstrap_servers}: start it, or correct "
                    "VBPR_KAFKA_BOOTSTRAP_SERVERS."
                ) from failure
            raise
        yield admin
    finally:
        await end(admin.close(), "kafka-admin-close", within=2.0)


async def _partitions(log: KafkaLog, admin: Any, topic: str) -> int | None:
    """Return how many partitions a topic has, `None` when there is no such topic."""
    # All topics: a question about one that is missing may create it, with the broker's own defaults.
    topics = await log.answer(admin.describe_topics(), "asking for its topics")
    return next((len(each["partitions"]) for each in topics if each["topic"] == topic), None)


async def _create(log: KafkaLog, admin: Any, topic: str, partitions: int, days: int) -> None:
    replicas = log.replication_factor
    configuration = {
        "cleanup.policy": "delete",
        "retention.ms": str(days * 86_400_000),
        "max.message.bytes": str(log.max_batch_bytes),
        # With three replicas an acknowledged event survives the loss of any one of them.
        "min.insync.replicas": str(max(1, replicas - 1)),
        "unclean.leader.election.enable": "false",
    }
    new = NewTopic(topic, partitions, replicas, topic_configs=configuration)
    answer = await log.answer(admin.create_topics([new]), f"creating the topic {topic}")
    for _topic, code, message in answer.topic_errors:
        if code not in {0, TopicAlreadyExistsError.errno}:  # another `vbpr migrate` may have been quicker
            raise TopicStateError(
                f"Kafka refused to create the topic {topic}: {message or for_code(code).__name__}"
            )


async def _seen(log: KafkaLog, admin: Any, topic: str, clock: Clock) -> None:
    """Wait until the brokers know of the topic: that takes a moment after it was made."""
    while await _partitions(log, admin, topic) is None:
        await clock.sleep(0.05)


async def _check(log: KafkaLog, admin: Any) -> None:
    found = await _partitions(log, admin, log.topic)
    if found is None:
        raise TopicStateError(
            f"Kafka at {log.bootstrap_servers} has no topic {log.topic}: "
            "run `vbpr migrate` with the same settings first."
        )
    if found != log.partitions:
        raise TopicStateError(
            f"The topic {log.topic} has {found} partitions, the settings say {log.partitions}. Partitions are "
            f"never changed in place, it would break the order within contracts: set VBPR_KAFKA_PARTITIONS={found}, "
            "or name another topic in VBPR_KAFKA_TOPIC."
        )
    limit = await _size_limit(log, admin)
    if limit is not None and limit < log.max_batch_bytes:
        raise TopicStateError(
            f"The topic {log.topic} takes records up to {limit} bytes, but VBPR_MAX_REPORT_BYTES needs "
            f"{log.max_batch_bytes}: raise the topic's max.message.bytes to that with kafka-configs."
        )


async def _size_limit(log: KafkaLog, admin: Any) -> int | None:
    """Return the topic's `max.message.bytes`, `None` when we may not ask."""
    resource = ConfigResource(ConfigResourceType.TOPIC, log.topic, configs={"max.message.bytes": None})
    answers = await log.answer(admin.describe_configs([resource]), "asking for the topic's configuration")
    for answer in answers:
        for _code, _message, _type, _name, entries in answer.resources:
            for name, value, *_ in entries:
                if name == "max.message.bytes":
                    return int(value)
    return None
