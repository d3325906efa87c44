"""Which reports does a search select? Each of its terms as SQL, in the two ways a plan needs it. Pure.

One *begins* with what satisfies a term, by an index, and can be counted; a *test* tells of one report whether it does,
from its own row or by one lookup. A plan begins with one selection, or with the order that is asked for, and tests
the rest.

What reports share is asked of the sets: all such terms together are one selection, which begins with one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from schemas.event import Stage
from schemas.facets import EVERY_ORGANISATION, PARTIES
from schemas.fhir import REPORT_KIND_SYSTEM, REPORT_STAGE_SYSTEM, STATUS_SYSTEM
from schemas.search.parameters import Modifier
from schemas.search.predicate import facet_name
from schemas.search.values import Missing, Query, Term, Token
from services.principal import Principal
from services.publisher.derive.model import Kind
from services.publisher.derive.stage import BY_STATUS
from services.publisher.store import criteria
from services.publisher.store.criteria import Columns, Condition
from services.publisher.store.index import DATES, HAS, ID, LAST_UPDATED, MANY_DATES, OWN, SCORES, key
from services.publisher.store.model import REPORT
from services.publisher.store.statements import beside
from services.publisher.store.tables import date_facet, own_facet, report, resource, score_facet, shared_facet

_CODES: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "stage": (REPORT_STAGE_SYSTEM, frozenset(map(str, Stage))),
    "kind": (REPORT_KIND_SYSTEM, frozenset(map(str, Kind))),
    "status": (STATUS_SYSTEM, frozenset(BY_STATUS)),
}
"""What every report has one code of, with the system and all the codes: whatever has not this one has another."""
_OF_ROW: Final = frozenset({"stage", "kind"})
"""Those of them that stand in the report's own row."""

Entry = Callable[[Columns], Condition]


class Tested:
    """The columns of a report's row that is there: no planner is to begin with an index of theirs, `but` of one."""

    def __init__(self, columns: Columns, but: str = "") -> None:
        """Take the columns of `report` or of an alias of it."""
        self._columns = columns
        self._but = but

    def __getattr__(self, name: str) -> Any:
        """Return the column of that name."""
        column = self._columns[name]
        return column if name == self._but else beside(column)


def _anything(_: Columns) -> Condition:
    return sa.true()


@dataclass(frozen=True, slots=True)
class Selection:
    """Terms as SQL."""

    row: Entry = _anything
    """What the row of a report tells by itself, which costs next to nothing."""
    lookup: Entry | None = None
    """What is looked up for it, by its `id` or its `facet_set`."""
    begin: Condition | None = None
    """The whole of a row of `report`, in the form that leads to it by an index; `None` when it is so of nearly all."""
    counted: sa.Select[Any] | None = None
    """One row for each id, in any order, for as long as somebody counts."""
    links: bool = False
    """What it begins with are ids, each to be looked up: where they are many, testing report by report is no slower."""

    @property
    def test(self) -> Condition:
        """The whole of a row of `report`, told by looking at it."""
        row = self.row(Tested(report.c))
        return row if self.lookup is None else sa.and_(row, self.lookup(report.c))


def selections(query: Query, principal: Principal, now: datetime, first: int = 0) -> list[Selection]:
    """Return what must be true of a report, as selections that all have to hold; none for every report.

    `first` is which of `beginnings` the terms about sets begin with.
    """
    out: list[Selection] = []
    dates: dict[str, list[Term]] = {}
    for term in query.terms:
        name = facet_name(term)
        if _of_sets(term, name) is not None:
            continue
        if name in DATES - MANY_DATES or name == LAST_UPDATED:
            dates.setdefault(name, []).append(term)
        else:
            out.append(_alone(term, name, now))
    out += [_dated(name, terms, now) for name, terms in dates.items()]
    if shared := _about_sets(query, principal):
        out.append(_sets(shared, first))
    return out


def beginnings(query: Query, principal: Principal) -> Mapping[int, sa.Select[Any]]:
    """Return what the terms about sets may well begin with: the sets that satisfy one of them, one row a set.

    More than one where only counting tells which of them finds the fewest.
    """
    wanted = [each for each in _about_sets(query, principal) if not each.none]
    narrow = [each for each in wanted if not each.common] or wanted
    return {
        place: sa.select(shared_facet.c.facet_set).where(each.entry(shared_facet.c))
        for place, each in enumerate(wanted)
        if each in narrow
    }


def visible(principal: Principal) -> Condition:
    """Return what is so of a row of `report` that a principal is party to, found by an index."""
    if EVERY_ORGANISATION in principal.organisations:
        return sa.true()
    mine = _visible(principal).entry(shared_facet.c)
    return report.c.facet_set.in_(sa.select(shared_facet.c.facet_set).where(mine))


