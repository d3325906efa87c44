"""What does one answer mean? A value, decided without a clock: jitter and waits are numbers handed in.

A refusal concerns the message (400, 413, 415, 422): after a few tries that message alone is given up.
Everything else concerns the endpoint: the lane stops with everything still owed and tries its head again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from services.notifier.model import Answer, Failure, SubscriptionKind

MESSAGE_FAULTS = frozenset({400, 413, 415, 422})
GONE = 410


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again. All waits in seconds."""

    schedule: tuple[float, ...]
    """The wait after the first, second, … failed try of a lane's head."""
    refusal_tries: int = 3
    """Tries of one message that its endpoint refuses."""
    handshake: tuple[float, ...] = (1, 4, 10)
    """Waits between the tries of a handshake: at 0, 1, 5 and 15 s."""
    parked: float = 6 * 3600
    """How often the head of a parked classic lane is tried."""
    jitter: float = 0.1
    """Largest share of a wait that is added to it; never subtracted."""
    retry_after: float = 3600
    """Most that `Retry-After` may add to a scheduled wait."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The endpoint took it."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The lane waits `seconds`, then sends the same batch again."""

    seconds: float
    refused: bool
    """The message was refused, rather than the endpoint being at fault."""


@dataclass(frozen=True, slots=True)
class Split:
    """A batch was refused for good: its halves are tried on their own."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """One notification was refused for good: the lane moves on without it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Park:
    """The schedule ran out. `seconds` until the head is tried anyway; `None`: only the client goes on."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class SwitchOff:
    """The endpoint is gone for good (410); what is owed stays owed."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The websocket is gone: the lane waits for a client to bind again, with everything still owed."""

    refused: bool = False
    """Its client ended it because of the message."""


Verdict: TypeAlias = Delivered | RetryLater | Split | GiveUp | Park | SwitchOff | Disconnected


def judge(
    answer: Answer,
    *,
    kind: SubscriptionKind,
    size: int,
    retry: int,
    refusals: int,
    policy: RetryPolicy,
    jitter: float,
) -> Verdict:
    """Return what an answer means for a batch of `size` events.

    `retry` and `refusals` count the failed tries of this head before this one; `jitter` is in [0, 1).
    """
    if answer.delivered:
        return Delivered()
    if answer.status == GONE:
        return SwitchOff()
    if answer.failure is Failure.DISCONNECTED:
        return Disconnected()
    if answer.status in MESSAGE_FAULTS or answer.failure is Failure.REFUSED:
        return _refused(answer, size=size, refusals=refusals, policy=policy, jitter=jitter)
    if retry < len(policy.schedule):
        scheduled = policy.schedule[retry]
        return RetryLater(_wait(scheduled, answer.retry_after, policy, jitter), refused=False)
    return Park(policy.parked if kind == "classic" else None)


def judge_resend(
    answer: Answer, *, tries: int, retry: int, policy: RetryPolicy, jitter: float
) -> Delivered | RetryLater | GiveUp | Disconnected:
    """Return what an answer means for a number that is sent again.

    `tries` counts the failed tries of this resend, `retry` those of its lane's resends since one was taken. A
    resend never parks its lane or turns the subscription off: what is owed says that, when it is sent.
    """
    if answer.delivered:
        return Delivered()
    if answer.status == GONE:
        return GiveUp(f"sent again, and refused for good: {answer.said}")
    if answer.failure is Failure.DISCONNECTED:
        return Disconnected()
    refused = answer.status in MESSAGE_FAULTS or answer.failure is Failure.REFUSED
    if tries + 1 >= policy.refusal_tries if refused else tries >= len(policy.schedule):
        return GiveUp(f"sent again {tries + 1} times, and never taken: {answer.said}")
    scheduled = policy.schedule[min(retry, len(policy.schedule) - 1)]
    return RetryLater(_wait(scheduled, answer.retry_after, policy, jitter), refused=refused)


def judge_handshake(answer: Answer, *, tries: int, policy: RetryPolicy) -> Delivered | RetryLater | Park:
    """Return what an answer means for a handshake tried `tries` times before this one."""
    if answer.delivered:
        return Delivered()
    if tries < len(policy.handshake):
        return RetryLater(policy.handshake[tries], refused=False)
    return Park(None)


def judge_heartbeat(answer: Answer, *, period: float) -> Delivered | RetryLater | SwitchOff | Disconnected:
    """Return what an answer means for a heartbeat: another one follows after its period, unless the endpoint is gone."""
    if answer.delivered:
        return Delivered()
    if answer.failure in {Failure.DISCONNECTED, Failure.REFUSED}:
        return Disconnected()
    return SwitchOff() if answer.status == GONE else RetryLater(period, refused=False)


def _refused(answer: Answer, *, size: int, refusals: int, policy: RetryPolicy, jitter: float) -> Verdict:
    if refusals + 1 < policy.refusal_tries:
        if answer.failure is Failure.REFUSED:
            return Disconnected(refused=True)
        scheduled = policy.schedule[min(refusals, len(policy.schedule) - 1)]
        return RetryLater(_wait(scheduled, answer.retry_after, policy, jitter), refused=True)
    if size > 1:
        return Split()
    return GiveUp(f"refused {refusals + 1} times: {answer.said}")


def _wait(scheduled: float, asked: float | None, policy: RetryPolicy, jitter: float) -> float:
    wait = scheduled * (1 + policy.jitter * jitter)
    if asked is None:
        return wait
    return max(wait, min(asked, wait + policy.retry_after))


def outcome_of(verdict: Verdict) -> str:  # noqa: PLR0911  # one line a verdict
    """Return the verdict's name in the attempt table and in metrics."""
    match verdict:
        case Delivered():
            return "delivered"
        case RetryLater():
            return "retry"
        case Split():
            return "split"
        case GiveUp():
            return "given_up"
        case Park():
            return "parked"
        case SwitchOff():
            return "off"
        case Disconnected():
            return "unbound"


def failure_of(status: int) -> Failure:
    """Return the failure class of a status that is not a 2xx."""
    if status < 400:
        return Failure.REDIRECT if status >= 300 else Failure.PROTOCOL
    return Failure.HTTP_4XX if status < 500 else Failure.HTTP_5XX
