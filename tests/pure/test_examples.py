"""Are the project's own examples what their README says, and valid FHIR by an outside judge?"""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fhir.resources.R4B import get_fhir_model_class

from schemas import examples, fhir

CONTRACT_BASE = "https://lakeshore-health-plan.example/contracts/"
MEDICARE = CONTRACT_BASE + "medicare-advantage-harbor-point"
MEDICAID = CONTRACT_BASE + "medicaid-prairie-valley"
COMMERCIAL = CONTRACT_BASE + "commercial-harbor-point"
ST_BRIGID = "https://summit-mutual.example/contracts/commercial-st-brigid"


class Row(NamedTuple):
    """One report version as its author meant it."""

    id: str
    contract: str
    stage: str


# fmt: off
INTENDED = (
    Row("harbor-point-2024-h1-breast-cancer-screening", MEDICARE,   "interim"),
    Row("harbor-point-2024-h1",                         MEDICARE,   "interim"),
    Row("prairie-valley-2024-interim",                  MEDICAID,   "interim"),
    Row("prairie-valley-2024-well-child",               MEDICAID,   "interim"),
    Row("st-brigid-2024-q3",                            ST_BRIGID,  "interim"),
    Row("harbor-point-2024-q3",                         MEDICARE,   "interim"),
    Row("harbor-point-2024-breast-cancer-screening",    MEDICARE,   "final"),
    Row("harbor-point-2024-blood-pressure",             MEDICARE,   "final"),
    Row("harbor-point-2024",                            MEDICARE,   "final"),
    Row("prairie-valley-2024-well-child",               MEDICAID,   "final"),
    Row("prairie-valley-2024-final",                    MEDICAID,   "final"),
    Row("st-brigid-2024",                               ST_BRIGID,  "final"),
    Row("st-brigid-2024-readmissions",                  ST_BRIGID,  "final"),
    Row("harbor-point-commercial-2024",                 COMMERCIAL, "final"),
    Row("harbor-point-commercial-2024",                 COMMERCIAL, "withdrawn"),
    Row("harbor-point-2024-breast-cancer-screening",    MEDICARE,   "settled"),
    Row("harbor-point-2024-blood-pressure",             MEDICARE,   "settled"),
    Row("harbor-point-2024",                            MEDICARE,   "settled"),
    Row("prairie-valley-2024-settled",                  MEDICAID,   "settled"),
    Row("harbor-point-2024",                            MEDICARE,   "settled"),
)
# fmt: on

STAGE_BY_STATUS = {"pending": "interim", "complete": "final", "error": "withdrawn"}
EVERY_FILE = (
    *examples.parties(),
    *examples.contracts(),
    *examples.reports(),
    *examples.subscriptions(),
)


def read(path: Path) -> dict[str, Any]:
    """Return the resource, decimals as `Decimal`."""
    resource: dict[str, Any] = json.loads(path.read_text("utf-8"), parse_float=Decimal)
    return resource


def extensions(element: dict[str, Any], url: str) -> list[dict[str, Any]]:
    return [extension for extension in element.get("extension", []) if extension["url"] == url]


def stage(report: dict[str, Any]) -> str:
    tags = [tag for tag in report["meta"].get("tag", []) if tag["system"] == fhir.REPORT_STAGE_SYSTEM]
    return str(tags[0]["code"]) if tags else STAGE_BY_STATUS[report["status"]]


def is_quality(report: dict[str, Any]) -> bool:
    return bool(report["meta"]["profile"] == [fhir.QUALITY_PROFILE])


def listed(report: dict[str, Any]) -> list[str]:
    return [
        entry["reference"].removeprefix("MeasureReport/") for entry in report.get("evaluatedResource", [])
    ]


PARTIES = {f"{party['resourceType']}/{party['id']}": party for party in map(read, examples.parties())}
CONTRACTS = {contract["url"]: contract for contract in map(read, examples.contracts())}
REPORTS = [read(path) for path in examples.reports()]
PERFORMANCE = [report for report in REPORTS if not is_quality(report)]
QUALITY = [report for report in REPORTS if is_quality(report)]


