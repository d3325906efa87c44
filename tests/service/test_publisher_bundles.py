"""Batches and transactions: all or nothing, or each on its own; entries that call each other by any name."""

from __future__ import annotations

import json

import pytest

from tests.publishing import (
    BASE,
    OTHER_PROVIDER,
    PAYER,
    PROVIDER,
    Publishing,
    Resource,
    bundle,
    contract,
    delete_entry,
    get_entry,
    group,
    organisation,
    performance,
    post_entry,
    publishing,
    put_entry,
    quality,
    subject,
)

MINE = [{"system": "urn:mine", "value": "1"}]
URN = "urn:uuid:0b5b6c5e-0000-4000-8000-00000000000"


def _whole() -> Resource:
    """A transaction of creates in the worst order, which call each other by temporary names."""
    parent = performance("year", "settled", reporter={"reference": f"{URN}1"}, subject=subject(f"{URN}2"))
    parent["evaluatedResource"] = [{"reference": f"{URN}5"}]
    return bundle(
        "transaction",
        post_entry(quality("eyes", reporter={"reference": f"{URN}1"}), f"{URN}5"),
        post_entry(parent, f"{URN}4"),
        post_entry(contract(), f"{URN}3"),
        post_entry(PROVIDER, f"{URN}2"),
        post_entry(PAYER, f"{URN}1"),
    )


async def test_a_transaction_stores_everything_in_an_order_that_works(publisher_database_url: str) -> None:
    async with publishing(publisher_database_url) as publisher:
        answer = await publisher.send("POST", "", _whole())
        assert answer.status == 200, answer.text
        assert answer.json["type"] == "transaction-response"
        responses = [entry["response"] for entry in answer.json["entry"]]
        assert [response["status"] for response in responses] == ["201 Created"] * 5
        child, parent, _, provider, payer = (
            response["location"].removeprefix(f"{BASE}/").removesuffix("/_history/1")
            for response in responses
        )
        stored = (await publisher.get(f"/{parent}")).json
        assert stored["reporter"]["reference"] == payer
        assert stored["evaluatedResource"][0]["reference"] == child
        first, second = await publisher.emitted()
        assert [first.subject, second.subject] == [
            f"{each.removeprefix('MeasureReport/')}/1" for each in (parent, child)
        ]
        assert (first.facets["provider"], second.facets["provider"]) == ([provider], [provider])
        assert second.facets["parent"] == [parent]


async def test_a_transaction_sent_again_stores_nothing(publisher_database_url: str) -> None:
    async with publishing(publisher_database_url) as publisher:
        first = await publisher.send("POST", "", _whole())
        before = await publisher.counts()
        again = await publisher.send("POST", "", _whole())
        assert [entry["response"]["status"] for entry in again.json["entry"]] == ["200 OK"] * 5
        assert [entry["response"]["location"] for entry in again.json["entry"]] == [
            entry["response"]["location"] for entry in first.json["entry"]
        ]
        assert await publisher.counts() == before


@pytest.mark.parametrize("kind", ["transaction", "batch"])
@pytest.mark.parametrize("condition", [{}, {"ifNoneExist": "identifier=urn:mine|1"}])
async def test_the_same_create_twice_in_a_bundle_is_one_report(
    publisher_database_url: str, kind: str, condition: Resource
) -> None:
    async with publishing(publisher_database_url) as publisher:
        await publisher.prepare()
        entry = post_entry(performance(identifier=MINE), **condition)
        answer = await publisher.send("POST", "", bundle(kind, entry, entry))
        assert answer.status == 200, answer.text
        first, second = (each["response"] for each in answer.json["entry"])
        assert (first["status"], second["status"]) == ("201 Created", "200 OK")
        assert first["location"] == second["location"]
        assert len(await publisher.ids("identifier=urn:mine|1")) == 1
        assert len(await publisher.emitted()) == 1


async def test_entries_that_are_one_resource_are_referred_to_as_one(publisher: Publishing) -> None:
    new = organisation("new", "1000000009")
    first, second = performance(subject=subject(f"{URN}1")), performance(subject=subject(f"{URN}2"), score=4)
    entries = (post_entry(new, f"{URN}1"), post_entry(new, f"{URN}2"), post_entry(first), post_entry(second))
    answer = await publisher.send("POST", "", bundle("transaction", *entries))
    assert answer.status == 200, answer.text
    found = (await publisher.get("/Organization?name=new")).json["entry"]
    assert len(found) == 1
    told = {event.facets["provider"][0] for event in await publisher.emitted()}
    assert told == {f"Organization/{found[0]['resource']['id']}"}


