"""`vbpr status`: what was accepted, what is owed, to whom, since when, and where one contract's reports are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.settings_options import load
from services.cli.watching import AsJson, DataDir, console, moment, opened, print_json, table
from services.clock import Clock, SystemClock
from services.event_loop import run_until_complete

if TYPE_CHECKING:
    from services.notifier.watch.insights.views import Overview, ReportTrail, SubscriptionView
    from services.publisher.watch import EmittedVersion, Intake
    from services.settings import Settings


def status(
    contract: Annotated[
        str, typer.Option(help="Ask where the reports of this contract are; a part of its URL will do.")
    ] = "",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what was accepted, what is owed to whom and since when, why the last try failed and when the next is.

    Reads the databases of both services, so it answers whether or not they run.

    Example: `vbpr status --contract medicare-advantage`
    """
    settings = load(data_dir=data_dir)
    work = _contract(settings, SystemClock(), contract, as_json=as_json) if contract else None
    run_until_complete(work or _status(settings, SystemClock(), as_json=as_json))


async def _status(settings: Settings, clock: Clock, *, as_json: bool) -> None:
    from services.notifier.watch.insights import intake as log
    from services.notifier.watch.insights import subscriptions
    from services.publisher import watch

    async with opened(settings, "publisher") as publisher, opened(settings, "notifier") as notifier:
        # In the order of the path: what is counted further on was accepted before.
        consumed = await log.consumed(notifier)
        positions = await log.positions(notifier)
        overview = await subscriptions.overview(notifier, clock)
        taken = await watch.intake(publisher, clock)
    if as_json:
        print_json(_as_json(taken, consumed, overview) | {"log": positions})
    else:
        _show(taken, consumed, overview)


def _as_json(taken: Intake, consumed: int, overview: Overview) -> dict[str, Any]:
    return {
        "as_of": overview.as_of,
        "reports": {"accepted": taken.reports, "waiting": taken.waiting},
        "events": {"accepted": taken.events, "emitted": taken.emitted, "consumed": consumed},
        "outbox": {"pending": taken.pending, "oldest_age_seconds": taken.oldest_age_seconds},
        "totals": overview.totals,
        "subscriptions": overview.subscriptions,
    }


def _show(taken: Intake, consumed: int, overview: Overview) -> None:
    from services.notifier.watch import words

    out, totals = console(), overview.totals
    waits = f", {taken.waiting} waiting for their performance report" if taken.waiting else ""
    out.print(f"reports   {taken.reports} accepted{waits}")
    pending = (
        f", {taken.pending} in the outbox, the oldest for {words.duration(taken.oldest_age_seconds)}"
        if taken.pending
        else ""
    )
    out.print(
        f"events    {taken.events} accepted, {taken.emitted} emitted, {consumed} taken in by the notifier{pending}"
    )
    skipped = f", {totals.skipped} skipped as superseded" if totals.skipped else ""
    out.print(
        f"owed      {totals.owed} of {totals.events} notifications; {totals.delivered} delivered, "
        f"{totals.given_up} given up{skipped}; {totals.failing} of {totals.subscriptions} subscriptions failing"
    )
    if totals.dead_letters:
        out.print(
            f"unread    {totals.dead_letters} records of the log could not be read: see `vbpr deliveries dead-letters list`"
        )
    out.print()
    if not overview.subscriptions:
        out.print("Nobody has subscribed yet: POST a Subscription to /fhir/Subscription.")
        return
    out.print(_subscriptions(overview))


def _subscriptions(overview: Overview) -> Any:
    from services.notifier.watch import words

    now = overview.as_of

    def row(view: SubscriptionView) -> Sequence[object]:
        return (
            view.id, view.kind, view.status, view.endpoint, view.events, view.owed, view.delivered, view.given_up,
            view.skipped,
            moment(view.oldest_owed_since, now), view.last_failure, words.doing(view, now),
        )  # fmt: skip

    columns = ("subscription", "kind", "status", "endpoint", "#events", "#owed", "#delivered", "#given up",
               "#skipped", "oldest owed since", "last failure", "next")  # fmt: skip
    return table(columns, [row(view) for view in overview.subscriptions])


async def _contract(settings: Settings, clock: Clock, sought: str, *, as_json: bool) -> None:
    from services.notifier.watch.insights import reports, subscriptions
    from services.publisher import watch

    async with opened(settings, "publisher") as publisher, opened(settings, "notifier") as notifier:
        trails, candidates = await reports.search(notifier, sought)
        contract = trails[0].event.contract if trails else sought
        sent = [] if candidates else await watch.of_contract(publisher, contract)
        now = await subscriptions.now(notifier, clock)
    known = {trail.event.event_id for trail in trails}
    coming = [version for version in sent if version.event_id not in known]
    if as_json:
        print_json({"contracts": candidates or [contract], "not_taken_in": coming, "versions": trails})
        return
    out = console()
    if candidates:
        out.print(table([f'contracts with "{sought}" in them'], [[each] for each in candidates]))
        return
    if not trails and not coming:
        out.print(f"No report of {sought} was accepted: publish it with `vbpr publish FILE`.", markup=False)
        return
    out.print(f"contract  {contract}\n", markup=False)
    if coming:
        out.print(_coming(coming, now))
    for trail in trails:
        out.print(*_trail(trail, now), sep="\n")


def _coming(coming: Sequence[EmittedVersion], now: Any) -> Any:
    rows = [
        (
            each.report, each.version, moment(each.accepted, now),
            "waits in the outbox" if each.position is None else f"in the log at {each.partition}/{each.position}",
        )
        for each in coming
    ]  # fmt: skip
    return table(("report", "#version", "accepted", "where"), rows, title="not taken in by the notifier")


def _trail(trail: ReportTrail, now: Any) -> tuple[Any, ...]:
    event = trail.event
    kind = event.event_type.removeprefix("org.vbpr.report.").removesuffix(".v1")
    title = (
        f"{event.report} version {event.version}, {kind}: accepted {moment(event.accepted, now)}, "
        f"taken in {moment(event.consumed, now)}, event {event.event_id}"
    )
    if not trail.deliveries:
        return (f"{title}\n  no subscription matched it\n",)
    rows = [
        (f"  {each.subscription}", each.number, each.state.value, each.tries, moment(each.last_tried, now),
         each.last_failure, moment(each.next_due, now))
        for each in trail.deliveries
    ]  # fmt: skip
    columns = ("  subscription", "#number", "state", "#tries", "last tried", "last failure", "next")
    return title, table(columns, rows), ""
