"""What can a MeasureReport be searched and filtered by? One table, for search and for matching.

Sources: FHIR R4 4.0.1 (MeasureReport and Resource search parameters), VBPR 1.1.0, and this project for what
neither can ask. VBPR's definitions and its CapabilityStatement spell three names differently: both are read.
Names and values are case-sensitive: every code system here declares so, and identifiers are compared exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from schemas.event import Stage
from schemas.fhir import OURS, REPORT_KIND_SYSTEM, REPORT_STAGE_SYSTEM, STATUS_SYSTEM


class SearchType(StrEnum):
    """FHIR's search-param-type, those in use."""

    TOKEN = "token"  # noqa: S105  # FHIR's word for a coded value; nothing secret
    REFERENCE = "reference"
    DATE = "date"
    URI = "uri"
    STRING = "string"
    NUMBER = "number"
    COMPOSITE = "composite"


class Modifier(StrEnum):
    """FHIR's search-modifier-code, those in use. A resource type as modifier becomes part of the value."""

    MISSING = "missing"
    NOT = "not"
    IDENTIFIER = "identifier"
    BELOW = "below"
    EXACT = "exact"
    CONTAINS = "contains"


_MODIFIERS: Final[Mapping[SearchType, frozenset[Modifier]]] = {
    SearchType.TOKEN: frozenset({Modifier.MISSING, Modifier.NOT}),
    SearchType.REFERENCE: frozenset({Modifier.MISSING, Modifier.IDENTIFIER}),
    SearchType.DATE: frozenset({Modifier.MISSING}),
    SearchType.URI: frozenset({Modifier.MISSING, Modifier.BELOW}),
    SearchType.STRING: frozenset({Modifier.MISSING, Modifier.EXACT, Modifier.CONTAINS}),
    SearchType.NUMBER: frozenset({Modifier.MISSING}),
    SearchType.COMPOSITE: frozenset(),
}


@dataclass(frozen=True, slots=True, eq=False)
class SearchParameter:
    """One search parameter, compared by identity. `name` is also the key of its facets."""

    name: str
    type: SearchType
    documentation: str
    url: str
    """Canonical URL of its definition."""
    aliases: tuple[str, ...] = ()
    """Other spellings that are read as `name`."""
    targets: tuple[str, ...] = ()
    """Resource types a reference may point to; none means any."""
    system: str | None = None
    """The code system every value is in, when the element is a plain `code` or ours."""
    codes: frozenset[str] = frozenset()
    """All codes of `system` when it is closed: any other in a Subscription could never be met."""
    identified_by: str = ""
    """The parameter that has the identifiers `:identifier` asks for, of a reference that no element of the report is."""
    canonical: bool = False
    """The value is a canonical: `url` or `url|version`."""
    piped: bool = True
    """Whether a token may say `system|code`; an id has no system."""
    versionless: bool = False
    """A uri whose values never carry `|version`."""
    expression: str | None = None
    """FHIRPath, where one over the MeasureReport alone can say it."""
    example: str = ""
    """A value of a composite, as one writes it."""

    @property
    def modifiers(self) -> frozenset[Modifier]:
        """The modifiers it honours, besides a target type on a reference."""
        if self.canonical:
            return frozenset({Modifier.MISSING, Modifier.BELOW})
        return _MODIFIERS[self.type]

    @property
    def ours(self) -> bool:
        """Whether this project defines it, and so publishes its SearchParameter."""
        return self.url.startswith(OURS)


_R4 = "http://hl7.org/fhir/SearchParameter/"
_VBPR = "http://hl7.org/fhir/us/davinci-vbpr/SearchParameter/"
_OURS = OURS + "SearchParameter/MeasureReport-"
_ORGANIZATION = ("Organization",)
_EXTENSION = "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/"
_TOKEN, _REFERENCE, _DATE, _URI = SearchType.TOKEN, SearchType.REFERENCE, SearchType.DATE, SearchType.URI

