"""Are the project's own examples filed as their author meant them? Parents after children, a Group among them."""

from __future__ import annotations

import orjson

from schemas import examples
from schemas.facets import token
from services.publisher.derive import contract_facts, derive, needs
from services.publisher.derive.elements import identifier_tokens
from services.publisher.derive.model import Context, Derived, ParentFacts
from tests.pure.small_reports import BASE, STORED_AT
from tests.pure.test_examples import INTENDED


def _filed() -> list[tuple[str, Derived]]:
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

    texts = [path.read_bytes() for path in examples.reports()]
    for text in texts:
        file(text)  # the first pass finds out who lists whom
    return [file(text) for text in texts]


def test_every_version_has_its_contract_and_stage() -> None:
    found = [(id_, each.contract, each.stage.value) for id_, each in _filed()]
    assert found == [tuple(row) for row in INTENDED]


def test_a_later_report_supersedes_the_one_of_the_same_contract_provider_and_period() -> None:
    identities = {id_: each.identity for id_, each in _filed()}
    prairie = {identities[f"prairie-valley-2024-{stage}"] for stage in ("interim", "final", "settled")}
    assert len(prairie) == 1
    assert identities["harbor-point-2024-q3"] != identities["harbor-point-2024"]


def test_a_provider_behind_a_group_is_found_by_its_npi() -> None:
    found = dict(_filed())["st-brigid-2024"]
    assert found.provider == "Organization/st-brigid-medical-center"
    npi = token("http://hl7.org/fhir/sid/us-npi", "2100088352")
    assert npi in found.facets["provider-identifier"]
