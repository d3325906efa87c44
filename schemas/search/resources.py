"""What can Measures, Organizations and Groups be searched by? R4's parameters, each with where its values stand.

A path is FHIRPath without functions: elements by name, from the resource down. Composite and quantity parameters,
and `phonetic`, are left out: nobody asks for a contract or a party by them. Source: FHIR R4 4.0.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from schemas.search.parameters import MEASURE_REPORT, OF_ANY_RESOURCE, SearchParameter, SearchType

_R4 = "http://hl7.org/fhir/SearchParameter/"
_TOKEN, _REFERENCE, _DATE, _URI, _STRING = (
    SearchType.TOKEN,
    SearchType.REFERENCE,
    SearchType.DATE,
    SearchType.URI,
    SearchType.STRING,
)
_ADDRESS = ("line", "city", "district", "state", "postalCode", "country", "text")


@dataclass(frozen=True, slots=True)
class Where:
    """A parameter, and where a resource has its values."""

    parameter: SearchParameter
    paths: tuple[str, ...]
    among: tuple[str, str] | None = None
    """Only elements whose child of that name has that value: a relatedArtifact of one type."""


def _of(kind: str, name: str, type_: SearchType, documentation: str, *paths: str) -> Where:
    return Where(SearchParameter(name, type_, documentation, f"{_R4}{kind}-{name}"), paths or (name,))


def _code(
    kind: str, name: str, documentation: str, system: str, codes: str, path: str | None = None
) -> Where:
    parameter = SearchParameter(
        name,
        _TOKEN,
        documentation,
        f"{_R4}{kind}-{name}",
        system=system,
        codes=frozenset(codes.split()),
    )
    return Where(parameter, (path or name,))


def _reference(kind: str, name: str, documentation: str, path: str, *targets: str) -> Where:
    parameter = SearchParameter(name, _REFERENCE, documentation, f"{_R4}{kind}-{name}", targets=targets)
    return Where(parameter, (path,))


def _related(name: str, documentation: str) -> Where:
    parameter = SearchParameter(
        name, _REFERENCE, documentation, f"{_R4}Measure-{name}", targets=("Measure",), canonical=True
    )
    return Where(parameter, ("relatedArtifact.resource",), ("type", name))


_MEASURE = (
    _of(
        "Measure",
        "identifier",
        _TOKEN,
        "A business identifier of the contract, such as the payer's number for it.",
    ),
    _of("Measure", "url", _URI, "The canonical URL: what reports name in `measure`."),
    _of("Measure", "version", _TOKEN, "The business version."),
    _of("Measure", "name", _STRING, "The name for computers."),
    _of("Measure", "title", _STRING, "The title for people."),
    _of("Measure", "description", _STRING, "What is said of the contract."),
    _of("Measure", "publisher", _STRING, "Who publishes the contract."),
    _code(
        "Measure",
        "status",
        "draft, active, retired or unknown.",
        "http://hl7.org/fhir/publication-status",
        "draft active retired unknown",
    ),
    _of("Measure", "date", _DATE, "When the contract was last changed, as it says itself."),
    _of("Measure", "effective", _DATE, "When the contract is in force.", "effectivePeriod"),
    _of("Measure", "jurisdiction", _TOKEN, "Where the contract is meant to be used."),
    _of("Measure", "topic", _TOKEN, "What the contract is about."),
    _of("Measure", "context", _TOKEN, "The context it is meant for.", "useContext.valueCodeableConcept"),
    _of("Measure", "context-type", _TOKEN, "The kind of context it is meant for.", "useContext.code"),
    _related("composed-of", "A measure the contract is composed of: its quality measures."),
    _related("depends-on", "What the contract depends on."),
    _related("derived-from", "What the contract was derived from."),
    _related("predecessor", "The contract before this one."),
    _related("successor", "The contract after this one."),
)

_ORGANIZATION = (
    _of("Organization", "identifier", _TOKEN, "An identifier such as an NPI, a TIN or a NAIC code."),
    _of("Organization", "name", _STRING, "The beginning of its name or of an alias.", "name", "alias"),
    _of("Organization", "active", _TOKEN, "true or false."),
    _of("Organization", "type", _TOKEN, "The kind of organisation."),
    _of(
        "Organization",
        "address",
        _STRING,
        "Any part of an address.",
        *(f"address.{part}" for part in _ADDRESS),
    ),
    _of("Organization", "address-city", _STRING, "A city.", "address.city"),
    _of("Organization", "address-state", _STRING, "A state.", "address.state"),
    _of("Organization", "address-postalcode", _STRING, "A postal code.", "address.postalCode"),
    _of("Organization", "address-country", _STRING, "A country.", "address.country"),
    _code(
        "Organization",
        "address-use",
        "home, work, temp, old or billing.",
        "http://hl7.org/fhir/address-use",
        "home work temp old billing",
        "address.use",
    ),
    _reference("Organization", "partof", "The organisation this one is a part of.", "partOf", "Organization"),
    _reference("Organization", "endpoint", "A technical endpoint of it.", "endpoint", "Endpoint"),
)

_GROUP = (
    _of("Group", "identifier", _TOKEN, "A business identifier of the group."),
    _code(
        "Group",
        "type",
        "person, animal, practitioner, device, medication or substance.",
        "http://hl7.org/fhir/group-type",
        "person animal practitioner device medication substance",
    ),
    _of("Group", "actual", _TOKEN, "true or false: members, or a description of them."),
    _of("Group", "code", _TOKEN, "What its members have in common."),
    _of("Group", "characteristic", _TOKEN, "A trait of its members.", "characteristic.code"),
    _of(
        "Group",
        "value",
        _TOKEN,
        "What a trait of its members is.",
        "characteristic.valueCodeableConcept",
        "characteristic.valueBoolean",
    ),
    _of("Group", "exclude", _TOKEN, "true or false: a trait that leaves out.", "characteristic.exclude"),
    _reference(
        "Group",
        "managing-entity",
        "Who manages the group: the provider of the reports about it.",
        "managingEntity",
        "Organization",
        "RelatedPerson",
        "Practitioner",
        "PractitionerRole",
    ),
    _reference(
        "Group",
        "member",
        "Who belongs to the group.",
        "member.entity",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "Device",
        "Medication",
        "Substance",
        "Group",
    ),
)

_OF_ANY = (
    Where(OF_ANY_RESOURCE["_tag"], ("meta.tag",)),
    Where(OF_ANY_RESOURCE["_security"], ("meta.security",)),
    Where(OF_ANY_RESOURCE["_profile"], ("meta.profile",)),
    Where(OF_ANY_RESOURCE["_source"], ("meta.source",)),
)

VALUES: Final[Mapping[str, Sequence[Where]]] = MappingProxyType(
    {
        "Measure": _OF_ANY + _MEASURE,
        "Organization": _OF_ANY + _ORGANIZATION,
        "Group": _OF_ANY + _GROUP,
    }
)
"""Where the values of each type's parameters stand; `_id` and `_lastUpdated` every resource has."""

PARAMETERS: Final[Mapping[str, Mapping[str, SearchParameter]]] = MappingProxyType(
    {
        "MeasureReport": MEASURE_REPORT,
        **{
            kind: MappingProxyType(
                {
                    **{name: OF_ANY_RESOURCE[name] for name in ("_id", "_lastUpdated")},
                    **{each.parameter.name: each.parameter for each in values},
                }
            )
            for kind, values in VALUES.items()
        },
    }
)
"""What each type the publisher keeps can be searched by, in every spelling."""