@pytest.mark.parametrize("root", [BASE, "https://other.example/fhir"])
async def test_entries_may_call_each_other_relative_to_their_own_url(
    publisher: Publishing, root: str
) -> None:
    """As what was read from a server does, sent on as creates; here another resource may have that very id."""
    before = await publisher.send("PUT", "/Organization/o1", organisation("o1", "1000000008"))
    assert before.status == 201
    report = performance(subject=subject("Organization/o1"))
    answer = await publisher.send(
        "POST",
        "",
        bundle(
            "transaction",
            post_entry(report, f"{root}/MeasureReport/r1"),
            post_entry(organisation("o1", "1000000009"), f"{root}/Organization/o1"),
        ),
    )
    assert answer.status == 200, answer.text
    made = (
        answer.json["entry"][1]["response"]["location"].removeprefix(f"{BASE}/").removesuffix("/_history/1")
    )
    (event,) = await publisher.emitted()
    assert event.facets["provider"] == [made]
    assert made != "Organization/o1"


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_one_condition_for_two_different_reports_is_refused(publisher: Publishing, method: str) -> None:
    """Which of the two were stored would depend on their order."""
    before = await publisher.counts()
    asked = {"ifNoneExist": "identifier=urn:mine|1"} if method == "POST" else {
        "method": "PUT", "url": "MeasureReport?identifier=urn:mine|1"
    }  # fmt: skip
    entries = [post_entry(performance(identifier=MINE, score=score), **asked) for score in (3, 4)]
    answer = await publisher.send("POST", "", bundle("transaction", *entries))
    assert (answer.status, answer.issues) == (400, [("error", "duplicate", "Bundle.entry[1].resource")])
    assert await publisher.counts() == before
    each = await publisher.send("POST", "", bundle("batch", *entries))
    assert [entry["response"]["status"] for entry in each.json["entry"]] == ["201 Created", "200 OK"]
    assert len(await publisher.ids("identifier=urn:mine|1")) == 1


async def test_references_may_be_searches(publisher: Publishing) -> None:
    npi = "Organization?identifier=http://hl7.org/fhir/sid/us-npi|"
    report = performance(reporter={"reference": f"{npi}1000000001"}, subject=subject(f"{npi}1000000002"))
    answer = await publisher.send("POST", "", bundle("transaction", put_entry(report)))
    assert answer.status == 200, answer.text
    stored = (await publisher.get("/MeasureReport/report")).json
    assert stored["reporter"]["reference"] == "Organization/payer"
    (event,) = await publisher.emitted()
    assert event.facets["provider"] == ["Organization/provider"]


async def test_one_report_that_cannot_be_filed_undoes_the_whole_transaction(publisher: Publishing) -> None:
    before = await publisher.counts()
    answer = await publisher.send(
        "POST",
        "",
        bundle(
            "transaction",
            put_entry(organisation("new", "1000000009")),
            put_entry(contract("two")),
            put_entry(performance("good", "settled")),
            put_entry(performance("bad", measure="https://payer.example/Measure/none")),
        ),
    )
    assert answer.status == 422
    assert answer.issues == [("error", "not-found", "Bundle.entry[3].resource.measure")]
    assert await publisher.counts() == before
    assert (await publisher.get("/Organization/new")).status == 404


async def test_in_a_batch_each_entry_has_its_own_outcome(publisher: Publishing) -> None:
    stale = put_entry(performance("stale"), ifMatch='W/"9"')
    answer = await publisher.send(
        "POST",
        "",
        bundle(
            "batch",
            put_entry(performance("good")),
            put_entry(performance("bad", status=None)),
            {
                "resource": {"resourceType": "Subscription"},
                "request": {"method": "POST", "url": "Subscription"},
            },
            put_entry(quality()),
            stale,
        ),
    )
    assert (answer.status, answer.json["type"]) == (200, "batch-response")
    responses = [entry["response"] for entry in answer.json["entry"]]
    assert [response["status"][:3] for response in responses] == ["201", "400", "422", "201", "412"]
    assert "Subscription" in responses[2]["outcome"]["issue"][0]["diagnostics"]
    assert responses[3]["outcome"]["issue"][-1]["code"] == "incomplete"
    assert [event.subject for event in await publisher.emitted()] == ["good/1"]


async def test_a_bundle_keeps_every_digit(publisher: Publishing) -> None:
    text = json.dumps(bundle("transaction", put_entry(performance(score=0)))).replace(
        '"measureScore": {"value": 0}', '"measureScore": {"value": 1.50e2}'
    )
    assert (await publisher.send("POST", "", text.encode())).status == 200
    assert '"value": 1.50e2}' in (await publisher.get("/MeasureReport/report")).text


async def test_a_group_and_its_report_may_come_together(publisher: Publishing) -> None:
    report = performance(subject={"reference": "Group/attributed"})
    answer = await publisher.send(
        "POST",
        "",
        bundle("transaction", put_entry(report), put_entry(group("attributed", "Organization/provider"))),
    )
    assert answer.status == 200, answer.text
    (event,) = await publisher.emitted()
    assert event.facets["provider"] == ["Organization/provider"]


