"""The notifier's end of the Kafka log.

The group only shares the partitions out; where to read on comes from the database, through `seek`. Kafka's own
committed offsets are never read from: they show lag to tools, and bear witness when a database was restored.

aiokafka's reader can stop without a word, or wait for ever, when brokers come and go. So every wait is
bounded, and a watchdog compares what was read with the end of the log; a reader that stands still is thrown
away, and the next call makes another.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from schemas.event import UndecodableEventError, from_record
from services import logs
from services.clock import Clock
from services.event_log import LogUnavailableError, PositionUnknownError, Record
from services.event_log_kafka.assignment import Assignment
from services.event_log_kafka.cluster import KafkaLog, end
from services.event_log_kafka.dead_letters import DeadLetterTopic
from services.event_log_kafka.interruption import Interruption

log = logs.get(__name__)

_HEARTBEATS: Final = 10
"""In one session: a few may get lost before the group gives its member up."""

_REBALANCE_SECONDS: Final = 60
_REQUEST_SECONDS: Final = _REBALANCE_SECONDS + 10
"""Joining a group may take a whole rebalance; our own waits are shorter, see `KafkaLog.answer`."""

_FETCH_WAIT_MS: Final = 100
_FETCH_BYTES: Final = 16 * 1024 * 1024
_COMMIT_EVERY: Final = 1.0
_GLANCE: Final = 0.1
"""Seconds between two looks at the assignment while nothing can be read."""

_STOP_SECONDS: Final = 5.0


class KafkaSource:
    """Reads the partitions of the topic that a consumer group gives to this process."""

    def __init__(
        self,
        log: KafkaLog,
        clock: Clock,
        *,
        group: str,
        session: float = 30.0,
        check_after: float = 10.0,
        stalled_after: float = 30.0,
    ) -> None:
        """Take the topic and the group's name; nothing is connected before the first call.

        The group takes a member for dead that is silent for `session` seconds.
        After `check_after` seconds without a record the end of the log is asked for; when there has been
        something to read for `stalled_after` seconds and nothing was read, the reader is replaced.
        """
        self._log = log
        self._clock = clock
        self._group = group
        self._session = session
        self._check_after = check_after
        self._stalled_after = stalled_after
        self._dead_letters = DeadLetterTopic(log)
        self.wake = Interruption()
        self._consumer: Any = None
        self._assignment: Assignment | None = None
        self._lost = False  # the last reader was thrown away, and nobody has been told
        self._told: frozenset[TopicPartition] = frozenset()  # what `assigned` answered last
        self._asked: Mapping[int, int] | None = None  # positions to seek when next reading
        self._next: dict[TopicPartition, int] = {}  # of partitions that were sought, the next to read
        self._progress = self._checked = self._heard = self._committed = clock.monotonic()
        self._committing: asyncio.Task[None] | None = None
        self._noted: dict[TopicPartition, tuple[int, str]] = {}  # to commit when next there is time

    async def assigned(self) -> frozenset[int]:
        """Return the partitions held; empty once after each rebalance, so that the change shows.

        Raises:
            LogUnavailableError: Kafka cannot be reached.
        """
        assignment = await self._connected()
        if self._lost or assignment.shared_anew():
            self._lost = False
            assignment.acknowledge()
            self._forget()
        else:
            self._told = assignment.held
        return frozenset(tp.partition for tp in self._told)

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read on from these positions; takes effect with the next `read`."""
        self._asked = dict(positions)
        self._next.clear()

    async def read(self, at_most: int, wait: float) -> Sequence[Record]:
        """Return up to `at_most` records of the partitions that were sought; empty after `wait` seconds.

        Raises:
            LogUnavailableError: Kafka cannot be reached, or the reader stood still and was thrown away.
            PositionUnknownError: a position sought is not in the log, or retention has passed it.
        """
        assignment = await self._connected()
        if self._lost or assignment.shared_anew():
            return ()
        await self._seek(assignment)
        self._commit_at_times()
        if not self._next:
            await self._wait_for_change(assignment, wait)
            await self._watch(assignment)
            return ()
        found = await self._fetch(at_most, wait)
        if assignment.shared_anew():  # taken away in the middle: another reader will return these
            return ()
        records = [_record(message) for messages in found.values() for message in messages]
        for tp, messages in found.items():
            self._next[tp] = messages[-1].offset + 1
        if poison := [record for record in records if record.event is None]:
            await self._dead_letters.put(poison)
        if records:
            self._progress = self._checked = self._heard = self._clock.monotonic()
        else:
            await self._watch(assignment)
        return records

    async def ends(self) -> Mapping[int, int]:
        """Return the position after the newest record of each partition held.

        Raises:
            LogUnavailableError: Kafka cannot be reached.
        """
        held = [] if self._assignment is None else list(self._assignment.held)
        if not held:
            return {}
        question = self._consumer.end_offsets(held)
        ends = await self._log.answer(question, "asking for the end of the log")
        return {tp.partition: int(offset) for tp, offset in ends.items()}

    async def limits(self, partitions: int) -> Mapping[int, tuple[int, int]]:
        """Return the oldest position and the end of each of the topic's partitions, held or not.

        Raises:
            LogUnavailableError: Kafka cannot be reached.
        """
        await self._connected()
        every = [TopicPartition(self._log.topic, number) for number in range(partitions)]
        oldest = await self._answer(self._consumer.beginning_offsets(every), "asking for the oldest records")
        ends = await self._answer(self._consumer.end_offsets(every), "asking for the end of the log")
        return {tp.partition: (int(oldest[tp]), int(ends[tp])) for tp in every}

    def note(self, positions: Mapping[int, int], remark: str) -> None:
        """Have the group remember where the caller goes on, with a remark; soon, and at best."""
        for partition, position in positions.items():
            self._noted[TopicPartition(self._log.topic, partition)] = (position, remark)

    async def close(self) -> None:
        """Leave the group, so that others take over at once; bounded, whatever state Kafka is in."""
        if self._noted and self._committing is None and self._consumer is not None:
            noted, self._noted = self._noted, {}
            await end(self._commit(self._consumer, noted), "kafka-last-commit", within=_STOP_SECONDS)
        await self._discard()

    async def _connected(self) -> Assignment:
        if self._consumer is None or self._assignment is None:
            consumer = self._consumer = self._reader()
            self._assignment = Assignment(consumer, self._clock)
            try:
                await self._log.answer(consumer.start(), "connecting")
            except BaseException:
                await self._discard()
                raise
            consumer.subscribe([self._log.topic], listener=self._assignment)
            self._progress = self._checked = self._heard = self._clock.monotonic()
        return self._assignment

    def _reader(self) -> Any:
        return AIOKafkaConsumer(
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=int(self._session * 1000),
            heartbeat_interval_ms=int(self._session * 1000 / _HEARTBEATS),
            rebalance_timeout_ms=_REBALANCE_SECONDS * 1000,
            request_timeout_ms=_REQUEST_SECONDS * 1000,
            # A partition whose records were not taken at once is left out of the next request, and asked for
            # only when that has been answered: this is the longest it waits for news of the others.
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_partition_fetch_bytes=self._log.max_batch_bytes,
            fetch_max_bytes=max(_FETCH_BYTES, self._log.max_batch_bytes),
            **self._log.client(),
        )

    async def _seek(self, assignment: Assignment) -> None:
        """Do what `seek` asked for, for the partitions held, once their positions are known to exist."""
        if self._asked is None:
            return
        # Only what the caller has been told of: it knows the positions of nothing else.
        asked, held = self._asked, list(self._told)
        if not held:
            self._asked = None
            return
        consumer = self._consumer
        oldest = await self._answer(consumer.beginning_offsets(held), "asking for the oldest records")
        ends = await self._answer(consumer.end_offsets(held), "asking for the end of the log")
        if assignment.shared_anew():
            return
        for tp in held:
            position = asked.get(tp.partition, oldest[tp])
            if not oldest[tp] <= position <= ends[tp]:
                raise PositionUnknownError(
                    tp.partition, position, oldest[tp], ends[tp]
                )  # and again, till sought elsewhere
        self._asked = None
        for tp in held:
            self._next[tp] = asked.get(tp.partition, oldest[tp])
            consumer.seek(tp, self._next[tp])
            consumer.resume(tp)
        self._progress = self._checked = self._heard = self._clock.monotonic()

    async def _fetch(self, at_most: int, wait: float) -> dict[TopicPartition, list[Any]]:
        """Take what has come, waiting at most `wait` seconds; empty also while a rebalance is under way."""
        milliseconds = max(1, int(wait * 1000))
        try:
            # A rebalance holds `getmany` up beyond its own limit.
            async with self.wake.within(wait + 0.5):
                found: dict[TopicPartition, list[Any]] = await self._consumer.getmany(
                    *self._next, timeout_ms=milliseconds, max_records=at_most
                )
        except TimeoutError:
            return {}
        except NoOffsetForPartitionError:
            return {}  # a rebalance ended while we waited, and what came back has not been sought
        except OffsetOutOfRangeError as failure:
            await self._raise_unknown(failure)
        except (KafkaError, ConsumerStoppedError) as failure:
            await self._give_up("reading", failure)
        else:
            return found
        return {}

    async def _raise_unknown(self, failure: OffsetOutOfRangeError) -> None:
        """Say which position is gone: retention has passed it, or the topic was made anew."""
        (tp, position), *_ = failure.args[0].items()
        oldest = await self._answer(self._consumer.beginning_offsets([tp]), "asking for the oldest records")
        ends = await self._answer(self._consumer.end_offsets([tp]), "asking for the end of the log")
        self._asked = {
            one.partition: at for one, at in self._next.items()
        }  # found missing again, till sought elsewhere
        self._next.clear()
        raise PositionUnknownError(tp.partition, position, oldest[tp], ends[tp]) from failure

    async def _wait_for_change(self, assignment: Assignment, wait: float) -> None:
        """Wait until the group gives something that the caller does not know of, at most `wait` seconds."""
        nowhere = TopicPartition(self._log.topic, -1)
        for _ in range(math.ceil(wait / _GLANCE)):
            if assignment.held != self._told or assignment.shared_anew():
                return
            try:
                # aiokafka rejoins a group only while somebody asks for records.
                async with self.wake.within(_GLANCE * 2):
                    await self._consumer.getmany(nowhere, timeout_ms=int(_GLANCE * 1000))
            except TimeoutError:
                return
            except (KafkaError, ConsumerStoppedError) as failure:
                await self._give_up("waiting for partitions", failure)

    async def _watch(self, assignment: Assignment) -> None:
        """Replace a reader that stands still although there is something to read, or that nothing is given."""
        now = self._clock.monotonic()
        since = assignment.unsettled_since
        if since is not None and now - since > _REBALANCE_SECONDS + self._stalled_after:
            await self._give_up("joining the group", TimeoutError())
        if now - self._checked < self._check_after:
            return
        self._checked = now
        # While nothing is given, any partition will do: a rebalance that waits for a broker says nothing itself.
        asked = list(self._next) or [TopicPartition(self._log.topic, 0)]
        ends = await self._answer(self._consumer.end_offsets(asked), "asking for the end of the log")
        if all(ends[tp] <= position for tp, position in self._next.items() if tp in ends):
            self._progress = now
        elif now - self._progress > self._stalled_after:
            await self._give_up("reading on", TimeoutError())

    async def _answer(self, question: Any, doing: str) -> Any:
        """Wait for one answer. A reader that has got none for too long is thrown away.

        Not at once: it mostly recovers with its broker, and a new one has to wait until the group has given
        up the old.
        """
        try:
            answer = await self._log.answer(question, doing)
        except LogUnavailableError:
            if self._clock.monotonic() - self._heard > self._stalled_after:
                await self._discard()
            raise
        self._heard = self._clock.monotonic()
        return answer

    async def _give_up(self, doing: str, failure: Exception) -> None:
        log.warning("kafka_reader_replaced", doing=doing, failure=type(failure).__name__)
        await self._discard()
        raise self._log.unavailable(doing, failure) from failure

    def _forget(self) -> None:
        self._told = frozenset()
        self._next.clear()
        self._asked = None
        self._noted.clear()  # of partitions that may be another's now

    def _commit_at_times(self) -> None:
        """Tell Kafka now and then what was noted."""
        now = self._clock.monotonic()
        if now - self._committed < _COMMIT_EVERY or not self._noted or self._committing is not None:
            return
        self._committed = now
        noted, self._noted = self._noted, {}
        self._committing = asyncio.create_task(self._commit(self._consumer, noted), name="kafka-commit")

    async def _commit(self, consumer: Any, noted: dict[TopicPartition, tuple[int, str]]) -> None:
        try:
            await self._log.answer(consumer.commit(noted), "noting positions")
        except LogUnavailableError:
            self._noted = noted | self._noted  # tried again, with what came since
            log.debug("kafka_commit_failed")
        finally:
            self._committing = None

    async def _discard(self) -> None:
        """Stop the reader and forget it, with what it was given; abandon it when it does not stop."""
        consumer, self._consumer = self._consumer, None
        self._assignment = None
        self._lost = True
        self._forget()
        if (committing := self._committing) is not None:
            committing.cancel()
            await asyncio.wait({committing}, timeout=1.0)
        if consumer is not None and not await end(consumer.stop(), "kafka-reader-stop", _STOP_SECONDS):
            # What the stop did not get to: without its connections nothing of it lives on for long.
            await end(consumer._client.close(), "kafka-reader-disconnect", within=1.0)  # noqa: SLF001  # no public way


def _record(message: Any) -> Record:
    """Turn a Kafka record into an event, or into its raw parts and the reason why it is none."""
    headers = tuple((str(name), value or b"") for name, value in message.headers)
    try:
        event = from_record(list(headers), message.value)
    except UndecodableEventError as wrong:
        return Record(message.partition, message.offset, None, str(wrong), headers, message.value)
    return Record(message.partition, message.offset, event)
