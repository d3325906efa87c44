"""May a Measure be this contract, and who pays under it? A contract is a Measure, known by its url. Pure."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import orjson

from schemas.outcome import refuse
from services.publisher.derive.model import ContractFacts
from services.publisher.store.model import Contract
from services.publisher.store.view import View

_LONGEST_URL = 1000
_FACTS = frozenset(field.name for field in fields(ContractFacts))


def decide(view: View, measure_id: str, facts: ContractFacts) -> Contract:
    """Return the contract that a Measure says, or what it now says of it, and see it from here on.

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
    other = view.contracts.get(facts.key)
    if other is not None and other.measure_id != measure_id:
        raise refuse(
            409,
            "duplicate",
            f"the contract {facts.key} is already Measure/{other.measure_id}; update that one instead",
            "Measure.url",
        )
    former = view.measures.get(measure_id)
    if former is not None and former != facts.key:
        raise refuse(
            422,
            "business-rule",
            f"found the url {facts.key}, expected {former}: a contract keeps its url, reports name it",
            "Measure.url",
        )
    bound = facts.payer if other is None else other.facts.payer or facts.payer
    new = Contract(measure_id, replace(facts, payer=bound))
    view.put(view.contracts, facts.key, new)
    view.put(view.measures, measure_id, facts.key)
    return new


def row(contract: Contract) -> dict[str, Any]:
    """Return the row of a contract."""
    facts = contract.facts
    return {
        "key": facts.key,
        "measure_id": contract.measure_id,
        "payer": facts.payer,
        "facts": orjson.dumps(facts).decode(),
    }


def from_row(row: Any) -> Contract:
    """Return the contract of a row."""
    said = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in orjson.loads(row.facts).items()
        if name in _FACTS  # a later version of this software may say more
    }
    return Contract(row.measure_id, ContractFacts(**{**said, "payer": row.payer}))
