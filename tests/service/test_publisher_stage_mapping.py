"""A payer's own tag, code or extension says how settled its reports are: a setting, seen from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from schemas.event import EventType
from tests.publishing import Publishing, organisation, performance, publishing

Json = dict[str, Any]
TAGS, CLOSING = "https://payer.example/tags", "https://payer.example/closing"
MAPPING = {
    "Organization/payer": {
        f"{TAGS}|booked": "settled",
        f"{TAGS}|draft": "interim",
        f"{CLOSING}|final-payment": "settled",
        "https://payer.example/phase|closed": "settled",
    }
}
CLOSED_BY: dict[str, Json] = {
    "tag": {"meta": {"tag": [{"system": TAGS, "code": "booked"}]}},
    "coded extension": {
        "extension": [
            {
                "url": "https://payer.example/state",
                "valueCodeableConcept": {"coding": [{"system": CLOSING, "code": "final-payment"}]},
            }
        ]
    },
    "code": {"extension": [{"url": "https://payer.example/phase", "valueCode": "closed"}]},
}


@pytest.fixture
async def publisher(tmp_path: Path) -> AsyncIterator[Publishing]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'publisher'}.sqlite"
    async with publishing(url, stage_tags=MAPPING) as opened:
        await opened.prepare()
        yield opened


def saying(how: str, **changes: Any) -> Json:
    """Return a report that its payer calls closed, in one of its ways."""
    report = performance(**changes)
    added = CLOSED_BY[how]
    report["meta"] = {**report["meta"], **added.get("meta", {})}
    report["extension"] = [*report["extension"], *added.get("extension", ())]
    return report


@pytest.mark.parametrize("how", CLOSED_BY)
async def test_a_report_that_its_payer_calls_closed_is_settled_from_end_to_end(
    publisher: Publishing, how: str
) -> None:
    assert (await publisher.put(performance(score=1))).status == 201
    judged = await publisher.send("POST", "/MeasureReport/$validate", saying(how, score=2))
    assert "The report is settled and lists no quality report" in judged.said

    assert (await publisher.put(saying(how, score=2))).status == 200
    assert (await publisher.put(saying(how, score=3))).status == 200

    assert [each.type for each in await publisher.emitted()] == [
        EventType.PUBLISHED,
        EventType.SETTLED,
        EventType.CORRECTED,
    ]
    assert await publisher.ids("stage=settled") == ["report"]
    assert await publisher.ids("stage=final") == []


async def test_another_payer_s_report_is_not_read_by_this_payer_s_words(publisher: Publishing) -> None:
    assert (await publisher.put(organisation("second-payer", "1000000009"))).status == 201
    measure = {
        **(await publisher.get("/Measure/contract-one")).json,
        "id": "second", "url": "https://second.example/Measure/one",
    }  # fmt: skip
    assert (await publisher.put(measure)).status == 201
    reporter = {"reference": "Organization/second-payer"}

    assert (await publisher.put(saying("tag", measure=measure["url"], reporter=reporter))).status == 201

    assert [each.type for each in await publisher.emitted()] == [EventType.PUBLISHED]
    assert await publisher.ids("stage=final") == ["report"]


async def test_a_report_that_says_two_stages_is_refused(publisher: Publishing) -> None:
    report = saying("code")
    report["meta"]["tag"] = [{"system": TAGS, "code": "draft"}]

    answer = await publisher.put(report)

    assert answer.status == 422
    assert "claims more than one stage: interim, settled" in answer.said
