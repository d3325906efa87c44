"""What of a resource is shown when a search asks for part of it? `_summary` and `_elements`.

What is shown keeps its bytes; `meta.tag` says SUBSETTED, so that nobody takes a part for the whole and sends it back.
Source: FHIR R4 search 3.1.1.5.8 (`_summary`) and 3.1.1.5.9 (`_elements`); which elements are summary ones, and which
are mandatory, is FHIR's own definition of each type: a test compares the table with `fhir.resources`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import msgspec
import orjson

from schemas.outcome import Issue
from schemas.raw_json import joined, slices

Summary: TypeAlias = Literal["true", "text", "data"]
"""The kinds of summary that show a part; `false` shows all, `count` nothing."""

SUBSETTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}

_ALWAYS: Final = ("resourceType", "id", "meta", "implicitRules", "modifierExtension")


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of one type, by name, beside those that every resource has."""

    all: frozenset[str]
    summary: frozenset[str]
    kept: frozenset[str]
    """Mandatory ones and those that change the meaning of others: no part is without them."""
    inside: Mapping[str, frozenset[str]]
    """Elements that are in no summary themselves, with what inside of them is."""


def _elements(
    all_: str, *, summary: str, kept: str, inside: Mapping[str, frozenset[str]] | None = None
) -> Elements:
    common = "language text contained extension"
    return Elements(
        frozenset((*all_.split(), *common.split(), *_ALWAYS)) - {"resourceType"},
        frozenset(summary.split()),
        frozenset(kept.split()),
        inside or {},
    )


ELEMENTS: Final[Mapping[str, Elements]] = {
    "MeasureReport": _elements(
        "identifier status type measure subject date reporter period improvementNotation group evaluatedResource",
        summary="identifier status type measure subject date reporter period improvementNotation",
        kept="status type measure period improvementNotation",
        inside={"group": frozenset({"id", "modifierExtension", "code", "measureScore"})},
    ),
    "Measure": _elements(
        "url identifier version name title subtitle status experimental subjectCodeableConcept subjectReference date "
        "publisher contact description useContext jurisdiction purpose usage copyright approvalDate lastReviewDate "
        "effectivePeriod topic author editor reviewer endorser relatedArtifact library disclaimer scoring "
        "compositeScoring type riskAdjustment rateAggregation rationale clinicalRecommendationStatement "
        "improvementNotation definition guidance group supplementalData",
        summary="url identifier version name title status experimental date publisher contact description useContext "
        "jurisdiction effectivePeriod disclaimer scoring compositeScoring type riskAdjustment rateAggregation "
        "rationale clinicalRecommendationStatement improvementNotation definition guidance",
        kept="status improvementNotation",
    ),
    "Organization": _elements(
        "identifier active type name alias telecom address partOf contact endpoint",
        summary="identifier active type name partOf",
        kept="active",
    ),
    "Group": _elements(
        "identifier active type actual code name quantity managingEntity characteristic member",
        summary="identifier active type actual code name quantity managingEntity",
        kept="type actual",
    ),
    "Subscription": _elements(
        "status contact end reason criteria error channel",
        summary="status contact end reason criteria error channel",
        kept="status reason criteria channel",
    ),
}


def is_part(resource: Mapping[str, Any]) -> Issue | None:
    """Return why a resource is not to be stored: it is a part of one, and what is not there would be lost."""
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    for place, tag in enumerate(tags if isinstance(tags, list) else ()):
        if isinstance(tag, dict) and all(tag.get(name) == said for name, said in SUBSETTED.items()):
            said = (
                "the resource is tagged SUBSETTED: it is a part of one, as _elements and _summary show it; read it "
                "whole, change that and send it"
            )
            return Issue("error", "business-rule", said, f"{resource.get('resourceType')}.meta.tag[{place}]")
    return None


def summarised(text: bytes, kind: str, summary: Summary) -> bytes:
    """Return the part of a stored resource that a summary shows."""
    elements = ELEMENTS[kind]
    if summary == "data":
        return _part(text, elements.all - {"text"}, {})
    if summary == "text":
        return _part(text, elements.kept | {"text"}, {})
    return _part(text, elements.summary | elements.kept, elements.inside)


def only(text: bytes, kind: str, names: Collection[str]) -> bytes:
    """Return a stored resource with these elements, and those that no part is without."""
    return _part(text, frozenset(names) | ELEMENTS[kind].kept, {})


def _part(text: bytes, names: Collection[str], inside: Mapping[str, frozenset[str]]) -> bytes:
    out: dict[str, msgspec.Raw] = {}
    for name, value in slices(text).items():
        bare = name.removeprefix("_")  # `_status` carries the extensions of `status`
        if bare == "meta":
            out[name] = _tagged(bytes(value))
        elif bare in _ALWAYS or bare in names:
            out[name] = value
        elif bare in inside:
            out[name] = _inside(bytes(value), inside[bare])
    return joined(out)


def _tagged(meta: bytes) -> msgspec.Raw:
    parts = slices(meta)
    tags = _many.decode(parts["tag"]) if "tag" in parts else []
    told = [*(orjson.Fragment(bytes(each)) for each in tags), SUBSETTED]
    return msgspec.Raw(joined({**parts, "tag": msgspec.Raw(orjson.dumps(told))}))


def _inside(value: bytes, names: Collection[str]) -> msgspec.Raw:
    parts = []
    for element in _many.decode(value):
        there = {name: raw for name, raw in slices(bytes(element)).items() if name.removeprefix("_") in names}
        if there:
            parts.append(joined(there))
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


_many = msgspec.json.Decoder(list[msgspec.Raw])
