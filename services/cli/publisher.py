"""`vbpr publisher`: the publisher alone, on PostgreSQL and Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from services import process
from services.cli.settings_options import AdminPort, Port, load
from services.clock import Clock, SystemClock
from services.event_loop import run_until_complete
from services.settings import Settings


def publisher(port: Port = None, admin_port: AdminPort = None) -> None:
    """Run the publisher alone: reports in, events onto Kafka.

    Needs VBPR_PUBLISHER_DATABASE_URL (PostgreSQL) and VBPR_KAFKA_BOOTSTRAP_SERVERS, and a database and a topic
    that `vbpr migrate` has prepared. Run as many as you like.

    Example: `vbpr publisher --port 8080`
    """
    settings = load(port=port, admin_port=admin_port)
    run_until_complete(process.serve("vbpr publisher", settings, SystemClock(), _open))


async def _open(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Sequence[process.Service]:
    from services.cli.cluster import require_cluster
    from services.event_log_kafka.sink import KafkaSink
    from services.publisher.wiring import open_publisher

    log = await require_cluster(settings, "publisher")
    sink = KafkaSink(log)
    stack.push_async_callback(sink.close)
    opened = await open_publisher(settings, clock, sink)
    stack.push_async_callback(opened.close)
    return (opened,)
