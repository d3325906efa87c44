"""Subscriptions in the database: every write moves the revision, the counter, the lane and the row together.

Locks are taken in one order everywhere: revision, counter, lane, subscription.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from schemas.outcome import FhirError, refuse
from services.clock import Clock
from services.database import Connection, Database
from services.notifier import tables as t
from services.notifier.model import LaneState, Manner, Status, manner_of
from services.notifier.send.endpoints import WEBSOCKET, endpoint_of
from services.notifier.subscriptions.admission import Admitted
from services.notifier.subscriptions.statuses import Cause, Move, asked, move, stays
from services.notifier.subscriptions.stored import Stored, owned, stored, visible
from services.notifier.subscriptions.versions import keep
from services.principal import Principal

DELETED = "the subscription was deleted"


class SubscriptionStore:
    """Writes Subscriptions, and reads them, for the principals that may."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the notifier's database."""
        self._database = database
        self._clock = clock

    async def create(self, principal: Principal, admitted: Admitted) -> Stored:
        """Store a new Subscription; it is matched for every report accepted after this returns."""
        now = self._clock.now()
        async with self._database.write() as connection:
            revision = await _next_revision(connection)
            return await self._insert(connection, principal, self._clock.uuid7(), admitted, revision, now)

    async def _insert(
        self, connection: Connection, principal: Principal, new_id: str, admitted: Admitted, revision: int, now: datetime
    ) -> Stored:  # fmt: skip
        to = move(_manner(admitted), None, asked(admitted.asked))
        await connection.execute(
            sa.insert(t.counter).values(subscription_id=new_id, last_number=0, numbering=to.numbering)
        )
        await connection.execute(
            sa.insert(t.lane).values(
                subscription_id=new_id,
                endpoint=endpoint_of(admitted.channel.endpoint),
                state=to.lane,
                next_number=1,
                last_number=0,
                batch_size=admitted.channel.batch_size,
                due_at=self._database.now(self._clock) if to.lane is LaneState.HANDSHAKE else None,
                binding_since=self._database.now(self._clock) if to.lane is LaneState.UNBOUND else None,
                plan_first=1,
                plan_last=0,
                plan_size=admitted.channel.batch_size,
                retry=0,
                refusals=0,
            )
        )
        row = {
            **_asked(admitted),
            "id": new_id,
            "version": 1,
            "status": to.status,
            "status_since": now,
            "client": principal.client,
            "role": principal.role,
            "organisations": orjson.dumps(sorted(principal.organisations)).decode(),
            "created_at": now,
            "last_updated": now,
            "revision": revision,
            "deleted": False,
        }
        await connection.execute(sa.insert(t.subscription).values(row))
        await keep(connection, [new_id])
        await _audit(connection, now, principal, "subscription-create", new_id)
        return Stored(new_id, 1, to.status, None, now, admitted.resource, deleted=False)

    async def read(self, principal: Principal, logical_id: str) -> Stored:
        """Return a Subscription.

        Raises:
            FhirError: 404 when there is none the principal may see, 410 when it was deleted.
        """
        async with self._database.read() as connection:
            return stored(await visible(connection, principal, logical_id))

    async def update(
        self,
        principal: Principal,
        logical_id: str,
        admitted: Admitted,
        sent_status: str,
        if_match: int | None,
    ) -> tuple[Stored, bool]:
        """Replace a Subscription, or create it under this id; tell whether it was created.

        Raises:
            FhirError: 412 when `if_match` is not the current version, or is 0 and there is one.
        """
        now = self._clock.now()
        async with self._database.write() as connection:
            revision = await _next_revision(connection)
            await _lock(connection, t.counter, logical_id)
            await _lock(connection, t.lane, logical_id)
            row = (
                await connection.execute(
                    sa.select(t.subscription).where(t.subscription.c.id == logical_id).with_for_update()
                )
            ).one_or_none()
            if row is not None and not row.deleted:
                return await self._replace(
                    connection, principal, row, admitted, sent_status, if_match, revision, now
                ), False
            if if_match:
                raise _no_version(logical_id)
            if row is not None:
                raise refuse(409, "conflict", f"Subscription/{logical_id} was deleted; its numbers end there")
            # Still under the revision's lock: whoever sends the same at once finds it here.
            return await self._insert(connection, principal, logical_id, admitted, revision, now), True

    async def replace_version(
        self, principal: Principal, logical_id: str, admitted: Admitted, sent_status: str, version: int
    ) -> Stored | None:
        """Replace this version of a Subscription; `None` when another write came first."""
        try:
            return (await self.update(principal, logical_id, admitted, sent_status, version))[0]
        except FhirError as error:
            if error.status == 412:
                return None
            raise

    async def _replace(
        self, connection: Connection, principal: Principal, row: Any, admitted: Admitted, sent_status: str,
        if_match: int | None, revision: int, now: datetime,
    ) -> Stored:  # fmt: skip
        before = stored(row)
        if not owned(principal, row.client):
            raise refuse(403, "forbidden", f"Subscription/{row.id} belongs to another client")
        if if_match is not None and if_match != row.version:
            raise _other_version(row, if_match)
        if row.kind != admitted.kind:
            said = f"found {admitted.kind} criteria; Subscription/{row.id} is {row.kind} and stays so, create another"
            raise refuse(422, "business-rule", said, "Subscription.criteria")
        wanted = _asked(admitted)
        changed = any(
            wanted[name] != getattr(row, name)
            for name in ("channel", "endpoint", "mime", "content", "headers")
        )
        stay = stays(before.status, sent_status, channel_changed=changed)
        to = move(_manner(admitted), before.status, asked(admitted.asked))
        status = before.status if stay else to.status
        if not stay:
            await self._start_over(connection, row.id, to)
        await connection.execute(
            sa.update(t.lane)
            .where(t.lane.c.subscription_id == row.id)
            .values(
                batch_size=admitted.channel.batch_size,
                endpoint=_lane_endpoint(admitted),
                # An idle lane has to learn of its heartbeat; a claim finds out when the next one is due.
                due_at=sa.case(
                    (_IDLE, self._database.after(self._clock, admitted.channel.heartbeat)),
                    else_=t.lane.c.due_at,
                )
                if admitted.channel.heartbeat is not None
                else t.lane.c.due_at,
            )
        )
        error = before.error if stay else None
        await connection.execute(
            sa.update(t.subscription)
            .where(t.subscription.c.id == row.id)
            .values(
                **wanted,
                version=row.version + 1,
                status=status,
                status_since=_since(status, now),
                error=error,
                last_updated=now,
                revision=revision,
            )
        )
        await keep(connection, [row.id])
        await _audit(connection, now, principal, "subscription-update", row.id)
        return Stored(row.id, row.version + 1, status, error, now, admitted.resource, deleted=False)

    async def _start_over(self, connection: Connection, logical_id: str, to: Move) -> None:
        lane = t.lane
        await connection.execute(
            sa.update(t.counter)
            .where(t.counter.c.subscription_id == logical_id)
            .values(numbering=to.numbering)
        )
        now = self._database.now(self._clock)
        owes = sa.or_(lane.c.next_number <= lane.c.last_number, lane.c.resend_due_at.is_not(None))
        due: Any = sa.null()
        state: Any = to.lane
        binding: dict[str, Any] = {"holder": None, "binding_since": None}
        if to.lane is LaneState.HANDSHAKE:
            due = now
        elif to.lane is LaneState.OPEN:
            due = sa.case((owes, now), else_=sa.null())
        elif to.lane is LaneState.UNBOUND:
            # A client that is bound stays so, and is told by the new terms from here on.
            state = sa.case((_BOUND, LaneState.OPEN.value), else_=to.lane.value)
            due = sa.case((sa.and_(_BOUND, owes), now), else_=sa.null())
            since = sa.case((_BOUND, lane.c.binding_since), else_=now)
            binding = {"holder": sa.case((_BOUND, lane.c.holder)), "binding_since": since}
        # Whoever holds the lane now loses it: what it sends from here on it will not record.
        await connection.execute(
            sa.update(lane)
            .where(lane.c.subscription_id == logical_id)
            .values(state=state, due_at=due, claim_id=None, retry=0, refusals=0, failing_since=None,
                    failure=None, said=None, **binding)
        )  # fmt: skip

    async def delete(self, principal: Principal, logical_id: str, if_match: int | None = None) -> None:
        """Delete a Subscription; what it was still owed is given up. Deleting twice is no error.

        Raises:
            FhirError: 412 when `if_match` is not the current version.
        """
        now = self._clock.now()
        async with self._database.write() as connection:
            revision = await _next_revision(connection)
            await _lock(connection, t.counter, logical_id)
            await _lock(connection, t.lane, logical_id)
            row = (
                await connection.execute(
                    sa.select(t.subscription).where(t.subscription.c.id == logical_id).with_for_update()
                )
            ).one_or_none()
            if row is None or row.deleted:
                if if_match is not None:
                    raise _no_version(logical_id)
                return
            if not owned(principal, row.client):
                raise refuse(403, "forbidden", f"Subscription/{logical_id} belongs to another client")
            if if_match not in {None, row.version}:
                raise _other_version(row, if_match)
            lane, owed = t.lane, t.notification
            await connection.execute(
                sa.insert(t.given_up).from_select(
                    ["subscription_id", "number", "reason", "at"],
                    sa.select(owed.c.subscription_id, owed.c.number, sa.literal(DELETED), sa.literal(now, t.given_up.c.at.type))
                    .join(lane, lane.c.subscription_id == owed.c.subscription_id)
                    .where(owed.c.subscription_id == logical_id, owed.c.number >= lane.c.next_number),
                )
            )  # fmt: skip
            for table in (t.counter, lane, t.resend):
                await connection.execute(sa.delete(table).where(table.c.subscription_id == logical_id))
            await connection.execute(
                sa.update(t.subscription)
                .where(t.subscription.c.id == logical_id)
                .values(
                    deleted=True,
                    status=move(manner_of(row.kind, row.channel), Status(row.status), Cause.DELETED).status,
                    status_since=now,
                    version=row.version + 1,
                    last_updated=now,
                    revision=revision,
                )
            )
            await keep(connection, [logical_id])
            await _audit(connection, now, principal, "subscription-delete", logical_id)


