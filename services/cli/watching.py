"""What the commands that look at the databases share: opening one safely, and putting rows on a screen.

They work beside a running service and without one; what they read is what is durable.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.errors import CommandError

if TYPE_CHECKING:
    from services.database import Database
    from services.settings import Settings

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the SQLite files of `vbpr serve`. [VBPR_DATA_DIR, var]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

PLAIN_WIDTH = 1000
"""Columns of a table that no terminal shows."""


@contextlib.asynccontextmanager
async def opened(settings: Settings, name: Literal["publisher", "notifier"]) -> AsyncIterator[Database]:
    """Open a service's database, which has to be there and at this version's head.

    Raises:
        CommandError: there is no such file; opening it would make an empty one.
        DatabaseStateError: it is not at this version's head.
    """
    from services.notifier import wiring as notifier
    from services.publisher import wiring as publisher

    service = publisher if name == "publisher" else notifier
    database = service.open_database(settings)
    try:
        _require_there(database)
        await service.MIGRATIONS.require_head(database)
        yield database
    finally:
        await database.close()


def _require_there(database: Database) -> None:
    path = database.url.database or ""
    if database.is_sqlite and not Path(path).is_file():
        raise CommandError(
            f"There is no {database.name} at {path}: start `vbpr serve` first, or say where it is with --data-dir."
        )


def console() -> Console:
    """Return where tables go: as wide as the terminal, wide enough for whole ids when there is none."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON document on one line; values of insights go in as they are."""
    print(orjson.dumps(value, option=orjson.OPT_UTC_Z, default=str).decode(), flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> Table:
    """Return a table; columns whose name begins with `#` are numbers."""
    made = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=None,
        pad_edge=False,
        show_header=any(columns),
    )
    for name in columns:
        made.add_column(
            name.removeprefix("#"), justify="right" if name.startswith("#") else "left", overflow="fold"
        )
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def cell(value: object) -> Text:
    """Return a value as text without markup: what is stored came from others, control characters and all."""
    text = "-" if value is None else str(value)
    shown = "".join(mark if mark.isprintable() else f"\\x{ord(mark):02x}" for mark in text)
    return Text(shown, style=_STYLES.get(text, ""))


_STYLES = {
    "active": "green", "delivered": "green", "retrying": "yellow", "retry": "yellow", "requested": "yellow",
    "error": "red", "off": "red", "parked": "red", "given_up": "red",
}  # fmt: skip


def moment(at: datetime | None, now: datetime) -> str | None:
    """Return a time as both: relative to read, absolute to quote."""
    from services.notifier.watch import words

    return None if at is None else f"{words.relative(at, now)} ({words.absolute(at)})"
