"""`vbpr deliveries dead-letters`: records of the log that were no event."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.recovery.acting import HOW, Reason, Yes, counted, order, refusals
from services.cli.settings_options import load
from services.cli.watching import AsJson, DataDir, console, moment, opened, print_json, table
from services.clock import Clock, SystemClock
from services.event_loop import run_until_complete

if TYPE_CHECKING:
    from services.notifier.watch.recovery.dead_letters import Place
    from services.notifier.watch.recovery.trail import Order
    from services.settings import Settings

app = typer.Typer(
    name="dead-letters",
    help="Records of the event log that were no event: see why, take one in after a fix, or discard it.",
    no_args_is_help=True,
)

Partition = Annotated[int, typer.Argument(help="Partition of the log.", min=0)]
Position = Annotated[int, typer.Argument(help="Position in the partition.", min=0)]
LogName = Annotated[str | None, typer.Option("--log", help="Name of the log, when several have one there.")]


@app.command(name="list")
def list_dead_letters(
    limit: Annotated[int, typer.Option(help="Most rows.", min=1, max=100_000)] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List them, newest first, with why each could not be read.

    Example: `vbpr deliveries dead-letters list`
    """
    run_until_complete(_list(load(data_dir=data_dir), SystemClock(), limit, as_json=as_json))


@app.command()
def show(
    partition: Partition,
    position: Position,
    log: LogName = None,
    value: Annotated[
        bool, typer.Option("--value", help="The record's value too: it may be a report about persons.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show one with its headers, and its value if asked for.

    Example: `vbpr deliveries dead-letters show 0 1719`
    """
    run_until_complete(
        _show(
            load(data_dir=data_dir),
            SystemClock(),
            _place(partition, position, log),
            value=value,
            as_json=as_json,
        )
    )


@app.command()
def redrive(
    partition: Partition,
    position: Position,
    log: LogName = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Read one again, and take it in as if it had just come: matched, numbered and owed.

    For after a fix; run it with the settings of the notifier, VBPR_BASE_URL above all. Without --yes it
    only says whether it can be read now.

    Example: `vbpr deliveries dead-letters redrive 0 1719 --reason "read by 1.2" --yes`
    """
    run_until_complete(
        _redrive(
            load(data_dir=data_dir),
            SystemClock(),
            _place(partition, position, log),
            order(reason, yes=yes),
            as_json=as_json,
        )
    )


@app.command()
def discard(
    partition: Partition,
    position: Position,
    log: LogName = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Remove one for good. Without --yes it only says which one it is.

    Example: `vbpr deliveries dead-letters discard 0 1719 --reason "somebody's test" --yes`
    """
    run_until_complete(
        _discard(
            load(data_dir=data_dir),
            SystemClock(),
            _place(partition, position, log),
            order(reason, yes=yes),
            as_json=as_json,
        )
    )


def _place(partition: int, position: int, log: str | None) -> Place:
    from services.notifier.watch.recovery.dead_letters import Place

    return Place(partition, position, log)


async def _list(settings: Settings, clock: Clock, limit: int, *, as_json: bool) -> None:
    from services.notifier.watch.insights import intake, subscriptions

    async with opened(settings, "notifier") as database:
        found = await intake.dead_letters(database, limit)
        now = await subscriptions.now(database, clock)
    if as_json:
        print_json(found)
    elif not found:
        print("Every record of the log could be read.")
    else:
        columns = ("log", "#partition", "#position", "since", "#bytes", "why")
        console().print(
            table(
                columns,
                [
                    (each.log, each.partition, each.position, moment(each.at, now), each.size, each.reason)
                    for each in found
                ],
            )
        )


async def _show(settings: Settings, clock: Clock, place: Place, *, value: bool, as_json: bool) -> None:
    from services.notifier.watch.insights import subscriptions
    from services.notifier.watch.recovery import dead_letters

    with refusals():
        async with opened(settings, "notifier") as database:
            found = await dead_letters.show(database, place)
            now = await subscriptions.now(database, clock)
    letter = found.letter
    body = found.value if value else None
    if as_json:
        shown = {"value_base64": None if body is None else base64.b64encode(body).decode()} if value else {}
        print_json({"letter": letter, "headers": found.headers, **shown})
        return
    facts = [
        ("log", letter.log), ("partition", letter.partition), ("position", letter.position),
        ("since", moment(letter.at, now)), ("why", letter.reason), ("bytes", letter.size), *found.headers,
    ]  # fmt: skip
    console().print(table(("", ""), facts))
    if body is not None:
        console().print(table(("",), [(body.decode("utf-8", "replace"),)]))


async def _redrive(
    settings: Settings, clock: Clock, place: Place, given: Order | None, *, as_json: bool
) -> None:
    from services.notifier.watch.recovery import dead_letters

    with refusals():
        async with opened(settings, "notifier") as database:
            done = await dead_letters.redrive(database, clock, place, given, base_url=settings.fhir_base)
    if as_json:
        print_json({"done": given is not None, "taken_in": done})
    elif done is None:
        print(f"It can be read now, and would be taken in. {HOW}")
    elif done.repeated:
        print(
            f"{done.report} had come some other way (event {done.event_id}): the dead letter is gone, nothing is owed anew."
        )
    else:
        print(f"{done.report} is taken in: {counted(done.notifications, 'notification')} owed for it.")


async def _discard(
    settings: Settings, clock: Clock, place: Place, given: Order | None, *, as_json: bool
) -> None:
    from services.notifier.watch.recovery import dead_letters

    with refusals():
        async with opened(settings, "notifier") as database:
            found = await dead_letters.discard(database, clock, place, given)
    what = f"{found.log}, partition {found.partition}, position {found.position} ({found.reason})"
    if as_json:
        print_json({"done": given is not None, "letter": found})
    elif given is None:
        print(f"Would be removed for good: {what}. {HOW}")
    else:
        print(f"Removed for good: {what}.")
