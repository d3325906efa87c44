"""Whether the ledger closes: everything owed was delivered, nothing twice under another number, nothing else.

Three accounts that know nothing of each other: the scenario's table, the receiver's own record, and the
services' durable rows as `vbpr status --json` tells them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.cli.demo.scenario import STEPS, Kind, owed
from services.cli.listen.record import Entry


@dataclass(frozen=True, slots=True)
class Account:
    """One subscription's side of the ledger."""

    kind: Kind
    subscription: str
    expected: int
    events: int
    owed: int
    delivered: int
    given_up: int
    received: int
    """Event numbers in the receiver's record, each counted once."""
    duplicates: int
    """Copies that came again under the same number and `webhook-id`; allowed."""
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The whole account of a run."""

    accepted: int
    events: int
    emitted: int
    consumed: int
    waiting: int
    accounts: tuple[Account, ...]
    findings: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that keeps it from closing."""
        return self.findings + tuple(
            f"{account.kind}: {finding}" for account in self.accounts for finding in account.findings
        )

    @property
    def closes(self) -> bool:
        """Tell whether nothing was lost, doubled or added."""
        return not self.problems


def balance(
    acknowledged: Sequence[str],
    status: Mapping[str, Any],
    record: Sequence[Entry],
    subscriptions: Mapping[Kind, str],
) -> Ledger:
    """Hold the accounts against each other.

    `acknowledged` are the report versions the publisher answered 201 for, `status` is what
    `vbpr status --json` printed, `subscriptions` the ids of the two Subscriptions.
    """
    findings = []
    expected = [step.version for step in STEPS]
    if list(acknowledged) != expected:
        findings.append(f"acknowledged {sorted(set(expected) ^ set(acknowledged))} differ from the scenario")
    counts = {name: status["events"][name] for name in ("accepted", "emitted", "consumed")}
    findings += [
        f"{count} events {name}, expected {len(expected)}"
        for name, count in counts.items()
        if count != len(expected)
    ]
    if status["outbox"]["pending"]:
        findings.append(f"{status['outbox']['pending']} events are still in the outbox")
    strangers = {entry.reading.subscription for entry in record} - set(subscriptions.values())
    if strangers:
        findings.append(f"notifications of unknown subscriptions: {sorted(strangers)}")
    return Ledger(
        accepted=len(acknowledged),
        events=counts["accepted"],
        emitted=counts["emitted"],
        consumed=counts["consumed"],
        waiting=status["reports"]["waiting"],
        accounts=tuple(
            _account(kind, logical_id, status, record) for kind, logical_id in subscriptions.items()
        ),
        findings=tuple(findings),
    )


def _account(kind: Kind, logical_id: str, status: Mapping[str, Any], record: Sequence[Entry]) -> Account:
    rows = [row for row in status["subscriptions"] if row["id"] == logical_id]
    row = rows[0] if rows else {"events": 0, "owed": 0, "delivered": 0, "given_up": 0}
    heard = [entry for entry in record if entry.reading.subscription == logical_id and entry.reading.numbers]
    first: dict[int, str] = {}
    for entry in heard:
        if entry.answered == 200:
            for number, report in zip(entry.reading.numbers, entry.reading.reports, strict=False):
                first.setdefault(number, report)
    return Account(
        kind=kind,
        subscription=logical_id,
        expected=len(owed(kind)),
        events=row["events"],
        owed=row["owed"],
        delivered=row["delivered"],
        given_up=row["given_up"],
        received=len(first),
        duplicates=sum(entry.duplicate for entry in heard),
        findings=tuple(_findings(kind, row, heard, first)),
    )


def _findings(
    kind: Kind, row: Mapping[str, Any], heard: Sequence[Entry], first: Mapping[int, str]
) -> list[str]:
    expected = owed(kind)
    out = [problem for entry in heard for problem in entry.problems]
    if lost := sorted(expected - set(first.values())):
        out.append(f"never told of {', '.join(lost)}")
    if added := sorted(set(first.values()) - expected):
        out.append(f"told of {', '.join(added)}, which it did not ask for")
    if sorted(first) != list(range(1, len(expected) + 1)):
        out.append(f"event numbers are {sorted(first)}, expected 1 to {len(expected)}")
    if list(first) != sorted(first):
        out.append(f"first copies came in the order {list(first)}")
    for report in {version.partition("/_history/")[0] for version in first.values()}:
        versions = [
            v.rpartition("/")[2] for _, v in sorted(first.items()) if v.startswith(f"{report}/_history/")
        ]
        if versions != sorted(versions, key=int):
            out.append(f"the versions of {report} came in the order {', '.join(versions)}")
    counted = (("events", len(expected)), ("delivered", len(expected)), ("owed", 0), ("given_up", 0))
    out += [
        f"the services count {row[name]} {name.replace('_', ' ')}, expected {count}"
        for name, count in counted
        if row[name] != count
    ]
    return out
