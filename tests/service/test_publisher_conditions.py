"""What a client may make a request depend on: a search, a version, a time; and what it may ask to be answered."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from tests.publishing import BASE, Publishing, bundle, organisation, performance, post_entry, put_entry

MINE = [{"system": "urn:reports", "value": "42"}]
QUERY = "MeasureReport?identifier=urn:reports|42"


async def test_a_conditional_update_creates_then_updates(publisher: Publishing) -> None:
    unnamed = performance(None, identifier=MINE)  # type: ignore[arg-type]  # a resource without an id
    first = await publisher.send("PUT", f"/{QUERY}", unnamed)
    assert (first.status, first.headers["ETag"]) == (201, 'W/"1"')
    again = await publisher.send("PUT", f"/{QUERY}", {**unnamed, "date": "2026-05-05"})
    assert (again.status, again.json["id"], again.headers["ETag"]) == (200, first.json["id"], 'W/"2"')
    assert [event.interaction for event in await publisher.emitted()] == ["create", "update"]


async def test_conditional_updates_sent_at_once_make_one_resource(publisher: Publishing) -> None:
    answers = await asyncio.gather(
        *(
            publisher.send("PUT", f"/{QUERY}", performance(None, identifier=MINE, score=score))  # type: ignore[arg-type]  # without an id
            for score in range(5)
        )
    )
    assert sorted(each.status for each in answers) == [200, 200, 200, 200, 201]
    assert len({each.json["id"] for each in answers}) == 1


async def test_a_conditional_update_minds_the_id_that_is_sent(publisher: Publishing) -> None:
    assert (await publisher.send("PUT", f"/{QUERY}", performance("one", identifier=MINE))).status == 201
    assert (await publisher.get("/MeasureReport/one")).status == 200
    other = await publisher.send("PUT", f"/{QUERY}", performance("two", identifier=MINE))
    assert (other.status, other.issues[0][2]) == (400, "MeasureReport.id")
    await publisher.put(performance("two", identifier=MINE, score=9))
    several = await publisher.send("PUT", f"/{QUERY}", performance("two", identifier=MINE))
    assert several.status == 412
    elsewhere = await publisher.send(
        "PUT", "/MeasureReport?identifier=urn:reports|43", performance("one", score=7)
    )
    assert (elsewhere.status, elsewhere.issues[0][1]) == (409, "conflict")
    assert (await publisher.send("PUT", "/MeasureReport", performance("one"))).status == 400


async def test_a_conditional_update_of_an_organisation(publisher: Publishing) -> None:
    query = "/Organization?identifier=http://hl7.org/fhir/sid/us-npi|1000000002"
    renamed = {**organisation("provider", "1000000002"), "name": "Renamed"}
    assert (await publisher.send("PUT", query, renamed)).headers["ETag"] == 'W/"2"'


async def test_if_match_holds_for_what_a_search_finds(publisher: Publishing) -> None:
    await publisher.put(performance("one", identifier=MINE))
    report = performance("one", identifier=MINE, score=4)
    assert (await publisher.send("PUT", f"/{QUERY}", report, If_Match='W/"7"')).status == 412
    assert (await publisher.send("PUT", f"/{QUERY}", report, If_Match='W/"1"')).status == 200
    assert (await publisher.delete(f"/{QUERY}", If_Match='W/"1"')).status == 412
    assert (await publisher.delete(f"/{QUERY}", If_Match='W/"2"')).status == 204


async def test_a_put_may_ask_that_nothing_is_there(publisher: Publishing) -> None:
    new = {"If_None_Match": "*"}

    assert (await publisher.put(performance(), **new)).status == 201
    again = await publisher.put(performance(score=4), **new)
    assert (again.status, "If-None-Match is *" in again.said) == (412, True)
    assert (await publisher.put(performance(score=4), If_None_Match='W/"1"')).status == 400

    entry = put_entry(performance(score=4))
    entry["request"]["ifNoneMatch"] = "*"
    refused = await publisher.send("POST", "", bundle("transaction", entry))
    assert refused.status == 412, refused.text
    assert (await publisher.send("DELETE", "/MeasureReport/report", b"")).status == 204
    assert (await publisher.put(performance(), **new)).status == 201


@pytest.mark.parametrize("before", ["", "?", "MeasureReport?", "/MeasureReport?", f"{BASE}/MeasureReport?"])
async def test_a_create_finds_what_is_there_however_its_search_is_sent(
    publisher: Publishing, before: str
) -> None:
    """R4 wants the query alone; HAPI's client, for one, sends the whole URL."""
    await publisher.put(performance("one", identifier=MINE))
    search = f"{before}identifier={QUERY.partition('identifier=')[2]}"
    answer = await publisher.post(performance("x", score=9, identifier=MINE), If_None_Exist=search)
    assert (answer.status, answer.json["id"]) == (200, "one")
    entry = post_entry(performance("x", score=9, identifier=MINE), ifNoneExist=search)
    answer = await publisher.send("POST", "", bundle("transaction", entry))
    assert answer.json["entry"][0]["response"]["location"] == f"{BASE}/MeasureReport/one/_history/1"
    for other in ("Measure?", "https://other.example/fhir/MeasureReport?"):
        answer = await publisher.post(performance("x", score=9), If_None_Exist=f"{other}identifier=1")
        assert answer.status == 400, answer.text


