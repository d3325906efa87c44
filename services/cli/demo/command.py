"""The options of `vbpr demo`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.console import Console

from services import process
from services.cli.errors import CommandError
from services.clock import SystemClock


def demo(
    many_machines: Annotated[
        bool, typer.Option("--many-machines", help="Run publisher and notifiers on Kafka and PostgreSQL.")
    ] = False,
    kafka: Annotated[str, typer.Option(help="Kafka's brokers, host:port; with --many-machines.")] = "",
    database_url: Annotated[
        str,
        typer.Option(
            help="A database on the PostgreSQL server to use, postgresql+asyncpg://…; with --many-machines. "
            "Two databases are created beside it, and dropped at the end."
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
    console = Console(soft_wrap=True, highlight=False, markup=True)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        closes = process.run_until_complete(_demo(console, keep.resolve(), kafka, database_url))
    else:
        with tempfile.TemporaryDirectory(prefix="vbpr-demo-") as folder:
            closes = process.run_until_complete(_demo(console, Path(folder), kafka, database_url))
    raise typer.Exit(0 if closes else 1)


async def _demo(console: Console, folder: Path, kafka: str, database_url: str) -> bool:
    from services.cli.demo.machines import ManyMachines, OneMachine
    from services.cli.demo.show import Screen
    from services.cli.demo.story import Story

    clock = SystemClock()
    async with aiohttp.ClientSession() as session:
        machines = (
            ManyMachines(folder, session, clock, database_url=database_url, kafka=kafka)
            if kafka
            else OneMachine(folder, session, clock)
        )
        ledger = await Story(machines, Screen(console), session, clock, folder).run()
    return ledger.closes