_BOUND = sa.and_(t.lane.c.state == LaneState.OPEN, t.lane.c.holder.is_not(None))
_IDLE = sa.and_(
    t.lane.c.state == LaneState.OPEN,
    t.lane.c.claim_id.is_(None),
    t.lane.c.next_number > t.lane.c.last_number,
    t.lane.c.resend_due_at.is_(None),
)


def _manner(admitted: Admitted) -> Manner:
    return manner_of(admitted.kind, admitted.channel.type)


def _lane_endpoint(admitted: Admitted) -> Any:
    """Return what the lane shares with others from here on; a client that is bound keeps its connection."""
    if admitted.channel.type == "websocket":
        return sa.case((t.lane.c.holder.is_not(None), t.lane.c.endpoint), else_=WEBSOCKET)
    return endpoint_of(admitted.channel.endpoint)


def _since(status: Status, now: datetime) -> sa.ColumnElement[datetime]:
    """Return since when a Subscription is in its status, once that is `status`: a write may leave it as it is."""
    s = t.subscription.c
    return sa.case((s.status == status, s.status_since), else_=sa.literal(now, s.status_since.type))


def _no_version(logical_id: str) -> FhirError:
    return refuse(412, "conflict", f"Subscription/{logical_id} does not exist, so no version matches")


