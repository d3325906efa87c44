"""Are the project's own examples filed as their author meant them? Parents after children, a Group among them."""

from __future__ import annotations

from schemas import examples
from schemas.facets import token
from services.publisher.derive.model import Derived
from tests.pure.filed_examples import filed
from tests.pure.test_examples import INTENDED


def _filed() -> list[tuple[str, Derived]]:
    return filed([path.read_bytes() for path in examples.reports()])


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
