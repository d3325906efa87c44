"""What a client finds out before it subscribes: the CapabilityStatement and the topics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from schemas.capability import capability_statement
from schemas.fhir import BACKPORT_SUBSCRIPTION_PROFILE, BACKPORT_TOPIC_CANONICAL
from schemas.topics import topics
from services.clock import SystemClock
from services.fhir_http import fhir_application
from services.fixed_http import operation_definitions, search_parameters
from tests.notifying import Notifying, notifying

_CODE = "http://hl7.org/fhir/fhir-types|SubscriptionTopic"


@pytest.fixture
async def running(database_urls: tuple[str, str]) -> AsyncIterator[Notifying]:
    async with notifying(*database_urls) as opened:
        yield opened


def entry(kind: str) -> dict[str, Any]:
    (rest,) = capability_statement("https://vbpr.example/fhir")["rest"]
    (found,) = (each for each in rest["resource"] if each["type"] == kind)
    return dict(found)


@pytest.mark.requirement("R-006", "R-020", "R-021")
def test_every_topic_is_listed_on_subscription() -> None:
    listed = [each for each in entry("Subscription")["extension"] if each["url"] == BACKPORT_TOPIC_CANONICAL]
    assert {each["valueCanonical"] for each in listed} == set(topics())


@pytest.mark.requirement("R-007", "R-008", "R-017")
def test_the_guide_s_statement_profile_and_operations_are_named() -> None:
    statement = capability_statement("https://vbpr.example/fhir")
    assert any(each.endswith("backport-subscription-server-r4") for each in statement["instantiates"])
    found = entry("Subscription")
    assert found["supportedProfile"] == [BACKPORT_SUBSCRIPTION_PROFILE]
    names = {each["name"] for each in found["operation"]}
    assert {"status", "events", "resend"} <= names
    assert not any(name.startswith("$") for name in names)


@pytest.mark.requirement("R-018", "R-023")
async def test_topics_are_read_and_found_as_basic(running: Notifying) -> None:
    assert running.client is not None
    found = await (await running.client.get("/fhir/Basic", params={"code": _CODE})).json()
    assert found["total"] == len(topics()) == len(found["entry"])
    urls = set()
    for each in found["entry"]:
        alone = await (await running.client.get(f"/fhir/Basic/{each['resource']['id']}")).json()
        assert alone == each["resource"]
        assert each["fullUrl"].endswith(f"/Basic/{alone['id']}")
        named = {part["url"].rpartition(".")[2]: part for part in alone["extension"]}
        urls.add(named["url"]["valueUri"])
        assert {"title", "resourceTrigger", "canFilterBy", "notificationShape"} <= set(named)
    assert urls == set(topics())
    nothing = await (await running.client.get("/fhir/Basic", params={"code": "consent"})).json()
    assert (nothing["total"], "entry" in nothing) == (0, False)
    assert (await running.client.get("/fhir/Basic/nothing")).status == 404
    assert (await running.client.get("/fhir/Basic?author=x")).status == 400


async def test_our_own_operations_are_read_and_found() -> None:
    base = "https://vbpr.example/fhir"
    app = fhir_application(SystemClock())
    operation_definitions(base).mount(app)
    async with TestClient(TestServer(app)) as client:
        found = await (await client.get("/fhir/OperationDefinition?code=preview,explain")).json()
        assert {each["resource"]["code"] for each in found["entry"]} == {"preview", "explain"}
        for each in found["entry"]:
            alone = await client.get(each["fullUrl"].removeprefix("https://vbpr.example"))
            assert await alone.json() == each["resource"]
        both = {"code": "preview", "url": found["entry"][0]["resource"]["url"] + "-not"}
        assert (await (await client.get("/fhir/OperationDefinition", params=both)).json())["total"] == 0
        assert (await client.get("/fhir/OperationDefinition?author=x")).status == 400
        nothing = await client.get("/fhir/OperationDefinition/nothing")
        assert nothing.status == 404
        assert "Subscription-preview" in await nothing.text()


async def test_our_own_search_parameters_are_read_and_found() -> None:
    base = "https://vbpr.example/fhir"
    app = fhir_application(SystemClock())
    search_parameters(base).mount(app)
    async with TestClient(TestServer(app)) as client:
        found = await (await client.get("/fhir/SearchParameter?code=contract,stage")).json()
        assert {each["resource"]["code"] for each in found["entry"]} == {"contract", "stage"}
        for each in found["entry"]:
            alone = await client.get(each["fullUrl"].removeprefix("https://vbpr.example"))
            assert await alone.json() == each["resource"]
            by_url = await client.get("/fhir/SearchParameter", params={"url": each["resource"]["url"]})
            assert (await by_url.json())["entry"] == [each]
        begins = await (await client.get("/fhir/SearchParameter?name=measurereportmetric")).json()
        assert {each["resource"]["code"] for each in begins["entry"]} == {"metric", "metric-score"}
        assert (await (await client.get("/fhir/SearchParameter?name=metric")).json())["total"] == 0
        assert (await client.get("/fhir/SearchParameter?base=x")).status == 400
        assert (await client.get("/fhir/SearchParameter/nothing")).status == 404
