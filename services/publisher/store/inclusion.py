"""What comes along with the results of a search? What they refer to (`_include`), and what refers to them (`_revinclude`).

A canonical leads to the Measure that has the URL, whatever its version: only the current one is kept under its id.
A report that the principal is not party to does not come along. Source: FHIR R4 search 3.1.1.5.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
import sqlalchemy as sa

from schemas.facets import Facets
from schemas.search.parameters import SearchParameter
from schemas.search.references import local_type
from schemas.search.resources import PARAMETERS
from schemas.search.result import Include
from services.database import Connection
from services.principal import Principal
from services.publisher.derive.found_by import found_by
from services.publisher.store import versions
from services.publisher.store.index import OWN, key
from services.publisher.store.model import REPORT, Stored
from services.publisher.store.search import readable
from services.publisher.store.statements import among
from services.publisher.store.tables import own_facet, report, resource_facet, shared_facet

MOST: Final = 1000
"""Resources that come along with one page."""

_DEEPEST: Final = 8
"""Rounds of `:iterate`; who refers to whom may go in a circle."""


@dataclass(frozen=True, slots=True)
class Included:
    """What comes along, and whether that is all."""

    found: Sequence[Stored]
    complete: bool


NOTHING: Final = Included((), complete=True)


async def included(
    tx: Connection, found: Sequence[Stored], includes: Sequence[Include], principal: Principal, base_url: str
) -> Included:
    """Return what comes along with `found`, each once, in the order it is met."""
    along = _Along(tx, principal, base_url, {(each.type, each.id) for each in found})
    latest, rounds = list(found), list(includes)
    for _ in range(_DEEPEST):
        latest = await along.round(latest, rounds)
        rounds = [each for each in includes if each.iterate]
        if not latest or not rounds:
            break
    return Included(along.found, along.complete)


@dataclass(slots=True)
class _Along:
    tx: Connection
    principal: Principal
    base_url: str
    seen: set[tuple[str, str]]
    found: list[Stored] = field(default_factory=list)
    complete: bool = True

    async def round(self, sources: Sequence[Stored], includes: Iterable[Include]) -> list[Stored]:
        """Add what comes along with these, and return it."""
        new: list[Stored] = []
        for include in includes:
            ids = await (
                self._referring(sources, include) if include.reverse else self._referred(sources, include)
            )
            for kind, of_kind in ids.items():
                new += await self._load(kind, of_kind)
        return new

    async def _load(self, kind: str, ids: Iterable[str]) -> list[Stored]:
        wanted = [each for each in dict.fromkeys(ids) if (kind, each) not in self.seen]
        if wanted and kind == REPORT:
            may = await readable(self.tx, wanted, self.principal)
            wanted = [each for each in wanted if each in may]
        room = MOST - len(self.found)
        self.complete = self.complete and len(wanted) <= room
        there = await versions.newest(self.tx, kind, wanted[:room])
        new = [there[each] for each in wanted[:room] if each in there and not there[each].deleted]
        self.seen |= {(kind, each.id) for each in new}
        self.found += new
        return new

    async def _referred(self, sources: Sequence[Stored], include: Include) -> dict[str, list[str]]:
        """Return what is referred to, by type."""
        facets = await self._facets([each for each in sources if each.type == include.source])
        values = [value for each in facets for value in each.get(include.parameter.name, ())]
        texts = [value for value in values if isinstance(value, str)]
        if include.parameter.canonical:
            return {"Measure": await self._by_url(texts)}
        out: dict[str, list[str]] = {}
        for each in texts:
            kind = local_type(each)
            if kind is not None and kind in PARAMETERS and include.target in {None, kind}:
                out.setdefault(kind, []).append(each.partition("/")[2])
        return out

    async def _facets(self, sources: Sequence[Stored]) -> list[Facets]:
        reports = [each.id for each in sources if each.type == REPORT]
        found: list[Facets] = []
        if reports:
            rows = await self.tx.execute(_FACETS, {"ids": reports})
            found += [orjson.loads(row.facets) for row in rows]
        return found + [
            found_by(orjson.loads(each.body), self.base_url) for each in sources if each.type != REPORT
        ]

    async def _by_url(self, canonicals: Iterable[str]) -> list[str]:
        urls = sorted({key(each.partition("|")[0]) for each in canonicals})
        if not urls:
            return []
        named = {"type": "Measure", "parameter": "url", "values": urls, "most": MOST + 1}
        return sorted(set((await self.tx.execute(_OTHERS, named)).scalars()))

    async def _referring(self, sources: Sequence[Stored], include: Include) -> dict[str, list[str]]:
        """Return what refers to these, of the type that has the reference."""
        parameter = include.parameter
        able = [each for each in sources if _may_be_target(parameter, each.type, include.target)]
        if parameter.canonical:
            facets = await self._facets(able)
            forms = [value for each in facets for value in each.get("url", ()) if isinstance(value, str)]
        else:
            forms = [each.reference for each in able]
        if not forms:
            return {}
        named = {"parameter": parameter.name, "values": sorted(map(key, forms)), "most": MOST + 1}
        if include.source != REPORT:
            rows = await self.tx.execute(_OTHERS, {**named, "type": include.source})
        else:
            rows = await self.tx.execute(_OWN if parameter.name in OWN else _SHARED, named)
        # In the statement, the order would lead planners away from the index of what is asked.
        ids = sorted(set(rows.scalars()))
        self.complete = self.complete and len(ids) <= MOST
        return {include.source: ids}


def _may_be_target(parameter: SearchParameter, kind: str, target: str | None) -> bool:
    if target is not None:
        return kind == target
    return not parameter.targets or kind in parameter.targets


_most = sa.bindparam("most", type_=sa.Integer)
_FACETS: Final = (
    sa.select(report.c.id, report.c.facets).where(among(report.c.id, "ids")).order_by(report.c.id)
)
_OTHERS: Final = (
    sa.select(resource_facet.c.id)
    .where(resource_facet.c.type == sa.bindparam("type"))
    .where(resource_facet.c.parameter == sa.bindparam("parameter"))
    .where(among(resource_facet.c.value, "values"))
    .limit(_most)
)
_OWN: Final = (
    sa.select(own_facet.c.report_id)
    .where(own_facet.c.parameter == sa.bindparam("parameter"))
    .where(among(own_facet.c.value, "values"))
    .limit(_most)
)
_SHARED: Final = (
    sa.select(report.c.id)
    .where(
        report.c.facet_set.in_(
            sa.select(shared_facet.c.facet_set)
            .where(shared_facet.c.parameter == sa.bindparam("parameter"))
            .where(among(shared_facet.c.value, "values"))
        )
    )
    .limit(_most)
)
