"""What the commands that act share: a reason, a `--yes`, points in time, and who is asking."""

from __future__ import annotations

import contextlib
import getpass
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from schemas import dates
from services.cli.errors import CommandError

if TYPE_CHECKING:
    from services.notifier.watch.recovery.trail import Order

Yes = Annotated[bool, typer.Option("--yes", help="Do it. Without it, only say what would be done.")]
Reason = Annotated[
    str | None, typer.Option(help="Why; kept in the audit trail. Needed with --yes.", show_default=False)
]

TIME_HELP = "A date or time (UTC unless it names a zone), or how long ago: 90min, 2h, 3d."

HOW = "Add --yes and --reason to do it."

_AGO = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>s|min|h|d)")
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def actor() -> str:
    """Return who is asking, as the audit trail names them."""
    return f"cli:{getpass.getuser()}"


def why(reason: str | None) -> str:
    """Return the reason of an act that is to be done.

    Raises:
        CommandError: there is none.
    """
    if reason is None or not reason.strip():
        raise CommandError("Say why with --reason: it is kept in the audit trail.")
    return reason.strip()


def order(reason: str | None, *, yes: bool) -> Order | None:
    """Return the order to act, `None` when only what would be done is asked for.

    Raises:
        CommandError: it is to be done, and nobody says why.
    """
    from services.notifier.watch.recovery.trail import Order

    return Order(actor(), why(reason)) if yes else None


def time(text: str | None, option: str, now: datetime) -> datetime | None:
    """Return the moment an option names; the first one of a date.

    Raises:
        CommandError: it is neither a date nor an age.
    """
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return now - timedelta(seconds=int(ago["count"]) * _UNITS[ago["unit"]])
    try:
        return dates.moment(dates.bounds(text)[0])
    except ValueError as wrong:
        raise CommandError(f"{option}: {wrong}, or an age such as 90min, 2h or 3d.") from None


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn an act that is refused into a sentence for the user."""
    from services.notifier.watch.recovery.trail import RecoveryRefusedError

    try:
        yield
    except RecoveryRefusedError as refused:
        raise CommandError(str(refused)) from None


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: `1 event`, `2 events`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
