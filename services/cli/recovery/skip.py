"""`vbpr deliveries skip`: the head of a lane given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.recovery.acting import HOW, Reason, Yes, order, refusals
from services.cli.settings_options import load
from services.cli.watching import AsJson, DataDir, opened, print_json
from services.clock import Clock, SystemClock
from services.event_loop import run_until_complete

if TYPE_CHECKING:
    from services.notifier.watch.recovery.skip import Skipped
    from services.notifier.watch.recovery.trail import Order
    from services.settings import Settings


def skip(
    subscription: Annotated[str, typer.Argument(help="Id of the Subscription.")],
    through: Annotated[
        int | None, typer.Option(help="Give up everything owed up to this number.", min=1)
    ] = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Give up the notification at the head of a lane, so that the rest goes on.

    It can be sent again later with `vbpr deliveries resend`. Without --yes it only says which one it is.

    Example: `vbpr deliveries skip 0198f2c4-… --reason "they cannot take this report" --yes`
    """
    run_until_complete(
        _skip(
            load(data_dir=data_dir),
            SystemClock(),
            subscription,
            through,
            order(reason, yes=yes),
            as_json=as_json,
        )
    )


async def _skip(
    settings: Settings,
    clock: Clock,
    subscription: str,
    through: int | None,
    given: Order | None,
    *,
    as_json: bool,
) -> None:
    from services.notifier.watch.recovery import skip as skipping

    with refusals():
        async with opened(settings, "notifier") as database:
            skipped = await skipping.skip(database, clock, subscription, given, through=through)
    if as_json:
        print_json({"done": given is not None, "skipped": skipped})
    else:
        print(_said(skipped, done=given is not None))


def _said(skipped: Skipped, *, done: bool) -> str:
    one = skipped.first == skipped.last
    what = f"number {skipped.first}" if one else f"numbers {skipped.first} to {skipped.last}"
    failed = f" (last failure: {skipped.failure})" if skipped.failure else ""
    waits = (
        " It is being sent right now, so the lane goes on when that lease has run out."
        if skipped.sending
        else ""
    )
    if done:
        return f"Given up: {what} of Subscription/{skipped.subscription}; {skipped.owed} still owed.{waits}"
    return (
        f"Would be given up: {what} of Subscription/{skipped.subscription}{failed}; {skipped.owed} would still be "
        f"owed.{waits} {HOW}"
    )
