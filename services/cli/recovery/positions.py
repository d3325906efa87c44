"""`vbpr positions`: where the event log is read on, and the word to go on when it is not what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.recovery.acting import HOW, Reason, Yes, order, refusals
from services.cli.settings_options import load
from services.cli.watching import AsJson, DataDir, console, opened, print_json, table
from services.clock import Clock, SystemClock
from services.event_loop import run_until_complete

if TYPE_CHECKING:
    from services.notifier.watch.recovery.trail import Order
    from services.settings import Settings

app = typer.Typer(
    name="positions",
    help="Where each partition of the event log is read on; what to do when reading has stopped.",
    no_args_is_help=True,
)


@app.command(name="list")
def list_positions(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List where each partition is read on.

    Example: `vbpr positions list`
    """
    run_until_complete(_list(load(data_dir=data_dir), as_json=as_json))


@app.command()
def accept(
    partitions: Annotated[list[int], typer.Argument(help="Partitions of the log.", min=0)],
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Read partitions from their oldest record on: for when /readyz says that the log is not what it was.

    What was taken in before is known by its id, and gets no second number. What the log has lost is lost until the
    publisher emits it again. Without --yes it only says which positions would be given up.

    Example: `vbpr positions accept 3 --reason "the topic was made anew" --yes`
    """
    run_until_complete(
        _accept(load(data_dir=data_dir), SystemClock(), partitions, order(reason, yes=yes), as_json=as_json)
    )


async def _list(settings: Settings, *, as_json: bool) -> None:
    from services.notifier.watch.insights import intake

    async with opened(settings, "notifier") as database:
        found = await intake.positions(database)
    if as_json:
        print_json(found)
    elif found:
        rows = [(each.log, each.partition, _shown(each.next_position)) for each in found]
        console().print(table(("log", "#partition", "#read on at"), rows))
    else:
        print("Nothing was ever read.")


async def _accept(
    settings: Settings, clock: Clock, partitions: list[int], order: Order | None, *, as_json: bool
) -> None:
    from services.notifier.watch.recovery import positions

    async with opened(settings, "notifier") as database:
        with refusals():
            found = await positions.accept(database, clock, partitions, order)
    if as_json:
        print_json({"done": order is not None, "positions": found})
        return
    will = "is now read" if order is not None else "would be read"
    for each in found:
        print(
            f"{each.log}: partition {each.partition} {will} from its oldest record on, not from {each.was}."
        )
    if order is None:
        print(HOW)


def _shown(position: int) -> str:
    return "the oldest record" if position < 0 else str(position)
