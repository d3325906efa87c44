"""The options of `vbpr publish`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import aiohttp
import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.publish import show
from services.cli.publish.ahead import Ahead
from services.cli.publish.answer import Answer
from services.cli.publish.lanes import Shown, Tally, send_all
from services.cli.publish.send import Sender
from services.cli.publish.sources import Resource, files, resources
from services.clock import SystemClock
from services.event_loop import run_until_complete


def publish(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…", help="JSON or NDJSON files, Bundles, folders of them, or - for standard input."
        ),
    ],
    url: Annotated[
        str,
        typer.Option(
            help="FHIR base of the publisher.", envvar="VBPR_BASE_URL", show_default="from the settings"
        ),
    ] = "",
    at_once: Annotated[
        int,
        typer.Option(
            help="Requests under way at a time. Reports of one contract keep their order; with 1, all do.",
            min=1,
            max=64,
        ),
    ] = 4,
    patience: Annotated[
        float, typer.Option(help="Seconds to go on trying while the publisher does not answer.", min=0)
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a resource.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only what was not accepted.")] = False,
) -> None:
    """Publish reports, and say of each whether it was accepted or why not.

    A resource with an id is PUT, one without is POSTed, a Bundle goes to the base; lines of NDJSON go many in one
    request, and each has its own answer. Sending the same again is safe: what is current already is answered
    "unchanged". A folder is sent in the order of its file names; where it holds several versions of one report, all
    of them are published again, the last one last.

    Exit code: 0 all accepted, 1 something was rejected, 2 the publisher could not be reached.

    Example: `vbpr publish reports/ --url http://127.0.0.1:8080/fhir`
    """
    base = url or _configured()
    found = files(sources)
    tally = run_until_complete(
        _publish(base, found, at_once=at_once, patience=patience, as_json=as_json, quiet=quiet)
    )
    raise typer.Exit(tally.exit_code)


def _configured() -> str:
    from services import settings  # as slow to load as all the rest; whoever names a URL needs none of it

    return settings.load().fhir_base


async def _publish(
    base: str, found: list[str], *, at_once: int, patience: float, as_json: bool, quiet: bool
) -> Tally:
    console = Console(soft_wrap=True, highlight=False)
    bar = Progress(
        TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console,
        transient=True, disable=as_json or not console.is_terminal,
    )  # fmt: skip
    task = bar.add_task("files", total=len(found))
    shown = _shown(console, as_json=as_json, quiet=quiet)

    def everything() -> Iterator[Resource]:
        for file in found:
            yield from resources(file)
            bar.advance(task)

    async with aiohttp.ClientSession() as session:
        sender = Sender(session, base, SystemClock(), patience=patience)
        with bar:
            tally = await send_all(sender, Ahead(everything()), at_once=at_once, shown=shown)
    if not as_json:
        console.print(show.summary(tally))
    return tally


def _shown(console: Console, *, as_json: bool, quiet: bool) -> Shown:
    def shown(resource: Resource, answer: Answer) -> None:
        if quiet and answer.result in {"accepted", "unchanged"}:
            return
        if as_json:
            print(orjson.dumps(show.as_json(resource, answer)).decode(), flush=True)
        else:
            console.print(show.line(resource, answer))

    return shown
