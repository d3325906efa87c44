"""What does the service know of a report beyond its text? Worked out once, when a version is accepted; pure.

kind        performance or quality
needs       what has to be looked up first
parties     payer and provider, in both shapes VBPR gives them
contract    what reports inherit from their contract
standing    contract, parties, stage and identity together, or every reason why not
stage       how settled the report is
identity    which reports supersede each other
listing     whose quality reports a performance report may list
metrics     the scores, with the digits they were written with
thresholds  the gaps to thresholds, likewise
written     numbers as a report's text has them
facets      the search-index values of all of it
model       the values that go in and come out
elements, references   reading FHIR's extensions, codes and references

The store calls `needs`, looks those up as a `Context`, and calls `derive`.
"""

from __future__ import annotations

from datetime import datetime

from services.publisher.derive.contract import contract_facts
from services.publisher.derive.elements import Element
from services.publisher.derive.facets import facets_of
from services.publisher.derive.kind import kind
from services.publisher.derive.model import Context, Derived
from services.publisher.derive.needs import needs
from services.publisher.derive.stage import StageMapping, stage_mapping
from services.publisher.derive.standing import standing_of

__all__ = ["StageMapping", "contract_facts", "derive", "kind", "needs", "stage_mapping"]


def derive(
    resource: Element,
    context: Context,
    *,
    report_id: str,
    base_url: str,
    stage_mapping: StageMapping,
    last_updated: datetime,
    raw: bytes,
) -> Derived:
    """Return what follows from one version of a MeasureReport that passed the check step.

    `report_id` is its logical id here (what a create sent as `id` counts for nothing), `raw` the text that
    `resource` was parsed from, `last_updated` the moment this version is stored under (aware).

    Raises:
        FhirError: 422 with every issue found: the contract is not known; the subject names no provider or a
            Group that tells none; the reporter is missing, cannot be told apart or is not the contract's
            payer (for a quality report: its parent's); the stage tag is none of ours; a listed quality report
            belongs to another contract, provider or payer; an update changes kind, contract, payer or provider.
    """
    found = standing_of(resource, context, report_id, base_url, stage_mapping)
    facets = facets_of(
        resource,
        found,
        context,
        report_id=report_id,
        base_url=base_url,
        last_updated=last_updated,
        raw=raw,
    )
    return found.with_facets(facets)
