"""What contracts are stored, and who pays under them? A contract is a Measure, known by its url."""

from __future__ import annotations

from typing import Any

import orjson
import sqlalchemy as sa

from schemas.outcome import refuse
from services.database import Connection
from services.publisher.derive.model import ContractFacts
from services.publisher.store.statements import upsert
from services.publisher.store.tables import contract

_LONGEST_URL = 1000

_by_key = sa.select(contract).where(contract.c.key == sa.bindparam("key"))
_by_measure = sa.select(contract).where(contract.c.measure_id == sa.bindparam("measure_id"))
_bind = contract.update().where(contract.c.key == sa.bindparam("of_key")).values(payer=sa.bindparam("by"))


async def get(tx: Connection, key: str) -> ContractFacts | None:
    """Return what is known of a contract; `None` when no Measure has this url."""
    row = (await tx.execute(_by_key, {"key": key})).one_or_none()
    return None if row is None else _facts(row)


async def put(tx: Connection, measure_id: str, facts: ContractFacts) -> None:
    """Store a contract, or what its Measure now says of it. The caller holds the contract's lock.

    Raises:
        FhirError: 409 when another Measure has the url; 422 when this Measure had another url before,
            since its reports are filed under that one, or when the url is too long to file anything under.
    """
    if len(facts.key) > _LONGEST_URL:
        raise refuse(
            422,
            "too-long",
            f"Measure.url has {len(facts.key)} characters; expected at most {_LONGEST_URL}",
            "Measure.url",
        )
    other = (await tx.execute(_by_key, {"key": facts.key})).one_or_none()
    if other is not None and other.measure_id != measure_id:
        raise refuse(
            409,
            "duplicate",
            f"the contract {facts.key} is already Measure/{other.measure_id}; update that one instead",
            "Measure.url",
        )
    former = (await tx.execute(_by_measure, {"measure_id": measure_id})).one_or_none()
    if former is not None and former.key != facts.key:
        raise refuse(
            422,
            "business-rule",
            f"found the url {facts.key}, expected {former.key}: a contract keeps its url, reports name it",
            "Measure.url",
        )
    bound = facts.payer if former is None else former.payer or facts.payer
    await upsert(
        tx,
        contract,
        {
            "key": facts.key,
            "measure_id": measure_id,
            "payer": bound,
            "facts": orjson.dumps(facts).decode(),
        },
    )


async def bind(tx: Connection, key: str, payer: str) -> None:
    """Note who pays under a contract that nobody was bound to yet."""
    await tx.execute(_bind, {"of_key": key, "by": payer})


def _facts(row: Any) -> ContractFacts:
    said = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in orjson.loads(row.facts).items()
    }
    return ContractFacts(**{**said, "payer": row.payer})