@pytest.mark.parametrize(
    "query", ["identifier=&status=complete", "status=complete&identifier", "identifier="]
)
async def test_a_condition_without_a_value_is_refused(publisher: Publishing, query: str) -> None:
    """A client whose variable was empty would else have changed whatever the rest of the search finds."""
    await publisher.put(performance("one", identifier=MINE))
    before = await publisher.counts()
    for method, body in (("PUT", performance("one", score=9)), ("DELETE", None)):
        answer = await publisher.send(method, f"/MeasureReport?{query}", body)
        assert (answer.status, "identifier has no value" in answer.said) == (400, True)
    answer = await publisher.post(performance("x", score=9), If_None_Exist=query)
    assert answer.status == 400
    assert await publisher.counts() == before


async def test_conditional_entries_of_a_transaction(publisher: Publishing) -> None:
    await publisher.put(performance("one", identifier=MINE))
    urn = "urn:uuid:0b5b6c5e-0000-4000-8000-000000000001"
    changed = performance(None, identifier=MINE, score=4)  # type: ignore[arg-type]  # without an id
    parent = performance("parent", period={"start": "2024-01-01", "end": "2024-12-31"})
    parent["evaluatedResource"] = [{"reference": urn}]
    put = {"fullUrl": urn, "resource": changed, "request": {"method": "PUT", "url": QUERY}}
    answer = await publisher.send("POST", "", bundle("transaction", put_entry(parent), put))
    assert answer.status == 200, answer.text
    stored = (await publisher.get("/MeasureReport/parent")).json
    assert stored["evaluatedResource"][0]["reference"] == "MeasureReport/one"


async def test_a_transaction_names_a_resource_once_however_it_does(publisher: Publishing) -> None:
    await publisher.put(performance("one", identifier=MINE))
    before = await publisher.counts()
    answer = await publisher.send(
        "POST",
        "",
        bundle(
            "transaction",
            put_entry(performance("one", score=8)),
            {"request": {"method": "DELETE", "url": QUERY}},
        ),
    )
    assert (answer.status, answer.issues[0][1]) == (400, "duplicate")
    assert await publisher.counts() == before


async def test_a_read_may_depend_on_version_and_time(publisher: Publishing) -> None:
    stored = await publisher.put(performance())
    one = "/MeasureReport/report"
    changed = parsedate_to_datetime(stored.headers["Last-Modified"])
    earlier, later = (format_datetime(changed + timedelta(seconds=by), usegmt=True) for by in (-1, 1))
    for headers, status in (
        ({"If_None_Match": 'W/"1"'}, 304),
        ({"If_None_Match": '"1"'}, 304),
        ({"If_None_Match": 'W/"9", W/"1"'}, 304),
        ({"If_None_Match": 'W/"11"'}, 200),
        ({"If_Modified_Since": stored.headers["Last-Modified"]}, 304),
        ({"If_Modified_Since": later}, 304),
        ({"If_Modified_Since": earlier}, 200),
        ({"If_Modified_Since": "the other day"}, 200),
        ({"If_None_Match": 'W/"2"', "If_Modified_Since": later}, 200),  # the version counts (RFC 9110)
    ):
        answer = await publisher.get(one, **headers)
        assert (answer.status, answer.text != "") == (status, status == 200), headers
        assert answer.headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize(
    ("prefer", "body"),
    [("return=minimal", ""), ("return=representation", ""), ("return=OperationOutcome", "OperationOutcome")],
)
async def test_prefer_chooses_what_a_deletion_is_answered_with(
    publisher: Publishing, prefer: str, body: str
) -> None:
    await publisher.put(performance())
    answer = await publisher.delete("/MeasureReport/report", Prefer=prefer)
    assert answer.status == (200 if body else 204)
    assert (answer.json["resourceType"] if answer.text else "") == body
    assert answer.headers["ETag"] == 'W/"2"'


async def test_prefer_holds_in_bundles(publisher: Publishing) -> None:
    await publisher.put(performance())
    entries = bundle(
        "batch",
        post_entry(performance("new", score=8)),
        {"request": {"method": "DELETE", "url": "MeasureReport/report"}},
    )
    answer = await publisher.send("POST", "", entries, Prefer="return=OperationOutcome")
    created, deleted = (each["response"] for each in answer.json["entry"])
    assert (created["status"], deleted["status"]) == ("201 Created", "204 No Content")
    assert created["outcome"]["issue"][0]["diagnostics"] == "stored as a new resource"
    assert deleted["outcome"]["issue"][0]["diagnostics"] == "deleted"
    assert "location" not in deleted
