"""What deriving needs to know beyond the report itself, and what it finds out. Values only.

References are normalised: `Type/id` for our own base, the absolute URL otherwise.
Tokens are `system|code`, as in `schemas.facets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.event import Stage
from schemas.facets import Facets


class Kind(StrEnum):
    """The two reports of VBPR."""

    PERFORMANCE = "performance"
    QUALITY = "quality"


@dataclass(frozen=True, slots=True)
class ContractFacts:
    """What reports inherit from their contract (a vbp-measure `Measure`)."""

    key: str
    """`Measure.url` without `|version`."""
    payer: str | None
    """The payer organisation that created it, or that its first report bound it to; `None` before that."""
    identifiers: tuple[str, ...] = ()
    lines_of_business: tuple[str, ...] = ()
    program_models: tuple[str, ...] = ()
    cohorts: tuple[str, ...] = ()
    payment_streams: tuple[str, ...] = ()
    """Empty when the contract lists none: then any will do; so with the metrics."""
    term: tuple[str | None, str | None] | None = None
    """`Measure.effectivePeriod` as `[low, high)`."""
    metrics: tuple[str, ...] = ()
    components: Mapping[str, bool] = field(default_factory=dict)
    """URL of each component's measure, without a version -> whether a settled report is to have it: an
    alternate measure may stand for another, all others are due."""


@dataclass(frozen=True, slots=True)
class ParentFacts:
    """What a quality report inherits from the performance report that lists it."""

    report: str
    """Logical id of the performance report."""
    contract: str
    payer: str
    provider: str
    identity: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be looked up before a report can be derived."""

    kind: Kind
    contract: str | None
    """Contract key of a performance report; a quality report has none of its own."""
    group: str | None
    """`Group/id` whose managing entity is the provider."""
    organisations: tuple[str, ...] = ()
    """Organisations of our own base that the report names as payer or provider: `Organization/id`."""
    identifiers: tuple[str, ...] = ()
    """Tokens of the organisations that the report names by an identifier alone."""
    lists: tuple[str, ...] = ()
    """Ids of the MeasureReports that a performance report lists in `evaluatedResource`."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What is known of a report that a performance report lists."""

    payer: str | None
    """The payer it was stored with; `None` when it has not come."""
    parent: ParentFacts | None
    """The performance report that listed it first; `None` when none did before."""


@dataclass(frozen=True, slots=True)
class Context:
    """What was looked up."""

    contract: ContractFacts | None = None
    """The report's contract; for a quality report its parent's. `None`: not known here."""
    group_manager: str | None = None
    """`managingEntity` of the Group, normalised; `None`: no such Group, or it has none."""
    parent: ParentFacts | None = None
    """`None` for a quality report that no performance report lists yet: it waits."""
    identifiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """`Organization/id` -> its identifiers as tokens: of those that `Needs.organisations` names, of the
    Group's manager, and of the parent's payer and provider. One that is not stored here is not in it.
    """
    organisations: Mapping[str, str] = field(default_factory=dict)
    """Token of `Needs.identifiers` -> the one organisation that has it. Not in it: none, or several."""
    listed: Mapping[str, Listed] = field(default_factory=dict)
    """Id of `Needs.lists` -> what is known of it; one nobody has sent or listed before is not in it."""
    former: Derived | None = None
    """What was derived for the version this one replaces; `None` for a new id."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What the service knows of one version of one report."""

    kind: Kind
    stage: Stage
    contract: str | None
    payer: str | None
    provider: str | None
    identity: str | None
    """Report identity (design words): one text; `None` while a quality report waits for its parent."""
    parent: str | None
    lists: tuple[str, ...]
    facets: Facets

    def with_facets(self, facets: Facets) -> Derived:
        """Return the same with these facets; field by field, as `replace` would look for them anew for each report."""
        return Derived(
            self.kind,
            self.stage,
            self.contract,
            self.payer,
            self.provider,
            self.identity,
            self.parent,
            self.lists,
            facets,
        )

    @property
    def waits(self) -> bool:
        """Tell whether the report is a quality report whose parent has not come."""
        return self.kind is Kind.QUALITY and self.parent is None
