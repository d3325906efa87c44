"""Answers: which profile of which edition of VBPR was this resource written to. It is judged by that one.

A profile in `meta.profile` that carries a version decides. Without one, the resource is judged by 1.1.0,
unless it has a shape that only another edition has:

- a performance report whose subject is a Group and has no organization-subject: the later revision
- a quality report with category `vbp` and a measure without version: 1.0.0, which demands the one and allows
  the other, while 1.1.0 forbids that
- a contract with CQFM's weight, or that claims CQFM's composite measure: 1.0.0, whose parent that was

Sources: VBPR 1.0.0, 1.1.0 and its main branch after 1.1.0 (which still calls itself 1.1.0: FHIR-52950).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Final

from schemas.fhir import CONTRACT_PROFILE, ORGANIZATION_SUBJECT, PERFORMANCE_PROFILE, QUALITY_PROFILE
from services.publisher.check.extensions import URLS
from services.publisher.derive.kind import kind
from services.publisher.derive.model import Kind


class Edition(IntEnum):
    """The editions of the guide, in their order."""

    STU1 = 0
    """1.0.0, of June 2024."""
    STU1_1 = 1
    """1.1.0."""
    LATER = 2
    """The revision after: the provider stands behind a Group of the attribution list guide (ATR)."""

    @property
    def words(self) -> str:
        """The edition as a reader knows it."""
        return ("1.0.0", "1.1.0", "after 1.1.0")[self]


class Profile(StrEnum):
    """The profiles that have rules; the value is the last part of the canonical."""

    PERFORMANCE = "vbp-performance-measurereport"
    QUALITY = "vbp-quality-measurereport"
    CONTRACT = "vbp-measure"


@dataclass(frozen=True, slots=True)
class Standard:
    """What a resource is judged by."""

    profile: Profile
    edition: Edition

    @property
    def words(self) -> str:
        """The profile and its edition, as a reader knows them."""
        return f"{self.profile} of VBPR {self.edition.words}"


_BY_URL: Final = {
    PERFORMANCE_PROFILE: Profile.PERFORMANCE,
    QUALITY_PROFILE: Profile.QUALITY,
    CONTRACT_PROFILE: Profile.CONTRACT,
}
_BY_KIND: Final = {Kind.PERFORMANCE: Profile.PERFORMANCE, Kind.QUALITY: Profile.QUALITY}
_CQFM: Final = "http://hl7.org/fhir/us/cqfmeasures/StructureDefinition/"
_GROUP: Final = re.compile(r"(?:\S+/)?Group/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?")


def standard(resource: Mapping[str, Any]) -> Standard | None:
    """Return what the resource is judged by; `None` when no profile has rules for it, or nothing tells its kind.

    Raises:
        AttributeError, KeyError, TypeError: the resource is too broken to tell.
    """
    match resource.get("resourceType"):
        case "MeasureReport" if (found := kind(resource)) is not None:
            return named(_BY_KIND[found], resource)
        case "Measure" if is_contract(resource):
            return named(Profile.CONTRACT, resource)
        case _:
            return None


def named(profile: Profile, resource: Mapping[str, Any], version: str = "") -> Standard:
    """Return the standard for a profile that is known, with its edition: of this version, or as the resource says."""
    claimed = version or next((text for name, text in _claims(resource) if _BY_URL.get(name) is profile), "")
    edition = _of_version(claimed)
    if edition is None or (edition is Edition.STU1_1 and profile is Profile.PERFORMANCE):
        edition = _of_shape(profile, resource)
    return Standard(profile, edition)


def by_canonical(canonical: str, resource: Mapping[str, Any]) -> Standard | None:
    """Return the standard that a canonical names, with or without `|version`; `None` when it names none of VBPR's."""
    name, _, version = canonical.partition("|")
    profile = _BY_URL.get(name)
    return None if profile is None else named(profile, resource, version)


def is_contract(resource: Mapping[str, Any]) -> bool:
    """Tell whether a Measure is a contract; one that claims other profiles only is the measure of something else."""
    meta = resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    if not isinstance(profiles, list):
        return True
    return any(str(profile).partition("|")[0] == CONTRACT_PROFILE for profile in profiles)


def is_group(reference: Mapping[str, Any]) -> bool:
    """Tell whether a Reference is to a Group, by its URL or, for one by identifier, by its type."""
    text = reference.get("reference")
    if isinstance(text, str):
        return _GROUP.fullmatch(text) is not None
    return reference.get("type") == "Group" and "identifier" in reference


def _claims(resource: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the profiles a resource claims, each with the version it names, if it does."""
    for profile in resource.get("meta", {}).get("profile", ()):
        name, _, version = (profile or "").partition("|")
        yield name, version


def _of_version(version: str) -> Edition | None:
    if not version:
        return None
    if re.match(r"1\.0(\.|$)", version):
        return Edition.STU1
    return Edition.STU1_1 if re.match(r"1\.1(\.|$)", version) else Edition.LATER


def _of_shape(profile: Profile, resource: Mapping[str, Any]) -> Edition:
    match profile:
        case Profile.PERFORMANCE:
            subject = resource.get("subject", {})
            return Edition.LATER if is_group(subject) and not _has_organisation(subject) else Edition.STU1_1
        case Profile.QUALITY:
            unversioned = "|" not in resource.get("measure", "|")
            return Edition.STU1 if unversioned and _is_vbp(resource) else Edition.STU1_1
        case Profile.CONTRACT:
            return Edition.STU1 if _is_composite(resource) else Edition.STU1_1


def _has_organisation(subject: Mapping[str, Any]) -> bool:
    return any(one.get("url") == ORGANIZATION_SUBJECT for one in subject.get("extension", ()))


def _is_vbp(report: Mapping[str, Any]) -> bool:
    return any(
        coding.get("code") == "vbp"
        for one in report.get("extension", ())
        if one.get("url") == URLS["measurereport-category"]
        for coding in one.get("valueCodeableConcept", {}).get("coding", ())
    )


def _is_composite(contract: Mapping[str, Any]) -> bool:
    return any(name.startswith(_CQFM) for name, _ in _claims(contract)) or any(
        one.get("url") == URLS["cqfm-weight"]
        for artifact in contract.get("relatedArtifact", ())
        for one in artifact.get("extension", ())
    )