_OF_ANY_RESOURCE = (
    SearchParameter("_id", _TOKEN, "Logical id.", _R4 + "Resource-id", piped=False),
    SearchParameter("_lastUpdated", _DATE, "When this version was stored.", _R4 + "Resource-lastUpdated"),
    SearchParameter("_tag", _TOKEN, "A tag on the report.", _R4 + "Resource-tag"),
    SearchParameter("_security", _TOKEN, "A security label on the report.", _R4 + "Resource-security"),
    SearchParameter(
        "_profile",
        _URI,
        "A profile the report claims. Without |version any version of it is meant.",
        _R4 + "Resource-profile",
        canonical=True,
    ),
    SearchParameter("_source", _URI, "Where the report came from (meta.source).", _R4 + "Resource-source"),
)

_OF_MEASURE_REPORT = (
    SearchParameter("date", _DATE, "When the report was generated.", _R4 + "MeasureReport-date"),
    SearchParameter("period", _DATE, "The period of the report.", _R4 + "MeasureReport-period"),
    SearchParameter(
        "identifier", _TOKEN, "A business identifier of the report.", _R4 + "MeasureReport-identifier"
    ),
    SearchParameter(
        "status",
        _TOKEN,
        "complete, pending or error.",
        _R4 + "MeasureReport-status",
        system=STATUS_SYSTEM,
        codes=frozenset({"complete", "pending", "error"}),
    ),
    SearchParameter(
        "measure",
        _REFERENCE,
        "The measure as the report names it: its contract, or its quality measure. Without |version any is meant.",
        _R4 + "MeasureReport-measure",
        targets=("Measure",),
        canonical=True,
    ),
    SearchParameter(
        "patient",
        _REFERENCE,
        "The patient the report is about; a report about a Group never matches.",
        _R4 + "MeasureReport-patient",
        targets=("Patient",),
    ),
    SearchParameter(
        "subject",
        _REFERENCE,
        "Who the report is about. An id without a type is looked for under every type allowed.",
        _R4 + "MeasureReport-subject",
        targets=(
            "Group",
            "Patient",
            "Practitioner",
            "PractitionerRole",
            "Location",
            "Device",
            "RelatedPerson",
        ),
    ),
    SearchParameter(
        "reporter",
        _REFERENCE,
        "Who reports. An id without a type is looked for under every type allowed.",
        _R4 + "MeasureReport-reporter",
        targets=("Organization", "Practitioner", "PractitionerRole", "Location"),
    ),
    SearchParameter(
        "evaluated-resource",
        _REFERENCE,
        "A resource the report was computed from; a performance report lists its quality reports here.",
        _R4 + "MeasureReport-evaluated-resource",
        aliases=("evaluatedResource",),
    ),
)

_OF_VBPR = (
    SearchParameter(
        "category",
        _TOKEN,
        "The category of the report, vbp for a performance report.",
        _VBPR + "measurereport-category",
        aliases=("measurereport-category",),
    ),
    SearchParameter(
        "subject-organization",
        _REFERENCE,
        "The organisation the report is for, as an extension on its subject names it.",
        _VBPR + "measurereport-subject-organization",
        aliases=("measurereport-subject-organization",),
        targets=_ORGANIZATION,
    ),
)

