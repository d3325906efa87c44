"""Does anything refer to what is to be deleted? Asked for Organizations, Groups and Measures, which others lean on.

The caller keeps everybody else from writing meanwhile (`locks.take`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import sqlalchemy as sa

from schemas.search.grammar import parse_search
from schemas.search.resources import PARAMETERS
from services.database import Connection
from services.principal import LOCAL
from services.publisher.store import others, versions
from services.publisher.store.model import REPORT, Write
from services.publisher.store.selection import selections
from services.publisher.store.tables import contract, report, resource

_LEAN: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "Organization": (
        *((REPORT, name) for name in ("payer", "provider", "reporter", "subject", "subject-organization")),
        ("Group", "managing-entity"),
        ("Organization", "partof"),
    ),
    "Group": ((REPORT, "subject"), ("Group", "member")),
    "Measure": ((REPORT, "contract"), (REPORT, "measure"), ("Measure", "composed-of")),
}
"""By type of what is to be deleted: who may refer to it, and the search parameter that tells."""

_NOBODY_ASKS: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

_contracts_of_payer = sa.select(contract.c.measure_id).where(contract.c.payer == sa.bindparam("payer"))


async def referrers(tx: Connection, writes: Sequence[Write], base_url: str) -> Mapping[str, str]:
    """Return, for each Organization, Group and Measure that is to be deleted, one resource that refers to it.

    Both are given as `Type/id`. What the same writes delete refers to nothing any more.
    """
    gone = {f"{write.type}/{write.id}" for write in writes if write.deletes}
    found: dict[str, str] = {}
    for each in sorted(gone):
        kind, _, id_ = each.partition("/")
        named = None if kind == REPORT else await _named(tx, kind, id_)
        if named is None:
            continue
        by = await _by_search(tx, kind, named, gone, base_url)
        if by is None and kind == "Organization":
            by = await _by_contract(tx, each, gone)
        if by is not None:
            found[each] = by
    return found


async def _named(tx: Connection, kind: str, id_: str) -> str | None:
    """Return what others call it: a reference, or the url of a Measure, which may have none."""
    if kind != "Measure":
        return f"{kind}/{id_}"
    stored = (await versions.newest(tx, kind, [id_])).get(id_)
    if stored is None or stored.deleted:
        return None
    measure: dict[str, Any] = orjson.loads(stored.body)
    return measure.get("url")


async def _by_search(tx: Connection, kind: str, named: str, gone: Iterable[str], base_url: str) -> str | None:
    for by, parameter in _LEAN[kind]:
        without = sorted(each.partition("/")[2] for each in gone if each.startswith(f"{by}/"))
        asked = urlencode({parameter: _escaped(named)})
        query = parse_search(
            asked, base_url=base_url, lenient=False, parameters=PARAMETERS[by], type=by
        ).query
        if by == REPORT:
            selected = [
                each.test if each.begin is None else each.begin
                for each in selections(query, LOCAL, _NOBODY_ASKS)
            ]
            statement = sa.select(report.c.id).where(*selected, report.c.id.not_in(without))
        else:
            condition = others.condition(query, _NOBODY_ASKS)
            statement = sa.select(resource.c.id).where(condition, resource.c.id.not_in(without))
        if (first := (await tx.execute(statement.limit(1))).scalar()) is not None:
            return f"{by}/{first}"
    return None


async def _by_contract(tx: Connection, payer: str, gone: Iterable[str]) -> str | None:
    """The payer of a contract may be known from its reports alone, and they may be gone."""
    found = (await tx.execute(_contracts_of_payer, {"payer": payer})).scalars()
    return next((by for by in (f"Measure/{id_}" for id_ in sorted(found)) if by not in gone), None)


def _escaped(value: str) -> str:
    """Return a value as one of a search: `,`, `|` and `$` part values there (R4 search, escaping)."""
    for sign in "\\,|$":
        value = value.replace(sign, f"\\{sign}")
    return value
