"""`$preview` counts what would have fired, and `$explain` says why, as the matching itself decides."""

from __future__ import annotations

from typing import Any

from schemas.operations import operations
from schemas.structure.gate import check_structure
from tests.conditions import eventually
from tests.notifying import Notifying, classic, contract, topical
from tests.receiver import Receiver

HOOK = "http://127.0.0.1:9/hook"


async def ask(running: Notifying, path: str, body: Any = None, status: int = 200) -> Any:
    assert running.client is not None
    method = "GET" if body is None else "POST"
    async with running.client.request(method, f"/fhir/Subscription{path}", json=body) as answer:
        found = await answer.json()
        assert answer.status == status, found
        assert check_structure(found) == []
        if found["resourceType"] == "Parameters":
            _declared(path.partition("$")[2].partition("?")[0], found)
        return found


def _declared(code: str, found: Any) -> None:
    """Hold an answer against its OperationDefinition: names, types and cardinality, of parts too."""
    given = operations()[f"Subscription-{code}"]["parameter"]
    _as_declared([each for each in given if each["use"] == "out"], found["parameter"])


def _as_declared(declared: list[Any], found: list[Any]) -> None:
    assert {each["name"] for each in found} <= {each["name"] for each in declared}
    for one in declared:
        here = [each for each in found if each["name"] == one["name"]]
        assert one["min"] <= len(here), one["name"]
        assert one["max"] == "*" or len(here) <= int(one["max"]), one["name"]
        for each in here:
            if "part" in one:
                _as_declared(one["part"], each["part"])
            else:
                assert f"value{one['type'][0].upper()}{one['type'][1:]}" in each


def values(found: Any, name: str) -> list[Any]:
    return [
        next(value for key, value in each.items() if key != "name")
        for each in found["parameter"]
        if each["name"] == name
    ]


async def kept(running: Notifying, receiver: Receiver, *contracts: str) -> tuple[dict[str, Any], list[str]]:
    """Return a Subscription to c1 that was told, and the reports published."""
    made = await running.subscribe(classic(receiver.url))
    events = await running.publish(*contracts)
    await eventually(lambda: len(receiver.got) == contracts.count("c1"))
    return made, [event.report_id for event in events]


async def test_a_preview_counts_and_lists_what_would_have_fired(
    running: Notifying, receiver: Receiver
) -> None:
    made, reports = await kept(running, receiver, "c1", "c2", "c2", "c1")
    for path, body, expected in [
        (f"/{made['id']}/$preview", None, [reports[3], reports[0]]),
        ("/$preview", classic(HOOK, "c2"), [reports[2], reports[1]]),
        ("/$preview", topical(HOOK, f"contract={contract('c3')}"), []),
    ]:
        found = await ask(running, path, body)
        assert values(found, "looked-at") == [4]
        assert values(found, "fired") == [len(expected)]
        foci = [part[0]["valueReference"]["reference"] for part in values(found, "event")]
        assert foci == [f"MeasureReport/{each}/_history/1" for each in expected]
    assert values(await ask(running, f"/{made['id']}/$preview?until=2026-03-01T12:00:00Z"), "looked-at") == [
        0
    ]
    later = {"name": "since", "valueInstant": "2999-01-01T00:00:00Z"}
    wrapped = {
        "resourceType": "Parameters",
        "parameter": [later, {"name": "subscription", "resource": classic(HOOK)}],
    }
    assert values(await ask(running, "/$preview", wrapped), "fired") == [0]
    await ask(running, "/$preview", classic("not a url"), status=400)


async def test_an_explanation_holds_every_term_against_what_was_found(
    running: Notifying, receiver: Receiver
) -> None:
    made, reports = await kept(running, receiver, "c1", "c2")
    found = await ask(running, f"/{made['id']}/$explain?report=MeasureReport/{reports[0]}")
    assert values(found, "fires") == [True]
    assert values(found, "event-number") == ["1"]
    found = await ask(running, f"/{made['id']}/$explain?report=MeasureReport/{reports[1]}/_history/1")
    assert values(found, "fires") == [False]
    assert values(found, "event-number") == []
    checks = [
        [next(v for k, v in part.items() if k != "name") for part in each] for each in values(found, "check")
    ]
    assert [(name, holds) for name, _, _, holds in checks] == [
        ("organisation", True),
        ("trigger", True),
        ("contract", False),
    ]
    assert checks[2][1:3] == [f"contract={contract('c1')}", contract("c2")]
    absolute = f"{running.settings.base_url}/MeasureReport/{reports[0]}"
    assert values(await ask(running, f"/{made['id']}/$explain?report={absolute}"), "fires") == [True]
    named = {"name": "report", "valueReference": {"reference": absolute}}
    posted = {"resourceType": "Parameters", "parameter": [named]}
    assert values(await ask(running, f"/{made['id']}/$explain", posted), "fires") == [True]
    await ask(running, f"/{made['id']}/$explain?report=MeasureReport/nothing", status=404)
    await ask(running, f"/{made['id']}/$explain", status=400)
