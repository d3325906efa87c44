"""How is a lineage said? As Parameters that any FHIR client reads. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.dates import stamp
from schemas.number_tokens import Number, written
from services.publisher.accept.lineage.comparison import Change, changes
from services.publisher.accept.lineage.generations import Generation, Version
from services.publisher.store.lineage import Filed

Parameter = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lineage:
    """The generations of one report identity."""

    of: Filed
    """The report that stands for it, or the one that was asked about."""
    generations: Sequence[Generation]
    predecessor: Version | None
    complete: bool
    """Whether there are no older generations than these."""
    stands: str | None


def answer(found: Lineage) -> bytes:
    """Return the Parameters, every number as it was sent."""
    said = {
        "resourceType": "Parameters",
        "parameter": [
            *_identity(found),
            {"name": "complete", "valueBoolean": found.complete},
            *([] if found.predecessor is None else [_predecessor(found.predecessor)]),
            *(_generation(place, each, found) for place, each in enumerate(found.generations, start=1)),
        ],
    }
    return written(said)


def _identity(found: Lineage) -> Iterator[Parameter]:
    of = found.of
    report = next((each.version.report for each in reversed(found.generations) if each.version.report), {})
    yield {"name": "kind", "valueCode": of.kind.value}
    if of.contract is not None:
        yield {"name": "contract", "valueUri": of.contract}
    for name, party in (("payer", of.payer), ("provider", of.provider)):
        if party is not None:
            yield {"name": name, "valueReference": {"reference": party}}
    if of.parent is not None:
        yield {"name": "parent", "valueReference": {"reference": f"MeasureReport/{of.parent}"}}
    if "measure" in report:
        yield {"name": "measure", "valueCanonical": report["measure"]}
    if "period" in report:
        yield {"name": "period", "valuePeriod": report["period"]}


def _predecessor(version: Version) -> Parameter:
    assert version.report is not None
    return _part(
        "predecessor",
        {"name": "report", "valueReference": {"reference": version.reference}},
        *_standing(version),
        {"name": "period", "valuePeriod": version.report["period"]},
    )


def _standing(version: Version) -> Iterator[Parameter]:
    if version.stage is not None:
        yield {"name": "stage", "valueCode": version.stage.value}
    yield {"name": "stored", "valueInstant": stamp(version.stored)}


def _generation(number: int, generation: Generation, found: Lineage) -> Parameter:
    version, follows = generation.version, generation.follows
    newest = max(
        (each.version.number for each in found.generations if each.version.id == version.id), default=0
    )
    parts: list[Parameter] = [
        {"name": "number", "valuePositiveInt": number},
        {"name": "report", "valueReference": {"reference": version.reference}},
        *_standing(version),
        {"name": "current", "valueBoolean": version.id == found.stands and version.number == newest},
    ]
    if version.report is None:
        parts.append({"name": "deleted", "valueBoolean": True})
    if follows is not None and follows.report is not None and version.report is not None:
        parts.append({"name": "compared-with", "valueReference": {"reference": follows.reference}})
        parts += map(_change, changes(follows.report, version.report))
    return _part("generation", *parts)


def _change(change: Change) -> Parameter:
    place, difference = change.place, change.difference
    return _part(
        "change",
        {"name": "what", "valueCode": change.what},
        {"name": "element", "valueString": place.path},
        *([{"name": "metric", "valueCodeableConcept": place.metric}] if place.metric else []),
        *([{"name": "population", "valueString": place.population}] if place.population else []),
        *([{"name": "stratum", "valueString": place.stratum}] if place.stratum else []),
        *_given("before", change.type, change.before),
        *_given("after", change.type, change.after),
        *([{"name": "difference", "valueDecimal": difference}] if difference is not None else []),
    )


def _given(name: str, type_: str, value: Any) -> Iterator[Parameter]:
    if value is None:
        return
    if isinstance(value, dict | list) and not type_:
        yield {"name": name, "valueString": written(value).decode()}
    else:
        yield {"name": name, f"value{type_ or _plain(value)}": value}


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "Boolean"
    return "Decimal" if isinstance(value, Number) else "String"


def _part(name: str, *parts: Parameter) -> Parameter:
    return {"name": name, "part": list(parts)}
