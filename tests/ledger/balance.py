"""Does the ledger close? Every subscription's account, and whatever belongs to none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.ledger.account import Account, account
from tests.ledger.content import exact, said
from tests.ledger.inputs import Inputs
from tests.ledger.reports import History, history


@dataclass(frozen=True, slots=True)
class Balance:
    """The whole account of a run."""

    versions: int
    events: int
    waiting: int
    accounts: tuple[Account, ...]
    findings: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """Every finding, each with the subscription it belongs to."""
        of_accounts = (f"{one.subscription}: {finding}" for one in self.accounts for finding in one.findings)
        return (*self.findings, *of_accounts)

    @property
    def closes(self) -> bool:
        """Tell whether nothing was lost, added, doubled, changed or put out of order."""
        return not self.sentences


def balance(inputs: Inputs) -> Balance:
    """Judge a run.

    Raises:
        InputError: something was accepted or asked for that the ledger has no rule for.
    """
    told = history(inputs.accepted)
    contents = {
        (each.id, each.version): said(exact(each.body))
        for each in inputs.accepted
        if each.resource["resourceType"] == "MeasureReport" and not each.deleted
    }
    accounts = tuple(
        account(
            one,
            told.events,
            [arrival for arrival in inputs.received if arrival.subscription == one.id],
            [row for row in inputs.listed.rows if row.subscription == one.id],
            contents,
        )
        for one in inputs.subscriptions
    )
    return Balance(
        len(contents), len(told.events), len(told.waiting), accounts, tuple(_at_large(inputs, told))
    )


def _at_large(inputs: Inputs, told: History) -> Iterator[str]:
    if not inputs.subscriptions:
        yield "nobody subscribed: an empty ledger proves nothing"
    if not told.events:
        yield "nothing was accepted: an empty ledger proves nothing"
    known = {one.id for one in inputs.subscriptions}
    for stranger in sorted({arrival.subscription for arrival in inputs.received} - known):
        yield f"something arrived for {stranger or 'no subscription'}, which nobody asked for"
    for stranger in sorted({row.subscription for row in inputs.listed.rows} - known):
        yield f"something is listed for {stranger}, which nobody asked for"
    if inputs.listed.events != len(told.events):
        yield f"{inputs.listed.events} events are listed as made, expected {len(told.events)}"
    if inputs.listed.waiting != len(told.waiting):
        yield f"{inputs.listed.waiting} reports are listed as waiting, expected {len(told.waiting)}"
    if inputs.listed.pending:
        yield f"{inputs.listed.pending} events are still in the outbox: the ledger was asked too early"
