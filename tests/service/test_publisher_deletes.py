"""What a payer's engineer relies on when deleting: told once, gone from searches, kept as history, brought back by a PUT."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from services.event_log_outbox import OutboxRows
from services.publisher.store.tables import outbox, resource_version
from tests.publishing import (
    PROVIDER,
    Publishing,
    bundle,
    contract,
    contract_url,
    delete_entry,
    group,
    organisation,
    performance,
    put_entry,
    quality,
    subject,
)

D = "org.vbpr.report.deleted.v1"


async def test_what_is_deleted_is_gone_but_for_its_history(publisher: Publishing) -> None:
    first = await publisher.put(performance())
    gone = await publisher.delete("/MeasureReport/report")
    assert (gone.status, gone.text, gone.headers["ETag"]) == (204, "", 'W/"2"')
    read = await publisher.get("/MeasureReport/report")
    assert (read.status, read.issues[0][1]) == (410, "deleted")
    assert (await publisher.get("/MeasureReport/report/_history/1")).text == first.text
    assert (await publisher.get("/MeasureReport/report/_history/2")).status == 410
    assert await publisher.ids(f"contract={contract_url()}") == []
    assert (await publisher.patch("/MeasureReport/report")).status == 410


async def test_the_event_of_a_deletion_carries_what_was_deleted(publisher: Publishing) -> None:
    await publisher.put(performance(stage="settled", score=1))
    last = await publisher.put(performance(stage="settled", score=2))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await publisher.delete("/MeasureReport/report", traceparent=trace)
    _, corrected, deleted = await publisher.emitted()
    assert (deleted.type.value, deleted.interaction, deleted.subject) == (D, "delete", "report/3")
    assert deleted.facets == deleted.previous == corrected.facets
    rows = OutboxRows(outbox, resource_version, "")
    async with publisher.database.read() as tx:
        row = (await tx.execute(rows.full().where(outbox.c.version == 3))).one()
    event = rows.event(row)
    assert (event.body.decode(), event.traceparent) == (last.text, trace)


async def test_deleting_twice_or_what_never_was_tells_nobody_anything(publisher: Publishing) -> None:
    await publisher.put(performance())
    await publisher.delete("/MeasureReport/report")
    before = await publisher.counts()
    again = await publisher.delete("/MeasureReport/report")
    never = await publisher.delete("/MeasureReport/never", Prefer="return=OperationOutcome")
    assert (again.status, again.headers["ETag"]) == (204, 'W/"2"')
    assert (never.status, never.json["resourceType"]) == (200, "OperationOutcome")
    assert "ETag" not in never.headers
    assert await publisher.counts() == before


async def test_at_once_only_one_deletion_counts(publisher: Publishing) -> None:
    await publisher.put(performance())
    answers = await asyncio.gather(*(publisher.delete("/MeasureReport/report") for _ in range(5)))
    assert {(each.status, each.headers["ETag"]) for each in answers} == {(204, 'W/"2"')}
    assert [event.type.value for event in await publisher.emitted()][1:] == [D]


async def test_a_put_brings_a_deleted_report_back(publisher: Publishing) -> None:
    await publisher.put(performance(stage="settled"))
    await publisher.delete("/MeasureReport/report")
    back = await publisher.put(performance(stage="settled"))
    assert (back.status, back.headers["ETag"]) == (201, 'W/"3"')
    events = await publisher.emitted()
    assert (events[-1].type.value, events[-1].interaction) == ("org.vbpr.report.settled.v1", "create")
    assert events[-1].previous is None
    assert await publisher.ids(f"contract={contract_url()}") == ["report"]


async def test_a_post_of_what_was_deleted_is_a_new_report(publisher: Publishing) -> None:
    first = await publisher.post(performance())
    await publisher.delete(f"/MeasureReport/{first.json['id']}")
    again = await publisher.post(performance())
    assert again.status == 201
    assert again.json["id"] != first.json["id"]


async def test_if_match_keeps_a_deletion_from_a_version_nobody_looked_at(publisher: Publishing) -> None:
    await publisher.put(performance(score=1))
    await publisher.put(performance(score=2))
    assert (await publisher.delete("/MeasureReport/report", If_Match='W/"1"')).status == 412
    assert (await publisher.delete("/MeasureReport/report", If_Match='W/"2"')).status == 204


async def test_what_waits_is_deleted_in_silence(publisher: Publishing) -> None:
    await publisher.put(quality(score=0.1))
    await publisher.delete("/MeasureReport/eyes")
    await publisher.put(performance(lists=["eyes"]))
    assert [event.subject for event in await publisher.emitted()] == ["report/1"]
    await publisher.put(quality(score=0.2))
    assert [event.subject for event in await publisher.emitted()] == ["report/1", "eyes/3"]


async def test_what_waits_again_follows_with_what_came_since_it_was_deleted(publisher: Publishing) -> None:
    await publisher.put(quality(score=0.1))
    await publisher.delete("/MeasureReport/eyes")
    await publisher.put(quality(score=0.2))
    await publisher.put(quality(score=0.3))
    await publisher.put(performance(lists=["eyes"]))
    events = await publisher.emitted()
    assert [(event.subject, event.interaction) for event in events] == [
        ("report/1", "create"),
        ("eyes/3", "create"),
        ("eyes/4", "update"),
    ]


async def test_a_quality_report_outlives_its_parent_under_the_same_contract(publisher: Publishing) -> None:
    await publisher.put(performance(lists=["eyes"]))
    await publisher.put(quality(score=0.1))
    await publisher.delete("/MeasureReport/report")
    answer = await publisher.put(quality(score=0.2))
    assert answer.status == 200, answer.text
    *_, deleted, last = await publisher.emitted()
    assert (deleted.subject, last.subject) == ("report/2", "eyes/2")
    assert (last.contract, last.facets["provider"]) == (contract_url(), ["Organization/provider"])


async def test_a_quality_report_waits_for_a_parent_that_was_deleted_before_it_came(
    publisher: Publishing,
) -> None:
    await publisher.put(performance(lists=["eyes"]))
    await publisher.delete("/MeasureReport/report")
    waiting = await publisher.put(quality(), Prefer="return=OperationOutcome")
    assert ("warning", "incomplete", "MeasureReport") in waiting.issues
    await publisher.put(performance(lists=["eyes"]))
    assert [event.subject for event in await publisher.emitted()] == [
        "report/1", "report/2", "report/3", "eyes/1",
    ]  # fmt: skip


async def test_when_its_parent_is_deleted_a_quality_report_belongs_to_the_next_that_lists_it(
    publisher: Publishing,
) -> None:
    half = {"start": "2025-01-01", "end": "2025-06-30"}
    await publisher.put(performance("half", lists=["eyes"], period=half))
    await publisher.put(quality(score=0.1))
    await publisher.put(performance("year", lists=["eyes"]))
    await publisher.delete("/MeasureReport/half")
    await publisher.put(quality(score=0.2))
    assert (await publisher.emitted())[-1].facets["parent"] == ["MeasureReport/year"]


async def test_a_quality_report_that_a_current_report_lists_may_be_deleted_and_come_back(
    publisher: Publishing,
) -> None:
    await publisher.put(performance(lists=["eyes"]))
    await publisher.put(quality(stage="settled", score=0.1))
    await publisher.delete("/MeasureReport/eyes")
    await publisher.put(quality(stage="settled", score=0.2))
    assert [event.type.value.split(".")[-2] for event in await publisher.emitted()] == [
        "published", "settled", "deleted", "settled",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kept", "by"),
    [
        ("Organization/payer", "MeasureReport/report"),
        ("Organization/provider", "MeasureReport/report"),
        ("Organization/other-provider", "Group/attributed"),
        ("Group/attributed", "MeasureReport/theirs"),
        ("Measure/contract-one", "MeasureReport/"),
    ],
)
async def test_what_others_lean_on_stays(publisher: Publishing, kept: str, by: str) -> None:
    await publisher.put(performance())
    await publisher.put(group("attributed", "Organization/other-provider"))
    if kept == "Group/attributed":
        await publisher.put(performance("theirs", subject={"reference": "Group/attributed"}))
    before = await publisher.counts()
    refused = await publisher.delete(f"/{kept}")
    assert (refused.status, refused.issues[0][1]) == (409, "conflict")
    assert by in refused.said
    assert await publisher.counts() == before


async def test_parties_and_contracts_nobody_leans_on_go(publisher: Publishing) -> None:
    await publisher.put(group("attributed", "Organization/other-provider"))
    await publisher.put(performance())
    for each in ("MeasureReport/report", "Group/attributed", "Measure/contract-one", "Organization/payer"):
        assert (await publisher.delete(f"/{each}")).status == 204, each
        assert (await publisher.get(f"/{each}")).status == 410
    found = await publisher.get("/Organization?identifier=http://hl7.org/fhir/sid/us-npi|1000000001")
    assert found.json["total"] == 0
    assert (await publisher.put(contract(id="anew"))).status == 201  # the url is free again
    report = performance("late", measure=contract_url())
    assert (await publisher.put(report)).status == 422  # the payer is no Organization here any more


async def test_whoever_is_deleted_with_what_leans_on_it_goes(publisher: Publishing) -> None:
    await publisher.put(performance())
    answer = await publisher.send(
        "POST",
        "",
        bundle(
            "transaction",
            delete_entry("Organization/provider"),
            delete_entry("Measure/contract-one"),
            delete_entry("MeasureReport/report"),
        ),
    )
    assert answer.status == 200, answer.text
    assert [each["response"]["status"] for each in answer.json["entry"]] == ["204 No Content"] * 3


async def test_a_transaction_that_takes_a_party_away_cannot_use_it(publisher: Publishing) -> None:
    report = performance(subject=subject("Organization/provider"))
    answer = await publisher.send(
        "POST",
        "",
        bundle("transaction", put_entry(report), delete_entry("Organization/provider")),
    )
    assert answer.status == 422, answer.text
    assert (await publisher.get("/Organization/provider")).status == 200


async def test_a_report_and_the_deletion_of_its_provider_sent_at_once_never_both_succeed(
    publisher: Publishing,
) -> None:
    for turn in range(6):
        provider = f"brief-{turn}"
        await publisher.put(organisation(provider, f"200000000{turn}"))
        report = performance(f"r-{turn}", subject=subject(f"Organization/{provider}"))
        stored, gone = await asyncio.gather(
            publisher.put(report), publisher.delete(f"/Organization/{provider}")
        )
        assert (stored.status, gone.status) in {(201, 409), (422, 204)}


async def test_a_deleted_organisation_may_come_back(publisher: Publishing) -> None:
    await publisher.delete("/Organization/provider")
    assert (await publisher.put(performance())).status == 422
    assert (await publisher.put(PROVIDER)).status == 201
    assert (await publisher.put(performance())).status == 201
    async with publisher.database.read() as tx:
        versions = sa.select(resource_version.c.interaction).where(resource_version.c.id == "provider")
        found = (await tx.execute(versions.order_by(resource_version.c.version))).scalars().all()
    assert found == ["create", "delete", "create"]


async def test_a_conditional_deletion_deletes_the_one_it_finds(publisher: Publishing) -> None:
    mine = [{"system": "urn:reports", "value": "42"}]
    await publisher.put(performance("one", identifier=mine))
    query = "/MeasureReport?identifier=urn:reports|42"
    assert (await publisher.delete(query)).headers["ETag"] == 'W/"2"'
    assert (await publisher.delete(query)).status == 204
    assert (await publisher.delete("/MeasureReport")).status == 400
