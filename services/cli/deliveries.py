"""`vbpr deliveries`: what was delivered, what was not and why; and what to do about it."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.errors import CommandError
from services.cli.recovery import dead_letters, replay
from services.cli.recovery.skip import skip
from services.cli.settings_options import load
from services.cli.watching import AsJson, DataDir, console, moment, opened, print_json, table
from services.clock import Clock, SystemClock
from services.event_loop import run_until_complete

if TYPE_CHECKING:
    from services.notifier.watch.insights.deliveries import Wanted
    from services.notifier.watch.insights.views import DeliveryStory, DeliveryView
    from services.settings import Settings

app = typer.Typer(
    name="deliveries",
    help="See every delivery, retry and failure; retry, skip and send again. Works whether or not the notifier runs.",
    no_args_is_help=True,
)


class State(StrEnum):
    """Values of `--state`."""

    OWED = "owed"
    RETRYING = "retrying"
    PARKED = "parked"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    SKIPPED = "skipped"


class Order(StrEnum):
    """Values of `--order`."""

    NEWEST = "newest"
    LANE = "lane"


@app.command(name="list")
def list_deliveries(
    subscription: Annotated[str | None, typer.Option(help="Only those of this Subscription's id.")] = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    contract: Annotated[str | None, typer.Option(help="Only reports of this contract.")] = None,
    order: Annotated[
        Order, typer.Option(help="Newest report first, or as each lane sends them.")
    ] = Order.NEWEST,
    limit: Annotated[int, typer.Option(help="Most rows.", min=1, max=100_000)] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List deliveries: one row a subscription and event number, with why the last try failed and when the next is.

    Example: `vbpr deliveries list --state retrying`
    """
    from services.notifier.watch.insights.deliveries import Wanted
    from services.notifier.watch.insights.views import DeliveryState

    wanted = Wanted(
        subscription=subscription,
        state=None if state is None else DeliveryState(state.value),
        contract=contract,
        order="newest" if order is Order.NEWEST else "lane",
        at_most=limit,
    )
    run_until_complete(_list(load(data_dir=data_dir), SystemClock(), wanted, as_json=as_json))


@app.command()
def show(
    what: Annotated[str, typer.Argument(metavar="SUBSCRIPTION|REPORT", help="Id of either.")],
    number: Annotated[
        int | None, typer.Argument(help="Event number; with it, the first is a Subscription.", min=1)
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show everything that happened to one delivery, or to every version of one report.

    Example: `vbpr deliveries show 0198f2c4-… 17`
    """
    run_until_complete(_show(load(data_dir=data_dir), SystemClock(), what, number, as_json=as_json))


@app.command()
def retry(
    subscription: Annotated[str, typer.Argument(help="Id of the Subscription.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit trail.", prompt="Why retry now?")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Have what a Subscription is owed tried now instead of when it is due.

    The same notification goes out under the same number; if it fails, the schedule goes on where it was.

    Example: `vbpr deliveries retry 0198f2c4-… --reason "the clinic fixed its certificate"`
    """
    run_until_complete(_retry(load(data_dir=data_dir), SystemClock(), subscription, reason, as_json=as_json))


app.command()(skip)
app.command()(replay.resend)
app.command()(replay.resends)
app.command(name="cancel-resends")(replay.cancel_resends)
app.add_typer(dead_letters.app)


async def _list(settings: Settings, clock: Clock, wanted: Wanted, *, as_json: bool) -> None:
    from services.notifier.watch.insights import deliveries, subscriptions

    async with opened(settings, "notifier") as database:
        found = await deliveries.deliveries(database, wanted)
        now = await subscriptions.now(database, clock)
    if as_json:
        print_json(found)
    elif found:
        console().print(_table(found, now))
    else:
        print("No delivery is like that: `vbpr status` shows what there is.")


async def _show(settings: Settings, clock: Clock, what: str, number: int | None, *, as_json: bool) -> None:
    from services.notifier.watch.insights import deliveries, reports, subscriptions

    async with opened(settings, "notifier") as database:
        now = await subscriptions.now(database, clock)
        if number is None:
            trails = await reports.by_report(database, what)
            if not trails:
                raise CommandError(
                    f"No report {what} has come: give a report's id, or a Subscription's id and a number."
                )
            keys = [(each.subscription, each.number) for trail in trails for each in trail.deliveries]
        else:
            trails, keys = [], [(what, number)]
        stories = [await deliveries.delivery(database, *key) for key in keys]
    told = [story for story in stories if story is not None]
    if number is not None and not told:
        raise CommandError(f"Subscription/{what} has no number {number}.")
    if as_json:
        print_json(told[0] if number is not None else {"versions": trails, "deliveries": told})
        return
    for trail in trails:
        if not trail.deliveries:
            print(f"{trail.event.report} version {trail.event.version}: no subscription matched it")
    for story in told:
        console().print(*_story(story, now), sep="\n")


async def _retry(settings: Settings, clock: Clock, subscription: str, reason: str, *, as_json: bool) -> None:
    from services.notifier.watch import actions

    async with opened(settings, "notifier") as database:
        try:
            said = await actions.retry(
                database, clock, subscription, actor=f"cli:{getpass.getuser()}", reason=reason
            )
        except actions.RetryRefusedError as refusal:
            raise CommandError(str(refusal)) from None
    if as_json:
        print_json({"subscription": subscription, "said": said})
    else:
        print(said)


def _kind(event_type: str) -> str:
    return event_type.removeprefix("org.vbpr.report.").removesuffix(".v1")


def _table(found: Sequence[DeliveryView], now: Any) -> Any:
    columns = ("subscription", "#number", "state", "event", "report", "contract", "#tries", "last tried",
               "last failure", "next")  # fmt: skip
    return table(
        columns,
        [
            (each.subscription, each.number, each.state.value, _kind(each.event_type),
             f"{each.report}/_history/{each.version}", each.contract, each.tries, moment(each.last_tried, now),
             each.last_failure, moment(each.next_due, now))
            for each in found
        ],
    )  # fmt: skip


def _story(story: DeliveryStory, now: Any) -> tuple[Any, ...]:
    each, event = story.delivery, story.event
    facts = (
        ("subscription", each.subscription), ("number", each.number), ("state", each.state.value),
        ("report", f"{each.report}/_history/{each.version} ({_kind(each.event_type)})"),
        ("contract", each.contract), ("event", event.event_id), ("accepted", moment(event.accepted, now)),
        ("taken in", f"{moment(event.consumed, now)}, partition {event.partition}, position {event.position}"),
        ("last failure", each.last_failure), ("next", moment(each.next_due, now)),
    )  # fmt: skip
    if not story.attempts:
        return table(("", ""), facts), "not tried yet", ""
    tries = [
        (moment(tried.at, now), tried.outcome, tried.said, f"{tried.milliseconds} ms", tried.webhook_id)
        for tried in story.attempts
    ]
    return table(("", ""), facts), "", table(("tried", "outcome", "answer", "#took", "webhook-id"), tries), ""
