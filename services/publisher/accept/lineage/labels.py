"""What is a place in a report called? Its metric, its population and its stratum, in the words of their codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Element = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a report, by FHIRPath and by name."""

    path: str
    metric: Element | None = None
    """`group.code`."""
    population: str = ""
    stratum: str = ""

    def at(self, step: str) -> Place:
        """Return the place one step further."""
        return replace(self, path=self.path + step)

    def within(self, name: str, item: Element) -> Place:
        """Return the same place, called by the metric, population, stratifier or stratum that `item` is."""
        match name:
            case "group":
                return replace(self, metric=item.get("code"))
            case "population":
                return replace(self, population=said(item.get("code")))
            case "stratifier":
                return replace(self, stratum=", ".join(said(each) for each in item.get("code", ())))
            case "stratum":
                return replace(
                    self, stratum=": ".join(part for part in (self.stratum, _stratum(item)) if part)
                )
            case _:
                return self


def said(*concepts: Element | None) -> str:
    """Return what CodeableConcepts say: `system|code` of each coding, else the text."""
    out = []
    for concept in concepts:
        if concept is not None:
            codings = [
                f"{each.get('system', '')}|{each['code']}"
                for each in concept.get("coding", ())
                if "code" in each
            ]
            out.append(" ".join(codings) or str(concept.get("text", "")))
    return " + ".join(part for part in out if part)


def _stratum(stratum: Element) -> str:
    components = [
        f"{said(each.get('code'))} = {said(each.get('value'))}" for each in stratum.get("component", ())
    ]
    return ", ".join(components) or said(stratum.get("value"))
