"""`vbpr publish`, as the process a payer's engineer starts, against a server that answers as each test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from schemas import examples
from tests.processes import VbprProcesses
from tests.service.commands import run
from tools.server_process import free_ports

pytestmark = pytest.mark.slow

Answering = Callable[[str, str, bytes], web.Response]


class Server:
    """A FHIR base that notes what it is sent, in order, and answers with `answer`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.answer: Answering = lambda method, path, _body: web.json_response(
            {"resourceType": "OperationOutcome", "issue": []},
            status=201,
            headers={"Location": f"{self.base}{path.removeprefix('/fhir')}/_history/1"}
            if method == "PUT"
            else {},
        )
        self.base = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append((request.method, request.path, body))
        return self.answer(request.method, request.path, body)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    scripted = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.handle)
    async with TestServer(app) as running:
        scripted.base = str(running.make_url("/fhir"))
        yield scripted


def report(logical_id: str | None, score: str = "1.50") -> bytes:
    named = f'"id": "{logical_id}", ' if logical_id else ""
    return f'{{"resourceType": "MeasureReport", {named}"score": {score}}}'.encode()


def refusal(sentence: str, expression: str) -> web.Response:
    issue = {"severity": "error", "code": "required", "diagnostics": sentence, "expression": [expression]}
    return web.json_response({"resourceType": "OperationOutcome", "issue": [issue, issue]}, status=422)


async def test_a_folder_goes_in_the_order_of_its_names_byte_for_byte(server: Server, tmp_path: Path) -> None:
    for name in ("02", "10", "01"):
        (tmp_path / f"{name}.json").write_bytes(report(f"r{name}", "1.500"))
    (tmp_path / "notes.txt").write_text("not a resource")
    ended = await run("publish", str(tmp_path), "--url", server.base)
    assert ended.code == 0
    assert [path for _, path, _ in server.seen] == [f"/fhir/MeasureReport/r{n}" for n in ("01", "02", "10")]
    assert {method for method, _, _ in server.seen} == {"PUT"}
    assert server.seen[0][2] == report("r01", "1.500")
    lines = ended.out.splitlines()
    assert lines[0].split() == ["accepted", "201", str(tmp_path / "01.json"), "MeasureReport/r01/_history/1"]
    assert lines[-1] == "3 accepted, 0 unchanged, 0 rejected"
    assert "\x1b" not in ended.out


async def test_without_an_id_it_is_posted_and_a_bundle_goes_to_the_base(server: Server) -> None:
    bundle = b'{"resourceType": "Bundle", "type": "transaction", "entry": []}'
    ended = await run("publish", "-", "--url", server.base, given=report(None) + b"\n" + bundle + b"\n")
    assert ended.code == 0
    assert [(method, path) for method, path, _ in server.seen] == [
        ("POST", "/fhir/MeasureReport"),
        ("POST", "/fhir"),
    ]


