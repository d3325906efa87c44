"""Answers: which elements does a rule speak about. A path, written as a text and read once.

`group.extension(service-period).value[Period]` is a path from the resource down: an element by its name, a
choice of types by the type, an extension by its short name (of `URLS`; inside another extension, by its plain
url), a slice by the code one of its children has: `relatedArtifact(type=composed-of)`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from services.publisher.check.extensions import URLS

_STEP: Final = re.compile(
    r"(?P<name>[A-Za-z]+)(?:\[(?P<type>[A-Za-z]+)\]|\((?:(?P<child>[a-z]+)=(?P<code>[^)]+)|(?P<url>[^)]+))\))?"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step down: an element, and which of its repetitions."""

    name: str
    type: str = ""
    url: str = ""
    """Only extensions with this URL."""
    child: str = ""
    code: str = ""
    """Only repetitions that have this code in this child."""

    @property
    def key(self) -> str:
        """The name of the element in JSON."""
        return self.name + self.type

    @property
    def missing(self) -> str:
        """The FHIRPath that finds the element when it is there."""
        if self.url:
            return f"extension('{self.url}')"
        return f"{self.name}.where({self.child}='{self.code}')" if self.child else self.name


def parse(path: str) -> tuple[Step, ...]:
    """Return the steps of a path; none for the resource itself.

    Raises:
        ValueError: the text is no path, or an extension in it has no name in `URLS`.
    """
    steps: list[Step] = []
    for text in _split(path):
        found = _STEP.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no step of a path")
        url = found["url"] or ""
        if url and not (steps and steps[-1].url):
            if url not in URLS:
                raise ValueError(f"{url!r} is no extension that has a name")
            url = URLS[url]
        steps.append(Step(found["name"], found["type"] or "", url, found["child"] or "", found["code"] or ""))
    return tuple(steps)


def _split(path: str) -> list[str]:
    """Cut at the dots that do not stand in brackets."""
    return [part for part in re.split(r"\.(?![^(]*\))", path) if part]
