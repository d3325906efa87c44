"""Requests that share a transaction come to the same as one after the other: answers, rows, events, order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from schemas.outcome import FhirError
from services.principal import LOCAL, Principal
from services.publisher.derive import kind as kind_of
from services.publisher.store import tables as t
from services.publisher.store.model import Write, Written
from tests.clock import ManualClock
from tests.publishing import (
    Publishing,
    Resource,
    contract,
    contract_url,
    group,
    organisation,
    performance,
    publishing,
    quality,
    subject,
)

PAYER_CLIENT = Principal("client-a", "payer", frozenset({"Organization/payer"}))
REQUESTS, AT_ONCE = 60, 12


@dataclass(frozen=True)
class Sent:
    """One request."""

    writes: Sequence[Write]
    principal: Principal


def requests(seed: int) -> list[Sent]:
    """Requests that get in each other's way in every manner there is: few ids, few contents, few contracts."""
    chance = random.Random(seed)
    return [
        Sent(_writes(chance, number), LOCAL if chance.random() < 0.8 else PAYER_CLIENT)
        for number in range(REQUESTS)
    ]


def _writes(chance: random.Random, number: int) -> list[Write]:
    count = 1 if chance.random() < 0.8 else chance.randint(2, 4)
    writes: dict[str, Write] = {}
    for place in range(count):
        write = _write(
            chance, f"post-{number}-{place}", f"Bundle.entry[{place}].resource" if count > 1 else None
        )
        writes.setdefault(f"{write.type}/{write.id}", write)
    return list(writes.values())


def _write(chance: random.Random, fresh: str, where: str | None) -> Write:
    resource = _resource(chance)
    creates = chance.random() < 0.3
    return Write(
        resource["resourceType"],
        fresh if creates else resource["id"],
        creates=creates,
        text=orjson.dumps(resource),
        resource=resource,
        kind=kind_of(resource) if resource["resourceType"] == "MeasureReport" else None,
        if_match=chance.choice([None, None, None, 1, 2]) if not creates else None,
        where=where,
    )


def _resource(chance: random.Random) -> Resource:
    kind = chance.choice(
        ["performance"] * 5 + ["quality"] * 4 + ["contract", "group", "organisation", "organisation"]
    )
    if kind == "performance":
        return _performance(chance)
    if kind == "quality":
        return quality(
            chance.choice(["q1", "q2", "q3"]),
            chance.choice([None, "interim", "settled"]),
            score=chance.choice([0.5, 0.6]),
            reporter={"reference": chance.choice(["Organization/payer"] * 5 + ["Organization/second"])},
        )
    if kind == "contract":
        return contract(chance.choice("ab"), url=contract_url(chance.choice("aab")))
    if kind == "group":
        return group("members", f"Organization/{chance.choice(['provider', 'second'])}")
    id_ = chance.choice(["payer", "provider", "second"])
    return organisation(id_, chance.choice(["1", "2", "3"]))


def _performance(chance: random.Random) -> Resource:
    by_number = {"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": chance.choice("123")}}
    year = chance.choice(["2024", "2025"])
    return performance(
        chance.choice(["r1", "r2", "r3"]),
        chance.choice([None, "interim", "settled", "withdrawn"]),
        score=chance.choice([1, 2]),
        measure=contract_url(chance.choice("aaab")),
        lists=chance.choice([[], ["q1"], ["q1", "q2"], ["q3"]]),
        period={"start": f"{year}-01-01", "end": f"{year}-12-31"},
        reporter=chance.choice([{"reference": "Organization/payer"}] * 4 + [by_number]),
        subject=chance.choice(
            [subject("Organization/provider")] * 3
            + [subject("Organization/second"), {"reference": "Group/members"}]
        ),
    )


async def _outcome(publisher: Publishing, sent: Sent) -> Any:
    try:
        return _said(await publisher.publisher.server.writer.write(sent.writes, sent.principal))
    except FhirError as error:
        return error.status, error.issues


def _said(written: Sequence[Written]) -> Any:
    return [
        (each.effect, each.stored.type, each.stored.id, each.stored.version, each.stored.body, each.issues)
        for each in written
    ]


