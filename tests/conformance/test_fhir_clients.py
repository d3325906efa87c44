"""Do FHIR clients that others wrote get along with `vbpr serve`? They create, search, page, patch and read errors."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fhirclient.client
import fhirpy
import orjson
import pytest
import requests
from fhirclient.models import measurereport
from fhirclient.models.fhirdatetime import FHIRDateTime
from fhirclient.server import FHIRNotFoundException
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from schemas import examples
from tests.processes import VbprProcesses

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MeasureReport: Any = measurereport.MeasureReport
_date_time: Any = FHIRDateTime
"""Their methods have no types."""
JAVASCRIPT = Path(__file__).parent / "javascript"
REPORT = "14-harbor-point-commercial-final"
"""The example that the clients create once more, with another period."""


@pytest.fixture
def base(vbpr: VbprProcesses) -> str:
    """A server that has the examples."""
    serve = vbpr.start("serve")
    for path in (*examples.parties(), *examples.contracts(), *examples.reports()):
        resource = orjson.loads(path.read_bytes())
        url = f"{serve.fhir}/{resource['resourceType']}/{resource['id']}"
        headers = {"Content-Type": "application/fhir+json"}
        assert requests.put(url, path.read_bytes(), headers=headers, timeout=30).status_code in {200, 201}
    return serve.fhir


def new_report() -> dict[str, Any]:
    """A report that is not there yet."""
    (path,) = (path for path in examples.reports() if path.stem == REPORT)
    report: dict[str, Any] = orjson.loads(path.read_bytes())
    del report["id"]
    return {**report, "period": {"start": "2019-01-01", "end": "2019-12-31"}}


def all_ids(base: str) -> set[str]:
    found = requests.get(f"{base}/MeasureReport?_count=1000", timeout=30).json()
    return {entry["resource"]["id"] for entry in found["entry"]}


def test_fhirpy(base: str) -> None:
    client: Any = fhirpy.SyncFHIRClient(base)
    report = client.resource("MeasureReport", **new_report())
    report.save()
    assert report["meta"]["versionId"] == "1"
    again = client.reference("MeasureReport", report["id"]).to_resource()
    assert again["period"] == {"start": "2019-01-01", "end": "2019-12-31"}

    everything = [each["id"] for each in client.resources("MeasureReport").sort("-date").limit(3)]
    assert len(everything) == len(set(everything))
    assert set(everything) == all_ids(base)
    found = client.resources("MeasureReport").search(period__ge="2019", period__lt="2020").fetch_all()
    assert [each["id"] for each in found] == [report["id"]]
    assert client.resources("MeasureReport").search(stage="final").count() > 1
    bundle = client.resources("MeasureReport").search(_id=report["id"]).include("MeasureReport", "reporter")
    kinds = [entry["resource"]["resourceType"] for entry in bundle.fetch_raw()["entry"]]
    assert kinds == ["MeasureReport", "Organization"]

    again["date"] = "2026-06-02"
    again.save()
    assert again["meta"]["versionId"] == "2"
    client.execute(f"MeasureReport/{report['id']}", method="delete")
    with pytest.raises(ResourceNotFound):
        client.reference("MeasureReport", "nobody").to_resource()
    with pytest.raises(OperationOutcome, match="nonsense"):
        client.resources("MeasureReport").search(nonsense="1").fetch()
    with pytest.raises(OperationOutcome, match="period"):
        client.resource("MeasureReport", status="complete", type="summary", measure="urn:x").save()


async def _asynchronously(base: str) -> None:
    client: Any = fhirpy.AsyncFHIRClient(base)
    report = client.resource("MeasureReport", **new_report())
    await report.save()
    seen = [each["id"] async for each in client.resources("MeasureReport").limit(5)]
    assert set(seen) == all_ids(base)
    assert len(seen) == len(set(seen))
    with pytest.raises(ResourceNotFound):
        await client.reference("MeasureReport", "nobody").to_resource()


def test_fhirpy_asynchronously(base: str) -> None:
    asyncio.run(_asynchronously(base))


def test_fhirclient(base: str) -> None:
    client: Any = fhirclient.client.FHIRClient
    server = client(settings={"app_id": "tests", "api_base": base}).server
    report = MeasureReport(new_report())
    made = report.create(server)
    assert made["meta"]["versionId"] == "1"
    again = MeasureReport.read(made["id"], server)
    assert again.as_json()["period"]["start"] == "2019-01-01"

    found = MeasureReport.where({"period": "2019"}).perform_resources_iter(server)
    assert [each.id for each in found] == [made["id"]]
    pages = MeasureReport.where({"_count": "3", "_sort": "-_lastUpdated"}).perform_iter(server)
    seen = [entry.resource.id for page in pages for entry in page.entry]
    assert len(seen) == len(set(seen))
    assert set(seen) == all_ids(base)
    along = MeasureReport.where({"_id": made["id"], "_include": "MeasureReport:reporter"}).perform_iter(
        server
    )
    assert [[entry.search.mode for entry in page.entry] for page in along] == [["match", "include"]]

    again.date = _date_time("2026-06-01T00:00:00Z")
    assert again.update(server)["meta"]["versionId"] == "2"
    again.delete(server)
    with pytest.raises(FHIRNotFoundException) as unknown:
        MeasureReport.read("nobody", server)
    assert unknown.value.response.json()["resourceType"] == "OperationOutcome"
    with pytest.raises(requests.HTTPError) as wrong:
        next(MeasureReport.where({"nonsense": "1"}).perform_iter(server))
    assert wrong.value.response is not None
    assert "nonsense" in wrong.value.response.json()["issue"][0]["diagnostics"]


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the client and what it needs, as the lock file pins it."""
    folder = tmp_path_factory.mktemp("javascript")
    for path in JAVASCRIPT.iterdir():
        shutil.copy(path, folder)
    npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(npm, cwd=folder, check=True, timeout=120)
    yield folder
    shutil.rmtree(folder)


def test_fhir_kit_client(base: str, javascript: Path) -> None:
    before = all_ids(base)
    file = javascript / "report.json"
    file.write_bytes(orjson.dumps(new_report()))
    command = ["node", "client.mjs", base, str(file)]
    ran = subprocess.run(command, cwd=javascript, check=False, timeout=60, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["fhirVersion"] == "4.0.1"
    assert (said["version"], said["read"]) == ("1", said["created"])
    assert {"match", "include"} == set(said["found"])
    assert said["posted"] == [said["created"]]
    seen = [each for page in said["pages"] for each in page]
    assert all(len(page) <= 2 for page in said["pages"])
    assert len(seen) == len(set(seen))
    assert set(seen) == before | {said["created"]}
    assert (said["patched"], said["updated"], said["history"]) == ("2026-06-01", "3", 3)
    outcome = "OperationOutcome"
    assert (said["gone"]["status"], said["gone"]["type"], said["gone"]["code"]) == (410, outcome, "deleted")
    assert (said["unknown"]["status"], said["unknown"]["code"]) == (404, "not-found")
    assert said["wrong"]["status"] == 400
    assert "nonsense" in said["wrong"]["said"]
    assert said["invalid"]["status"] in {400, 422}
