"""What a payer's engineer relies on when patching: an update like any other, with every other digit as it was."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.publishing import (
    Publishing,
    bundle,
    group,
    patch_entry,
    performance,
    post_entry,
    put_entry,
    quality,
)

SCORE = "/group/0/measureScore/value"


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


async def test_a_patch_is_an_update(publisher: Publishing) -> None:
    await publisher.put(performance(stage="settled", score=3))
    patched = await publisher.patch("/MeasureReport/report", replace(SCORE, 4))
    assert (patched.status, patched.headers["ETag"]) == (200, 'W/"2"')
    assert patched.json["group"][0]["measureScore"]["value"] == 4
    assert (await publisher.get("/MeasureReport/report")).text == patched.text
    first, second = await publisher.emitted()
    assert (second.type.value, second.interaction) == ("org.vbpr.report.corrected.v1", "update")
    assert second.previous == first.facets
    assert await publisher.ids("metric-score=weighted-avg-star$4") == ["report"]


async def test_a_patch_leaves_every_other_digit(publisher: Publishing) -> None:
    sent = json.dumps(performance(score=0)).replace(
        '"measureScore": {"value": 0}', '"measureScore": {"value": 3.1400000000000000000010}'
    )
    await publisher.send("PUT", "/MeasureReport/report", sent.encode())
    operations = (
        b'[{"op": "test", "path": "/group/0/measureScore/value", "value": 3.14000000000000000000100},'
        b' {"op": "copy", "from": "/group/0", "path": "/group/-"},'
        b' {"op": "replace", "path": "/group/1/measureScore/value", "value": 1.50e2},'
        b' {"op": "replace", "path": "/group/1/id", "value": "more"}]'
    )
    patched = await publisher.send(
        "PATCH", "/MeasureReport/report", operations, Content_Type="application/json-patch+json"
    )
    assert patched.status == 200, patched.text
    assert '"value":3.1400000000000000000010}' in patched.text
    assert '"value":1.50e2}' in patched.text


async def test_every_type_is_patched(publisher: Publishing) -> None:
    await publisher.put(group("attributed", "Organization/provider"))
    for path, value in (
        ("/Organization/provider", replace("/name", "Renamed")),
        ("/Measure/contract-one", replace("/title", "Renamed")),
        ("/Group/attributed", {"op": "add", "path": "/name", "value": "Renamed"}),
    ):
        assert (await publisher.patch(path, value)).headers["ETag"] == 'W/"2"', path


async def test_a_patch_that_changes_nothing_stores_nothing(publisher: Publishing) -> None:
    first = await publisher.put(performance())
    before = await publisher.counts()
    again = await publisher.patch("/MeasureReport/report", replace(SCORE, 3))
    assert (again.status, again.text) == (200, first.text)
    assert await publisher.counts() == before


async def test_patches_sent_at_once_are_all_applied(publisher: Publishing) -> None:
    await publisher.put(performance())
    tag = {"system": "urn:tags"}
    answers = await asyncio.gather(
        *(
            publisher.patch(
                "/MeasureReport/report",
                {"op": "add", "path": "/meta/tag", "value": []}
                if not number
                else {"op": "add", "path": "/meta/security", "value": [{**tag, "code": str(number)}]},
                replace(SCORE, number),
            )
            for number in range(4, 8)
        )
    )
    assert [each.status for each in answers] == [200] * 4
    assert {each.headers["ETag"] for each in answers} == {f'W/"{number}"' for number in range(2, 6)}


async def test_if_match_keeps_a_patch_from_a_version_nobody_looked_at(publisher: Publishing) -> None:
    await publisher.put(performance())
    answers = await asyncio.gather(
        *(
            publisher.patch("/MeasureReport/report", replace(SCORE, score), If_Match='W/"1"')
            for score in (4, 5)
        )
    )
    assert sorted(each.status for each in answers) == [200, 412]


@pytest.mark.parametrize(
    ("operations", "status", "said"),
    [
        ([replace("/nothing", 1)], 422, "operation 0 (replace /nothing)"),
        ([replace(SCORE, 4), {"op": "test", "path": "/status", "value": "error"}], 422, "operation 1 (test /status)"),
        ([{"op": "spoil", "path": "/status"}], 400, "operation 0"),
        ([replace("/id", "another")], 422, "cannot change it"),
        ([replace("/status", "unheard-of")], 400, "unheard-of"),
        ([{"op": "remove", "path": "/reporter"}], 422, "reporter"),
        ([replace("/subject", {"reference": "Group/none"})], 422, "Group"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_refused_and_named(
    publisher: Publishing, operations: list[Any], status: int, said: str
) -> None:
    await publisher.put(performance())
    before = await publisher.counts()
    refused = await publisher.patch("/MeasureReport/report", *operations)
    assert refused.status == status, refused.text
    assert said in refused.said
    assert await publisher.counts() == before


async def test_only_json_patch_is_understood(publisher: Publishing) -> None:
    await publisher.put(performance())
    for kind in ("application/fhir+json", "application/json", "application/xml-patch+xml"):
        refused = await publisher.patch("/MeasureReport/report", replace(SCORE, 4), Content_Type=kind)
        assert (refused.status, refused.issues[0][1]) == (415, "not-supported")
    assert (await publisher.patch("/MeasureReport/never", replace(SCORE, 4))).status == 404


async def test_a_conditional_patch_changes_the_one_it_finds(publisher: Publishing) -> None:
    mine = [{"system": "urn:reports", "value": "42"}]
    query = "/MeasureReport?identifier=urn:reports|42"
    assert (await publisher.patch(query, replace(SCORE, 4))).status == 404
    await publisher.put(performance("one", identifier=mine))
    assert (await publisher.patch(query, replace(SCORE, 4))).json["id"] == "one"
    await publisher.put(performance("two", identifier=mine, score=9))
    assert (await publisher.patch(query, replace(SCORE, 5))).status == 412


async def test_a_patch_in_a_transaction_may_name_what_the_transaction_creates(publisher: Publishing) -> None:
    await publisher.put(performance())
    urn = "urn:uuid:0b5b6c5e-0000-4000-8000-000000000001"
    listed = {"op": "add", "path": "/evaluatedResource", "value": [{"reference": urn}]}
    answer = await publisher.send(
        "POST",
        "",
        bundle("transaction", patch_entry("MeasureReport/report", listed), post_entry(quality(), urn)),
    )
    assert answer.status == 200, answer.text
    patched, created = (each["response"] for each in answer.json["entry"])
    assert (patched["status"], created["status"]) == ("200 OK", "201 Created")
    stored = (await publisher.get("/MeasureReport/report")).json
    child = stored["evaluatedResource"][0]["reference"]
    assert created["location"].endswith(f"{child}/_history/1")
    assert [each.subject for each in await publisher.emitted()][1:] == [
        "report/2", f"{child.removeprefix('MeasureReport/')}/1",
    ]  # fmt: skip


async def test_one_patch_that_does_not_fit_undoes_the_whole_transaction(publisher: Publishing) -> None:
    await publisher.put(performance())
    before = await publisher.counts()
    answer = await publisher.send(
        "POST",
        "",
        bundle(
            "transaction",
            put_entry(performance("new", score=9)),
            patch_entry("MeasureReport/report", replace("/nothing", 1)),
        ),
    )
    assert answer.status == 422
    assert answer.issues == [("error", "processing", "Bundle.entry[1].resource")]
    assert await publisher.counts() == before


async def test_in_a_batch_a_patch_has_its_own_outcome(publisher: Publishing) -> None:
    await publisher.put(performance())
    plain = patch_entry("MeasureReport/report", replace(SCORE, 4))
    plain["resource"]["contentType"] = "text/plain"
    answer = await publisher.send(
        "POST",
        "",
        bundle(
            "batch",
            patch_entry("MeasureReport/report", replace(SCORE, 4), ifMatch='W/"1"'),
            patch_entry("MeasureReport/none", replace(SCORE, 4)),
            plain,
        ),
    )
    assert [each["response"]["status"][:3] for each in answer.json["entry"]] == ["200", "404", "415"]