async def _everything(publisher: Publishing) -> dict[str, Any]:
    """Return what is stored, by table; sets that no report names any more do not count."""
    out: dict[str, Any] = {}
    async with publisher.database.read() as tx:
        for table in t.metadata.sorted_tables:
            rows = [row._asdict() for row in await tx.execute(sa.select(table))]
            out[table.name] = rows
    used = {row["facet_set"] for row in out["report"]}
    out["shared_facet"] = [row for row in out["shared_facet"] if row["facet_set"] in used]
    out["outbox"].sort(key=lambda row: row["number"])
    for row in out["outbox"]:
        row["event_id"] = None
        row["facets"] = orjson.loads(row["facets"])
        row["previous_facets"] = orjson.loads(row["previous_facets"] or "null")
    out["audit"].sort(key=lambda row: row["id"])
    for name in set(out) - {"outbox", "audit"}:
        out[name].sort(key=repr)
    return out


@pytest.mark.parametrize("seed", range(8))
async def test_a_batch_comes_to_the_same_as_its_requests_one_by_one(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    sent = requests(seed)
    alone = f"sqlite+aiosqlite:///{tmp_path / 'alone'}.sqlite"
    # Time stands still, so that what is ordered by it is ordered alike.
    async with publishing(alone, ManualClock()) as one, publishing(database_url, ManualClock()) as many:
        for publisher in (one, many):
            await publisher.prepare()
            for each in (
                organisation("second", "3"),
                contract("a"),
                group("members", "Organization/provider"),
            ):
                assert (await publisher.put(each)).status == 201
        expected = [await _outcome(one, each) for each in sent]
        found = []
        for first in range(0, REQUESTS, AT_ONCE):
            together = sent[first : first + AT_ONCE]
            found += await asyncio.gather(*(_outcome(many, each) for each in together))
        assert found == expected
        assert await _everything(many) == await _everything(one)
        effects = {each[0][0] for each in expected if isinstance(each, list)}
        assert len(effects) == 3
        assert {each[0] for each in expected if isinstance(each, tuple)} >= {412, 422}


async def test_a_batch_costs_the_statements_of_one(database_url: str) -> None:
    async with publishing(database_url) as publisher:
        await publisher.prepare()
        said: list[str] = []
        publisher.database.observers.append(lambda text, *_: said.append(text))
        await publisher.post(_of_year(0))
        alone = len(said)
        said.clear()
        answers = await asyncio.gather(
            *(_outcome(publisher, _create(_of_year(year), f"new-{year}")) for year in range(1, 40))
        )
        assert len({each[0][2] for each in answers}) == 39
        assert len(said) <= alone, said


async def test_who_has_gone_away_keeps_nobody_from_the_answer(database_url: str) -> None:
    async with publishing(database_url) as publisher:
        await publisher.prepare()
        asked = [
            asyncio.create_task(_outcome(publisher, _create(_of_year(year), f"new-{year}")))
            for year in range(6)
        ]
        await asyncio.sleep(0)  # noqa: TID251  # one turn of the loop: all have asked
        asked[0].cancel()
        asked[3].cancel()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(each, list) for each in outcomes] == [False, True, True, False, True, True]


async def test_a_request_that_cannot_be_written_down_spoils_no_other(database_url: str) -> None:
    """A lone surrogate passes for text until a database is to keep it."""
    async with publishing(database_url) as publisher:
        await publisher.prepare()
        bad = _create(_of_year(1), "bad")
        (write,) = bad.writes
        spoilt = Write(
            write.type, "bad-\ud800", creates=False, text=write.text, resource=write.resource, kind=write.kind
        )
        good = [_create(_of_year(year), f"new-{year}") for year in (2, 3)]
        outcomes = await asyncio.gather(
            _outcome(publisher, good[0]),
            _outcome(publisher, Sent([spoilt], LOCAL)),
            _outcome(publisher, good[1]),
            return_exceptions=True,
        )
        assert [isinstance(each, list) for each in outcomes] == [True, False, True]
        assert len(await publisher.emitted()) == 2


def _of_year(year: int) -> Resource:
    return performance(period={"start": f"20{year:02d}-01-01", "end": f"20{year:02d}-12-31"})


def _create(resource: Resource, id_: str) -> Sent:
    text = orjson.dumps(resource)
    return Sent(
        [Write("MeasureReport", id_, creates=True, text=text, resource=resource, kind=kind_of(resource))],
        LOCAL,
    )
