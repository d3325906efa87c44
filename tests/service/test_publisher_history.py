"""Histories: every version and deletion, newest first, in pages that neither repeat nor hide."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from schemas.structure.gate import check_structure
from tests.clock import ManualClock
from tests.publishing import BASE, Publishing, Resource, performance, publishing


async def _pages(publisher: Publishing, path: str) -> list[list[Resource]]:
    """Follow the next links to the end."""
    pages = []
    while path:
        answer = await publisher.get(path)
        assert answer.status == 200, answer.text
        pages.append(answer.json.get("entry", []))
        links = {each["relation"]: each["url"] for each in answer.json["link"]}
        path = links.get("next", "").removeprefix(BASE)
        assert len(pages) < 50
    return pages


def _told(entries: list[Resource]) -> list[tuple[str, str]]:
    return [(each["request"]["method"], each["response"]["etag"]) for each in entries]


async def test_a_resource_s_history(publisher: Publishing) -> None:
    first = await publisher.put(performance(score=1))
    await publisher.put(performance(score=2))
    await publisher.delete("/MeasureReport/report")
    await publisher.put(performance(score=3))
    answer = await publisher.get("/MeasureReport/report/_history")
    assert (answer.json["type"], answer.json["total"]) == ("history", 4)
    entries = answer.json["entry"]
    assert _told(entries) == [("POST", 'W/"4"'), ("DELETE", 'W/"3"'), ("PUT", 'W/"2"'), ("POST", 'W/"1"')]
    assert ["resource" in each for each in entries] == [True, False, True, True]
    assert first.text in answer.text
    assert entries[1]["request"]["url"] == "MeasureReport/report"
    assert {each["fullUrl"] for each in entries} == {f"{BASE}/MeasureReport/report"}
    assert check_structure(answer.json) == []


async def test_a_deleted_resource_has_a_history_and_an_unknown_one_none(publisher: Publishing) -> None:
    await publisher.put(performance())
    await publisher.delete("/MeasureReport/report")
    (entries,) = await _pages(publisher, "/MeasureReport/report/_history")
    assert _told(entries) == [("DELETE", 'W/"2"'), ("POST", 'W/"1"')]
    assert (await publisher.get("/MeasureReport/never/_history")).status == 404


async def test_pages_neither_repeat_nor_hide_what_was_there(publisher: Publishing) -> None:
    for score in range(1, 6):
        await publisher.put(performance("a", score=score))
        await publisher.put(performance("b", score=score + 10))
    await publisher.delete("/MeasureReport/b")
    for path in ("/MeasureReport/a/_history?_count=2", "/MeasureReport/_history?_count=3"):
        first = await publisher.get(path)
        (after,) = (link["url"] for link in first.json["link"] if link["relation"] == "next")
        await publisher.put(performance("a", score=len(path)))  # between two pages
        rest = await _pages(publisher, after.removeprefix(BASE))
        entries = [*first.json["entry"], *(each for page in rest for each in page)]
        named = [(each["fullUrl"], each["response"]["etag"]) for each in entries]
        assert len(set(named)) == len(named) == first.json["total"]
        times = [each["response"]["lastModified"] for each in entries]
        assert times == sorted(times, reverse=True)


async def test_a_type_s_history_is_of_that_type(publisher: Publishing) -> None:
    for kind, count in (("Organization", 3), ("Measure", 1), ("Group", 0), ("MeasureReport", 0)):
        answer = await publisher.get(f"/{kind}/_history")
        assert (answer.json["total"], len(answer.json.get("entry", []))) == (count, count)


async def test_since_and_at(publisher_database_url: str) -> None:
    clock = ManualClock()
    async with publishing(publisher_database_url, clock) as publisher:
        await publisher.prepare()
        times = []
        for score in (1, 2, 3):
            await clock.advance(60)
            times.append(clock.now())
            await publisher.put(performance(score=score))
        path = "/MeasureReport/report/_history"
        one, two, three = (f"{at:%Y-%m-%dT%H:%M:%S}Z" for at in times)
        between = f"{times[1] + timedelta(seconds=30):%Y-%m-%dT%H:%M:%S}Z"
        for query, versions in (
            (f"_since={one}", "321"),
            (f"_since={two}", "32"),
            (f"_since={between}", "3"),
            (f"_at={one}", "1"),
            (f"_at={between}", "2"),
            (f"_at={three}", "3"),
            (f"_at={times[0]:%Y}", "321"),
            (f"_at={times[0].year - 1}", ""),
        ):
            for where in (path, "/MeasureReport/_history"):
                (entries,) = await _pages(publisher, f"{where}?{query}")
                assert "".join(each["response"]["etag"][3] for each in entries) == versions, query


@pytest.mark.parametrize("query", ["_count=many", "_since=yesterday", "_at=", "_cursor=abc", "status=final"])
async def test_what_is_not_understood_is_named(publisher: Publishing, query: str) -> None:
    answer: Any = await publisher.get(f"/MeasureReport/_history?{query}")
    if query.endswith("="):  # an empty parameter asks for nothing
        assert answer.status == 200
        return
    assert answer.status == 400
    assert query.partition("=")[0] in answer.said


async def test_a_count_of_none_only_counts(publisher: Publishing) -> None:
    answer = await publisher.get("/Organization/_history?_count=0")
    assert (answer.json["total"], "entry" in answer.json) == (3, False)
