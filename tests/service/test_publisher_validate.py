"""`$validate`: what is wrong with a resource, said by the publisher, and nothing stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.publishing import Answer, Publishing, contract, performance, publishing, quality, subject
from tests.pure import full_resources as full

Json = dict[str, Any]
STRUCTURE = "http://hl7.org/fhir/StructureDefinition/MeasureReport"


@pytest.fixture
async def publisher(tmp_path: Path) -> AsyncIterator[Publishing]:
    async with publishing(f"sqlite+aiosqlite:///{tmp_path / 'publisher'}.sqlite") as opened:
        await opened.prepare()
        yield opened


def parameters(**given: Any) -> Json:
    named: list[Json] = []
    for name, value in given.items():
        key = {"resource": "resource", "mode": "valueCode", "profile": "valueUri"}[name]
        named.append({"name": name, key: value})
    return {"resourceType": "Parameters", "parameter": named}


def found(answer: Answer) -> list[tuple[str, str | None]]:
    """Return the rule and the element of each issue, without the note on what it was judged by."""
    assert answer.status == 200, answer.text
    note, *issues = answer.json["issue"]
    assert note["severity"] == "information"
    return [
        (
            issue["severity"] if "details" not in issue else issue["details"]["coding"][0]["code"],
            (issue.get("expression") or [None])[0],
        )
        for issue in issues
        if issue["severity"] != "information"
    ]


async def test_a_report_that_is_right_is_judged_and_not_stored(publisher: Publishing) -> None:
    before = await publisher.counts()

    answer = await publisher.send("POST", "/MeasureReport/$validate", performance())

    assert found(answer) == []
    assert answer.said.startswith("Judged by vbp-performance-measurereport of VBPR 1.1.0.")
    assert await publisher.counts() == before


async def test_every_issue_is_said_and_the_answer_is_200(publisher: Publishing) -> None:
    report = performance(status="done")
    report["group"][0].pop("code")
    report["group"][0]["code"] = {"text": "own"}
    report["date"] = "2024-02-30"
    report["type"] = "individual"

    answer = await publisher.send("POST", "/MeasureReport/$validate", report)

    assert set(found(answer)) == {
        ("error", "MeasureReport.status"),
        ("error", "MeasureReport.date"),
        ("vbpr-type", "MeasureReport.type"),
        ("vbpr-metric-codes", "MeasureReport.group[0].code"),
    }


@pytest.mark.parametrize("given", ["body", "Parameters"])
async def test_the_resource_comes_as_the_body_or_in_parameters(publisher: Publishing, given: str) -> None:
    report = quality(measure="https://measures.example/Measure/screening")
    body = report if given == "body" else parameters(resource=report, mode="create")

    answer = await publisher.send("POST", "/MeasureReport/$validate", body)

    assert found(answer) == [("deqm-0", "MeasureReport.measure")]


async def test_a_profile_may_be_asked_for(publisher: Publishing) -> None:
    report = full.first_quality()

    async def asked(profile: str) -> Answer:
        in_query = await publisher.send("POST", f"/MeasureReport/$validate?profile={profile}", report)
        in_body = await publisher.send(
            "POST", "/MeasureReport/$validate", parameters(resource=report, profile=profile)
        )
        assert in_query.json == in_body.json
        return in_query

    assert found(await asked(full.QUALITY)) == []
    assert found(await asked(f"{full.QUALITY}|1.0.0")) == []
    assert found(await asked(f"{full.QUALITY}|1.1.0")) == [("deqm-0", "MeasureReport.measure")]
    assert ("vbpr-subject", "MeasureReport.subject") in found(await asked(full.PERFORMANCE))
    only_structure = await asked(STRUCTURE)
    assert found(only_structure) == []
    assert only_structure.said == "Judged by the structure of MeasureReport in FHIR R4 alone."


async def test_an_instance_is_judged_as_it_is_stored(publisher: Publishing) -> None:
    report = performance("one")
    assert (await publisher.put(report)).status == 201

    by_post = await publisher.send("POST", "/MeasureReport/one/$validate", parameters(mode="profile"))
    by_get = await publisher.get(f"/MeasureReport/one/$validate?profile={full.QUALITY}")

    assert found(by_post) == []
    assert ("deqm-subject", "MeasureReport.subject") in found(by_get)


async def test_an_update_is_judged_with_its_id(publisher: Publishing) -> None:
    report = performance("one", type="individual")

    answer = await publisher.send("POST", "/MeasureReport/one/$validate?mode=update", report)
    assert found(answer) == [("vbpr-type", "MeasureReport.type")]
    other = await publisher.send("POST", "/MeasureReport/two/$validate?mode=update", report)
    assert (other.status, other.issues) == (400, [("error", "invalid", "MeasureReport.id")])


async def test_a_period_that_ends_before_it_starts_is_said(publisher: Publishing) -> None:
    report = performance(period={"start": "2019-06-01", "end": "2019-01-01"})

    answer = await publisher.send("POST", "/MeasureReport/$validate", report)

    assert found(answer) == [("per-1", "MeasureReport.period")]
    assert "found the start '2019-06-01' and the end '2019-01-01'" in answer.text


async def test_whether_an_instance_may_be_deleted(publisher: Publishing) -> None:
    assert (await publisher.put(performance("one"))).status == 201
    before = await publisher.counts()

    answer = await publisher.get("/MeasureReport/one/$validate?mode=delete")

    assert (answer.status, answer.said) == (200, "MeasureReport/one may be deleted.")
    assert await publisher.counts() == before


async def test_what_others_refer_to_may_not_be_deleted(publisher: Publishing) -> None:
    assert (await publisher.put(performance("one"))).status == 201

    for what, element in (("Organization/provider", "Organization"), ("Measure/contract-one", "Measure")):
        answer = await publisher.get(f"/{what}/$validate?mode=delete")
        assert found(answer) == [("error", element)]
        assert answer.said.startswith(f"{what} may not be deleted.")
        assert (await publisher.send("DELETE", f"/{what}")).status == 409


async def test_a_report_is_compared_with_its_contract(publisher: Publishing) -> None:
    measure = contract()
    measure["effectivePeriod"] = {"start": "2030-01-01", "end": "2030-12-31"}
    assert (await publisher.put(measure)).status == 200

    answer = await publisher.send("POST", "/MeasureReport/$validate", performance())

    assert found(answer) == [("contract-period", "MeasureReport.period")]


async def test_a_contract_and_an_organisation_are_judged_too(publisher: Publishing) -> None:
    measure = full.contract()
    del measure["title"]

    assert found(await publisher.send("POST", "/Measure/$validate", measure)) == [
        ("vbpr-contract-title", "Measure.title")
    ]
    organisation = {"resourceType": "Organization", "name": 1}
    assert found(await publisher.send("POST", "/Organization/$validate", organisation)) == [
        ("error", "Organization.name")
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/MeasureReport/$validate", b"{", 400, "invalid"),
        ("/MeasureReport/$validate", contract(), 400, "invalid"),
        ("/MeasureReport/$validate", parameters(mode="create"), 400, "required"),
        ("/MeasureReport/$validate?mode=guess", performance(), 400, "value"),
        ("/MeasureReport/$validate?mode=delete", performance(), 400, "invalid"),
        ("/MeasureReport/$validate?mode=update", performance(), 400, "invalid"),
        ("/MeasureReport/$validate?profile=http://example.org/p", performance(), 400, "not-supported"),
        (f"/MeasureReport/$validate?profile={full.CONTRACT}", performance(), 400, "not-supported"),
        ("/MeasureReport/none/$validate", None, 404, "not-found"),
        ("/MeasureReport/$validate", {"resourceType": "Parameters", "parameter": [{"name": "x", "valueCode": "y"}]}, 400, "not-supported"),
        ("/MeasureReport/$validate", {"resourceType": "Parameters", "parameter": [{"nam": "x"}]}, 400, "structure"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_is_refused(
    publisher: Publishing, path: str, body: Any, status: int, code: str
) -> None:
    answer = await publisher.send("POST", path, body)

    assert answer.status == status, answer.text
    assert code in [issue["code"] for issue in answer.json["issue"]]


async def test_the_capability_statement_lists_it(publisher: Publishing) -> None:
    statement = (await publisher.get("/metadata")).json

    for resource in statement["rest"][0]["resource"]:
        operations = {operation["name"] for operation in resource.get("operation", ())}
        served = await publisher.send("POST", f"/{resource['type']}/$validate", {"resourceType": "x"})
        assert ("validate" in operations) == (served.status == 400), resource["type"]


UNKNOWN = "https://payer.example/Measure/unknown"


@pytest.mark.parametrize(("mode", "severity"), [("", "warning"), ("?mode=create", "error")])
async def test_what_would_keep_a_report_from_being_stored_is_said(
    publisher: Publishing, mode: str, severity: str
) -> None:
    before = await publisher.counts()

    answer = await publisher.send("POST", f"/MeasureReport/$validate{mode}", performance(measure=UNKNOWN))

    assert found(answer) == [(severity, "MeasureReport.measure")]
    assert f"No contract here has the url {UNKNOWN}" in answer.said
    assert await publisher.counts() == before


async def test_of_a_profile_nothing_is_asked_of_the_store(publisher: Publishing) -> None:
    answer = await publisher.send(
        "POST", "/MeasureReport/$validate?mode=profile", performance(measure=UNKNOWN)
    )

    assert found(answer) == []


async def test_an_update_that_changes_the_provider_would_be_refused(publisher: Publishing) -> None:
    assert (await publisher.put(performance("one"))).status == 201
    changed = performance("one", subject=subject("Organization/other-provider"))

    answer = await publisher.send("POST", "/MeasureReport/one/$validate?mode=update", changed)

    assert found(answer) == [("error", "MeasureReport.subject")]
    assert (await publisher.put(changed)).issues == [("error", "business-rule", "MeasureReport.subject")]


async def test_a_listed_report_of_another_provider_would_be_refused(publisher: Publishing) -> None:
    assert (await publisher.put(performance("parent", lists=["eyes"]))).status == 201
    assert (await publisher.put(quality("eyes"))).status == 201
    other = performance("other", subject=subject("Organization/other-provider"), lists=["feet", "eyes"])

    answer = await publisher.send("POST", "/MeasureReport/$validate?mode=create", other)

    assert found(answer) == [("error", "MeasureReport.evaluatedResource[1]")]


async def test_what_is_there_already_is_said_to_be_and_still_held_against_its_contract(
    publisher: Publishing,
) -> None:
    late = performance("late", period={"start": "2025-01-01", "end": "2026-01-31"})
    assert (await publisher.put(late)).status == 201

    answer = await publisher.send("POST", "/MeasureReport/late/$validate?mode=update", late)
    stored = await publisher.get("/MeasureReport/late/$validate")

    assert "Nothing would be stored" in answer.said
    assert "Nothing would be stored" not in stored.said
    assert found(answer) == found(stored) == [("contract-period", "MeasureReport.period")]


async def test_a_quality_report_that_would_wait_is_told_so_and_one_of_a_parent_is_not(
    publisher: Publishing,
) -> None:
    assert (await publisher.put(performance("parent", lists=["eyes"]))).status == 201

    assert found(await publisher.send("POST", "/MeasureReport/$validate", quality("feet"))) == [
        ("report-waits", "MeasureReport")
    ]
    assert found(await publisher.send("POST", "/MeasureReport/$validate", quality("eyes"))) == []


async def test_a_settled_report_is_held_against_the_one_before_it(publisher: Publishing) -> None:
    def report(id_: str, stage: str, end: str, unit: str) -> Json:
        made = performance(id_, stage, period={"start": "2025-01-01", "end": end})
        made["group"][0]["measureScore"]["unit"] = unit
        return made

    assert (await publisher.put(report("march", "interim", "2025-03-31", "stars"))).status == 201
    changed = ("predecessor-unit", "MeasureReport.group[0].measureScore")

    for end in ("2025-03-31", "2025-06-30"):
        other = report("next", "settled", end, "USD")
        assert changed in found(await publisher.send("POST", "/MeasureReport/$validate", other))
        same = report("next", "settled", end, "stars")
        assert changed not in found(await publisher.send("POST", "/MeasureReport/$validate", same))


async def test_a_contract_that_is_there_under_another_id_would_be_refused(publisher: Publishing) -> None:
    second = {**contract(), "id": "second"}

    answer = await publisher.send("POST", "/Measure/second/$validate?mode=update", second)

    assert found(answer) == [("error", "Measure.url")]
    assert "already Measure/contract-one" in answer.said
