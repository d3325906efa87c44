"""Where do records go that are no event? Into a topic of their own, beside the notifier's table of them.

The table is what operators act on; the topic is for whoever writes to the log and has to find out what went
wrong there. A record is in the topic before the reader hands it on, so one that is read again, after a crash or
a rebalance, is in it again: its key, `partition/position`, tells copies apart from two bad records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from services import logs
from services.event_log import LogUnavailableError, Record
from services.event_log_kafka.cluster import KafkaLog, end

log = logs.get(__name__)

_STOP_SECONDS = 2.0


class DeadLetterTopic:
    """Puts unreadable records into the dead-letter topic, as they were, with where they stood and what is wrong."""

    def __init__(self, log: KafkaLog) -> None:
        """Take the topic they come from; nothing is connected before there is one."""
        self._log = log

    async def put(self, records: Sequence[Record]) -> None:
        """Append them, and return when Kafka has them. There are few, so each call has a producer of its own.

        A failure is logged, never raised: it must not keep the events behind from being read.
        """
        producer: Any = AIOKafkaProducer(
            acks="all",
            max_request_size=self._log.max_batch_bytes,
            request_timeout_ms=int(self._log.request_timeout * 1000),
            **self._log.client(),
        )
        try:
            await self._log.answer(producer.start(), "connecting")
            for record in records:
                sending = producer.send_and_wait(
                    self._log.dead_letter_topic,
                    key=f"{record.partition}/{record.position}".encode(),
                    value=record.raw_value,
                    headers=_headers(record, self._log.topic),
                )
                await self._log.answer(sending, "appending a dead letter")
        except LogUnavailableError as failure:
            log.warning("dead_letters_not_in_their_topic", records=len(records), failure=str(failure))
        finally:
            await end(producer.stop(), "kafka-dead-letters-stop", within=_STOP_SECONDS)


def _headers(record: Record, topic: str) -> list[tuple[str, bytes]]:
    told = {
        "vbpr-topic": topic,
        "vbpr-partition": str(record.partition),
        "vbpr-position": str(record.position),
        "vbpr-reason": record.poison or "",
    }
    return [*record.raw_headers, *((name, value.encode()) for name, value in told.items())]
