"""`vbpr notifier`: the notifier alone, on PostgreSQL and Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from services import process
from services.cli.settings_options import AdminPort, Port, load
from services.clock import Clock, SystemClock
from services.event_loop import run_until_complete
from services.settings import Settings


def notifier(port: Port = None, admin_port: AdminPort = None) -> None:
    """Run the notifier alone: events from Kafka, notifications to endpoints.

    Needs VBPR_NOTIFIER_DATABASE_URL (PostgreSQL) and VBPR_KAFKA_BOOTSTRAP_SERVERS, and a database and a topic
    that `vbpr migrate` has prepared. Run as many as you like: they share the work.

    Example: `vbpr notifier --port 8090 --admin-port 8091`
    """
    settings = load(port=port, admin_port=admin_port)
    run_until_complete(process.serve("vbpr notifier", settings, SystemClock(), _open))


async def _open(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Sequence[process.Service]:
    from services.cli.cluster import require_cluster
    from services.event_log_kafka.source import KafkaSource
    from services.event_log_kafka.witness import KafkaWitness
    from services.notifier.wiring import open_notifier

    log = await require_cluster(settings, "notifier")
    source = KafkaSource(log, clock, group=settings.kafka_group, session=settings.kafka_session_seconds)
    witness = KafkaWitness(log, source, group=settings.kafka_group)
    opened = await open_notifier(settings, clock, source, log_name=settings.kafka_topic, witness=witness)
    stack.push_async_callback(opened.close)  # the source is its own to close
    return (opened,)
