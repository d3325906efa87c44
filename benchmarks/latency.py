"""How long from publishing a report to its receipt at an endpoint? And how soon is `vbpr serve` there, how large?

Reports of 6 KB are published at fixed rates; each latency counts from when the report was due to be sent to its
arrival at the endpoint, a PUT by a classic Subscription. The ceiling is the same POST sent straight to the endpoint.
"""

from __future__ import annotations

import sys

from benchmarks.publishing import OpenLoop, prepare, subscribe
from benchmarks.reports import SMALL, Reports
from benchmarks.result import Result, percentile, run
from benchmarks.servers import Place, Vbpr, place
from benchmarks.sink import Ledger, RunningSink, running_sink
from benchmarks.wire import Connection
from services.clock import SystemClock
from tools import kafka
from tools.server_process import ServerError

READY_SECONDS, IDLE_MB = 2.0, 150.0
EXPECTED = {
    ("embedded", 100, 95): 50.0,
    ("embedded", 200, 50): 6.0,
    ("embedded", 200, 95): 15.0,
    ("Kafka and PostgreSQL", 200, 50): 10.0,
    ("Kafka and PostgreSQL", 200, 95): 25.0,
}
"""Most milliseconds, by how it runs, reports a second, and percentile."""
PERCENTILES = (50, 95, 99)
_WARM_SECONDS = 2


async def measure(result: Result, quick: bool) -> None:
    """Measure one process on SQLite, then publisher and notifier on Kafka and PostgreSQL."""
    rates, seconds = ((50, 100, 200), 5) if quick else ((50, 100, 200, 500), 30)
    async with running_sink() as sink:
        floors = {rate: await _direct(sink, rate, seconds) for rate in rates}
        with place() as somewhere:
            serve = await _start(result, somewhere)
            await _at_rates(result, "embedded", serve.url, serve.url, sink, floors, seconds)
            result.figure("embedded: memory after the load", serve.memory(), "MB")
        with place() as somewhere:
            try:
                publisher, notifier = _many_machines(somewhere)
            except ServerError as missing:
                result.notes.append(f"Kafka and PostgreSQL: not measured. {missing}")
                return
            await _at_rates(
                result, "Kafka and PostgreSQL", publisher.url, notifier.url, sink, floors, seconds
            )


async def _start(result: Result, somewhere: Place) -> Vbpr:
    """Start `vbpr serve` on nothing, and again on what the first start made."""
    serve = somewhere.vbpr("serve")
    result.at_most("vbpr serve: ready, first start", serve.start(), "s", READY_SECONDS)
    serve.process.stop()
    result.at_most("vbpr serve: ready, next start", serve.start(), "s", READY_SECONDS)
    await SystemClock().sleep(2)
    result.at_most("vbpr serve: idle memory (RSS)", serve.memory(), "MB", IDLE_MB)
    return serve


def _many_machines(somewhere: Place) -> tuple[Vbpr, Vbpr]:
    broker = kafka.prepare(somewhere.folder / "kafka")
    broker.start()
    somewhere.stack.callback(broker.kill)
    settings = {
        "VBPR_PUBLISHER_DATABASE_URL": somewhere.database("PostgreSQL"),
        "VBPR_NOTIFIER_DATABASE_URL": somewhere.database("PostgreSQL"),
        "VBPR_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
    }
    somewhere.vbpr("migrate", **settings).run()
    publisher, notifier = somewhere.vbpr("publisher", **settings), somewhere.vbpr("notifier", **settings)
    publisher.start()
    notifier.start()
    return publisher, notifier


async def _at_rates(
    result: Result,
    name: str,
    publisher: str,
    notifier: str,
    sink: RunningSink,
    floors: dict[int, list[float]],
    seconds: int,
) -> None:
    reports = Reports(SMALL)
    await prepare(publisher)
    await sink.forget()
    subscription = await subscribe(notifier, reports.contract, f"{sink.urls[0]}/hook")
    loop = OpenLoop(publisher, reports)
    for rate, floor in floors.items():
        await loop.run(rate, rate * _WARM_SECONDS)
        warm = set(loop.due)
        await loop.run(rate, rate * seconds)
        ledger = await sink.ledger(len(loop.due), within=60)
        case = f"{name}, {rate}/s"
        result.close(case, ledger.faults({subscription: len(loop.due)}))
        measured = {report: due for report, due in loop.due.items() if report not in warm}
        loop.due = dict.fromkeys(loop.due, 0.0)
        expected = {percent: EXPECTED.get((name, rate, percent)) for percent in PERCENTILES}
        _show(result, case, latencies(measured, ledger), floor, expected)
    loop.close()


async def _direct(sink: RunningSink, rate: int, seconds: int) -> list[float]:
    """Return the latencies of the same reports at the same rate, sent straight to the endpoint, in ms."""
    await sink.forget()
    clock, reports, connection = SystemClock(), Reports(SMALL), Connection(sink.urls[0])
    due: dict[str, float] = {}
    started = clock.monotonic()
    for number in range(rate * min(seconds, 10)):
        at = started + number / rate
        body = reports.make(number)
        if (wait := at - clock.monotonic()) > 0:
            await clock.sleep(wait)
        webhook_id = f"direct_{number + 1}-{number + 1}"
        await connection.send("POST", f"/hook/{number}", body, ("webhook-id", webhook_id))
        due[str(number)] = at
    connection.close()
    return latencies(due, await sink.ledger(len(due), within=10))


def latencies(due: dict[str, float], ledger: Ledger) -> list[float]:
    """Return the milliseconds from due to arrival of each report, the first arrival of each."""
    arrived: dict[str, float] = {}
    for report, at, _ in ledger.arrivals:
        arrived.setdefault(report, at)
    return [(arrived[report] - at) * 1000 for report, at in due.items() if report in arrived]


def _show(
    result: Result, case: str, found: list[float], floor: list[float], expected: dict[int, float | None]
) -> None:
    if len(found) < 2:
        return  # nothing came; the ledger says so
    for percent, most in expected.items():
        value, least = percentile(found, percent), percentile(floor, percent)
        if most is not None:
            result.at_most(f"{case}: p{percent}", value, "ms", most, least)
        else:
            result.figure(f"{case}: p{percent}", value, "ms", least)
    result.figure(f"{case}: longest", max(found), "ms", max(floor))


if __name__ == "__main__":
    sys.exit(run("latency", __doc__, measure))
