"""A DELETE by a search that finds several reports: all of them or none, each told like a single one, nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from schemas.outcome import FhirError
from services.database import Connection, Database
from services.principal import LOCAL, Principal
from services.publisher.derive import kind as kind_of
from services.publisher.store import locks
from services.publisher.store.model import Effect, Write, Written
from services.publisher.store.tables import audit
from tests.conditions import eventually
from tests.publishing import (
    Publishing,
    Resource,
    bundle,
    contract,
    contract_url,
    delete_entry,
    organisation,
    performance,
    publishing,
    put_entry,
    quality,
    subject,
)

MINE = [{"system": "urn:reports", "value": "42"}]
QUERY = "MeasureReport?identifier=urn:reports|42"
A = Principal("payer-a", "payer", frozenset({"Organization/payer"}))
B = Principal("payer-b", "payer", frozenset({"Organization/other-payer"}))
PROVIDER = Principal("provider", "provider", frozenset({"Organization/provider"}))


def of_year(id_: str, year: int, **changes: Any) -> Resource:
    period = {"start": f"{year}-01-01", "end": f"{year}-12-31"}
    return performance(id_, identifier=MINE, period=period, **changes)


async def store(publisher: Publishing, *ids: str) -> None:
    for place, each in enumerate(ids):
        assert (await publisher.put(of_year(each, 2001 + place))).status == 201


async def by(publisher: Publishing, principal: Principal, *writes: Write) -> list[Written]:
    return await publisher.publisher.server.writer.write(writes, principal)


def put(resource: Resource) -> Write:
    return Write(
        resource["resourceType"],
        resource["id"],
        creates=False,
        text=orjson.dumps(resource),
        resource=resource,
        kind=kind_of(resource) if resource["resourceType"] == "MeasureReport" else None,
    )


def deletion(query: str) -> Write:
    return Write("MeasureReport", "", creates=False, text=b"", resource={}, deletes=True, search=query)


async def statuses(publisher: Publishing, ids: Sequence[str]) -> list[int]:
    return [(await publisher.get(f"/MeasureReport/{each}")).status for each in ids]


async def test_all_that_is_found_is_deleted_each_by_itself(publisher: Publishing) -> None:
    await publisher.put(contract("two"))
    await store(publisher, "a", "b")
    await publisher.put(of_year("a", 2001, score=4))
    await publisher.put(of_year("c", 2003, measure=contract_url("two")))
    await publisher.put(performance("other"))
    before = await publisher.emitted()
    pressure = publisher.publisher.server.pressure.pending
    answer = await publisher.delete(f"/{QUERY}")
    assert publisher.publisher.server.pressure.pending == pressure + 3
    assert (answer.status, answer.issues) == (200, [("information", "informational", None)])
    assert answer.said == "deleted 3: MeasureReport/a, MeasureReport/b, MeasureReport/c"
    assert "ETag" not in answer.headers
    told = (await publisher.emitted())[len(before) :]
    assert [(each.subject, each.contract, each.interaction) for each in told] == [
        ("a/3", contract_url(), "delete"),
        ("b/2", contract_url(), "delete"),
        ("c/2", contract_url("two"), "delete"),
    ]
    assert {each.type.value for each in told} == {"org.vbpr.report.deleted.v1"}
    assert all(each.previous == each.facets for each in told)
    assert await statuses(publisher, ["a", "b", "c", "other"]) == [410, 410, 410, 200]
    assert (await publisher.get("/MeasureReport/a/_history/2")).status == 200
    assert (await publisher.get("/MeasureReport/a/_history/3")).status == 410
    async with publisher.database.read() as tx:
        rows = await tx.execute(sa.select(audit.c.subject).where(audit.c.action == "delete"))
        assert sorted(rows.scalars()) == [f"MeasureReport/{each}" for each in (
            "a/_history/3", "b/_history/2", "c/_history/2",
        )]  # fmt: skip


async def test_again_it_finds_nothing_and_what_comes_back_is_new(publisher: Publishing) -> None:
    await store(publisher, "a", "b")
    await publisher.delete(f"/{QUERY}")
    before = await publisher.counts()
    again = await publisher.delete(f"/{QUERY}")
    assert (again.status, again.text) == (204, "")
    assert await publisher.counts() == before
    back = await publisher.put(of_year("a", 2001))
    assert (back.status, back.headers["ETag"]) == (201, 'W/"3"')


@pytest.mark.parametrize(
    ("prefer", "status"),
    [("return=minimal", 204), ("return=representation", 200), ("return=OperationOutcome", 200)],
)
async def test_prefer_chooses_what_is_said(publisher: Publishing, prefer: str, status: int) -> None:
    await store(publisher, "a", "b")
    answer = await publisher.delete(f"/{QUERY}", Prefer=prefer)
    assert (answer.status, bool(answer.text)) == (status, status == 200)


async def test_more_than_may_be_deleted_at_a_time_are_left(publisher: Publishing) -> None:
    reports = [of_year(f"r{number:03}", 1900 + number) for number in range(101)]
    assert (await publisher.send("POST", "", bundle("transaction", *map(put_entry, reports)))).status == 200
    before = await publisher.counts()
    answer = await publisher.delete(f"/{QUERY}")
    assert (answer.status, answer.issues[0][1]) == (412, "too-costly")
    assert "finds 101; at most 100" in answer.said
    half = f"{QUERY}&period=lt1960"
    other = f"{QUERY}&period=ge1960"
    both = await publisher.send("POST", "", bundle("transaction", delete_entry(half), delete_entry(other)))
    assert (both.status, both.issues[0][2]) == (412, "Bundle.entry[1].request")
    assert "finds 41, beside 60 that other entries find; at most 100" in both.said
    assert await publisher.counts() == before
    assert (await publisher.delete(f"/{QUERY}&_id:not=r000")).status == 200
    assert await statuses(publisher, ["r000", "r001", "r100"]) == [200, 410, 410]


async def test_if_match_is_of_one(publisher: Publishing) -> None:
    await store(publisher, "a", "b")
    before = await publisher.counts()
    answer = await publisher.delete(f"/{QUERY}", If_Match='W/"1"')
    assert (answer.status, answer.issues[0][1]) == (412, "conflict")
    assert "finds 2" in answer.said
    assert await publisher.counts() == before
    assert (await publisher.delete(f"/{QUERY}&_id=a", If_Match='W/"1"')).headers["ETag"] == 'W/"2"'


async def test_what_selects_nothing_in_particular_is_refused(publisher: Publishing) -> None:
    await store(publisher, "a", "b")
    before = await publisher.counts()
    for query in ("", "?", "?identifier=", "?_count=5", "?unheard=of"):
        assert (await publisher.delete(f"/MeasureReport{query}")).status == 400, query
    assert await publisher.counts() == before


async def test_what_others_refer_to_is_deleted_one_at_a_time(publisher: Publishing) -> None:
    await publisher.put(organisation("idle", "3000000001"))
    before = await publisher.counts()
    answer = await publisher.delete("/Organization?_id=idle,other-provider")
    assert (answer.status, answer.issues[0][1]) == (412, "conflict")
    assert await publisher.counts() == before


async def test_quality_reports_go_with_those_that_list_them_or_alone(publisher: Publishing) -> None:
    await publisher.put(of_year("parent", 2001, lists=["x", "y"]))
    for each in ("x", "y", "waiting"):
        await publisher.put(quality(each, identifier=MINE))
    before = len(await publisher.emitted())
    answer = await publisher.delete(f"/{QUERY}")
    assert answer.said.startswith("deleted 4: ")
    told = [each.subject for each in await publisher.emitted()][before:]
    assert told == ["parent/2", "x/2", "y/2"]  # what waited has told nobody of itself
    assert (await publisher.put(quality("x"), Prefer="return=OperationOutcome")).said.count("waits") == 1


async def test_one_entry_of_a_transaction_stands_for_several(publisher: Publishing) -> None:
    await store(publisher, "a", "b")
    new = performance("new")
    entries = bundle("transaction", put_entry(new), delete_entry(QUERY), delete_entry("MeasureReport/never"))
    answer = await publisher.send("POST", "", entries)
    assert answer.status == 200, answer.text
    created, several, never = (each["response"] for each in answer.json["entry"])
    assert (created["status"], several["status"], never["status"]) == (
        "201 Created", "200 OK", "204 No Content",
    )  # fmt: skip
    (issue,) = several["outcome"]["issue"]
    assert issue["diagnostics"] == "deleted 2: MeasureReport/a, MeasureReport/b"
    assert set(several) == {"status", "outcome"}
    assert await statuses(publisher, ["a", "b", "new"]) == [410, 410, 200]


async def test_entries_of_a_batch_each_stand_for_several(publisher: Publishing) -> None:
    await store(publisher, "a", "b", "c", "d", "e")
    entries = bundle(
        "batch",
        delete_entry(f"{QUERY}&_id=a,b"),
        delete_entry(f"{QUERY}&_id=d,e", ifMatch='W/"1"'),
        delete_entry(f"{QUERY}&_id=c", ifMatch='W/"1"'),
        put_entry(performance("new")),
    )
    answer = await publisher.send("POST", "", entries, Prefer="return=minimal")
    several, refused, one, new = (each["response"] for each in answer.json["entry"])
    assert several == {"status": "204 No Content"}
    assert refused["status"] == "412 Precondition Failed"
    assert (one["status"], one["etag"], new["status"]) == ("204 No Content", 'W/"2"', "201 Created")
    assert await statuses(publisher, ["a", "b", "c", "d", "e", "new"]) == [410, 410, 410, 200, 200, 200]


async def test_a_transaction_names_none_of_them_elsewhere(publisher: Publishing) -> None:
    await store(publisher, "a", "b")
    before = await publisher.counts()
    for other in (
        put_entry(of_year("b", 2009)),
        delete_entry("MeasureReport/b"),
        delete_entry(f"{QUERY}&_id=b"),
    ):
        answer = await publisher.send("POST", "", bundle("transaction", delete_entry(QUERY), other))
        assert (answer.status, answer.issues[0][1]) == (400, "duplicate")
        assert "MeasureReport/b, which another entry names as well" in answer.said
    assert await publisher.counts() == before


async def test_when_another_entry_is_refused_none_is_deleted(publisher: Publishing) -> None:
    await store(publisher, "a", "b")
    await publisher.put(performance("leans", subject=subject("Organization/other-provider")))
    before = await publisher.counts()
    entries = bundle("transaction", delete_entry(QUERY), delete_entry("Organization/other-provider"))
    answer = await publisher.send("POST", "", entries)
    assert (answer.status, answer.issues[0][1]) == (409, "conflict")
    assert await publisher.counts() == before


async def test_who_they_lean_on_goes_with_them(publisher: Publishing) -> None:
    await store(publisher, "a", "b")
    entries = bundle("transaction", delete_entry("Organization/provider"), delete_entry(QUERY))
    answer = await publisher.send("POST", "", entries)
    assert [each["response"]["status"] for each in answer.json["entry"]] == ["204 No Content", "200 OK"]


async def test_of_reports_that_a_client_may_not_read_it_hears_nothing(publisher: Publishing) -> None:
    await publisher.put(organisation("other-payer", "1000000009"))
    await publisher.put(contract("theirs"))
    theirs = [
        of_year(
            each,
            2001 + place,
            measure=contract_url("theirs"),
            reporter={"reference": "Organization/other-payer"},
        )
        for place, each in enumerate(("t1", "t2"))
    ]
    await by(publisher, B, *map(put, theirs))
    (none,) = await by(publisher, A, deletion("identifier=urn:reports|42"))
    (nothing,) = await by(publisher, A, deletion("identifier=urn:reports|43"))
    assert (none.effect, none.stored.version, none.also) == (Effect.ABSENT, 0, ())
    assert (nothing.effect, nothing.issues) == (none.effect, none.issues)
    await by(
        publisher,
        A,
        put(of_year("m1", 2001)),
        put(of_year("m2", 2002)),
        put(quality("waits", identifier=MINE)),
    )
    (mine,) = await by(publisher, A, deletion("identifier=urn:reports|42"))
    assert [mine.stored.id, *(each.id for each in mine.also)] == ["m1", "m2", "waits"]
    assert await statuses(publisher, ["t1", "t2", "m1", "m2", "waits"]) == [200, 200, 410, 410, 410]


async def test_when_it_may_read_one_that_it_may_not_delete_none_is_deleted(publisher: Publishing) -> None:
    await by(publisher, A, put(of_year("a", 2001)), put(of_year("b", 2002)))
    await by(publisher, LOCAL, put(of_year("from-an-operator", 2003)))
    before = await publisher.counts()
    with pytest.raises(FhirError) as refused:
        await by(publisher, A, deletion("identifier=urn:reports|42"))
    assert refused.value.status == 403
    assert ["from-an-operator" in each.diagnostics for each in refused.value.issues] == [True]
    with pytest.raises(FhirError) as reader:
        await by(publisher, PROVIDER, deletion("identifier=urn:reports|42"))
    assert (reader.value.status, len(reader.value.issues)) == (403, 1)
    assert await publisher.counts() == before
    (all_,) = await by(publisher, LOCAL, deletion("identifier=urn:reports|42"))
    assert all_.count == 3


async def test_at_once_each_is_deleted_once(publisher: Publishing) -> None:
    """Searches that overlap, deletions by id and versions that come meanwhile: all end, and each event is in order."""
    ids = [f"r{number}" for number in range(8)]
    await store(publisher, *ids)
    answers = await asyncio.gather(
        publisher.delete(f"/{QUERY}"),
        publisher.delete("/MeasureReport?period=ge2003"),
        publisher.delete(f"/{QUERY}&_id=r1,r2"),
        publisher.delete("/MeasureReport/r4"),
        publisher.delete(f"/{QUERY}"),
    )
    assert {each.status for each in answers} <= {200, 204}
    assert await statuses(publisher, ids) == [410] * 8
    told = [each.subject for each in await publisher.emitted()]
    assert told[:8] == [f"{each}/1" for each in ids]
    assert sorted(told[8:]) == [f"{each}/2" for each in ids]


@pytest.mark.postgresql
async def test_it_waits_for_the_contract_of_every_report_it_deletes(postgresql_url: str) -> None:
    async with publishing(postgresql_url) as publisher:
        await publisher.prepare()
        await publisher.put(contract("two"))
        await store(publisher, "a", "b")
        await publisher.put(of_year("c", 2003, measure=contract_url("two")))
        held: Connection
        async with publisher.database.write() as held:
            await locks.take(held, [locks.lock(locks.Rank.CONTRACT, contract_url("two"))])
            deleting = asyncio.create_task(publisher.delete(f"/{QUERY}"))
            await eventually(lambda: _blocked(publisher.database), what="a deletion waiting for the contract")
            assert await statuses(publisher, ["a", "b", "c"]) == [200, 200, 200]
            assert not deleting.done()
        assert (await deleting).status == 200
        assert await statuses(publisher, ["a", "b", "c"]) == [410, 410, 410]


async def _blocked(database: Database) -> bool:
    async with database.read() as tx:
        found = await tx.exec_driver_sql(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        )
        return bool(found.scalar_one())


async def test_a_version_that_comes_meanwhile_is_deleted_or_stands(publisher: Publishing) -> None:
    await store(publisher, "a", "b", "c")
    deleted, changed = await asyncio.gather(
        publisher.delete(f"/{QUERY}"), publisher.put(of_year("b", 2002, score=9))
    )
    assert deleted.status == 200
    (status,) = await statuses(publisher, ["b"])
    assert (changed.status, status) in {(200, 410), (201, 200)}
    told = [each.subject for each in await publisher.emitted() if each.subject.startswith("b/")]
    assert told == ["b/1", "b/2", "b/3"]
