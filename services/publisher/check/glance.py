"""Answers: is it certain, at a glance, that a resource breaks no rule. Most break none, and the walk is slow.

The tree of the rules is written out, once, as one Python function that looks at a resource and says yes, or
that it does not know; nothing in it has to be looked up in the tree then, and nothing but the resource is
touched. What is wrong, and where, `walk` says. Of a performance report's groups the function reads:

    if 'group' in e0:
        found = e0['group']
        for e1 in found if type(found) is list else (found,):
            found = e1.get('code')
            count = len(found) if type(found) is list else found is not None
            if count != 1: return False
            tally1_0 = 0
            if 'extension' in e1:
                seen += 1
                for e2 in e1['extension']:
                    url2 = e2['url']
                    if url2 == 'http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/service-period':
                        tally1_0 += 1
                        if 'valuePeriod' not in e2 and test7(e2, e0) is not None: return False
                    elif url2 in misplaced3:
                        return False
                    elif 'extension' in e2:
                        seen += inside(e2, placed)
            if tally1_0 > 1: return False

Its text is made of the table of rules alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from services.publisher.check.rule import Holds
from services.publisher.check.tree import Count, Node, Test, Tree

Glance = Callable[[Mapping[str, Any]], bool]
"""Takes a resource that has passed the structure gate; `True` when it breaks no rule, `False` when it may."""


def glance(tree: Tree) -> Glance:
    """Write the function for a tree of rules."""
    text = _Text(tree)
    exec(compile(text.written(), "<the rules of a profile>", "exec"), text.names)  # noqa: S102  # made of our own table
    function: Glance = text.names["breaks_nothing"]
    return function


_AN_EXTENSION: Final = b'xtension":[{"'


def _all_extensions(resource: Mapping[str, Any]) -> int:
    """Return how many elements of a resource have extensions, modifiers included."""
    return orjson.dumps(resource).count(_AN_EXTENSION)


def _inside(extension: Mapping[str, Any], placed: frozenset[str]) -> int:
    """Return how many extensions have extensions, from one that no rule speaks about down; 0 if one is misplaced."""
    seen = 1
    for one in extension["extension"]:
        if one["url"] in placed:
            return 0  # too few have been seen then, in all
        if "extension" in one:
            seen += _inside(one, placed)
    return seen


class _Text:
    """Writes the function. `e0`, `e1`, … are the elements on the way down: the names tell the depth."""

    def __init__(self, tree: Tree) -> None:
        self._placed = frozenset(tree.placed)
        self.names: dict[str, Any] = {
            "placed": self._placed,
            "inside": _inside,
            "all_extensions": _all_extensions,
        }
        """What the text refers to and cannot spell out: the tests, and sets of URLs."""
        self._lines: list[str] = []
        self._line(0, "def breaks_nothing(e0):")
        self._line(1, "seen = 0")
        self._element(tree.root, 0, 1)
        # An extension may stand below elements that no rule speaks about, in the wrong place.
        self._line(1, "return seen == all_extensions(e0)")

    def written(self) -> str:
        return "\n".join(self._lines)

    def _element(self, node: Node, depth: int, indent: int) -> None:
        """Write what is asked of an object and of all below it."""
        for test in node.tests:
            self._refuse(indent, self._breaks(test, f"e{depth}"))
        for count in node.counts:
            self._line(indent, f"found = e{depth}.get({count.step.key!r})")
            self._line(indent, "count = len(found) if type(found) is list else found is not None")
            self._refuse(indent, _outside(count, "count"))
        if node.kinds:
            self._refuse(indent, "True")  # only the walk counts the repetitions in a slice
        self._extensions(node, depth, indent)
        for key, (_, child) in node.children.items():
            self._line(indent, f"if {key!r} in e{depth}:")
            self._line(indent + 1, f"found = e{depth}[{key!r}]")
            self._line(indent + 1, f"for e{depth + 1} in found if type(found) is list else (found,):")
            for step, slice_ in node.slices.get(key, ()):
                self._line(indent + 2, f"if e{depth + 1}.get({step.child!r}) == {step.code!r}:")
                self._element(slice_, depth + 1, indent + 3)
                self._line(indent + 3, "continue")
            if _is_object(child):
                self._element(child, depth + 1, indent + 2)
            else:
                self._value(child, depth + 1, indent + 2)

    def _value(self, node: Node, depth: int, indent: int) -> None:
        """Write what is asked of a value that need not be an object."""
        for test in node.tests:
            self._refuse(indent, self._breaks(test, f"e{depth}"))
        self._line(indent, f"if type(e{depth}) is dict:")
        self._extensions(node, depth, indent + 1)

    def _extensions(self, node: Node, depth: int, indent: int) -> None:
        """Write what is asked of the extensions of an object: their number, their places, and each by its URL."""
        extension, url = f"e{depth + 1}", f"url{depth + 1}"
        urls = dict.fromkeys(count.step.url for count in node.tallies)
        tallies = {one: f"tally{depth}_{place}" for place, one in enumerate(urls)}
        misplaced = self._placed - node.places
        for tally in tallies.values():
            self._line(indent, f"{tally} = 0")
        self._line(indent, f"if 'extension' in e{depth}:")
        self._line(indent + 1, "seen += 1")
        self._line(indent + 1, f"for {extension} in e{depth}['extension']:")
        self._line(indent + 2, f"{url} = {extension}['url']")
        branch = "if"
        for one in {**urls, **node.extensions}:
            if one not in misplaced:
                self._line(indent + 2, f"{branch} {url} == {one!r}:")
                if one in tallies:
                    self._line(indent + 3, f"{tallies[one]} += 1")
                self._element(node.extensions.get(one, _NOTHING), depth + 1, indent + 3)
                branch = "elif"
        self._line(indent + 2, f"{branch} {url} in {self._named('misplaced', misplaced)}:")
        self._line(indent + 3, "return False")
        self._line(indent + 2, f"elif 'extension' in {extension}:")
        self._line(indent + 3, f"seen += inside({extension}, placed)")
        for count in node.tallies:
            self._refuse(indent, _outside(count, tallies[count.step.url]))

    def _breaks(self, test: Test, element: str) -> str:
        asked = f"{self._named('test', test.fault)}({element}, e0) is not None"
        if isinstance(test.rule.demand, Holds):  # most hold what they should, which is seen without a call
            return "".join(f"'value{name}' not in {element} and " for name in test.rule.demand.types) + asked
        return asked

    def _refuse(self, indent: int, when: str) -> None:
        if when:
            self._line(indent, f"if {when}: return False")

    def _line(self, indent: int, text: str) -> None:
        self._lines.append("    " * indent + text)

    def _named(self, kind: str, thing: Any) -> str:
        name = f"{kind}{len(self.names)}"
        self.names[name] = thing
        return name


_NOTHING: Final = Node()


def _outside(count: Count, number: str) -> str:
    """Return the condition under which a number is too small or too large; none when no number is."""
    if count.low == count.high:
        return f"{number} != {count.low}"
    few = f"{number} < {count.low}" if count.low else ""
    many = "" if count.high is None else f"{number} > {count.high}"
    return " or ".join(one for one in (few, many) if one)


def _is_object(node: Node) -> bool:
    """Tell whether the rules below an element are such that it can only be an object."""
    return bool(node.children or node.counts or node.tallies or node.kinds or node.extensions)
