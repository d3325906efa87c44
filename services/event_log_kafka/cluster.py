"""Where Kafka is, what the topic is called and how big a record may be; and how waiting for it is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka.errors import KafkaError

from services.event_log import LogUnavailableError
from services.settings import HEADER_ROOM, Settings

T = TypeVar("T")

BATCH_ROOM = 64 * 1024
"""What Kafka itself adds around a record: batch header, lengths, key."""


@dataclass(frozen=True, slots=True)
class KafkaLog:
    """The topic that is the event log."""

    bootstrap_servers: str
    topic: str
    partitions: int = 12
    replication_factor: int = 1
    max_report_bytes: int = 4 * 1024 * 1024
    request_timeout: float = 10.0
    """Seconds that any one call may wait for Kafka."""
    security: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Arguments of every aiokafka client beyond the address: TLS, SASL."""

    @classmethod
    def of(cls, settings: Settings) -> KafkaLog:
        """Return the log that the settings describe."""
        return cls(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            topic=settings.kafka_topic,
            partitions=settings.kafka_partitions,
            replication_factor=settings.kafka_replication_factor,
            max_report_bytes=settings.max_report_bytes,
            request_timeout=settings.kafka_request_timeout,
        )

    @property
    def dead_letter_topic(self) -> str:
        """The topic of records that are no event."""
        return f"{self.topic}.dead-letters"

    @property
    def max_record_bytes(self) -> int:
        """The largest record: the largest report and room for its headers."""
        return self.max_report_bytes + HEADER_ROOM

    @property
    def max_batch_bytes(self) -> int:
        """What topic and reader must take at once, for the largest record to pass."""
        return self.max_record_bytes + BATCH_ROOM

    def client(self) -> dict[str, Any]:
        """Return the arguments that every aiokafka client takes."""
        return {"bootstrap_servers": self.bootstrap_servers, **self.security}

    async def answer(self, question: Awaitable[T], doing: str) -> T:
        """Wait for one answer of Kafka, at most `request_timeout` seconds.

        Raises:
            LogUnavailableError: it failed or did not come; says what was being done.
        """
        try:
            async with asyncio.timeout(self.request_timeout):
                return await question
        except (TimeoutError, KafkaError) as failure:
            raise self.unavailable(doing, failure) from failure

    def unavailable(self, doing: str, failure: BaseException) -> LogUnavailableError:
        """Return the error for a failed call, ready to raise; the failure goes in by its class only."""
        return LogUnavailableError(
            f"Kafka at {self.bootstrap_servers} failed while {doing} ({type(failure).__name__})"
        )


async def end(stopping: Coroutine[Any, Any, object], name: str, within: float) -> bool:
    """Let a client stop, in a task of its own: it may hang, fail, or cancel whoever waits for it.

    Returns whether it ended in time; otherwise it is abandoned.
    """
    task = asyncio.create_task(stopping, name=name)
    await asyncio.wait({task}, timeout=within)
    in_time = task.done()
    if not in_time:
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
    if task.done() and not task.cancelled():
        task.exception()  # looked at, so that nobody is told of it later
    return in_time
