"""`vbpr migrate`: bring both databases, and Kafka's topic, to what this version needs."""

from __future__ import annotations

from services.cli.settings_options import load
from services.event_loop import run_until_complete
from services.settings import Settings


def migrate() -> None:
    """Bring both databases to this version, and make Kafka's topic if Kafka is configured.

    Safe to run again. `vbpr serve` does this by itself; `vbpr publisher` and `vbpr notifier` refuse to start
    on a database that is behind.

    Example: `vbpr migrate`
    """
    run_until_complete(_migrate(load()))


async def _migrate(settings: Settings) -> None:
    from services.cli import databases

    for name, revision in (await databases.upgrade(settings)).items():
        print(f"{name} is at revision {revision}")
    if settings.kafka_bootstrap_servers:
        from services.event_log_kafka.cluster import KafkaLog
        from services.event_log_kafka.topic import ensure_topic

        await ensure_topic(KafkaLog.of(settings))
        print(f"topic {settings.kafka_topic} is there with {settings.kafka_partitions} partitions")
