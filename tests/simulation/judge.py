"""Was everything kept that is promised? Judged from the files and the endpoints' own records, after the run.

Which event a report makes and whom it concerns is worked out by `tests.ledger`, which shares no line with the
services. What is added here is what only a simulation knows: when each request began, who was frozen when.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.ledger.account import account
from tests.ledger.content import exact, said
from tests.ledger.inputs import Accepted, Row, Subscription
from tests.ledger.reports import Event, History, history
from tests.simulation.clients import Client
from tests.simulation.kafka import SimulatedKafka
from tests.simulation.payers import Acknowledged, Payer
from tests.simulation.receivers import REFUSES, Receivers, Seen

_EMPTY = "nothing was expected"
LEFT = "the subscription was deleted"


@dataclass(frozen=True)
class Books:
    """What stands in the two files."""

    versions: tuple[Accepted, ...]
    """Every version ever stored, in the order in which it was."""
    outbox: int
    unplaced: int
    log: int
    events: int
    behind: int
    """Records of the log that were not taken in."""
    rows: tuple[Row, ...]
    given_up: Mapping[tuple[str, int], str]
    """Why, of what was neither delivered nor skipped as superseded."""
    owed: Mapping[str, int]
    """Subscription → how much its lane still owes."""
    statuses: Mapping[str, str]
    dead_letters: int


def open_books(folder: Path, kafka: SimulatedKafka | None) -> Books:
    """Read both files, beside whoever else has them open."""
    with closing(sqlite3.connect(folder / "publisher.sqlite")) as db:
        versions = tuple(
            Accepted(id_, version, (body or b"").decode())
            for id_, version, body in db.execute(
                "SELECT id, version, body FROM resource_version ORDER BY rowid"
            )
        )
        (outbox, unplaced), *_ = db.execute("SELECT count(*), sum(place_position IS NULL) FROM outbox")
        (head,), *_ = [*db.execute("SELECT next_position FROM log_head"), (0,)]
    ends = {0: head} if kafka is None else {p: len(log) for p, log in enumerate(kafka.partitions)}
    with closing(sqlite3.connect(folder / "notifier.sqlite")) as db:
        positions = dict(db.execute("SELECT partition, next_position FROM position"))
        lanes = {id_: (cursor, last) for id_, cursor, last in db.execute("SELECT subscription_id, next_number, last_number FROM lane")}  # fmt: skip
        lost = db.execute("SELECT subscription_id, number, reason, superseded_by FROM given_up").fetchall()
        given_up = {(id_, number): why for id_, number, why, by in lost if by is None}
        skipped = {(id_, number) for id_, number, _, by in lost if by is not None}
        told = db.execute(
            "SELECT n.subscription_id, n.number, e.report_id, e.version FROM notification n"
            " JOIN event e ON e.seq = n.event_seq ORDER BY 1, 2"
        ).fetchall()
        (events,), *_ = db.execute("SELECT count(*) FROM event")
        (dead,), *_ = db.execute("SELECT count(*) FROM dead_letter")
        statuses = dict(db.execute("SELECT id, CASE WHEN deleted THEN 'deleted' ELSE status END FROM subscription"))  # fmt: skip
    return Books(
        versions=versions,
        outbox=outbox,
        unplaced=unplaced or 0,
        log=sum(ends.values()),
        events=events,
        behind=sum(end - positions.get(p, 0) for p, end in ends.items()),
        rows=tuple(
            Row(
                id_,
                number,
                "skipped" if (id_, number) in skipped else _state(lanes, given_up, id_, number),
                (report, version),
            )
            for id_, number, report, version in told
        ),
        given_up=given_up,
        owed={id_: last - cursor + 1 for id_, (cursor, last) in lanes.items()},
        statuses=statuses,
        dead_letters=dead,
    )


def _state(lanes: Mapping[str, Any], given_up: Mapping[Any, str], id_: str, number: int) -> str:
    if (id_, number) in given_up:
        return "given_up"
    if id_ not in lanes:
        return "delivered"  # deleted, and not given up then: it had been delivered
    return "delivered" if number < lanes[id_][0] else "owed"


class Glance:
    """A look now and then at whether anything is still to be done."""

    def __init__(self, folder: Path, kafka: SimulatedKafka | None) -> None:
        """Keep both files open until `close`."""
        self._publisher = sqlite3.connect(folder / "publisher.sqlite")
        self._notifier = sqlite3.connect(folder / "notifier.sqlite")
        self._kafka = kafka

    def settled(self) -> bool:
        """Tell whether all is in the log, all of that taken in, and all that is owed delivered."""
        if _one(
            self._notifier, "SELECT count(*) FROM lane WHERE state <> 'open' OR next_number <= last_number"
        ):
            return False
        if _one(self._publisher, "SELECT count(*) FROM outbox WHERE place_position IS NULL"):
            return False
        ends = (
            _one(self._publisher, "SELECT coalesce(sum(next_position), 0) FROM log_head")
            if self._kafka is None
            else sum(len(log) for log in self._kafka.partitions)
        )
        return bool(ends == _one(self._notifier, "SELECT coalesce(sum(next_position), 0) FROM position"))

    def close(self) -> None:
        self._publisher.close()
        self._notifier.close()


def _one(db: sqlite3.Connection, statement: str) -> Any:
    ((found,),) = db.execute(statement).fetchall()
    return found


@dataclass(frozen=True)
class Run:
    """What is judged."""

    books: Books
    payers: Sequence[Payer]
    clients: Sequence[Client]
    receivers: Receivers
    poison: int
    lease: float


def verdict(run: Run) -> Iterator[str]:
    """Yield every finding as a sentence; nothing when all was kept."""
    books = run.books
    told = history(books.versions)
    acknowledged = [each for payer in run.payers for each in payer.acknowledged]
    if not told.events or not any(
        each.arrival.numbers for one in run.receivers.by_url.values() for each in one.seen
    ):
        yield "nothing was published or nothing arrived: an empty run proves nothing"
    yield from (said for payer in run.payers for said in payer.complaints)
    yield from (said for client in run.clients for said in client.complaints)
    yield from _durable(books, acknowledged)
    yield from _emitted(books, told, run.poison)
    began = {(each.id, each.version): each.asked_at for each in acknowledged}
    contents = {
        (each.id, each.version): said(exact(each.body))
        for each in books.versions
        if each.resource["resourceType"] == "MeasureReport" and not each.deleted
    }
    for client in run.clients:
        seen = run.receivers.by_url[client.resource["channel"]["endpoint"]].seen
        yield from (f"{client.id}: {each}" for each in _client(run, client, seen, told, began, contents))


def _durable(books: Books, acknowledged: Sequence[Acknowledged]) -> Iterator[str]:
    stored = {(each.id, each.version): each for each in books.versions}
    for each in acknowledged:
        found = stored.get((each.id, each.version))
        if found is None:
            yield f"{each.type}/{each.id} version {each.version} was acknowledged and is not there"
        elif _told(found.body) != _told(each.text.decode()):
            yield f"{each.type}/{each.id} version {each.version} is not what was acknowledged"
    yield from _twice(books.versions)


def _told(text: str) -> object:
    """Return what a version says; of a deletion nothing."""
    return said(exact(text)) if text else None


def _twice(versions: Sequence[Accepted]) -> Iterator[str]:
    """Yield what was stored a second time because it was sent a second time: every score here is another one."""
    latest: dict[str, object] = {}
    for each in versions:
        content = _told(each.body)
        if each.deleted:
            latest.pop(each.id, None)
            continue
        for id_, known in latest.items():
            if known == content and each.resource["resourceType"] == "MeasureReport":
                yield f"{each.id} version {each.version} says what {id_} said already"
        latest[each.id] = content


def _emitted(books: Books, told: History, poison: int) -> Iterator[str]:
    if books.unplaced:
        yield f"{books.unplaced} events never reached the log"
    if books.behind:
        yield f"{books.behind} records of the log were never taken in"
    if books.outbox != len(told.events):
        yield f"{len(told.events)} events were expected, {books.outbox} are in the outbox"
    if books.events != books.outbox:
        yield f"{books.outbox} events were made, {books.events} were taken in"
    if books.dead_letters != poison:
        yield f"{poison} records were poison, {books.dead_letters} are dead letters"


def _client(
    run: Run, client: Client, seen: Sequence[Seen], told: History, began: Mapping[Any, float],
    contents: Mapping[Any, object],
) -> Iterator[str]:  # fmt: skip
    mine = [each for each in seen if each.arrival.subscription == client.id]
    if len(mine) != len(seen):
        yield "its endpoint was sent what was meant for another"
    rows = [row for row in run.books.rows if row.subscription == client.id]
    reached = {row.report for row in rows}
    events = [each for each in told.events if _must(client, each, began) or each.report in reached]
    asked = Subscription(
        client.id,
        client.kind,
        str(client.resource["criteria"]),
        tuple(each["valueString"] for each in client.resource.get("_criteria", {}).get("extension", ())),
        latest_only=client.latest_only,
    )
    # A request that is refused when nobody waits for it any more tells its sender nothing: another try has.
    heard = [each for each in mine if each.arrival.taken or each.at <= each.decided_at + each.deadline]
    found = account(asked, events, [each.arrival for each in heard], rows, contents)
    yield from (each for each in found.findings if not each.startswith(_EMPTY))
    if client.id not in run.books.statuses:
        yield "the Subscription was answered and is not there"
    if owed := run.books.owed.get(client.id, 0):
        yield f"{owed} are still owed, status {run.books.statuses.get(client.id)}"
    yield from _given_up(run, client, mine)
    yield from _afterwards(run, client, mine)
    yield from _at_once(run, client, mine)


def _must(client: Client, event: Event, began: Mapping[Any, float]) -> bool:
    """Tell whether the report was first sent after the Subscription's last answer, and nothing ended it since."""
    if client.deleted or event.report not in began:
        return False
    # What was owed or switched off before the last time it asked cannot be known from outside.
    since = (
        client.asked_at[0][1] if not client.left_at and len(client.asked_at) == 1 else client.asked_at[-1][1]
    )
    return began[event.report] > since


