"""Answers: which rules does this resource break, and where. One walk over it, each element visited once.

It takes several times as long as a glance: only a resource that may break a rule is walked (`glance`).

Nothing here trusts the structure of a resource: where it has the wrong shape, no rule is asked, and the
structure gate has said why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from schemas.outcome import Issue, IssueCode
from services.publisher.check.paths import Step
from services.publisher.check.rule import Rule, Supported
from services.publisher.check.tree import Count, Node, Test, Tree

Place: TypeAlias = tuple["Place", str, int] | str
"""Where an element stands: what it stands in, its name, and its place in a list or -1. Written out on demand."""

_MISSHAPEN = (AttributeError, KeyError, TypeError, ValueError)
_NOWHERE = Node()


def findings(tree: Tree, resource: Mapping[str, Any], *, most: int, sound: bool = True) -> list[Issue]:
    """Return what a resource breaks, at most so many Issues, in the order of its elements.

    `sound` says that it has passed the structure gate; of one that has not, a rule that stumbles is left out.
    """
    whole = str(resource.get("resourceType"))
    walk = _Walk(tree, resource, sound=sound, thorough=False)
    walk.element(tree.root, resource, whole)
    if walk.extensions != orjson.dumps(resource).count(b'xtension":'):
        # Some stand where no rule looks. Rare, so only now is everything searched for one that may not.
        walk = _Walk(tree, resource, sound=sound, thorough=True)
        walk.element(tree.root, resource, whole)
    return walk.told(most)


class _Walk:
    def __init__(self, tree: Tree, resource: Mapping[str, Any], *, sound: bool, thorough: bool) -> None:
        self.extensions = 0
        """Elements visited that have extensions."""
        self._placed = tree.placed
        self._thorough = thorough
        self._resource = resource
        self._misshapen: tuple[type[Exception], ...] = () if sound else _MISSHAPEN
        self._issues: list[Issue] = []
        self._unsupported: dict[str, tuple[Rule, str, int]] = {}

    def told(self, most: int) -> list[Issue]:
        """Return the issues; Must Support elements that are missing come last, one Issue each."""
        missing = (
            Issue("information", "incomplete", _absent(rule, number), where, rule.id)
            for rule, where, number in self._unsupported.values()
        )
        return [*self._issues, *missing][:most]

    def element(self, node: Node, element: Any, place: Place) -> None:
        """Ask everything about one element and all below it."""
        if node.tests:
            self._test(node.tests, element, place)
        if type(element) is not dict:
            return
        extensions = element.get("extension")
        if node.counts:
            self._count_children(node, element, place)
        if node.tallies:
            self._tally(node, element, place)
        if node.kinds:
            self._count_slices(node, element, place)
        if extensions is not None:
            self.extensions += 1
            self._extensions(node, extensions, place)
        for key, child in node.children.items():
            if (value := element.get(key)) is not None:
                self._below(child, node.slices.get(key, ()), value, place)
        if self._thorough:
            self._strays(node, element, place)

    def _test(self, tests: Sequence[Test], element: Any, place: Place) -> None:
        for test in tests:
            try:
                fault = test.fault(element, self._resource)
            except self._misshapen:
                continue
            if fault is not None:
                below = f".{test.below}" if test.below else ""
                self._add(test.rule, test.code, _written(place) + below, fault)

    def _strays(self, node: Node, element: Mapping[str, Any], place: Place) -> None:
        """Look for extensions below elements that no rule speaks about."""
        url = element.get("url")
        if node is _NOWHERE and _is_modifier(place) and type(url) is str and url in self._placed:
            self._displaced(url, place)
        for key, value in element.items():
            if key in node.children or key in {"extension", "contained"}:
                continue  # seen already; or a resource of its own
            if type(value) is dict or type(value) is list:
                self._below((key, _NOWHERE), (), value, place)

    def _below(
        self, child: tuple[str, Node], slices: Sequence[tuple[Step, Node]], value: Any, place: Place
    ) -> None:
        name, node = child
        if type(value) is not list:
            self.element(node, value, (place, name, -1))
            return
        for index, item in enumerate(value):
            belongs = node
            if slices and type(item) is dict:
                belongs = next((its for step, its in slices if item.get(step.child) == step.code), node)
            self.element(belongs, item, (place, name, index))

    def _extensions(self, node: Node, extensions: Any, place: Place) -> None:
        for index, extension in enumerate(extensions if type(extensions) is list else ()):
            url = extension.get("url") if type(extension) is dict else None
            if type(url) is not str:
                continue
            here: Place = (place, "extension", index)
            if url in self._placed and url not in node.places:
                self._displaced(url, here)
            inside = node.extensions.get(url)
            if inside is not None:
                self.element(inside, extension, here)
            elif self._thorough:
                self.element(_NOWHERE, extension, here)

    def _displaced(self, url: str, place: Place) -> None:
        self._add(self._placed[url], "extension", _written(place), "it stands where it has no place")

    def _count_children(self, node: Node, element: Mapping[str, Any], place: Place) -> None:
        for count in node.counts:
            value = element.get(count.step.key)
            number = 0 if value is None else len(value) if type(value) is list else 1
            if number < count.low or (count.high is not None and number > count.high):
                self._miscounted(count, number, element, place, f"{count.step.name}{_nth(value, count.high)}")

    def _tally(self, node: Node, element: Mapping[str, Any], place: Place) -> None:
        extensions = element.get("extension")
        urls: list[Any] = []
        if type(extensions) is list:
            urls = [one.get("url") if type(one) is dict else None for one in extensions]
        for count in node.tallies:
            number = urls.count(count.step.url)
            if number < count.low or (count.high is not None and number > count.high):
                beyond = _beyond("extension", urls, count.step.url, count.high)
                self._miscounted(count, number, element, place, beyond)

    def _count_slices(self, node: Node, element: Mapping[str, Any], place: Place) -> None:
        for count in node.kinds:
            items = element.get(count.step.key)
            kinds = [
                one.get(count.step.child) if type(one) is dict else None
                for one in (items if type(items) is list else ())
            ]
            number = kinds.count(count.step.code)
            if number < count.low or (count.high is not None and number > count.high):
                beyond = _beyond(count.step.name, kinds, count.step.code, count.high)
                self._miscounted(count, number, element, place, beyond)

    def _miscounted(
        self, count: Count, number: int, element: Mapping[str, Any], place: Place, beyond: str
    ) -> None:
        few = number < count.low
        where = f"{_written(place)}.{count.step.missing if few and not number else beyond}"
        if isinstance(demand := count.rule.demand, Supported):
            if demand.needless is None or not demand.needless(element, self._resource):
                _, first, before = self._unsupported.get(count.rule.id, (count.rule, where, 0))
                self._unsupported[count.rule.id] = (count.rule, first, before + 1)
        elif few:
            self._add(count.rule, "required", where, f"found {number or 'none'}")
        else:
            self._add(count.rule, "structure", where, f"found {number}" if count.high else "it is there")

    def _add(self, rule: Rule, code: IssueCode, where: str, fault: str) -> None:
        words = f"{rule.what}; {fault} ({rule.source})." if fault else f"{rule.what} ({rule.source})."
        self._issues.append(Issue(rule.severity, code, words, where, rule.id))


def _is_modifier(place: Place) -> bool:
    return not isinstance(place, str) and place[1] == "modifierExtension"


def _absent(rule: Rule, number: int) -> str:
    times = "" if number == 1 else f", nor in {number - 1} others like it"
    return f"Must Support, and not there{times}: {rule.what} ({rule.source})."


def _nth(value: Any, high: int | None) -> str:
    """Return the index of the first repetition that is too many, when there is a list."""
    return f"[{high}]" if type(value) is list and high is not None and len(value) > high else ""


def _beyond(name: str, found: list[Any], wanted: str, high: int | None) -> str:
    """Return the first repetition that is too many, or the first there is."""
    places = [index for index, one in enumerate(found) if one == wanted]
    return f"{name}[{places[high or 0] if len(places) > (high or 0) else places[0]}]" if places else name


def _written(place: Place) -> str:
    parts: list[str] = []
    while not isinstance(place, str):
        place, name, index = place
        parts.append(f".{name}" if index < 0 else f".{name}[{index}]")
    return place + "".join(reversed(parts))
