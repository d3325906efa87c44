"""`/fhir/Subscription` as a client sees it: every interaction, search, paging, history, patch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from schemas.structure.gate import check_structure
from tests.notifying import Notifying, classic, contract, notifying, topical

HOOK = "http://127.0.0.1:9/hook"


@pytest.fixture
async def running(database_urls: tuple[str, str]) -> AsyncIterator[Notifying]:
    async with notifying(*database_urls) as opened:
        yield opened


async def ask(
    running: Notifying, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any, Mapping[str, str]]:
    assert running.client is not None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with running.client.request(method, f"/fhir{path}", json=body, headers=named) as answer:
        found = await answer.json() if answer.content_length else None
        if found is not None:
            assert check_structure(found) == [], found
        return answer.status, found, answer.headers


async def ids(running: Notifying, query: str) -> set[str]:
    status, found, _ = await ask(running, "GET", f"/Subscription?{query}")
    assert status == 200, found
    return {entry["resource"]["id"] for entry in found.get("entry", [])}


PATCH = {"Content_Type": "application/json-patch+json"}


@pytest.mark.requirement("R-001", "R-010", "R-011", "R-070", "R-184")
async def test_what_is_created_is_read_with_its_version_and_headers(running: Notifying) -> None:
    sent = topical(HOOK, f"contract={contract('c1')}")
    status, made, headers = await ask(running, "POST", "/Subscription", sent)
    assert (status, made["status"], made["meta"]["versionId"]) == (201, "requested", "1")
    assert headers["Location"].endswith(f"/Subscription/{made['id']}/_history/1")
    assert made["channel"]["header"] == sent["channel"]["header"]
    assert made["_criteria"] == sent["_criteria"]
    status, read, headers = await ask(running, "GET", f"/Subscription/{made['id']}")
    assert (status, read["criteria"]) == (200, sent["criteria"])
    etag = headers["ETag"]
    assert (await ask(running, "GET", f"/Subscription/{made['id']}", If_None_Match=etag))[0] == 304


async def test_a_write_on_condition_changes_nothing_when_that_is_not_met(running: Notifying) -> None:
    sent = {**classic(HOOK), "id": "mine"}
    assert (await ask(running, "PUT", "/Subscription/mine", sent, If_None_Match="*"))[0] == 201
    for method, body, condition in (
        ("PUT", sent, {"If_None_Match": "*"}),
        ("PUT", sent, {"If_Match": 'W/"7"'}),
        ("DELETE", None, {"If_Match": 'W/"7"'}),
    ):
        status, found, _ = await ask(running, method, "/Subscription/mine", body, **condition)
        assert (status, "is at version 1" in str(found)) == (412, True)
    status, _, _ = await ask(running, "PUT", "/Subscription/mine", sent, If_None_Match='W/"1"')
    assert status == 400
    assert (await ask(running, "GET", "/Subscription/mine"))[1]["meta"]["versionId"] == "1"
    for _ in range(2):
        condition = {"If_None_Exist": f"url={HOOK}"}
        status, found, _ = await ask(running, "POST", "/Subscription", classic(HOOK), **condition)
        assert (status, "PUT it" in str(found)) == (412, True)
    assert await ids(running, "status=active") == {"mine"}
    assert (await ask(running, "DELETE", "/Subscription/mine", If_Match='W/"1"'))[0] == 204
    assert (await ask(running, "DELETE", "/Subscription/mine", If_Match='W/"1"'))[0] == 412
    assert (await ask(running, "DELETE", "/Subscription/mine"))[0] == 204


async def test_puts_of_a_new_id_sent_at_once_make_one_subscription(running: Notifying) -> None:
    sent = {**classic(HOOK), "id": "mine"}
    answers = await asyncio.gather(*(ask(running, "PUT", "/Subscription/mine", sent) for _ in range(5)))
    assert sorted(status for status, *_ in answers) == [200, 200, 200, 200, 201]
    assert {found["meta"]["versionId"] for _, found, _ in answers} == {"1", "2", "3", "4", "5"}


@pytest.mark.requirement("R-012", "R-013")
async def test_every_version_stays_readable_and_the_history_ends_with_the_deletion(
    running: Notifying,
) -> None:
    _, made, _ = await ask(running, "POST", "/Subscription", classic(HOOK))
    path = f"/Subscription/{made['id']}"
    changed = {**classic(HOOK, "c2"), "id": made["id"]}
    assert (await ask(running, "PUT", path, changed))[0] == 200
    assert (await ask(running, "DELETE", path))[0] == 204
    assert (await ask(running, "GET", path))[0] == 410
    _, found, _ = await ask(running, "GET", f"{path}/_history")
    assert found["type"] == "history"
    assert found["total"] == 3
    assert [each["request"]["method"] for each in found["entry"]] == ["DELETE", "PUT", "POST"]
    assert [each.get("resource", {}).get("criteria") for each in found["entry"]] == [
        None,
        changed["criteria"],
        made["criteria"],
    ]
    assert (await ask(running, "GET", f"{path}/_history/1"))[1]["criteria"] == made["criteria"]
    assert (await ask(running, "GET", f"{path}/_history/3"))[0] == 410
    assert (await ask(running, "GET", f"{path}/_history/4"))[0] == 404
    _, first, _ = await ask(running, "GET", f"{path}/_history?_count=2")
    (following,) = [link["url"] for link in first["link"] if link["relation"] == "next"]
    _, second, _ = await ask(running, "GET", following.partition("/fhir")[2])
    assert [each["request"]["method"] for each in second["entry"]] == ["POST"]
    assert [link["relation"] for link in second["link"]] == ["self"]


async def test_the_service_s_own_changes_of_status_are_versions_too(running: Notifying) -> None:
    _, made, _ = await ask(running, "POST", "/Subscription", classic(HOOK))
    path = f"/Subscription/{made['id']}"
    off = {**classic(HOOK), "id": made["id"], "status": "off"}
    assert (await ask(running, "PUT", path, off))[1]["status"] == "off"
    _, found, _ = await ask(running, "GET", f"{path}/_history")
    assert [each["resource"]["status"] for each in found["entry"]] == ["off", "active"]


@pytest.mark.requirement("R-012")
async def test_a_patch_is_judged_like_an_update(running: Notifying) -> None:
    _, made, _ = await ask(running, "POST", "/Subscription", classic(HOOK))
    path = f"/Subscription/{made['id']}"
    status, found, _ = await ask(
        running, "PATCH", path, [{"op": "replace", "path": "/status", "value": "off"}], **PATCH
    )
    assert (status, found["status"], found["meta"]["versionId"]) == (200, "off", "2")
    status, found, _ = await ask(
        running, "PATCH", path, [{"op": "replace", "path": "/criteria", "value": "Patient"}], **PATCH
    )
    assert (status, found["issue"][0]["expression"]) == (422, ["Subscription.criteria"])
    bad = [{"op": "remove", "path": "/channel/header"}]
    assert (await ask(running, "PATCH", path, bad, **PATCH))[0] == 422
    moved = [
        {"op": "test", "path": "/status", "value": "off"},
        {"op": "add", "path": "/end", "value": "2999-01-01T00:00:00Z"},
    ]
    status, found, _ = await ask(running, "PATCH", path, moved, If_Match='W/"2"', **PATCH)
    assert (status, found["end"], found["status"]) == (200, "2999-01-01T00:00:00Z", "off")
    assert (await ask(running, "PATCH", path, moved, If_Match='W/"2"', **PATCH))[0] == 412
    assert (await ask(running, "PATCH", path, moved))[0] == 415


async def test_a_condition_is_kept_or_refused_never_passed_over(running: Notifying) -> None:
    sent, path = {**classic(HOOK), "id": "mine"}, "/Subscription/mine"
    assert (await ask(running, "PUT", path, sent, If_None_Match="*"))[0] == 201
    status, found, _ = await ask(running, "PUT", path, sent, If_None_Match="*")
    assert (status, found["issue"][0]["diagnostics"]) == (
        412,
        "Subscription/mine is at version 1, and If-None-Match is *",
    )
    assert (await ask(running, "PUT", path, sent, If_None_Match='W/"1"'))[0] == 400
    status, found, _ = await ask(running, "POST", "/Subscription", sent, If_None_Exist=f"url={HOOK}")
    assert (status, found["issue"][0]["code"]) == (412, "not-supported")
    assert await ids(running, f"url={HOOK}") == {"mine"}
    assert (await ask(running, "DELETE", path, If_Match='W/"7"'))[0] == 412
    assert (await ask(running, "GET", path))[0] == 200
    assert (await ask(running, "DELETE", path, If_Match='W/"1"'))[0] == 204
    assert (await ask(running, "GET", path))[0] == 410


async def test_an_update_cannot_turn_one_kind_into_the_other(running: Notifying) -> None:
    _, made, _ = await ask(running, "POST", "/Subscription", classic(HOOK))
    status, found, _ = await ask(
        running, "PUT", f"/Subscription/{made['id']}", {**topical(HOOK), "id": made["id"]}
    )
    assert (status, found["issue"][0]["expression"]) == (422, ["Subscription.criteria"])


@pytest.mark.requirement("R-014", "R-015", "R-016")
async def test_search_finds_by_every_parameter_it_offers(running: Notifying) -> None:
    one = {**classic(HOOK), "contact": [{"system": "email", "value": "a@b.example"}]}
    other = topical(
        "http://127.0.0.1:9/other", "stage=settled", f"contract={contract('c1')}", content="id-only"
    )
    _, first, _ = await ask(running, "POST", "/Subscription", one)
    _, second, _ = await ask(running, "POST", "/Subscription", {**other, "status": "off"})
    a, b = first["id"], second["id"]
    for query, expected in [
        ("", {a, b}),
        (f"_id={a}", {a}),
        (f"_id={a},{b}", {a, b}),
        (f"url={HOOK}", {a}),
        ("url:below=http://127.0.0.1:9/", {a, b}),
        ("status=active", {a}),
        ("status=off", {b}),
        ("status:not=off", {a}),
        ("status=active&url=http://127.0.0.1:9/other", set()),
        ("criteria=measurereport", {a}),
        ("criteria:contains=report-available", {b}),
        ("criteria:exact=MeasureReport", set()),
        ("payload=application/fhir%2Bjson", {a, b}),
        ("payload:missing=true", set()),
        ("type=rest-hook", {a, b}),
        ("type=websocket", set()),
        ("contact=a@b.example", {a}),
        ("contact:missing=true", {b}),
        (f"topic={other['criteria']}", {b}),
        ("topic:missing=true", {a}),
        ("filter-criteria=stage", {b}),
        ("filter-criteria:contains=c1", {b}),
        ("payload-type=id-only", {b}),
        ("payload-type=empty,full-resource", set()),
        ("_lastUpdated=ge2020-01-01", {a, b}),
    ]:
        assert await ids(running, query) == expected, query


async def test_a_search_for_what_is_not_offered_is_refused_and_ignored_when_the_client_is_lenient(
    running: Notifying,
) -> None:
    _, made, _ = await ask(running, "POST", "/Subscription", classic(HOOK))
    status, found, _ = await ask(running, "GET", "/Subscription?colour=red&_sort=url")
    assert status == 400
    assert "colour" in str(found)
    status, found, _ = await ask(running, "GET", "/Subscription?colour=red", Prefer="handling=lenient")
    assert [each["search"]["mode"] for each in found["entry"]] == ["match", "outcome"]
    assert found["entry"][0]["resource"]["id"] == made["id"]
    assert "colour" not in found["link"][0]["url"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/_history/1"),
        ("GET", "/_history"),
        ("GET", "/$status"),
        ("POST", "/$status"),
        ("GET", "/$events"),
        ("GET", "/$preview"),
        ("POST", "/$resend"),
        ("DELETE", ""),
    ],
)
async def test_every_request_names_the_parameters_it_does_not_know(
    running: Notifying, method: str, path: str
) -> None:
    _, made, _ = await ask(running, "POST", "/Subscription", classic(HOOK))
    one = f"/Subscription/{made['id']}{path}"
    status, found, _ = await ask(running, method, f"{one}?colour=red&_pretty=true")
    assert status == 400
    assert "colour" in str(found)
    assert (await ask(running, method, f"{one}?_format=xml"))[0] == 406
    status, _, _ = await ask(running, method, f"{one}?colour=red", Prefer="handling=lenient")
    assert status in {200, 204, 422}  # nothing is there to send again


async def test_an_operation_names_the_inputs_it_does_not_know(running: Notifying) -> None:
    """`ids` for `id` would else be answered with every Subscription there is."""
    await ask(running, "POST", "/Subscription", classic(HOOK))
    status, found, _ = await ask(running, "GET", "/Subscription/$status?ids=one")
    assert (status, "ids" in str(found)) == (400, True)
    sent = {"resourceType": "Parameters", "parameter": [{"name": "ids", "valueId": "one"}]}
    status, found, _ = await ask(running, "POST", "/Subscription/$status", sent)
    assert (status, found["issue"][0]["expression"]) == (400, ["Parameters.parameter[0]"])


@pytest.mark.parametrize("version", ["", "/_history/1"])
async def test_a_read_may_ask_for_a_part(running: Notifying, version: str) -> None:
    _, made, _ = await ask(running, "POST", "/Subscription", {**classic(HOOK), "end": "2099-01-01T00:00:00Z"})
    one = f"/Subscription/{made['id']}{version}"
    _, part, _ = await ask(running, "GET", f"{one}?_elements=contact")
    assert part.keys() == {"resourceType", "id", "meta", "status", "reason", "criteria", "channel"}
    assert part["meta"]["tag"][-1]["code"] == "SUBSETTED"
    _, part, _ = await ask(running, "GET", f"{one}?_summary=true")
    assert (await ask(running, "PUT", f"/Subscription/{made['id']}", part))[0] == 422
    assert part["end"] == "2099-01-01T00:00:00Z"
    assert (await ask(running, "GET", f"{one}?_elements=colour"))[0] == 400


async def test_pages_hold_every_subscription_once(running: Notifying) -> None:
    made = {(await ask(running, "POST", "/Subscription", classic(HOOK)))[1]["id"] for _ in range(5)}
    _, page, _ = await ask(running, "GET", "/Subscription?status=active&_count=2")
    assert "total" not in page
    found = []
    while True:
        found += [each["resource"]["id"] for each in page["entry"]]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        if not following:
            break
        _, page, _ = await ask(running, "GET", following[0].partition("/fhir")[2])
    assert (len(found), set(found)) == (5, made)
    _, whole, _ = await ask(running, "GET", "/Subscription?status=active")
    assert whole["total"] == 5
    assert (await ask(running, "GET", "/Subscription?_count=\u00b2"))[0] == 400


async def test_a_count_of_none_is_answered_with_the_total_alone(running: Notifying) -> None:
    for status in ("requested", "requested", "off"):
        await ask(running, "POST", "/Subscription", {**classic(HOOK), "status": status})
    for query, total in (("_count=0", 3), ("status=active&_count=0", 2), ("status=error&_count=0", 0)):
        answered, found, _ = await ask(running, "GET", f"/Subscription?{query}")
        assert answered == 200
        assert found["total"] == total
        assert "entry" not in found
        assert [link["relation"] for link in found["link"]] == ["self"]


async def test_the_history_of_all_has_every_version_of_every_one_once_newest_first(
    running: Notifying,
) -> None:
    one = (await ask(running, "POST", "/Subscription", classic(HOOK)))[1]
    other = (await ask(running, "POST", "/Subscription", classic(HOOK)))[1]
    await ask(running, "PUT", f"/Subscription/{one['id']}", {**one, "status": "off"})
    await ask(running, "DELETE", f"/Subscription/{other['id']}")
    _, page, _ = await ask(running, "GET", "/Subscription/_history?_count=3")
    found = [page]
    while following := [link["url"] for link in found[-1]["link"] if link["relation"] == "next"]:
        found.append((await ask(running, "GET", following[0].partition("/fhir")[2]))[1])
    told = [
        (each["fullUrl"].rpartition("/")[2], each["request"]["method"])
        for each_page in found
        for each in each_page["entry"]
    ]
    assert told == [
        (other["id"], "DELETE"),
        (one["id"], "PUT"),
        (other["id"], "POST"),
        (one["id"], "POST"),
    ]
    assert [each_page["total"] for each_page in found] == [4, 4]
    since = found[0]["entry"][1]["response"]["lastModified"]
    _, late, _ = await ask(running, "GET", f"/Subscription/_history?_since={since}")
    assert late["total"] == len(late["entry"]) == 2
    status, refusal, _ = await ask(running, "GET", "/Subscription/_history?_sort=x")
    assert (status, "_sort=x" in str(refusal)) == (400, True)
    assert (await ask(running, "GET", "/Subscription/_history?_since=soon"))[0] == 400
