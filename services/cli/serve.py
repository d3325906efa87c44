"""`vbpr serve`: both services in one process, on nothing but this machine's disk."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from services import process
from services.cli.errors import CommandError
from services.cli.settings_options import AdminPort, Port, load
from services.clock import Clock, SystemClock
from services.event_loop import run_until_complete
from services.settings import Settings


def serve(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the SQLite files, made if need be. [VBPR_DATA_DIR, var]")
    ] = None,
    port: Port = None,
    admin_port: AdminPort = None,
) -> None:
    """Run publisher and notifier in one process, with SQLite: needs nothing else.

    Reports and Subscriptions go to /fhir on one port. Without authentication it serves loopback only.
    It may be killed and started again at any time: what it has answered 201 for is on disk.

    Example: `vbpr serve --data-dir ./data --port 8080`
    """
    settings = load(data_dir=data_dir, port=port, admin_port=admin_port)
    run_until_complete(process.serve("vbpr serve", settings, SystemClock(), _open))


async def _open(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Sequence[process.Service]:
    from services.cli import databases
    from services.event_log_witness import FileWitness
    from services.notifier.wiring import open_notifier
    from services.publisher.wiring import open_embedded_publisher

    stack.enter_context(_owned(settings.data_dir))
    await databases.upgrade(settings)
    publisher, source = await open_embedded_publisher(settings, clock)
    stack.push_async_callback(publisher.close)
    witness = FileWitness(settings.witness_file or settings.data_dir / "notifier.witness", source)
    stack.callback(witness.close)
    notifier = await open_notifier(settings, clock, source, log_name="outbox", witness=witness)
    stack.push_async_callback(notifier.close)
    return publisher, notifier


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Keep a second process from running on the same files; a killed one leaves no trace."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"Another vbpr serve runs on {folder}: stop it, or choose another folder with --data-dir."
            ) from None
        yield
