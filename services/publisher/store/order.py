"""In which order are results shown, and where does a page begin? By keys, never by counting rows. Pure.

The id ends every order, so no two resources have the same place, and one that is stored between two pages neither
repeats nor hides another. What has no value of a key comes first, as the lowest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa

from services.database import UtcDateTime, from_micros, micros
from services.publisher.store.criteria import Condition

Place: TypeAlias = tuple[int | str, ...]
"""Where a result stands: the values of its keys, times as microseconds."""


@dataclass(frozen=True, slots=True)
class Key:
    """One thing to sort by."""

    column: sa.ColumnElement[Any]
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """The keys, the id last, and the place to begin after, if any."""

    keys: Sequence[Key]
    after: Place | None = None

    @property
    def by(self) -> list[sa.ColumnElement[Any]]:
        """What to sort by."""
        return [key.column.desc() if key.descending else key.column.asc() for key in self.keys]

    @property
    def beyond(self) -> Condition:
        """Stands after the place to begin after."""
        if self.after is None:
            return sa.true()
        values = [_value(key, text) for key, text in zip(self.keys, self.after, strict=True)]
        if len({key.descending for key in self.keys}) == 1:
            columns, edge = sa.tuple_(*(key.column for key in self.keys)), sa.tuple_(*values)
            return columns < edge if self.keys[0].descending else columns > edge
        return sa.or_(*(_after(self.keys, values, depth) for depth in range(len(values))))

    def between(self, first: Place, last: Place) -> Condition:
        """Has a first key no less far on than `first`, and stands no further on than `last`: a range of an index.

        Where the keys' directions differ, `last` is told by the first key too.
        """
        keys = self.keys if len({key.descending for key in self.keys}) == 1 else self.keys[:1]
        columns = sa.tuple_(*(key.column for key in keys))
        end = sa.tuple_(*(_value(key, text) for key, text in zip(keys, last, strict=False)))
        column, begin = keys[0].column, _value(keys[0], first[0])
        if keys[0].descending:
            return sa.and_(column <= begin, columns >= end)
        return sa.and_(column >= begin, columns <= end)

    def over(self, columns: Any) -> Order:
        """Return the same order of rows that hold the keys under the names of `named`."""
        keys = [Key(columns[name], key.descending) for name, key in zip(self.named, self.keys, strict=True)]
        return Order(keys, self.after)

    @property
    def named(self) -> dict[str, sa.ColumnElement[Any]]:
        """The keys, each with a name of its own."""
        return {f"key{place}": key.column for place, key in enumerate(self.keys)}

    def place(self, values: Sequence[Any]) -> Place:
        """Return the place of a row, given the values of its keys."""
        return tuple(micros(each) if isinstance(each, datetime) else each for each in values)


def _after(keys: Sequence[Key], values: Sequence[sa.ColumnElement[Any]], depth: int) -> Condition:
    """The keys before `depth` are equal, and that one is further on."""
    equal = (key.column == value for key, value in zip(keys[:depth], values, strict=False))
    key, value = keys[depth], values[depth]
    return sa.and_(*equal, key.column < value if key.descending else key.column > value)


def _value(key: Key, value: int | str) -> sa.ColumnElement[Any]:
    of_time = isinstance(key.column.type, UtcDateTime) and isinstance(value, int)
    return sa.literal(from_micros(int(value)) if of_time else value, key.column.type)


def fits(keys: Sequence[Key], place: Sequence[Any]) -> bool:
    """Tell whether a place could be one of these keys': what a client sends may be anything."""
    return len(keys) == len(place) and all(
        isinstance(value, str if isinstance(key.column.type, sa.String) else int)
        for key, value in zip(keys, place, strict=True)
    )
