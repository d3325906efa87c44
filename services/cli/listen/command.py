"""The options of `vbpr listen`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from services import ports
from services.cli.listen import show
from services.cli.listen.faults import Faults
from services.cli.listen.order import Lanes
from services.cli.listen.record import Entry, Record, entries
from services.cli.listen.server import Receiver, serve
from services.clock import SystemClock
from services.event_loop import run_until_complete


def listen(
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes a free one.", min=0, max=65535)] = 9000,
    record: Annotated[
        Path | None, typer.Option(help="File that keeps every notification, one JSON object a line.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    fail: Annotated[
        int | None, typer.Option(help="Answer every request with this status.", min=300, max=599)
    ] = None,
    fail_rate: Annotated[
        float | None, typer.Option(help="Fail this share of requests only.", min=0, max=1)
    ] = None,
    fail_first: Annotated[int | None, typer.Option(help="Fail only the first so many.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Makes --fail-rate fail the same requests again.")] = 0,
    delay: Annotated[float, typer.Option(help="Seconds to wait before each answer.", min=0)] = 0.0,
    hang: Annotated[bool, typer.Option("--hang", help="Never answer.")] = False,
) -> None:
    """Receive notifications on this machine and check each one.

    Use the URL it prints as the endpoint of a Subscription. Every notification is printed as it arrives, with
    whatever is wrong with it: the shape of the Bundle, its headers, its event numbers. Stop it with Ctrl-C;
    it exits with 1 if any had a problem.

    Example: `vbpr listen --port 9000 --record received.ndjson`
    """
    faults = Faults(status=fail, rate=fail_rate, first=fail_first, seed=seed, delay=delay, hang=hang)
    tally_faulty = run_until_complete(_listen(port, record, faults, as_json=as_json))
    raise typer.Exit(1 if tally_faulty else 0)


async def _listen(port: int, path: Path | None, faults: Faults, *, as_json: bool) -> int:
    console = Console(soft_wrap=True, highlight=False)
    lanes = Lanes()
    for entry in entries(path) if path else ():
        lanes.judge(entry.reading, accepted=entry.answered is not None and entry.answered < 300)
    record = Record(path) if path else None
    listening = ports.bind("127.0.0.1", port, "--port")
    listening.listen()  # whoever reads the line below may connect at once
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    print(f"listening on {url}", file=sys.stderr if as_json else sys.stdout, flush=True)

    def shown(entry: Entry) -> None:
        if as_json:
            print(orjson.dumps(entry.as_json()).decode(), flush=True)
        else:
            console.print(show.line(entry))

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    receiver = Receiver(SystemClock(), faults, record, lanes, shown)
    try:
        await serve(receiver, listening, stopping)
    finally:
        if record is not None:
            record.close()
    if not as_json:
        show.summary(console, receiver.tally.received, receiver.tally.duplicates, receiver.tally.faulty)
    return receiver.tally.faulty