def known_to(principal: Principal) -> list[Selection]:
    """Return what is so of a report that a principal is party to or has published; nothing when that is every one."""
    if EVERY_ORGANISATION in principal.organisations:
        return []
    party = _visible(principal)

    def known(columns: Columns) -> Condition:
        own = (resource.c.type == REPORT, resource.c.id == columns.id, resource.c.owner == principal.client)
        return _test(party, columns) | sa.exists().where(*own)

    return [Selection(lookup=known)]


def _alone(term: Term, name: str, now: datetime) -> Selection:
    if name in _CODES:
        return Selection(lambda _: _always(term.modifier is not Modifier.NOT and not _missing(term)))
    if name == ID:
        return _named(term)
    if name in MANY_DATES:
        return _one_of_many(term, now)
    if name in SCORES:
        return _linked(score_facet, lambda columns: criteria.score(columns, term))
    assert name in OWN
    ids = sa.select(own_facet.c.report_id).where(criteria.facet(own_facet.c, term))

    def found(columns: Columns) -> Condition:
        # What few reports share is found once, and looked up there. The form of the test keeps planners from more.
        same: Condition = columns.id.in_(ids).is_(sa.true())
        return ~same if term.modifier is Modifier.NOT else same

    if term.modifier is Modifier.NOT:
        return Selection(lookup=found)
    return Selection(lookup=found, begin=report.c.id.in_(ids), counted=ids)


def _named(term: Term) -> Selection:
    if term.modifier is Modifier.MISSING:
        return Selection(lambda _: _always(not _missing(term)))
    wanted = criteria.ids(term)
    if term.modifier is Modifier.NOT:
        return Selection(lambda columns: columns.id.not_in(wanted))
    return _of_own_row(lambda columns: columns.id.in_(wanted))


def _dated(name: str, terms: Sequence[Term], now: datetime) -> Selection:
    """What several terms ask of a date that a report has once, that date has to satisfy."""

    def then(columns: Columns) -> Condition:
        if name == LAST_UPDATED:
            return sa.and_(*(_stored(columns, term, now) for term in terms))
        low, high = (getattr(columns, f"{name}_{end}") for end in ("low", "high"))
        stretch = criteria.Stretch(low, high, bounded=name == "date")
        return sa.and_(*(criteria.date(stretch, term, now) for term in terms))

    return _of_own_row(then)


def _stored(columns: Columns, term: Term, now: datetime) -> Condition:
    if term.modifier is Modifier.MISSING:
        return _always(not _missing(term))
    return criteria.last_updated(columns.last_updated, term, now)


def _of_own_row(then: Entry) -> Selection:
    row = report.alias()
    counted = sa.select(row.c.id).where(then(row.c))
    return Selection(then, begin=then(report.c), counted=counted)


def _one_of_many(term: Term, now: datetime) -> Selection:
    name = term.parameter.name

    def then(columns: Columns, stretch: criteria.Stretch) -> Condition:
        return sa.and_(columns.parameter == name, criteria.date(stretch, term, now))

    return _linked(
        date_facet,
        lambda columns: then(columns, criteria.Stretch(columns.low, columns.high)),
        # All that a report has are few: no planner is to begin with the range, which is of all reports.
        lambda columns: then(columns, criteria.Stretch(columns.low + 0, columns.high + 0)),
    )


def _linked(table: sa.Table, entry: Entry, probe: Entry | None = None) -> Selection:
    ids = sa.select(table.c.report_id).where(entry(table.c))

    def there(columns: Columns) -> Condition:
        return criteria.there(table, lambda entries: entries.report_id == columns.id, probe or entry)

    return Selection(lookup=there, begin=report.c.id.in_(ids), counted=ids, links=True)


def _always(value: bool) -> Condition:  # the truth itself
    return sa.true() if value else sa.false()


def _missing(term: Term) -> bool:
    return any(value.missing for value in term.values if isinstance(value, Missing))


@dataclass(frozen=True, slots=True)
class _OfSets:
    """What an entry of a set says, or what none of its entries may say."""

    entry: Entry
    none: bool = False
    ranged: bool = False
    """It is about a range of values: all its sets are found at once, rather than looked for one by one."""
    row: Entry | None = None
    """The same of a report's own row, where that tells it too."""
    common: bool = False
    """Very many sets have it, so that hardly anything else is worse to begin with."""


_COMMON: Final = frozenset(
    {
        *_CODES,
        "category",
        "cohort",
        "lob",
        "metric",
        "payment-stream",
        "program-model",
        "_profile",
        "_security",
        "_tag",
    }
)
"""Parameters of which there are few values, or many sets have the same."""


