"""`vbpr emit`: events of the publisher emitted again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.errors import CommandError
from services.cli.recovery.acting import HOW, TIME_HELP, Reason, Yes, actor, counted, time, why
from services.cli.settings_options import load
from services.cli.watching import AsJson, DataDir, opened, print_json
from services.clock import Clock, SystemClock
from services.event_loop import run_until_complete

if TYPE_CHECKING:
    from services.publisher.emit.again import Found, Wanted
    from services.settings import Settings


def emit(
    first: Annotated[int | None, typer.Option("--from", help="Lowest number in the outbox.", min=1)] = None,
    last: Annotated[int | None, typer.Option("--to", help="Highest number in the outbox.", min=1)] = None,
    contract: Annotated[str | None, typer.Option(help="Only reports of this contract.")] = None,
    report: Annotated[str | None, typer.Option(help="Only versions of this report's id.")] = None,
    since: Annotated[str | None, typer.Option(help=f"Accepted from then on. {TIME_HELP}")] = None,
    until: Annotated[str | None, typer.Option(help="Accepted before then.")] = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Emit events again that the publisher has emitted before, under the ids they had.

    For a notifier that lost its database or a log that lost records: notifiers drop what they have. They go out
    behind what is new. To send notifications again, use `vbpr deliveries resend`. Without --yes it only counts.

    Example: `vbpr emit --since 2026-11-20 --reason "the topic was made anew" --yes`
    """
    from services.publisher.emit.again import Wanted

    clock = SystemClock()
    wanted = Wanted(
        contract=contract,
        report=report,
        first=first,
        last=last,
        since=time(since, "--since", clock.now()),
        until=time(until, "--until", clock.now()),
    )
    if wanted == Wanted():
        raise CommandError("Say which: a range of numbers, a contract, a report or a time.")
    given = why(reason) if yes else None
    run_until_complete(_emit(load(data_dir=data_dir), clock, wanted, given, as_json=as_json))


async def _emit(
    settings: Settings, clock: Clock, wanted: Wanted, reason: str | None, *, as_json: bool
) -> None:
    from services.publisher.emit import again

    async with opened(settings, "publisher") as database:
        if reason is None:
            found = await again.find(database, wanted)
        else:
            found = await again.emit_again(database, clock, wanted, actor=actor(), reason=reason)
        waiting = await again.waiting(database)
    if as_json:
        print_json({"done": reason is not None, "found": found, "waiting": waiting})
    else:
        print(_said(found, waiting, done=reason is not None))


def _said(found: Found, waiting: int, *, done: bool) -> str:
    if not found.count:
        return "No event that was emitted is like that."
    what = f"{counted(found.count, 'event')}, numbers {found.first} to {found.last}"
    accepted = f"accepted {found.oldest:%Y-%m-%d %H:%M} to {found.newest:%Y-%m-%d %H:%M} UTC"
    if done:
        return f"To be emitted again: {what}, {accepted}; {waiting} wait, and go when nothing new does."
    return f"Would be emitted again: {what}, {accepted}. {HOW}"