async def test_the_client_may_ask_for_the_resources(publisher: Publishing) -> None:
    answer = await publisher.send(
        "POST", "", bundle("transaction", put_entry(OTHER_PROVIDER)), Prefer="return=representation"
    )
    (entry,) = answer.json["entry"]
    assert entry["fullUrl"] == f"{BASE}/Organization/other-provider"
    assert entry["resource"]["id"] == "other-provider"


async def test_a_url_may_begin_with_a_slash_or_the_base(publisher: Publishing) -> None:
    entries = [
        get_entry(f"{before}{what}")
        for before in ("", "/", f"{BASE}/")
        for what in ("Organization/payer", "Organization?name=payer", "Organization/payer/_history/1")
    ]
    answer = await publisher.send("POST", "", bundle("batch", *entries))
    assert {entry["response"]["status"] for entry in answer.json["entry"]} == {"200 OK"}
    answer = await publisher.send(
        "POST", "", bundle("batch", get_entry("https://x.example/Organization/payer"))
    )
    assert answer.json["entry"][0]["response"]["status"][:3] == "422"


async def test_an_empty_transaction_is_answered_with_an_empty_one(publisher: Publishing) -> None:
    answer = await publisher.send("POST", "", {"resourceType": "Bundle", "type": "transaction"})
    assert (answer.status, answer.json) == (200, {"resourceType": "Bundle", "type": "transaction-response"})


async def test_a_bundle_deletes_before_it_writes_and_reads_last(publisher: Publishing) -> None:
    await publisher.put(performance("old", "settled", score=1))
    await publisher.put(performance("gone"))
    answer = await publisher.send(
        "POST",
        "",
        bundle(
            "transaction",
            get_entry("MeasureReport/new"),
            get_entry("MeasureReport?kind=performance&_summary=count"),
            put_entry(performance("new", "settled", score=2)),
            get_entry("MeasureReport/gone"),
            delete_entry("MeasureReport/gone"),
            delete_entry("MeasureReport/old", ifMatch='W/"1"'),
            get_entry("MeasureReport/gone/_history/1"),
            get_entry("MeasureReport/new/_history?_count=1"),
            get_entry("MeasureReport/new", ifNoneMatch='W/"1"'),
        ),
    )
    assert answer.status == 200, answer.text
    entries = answer.json["entry"]
    statuses = [entry["response"]["status"][:3] for entry in entries]
    assert statuses == ["200", "200", "201", "410", "204", "204", "200", "200", "304"]
    assert entries[0]["resource"]["id"] == "new"
    assert entries[1]["resource"]["total"] == 1
    assert entries[3]["response"]["outcome"]["issue"][0]["code"] == "deleted"
    assert entries[6]["resource"]["meta"]["versionId"] == "1"
    assert entries[7]["resource"]["entry"][0]["fullUrl"] == f"{BASE}/MeasureReport/new"
    assert "resource" not in entries[8]
    # What is deleted stands for its identity no more when what is written comes.
    last = (await publisher.emitted())[-1]
    assert (last.subject, last.type.value, last.previous) == ("new/1", "org.vbpr.report.settled.v1", None)


async def test_a_transaction_that_cannot_delete_stores_nothing(publisher: Publishing) -> None:
    await publisher.put(performance())
    before = await publisher.counts()
    for url, request, status in (
        ("MeasureReport/report", {"ifMatch": 'W/"7"'}, 412),
        ("Organization/payer", {}, 409),
    ):
        answer = await publisher.send(
            "POST",
            "",
            bundle("transaction", put_entry(contract("two")), delete_entry(url, **request)),
        )
        assert (answer.status, answer.issues[0][2]) == (status, "Bundle.entry[1].request")
        assert await publisher.counts() == before


async def test_a_batch_reads_and_deletes_too(publisher: Publishing) -> None:
    await publisher.put(performance())
    answer = await publisher.send(
        "POST",
        "",
        bundle(
            "batch",
            get_entry("MeasureReport/none"),
            get_entry("MeasureReport?nonsense=1"),
            delete_entry("MeasureReport/report"),
            get_entry("MeasureReport/report/_history"),
            delete_entry("MeasureReport/none"),
            get_entry("Subscription/1"),
            {"request": {"method": "HEAD", "url": "MeasureReport/report"}},
            {"request": {"method": "PUT", "url": "MeasureReport"}},
        ),
    )
    entries = answer.json["entry"]
    statuses = [entry["response"]["status"][:3] for entry in entries]
    assert statuses == ["404", "400", "204", "200", "204", "422", "422", "422"]
    assert entries[3]["resource"]["total"] == 2


async def test_a_transaction_that_only_reads(publisher: Publishing) -> None:
    answer = await publisher.send("POST", "", bundle("transaction", get_entry("Organization/payer")))
    (entry,) = answer.json["entry"]
    assert entry["resource"]["id"] == "payer"
