"""What `vbpr publisher` and `vbpr notifier` insist on before they start: PostgreSQL, Kafka, and its topic."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Literal

import sqlalchemy as sa

from services.cli.errors import CommandError
from services.event_log_kafka.cluster import KafkaLog
from services.event_log_kafka.topic import require_topic
from services.settings import Settings


async def require_cluster(settings: Settings, service: Literal["publisher", "notifier"]) -> KafkaLog:
    """Return the event log, known to be there as the settings say.

    Raises:
        CommandError: the settings name no PostgreSQL or no Kafka.
        TopicStateError: the topic is missing or different.
        LogUnavailableError: Kafka does not answer.
    """
    if sa.make_url(settings.database_url(service)).get_backend_name() != "postgresql":
        raise CommandError(
            f"vbpr {service} needs PostgreSQL: set VBPR_{service.upper()}_DATABASE_URL to postgresql+asyncpg://…, "
            "or run both services on SQLite with vbpr serve."
        )
    if not settings.kafka_bootstrap_servers:
        raise CommandError(
            f"vbpr {service} needs Kafka: set VBPR_KAFKA_BOOTSTRAP_SERVERS to host:port, "
            "or run both services without it with vbpr serve."
        )
    log = KafkaLog.of(settings)
    with _quiet():
        await require_topic(log)
    return log


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep aiokafka from logging the failure that is about to be said in one sentence."""
    library = logging.getLogger("aiokafka")
    level = library.level
    library.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        library.setLevel(level)
