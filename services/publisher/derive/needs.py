"""What has to be looked up before a report can be derived? Read from the report alone."""

from __future__ import annotations

from schemas.outcome import refuse
from services.publisher.derive.elements import Element
from services.publisher.derive.kind import kind
from services.publisher.derive.model import Kind, Needs
from services.publisher.derive.parties import organization_subject
from services.publisher.derive.references import literal, local_id, logical, without_version


def needs(resource: Element, base_url: str) -> Needs:
    """Return what a MeasureReport needs from the store; `base_url` is our own base.

    Raises:
        FhirError: 422 when nothing tells whether it is a performance or a quality report.
    """
    is_a = kind_of(resource)
    performance = is_a is Kind.PERFORMANCE
    named = _organisations(resource, performance=performance)
    own = [f"Organization/{id_}" for each in named if (id_ := local_id(each, base_url, "Organization"))]
    by_identifier = [
        token for each in named if literal(each, base_url) is None and (token := logical(each)) is not None
    ]
    return Needs(
        kind=is_a,
        contract=without_version(resource["measure"]) if performance else None,
        group=_group(resource, base_url) if performance else None,
        organisations=tuple(dict.fromkeys(own)),
        identifiers=tuple(dict.fromkeys(by_identifier)),
        lists=tuple(listed(resource, base_url)) if performance else (),
    )


def kind_of(resource: Element) -> Kind:
    """Return the kind of a MeasureReport.

    Raises:
        FhirError: 422 when nothing tells it.
    """
    found = kind(resource)
    if found is None:
        raise refuse(
            422,
            "business-rule",
            "Nothing tells a performance from a quality report; expected a VBPR profile in meta.profile, "
            "DEQM's measureScoring extension, or the category vbp.",
            "MeasureReport",
        )
    return found


def listed(resource: Element, base_url: str) -> dict[str, int]:
    """Return the ids of the MeasureReports of our own that a report lists, each with its place in the list."""
    places: dict[str, int] = {}
    for place, reference in enumerate(resource.get("evaluatedResource", ())):
        if (id_ := local_id(reference, base_url, "MeasureReport")) is not None:
            places.setdefault(id_, place)
    return places


def _organisations(resource: Element, *, performance: bool) -> list[Element]:
    """Return the references that may name the payer or the provider organisation."""
    found = [resource["reporter"]] if "reporter" in resource else []
    if performance and (subject := organization_subject(resource)) is not None:
        found.append(subject[0])
    return found


def _group(resource: Element, base_url: str) -> str | None:
    """Return the Group the provider has to be asked of: only when the subject names no organisation itself."""
    if organization_subject(resource) is not None:
        return None
    id_ = local_id(resource.get("subject", {}), base_url, "Group")
    return None if id_ is None else f"Group/{id_}"