async def test_each_rejected_line_is_said_with_every_issue_and_the_rest_is_sent(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "reports.ndjson"
    file.write_bytes(b"\n".join([report("good"), report("bad"), b"{not json", b"7", report("last")]))
    accept = server.answer
    server.answer = lambda method, path, body: (
        refusal("period is missing, expected exactly one", "MeasureReport.period")
        if path.endswith("/bad")
        else accept(method, path, body)
    )
    ended = await run("publish", str(file), "--url", server.base, "--json")
    assert ended.code == 1
    rows = [orjson.loads(row) for row in ended.out.splitlines()]
    assert [(row["line"], row["result"]) for row in rows] == [
        (1, "accepted"), (2, "rejected"), (3, "rejected"), (4, "rejected"), (5, "accepted"),
    ]  # fmt: skip
    assert rows[1]["issues"] == 2 * [
        {
            "severity": "error",
            "code": "required",
            "expression": "MeasureReport.period",
            "diagnostics": "period is missing, expected exactly one",
        }
    ]
    assert rows[2]["issues"][0]["diagnostics"].startswith("not JSON")
    plain = await run("publish", str(file), "--url", server.base, "--quiet")
    assert (
        "    error: MeasureReport.period: period is missing, expected exactly one" in plain.out.splitlines()
    )
    assert "accepted" not in plain.out.splitlines()[0]


async def test_an_entry_that_failed_in_a_batch_makes_the_batch_rejected(server: Server) -> None:
    outcome = orjson.loads(refusal("unknown contract", "MeasureReport.measure").body)  # type: ignore[arg-type]  # bytes, for a response made from JSON
    server.answer = lambda *_: web.json_response(
        {
            "resourceType": "Bundle",
            "type": "batch-response",
            "entry": [
                {"response": {"status": "201 Created"}},
                {"response": {"status": "422", "outcome": outcome}},
            ],
        }
    )
    bundle = b'{"resourceType": "Bundle", "type": "batch", "entry": []}'
    ended = await run("publish", "-", "--url", server.base, given=bundle)
    assert ended.code == 1
    assert "Bundle.entry[1]: MeasureReport.measure: unknown contract" in ended.out


async def test_an_answer_that_never_came_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(report("r1"))
    accept = server.answer
    answers = iter([503, 500])
    server.answer = lambda *sent: (
        web.Response(status=status) if (status := next(answers, None)) else accept(*sent)
    )
    ended = await run("publish", str(tmp_path), "--url", server.base)
    assert ended.code == 0
    assert len(server.seen) == 3
    assert ended.out.splitlines()[-1] == "1 accepted, 0 unchanged, 0 rejected"


async def test_the_same_again_is_said_to_be_unchanged_with_what_the_publisher_remarks(server: Server) -> None:
    issues = [
        {"severity": "information", "code": "duplicate", "diagnostics": "nothing stored"},
        {"severity": "warning", "code": "incomplete", "diagnostics": "waits for its performance report"},
    ]
    server.answer = lambda *_: web.json_response({"resourceType": "OperationOutcome", "issue": issues})
    ended = await run("publish", "-", "--url", server.base, given=report("q1"))
    assert ended.code == 0
    assert ended.out.startswith("unchanged")
    assert "    warning: waits for its performance report" in ended.out


async def test_the_examples_are_accepted_by_vbpr_serve_and_sending_them_again_changes_nothing(
    vbpr: VbprProcesses,
) -> None:
    serve = await asyncio.to_thread(vbpr.start, "serve")
    files = [str(file) for file in (*examples.parties(), *examples.contracts(), *examples.reports()[:4])]
    first = await run("publish", *files, "--url", serve.fhir)
    assert first.code == 0, first.out
    assert first.out.splitlines()[-1] == "14 accepted, 0 unchanged, 0 rejected"
    waiting = (
        first.out.splitlines().index(next(row for row in first.out.splitlines() if "01-quality" in row)) + 1
    )
    assert first.out.splitlines()[waiting].startswith("    warning: ")
    again = await run("publish", *files, "--url", serve.fhir)
    assert again.out.splitlines()[-1] == "0 accepted, 14 unchanged, 0 rejected"
    unknown = orjson.loads(examples.reports()[1].read_bytes()) | {
        "id": "x",
        "measure": "https://nowhere.example/m",
    }
    ended = await run("publish", "-", "--url", serve.fhir, given=orjson.dumps(unknown))
    assert ended.code == 1
    assert "error: MeasureReport.measure: " in ended.out


async def test_no_publisher_is_exit_code_2_and_stops_the_run(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    for name in ("1", "2"):
        (tmp_path / f"{name}.json").write_bytes(report(name))
    ended = await run("publish", str(tmp_path), "--url", f"http://127.0.0.1:{port}/fhir", "--patience", "0")
    assert ended.code == 2
    assert ended.out.count("unreachable") == 1
    assert "the rest was not sent" in ended.out
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("path", ["nothing-here.json", "."])
async def test_nothing_to_publish_is_one_sentence(path: str, tmp_path: Path) -> None:
    ended = await run("publish", str(tmp_path / path))
    assert ended.code == 2
    assert ended.err.startswith("vbpr: ")
    assert len(ended.err.splitlines()) == 1


async def test_a_server_that_is_no_fhir_base_is_said_so(server: Server) -> None:
    server.answer = lambda *_: web.Response(status=404, text="<html>")
    ended = await run("publish", "-", "--url", server.base, given=report("r1"))
    assert ended.code == 1
    assert "HTTP 404 without an OperationOutcome" in ended.out
