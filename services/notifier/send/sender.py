"""A claimed lane's batches, one request at a time, in order, until one is not delivered or the lease runs short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from services import logs, metrics
from services.clock import Clock
from services.notifier.match.interest import ended
from services.notifier.model import Answer, Batch, LaneState, Request, Resend
from services.notifier.record.lane import AHEAD, Lane, greeted_with
from services.notifier.record.turn import Resent, Tried, Turn
from services.notifier.record.verdict import (
    MESSAGE_FAULTS,
    Delivered,
    Disconnected,
    GiveUp,
    Park,
    RetryLater,
    RetryPolicy,
    SwitchOff,
    judge,
    judge_handshake,
    judge_heartbeat,
    judge_resend,
)
from services.notifier.render import render_batch, render_handshake, render_heartbeat
from services.notifier.send.claims import Claimed
from services.notifier.send.client import HookClient, NoSockets, SocketClient
from services.notifier.send.endpoints import WEBSOCKET, Endpoints
from services.notifier.send.leases import Leases
from services.notifier.subscriptions.statuses import Cause, move

log = logs.get(__name__)

_AFTER_A_FAULT = 60.0
"""Seconds that a lane waits after a turn that failed by a fault of ours."""
_UNTIL_OFF = 5.0
"""Seconds that a lane waits at the `end` of its Subscription, which is turned off by then."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Runs turns. Everything it needs to know of the world is handed in."""

    client: HookClient
    clock: Clock
    policy: RetryPolicy
    base: str
    deadline: float
    leases: Leases
    endpoints: Endpoints
    stopping: Callable[[], bool]
    sockets: SocketClient = field(default_factory=NoSockets)

    async def take_turn(
        self, claimed: Claimed, slots: asyncio.Semaphore, hand_in: Callable[[Turn], None]
    ) -> Turn:
        """Send what was claimed, a slot for each request; the turn ends at the first batch that is not delivered.

        Nothing is sent at the `end` of its Subscription or after: what is owed then is given up with the lane.

        Of a long plan, what was sent is handed in now and then, to be recorded while the next is sent.
        """
        turns = [Turn(claimed.lane, claimed.channel)]
        try:
            await self._take(claimed, slots, hand_in, turns)
        except Exception:
            # A fault of ours. What was sent before it is recorded all the same, or it would be sent for ever.
            log.exception("turn_failed", subscription=claimed.lane.subscription)
            turns[-1].wait = _AFTER_A_FAULT
        return turns[-1]

    async def _take(
        self,
        claimed: Claimed,
        slots: asyncio.Semaphore,
        hand_in: Callable[[Turn], None],
        turns: list[Turn],
    ) -> None:
        """Take the last of the turns, and those that follow it; the last is not handed in."""
        turn = turns[-1]
        if claimed.lane.state is LaneState.HANDSHAKE:
            await self._greet(turn, slots)
            return
        for batch in claimed.batches:
            if len(claimed.batches) > AHEAD and len(turn.tries) == AHEAD // 2:
                # No more than AHEAD before their record: half that are being recorded, and half that are sent.
                if len(turns) > 1 and not await _recorded(turns[-2]):
                    return
                turns.append(Turn(turn.lane, turn.channel))
                turn.goes_on = asyncio.get_running_loop().create_future()
                hand_in(turn)
                turn = turns[-1]
            async with slots:
                if not self._may_send(turn, claimed) or not await self._send(turn, batch):
                    return
        # At most: the turn before this one may be on record by now.
        unrecorded = sum(len(each.tries) for each in turns[-2:])
        if _owes(turn) or (claimed.resends and unrecorded >= AHEAD):
            return  # what is asked for again comes after all that is owed, and counts among those ahead
        for resend in claimed.resends:
            async with slots:
                if not self._may_send(turn, claimed) or not await self._send_again(turn, resend):
                    return
        turn.resend_missing = claimed.lane.resend_retry is not None and not claimed.resends
        if self._silent(turn) and self._may_send(turn, claimed):
            await self._beat(turn)

    def _silent(self, turn: Turn) -> bool:
        """Tell whether nothing was to be sent, for long enough that a heartbeat is."""
        quiet = not (turn.tries or turn.resent or turn.resend_missing)
        return (
            quiet
            and not _owes(turn)
            and turn.channel.heartbeat is not None
            and turn.lane.state is LaneState.OPEN
        )

    async def _beat(self, turn: Turn) -> None:
        """Send a heartbeat. One that is not taken says nothing about what is owed, and the next one follows."""
        at = self.clock.now()
        request = render_heartbeat(
            turn.channel, events=turn.lane.last_number, base=self.base, now=at, deadline=self.deadline
        )
        answer = await self._try(request, turn.lane)
        verdict = judge_heartbeat(answer, period=turn.channel.heartbeat or 0)
        turn.tries.append(Tried(dict(request.headers)["webhook-id"], 0, 0, at, answer, verdict))
        if isinstance(verdict, SwitchOff):
            _moved(turn, Cause.GONE)
        if isinstance(verdict, SwitchOff | Disconnected):
            turn.asleep = True
            turn.lane = turn.lane.after(verdict, 0, 0)

    def _may_send(self, turn: Turn, claimed: Claimed) -> bool:
        # A send starts only while the lease outlasts it, so no other notifier can be sending too.
        needed = max(self.deadline, float(turn.channel.timeout or 0))
        if self.stopping() or self.leases.left(claimed) <= needed:
            return False
        if self._over(turn):
            return False
        if wait := self.endpoints.wait(claimed.lane.endpoint):
            turn.wait = wait
            return False
        return True

    def _over(self, turn: Turn) -> bool:
        """Tell whether the Subscription has reached its `end`; its lane then waits for being turned off."""
        if not ended(turn.channel.ends_at, self.clock.now()):
            return False
        turn.wait = _UNTIL_OFF
        return True

    async def _greet(self, turn: Turn, slots: asyncio.Semaphore) -> None:
        async with slots:
            if not self._over(turn):
                await self._handshake(turn)

    async def _handshake(self, turn: Turn) -> None:
        lane = turn.lane
        request = render_handshake(
            turn.channel,
            events=greeted_with(
                next_number=lane.next_number, last_number=lane.last_number, plan_last=lane.plan_last
            ),
            base=self.base,
            now=self.clock.now(),
            deadline=self.deadline,
        )
        at = self.clock.now()
        answer = await self._try(request, turn.lane)
        verdict = judge_handshake(answer, tries=turn.lane.retry, policy=self.policy)
        turn.tries.append(Tried(dict(request.headers)["webhook-id"], 0, 0, at, answer, verdict))
        match verdict:
            case Delivered():
                _moved(turn, Cause.GREETED)
                turn.lane = turn.lane._replace(state=LaneState.OPEN, retry=0)
            case RetryLater(seconds=seconds):
                turn.wait = seconds
                turn.lane = turn.lane._replace(retry=turn.lane.retry + 1)
            case Park():
                _moved(turn, Cause.NOT_GREETED)
                turn.asleep = True
                turn.lane = turn.lane._replace(state=LaneState.HELD)

    async def _send(self, turn: Turn, batch: Batch) -> bool:
        at = self.clock.now()
        request = render_batch(turn.channel, batch, base=self.base, now=at, deadline=self.deadline)
        answer = await self._try(request, turn.lane)
        verdict = judge(
            answer,
            kind=turn.channel.kind,
            size=len(batch.owed),
            retry=turn.lane.retry,
            refusals=turn.lane.refusals,
            policy=self.policy,
            jitter=self.clock.random(),
        )
        turn.tries.append(Tried(batch.webhook_id, batch.first, batch.last, at, answer, verdict))
        was = turn.lane.state
        turn.lane = turn.lane.after(verdict, batch.first, batch.last)
        if isinstance(verdict, Delivered):
            now = self.clock.now()
            ages = ((now - owed.event.accepted_at).total_seconds() for owed in batch.owed)
            metrics.END_TO_END_SECONDS.observe_all(ages)
        match verdict:
            case Delivered() | GiveUp():
                if was is LaneState.PARKED:
                    _moved(turn, Cause.WELL_AGAIN)
                return isinstance(verdict, Delivered)
            case RetryLater(seconds=seconds):
                turn.wait = seconds
            case Park(seconds=seconds):
                _moved(turn, Cause.EXHAUSTED)
                turn.wait, turn.asleep = seconds, seconds is None
            case SwitchOff():
                _moved(turn, Cause.GONE)
                turn.asleep = True
            case Disconnected():
                turn.asleep = True
            case _:
                pass  # a split batch goes on at once, under the next claim
        return False

    async def _send_again(self, turn: Turn, resend: Resend) -> bool:
        at, batch = self.clock.now(), resend.batch
        request = render_batch(turn.channel, batch, base=self.base, now=at, deadline=self.deadline)
        answer = await self._try(request, turn.lane)
        failed = 0 if turn.resent else turn.lane.resend_retry or 0
        verdict = judge_resend(
            answer, tries=resend.tries, retry=failed, policy=self.policy, jitter=self.clock.random()
        )
        if isinstance(verdict, Disconnected):
            # What was to be sent again still is, to whoever binds next.
            turn.tries.append(Tried(batch.webhook_id, 0, 0, at, answer, verdict))
            turn.lane, turn.asleep = turn.lane.after(verdict, 0, 0), True
            return False
        turn.resent.append(
            Resent(Tried(batch.webhook_id, batch.first, batch.last, at, answer, verdict), verdict)
        )
        return not isinstance(verdict, RetryLater)

    async def _try(self, request: Request, lane: Lane) -> Answer:
        if on_websocket(lane):
            answer = await self.sockets.send(lane.endpoint, lane.subscription, request)
        else:
            answer = await self.client.send(request)
            # A refused message says nothing against its endpoint.
            self.endpoints.answered(lane.endpoint, well=answer.delivered or answer.status in MESSAGE_FAULTS)
        metrics.ATTEMPT_SECONDS.observe(answer.milliseconds / 1000)
        metrics.ATTEMPTS.labels("delivered" if answer.delivered else str(answer.failure)).inc()
        return answer


def _moved(turn: Turn, cause: Cause) -> None:
    """Have the Subscription moved as the table says, when the turn is recorded."""
    turn.status = move(turn.channel.manner, turn.channel.status, cause).status


def on_websocket(lane: Lane) -> bool:
    """Tell whether a lane is sent for on a websocket."""
    return lane.endpoint.startswith(WEBSOCKET)


def _owes(turn: Turn) -> bool:
    return turn.lane.next_number <= turn.lane.last_number


async def _recorded(turn: Turn) -> bool:
    """Wait until a turn that was handed in is recorded; tell whether to go on."""
    return turn.goes_on is not None and await turn.goes_on
