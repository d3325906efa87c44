"""The project's own examples as the publisher files them: contracts, organisations and parents looked up as it does."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from schemas import examples
from services.publisher.derive import contract_facts, derive, needs
from services.publisher.derive.elements import identifier_tokens
from services.publisher.derive.model import Context, Derived, ParentFacts
from tests.pure.small_reports import BASE, STORED_AT


def filed(texts: Sequence[bytes]) -> list[tuple[str, Derived]]:
    """Derive each report version once its parent is known, in the order they are published."""
    parties = [orjson.loads(path.read_bytes()) for path in examples.parties()]
    contracts = {
        facts.key: facts
        for path in examples.contracts()
        for facts in [contract_facts(orjson.loads(path.read_bytes()), None)]
    }
    identifiers = {
        f"Organization/{each['id']}": tuple(identifier_tokens(each["identifier"]))
        for each in parties
        if each["resourceType"] == "Organization"
    }
    managers = {
        f"Group/{each['id']}": each["managingEntity"]["reference"]
        for each in parties
        if each["resourceType"] == "Group"
    }
    parents: dict[str, ParentFacts] = {}

    def file(raw: bytes) -> tuple[str, Derived]:
        report = orjson.loads(raw)
        wanted, parent = needs(report, BASE), parents.get(report["id"])
        key = wanted.contract or (parent.contract if parent else "")
        context = Context(
            contracts.get(key), managers.get(wanted.group or ""), parent=parent, identifiers=identifiers
        )
        found = derive(
            report,
            context,
            report_id=report["id"],
            base_url=BASE,
            stage_mapping={},
            last_updated=STORED_AT,
            raw=raw,
        )
        for child in found.lists:
            facts = (found.contract or "", found.payer or "", found.provider or "", found.identity or "")
            parents.setdefault(child, ParentFacts(report["id"], *facts))
        return report["id"], found

    for text in texts:
        file(text)  # the first pass finds out who lists whom
    return [file(text) for text in texts]
