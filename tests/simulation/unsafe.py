"""Safeties that can be taken out, one at a time: proof that the judge would notice if one were missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any, Final

from sqlalchemy.dialects.sqlite import insert

from services.event_log import Record
from services.notifier import tables as t
from services.notifier.consume.freshness import LiveIndex
from services.notifier.consume.intake import Intake
from services.notifier.enqueue import enqueue
from services.notifier.enqueue.enqueue import Matched
from services.notifier.record import recorder
from services.notifier.send import claims, latest
from services.publisher.emit.relay import Relay
from services.publisher.store import versions, write
from services.publisher.store.model import Current
from services.publisher.store.save import save


def take_out(name: str) -> None:
    """Have everything in this interpreter do without a safety from here on."""
    {**SAFETIES, **HARMLESS}[name]()


def _fence() -> None:
    """A position moves whoever moves it, from wherever it stands; and what was read twice is taken in twice.

    Either safety alone keeps numbers right when a stale reader commits: the fence stops it, and if it did not,
    the events would be known by their ids. So the ids are taken out too, but for copies that stand in the log
    at another place, against which the fence is no help.
    """

    async def move(connection: Any, log_name: str, _at: Any, last: Mapping[int, Record]) -> None:
        for partition, record in sorted(last.items()):
            end = {"next_position": record.position + 1}
            row = insert(t.position).values({"log": log_name, "partition": partition, **end})
            await connection.execute(row.on_conflict_do_update(index_elements=["log", "partition"], set_=end))

    _replace(enqueue, "_move", move)
    _places()


def _places() -> None:
    """An event that is read again at its place is taken for another one: harmless as long as the fence holds."""
    first: dict[str, tuple[int, int]] = {}

    def wanted(matched: Matched) -> bool:
        record = matched.record
        if record.event is None:
            return True
        place = (record.partition, record.position)
        return first.setdefault(record.event.id, place) == place

    _take_in_as_others(wanted)


def _event_ids() -> None:
    """An event that comes again is taken for another one."""
    _take_in_as_others(lambda _: True)


def _take_in_as_others(wanted: Callable[[Matched], bool]) -> None:
    original, copies = enqueue.take_in, count()

    def another(matched: Matched) -> Matched:
        record = matched.record
        if record.event is None:
            return matched
        event = replace(record.event, id=f"{record.event.id[:24]}{next(copies):012}")
        return replace(matched, record=replace(record, event=event))

    async def take_in(connection: Any, database: Any, clock: Any, batch: Sequence[Matched]) -> Any:
        changed = [another(matched) for matched in batch if wanted(matched)]
        return await original(connection, database, clock, changed)

    _replace(enqueue, "take_in", take_in)


def _claims() -> None:
    """A turn is recorded, whoever holds the lane by now."""
    original = recorder._held

    async def held(connection: Any, database: Any, clock: Any, turns: Sequence[Any]) -> tuple[datetime, Any]:
        now, found = await original(connection, database, clock, turns)
        mine = {turn.lane.subscription: turn.lane.claim for turn in turns}
        return now, {id_: replace(one, claim=mine[id_]) for id_, one in found.items()}

    _replace(recorder, "_held", held)


def _plans() -> None:
    """A claimed lane's batches are cut anew, whatever was sent before."""
    original = claims._lane

    def lane(row: Any, claim_id: str) -> Any:
        found = original(row, claim_id)
        if not found.retry:
            return found
        return found._replace(
            plan_first=found.next_number, plan_last=found.last_number, plan_size=row.batch_size
        )

    _replace(claims, "_lane", lane)


def _reading_again() -> None:
    """A batch that could not be taken in is stepped over."""

    original = Intake._take_in

    async def take_in(self: Any, records: Sequence[Record]) -> None:
        at = dict(self._at)
        try:
            await original(self, records)
        except Exception:
            self._at = at
            raise

    _replace(Intake, "_take_in", take_in)


def _freshness() -> None:
    """The index is loaded once, and never again."""
    original = LiveIndex.refresh

    async def refresh(self: Any) -> None:
        if self._revision < 0:
            await original(self)

    _replace(LiveIndex, "refresh", refresh)


def _order() -> None:
    """The relay takes the newest rows first."""
    original = Relay._load

    async def load(self: Any, transaction: Any, numbers: Sequence[int]) -> Any:
        found = await original(self, transaction, numbers)
        return dict(reversed(list(found.items())))

    _replace(Relay, "_load", load)


def _resends() -> None:
    """A report that is sent again is another report."""

    async def same_content(*_: Any) -> list[Current]:
        return []

    _replace(versions, "same_content", same_content)


def _commit() -> None:
    """The reader is handed what is about to be committed, and may be by a transaction that comes to nothing."""

    async def handed(tx: Any, rows: Any, known: Any, placing: Any) -> Any:
        saved = await save(tx, rows, known, placing)
        if not saved.placed:
            return saved
        placing.committed(saved.placed)
        return replace(saved, placed=())

    _replace(write, "save", handed)


def _superseding() -> None:
    """Who wants the latest only is told of the newest event alone, whatever report that is of."""

    def superseded(told: Sequence[Any]) -> dict[int, int]:
        return {each.number: told[-1].number for each in told[:-1]}

    _replace(latest, "superseded", superseded)


def _replace(owner: Any, name: str, by: Any) -> None:
    assert hasattr(owner, name), f"{name} is no part of {owner}: this safety has moved"
    setattr(owner, name, by)


HARMLESS: Final[Mapping[str, Callable[[], None]]] = {"places": _places}
"""What may be taken out as long as everything else is there: shows that the judge does not see ghosts."""

SAFETIES: Final[Mapping[str, Callable[[], None]]] = {
    "fence": _fence,
    "event ids": _event_ids,
    "claims": _claims,
    "plans": _plans,
    "reading again": _reading_again,
    "freshness": _freshness,
    "order": _order,
    "resends": _resends,
    "commit": _commit,
    "superseding": _superseding,
}
