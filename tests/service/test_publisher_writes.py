"""What a payer's engineer relies on when sending reports: durable, versioned, safe to send again."""

from __future__ import annotations

import asyncio
import json

import pytest

from services.publisher.accept.answers import WAITS_HEADER
from tests.publishing import BASE, Publishing, contract, contract_url, group, performance, quality, subject


async def test_a_create_is_answered_with_where_it_is_and_can_be_read_there(publisher: Publishing) -> None:
    answer = await publisher.post(performance())
    assert answer.status == 201
    id_ = answer.json["id"]
    assert answer.headers["Location"] == f"{BASE}/MeasureReport/{id_}/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.json["meta"]["versionId"] == "1"
    read = await publisher.get(f"/MeasureReport/{id_}")
    assert (read.status, read.text) == (200, answer.text)
    assert (await publisher.get(f"/MeasureReport/{id_}", If_None_Match='W/"1"')).status == 304
    assert (await publisher.get(f"/MeasureReport/{id_}/_history/1")).text == answer.text
    assert (await publisher.get(f"/MeasureReport/{id_}/_history/2")).status == 404


async def test_an_update_keeps_the_former_version(publisher: Publishing) -> None:
    first = await publisher.put(performance(score=3))
    second = await publisher.put(performance(score=4))
    assert (first.status, second.status) == (201, 200)
    assert second.headers["ETag"] == 'W/"2"'
    assert (await publisher.get("/MeasureReport/report/_history/1")).text == first.text
    assert (await publisher.get("/MeasureReport/report")).text == second.text


async def test_every_digit_that_was_sent_is_served(publisher: Publishing) -> None:
    sent = json.dumps(performance(score=0)).replace(
        '"measureScore": {"value": 0}', '"measureScore": {"value": 3.1400000000000000000010}'
    )
    assert (await publisher.send("PUT", "/MeasureReport/report", sent.encode())).status == 201
    assert '"value": 3.1400000000000000000010}' in (await publisher.get("/MeasureReport/report")).text
    found = await publisher.get(f"/MeasureReport?contract={contract_url()}")
    assert '"value": 3.1400000000000000000010}' in found.text


async def test_the_same_put_again_stores_and_emits_nothing(publisher: Publishing) -> None:
    first = await publisher.put(performance())
    before = await publisher.counts()
    reordered = dict(reversed(performance().items()))
    again = await publisher.send("PUT", "/MeasureReport/report", json.dumps(reordered, indent=3).encode())
    assert (again.status, again.text) == (200, first.text)
    assert await publisher.counts() == before


async def test_a_put_of_what_was_read_back_stores_nothing(publisher: Publishing) -> None:
    first = await publisher.put(performance())
    again = await publisher.send("PUT", "/MeasureReport/report", first.text.encode())
    assert (again.status, again.headers["ETag"]) == (200, 'W/"1"')


async def test_a_post_sent_again_finds_the_first_one(publisher: Publishing) -> None:
    first = await publisher.post(performance())
    before = await publisher.counts()
    again = await publisher.post(performance())
    assert (again.status, again.text) == (200, first.text)
    assert again.headers["Location"] == first.headers["Location"]
    assert await publisher.counts() == before


