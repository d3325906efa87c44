"""Answers: which elements does a rule speak about. A path of steps, each from an element to those below it.

Nothing here trusts the structure of a resource: what has the wrong shape is not found, and the structure gate
has said why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Found:
    """A value and the FHIRPath it stands at."""

    expression: str
    value: Any


@dataclass(frozen=True, slots=True)
class Child:
    """The element of this name; with a type, the variant of a choice: `value` as `CodeableConcept`."""

    name: str
    type: str = ""

    def of(self, parent: Found) -> Iterator[Found]:
        """Yield the values of the element, one for each repetition."""
        key = self.name + self.type
        if not isinstance(parent.value, Mapping) or key not in parent.value:
            return
        value, here = parent.value[key], f"{parent.expression}.{self.name}"
        if not isinstance(value, list):
            yield Found(here, value)
            return
        for index, item in enumerate(value):
            yield Found(f"{here}[{index}]", item)

    def missing(self, parent: Found) -> str:
        """Return the FHIRPath of the element that is not there."""
        return f"{parent.expression}.{self.name}"


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
