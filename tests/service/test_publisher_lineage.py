"""`$lineage`: what became of a report from interim to correction, over real versions, as a provider's engineer asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.structure.gate import check_structure
from tests.publishing import Answer, Publishing, contract_url, performance, quality, subject

Json = dict[str, Any]
YEAR = f"contract={contract_url()}&provider=Organization/provider&start=2025-01-01&end=2025-12-31"
MARCH = {"start": "2025-01-01", "end": "2025-03-31"}


def parts(answer: Answer, name: str) -> list[dict[str, Any]]:
    """Return each parameter of a name that has parts: value by name, and its changes."""
    assert answer.status == 200, answer.text
    assert check_structure(answer.json) == []
    return [_read(each["part"]) for each in answer.json["parameter"] if each["name"] == name]


def _read(given: list[Json]) -> dict[str, Any]:
    out: dict[str, Any] = {"change": [_read(each["part"]) for each in given if each["name"] == "change"]}
    for each in given:
        if "part" not in each:
            (value,) = (value for key, value in each.items() if key != "name")
            out[each["name"]] = value
    return out


def reports(answer: Answer) -> list[tuple[str, str | None]]:
    """Return each generation, and what it is compared with."""

    def told(reference: Json | None) -> str | None:
        if reference is None:
            return None
        return str(reference["reference"]).removeprefix("MeasureReport/").replace("/_history/", "/")

    return [
        (told(each["report"]) or "", told(each.get("compared-with"))) for each in parts(answer, "generation")
    ]


async def stored(publisher: Publishing, *sent: Json) -> None:
    for each in sent:
        assert (await publisher.put(each)).status in {200, 201}


async def test_the_generations_of_a_report_and_what_changed_between_them(publisher: Publishing) -> None:
    await stored(
        publisher, performance("interim", "interim", score=3), performance("interim", "final", score=4)
    )
    sent = json.dumps(performance("settled", "settled", score=0)).replace('"value": 0}', '"value": 4.50}')
    assert (await publisher.send("PUT", "/MeasureReport/settled", sent.encode())).status == 201

    answer = await publisher.get("/MeasureReport/interim/$lineage")

    assert reports(answer) == [("interim/1", None), ("interim/2", "interim/1"), ("settled/1", "interim/2")]
    found = parts(answer, "generation")
    assert [(each["number"], each["stage"], each["current"]) for each in found] == [
        (1, "interim", False), (2, "final", False), (3, "settled", True),
    ]  # fmt: skip
    (change,) = found[2]["change"]
    assert change["what"] == "changed"
    assert change["element"] == "MeasureReport.group[0].measureScore"
    assert change["metric"]["coding"][0]["code"] == "weighted-avg-star"
    assert '{"name":"after","valueQuantity":{"value":4.50}}' in answer.text
    assert '{"name":"difference","valueDecimal":0.50}' in answer.text
    named = {each["name"]: each for each in answer.json["parameter"] if "part" not in each}
    assert named["contract"]["valueUri"] == contract_url()
    assert named["provider"]["valueReference"] == {"reference": "Organization/provider"}
    assert named["period"]["valuePeriod"] == {"start": "2025-01-01", "end": "2025-12-31"}
    assert named["complete"]["valueBoolean"] is True


async def test_one_identity_however_it_is_asked_for(publisher: Publishing) -> None:
    await stored(publisher, performance("one", score=3), performance("two", score=4))
    base = "https://publisher.example/fhir"
    given: list[tuple[str, Json]] = [
        (name, {f"value{kind}": value})
        for name, kind, value in (
            ("contract", "Uri", f"{contract_url()}|1"),
            ("provider", "Reference", {"reference": f"{base}/Organization/provider"}),
            ("start", "Date", "2025"),
            ("end", "Date", "2025-12"),
        )
    ]
    asked = {"resourceType": "Parameters", "parameter": [{"name": name, **value} for name, value in given]}

    answers = [
        await publisher.get("/MeasureReport/two/$lineage"),
        await publisher.get(f"/MeasureReport/$lineage?{YEAR}"),
        await publisher.get("/MeasureReport/$lineage?report=MeasureReport/two"),
        await publisher.get(f"/MeasureReport/$lineage?report={base}/MeasureReport/two/_history/1"),
        await publisher.send("POST", "/MeasureReport/$lineage", asked),
    ]

    assert reports(answers[0]) == [("one/1", None), ("two/1", "one/1")]
    assert {each.text for each in answers} == {answers[0].text}


async def test_a_write_to_a_superseded_report_is_compared_with_its_own_former_version(
    publisher: Publishing,
) -> None:
    await stored(
        publisher, performance("old", score=1), performance("new", score=2), performance("old", score=3),
        performance("new", score=4),
    )  # fmt: skip

    answer = await publisher.get(f"/MeasureReport/$lineage?{YEAR}")

    assert reports(answer) == [("old/1", None), ("new/1", "old/1"), ("old/2", "old/1"), ("new/2", "new/1")]
    assert [each["current"] for each in parts(answer, "generation")] == [False, False, False, True]


async def test_the_first_generation_is_compared_with_the_predecessor(publisher: Publishing) -> None:
    await stored(
        publisher,
        performance("march", "settled", score=2, period=MARCH),
        performance("elsewhere", score=9, period=MARCH, subject=subject("Organization/other-provider")),
        performance("year", "interim", score=3),
        performance("march", "settled", score=1, period=MARCH),
    )

    answer = await publisher.get("/MeasureReport/year/$lineage")

    (before,) = parts(answer, "predecessor")
    assert (before["report"]["reference"], before["stage"], before["period"]) == (
        "MeasureReport/march/_history/1", "settled", MARCH,
    )  # fmt: skip
    assert reports(answer) == [("year/1", "march/1")]
    (first,) = parts(answer, "generation")
    assert [each["element"] for each in first["change"]] == [
        "MeasureReport.period",
        "MeasureReport.group[0].measureScore",
    ]
    assert parts(await publisher.get("/MeasureReport/march/$lineage"), "predecessor") == []


async def test_a_report_that_was_put_under_another_period_is_told_by_the_period_it_has(
    publisher: Publishing,
) -> None:
    await stored(publisher, performance("one", period=MARCH), performance("one", score=4))

    assert reports(await publisher.get("/MeasureReport/one/$lineage")) == [("one/2", None)]


async def test_a_quality_report_has_generations_of_its_own(publisher: Publishing) -> None:
    await stored(publisher, quality("eyes", score=0.25))
    waiting = await publisher.get("/MeasureReport/eyes/$lineage")
    assert reports(waiting) == [("eyes/1", None)]
    assert "contract" not in {each["name"] for each in waiting.json["parameter"]}

    await stored(publisher, performance("parent", lists=["eyes"]), quality("eyes", "settled", score=0.5))
    answer = await publisher.get("/MeasureReport/eyes/$lineage")

    assert reports(answer) == [("eyes/1", None), ("eyes/2", "eyes/1")]
    named = {each["name"]: each for each in answer.json["parameter"]}
    assert named["parent"]["valueReference"] == {"reference": "MeasureReport/parent"}
    assert named["measure"]["valueCanonical"] == "https://measures.example/Measure/eyes|2.1"
    assert [each["element"] for each in parts(answer, "generation")[1]["change"]] == [
        "MeasureReport.group[0].measureScore"
    ]


async def test_after_a_deletion_a_report_begins_anew(publisher: Publishing) -> None:
    await stored(publisher, performance("one", score=1))
    assert (await publisher.send("DELETE", "/MeasureReport/one")).status == 204
    assert (await publisher.get("/MeasureReport/one/$lineage")).status == 410
    assert (await publisher.get(f"/MeasureReport/$lineage?{YEAR}")).status == 404
    await stored(publisher, performance("one", score=2))

    answer = await publisher.get("/MeasureReport/one/$lineage")

    assert reports(answer) == [("one/1", None), ("one/2", None), ("one/3", None)]
    assert [each.get("deleted") for each in parts(answer, "generation")] == [None, True, None]


async def test_of_many_generations_the_latest_are_listed(publisher: Publishing) -> None:
    for score in range(53):
        await stored(publisher, performance("one", score=score))

    answer = await publisher.get("/MeasureReport/one/$lineage")

    found = reports(answer)
    assert (len(found), found[0], found[-1]) == (50, ("one/4", None), ("one/53", "one/52"))
    assert {"name": "complete", "valueBoolean": False} in answer.json["parameter"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/MeasureReport/none/$lineage", 404, "no report none is known here"),
        (f"/MeasureReport/$lineage?{YEAR.replace('2025-12-31', '2026-12-31')}", 404, "end 2026-12-31"),
        ("/MeasureReport/$lineage", 400, "missing: contract, provider, start, end"),
        ("/MeasureReport/$lineage?contract=x&start=2025", 400, "missing: provider, end"),
        (f"/MeasureReport/$lineage?{YEAR}&report=one", 400, "report and contract are both given"),
        (f"/MeasureReport/$lineage?{YEAR}&period=2025", 400, "period is no input of $lineage"),
        (f"/MeasureReport/$lineage?{YEAR.replace('2025-01-01', 'May')}", 400, "start: found 'May'"),
    ],
)
async def test_what_cannot_be_answered_says_why(
    publisher: Publishing, path: str, status: int, words: str
) -> None:
    answer = await publisher.get(path)

    assert answer.status == status
    assert words in answer.said


@pytest.mark.parametrize("body", [{"resourceType": "Measure", "status": "active"}, {"resourceType": "Parameters", "parameter": [{"name": "start", "valueInteger": 1}]}])  # fmt: skip
async def test_a_body_that_is_no_question_is_refused(publisher: Publishing, body: Json) -> None:
    answer = await publisher.send("POST", "/MeasureReport/$lineage", body)

    assert (answer.status, len(answer.issues)) == (400, 1)
