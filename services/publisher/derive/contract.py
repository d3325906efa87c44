"""What do reports inherit from their contract, a vbp-measure `Measure`? Read once, when it is stored.

Source: VBPR 1.1.0 profile vbp-measure and its extensions lob, program-model, payment-stream and
contractual-status. `lob` may have a value of any type there: coded and textual ones are read, others say nothing
that could be searched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.dates import period_bounds
from schemas.facets import token
from schemas.fhir import CONTRACTUAL_STATUS, LINE_OF_BUSINESS, PAYMENT_STREAM, PROGRAM_MODEL
from schemas.outcome import refuse
from services.publisher.derive.elements import (
    Element,
    coding_tokens,
    concept_tokens,
    extensions,
    identifier_tokens,
    inner_tokens,
)
from services.publisher.derive.model import ContractFacts
from services.publisher.derive.references import without_version

_ALTERNATE: Final = "contractual-alternate"


def contract_facts(measure: Element, payer: str | None) -> ContractFacts:
    """Return what the contract says; `payer` is the organisation that created it, `None` if none is known yet.

    Raises:
        FhirError: 422 when `Measure.url`, the key of the contract, is missing.
    """
    key = without_version(measure.get("url", ""))
    if not key:
        raise refuse(
            422,
            "required",
            "The Measure has no url; a contract is known by its canonical URL, and reports name it by that.",
            "Measure.url",
        )
    return ContractFacts(
        key=key,
        payer=payer,
        identifiers=_each(identifier_tokens(measure.get("identifier", ()))),
        lines_of_business=_each(_lines_of_business(measure)),
        program_models=_each(inner_tokens(measure, PROGRAM_MODEL, "hcplan")),
        cohorts=_each(inner_tokens(measure, PROGRAM_MODEL, "cohort")),
        payment_streams=_each(inner_tokens(measure, PAYMENT_STREAM, "type")),
        term=_term(measure.get("effectivePeriod")),
        metrics=_each(
            code for group in measure.get("group", ()) for code in concept_tokens(group.get("code"))
        ),
        components={
            without_version(artifact["resource"]): not _is_alternate(artifact)
            for artifact in measure.get("relatedArtifact", ())
            if artifact.get("type") == "composed-of" and "resource" in artifact
        },
    )


def _each(values: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _lines_of_business(measure: Element) -> Iterator[str]:
    for extension in extensions(measure, LINE_OF_BUSINESS):
        yield from concept_tokens(extension.get("valueCodeableConcept"))
        if "valueCoding" in extension:
            yield from coding_tokens((extension["valueCoding"],))
        for name in ("valueCode", "valueString"):
            if name in extension:
                yield token("", extension[name])


def _term(period: Element | None) -> tuple[str | None, str | None] | None:
    return None if period is None else period_bounds(period.get("start"), period.get("end"))


def _is_alternate(artifact: Element) -> bool:
    return any(
        coding.get("code") == _ALTERNATE
        for extension in extensions(artifact, CONTRACTUAL_STATUS)
        for coding in extension.get("valueCodeableConcept", {}).get("coding", ())
    )
