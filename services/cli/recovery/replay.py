"""`vbpr deliveries resend`, `resends`, `cancel-resends` and `vbpr recover`: settled notifications sent again."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.errors import CommandError
from services.cli.recovery.acting import HOW, TIME_HELP, Reason, Yes, counted, order, refusals, time
from services.cli.settings_options import load
from services.cli.watching import AsJson, DataDir, console, moment, opened, print_json, table
from services.clock import Clock, SystemClock
from services.event_loop import run_until_complete

if TYPE_CHECKING:
    from services.notifier.watch.recovery.trail import Order
    from services.notifier.watch.recovery.wanted import Found, Wanted
    from services.settings import Settings


class Settled(StrEnum):
    """Values of `--state`."""

    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


def resend(
    subscription: Annotated[
        str | None, typer.Argument(help="Id of the Subscription; all if not given.")
    ] = None,
    number: Annotated[int | None, typer.Argument(help="Event number: this one alone.", min=1)] = None,
    first: Annotated[int | None, typer.Option("--from", help="Lowest event number.", min=1)] = None,
    last: Annotated[int | None, typer.Option("--to", help="Highest event number.", min=1)] = None,
    contract: Annotated[str | None, typer.Option(help="Only reports of this contract.")] = None,
    period: Annotated[
        str | None,
        typer.Option(help="Only reports on this period, as a FHIR search says it: 2026, ge2026-04-01."),
    ] = None,
    since: Annotated[str | None, typer.Option(help=f"Settled from then on. {TIME_HELP}")] = None,
    until: Annotated[str | None, typer.Option(help="Settled before then.")] = None,
    state: Annotated[
        Settled | None, typer.Option(help="Only those delivered, or only those given up.")
    ] = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Send notifications again that were delivered or given up, under the numbers they had.

    They go out one by one after what is owed; the lane's order and numbers stay as they are. Without --yes
    it only counts.

    Example: `vbpr deliveries resend 0198f2c4-… --from 17 --to 40 --reason "their database was restored" --yes`
    """
    from services.notifier.watch.recovery.wanted import Wanted

    clock = SystemClock()
    if number is not None:
        if first is not None or last is not None:
            raise CommandError("Give one number, or a range with --from and --to.")
        first = last = number
    wanted = Wanted(
        subscription=subscription,
        first=first,
        last=last,
        contract=contract,
        period=period,
        since=time(since, "--since", clock.now()),
        until=time(until, "--until", clock.now()),
        state=None if state is None else state.value,
    )
    if wanted == Wanted():
        raise CommandError("Say which: a Subscription, a number, a contract, a period, a time or a state.")
    run_until_complete(
        _replay(load(data_dir=data_dir), clock, wanted, order(reason, yes=yes), as_json=as_json)
    )


def recover(
    since: Annotated[str, typer.Option(help=f"Given up from then on. {TIME_HELP}")],
    subscription: Annotated[
        str | None, typer.Option(help="Id of one Subscription; all if not given.")
    ] = None,
    delivered: Annotated[
        bool, typer.Option("--delivered", help="What was delivered since, too: the receiver lost it.")
    ] = False,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Send again everything that was given up since a point in time, and if asked what was delivered.

    What is still owed goes by itself and is left alone. Without --yes it only counts.

    Example: `vbpr recover --since 2026-11-20T14:00Z --reason "their gateway refused everything" --yes`
    """
    from services.notifier.watch.recovery.wanted import Wanted

    clock = SystemClock()
    wanted = Wanted(
        subscription=subscription,
        since=time(since, "--since", clock.now()),
        state=None if delivered else "given_up",
    )
    run_until_complete(
        _replay(load(data_dir=data_dir), clock, wanted, order(reason, yes=yes), as_json=as_json)
    )


def resends(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List what is still to be sent again, by Subscription.

    Example: `vbpr deliveries resends`
    """
    run_until_complete(_pending(load(data_dir=data_dir), SystemClock(), as_json=as_json))


def cancel_resends(
    subscription: Annotated[
        str | None, typer.Argument(help="Id of the Subscription; all if not given.")
    ] = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Take back what is still to be sent again. Nothing that is owed is touched.

    Example: `vbpr deliveries cancel-resends 0198f2c4-… --reason "asked for the wrong range" --yes`
    """
    run_until_complete(
        _cancel(load(data_dir=data_dir), SystemClock(), subscription, order(reason, yes=yes), as_json=as_json)
    )


async def _replay(
    settings: Settings, clock: Clock, wanted: Wanted, given: Order | None, *, as_json: bool
) -> None:
    from services.notifier.watch.recovery import resend as resending
    from services.notifier.watch.recovery.wanted import find

    with refusals():
        async with opened(settings, "notifier") as database:
            found = await find(database, wanted)
            if given is not None:
                await resending.resend(database, clock, found, given)
    if as_json:
        print_json(
            {
                "done": given is not None, "count": found.count, "owed": found.owed, "off": found.off,
                "numbers": found.numbers,
            }
        )  # fmt: skip
    else:
        print(_said(found, done=given is not None))


def _said(found: Found, *, done: bool) -> str:
    passed = []
    if found.owed:
        passed.append(f"{counted(found.owed, 'notification')} still owed, which go by themselves")
    if found.off:
        passed.append(
            f"{counted(found.off, 'notification')} of Subscriptions that are off, which are sent nothing"
        )
    left = f" Left alone: {'; '.join(passed)}." if passed else ""
    if not found.count:
        return f"Nothing that was delivered or given up is like that.{left}"
    what = f"{counted(found.count, 'notification')} of {counted(len(found.numbers), 'Subscription')}"
    if done:
        return (
            f"To be sent again: {what}, one by one after what is owed: see `vbpr deliveries resends`.{left}"
        )
    return f"Would be sent again: {what}.{left} {HOW}"


async def _pending(settings: Settings, clock: Clock, *, as_json: bool) -> None:
    from services.notifier.watch.insights import subscriptions
    from services.notifier.watch.recovery import resend as resending

    async with opened(settings, "notifier") as database:
        found = await resending.pending(database)
        now = await subscriptions.now(database, clock)
    if as_json:
        print_json(found)
    elif not found:
        print("Nothing is to be sent again.")
    else:
        columns = ("subscription", "#numbers", "#from", "#to", "#tries", "asked for", "next")
        rows = [
            (each.subscription, each.numbers, each.first, each.last, each.tries, moment(each.requested, now),
             "waits for its client" if each.next_due is None else moment(each.next_due, now))
            for each in found
        ]  # fmt: skip
        console().print(table(columns, rows))


async def _cancel(
    settings: Settings, clock: Clock, subscription: str | None, given: Order | None, *, as_json: bool
) -> None:
    from services.notifier.watch.recovery import resend as resending

    async with opened(settings, "notifier") as database:
        if given is None:
            waiting = await resending.pending(database)
            count = sum(each.numbers for each in waiting if subscription in {None, each.subscription})
        else:
            count = await resending.cancel(database, clock, subscription, given)
    if as_json:
        print_json({"done": given is not None, "count": count})
    elif given is None:
        print(f"Would no longer be sent again: {counted(count, 'notification')}. {HOW}")
    else:
        print(f"No longer to be sent again: {counted(count, 'notification')}.")
