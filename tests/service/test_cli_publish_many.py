"""`vbpr publish` of many lines: many in a request, several requests at a time, each line with an answer of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.cli.publish.lanes import TOGETHER
from tests.processes import VbprProcesses
from tests.publishing import OTHER_PROVIDER, PAYER, PROVIDER, contract, contract_url, performance, quality
from tests.service.commands import run

pytestmark = pytest.mark.slow

Json = dict[str, Any]


def lines(*resources: Json | bytes) -> bytes:
    return b"\n".join(each if isinstance(each, bytes) else orjson.dumps(each) for each in resources)


def dated(number: int, **changes: Any) -> Json:
    """Return a report of an identity of its own."""
    day = f"2025-{number // 28 % 12 + 1:02d}-{number % 28 + 1:02d}"
    return performance(
        f"r{number}", period={"start": day, "end": f"{day}T{number // 336:02d}:00:00Z"}, **changes
    )


def accepted(entry: Json) -> Json:
    return {"response": {"status": "201 Created", "location": f"x/{entry['request']['url']}/_history/1"}}


class Batches:
    """A FHIR base that takes batches, notes who is under way at a time, and can lose or refuse answers."""

    def __init__(self) -> None:
        self.base = ""
        self.requests: list[list[str]] = []
        """The ids of each request, as they came."""
        self.order: dict[str, list[str]] = defaultdict(list)
        """Ids by contract, as they were stored."""
        self.under_way: dict[str, int] = defaultdict(int)
        self.most_at_once = 0
        self.overlapped = False
        self.lose = 0
        """How many answers get lost after what was sent is stored."""
        self.busy: set[str] = set()
        """Ids that are answered 503 the first time."""
        self.largest = 10**9
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        entries = (
            body["entry"]
            if body["resourceType"] == "Bundle"
            else [{"resource": body, "request": {"url": "MeasureReport"}}]
        )
        self.requests.append([entry["resource"].get("id", "") for entry in entries])
        if len(entries) > self.largest:
            return web.Response(status=413)
        contracts = {entry["resource"]["measure"] for entry in entries}
        self._enter(contracts)
        await self.gate.wait()
        answers = [self._stored(entry["resource"]) or accepted(entry) for entry in entries]
        for each in contracts:
            self.under_way[each] -= 1
        if self.lose:
            self.lose -= 1
            assert request.transport is not None
            request.transport.abort()
        if body["resourceType"] != "Bundle":
            return web.json_response({"resourceType": "OperationOutcome", "issue": []}, status=201)
        return web.json_response({"resourceType": "Bundle", "type": "batch-response", "entry": answers})

    def _enter(self, contracts: set[str]) -> None:
        for each in contracts:
            self.overlapped |= self.under_way[each] > 0
            self.under_way[each] += 1
        self.most_at_once = max(self.most_at_once, sum(map(bool, self.under_way.values())))
        if self.most_at_once > 1:
            self.gate.set()

    def _stored(self, resource: Json) -> Json | None:
        id_ = resource.get("id", "")
        if id_ in self.busy:
            self.busy.discard(id_)
            return {"response": {"status": "503 Service Unavailable"}}
        stored = self.order[resource["measure"]]
        if id_ in stored:
            outcome = {
                "resourceType": "OperationOutcome",
                "issue": [{"severity": "information", "code": "duplicate"}],
            }
            return {"response": {"status": "200 OK", "outcome": outcome}}
        stored.append(id_)
        return None


@pytest.fixture
async def server() -> AsyncIterator[Batches]:
    scripted = Batches()
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", scripted.handle)
    async with TestServer(app) as running:
        scripted.base = str(running.make_url("/fhir"))
        yield scripted


async def test_contracts_go_side_by_side_and_each_keeps_its_order(server: Batches) -> None:
    sent = [performance(f"r{n}", measure=contract_url(f"c{n % 7}")) for n in range(2000)]
    server.gate.clear()  # nobody is answered until two are under way

    ended = await run("publish", "-", "--url", server.base, "--quiet", given=lines(*sent))

    assert ended.out.splitlines()[-1] == "2000 accepted, 0 unchanged, 0 rejected", ended.err
    assert server.most_at_once > 1
    assert not server.overlapped, "one contract is in one request at a time"
    for number in range(7):
        assert server.order[contract_url(f"c{number}")] == [f"r{n}" for n in range(2000) if n % 7 == number]
    assert len(server.requests) < 2000 / TOGETHER * 4
    assert TOGETHER / 2 < max(map(len, server.requests)) <= TOGETHER


async def test_with_one_at_a_time_all_goes_in_the_order_given(server: Batches) -> None:
    sent = [performance(f"r{n}", measure=contract_url(f"c{n % 3}")) for n in range(500)]

    await run("publish", "-", "--url", server.base, "--at-once", "1", given=lines(*sent))

    assert [id_ for request in server.requests for id_ in request] == [f"r{n}" for n in range(500)]


async def test_a_resource_stands_in_a_request_once(server: Batches) -> None:
    sent = [performance(f"r{n % 3}", score=n) for n in range(9)]

    await run("publish", "-", "--url", server.base, given=lines(*sent))

    assert all(len(set(request)) == len(request) for request in server.requests)
    assert [id_ for request in server.requests for id_ in request] == [f"r{n % 3}" for n in range(9)]


async def test_what_a_report_lists_goes_the_way_of_its_contract(server: Batches) -> None:
    sent = []
    for number in range(40):
        sent += [performance(f"p{number}", measure=contract_url(f"c{number}"), lists=[f"q{number}"]), quality(f"q{number}")]  # fmt: skip

    await run("publish", "-", "--url", server.base, given=lines(*sent))

    came = [id_ for request in server.requests for id_ in request]
    assert all(came.index(f"p{n}") < came.index(f"q{n}") for n in range(40))


async def test_a_lost_answer_is_asked_for_again_and_nothing_is_stored_twice(server: Batches) -> None:
    server.lose = 2
    sent = [performance(f"r{n}") for n in range(250)]

    ended = await run("publish", "-", "--url", server.base, "--quiet", given=lines(*sent))

    assert ended.code == 0
    assert server.order[contract_url()] == [f"r{n}" for n in range(250)]
    summary = ended.out.splitlines()[-1]
    counted = [int(word) for word in summary.replace(",", "").split() if word.isdecimal()]
    assert sum(counted) == 250
    assert counted[1] > 0, "what was there already is said to be unchanged"


async def test_of_a_batch_that_is_half_answered_the_rest_is_sent_again(server: Batches) -> None:
    server.busy = {"r3", "r7"}
    sent = [performance(f"r{n}") for n in range(10)]

    ended = await run("publish", "-", "--url", server.base, given=lines(*sent))

    assert ended.out.splitlines()[-1] == "10 accepted, 0 unchanged, 0 rejected"
    assert server.requests[-1] == ["r3", "r7"]


async def test_a_batch_that_is_too_large_for_the_server_goes_in_parts(server: Batches) -> None:
    server.largest = 10
    sent = [performance(f"r{n}") for n in range(40)]

    ended = await run("publish", "-", "--url", server.base, given=lines(*sent))

    assert ended.out.splitlines()[-1] == "40 accepted, 0 unchanged, 0 rejected"
    assert server.order[contract_url()] == [f"r{n}" for n in range(40)]


async def test_every_rejected_line_of_a_thousand_is_named_and_all_others_are_there(
    vbpr: VbprProcesses, tmp_path: Path
) -> None:
    serve = await asyncio.to_thread(vbpr.start, "serve")
    unknown = "https://payer.example/Measure/unknown"
    bad: dict[int, Json | bytes] = {
        7: dated(7, measure=unknown),
        200: b'{"resourceType": "MeasureReport", "id": }',
        333: {**dated(333), "date": 5},
        501: dated(501, type="individual"),
        777: b'{"resourceType": "MeasureReport", "id": "twice", "id": "twice"}',
        996: {**dated(996), "id": "not an id"},
    }
    sent = [bad.get(number) or dated(number) for number in range(1, 996)]
    file = tmp_path / "reports.ndjson"
    file.write_bytes(lines(PAYER, PROVIDER, OTHER_PROVIDER, contract(), *sent, bad[996]))

    ended = await run("publish", str(file), "--url", serve.fhir, "--json")

    assert ended.code == 1, ended.err
    rows = {row["line"]: row for row in map(orjson.loads, ended.out.splitlines())}
    assert len(rows) == 1000
    assert {line - 4 for line, row in rows.items() if row["result"] == "rejected"} == set(bad)
    assert rows[11]["issues"][0]["expression"] == "MeasureReport.measure"
    assert rows[337]["issues"][0]["expression"] == "MeasureReport.date"
    assert rows[505]["issues"][0]["expression"] == "MeasureReport.type"
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{serve.fhir}/MeasureReport?_summary=count") as got,
    ):
        assert (await got.json())["total"] == 990
    again = await run("publish", str(file), "--url", serve.fhir, "--quiet")
    assert again.out.splitlines()[-1] == "0 accepted, 994 unchanged, 6 rejected"


MEASURED = """
import resource, sys
from services.cli.main import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.timeout(180)
async def test_memory_does_not_grow_with_what_is_sent(server: Batches, tmp_path: Path) -> None:
    """Six times as many lines, 50 MB more of them, take no more memory."""

    async def peak(count: int) -> int:
        file = tmp_path / f"{count}.ndjson"
        padding = "x" * 4000
        with file.open("wb") as out:
            for number in range(count):
                out.write(orjson.dumps({**performance(f"{count}-{number}"), "language": padding}) + b"\n")
        command = [sys.executable, "-c", MEASURED, "publish", str(file), "--url", server.base, "--quiet"]
        ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return int(ended.stderr.split()[-1])

    few, many = await peak(2_000), await peak(12_000)

    assert many - few < 8 * 1024