def provider(report: dict[str, Any]) -> str:
    """Return the provider of a performance report, in either of the two shapes."""
    subject = report["subject"]
    if "reference" in subject:
        return str(PARTIES[subject["reference"]]["managingEntity"]["reference"])
    (extension,) = extensions(subject, fhir.ORGANIZATION_SUBJECT)
    return str(extension["valueReference"]["reference"])


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: path.stem)
def test_the_oracle_accepts_every_example(path: Path) -> None:
    resource = json.loads(path.read_text("utf-8"))
    model = get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    assert model.get_resource_type() == resource["resourceType"]


def test_the_readme_names_every_file_once_and_in_order() -> None:
    folder = Path(examples.__file__).parent
    rows = [
        line.split("`")[1]
        for line in (folder / "README.md").read_text("utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert rows == [path.relative_to(folder).as_posix() for path in EVERY_FILE]


def test_report_files_are_numbered_in_publish_order() -> None:
    assert [path.name[:3] for path in examples.reports()] == [f"{n:02d}-" for n in range(1, 21)]
    days = [report["date"][:10] for report in REPORTS]
    assert days == sorted(days)


def test_reports_have_the_ids_and_stages_their_author_meant() -> None:
    assert [(report["id"], stage(report)) for report in REPORTS] == [(row.id, row.stage) for row in INTENDED]
    assert {row.stage for row in INTENDED} == {"interim", "final", "settled", "withdrawn"}


def test_reports_belong_to_the_contracts_their_author_meant() -> None:
    """A performance report by `measure`, a quality report by the first report that lists it."""
    contract_of = {report["id"]: report["measure"] for report in PERFORMANCE}
    for parent in PERFORMANCE:
        for child in listed(parent):
            contract_of.setdefault(child, parent["measure"])
    assert [contract_of[report["id"]] for report in REPORTS] == [row.contract for row in INTENDED]
    assert set(contract_of.values()) == set(CONTRACTS)


def test_ids_are_unique_apart_from_the_intended_version_chains() -> None:
    resources = [read(path) for path in (*examples.parties(), *examples.contracts())]
    keys = [(resource["resourceType"], resource["id"]) for resource in resources]
    assert len(keys) == len(set(keys))

    versions: dict[str, int] = defaultdict(int)
    for report in REPORTS:
        versions[report["id"]] += 1
    assert {id_: count for id_, count in versions.items() if count > 1} == {
        "harbor-point-2024": 3,
        "harbor-point-2024-breast-cancer-screening": 2,
        "harbor-point-2024-blood-pressure": 2,
        "harbor-point-commercial-2024": 2,
        "prairie-valley-2024-well-child": 2,
    }


def test_a_later_version_changes_neither_contract_nor_party_and_is_not_a_copy() -> None:
    first: dict[str, dict[str, Any]] = {}
    for report in REPORTS:
        before = first.setdefault(report["id"], report)
        if before is report:
            continue
        for element in ("measure", "reporter", "subject", "identifier"):
            assert report.get(element) == before.get(element), (report["id"], element)
        assert report["meta"]["profile"] == before["meta"]["profile"]
        assert report != before


def test_the_correction_restates_the_money_of_a_settled_report() -> None:
    settled, corrected = (
        report for report in PERFORMANCE if report["id"] == "harbor-point-2024" and stage(report) == "settled"
    )
    saving = {
        name: {group["id"]: group["measureScore"] for group in report["group"]}["shared-saving-deficit"][
            "value"
        ]
        for name, report in (("settled", settled), ("corrected", corrected))
    }
    assert saving == {"settled": Decimal("1145113.88"), "corrected": Decimal("1188781.52")}
    assert settled["period"] == corrected["period"]


def test_year_to_date_reports_grow() -> None:
    to_date = [
        report
        for report in PERFORMANCE
        if report["measure"] == MEDICARE and report["id"] in {"harbor-point-2024-h1", "harbor-point-2024-q3"}
    ]
    half, three_quarters = (
        {group["id"]: group["measureScore"].get("value") for group in report["group"]} for report in to_date
    )
    assert to_date[0]["period"]["start"] == to_date[1]["period"]["start"]
    assert to_date[0]["period"]["end"] < to_date[1]["period"]["end"]
    for metric in ("member-months", "revenue", "med-rx-cost"):
        assert half[metric] < three_quarters[metric]


def test_every_listed_quality_report_exists_and_none_is_an_orphan() -> None:
    quality_ids = {report["id"] for report in QUALITY}
    listed_ids = {child for report in PERFORMANCE for child in listed(report)}
    assert listed_ids == quality_ids


def test_a_quality_report_comes_before_its_parent_and_another_after() -> None:
    order = [report["id"] for report in REPORTS]
    before = {
        child: order.index(child) < order.index(parent["id"])
        for parent in reversed(PERFORMANCE)
        for child in listed(parent)
    }
    assert set(before.values()) == {True, False}


def test_group_references_point_into_the_same_report() -> None:
    for report in PERFORMANCE:
        groups = {group["id"] for group in report["group"]}
        for entry in report.get("evaluatedResource", []):
            for extension in extensions(entry, fhir.GROUP_REFERENCE):
                assert extension["valueString"] in groups, report["id"]


def test_parties_resolve_in_both_shapes() -> None:
    shapes = {"reference" if "reference" in report["subject"] else "extension" for report in PERFORMANCE}
    assert shapes == {"reference", "extension"}
    for report in PERFORMANCE:
        assert PARTIES[report["reporter"]["reference"]]["type"][0]["coding"][0]["code"] == "pay"
        assert PARTIES[provider(report)]["type"][0]["coding"][0]["code"] == "prov"
        assert CONTRACTS[report["measure"]]["publisher"] == PARTIES[report["reporter"]["reference"]]["name"]


def test_every_provider_has_an_npi_with_a_valid_check_digit() -> None:
    """The check digit is Luhn's over 80840 and the number (45 CFR 162.406)."""
    npis = {
        party["id"]: identifier["value"]
        for party in PARTIES.values()
        for identifier in party.get("identifier", [])
        if identifier["system"] == "http://hl7.org/fhir/sid/us-npi"
    }
    assert len(npis) == 3
    for npi in npis.values():
        digits = [int(digit) for digit in reversed("80840" + npi)]
        total = sum(digits[0::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
        assert len(npi) == 10
        assert total % 10 == 0


def test_contracts_cover_the_three_lines_of_business() -> None:
    lines = set()
    for contract in CONTRACTS.values():
        (line,) = extensions(contract, fhir.LINE_OF_BUSINESS)
        (coding,) = line["valueCodeableConcept"]["coding"]
        assert coding["system"] == fhir.PAYER_TYPE_SYSTEM
        lines.add(coding["code"])
        assert extensions(contract, fhir.PROGRAM_MODEL)
        assert extensions(contract, fhir.PAYMENT_STREAM)
        assert contract["effectivePeriod"]["start"] < contract["effectivePeriod"]["end"]
    assert lines == {"1", "2", "5"}


def test_every_component_of_a_contract_says_its_contractual_status() -> None:
    status = fhir.CONTRACT_PROFILE.replace("vbp-measure", "contractual-status")
    for contract in CONTRACTS.values():
        for component in contract["relatedArtifact"]:
            assert component["type"] == "composed-of"
            assert len(extensions(component, status)) == 1


def test_a_performance_report_has_the_category_and_codes_its_contract_names() -> None:
    for report in PERFORMANCE:
        assert report["type"] == "summary"
        (category,) = extensions(report, fhir.CATEGORY)
        assert category["valueCodeableConcept"]["coding"] == [{"system": fhir.CATEGORY_SYSTEM, "code": "vbp"}]
        may_report = {group["code"]["coding"][0]["code"] for group in CONTRACTS[report["measure"]]["group"]}
        reported = {group["code"]["coding"][0]["code"] for group in report["group"]}
        assert reported <= may_report, report["id"]
        assert "improvementNotation" not in report


@pytest.mark.parametrize("report", QUALITY, ids=lambda report: f"{report['id']}-{stage(report)}")
def test_a_quality_report_keeps_the_rules_of_deqm(report: dict[str, Any]) -> None:
    """DEQM 5.0.0: deqm-0 version, deqm-1 day precision, deqm-2 notation, deqm-3 scoring, deqm-5, deqm-8."""
    assert report["type"] == "summary"
    assert "subject" not in report
    assert "evaluatedResource" not in report
    assert report["measure"].partition("|")[2]
    assert len(report["period"]["start"]) >= 10
    assert len(report["period"]["end"]) >= 10
    (scoring,) = extensions(report, fhir.MEASURE_SCORING)
    assert scoring["valueCodeableConcept"]["coding"][0]["code"] in {"proportion", "ratio"}
    assert report["improvementNotation"]["coding"][0]["code"] in {"increase", "decrease"}
    for group in report["group"]:
        assert group["population"]
        assert all(isinstance(population["count"], int) for population in group["population"])
        assert 0 <= group["measureScore"]["value"] <= 1


@pytest.mark.parametrize("report", QUALITY, ids=lambda report: f"{report['id']}-{stage(report)}")
def test_a_quality_score_is_what_its_counts_say(report: dict[str, Any]) -> None:
    (group,) = report["group"]
    count = {
        population["code"]["coding"][0]["code"].removeprefix("calculated-"): population["count"]
        for population in group["population"]
    }
    rate = Decimal(count["numerator"]) / (count["denominator"] - count.get("denominator-exclusion", 0))
    score = group["measureScore"]["value"]
    assert abs(rate - score) <= Decimal(1).scaleb(score.as_tuple().exponent) / 2


def test_a_quality_measure_is_a_component_of_the_contract_it_is_reported_under() -> None:
    parents = [(child, parent["measure"]) for parent in PERFORMANCE for child in listed(parent)]
    measure_of = {report["id"]: report["measure"] for report in QUALITY}
    for child, contract in parents:
        components = {component["resource"] for component in CONTRACTS[contract]["relatedArtifact"]}
        assert measure_of[child] in components, child


def test_the_weighted_star_average_follows_from_the_listed_quality_reports() -> None:
    """Final 3.75, settled 4.00: the star of each measure times its weight in the contract."""
    weight_url = fhir.CONTRACT_PROFILE.replace("vbp-measure", "weight")
    score_url = fhir.CONTRACT_PROFILE.replace("vbp-measure", "score")
    weights = {
        component["resource"]: extensions(component, weight_url)[0]["valueDecimal"]
        for component in CONTRACTS[MEDICARE]["relatedArtifact"]
    }
    averages = []
    stars: dict[str, tuple[Decimal, Decimal]] = {}
    for report in REPORTS:
        if is_quality(report):
            for score in extensions(report, score_url):
                stars[report["id"]] = (Decimal(weights[report["measure"]]), Decimal(score["valueDecimal"]))
        elif report["id"] == "harbor-point-2024":
            said = {group["id"]: group["measureScore"] for group in report["group"]}["weighted-avg-star"][
                "value"
            ]
            weighted = [stars[child] for child in listed(report)]
            assert said == sum(weight * star for weight, star in weighted) / sum(
                weight for weight, _ in weighted
            )
            averages.append(str(said))
    assert averages == ["3.75", "4.00", "4.00"]


def test_the_large_report_is_of_the_size_the_benchmarks_expect() -> None:
    assert 36_000 <= examples.large().stat().st_size <= 40_000
    assert examples.large() in examples.reports()


def test_the_subscriptions_ask_for_things_the_examples_have() -> None:
    classic, topic = (read(path) for path in examples.subscriptions())
    assert classic["criteria"] == f"MeasureReport?contract={MEDICARE}&stage=settled"
    assert MEDICARE in CONTRACTS
    assert topic["criteria"] == fhir.OURS + "SubscriptionTopic/report-available"
    assert topic["meta"]["profile"] == [fhir.BACKPORT_SUBSCRIPTION_PROFILE]
    (content,) = extensions(topic["channel"]["_payload"], fhir.BACKPORT_PAYLOAD_CONTENT)
    assert content["valueCode"] == "full-resource"
    (filter_,) = extensions(topic["_criteria"], fhir.BACKPORT_FILTER)
    parameter, _, party = filter_["valueString"].partition("=")
    assert parameter == "MeasureReport?reporter"
    assert party in PARTIES
    for subscription in (classic, topic):
        assert subscription["channel"]["type"] == "rest-hook"
        assert subscription["channel"]["payload"] == fhir.FHIR_JSON
        assert subscription["channel"]["endpoint"] == "http://127.0.0.1:0/"