async def test_a_post_sent_twice_at_once_is_stored_once(publisher: Publishing) -> None:
    answers = await asyncio.gather(*(publisher.post(performance()) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 200, 201]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert len(await publisher.emitted()) == 1


async def test_other_digits_or_another_stage_are_another_content(publisher: Publishing) -> None:
    await publisher.post(performance(stage="interim"))
    settled = await publisher.post(performance(stage="settled"))
    assert settled.status == 201
    digits = json.dumps(performance(stage="settled")).replace('"value": 3}', '"value": 3.0}')
    assert (await publisher.send("POST", "/MeasureReport", digits.encode())).status == 201


async def test_if_match_lets_only_one_of_two_writers_through(publisher: Publishing) -> None:
    await publisher.put(performance())
    answers = await asyncio.gather(
        *(publisher.put(performance(score=score), If_Match='W/"1"') for score in (4, 5))
    )
    assert sorted(answer.status for answer in answers) == [200, 412]
    assert (await publisher.put(performance("new"), If_Match='W/"1"')).status == 412


async def test_if_none_exist_creates_once(publisher: Publishing) -> None:
    report = performance(identifier=[{"system": "urn:reports", "value": "42"}])
    search = {"If_None_Exist": "identifier=urn:reports|42"}
    assert (await publisher.post(report, **search)).status == 201
    again = await publisher.post({**report, "date": "2026-02-04"}, **search)
    assert (again.status, again.json["date"]) == (200, "2026-02-03")
    assert (await publisher.put(performance("two", identifier=report["identifier"]))).status == 201
    several = await publisher.post({**report, "date": "2026-02-05"}, **search)
    assert (several.status, several.issues[0][1]) == (412, "conflict")


@pytest.mark.parametrize(
    ("prefer", "body"),
    [
        ("return=minimal", ""),
        ("return=representation", "MeasureReport"),
        ("return=OperationOutcome", "OperationOutcome"),
    ],
)
async def test_prefer_chooses_the_body(publisher: Publishing, prefer: str, body: str) -> None:
    answer = await publisher.put(performance(), Prefer=prefer)
    assert answer.status == 201
    assert (answer.json["resourceType"] if answer.text else "") == body


async def test_a_quality_report_without_parent_is_accepted_and_says_that_it_waits(
    publisher: Publishing,
) -> None:
    answer = await publisher.put(quality(), Prefer="return=OperationOutcome")
    assert answer.status == 201
    assert answer.headers[WAITS_HEADER] == "true"
    assert ("warning", "incomplete", "MeasureReport") in answer.issues
    assert (await publisher.get("/MeasureReport/eyes")).status == 200
    assert await publisher.emitted() == []
    # Whoever lost that answer hears it again; and no more once it waits no longer.
    again = (publisher.put, publisher.post)
    for send in again:
        answer = await send(quality(), Prefer="return=OperationOutcome")
        assert (answer.status, answer.headers.get(WAITS_HEADER)) == (200, "true")
        assert ("warning", "incomplete", "MeasureReport") in answer.issues
    assert (await publisher.put(performance(lists=["eyes"]))).status == 201
    for send in again:
        answer = await send(quality())
        assert (answer.status, answer.headers.get(WAITS_HEADER)) == (200, None)


async def test_the_provider_may_be_the_manager_of_a_group(publisher: Publishing) -> None:
    await publisher.put(group("attributed", "Organization/other-provider"))
    answer = await publisher.put(performance(subject={"reference": "Group/attributed"}))
    assert answer.status == 201, answer.text
    (event,) = await publisher.emitted()
    assert event.facets["provider"] == ["Organization/other-provider"]
    assert event.facets["provider-identifier"] == ["http://hl7.org/fhir/sid/us-npi|1000000003"]


async def test_the_first_report_binds_the_contract_to_its_payer(publisher: Publishing) -> None:
    await publisher.put(performance())
    other = await publisher.put(
        performance("other", reporter={"reference": "Organization/other-provider"}, date="2026-03-01")
    )
    assert other.status == 422
    assert other.issues[0][2] == "MeasureReport.reporter"


async def test_an_update_cannot_move_a_report_to_another_provider(publisher: Publishing) -> None:
    await publisher.put(performance())
    moved = await publisher.put(performance(subject=subject("Organization/other-provider")))
    assert moved.status == 422
    assert (await publisher.get("/MeasureReport/report")).headers["ETag"] == 'W/"1"'


async def test_a_contract_keeps_its_url_and_no_other_may_take_it(publisher: Publishing) -> None:
    taken = await publisher.put(contract(id="thief"))
    assert (taken.status, taken.issues) == (409, [("error", "duplicate", "Measure.url")])
    moved = await publisher.put(contract(url=contract_url("elsewhere")))
    assert (moved.status, moved.issues) == (422, [("error", "business-rule", "Measure.url")])
    assert (await publisher.put(contract(title="Renamed"))).status == 200


async def test_intake_says_later_while_the_outbox_is_full(publisher: Publishing) -> None:
    publisher.publisher.server.pressure.limit = 1
    assert (await publisher.put(performance())).status == 201
    before = await publisher.counts()
    refused = await publisher.put(performance(score=5))
    assert (refused.status, refused.issues[0][1]) == (503, "transient")
    assert int(refused.headers["Retry-After"]) > 0
    assert await publisher.counts() == before
    assert (await publisher.publisher.ready())["outbox"] is not None
