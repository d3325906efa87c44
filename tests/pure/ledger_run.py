"""A small run of which the ledger closes, as the four files tell it, to be tampered with.

Payer p, provider a (named on the report) and provider b (behind a Group), two contracts. A quality report
comes before the performance report it belongs to; one report is settled, corrected and superseded under a new
id, another is withdrawn.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.ledger.balance import Balance, balance
from tests.ledger.inputs import read

VBPR = "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/"
STAGE = "https://vbpr-subscriptions.org/fhir/CodeSystem/report-stage"
TOPIC = "https://vbpr-subscriptions.org/fhir/SubscriptionTopic/"
ONE, TWO = "https://payer.example/contracts/one", "https://payer.example/contracts/two"


def performance(report: str, contract: str = ONE, **said: Any) -> dict[str, Any]:
    """A performance report of 2024 as its payer sends it; `stage` becomes a tag."""
    stage = said.pop("stage", None)
    behind = {"reference": "Group/roster"} if contract == TWO else None
    named = {
        "extension": [
            {"url": VBPR + "organization-subject", "valueReference": {"reference": "Organization/a"}}
        ]
    }
    meta: dict[str, Any] = {"profile": [VBPR + "vbp-performance-measurereport"]}
    if stage:
        meta["tag"] = [{"system": STAGE, "code": stage}]
    return {
        "resourceType": "MeasureReport",
        "id": report,
        "meta": meta,
        "status": "complete",
        "measure": contract + "|1",
        "subject": behind or named,
        "reporter": {"reference": "Organization/p"},
        "period": {"start": "2024-01-01", "end": "2024-12-31"},
        **said,
    }


def quality(report: str, **said: Any) -> dict[str, Any]:
    """A quality report: it has no contract and no provider of its own."""
    made = performance(report, **said)
    del made["subject"]
    profile = [VBPR + "vbp-quality-measurereport|1.1.0"]
    return {**made, "measure": "https://measures.example/m|2", "meta": {**made["meta"], "profile": profile}}


GROUP = {
    "resourceType": "Group",
    "id": "roster",
    "managingEntity": {"reference": "Organization/b"},
}

SENT = [
    (GROUP, 1),
    (quality("early", stage="settled"), 1),  # waits
    (performance("r1", evaluatedResource=[{"reference": "MeasureReport/early"}], score=1), 1),  # final
    (performance("other", TWO, status="pending"), 1),  # interim
    (performance("r1", stage="settled", score=2), 2),  # settled
    (performance("r2", stage="settled", score=3), 1),  # corrects r1 under a new id
    (performance("other", TWO, status="error"), 2),  # withdrawn
    (quality("alone"), 1),  # waits to the end
]
"""What was accepted, each with its version; seven reports, of which one still waits."""

NAMED = {"id": "all", "kind": "topic", "criteria": TOPIC + "report-available", "filters": []}
SETTLED = {"id": "settled", "kind": "classic", "criteria": f"MeasureReport?contract={ONE}&stage=settled"}

TOLD = {
    "all": [("r1", 1), ("early", 1), ("other", 1), ("r1", 2), ("r2", 1), ("other", 2)],
    "settled": [("early", 1), ("r1", 2), ("r2", 1)],
}
"""Who should be told of what, in the order of the numbers: written by hand."""


@dataclass
class Run:
    """The four inputs as JSON, free to be changed."""

    accepted: list[dict[str, Any]] = field(default_factory=list)
    subscriptions: list[dict[str, Any]] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)
    listed: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> list[str]:
        """Write the files and return the ledger's arguments."""
        lines = {"accepted": self.accepted, "received": self.received}
        whole = {"subscriptions": self.subscriptions, "listed": self.listed}
        for name, rows in lines.items():
            (folder / name).write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        for name, value in whole.items():
            (folder / name).write_bytes(orjson.dumps(value))
        return [part for name in (*lines, *whole) for part in (f"--{name}", str(folder / name))]

    def judge(self, folder: Path) -> Balance:
        """Judge it as the ledger's process does, by its files."""
        _, accepted, _, received, _, subscriptions, _, listed = self.write(folder)
        return balance(read(Path(accepted), Path(subscriptions), Path(received), Path(listed)))

    def arrival(self, subscription: str, number: int) -> dict[str, Any]:
        """Return the line of the record in which a number arrived."""
        return next(
            line
            for line in self.received
            if line["subscription"] == subscription and number in line["numbers"]
        )

    def row(self, subscription: str, number: int) -> dict[str, Any]:
        """Return the row that lists a number."""
        rows: list[dict[str, Any]] = self.listed["deliveries"]
        return next(row for row in rows if (row["subscription"], row["number"]) == (subscription, number))

    def lose(self, subscription: str, number: int) -> None:
        """Take a number out of record and listing."""
        self.received.remove(self.arrival(subscription, number))
        self.listed["deliveries"].remove(self.row(subscription, number))


def closing() -> Run:
    """Return the run as it should have gone: everything was delivered."""
    bodies = {(one["id"], version): one for one, version in SENT}
    run = Run(
        accepted=[
            {"id": one["id"], "version": version, "status": 201 if version == 1 else 200, "body": _text(one)}
            for one, version in SENT
        ],
        subscriptions=[deepcopy(NAMED), deepcopy(SETTLED)],
        received=[_line("all", [], "handshake", "", [], "{}")],
    )
    rows = []
    for subscription, reports in TOLD.items():
        for number, (report, version) in enumerate(reports, start=1):
            body = bodies[report, version]
            stored = {
                **body,
                "meta": {**body["meta"], "versionId": str(version), "lastUpdated": "2026-01-01"},
            }
            name = f"MeasureReport/{report}/_history/{version}"
            if subscription == "all":
                bundle = _text({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Parameters"}},
                                                                    {"resource": stored}]})  # fmt: skip
                run.received.append(
                    _line("all", [number], "event-notification", f"all_{number}-{number}", [name], bundle)
                )
            else:
                run.received.append(
                    _line(
                        "settled", [number], "resource", f"settled_{number}-{number}", [name], _text(stored)
                    )
                )
            rows.append({"subscription": subscription, "number": number, "state": "delivered",
                         "report": f"MeasureReport/{report}", "version": version})  # fmt: skip
    run.listed = {
        "status": {"reports": {"waiting": 1}, "events": {"accepted": 6}, "outbox": {"pending": 0}},
        "deliveries": rows,
    }
    return run


def _text(resource: dict[str, Any]) -> str:
    return orjson.dumps(resource).decode()


def _line(
    subscription: str, numbers: list[int], type_: str, webhook_id: str, reports: list[str], body: str
) -> dict[str, Any]:
    return {
        "subscription": subscription,
        "type": type_,
        "numbers": numbers,
        "webhook_id": webhook_id,
        "reports": reports,
        "answered": 200,
        "problems": [],
        "body": body,
    }