def _given_up(run: Run, client: Client, seen: Sequence[Seen]) -> Iterator[str]:
    refused: Counter[int] = Counter()
    for each in seen:
        if each.status == REFUSES:
            refused.update(each.arrival.numbers)
    for (id_, number), why in run.books.given_up.items():
        if id_ == client.id and why != LEFT and refused[number] < 3:
            yield f"number {number} was given up ({why}), but its endpoint refused it {refused[number]} times"


def _afterwards(run: Run, client: Client, seen: Sequence[Seen]) -> Iterator[str]:
    """What a turn had claimed when its client left may go out while the lease lasts; nothing after that."""
    for left in client.left_at:
        back = next((began for began, _ in client.asked_at if began > left), float("inf"))
        for each in seen:
            if left + run.lease < each.decided_at < back and not client.unsure:
                yield f"{each.arrival.webhook_id} was sent {each.decided_at - left:.0f} s after it had left"


def _at_once(run: Run, client: Client, seen: Sequence[Seen]) -> Iterator[str]:
    """A lane is one process's at a time: nobody begins a request while another's is under way in its time.

    A client that asks anew takes the lane from whoever holds it, and the next turn does not wait for the last.
    """
    begun = sorted(seen, key=lambda each: each.decided_at)
    for one, other in pairwise(begun):
        until = min(one.at, one.decided_at + one.deadline)
        if other.sender is one.sender or other.decided_at >= until or client.unsure:
            continue
        if any(
            began <= other.decided_at and answered >= one.decided_at - run.lease
            for began, answered in client.asked_at
        ):
            continue
        yield (
            f"{other.sender.name} began {other.arrival.webhook_id} "
            f"while {one.sender.name} sent {one.arrival.webhook_id}"
        )


def finding_kind(finding: str) -> str:
    """Return a finding without its names and numbers: what two runs have in common."""
    return re.sub(r"[\w.-]*\d[\w.-]*", "…", finding)
