"""What can be done at `/ops`: each act first says what it would do, and is done with a reason.

The page of an act is a read; its form asks for the very same act again, with the reason, and changes something.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from services.clock import Clock
from services.database import Database
from services.notifier.watch import actions
from services.notifier.watch.recovery import resend as resending
from services.notifier.watch.recovery.skip import Skipped, skip
from services.notifier.watch.recovery.trail import Order, RecoveryRefusedError
from services.notifier.watch.recovery.wanted import Found, Wanted, find


@dataclass(frozen=True, slots=True)
class Asked:
    """An act as a link or a form names it; the values are still text."""

    database: Database
    clock: Clock
    subscription: str | None
    given: Mapping[str, str]

    def number(self, name: str) -> int | None:
        """Return an event number.

        Raises:
            RecoveryRefusedError: it is none.
        """
        text = self.given.get(name, "").strip()
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise RecoveryRefusedError(f"{text} is no event number.")
        return int(text)

    def time(self, name: str) -> datetime:
        """Return a point in time; UTC unless it names a zone.

        Raises:
            RecoveryRefusedError: it is none.
        """
        text = self.given.get(name, "").strip()
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise RecoveryRefusedError(f"{text or 'Nothing'} is no time: 2026-03-01T12:00 is one.") from None
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What an act would do."""

    says: str
    does: bool = True
    """There is something to do."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What the form has to say for it to be this very act."""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that can be done."""

    title: str
    foresee: Callable[[Asked], Awaitable[Foreseen]]
    """Say what would be done; raises RecoveryRefusedError or RetryRefusedError when it cannot be."""
    perform: Callable[[Asked, Order], Awaitable[object]]
    done: str
    """What the page that follows says."""


async def _would_retry(asked: Asked) -> Foreseen:
    return Foreseen(await actions.would_retry(asked.database, asked.clock, asked.subscription or ""))


async def _retry(asked: Asked, order: Order) -> None:
    await actions.retry(
        asked.database, asked.clock, asked.subscription or "", actor=order.actor, reason=order.reason
    )


async def _would_skip(asked: Asked) -> Foreseen:
    found = await skip(
        asked.database, asked.clock, asked.subscription or "", None, through=asked.number("through")
    )
    # The number is named, so that nothing else is skipped if the lane has moved on meanwhile.
    return Foreseen(_would_be_skipped(found), fields={"through": str(found.last)})


def _would_be_skipped(found: Skipped) -> str:
    what = (
        f"Number {found.first}"
        if found.first == found.last
        else f"Numbers {found.first} to {found.last}, {found.last - found.first + 1} in all,"
    )
    failed = f" Last failure: {found.failure}." if found.failure else ""
    waits = (
        " It is being sent right now: the lane goes on when that lease has run out." if found.sending else ""
    )
    return f"{what} would be given up; {found.owed} would still be owed.{failed}{waits}"


async def _skip(asked: Asked, order: Order) -> None:
    await skip(asked.database, asked.clock, asked.subscription or "", order, through=asked.number("through"))


def _numbers(asked: Asked) -> Wanted:
    first, last = asked.number("first"), asked.number("last")
    if first is None:
        raise RecoveryRefusedError("Say from which number on.")
    return Wanted(subscription=asked.subscription, first=first, last=last)


async def _would_resend(asked: Asked) -> Foreseen:
    wanted = _numbers(asked)
    fields = {name: asked.given[name] for name in ("first", "last") if name in asked.given}
    return _would_be_sent(await find(asked.database, wanted), fields)


async def _resend(asked: Asked, order: Order) -> None:
    await _send_again(asked, _numbers(asked), order)


def _since(asked: Asked) -> Wanted:
    subscription = asked.subscription or asked.given.get("subscription") or None
    since = asked.time("since")
    if "delivered" in asked.given:
        return Wanted(subscription=subscription, since=since)
    return Wanted(subscription=subscription, since=since, state="given_up")


async def _would_recover(asked: Asked) -> Foreseen:
    wanted = _since(asked)
    fields = {
        name: asked.given[name] for name in ("since", "subscription", "delivered") if name in asked.given
    }
    return _would_be_sent(await find(asked.database, wanted), fields)


async def _recover(asked: Asked, order: Order) -> None:
    await _send_again(asked, _since(asked), order)


def _would_be_sent(found: Found, fields: Mapping[str, str]) -> Foreseen:
    left = "".join(
        f" {count} {why}."
        for count, why in (
            (found.owed, "still owed go by themselves"),
            (found.off, "of Subscriptions that are off are left alone"),
        )
        if count
    )
    if not found.count:
        return Foreseen(f"Nothing that was delivered or given up is like that.{left}", does=False)
    lanes = len(found.numbers)
    what = f"{found.count} of {lanes} Subscription{'' if lanes == 1 else 's'} would be sent again"
    return Foreseen(f"{what}, under their own numbers, one by one after what is owed.{left}", fields=fields)


async def _send_again(asked: Asked, wanted: Wanted, order: Order) -> None:
    found = await find(asked.database, wanted)
    if not found.count:
        raise RecoveryRefusedError("There is nothing to send again any more.")
    await resending.resend(asked.database, asked.clock, found, order)


ACTS: Final[Mapping[str, Act]] = MappingProxyType(
    {
        "retry": Act("Try now", _would_retry, _retry, "It is due now; the next try appears below."),
        "skip": Act("Skip the head", _would_skip, _skip, "It is given up; what stands behind it goes on."),
        "resend": Act("Send again", _would_resend, _resend, "It will be sent again after what is owed."),
        "recover": Act(
            "Recover since",
            _would_recover,
            _recover,
            "What was not taken since then will be sent again after what is owed.",
        ),
    }
)
"""By the last part of their address."""
