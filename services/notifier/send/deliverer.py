"""Which lanes are sent for at a time? Three pools of slots, and none waits for another."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum, auto

from services.notifier.record.lane import Lane
from services.notifier.record.turn import Turn
from services.notifier.send.claims import Claimed, Room
from services.notifier.send.sender import Sender, on_websocket


class Pool(Enum):
    """Lanes that share room."""

    FRESH = auto()
    """They have not failed."""
    RETRIES = auto()
    BOUND = auto()
    """They have a client on a websocket here."""


def pool_of(lane: Lane) -> Pool:
    """Return which lanes a lane shares room with."""
    if on_websocket(lane):
        return Pool.BOUND
    return Pool.RETRIES if lane.retry else Pool.FRESH


LEASED_AHEAD = 4
"""Lanes leased for each one that sends: while some are recorded and others leased, there are still some to send for."""


class Deliverer:
    """Keeps lanes sending, and hands turns to the recorder.

    Up to `workers` requests at a time for lanes that have not failed, half as many for those that have, and as many
    as for the first on websockets: three pools, so that none waits for another. Those that have failed are not
    leased ahead, for most wait long.
    """

    def __init__(
        self, sender: Sender, workers: int, finished: Callable[[Turn], None], look: Callable[[], None]
    ) -> None:
        """Call `finished` with every turn as it ends, and with what is to be recorded while one goes on.

        Call `look` once there may be room for whoever was refused it.
        """
        self._sender = sender
        self._workers = workers
        self._retries = max(1, workers // 2)
        self._fresh_slots = asyncio.Semaphore(workers)
        self._retry_slots = asyncio.Semaphore(self._retries)
        self._socket_slots = asyncio.Semaphore(workers)
        self._finished = finished
        self._running: dict[asyncio.Task[None], Claimed] = {}
        self._look = look
        self._claiming = False
        self._refused = False
        """Somebody was refused room because another was claiming: what had become due then is not claimed yet."""

    @property
    def running(self) -> list[Claimed]:
        """The lanes that are being sent for."""
        return list(self._running.values())

    @contextlib.contextmanager
    def room(self) -> Iterator[Room | None]:
        """Hold the room for more lanes while they are claimed; yields `None` when there is none, or it is held."""
        running = Counter(pool_of(claimed.lane) for claimed in self._running.values())
        sockets = self._sender.sockets
        room = Room(
            # Not all at once: a claim's rows are read in one go, and meanwhile nothing is sent.
            fresh=min(self._workers, LEASED_AHEAD * self._workers - running[Pool.FRESH]),
            retries=self._retries - running[Pool.RETRIES],
            full=self._sender.endpoints.full(),
            at=self._sender.endpoints.room,
            bound=min(self._workers, LEASED_AHEAD * self._workers - running[Pool.BOUND])
            if sockets.bound
            else 0,
            holder=sockets.holder if sockets.bound else "",
        )
        if self._claiming or (room.fresh <= 0 and room.retries <= 0 and room.bound <= 0):
            self._refused = self._refused or self._claiming
            yield None
            return
        self._claiming = True
        try:
            yield room
        finally:
            self._claiming = False
            if self._refused:
                self._refused = False
                self._look()

    def start(self, claimed: Claimed) -> None:
        """Begin a lane's turn; it always ends in `finished`."""
        self._sender.leases.hold(claimed)
        self._sender.endpoints.started(claimed.lane.endpoint)
        task = asyncio.create_task(self._run(claimed), name=f"lane {claimed.lane.subscription}")
        self._running[task] = claimed
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        claimed = self._running.pop(task)
        self._sender.leases.drop(claimed)
        endpoints, endpoint = self._sender.endpoints, claimed.lane.endpoint
        was_full = endpoints.room(endpoint) <= 0
        endpoints.ended(endpoint)
        if was_full:
            self._look()  # what was passed over for want of room there is due still

    async def _run(self, claimed: Claimed) -> None:
        slots = {
            Pool.FRESH: self._fresh_slots,
            Pool.RETRIES: self._retry_slots,
            Pool.BOUND: self._socket_slots,
        }[pool_of(claimed.lane)]
        self._finished(await self._sender.take_turn(claimed, slots, self._finished))

    async def drain(self, at_most: float) -> None:
        """Wait for the running turns, at most so many seconds; what is left then is cut off."""
        if not self._running:
            return
        _, late = await asyncio.wait(list(self._running), timeout=at_most)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