def _other_version(row: Any, if_match: int | None) -> FhirError:
    asked = f"not {if_match}" if if_match else "and If-None-Match is *"
    return refuse(412, "conflict", f"Subscription/{row.id} is at version {row.version}, {asked}")


async def _next_revision(connection: Connection) -> int:
    statement = sa.update(t.revision).values(value=t.revision.c.value + 1).returning(t.revision.c.value)
    return int((await connection.execute(statement)).scalar_one())


async def _lock(connection: Connection, table: sa.Table, logical_id: str) -> None:
    column = table.c.subscription_id
    await connection.execute(sa.select(column).where(column == logical_id).with_for_update())


def _asked(admitted: Admitted) -> dict[str, Any]:
    channel = admitted.channel
    return {
        "kind": admitted.kind,
        "criteria": admitted.criteria,
        "filters": orjson.dumps(admitted.filters).decode(),
        "channel": channel.type,
        "endpoint": channel.endpoint,
        "mime": channel.mime,
        "content": channel.content,
        "headers": orjson.dumps(channel.headers).decode(),
        "timeout": channel.timeout,
        "heartbeat": channel.heartbeat,
        "latest_only": channel.latest_only,
        "ends_at": admitted.ends_at,
        "resource": orjson.dumps(admitted.resource),
    }


async def _audit(
    connection: Connection, now: datetime, principal: Principal, action: str, logical_id: str
) -> None:
    await connection.execute(
        sa.insert(t.audit).values(
            at=now, client=principal.client, action=action, subject=f"Subscription/{logical_id}"
        )
    )
