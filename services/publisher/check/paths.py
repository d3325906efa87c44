"""Answers: which elements does a rule speak about. A path of steps, each from an element to those below it.

Nothing here trusts the structure of a resource: what has the wrong shape is not found, and the structure gate
has said why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Element: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A value and the FHIRPath it stands at."""

    expression: str
    value: Any


@dataclass(frozen=True, slots=True)
class Child:
    """The element of this name; `value[x]` is whichever of its types there is."""

    name: str

    def of(self, parent: Found) -> Iterator[Found]:
        """Yield the values of the element, one for each repetition."""
        if not isinstance(parent.value, Mapping):
            return
        plain = self.name.removesuffix("[x]")
        for key in _keys(parent.value, self.name, plain):
            yield from _each(parent.value[key], f"{parent.expression}.{plain}")

    def missing(self, parent: Found) -> str:
        """Return the FHIRPath of the element that is not there."""
        return f"{parent.expression}.{self.name.removesuffix('[x]')}"


@dataclass(frozen=True, slots=True)
class Extension:
    """The extensions with this URL."""

    url: str

    def of(self, parent: Found) -> Iterator[Found]:
        """Yield the extensions, each where it really stands."""
        for found in Child("extension").of(parent):
            if isinstance(found.value, Mapping) and found.value.get("url") == self.url:
                yield found

    def missing(self, parent: Found) -> str:
        """Return the FHIRPath that finds the extension when it is there."""
        return f"{parent.expression}.extension('{self.url}')"


@dataclass(frozen=True, slots=True)
class Where:
    """The repetitions of an element that have this code in this child: a slice by value."""

    name: str
    child: str
    code: str

    def of(self, parent: Found) -> Iterator[Found]:
        """Yield the repetitions that belong to the slice."""
        for found in Child(self.name).of(parent):
            if isinstance(found.value, Mapping) and found.value.get(self.child) == self.code:
                yield found

    def missing(self, parent: Found) -> str:
        """Return the FHIRPath that finds the slice when it is there."""
        return f"{parent.expression}.{self.name}.where({self.child}='{self.code}')"


Step: TypeAlias = Child | Extension | Where


def path(text: str, *more: Step) -> tuple[Step, ...]:
    """Return the steps of a dotted path, and the `more` steps behind it."""
    return (*(Child(name) for name in text.split(".")), *more)


def select(start: Found, steps: tuple[Step, ...]) -> Iterator[Found]:
    """Yield every value the steps lead to, in document order."""
    if not steps:
        yield start
        return
    for found in steps[0].of(start):
        yield from select(found, steps[1:])


def _keys(parent: Element, name: str, plain: str) -> list[str]:
    if name == plain:
        return [plain] if plain in parent else []
    typed = re.compile(rf"{re.escape(plain)}[A-Z]")
    return [key for key in parent if typed.match(key)]


def _each(value: Any, expression: str) -> Iterator[Found]:
    if not isinstance(value, list):
        yield Found(expression, value)
        return
    for index, item in enumerate(value):
        yield Found(f"{expression}[{index}]", item)
