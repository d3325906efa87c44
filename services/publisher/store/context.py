"""What does deriving a report have to know? A `Context` for its `Needs`, taken from the view. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from services.publisher.derive.identity import parent_identity
from services.publisher.derive.model import Context, ContractFacts, Derived, Kind, Listed, Needs, ParentFacts
from services.publisher.store.identifiers import as_kept
from services.publisher.store.model import Filed
from services.publisher.store.view import View


def for_performance(view: View, needs: Needs, former: Filed | None) -> Context:
    """Return what is known of a report's contract, Group, organisations and listed reports."""
    manager = None if needs.group is None else view.managers.get(needs.group) or None
    return Context(
        contract=_contract(view, needs.contract),
        group_manager=manager,
        identifiers=_identifiers(view, (*needs.organisations, manager)),
        organisations=_named(view, needs.identifiers),
        listed=_listed(view, needs.lists),
        former=_derived(former),
    )


def for_quality(view: View, needs: Needs, parent: ParentFacts | None, former: Filed | None) -> Context:
    """Return what a quality report gets from its parent, if that has come."""
    parties = () if parent is None else (parent.payer, parent.provider)
    return Context(
        contract=None if parent is None else _contract(view, parent.contract),
        parent=parent,
        identifiers=_identifiers(view, (*needs.organisations, *parties)),
        organisations=_named(view, needs.identifiers),
        former=_derived(former),
    )


def parent(view: View, quality_id: str) -> ParentFacts | None:
    """Return the performance report that a quality report belongs to; `None` when none has listed it.

    The one it was filed under, and before that the first that listed it. When that one was deleted it belongs to the
    next; when there is none, it keeps what it got from the one it had: what was said of it stays true.
    """
    filed = view.reports.get(quality_id)
    had = None if filed is None else _had(filed.derived)
    if had is not None and (still := _lives(view, had)) is not None:
        return still
    known = view.listings.get(quality_id, ())
    return view.reports[known[0].performance].as_parent(known[0].performance) if known else had


def _had(child: Derived) -> ParentFacts | None:
    if child.kind is not Kind.QUALITY or child.parent is None:
        return None
    assert child.contract is not None
    assert child.payer is not None
    assert child.provider is not None
    assert child.identity is not None
    identity = parent_identity(child.identity)
    return ParentFacts(child.parent, child.contract, child.payer, child.provider, identity)


def _lives(view: View, had: ParentFacts) -> ParentFacts | None:
    """Return the same parent as it is now; `None` when it was deleted, whatever its id has come to be since."""
    found = view.reports.get(had.report)
    if found is None or found.derived.kind is not Kind.PERFORMANCE:
        return None
    now = found.as_parent(had.report)
    same = (now.contract, now.payer, now.provider) == (had.contract, had.payer, had.provider)
    return now if same else None


def waiting(view: View, quality_ids: Iterable[str]) -> Sequence[str]:
    """Return those of the listed reports that are stored and wait, in the order of their last version."""
    found = [
        (known.last_updated, each)
        for each in set(quality_ids)
        if (known := view.reports.get(each)) is not None and known.derived.waits
    ]
    return [each for _, each in sorted(found)]


def _contract(view: View, key: str | None) -> ContractFacts | None:
    found = None if key is None else view.contracts.get(key)
    return None if found is None else found.facts


def _identifiers(view: View, references: Iterable[str | None]) -> Mapping[str, tuple[str, ...]]:
    return {each: view.identifiers[each] for each in references if each and each in view.identifiers}


def _named(view: View, tokens: Iterable[str]) -> Mapping[str, str]:
    """Return the organisation that has an identifier, by its token; one that several have is left out."""
    found = {each: view.identified.get(as_kept(each), frozenset()) for each in tokens}
    return {each: next(iter(having)) for each, having in found.items() if len(having) == 1}


def _listed(view: View, quality_ids: Iterable[str]) -> Mapping[str, Listed]:
    out: dict[str, Listed] = {}
    for each in quality_ids:
        known, first = view.reports.get(each), parent(view, each)
        if known is not None or first is not None:
            out[each] = Listed(None if known is None else known.derived.payer, first)
    return out


def _derived(former: Filed | None) -> Derived | None:
    return None if former is None else former.derived
