"""The options of `vbpr demo`."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.console import Console

from services.cli.demo.machines import Machines, ManyMachines, OneMachine
from services.cli.demo.show import Screen
from services.cli.demo.story import Story
from services.cli.errors import CommandError
from services.clock import SystemClock
from services.event_loop import run_until_complete


def demo(
    many_machines: Annotated[
        bool, typer.Option("--many-machines", help="Run publisher and notifiers on Kafka and PostgreSQL.")
    ] = False,
    kafka: Annotated[str, typer.Option(help="Kafka's brokers, host:port; with --many-machines.")] = "",
    database_url: Annotated[
        str,
        typer.Option(
            help="A database on the PostgreSQL server to use, postgresql+asyncpg://…; with --many-machines. "
            "Two databases are created beside it, and dropped at the end, as the topic is."
        ),
    ] = "",
    keep: Annotated[
        Path | None, typer.Option(help="Folder for data, logs and the receiver's record; kept.")
    ] = None,
) -> None:
    """See the whole path work on this machine, crash included.

    Starts the services and a receiver on free loopback ports, loads two payers, three providers and their
    contracts, creates one classic and one topic Subscription, publishes twenty reports, kills the services
    half-way with `kill -9` and starts them again, and ends with a ledger: what was accepted, owed, delivered
    and given up, against what the receiver has on record.

    Exit code 0 only if the ledger closes.

    Example: `vbpr demo`
    """
    if many_machines and not (kafka and database_url):
        raise CommandError(
            "--many-machines needs --kafka HOST:PORT and --database-url postgresql+asyncpg://…."
        )
    if (kafka or database_url) and not many_machines:
        raise CommandError("--kafka and --database-url go with --many-machines.")
    folder = keep.resolve() if keep else Path(tempfile.mkdtemp(prefix="vbpr-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(soft_wrap=True, highlight=False)
    closes = False
    try:
        # Cancelled by SIGTERM, it still ends what it started.
        closes = run_until_complete(_demo(console, folder, kafka, database_url))
    except asyncio.CancelledError:
        raise CommandError("The demo was told to end; everything it had started is ended.") from None
    finally:
        if keep is None and closes:
            shutil.rmtree(folder, ignore_errors=True)
        elif not closes:
            print(f"What the processes said is in {folder}.", file=sys.stderr)
    raise typer.Exit(0 if closes else 1)


async def _demo(console: Console, folder: Path, kafka: str, database_url: str) -> bool:
    clock = SystemClock()
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    async with aiohttp.ClientSession() as session:
        machines: Machines = (
            ManyMachines(folder, session, clock, database_url=database_url, kafka=kafka)
            if kafka
            else OneMachine(folder, session, clock)
        )
        ledger = await Story(machines, Screen(console), session, clock, folder).run()
    return ledger.closes