_OF_THIS_PROJECT = (
    SearchParameter(
        "contract",
        _URI,
        "The contract: Measure.url, never with |version. A quality report has the contract of its parent.",
        _OURS + "contract",
        versionless=True,
    ),
    SearchParameter(
        "payer",
        _REFERENCE,
        "The organisation that pays under the contract and reports, also when a person reports for it.",
        _OURS + "payer",
        targets=_ORGANIZATION,
        identified_by="payer-identifier",
    ),
    SearchParameter(
        "provider",
        _REFERENCE,
        "The organisation the report is for: named on the subject, managing the subject's Group, or the "
        "parent's for a quality report.",
        _OURS + "provider",
        targets=_ORGANIZATION,
        identified_by="provider-identifier",
    ),
    SearchParameter(
        "payer-identifier",
        _TOKEN,
        "An identifier of the payer organisation, such as its NAIC code.",
        _OURS + "payer-identifier",
    ),
    SearchParameter(
        "provider-identifier",
        _TOKEN,
        "An identifier of the provider organisation, such as its NPI or TIN.",
        _OURS + "provider-identifier",
    ),
    SearchParameter(
        "stage",
        _TOKEN,
        "How settled the report is: interim, final, settled or withdrawn.",
        _OURS + "stage",
        system=REPORT_STAGE_SYSTEM,
        codes=frozenset(Stage),
    ),
    SearchParameter(
        "kind",
        _TOKEN,
        "performance (about a contract) or quality (about one measure).",
        _OURS + "kind",
        system=REPORT_KIND_SYSTEM,
        codes=frozenset({"performance", "quality"}),
    ),
    SearchParameter("lob", _TOKEN, "The contract's line of business.", _OURS + "lob"),
    SearchParameter(
        "program-model", _TOKEN, "The contract's HCP-LAN payment model category.", _OURS + "program-model"
    ),
    SearchParameter("cohort", _TOKEN, "The contract's cohort, hmo or ppo say.", _OURS + "cohort"),
    SearchParameter(
        "payment-stream",
        _TOKEN,
        "A payment stream of the report or of one of its metrics.",
        _OURS + "payment-stream",
        expression=f"MeasureReport.descendants().extension('{_EXTENSION}payment-stream').extension('type').value",
    ),
    SearchParameter(
        "metric",
        _TOKEN,
        "A metric the report gives.",
        _OURS + "metric",
        expression="MeasureReport.group.code",
    ),
    SearchParameter(
        "metric-score",
        SearchType.COMPOSITE,
        "A metric and its score, of the same group: weighted-avg-star$lt3.5, or with a unit revenue$gt100||USD.",
        _OURS + "metric-score",
        expression="MeasureReport.group",
        example="weighted-avg-star$lt3.5",
    ),
    SearchParameter(
        "threshold-gap",
        SearchType.COMPOSITE,
        "The type of a threshold and the gap to it, of the same threshold: star-4$le0, or with a unit star-4$le2||{members}. "
        "A gap above 0 is open, one of 0 or less is closed.",
        _OURS + "threshold-gap",
        expression=f"MeasureReport.extension('{_EXTENSION}threshold')",
        example="star-4$le0",
    ),
    SearchParameter(
        "quality-measure",
        _REFERENCE,
        "The measure a quality report is about. Without |version any is meant.",
        _OURS + "quality-measure",
        targets=("Measure",),
        canonical=True,
    ),
    SearchParameter(
        "paid-through",
        _DATE,
        "The end of a pay cycle the report covers.",
        _OURS + "paid-through",
        expression=f"MeasureReport.descendants().extension('{_EXTENSION}paid-through-date').value",
    ),
    SearchParameter(
        "service-period",
        _DATE,
        "A period of service the report or one of its metrics covers.",
        _OURS + "service-period",
        expression=f"MeasureReport.descendants().extension('{_EXTENSION}service-period').value",
    ),
)

ALL: Final = _OF_ANY_RESOURCE + _OF_MEASURE_REPORT + _OF_VBPR + _OF_THIS_PROJECT
"""Every parameter of MeasureReport, once."""

OF_ANY_RESOURCE: Final[Mapping[str, SearchParameter]] = MappingProxyType(
    {parameter.name: parameter for parameter in _OF_ANY_RESOURCE}
)
"""R4's parameters that every type has."""

MEASURE_REPORT: Final[Mapping[str, SearchParameter]] = MappingProxyType(
    {spelling: parameter for parameter in ALL for spelling in (parameter.name, *parameter.aliases)}
)
"""Every spelling of every parameter of MeasureReport."""