def _about_sets(query: Query, principal: Principal) -> list[_OfSets]:
    asked = (_of_sets(term, facet_name(term)) for term in query.terms)
    out = [each for each in asked if each is not None]
    if EVERY_ORGANISATION not in principal.organisations:
        out.append(_visible(principal))
    return out


def _of_sets(term: Term, name: str) -> _OfSets | None:
    """Return what is asked of sets, `None` when the term is not about what reports share."""
    if name in _CODES:
        return _coded(term, name)
    if term.modifier is Modifier.MISSING and name not in {ID, LAST_UPDATED}:
        return _OfSets(_has(term.parameter.name), none=_missing(term), common=True)
    if name in DATES or name in SCORES or name in {ID, LAST_UPDATED}:
        return None
    if name not in OWN:
        return _OfSets(
            lambda columns: criteria.facet(columns, term),
            none=term.modifier is Modifier.NOT,
            ranged=term.modifier is Modifier.BELOW,
            common=name in _COMMON,
        )
    systems = [value.system for value in term.values if isinstance(value, Token) and value.code is None]
    if len(systems) < len(term.values):
        return None
    # `identifier=system|`: the sets tell which systems a report has identifiers of.
    return _OfSets(
        lambda columns: sa.and_(
            columns.parameter == HAS,
            columns.value == name,
            columns.system.in_([key(system or "") for system in systems]),
        ),
        none=term.modifier is Modifier.NOT,
        common=True,
    )


def _coded(term: Term, name: str) -> _OfSets | None:
    """A code that every report has once; `None` when any will do, or none."""
    if term.modifier is Modifier.MISSING:
        return None
    system, every = _CODES[name]
    values = [value for value in term.values if isinstance(value, Token) and value.system in {None, system}]
    named = {value.code for value in values if value.code is not None}
    if len(named) < len({value.code for value in values}):  # `system|`
        return None
    codes = sorted(every - named if term.modifier is Modifier.NOT else named)
    return _OfSets(
        lambda columns: sa.and_(columns.parameter == name, columns.value.in_(codes)),
        row=(lambda columns: getattr(columns, name).in_(codes)) if name in _OF_ROW else None,
        common=True,
    )


def _has(name: str) -> Entry:
    """The parameter has a value, or a reference of it an identifier."""
    names = (name, f"{name}:identifier")
    inside = {each for each in names if each in OWN or each in DATES or each in SCORES}
    if inside:
        return lambda columns: sa.and_(columns.parameter == HAS, columns.value.in_(sorted(inside)))
    return lambda columns: columns.parameter.in_(names)


def _visible(principal: Principal) -> _OfSets:
    mine = sorted(map(key, principal.organisations))
    return _OfSets(lambda columns: sa.and_(columns.parameter.in_(PARTIES), columns.value.in_(mine)))


def _sets(asked: Sequence[_OfSets], first: int) -> Selection:
    """Every set has a kind: where only things are ruled out, that is what to begin with."""
    wanted = [each for each in asked if not each.none]
    begin = wanted[first] if wanted else _OfSets(lambda columns: columns.parameter == "kind")
    rest = [each for each in asked if each is not begin]
    one, row = shared_facet.alias(), report.alias()
    found = [begin.entry(one.c), *(_test(each, one.c) for each in rest if each.row is None)]
    sets = sa.select(one.c.facet_set).where(*found)
    beginning = sa.and_(report.c.facet_set.in_(sets), _rows(rest, Tested(report.c)))
    looked_up = [each for each in asked if each.row is None]
    if not looked_up:
        counted = sa.select(row.c.id).where(_rows(asked, row.c))
        return Selection(partial(_rows, asked), begin=beginning, counted=counted)
    both = sets.select_from(one).join(row, row.c.facet_set == one.c.facet_set)
    return Selection(
        partial(_rows, asked),
        lambda columns: sa.and_(*(_test(each, columns) for each in looked_up)),
        beginning,
        both.where(_rows(rest, Tested(row.c))),
    )


def _rows(asked: Iterable[_OfSets], columns: Columns) -> Condition:
    return sa.and_(sa.true(), *(each.row(columns) for each in asked if each.row is not None))


def _test(asked: _OfSets, columns: Columns) -> Condition:
    if asked.ranged:
        sets = sa.select(shared_facet.c.facet_set).where(asked.entry(shared_facet.c))
        has: Condition = columns.facet_set.in_(sets).is_(
            sa.true()
        )  # this form keeps planners from joining them
    else:
        has = criteria.there(shared_facet, lambda entry: entry.facet_set == columns.facet_set, asked.entry)
    return ~has if asked.none else has
