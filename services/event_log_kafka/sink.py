"""The publisher's end of the Kafka log.

One idempotent producer, so that Kafka refuses a batch whose predecessor is missing: what arrives first of a
contract arrives in order. A producer that failed once is not trusted again: some of its failures are final,
others hang for ever. It is thrown away, and the next call makes another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas.event import ReportEvent, headers
from services import logs
from services.database import Connection
from services.event_log import Place
from services.event_log_kafka.cluster import KafkaLog, end

log = logs.get(__name__)

_BATCH_BYTES: Final = 512 * 1024
"""Records of one partition that go together when many are sent; one alone goes at once."""

_STOP_SECONDS: Final = 2.0


class KafkaSink:
    """Appends events to the topic, keyed by contract."""

    def __init__(self, log: KafkaLog) -> None:
        """Take the topic; nothing is connected before the first append."""
        self._log = log
        self._producer: Any = None

    async def append(self, transaction: Connection, events: Sequence[ReportEvent]) -> Sequence[Place]:  # noqa: ARG002  # the outbox numbers in it, Kafka has no part in it
        """Send every event, then wait once for all acknowledgements, `request_timeout` seconds in all.

        Raises:
            LogUnavailableError: not all were acknowledged; some may be in the log.
        """
        try:
            async with asyncio.timeout(self._log.request_timeout):
                producer = await self._started()
                sent = await self._send(producer, events)
        except (TimeoutError, KafkaError) as failure:
            log.warning("kafka_append_failed", failure=type(failure).__name__, events=len(events))
            await self._discard()
            raise self._log.unavailable(f"appending {len(events)} events", failure) from failure
        return [Place(metadata.partition, metadata.offset) for metadata in sent]

    async def _started(self) -> Any:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=_BATCH_BYTES,
                max_request_size=self._log.max_record_bytes,
                request_timeout_ms=int(self._log.request_timeout * 1000),
                **self._log.client(),
            )
            await self._producer.start()
        return self._producer

    async def _send(self, producer: Any, events: Sequence[ReportEvent]) -> list[Any]:
        acknowledgements: list[asyncio.Future[Any]] = []
        try:
            for event in events:
                acknowledgements.append(await self._hand_over(producer, event))  # noqa: PERF401  # the first ones are needed when a later one fails
            return await asyncio.gather(*acknowledgements)
        finally:
            for acknowledgement in acknowledgements:
                acknowledgement.cancel()  # nobody waits for it any more; no effect on those that have come

    async def _hand_over(self, producer: Any, event: ReportEvent) -> asyncio.Future[Any]:
        """Give the event to the producer; return what Kafka's acknowledgement will resolve."""
        key, attributes = event.contract.encode(), headers(event)
        try:
            sent: asyncio.Future[Any] = await producer.send(
                self._log.topic, key=key, value=event.body, headers=attributes
            )
        except MessageSizeTooLargeError:
            # Nothing behind it can go before it; whoever is paged needs its name.
            log.error("event_too_large", event_id=event.id, subject=event.subject, body_bytes=len(event.body))  # noqa: TRY400  # the trace adds nothing
            raise
        return sent

    async def _discard(self) -> None:
        """Drop the producer without flushing: a flush may hang, and the relay sends everything again."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        sender = producer._sender.sender_task  # noqa: SLF001  # aiokafka has no stop without a flush
        await end(producer.client.close(), "kafka-producer-disconnect", within=_STOP_SECONDS)
        if sender is not None:
            # The first cancellation makes it wait for what is in flight, the next ones end that too.
            for _ in range(4):
                sender.cancel()
                done, _pending = await asyncio.wait({sender}, timeout=0.25)
                if done:
                    break
        producer._closed = True  # noqa: SLF001  # the rest of its stop would be that flush

    async def close(self) -> None:
        """Stop the producer; bounded, whatever state Kafka is in."""
        producer, self._producer = self._producer, None
        if producer is not None and not await end(producer.stop(), "kafka-producer-stop", _STOP_SECONDS):
            self._producer = producer
            await self._discard()
