"""Does the CapabilityStatement tell the truth? What it lists is served, and what is served is listed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import pytest

from schemas import examples
from schemas.fhir import OURS
from tests.processes import VbprProcesses

pytestmark = pytest.mark.slow

FHIR = "application/fhir+json"
NOT_SERVED = {404, 405, 501}
TYPES = (
    "Organization",
    "Group",
    "Measure",
    "MeasureReport",
    "Subscription",
    "Basic",
    "OperationDefinition",
    "SearchParameter",
)
"""What refers to others comes behind them."""
CANONICALS = ("composed-of", "depends-on", "derived-from", "predecessor", "successor")


class Client:
    """Asks one base, and remembers what is there of each type."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        """Start with nothing there."""
        self._session = session
        self._base = base
        self.there: dict[str, dict[str, Any]] = {}
        self.made: dict[str, str] = {}
        """Id of another resource of each type, which nothing refers to."""

    async def ask(
        self, method: str, path: str, body: object = None, sent_as: str = FHIR, **named: str
    ) -> tuple[int, Any]:
        """Return the status and the parsed answer, if it is one."""
        data = None if body is None else orjson.dumps(body)
        headers = {name.replace("_", "-"): value for name, value in named.items()}
        headers |= {} if body is None else {"Content-Type": sent_as}
        async with self._session.request(method, self._base + path, data=data, headers=headers) as response:
            text = await response.read()
            return response.status, orjson.loads(text) if text else None

    async def load(self) -> None:
        """Put one resource of each type there."""
        files = [*examples.parties(), *examples.contracts(), *examples.reports(), *examples.subscriptions()]
        for file in files:
            resource = orjson.loads(file.read_bytes())
            kind = resource["resourceType"]
            if kind == "Subscription":
                resource["channel"]["endpoint"] = "http://127.0.0.1:9/"
                status, resource = await self.ask("POST", "/Subscription", resource)
            else:
                status, _ = await self.ask("PUT", f"/{kind}/{resource['id']}", resource)
            assert status in {200, 201}, (file.name, resource)
            self.there[kind] = resource
        for fixed in TYPES[-3:]:
            _, found = await self.ask("GET", f"/{fixed}")
            self.there[fixed] = found["entry"][0]["resource"]


def attempts(client: Client, kind: str) -> dict[str, Callable[[], Awaitable[tuple[int, Any]]]]:
    """Return how each interaction of a type is tried, in an order in which none spoils the next."""
    resource = client.there[kind]
    another = {name: value for name, value in resource.items() if name not in {"id", "meta"}}
    if kind == "Measure":
        another["url"] += "-of-another-year"  # a contract's url names one Measure
    if kind != "Subscription":
        another["language"] = "en"  # what says the same is not created again

    async def create() -> tuple[int, Any]:
        status, answer = await client.ask("POST", every, another)
        if status == 201:
            client.made[kind] = answer["id"]
        return status, answer

    one, every = f"/{kind}/{resource['id']}", f"/{kind}"
    patch = [{"op": "test", "path": "/resourceType", "value": kind}]
    return {
        "read": lambda: client.ask("GET", one),
        "vread": lambda: client.ask("GET", f"{one}/_history/1"),
        "search-type": lambda: client.ask("GET", every),
        "history-instance": lambda: client.ask("GET", f"{one}/_history"),
        "history-type": lambda: client.ask("GET", f"{every}/_history"),
        "create": create,
        "update": lambda: client.ask("PUT", one, resource),
        "patch": lambda: client.ask("PATCH", one, patch, "application/json-patch+json"),
        "delete": lambda: client.ask("DELETE", f"{every}/{client.made.get(kind, resource['id'])}"),
    }


async def listed(client: Client) -> dict[str, Any]:
    status, statement = await client.ask("GET", "/metadata")
    assert status == 200
    (rest,) = statement["rest"]
    assert isinstance(rest, dict)
    return rest


@pytest.fixture
async def client(vbpr: VbprProcesses) -> Any:
    serve = await asyncio.to_thread(vbpr.start, "serve")
    async with aiohttp.ClientSession() as session:
        made = Client(session, serve.fhir)
        await made.load()
        yield made


async def test_every_interaction_that_is_listed_is_served_and_no_other(client: Client) -> None:
    resources = {each["type"]: each for each in (await listed(client))["resource"]}
    assert set(resources) == set(TYPES)
    wrong = []
    for kind in reversed(TYPES):
        says = {each["code"] for each in resources[kind]["interaction"]}
        for name, attempt in attempts(client, kind).items():
            status, answer = await attempt()
            if (status < 300) != (name in says) or status >= 500:
                wrong.append((kind, name, status, name in says, answer))
    assert not wrong, "type, interaction, status, whether it is listed, answer"


async def test_what_is_said_of_conditions_and_patches_holds(client: Client) -> None:
    _, statement = await client.ask("GET", "/metadata")
    (patched,) = statement["patchFormat"]
    resources = {each["type"]: each for each in statement["rest"][0]["resource"]}
    for kind in reversed(TYPES[:4]):
        says, resource = resources[kind], client.there[kind]
        one, found = f"/{kind}/{resource['id']}", f"/{kind}?_id={resource['id']}"
        operations = [{"op": "test", "path": "/resourceType", "value": kind}]
        other = {**resource, "id": "another", "language": "en"}
        if kind == "Measure":
            other["url"] += "-of-another-year"
        assert (await client.ask("PUT", f"/{kind}/another", other))[0] == 201
        version = (await client.ask("GET", one))[1]["meta"]["versionId"]
        status = {
            "conditionalUpdate": (await client.ask("PUT", found, resource))[0],
            "conditionalCreate": (
                await client.ask("POST", f"/{kind}", resource, If_None_Exist=f"_id={resource['id']}")
            )[0],
            "patch": (await client.ask("PATCH", found, operations, patched))[0],
            "not-match": (await client.ask("GET", one, If_None_Match=f'W/"{version}"'))[0],
            "modified": (await client.ask("GET", one, If_Modified_Since="Fri, 31 Dec 9999 23:59:59 GMT"))[0],
            "delete several": (await client.ask("DELETE", f"/{kind}?_id=another,{resource['id']}"))[0],
            "delete one": (await client.ask("DELETE", f"/{kind}?_id=another"))[0],
        }
        assert says["conditionalUpdate"], kind
        assert says["conditionalCreate"], kind
        assert says["conditionalRead"] == "full-support"
        several = {"single": 412, "multiple": 200}[says["conditionalDelete"]]
        assert status == {
            "conditionalUpdate": 200, "conditionalCreate": 200, "patch": 200, "not-match": 304, "modified": 304,
            "delete several": several, "delete one": 204,
        }, kind  # fmt: skip
        assert (says["conditionalDelete"] == "multiple") == (kind == "MeasureReport")


async def test_the_system_s_interactions_are_those_that_are_listed(client: Client) -> None:
    says = {each["code"] for each in (await listed(client)).get("interaction", ())}
    tried = {
        kind: await client.ask("POST", "", {"resourceType": "Bundle", "type": kind, "entry": []})
        for kind in ("transaction", "batch")
    }
    tried["history-system"] = await client.ask("GET", "/_history")
    tried["search-system"] = await client.ask("GET", "?_id=1")
    assert {name for name, (status, _) in tried.items() if status not in NOT_SERVED} == says


async def test_every_search_parameter_that_is_listed_is_understood(client: Client) -> None:
    values = {
        "date": "2024",
        "number": "1",
        "uri": "https://payer.example/x",
        "reference": "Organization/x",
        "composite": "x$1",
        "measure": "https://payer.example/x",
        "quality-measure": "https://payer.example/x",
        **dict.fromkeys(CANONICALS, "https://payer.example/x"),
    }
    for resource in (await listed(client))["resource"]:
        for parameter in resource.get("searchParam", ()):
            kind, name = resource["type"], parameter["name"]
            value = values.get(name) or values.get(parameter["type"], "x")
            status, answer = await client.ask("GET", f"/{kind}?{name}={value}")
            assert status == 200, (kind, name, answer)
            (own,) = (link["url"] for link in answer["link"] if link["relation"] == "self")
            assert f"{name}=" in own, "a parameter that is ignored is left out of the answer's own link"


async def test_every_search_parameter_of_our_own_that_is_listed_is_defined(client: Client) -> None:
    ours = {
        (parameter["definition"], parameter["name"], parameter["type"])
        for resource in (await listed(client))["resource"]
        for parameter in resource.get("searchParam", ())
        if parameter["definition"].startswith(OURS)
    }
    assert ours
    for url, name, type_ in ours:
        _, found = await client.ask("GET", f"/SearchParameter?url={url}")
        (defined,) = (each["resource"] for each in found["entry"])
        assert (defined["code"], defined["type"]) == (name, type_)
        status, alone = await client.ask("GET", f"/SearchParameter/{url.rpartition('/')[2]}")
        assert (status, alone) == (200, defined)


async def test_every_operation_that_is_listed_is_served_and_ours_are_defined(client: Client) -> None:
    for resource in (await listed(client))["resource"]:
        kind = resource["type"]
        for operation in resource.get("operation", ()):
            name = operation["name"].removeprefix("$")
            if operation["definition"].startswith(OURS):
                _, found = await client.ask("GET", f"/OperationDefinition?url={operation['definition']}")
                assert [each["resource"]["code"] for each in found["entry"]] == [name]
            statuses = [
                (await client.ask(method, path, body))[0]
                for path in (f"/{kind}/${name}", f"/{kind}/{client.there[kind]['id']}/${name}")
                for method, body in (("GET", None), ("POST", client.there[kind]))
            ]
            assert any(status not in NOT_SERVED for status in statuses), (kind, name, statuses)
