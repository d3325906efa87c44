"""`vbpr validate`: what a payer's engineer sees, of files and of pipes, without a server and without a database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas import examples
from tests.pure import full_resources as full
from tests.service.commands import run

pytestmark = pytest.mark.slow

Json = dict[str, Any]


def _text(resource: Json, indent: int | None = None) -> bytes:
    return json.dumps(resource, indent=indent).encode()


def _broken() -> Json:
    report = full.performance()
    report["group"][0]["measureScore"] = {"value": "790"}
    del report["group"][0]["code"]
    return report


async def test_a_finding_says_where_what_and_by_which_rule(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(_text(_broken(), indent=2))
    lines = file.read_text().splitlines()

    ended = await run("validate", str(file))

    assert ended.code == 1
    said = ended.out.splitlines()
    assert (
        said[0]
        == f"not valid  {file}  MeasureReport/performance  vbp-performance-measurereport of VBPR 1.1.0"
    )
    score = next(line for line in said if "measureScore.value" in line)
    number = int(score.split(f"{file}:")[1].split(":")[0])
    assert '"value": "790"' in lines[number - 1]
    assert "Found the string '790'; expected a number, not in quotes." in score
    code = next(line for line in said if "[vbpr-metric-code]" in line)
    assert "error: MeasureReport.group[0].code: " in code
    assert said[-1].startswith("0 valid, 1 not valid")
    assert "\x1b" not in ended.out


async def test_a_period_that_ends_before_it_starts_is_found(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(_text({**full.performance(), "period": {"start": "2019-06-01", "end": "2019-01-01"}}))

    ended = await run("validate", str(file))

    assert ended.code == 1
    said = next(line for line in ended.out.splitlines() if "[per-1]" in line)
    assert "error: MeasureReport.period: " in said
    assert "found the start '2019-06-01' and the end '2019-01-01'" in said


async def test_our_own_examples_are_valid_and_nothing_else_is_needed() -> None:
    folder = str(examples.reports()[0].parent.parent)

    ended = await run(
        "validate",
        folder,
        settings={"VBPR_PUBLISHER_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/none"},
    )

    assert ended.code == 0
    assert ended.out.splitlines()[-1].startswith("32 valid, 0 not valid; 0 warnings")


async def test_every_entry_of_a_bundle_is_judged(tmp_path: Path) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": full.contract(), "request": {"method": "PUT", "url": "Measure/contract"}},
            {"resource": _broken(), "request": {"method": "POST", "url": "MeasureReport"}},
        ],
    }
    file = tmp_path / "bundle.json"
    file.write_bytes(_text(bundle, indent=1))

    ended = await run("validate", str(file), "--json")

    assert ended.code == 1
    answer = json.loads(ended.out)
    found = {issue["expression"]: issue for issue in answer["issues"] if issue["severity"] == "error"}
    assert set(found) == {
        "Bundle.entry[1].resource.group[0].code",
        "Bundle.entry[1].resource.group[0].measureScore.value",
    }
    line = found["Bundle.entry[1].resource.group[0].measureScore.value"]["line"]
    assert '"790"' in file.read_text().splitlines()[line - 1]


async def test_a_report_is_compared_with_the_contract_before_it(tmp_path: Path) -> None:
    late = {**full.performance(), "period": {"start": "2025-01-01", "end": "2025-12-31"}}
    lines = [_text(full.contract()), _text(full.performance()), _text(late)]

    ended = await run("validate", "-", given=b"\n".join(lines))

    assert ended.code == 0
    warned = [line for line in ended.out.splitlines() if "warning" in line and "[" in line]
    assert len(warned) == 1
    assert warned[0].strip().startswith("standard input:3: warning: MeasureReport.period: ")
    assert warned[0].endswith("[contract-period]")


async def test_notes_on_must_support_are_printed_when_asked(tmp_path: Path) -> None:
    report = full.performance()
    del report["group"][0]["id"]
    report["evaluatedResource"][0].pop("extension")
    quiet = await run("validate", "-", given=_text(report))
    told = await run("validate", "-", "--notes", given=_text(report))

    assert quiet.code == told.code == 0
    assert "supported-group-id" not in quiet.out
    assert "supported-group-id" in told.out


async def test_a_profile_and_edition_may_be_named(tmp_path: Path) -> None:
    report = _text(full.first_quality())

    assert (await run("validate", "-", given=report)).code == 0
    ended = await run("validate", "-", "--profile", f"{full.QUALITY}|1.1.0", given=report)
    assert ended.code == 1
    assert "[deqm-0]" in ended.out
    unknown = await run("validate", "-", "--profile", "http://example.org/profile", given=report)
    assert (unknown.code, unknown.out) == (2, "")
    assert unknown.err.startswith("vbpr: http://example.org/profile is no profile of VBPR")


@pytest.mark.parametrize(
    ("given", "line", "words"),
    [
        (b'{"resourceType": "MeasureReport",\n "id": }', 2, "not JSON"),
        (b'{"resourceType":}\n{"resourceType": "Measure"}\n', 1, "not JSON"),
        (b'{"resourceType": "Measure"}\n{"resourceType":}\n', 2, "not JSON"),
        (b"[]", None, "an array"),
        (b"", 1, "not JSON"),
    ],
)
async def test_what_is_no_json_is_said_with_its_line(given: bytes, line: int | None, words: str) -> None:
    ended = await run("validate", "-", "--json", given=given)

    assert ended.code == 1
    answers = [json.loads(answer) for answer in ended.out.splitlines()]
    (issue,) = [issue for answer in answers for issue in answer["issues"] if words in issue["diagnostics"]]
    assert issue["line"] == line


async def test_a_file_that_is_not_there_is_a_sentence() -> None:
    ended = await run("validate", "no-such-file.json")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("vbpr: no-such-file.json is not there")


MEASURED = """
import resource, sys
from services.cli.main import main
try:
    main()
except SystemExit as ended:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
    raise
"""


def _validated(lines: int, bad: int) -> tuple[int, str, int]:
    """Return exit code, output and peak memory (KiB) of a run over so many lines, of which one is bad."""
    report = full.quality()
    report["text"] = {"status": "generated", "div": "<div>" + "x" * 2000 + "</div>"}
    good = _text(report)
    report["group"][0]["population"][0]["count"] = "many"
    wrong = _text(report)
    command = [sys.executable, "-c", MEASURED, "validate", "-", "--quiet"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        for number in range(1, lines + 1):
            process.stdin.write((wrong if number == bad else good) + b"\n")
        out, err = process.communicate()
    return process.returncode, out.decode(), int(err.decode().split()[-1])


@pytest.mark.timeout(120)
def test_of_ten_thousand_lines_from_a_pipe_the_bad_one_is_named_and_none_is_kept() -> None:
    _, _, few = _validated(500, 1)
    code, out, many = _validated(10_000, 7_321)

    assert code == 1
    first, finding, summary = out.splitlines()
    assert first.startswith("not valid  standard input:7321  MeasureReport/quality")
    assert finding.strip().startswith(
        "standard input:7321: error: MeasureReport.group[0].population[0].count: Found the string 'many'"
    )
    assert summary.startswith("9999 valid, 1 not valid")
    assert many - few < 8 * 1024, "50 MB went through"
