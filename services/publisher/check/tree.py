"""Answers: which rules meet at which element. The rows of a table, joined once into the tree of a resource.

A resource is then walked once, from the top: each node has what is to be asked of the element it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from schemas.outcome import IssueCode
from services.publisher.check.paths import Step, parse
from services.publisher.check.rule import (
    Bound,
    Cardinality,
    Context,
    Fixed,
    Holds,
    Invariant,
    Rule,
    Supported,
    Target,
)

Faults = Callable[[Any, Mapping[str, Any]], str | None]
"""Says what is wrong with a value, in the resource it stands in; `""` when the rule's words say all, `None` if
nothing is."""


@dataclass(frozen=True, slots=True)
class Test:
    """What a rule asks of each value at its path."""

    rule: Rule
    code: IssueCode
    fault: Faults
    below: str = ""
    """The element below the value that the fault is about."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many of its last step a rule asks for, in each element the steps before lead to."""

    rule: Rule
    step: Step
    low: int
    high: int | None


@dataclass(slots=True)
class Node:
    """An element, and all that is asked of it."""

    children: dict[str, tuple[str, Node]] = field(default_factory=dict)
    """By the name in JSON: the name in FHIRPath, and the node."""
    slices: dict[str, list[tuple[Step, Node]]] = field(default_factory=dict)
    """By the name in JSON: the nodes of those repetitions that belong to a slice, with all that is asked of any."""
    extensions: dict[str, Node] = field(default_factory=dict)
    """By URL."""
    places: set[str] = field(default_factory=set)
    """URLs of the extensions that have their place here."""
    tests: list[Test] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    """Of children by name."""
    tallies: list[Count] = field(default_factory=list)
    """Of extensions by URL."""
    kinds: list[Count] = field(default_factory=list)
    """Of repetitions in a slice."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A table of rules, ready to walk a resource with."""

    root: Node
    placed: Mapping[str, Rule]
    """URL of each extension that has a place -> the rule that says where."""


_OFTEN_EXTENDED: Final = ("meta", "text", "identifier")
"""Elements without rules that often have extensions, of no interest here: known, so that nothing is searched."""


def grow(table: Iterable[Rule], resource_type: str) -> Tree:
    """Join the rows of a table into the tree of a resource of this type.

    Raises:
        ValueError: a row's path is none.
    """
    root = Node()
    for path in _OFTEN_EXTENDED:
        _node(root, parse(path))
    placed: dict[str, Rule] = {}
    for rule in table:
        steps = parse(rule.path)
        match rule.demand:
            case Context(paths):
                placed[steps[-1].url] = rule
                for path in paths:
                    kind, _, rest = path.partition(".")
                    if kind == resource_type:
                        _node(root, parse(rest)).places.add(steps[-1].url)
            case Cardinality(low, high):
                _count(_node(root, steps[:-1]), Count(rule, steps[-1], low, high))
            case Supported():
                _count(_node(root, steps[:-1]), Count(rule, steps[-1], 1, None))
            case _:
                _node(root, steps).tests.append(_test(rule))
    _complete(root)
    return Tree(root, placed)


def _complete(node: Node) -> None:
    """Ask of a repetition in a slice what is asked of any repetition."""
    for key, slices in node.slices.items():
        name = slices[0][0].name
        whole = node.children.setdefault(key, (name, Node()))[1]
        for _, inner in slices:
            _merge(inner, whole)
    for inner in (
        *(child for _, child in node.children.values()),
        *(inner for slices in node.slices.values() for _, inner in slices),
        *node.extensions.values(),
    ):
        _complete(inner)


def _merge(into: Node, node: Node) -> None:
    into.places |= node.places
    into.tests += node.tests
    into.counts += node.counts
    into.tallies += node.tallies
    into.kinds += node.kinds
    for key, (name, child) in node.children.items():
        _merge(into.children.setdefault(key, (name, Node()))[1], child)
    for url, inner in node.extensions.items():
        _merge(into.extensions.setdefault(url, Node()), inner)
    for key, slices in node.slices.items():
        into.slices.setdefault(key, []).extend(slices)


def _node(node: Node, steps: tuple[Step, ...]) -> Node:
    for step in steps:
        if step.url:
            node = node.extensions.setdefault(step.url, Node())
        elif step.child:
            found = [inner for known, inner in node.slices.get(step.key, ()) if known == step]
            inner = found[0] if found else Node()
            if not found:
                node.slices.setdefault(step.key, []).append((step, inner))
            node = inner
        else:
            node = node.children.setdefault(step.key, (step.name, Node()))[1]
    return node


def _count(node: Node, count: Count) -> None:
    kept = node.tallies if count.step.url else node.kinds if count.step.child else node.counts
    kept.append(count)


def _test(rule: Rule) -> Test:
    match rule.demand:
        case Fixed(value):
            return Test(
                rule, "value", lambda found, _: None if found == value else f"found '{_short(found)}'"
            )
        case Holds(types, required):
            return Test(rule, "required" if not types else "value", _holds(types, required=required), "value")
        case Bound(values, strength):
            code: Literal["code-invalid"] = "code-invalid"
            where = f" ({strength} binding {values.url})"
            return Test(rule, code, lambda found, _: _added(values.fault(found), where))
        case Target(types):
            return Test(rule, "value", lambda found, _: _wrong_target(found, types))
        case Invariant(holds, code_, told):
            words = told or (lambda _: "")
            return Test(rule, code_, lambda found, whole: None if holds(found, whole) else words(found))
        case _:  # pragma: no cover  # the others are no tests of a value
            raise AssertionError(rule)


def _added(fault: str | None, more: str) -> str | None:
    return None if fault is None else fault + more


def _holds(types: tuple[str, ...], *, required: bool) -> Faults:
    wanted: Final = {f"value{name}" for name in types} | {f"_value{name}" for name in types}

    def fault(extension: Any, _: Mapping[str, Any]) -> str | None:
        if not wanted.isdisjoint(extension):
            return None
        found = next((name for name in extension if name.removeprefix("_").startswith("value")), None)
        if found is None:
            return "found no value" if required else None
        return f"found {found}" if types else None

    return fault


def _wrong_target(reference: Any, types: tuple[str, ...]) -> str | None:
    text = reference.get("reference")
    named = _type_of(text) if isinstance(text, str) else None
    named = named or reference.get("type")
    if named is None or named in types:
        return None
    return f"found a reference to {_short(named)}"


def _type_of(reference: str) -> str | None:
    """Return the type a RESTful reference is to; `None` for what no URL tells."""
    parts = reference.partition("/_history/")[0].split("/")
    if len(parts) < 2 or reference.startswith(("urn:", "#")):
        return None
    return parts[-2] if parts[-2][:1].isupper() else None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:60] + "…"
