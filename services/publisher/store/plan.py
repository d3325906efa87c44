"""What is asked of the store, as far as the request alone tells it? Pure, and done before any transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from schemas.outcome import FhirError
from services.principal import Principal
from services.publisher.check.profile import is_contract
from services.publisher.derive import contract_facts, needs
from services.publisher.derive.model import ContractFacts, Kind, Needs
from services.publisher.store.content import same_as
from services.publisher.store.model import REPORT, Write

_ORDER = {"Organization": 0, "Group": 1, "Measure": 2, REPORT: 3}
_NOTHING = ""
"""Hash of what a deletion says."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A write whose references are resolved, and what it needs."""

    write: Write
    content: str
    """Hash of what it says."""
    found: str | None = None
    """Id of what the search of a create found to be there already."""
    needs: Needs | None = None
    """Of a report."""
    contract: ContractFacts | None = None
    """Of a contract."""

    @property
    def order(self) -> int:
        """What others refer to comes first; of the reports of one request, the parents. Deletions before all that.

        R4's order (http, transaction: DELETE, POST, PUT and PATCH) as far as it can be told apart: what is created
        and what is updated comes to the same in any order of the two.
        """
        if self.write.deletes:
            return -1 - _ORDER[self.write.type]
        return 4 if self.write.kind is Kind.QUALITY else _ORDER[self.write.type]


@dataclass(frozen=True, slots=True)
class Request:
    """Writes that are stored together or not at all, and whose they are."""

    planned: Sequence[Planned]
    principal: Principal
    traceparent: str | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(each.write.text) for each in self.planned)


def plan(write: Write, principal: Principal, base_url: str, found: str | None = None) -> Planned:
    """Return a write with what it needs.

    Raises:
        FhirError: 422 when the write can be seen to be wrong without looking anything up.
    """
    if write.deletes:
        return Planned(write, _NOTHING)
    content = same_as(write.text, write.resource)
    try:
        if write.type == REPORT:
            return Planned(write, content, found, needs=needs(write.resource, base_url))
        if write.type == "Measure" and is_contract(write.resource):
            return Planned(
                write, content, found, contract=contract_facts(write.resource, payer_of(principal))
            )
    except FhirError as error:
        raise in_place(error, write) from None
    return Planned(write, content, found)


def payer_of(principal: Principal) -> str | None:
    """A payer publishes for the one organisation it stands for; an operator for nobody in particular."""
    if principal.role != "payer" or len(principal.organisations) != 1:
        return None
    (only,) = principal.organisations
    return only


def in_place(error: FhirError, write: Write) -> FhirError:
    """Return the error with its issues where the write stands in its Bundle."""
    if write.where is None:
        return error
    # A deletion sends nothing that could be pointed into.
    issues = (
        replace(issue, expression=write.where) if write.deletes else issue.under(write.where)
        for issue in error.issues
    )
    return FhirError(error.status, *issues, headers=error.headers)


def together(refused: Sequence[FhirError]) -> FhirError:
    """Return one error with every issue of several, each once; malformed goes before what breaks rules."""
    if len(refused) == 1:
        return refused[0]
    issues = dict.fromkeys(issue for error in refused for issue in error.issues)
    return FhirError(min(error.status for error in refused), *issues)
