"""What does the driver get for a statement? SQLAlchemy compiles it, once for each set of parameter names.

A statement that is a constant of a module is found again by its identity; one that is built anew each time is
compiled each time, which takes a thousand times as long as finding it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeAlias
from weakref import ref

import sqlalchemy as sa
from sqlalchemy.engine.result import SimpleResultMetaData

Parameters: TypeAlias = Mapping[str, Any]
_Convert: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Bind:
    """One place in a statement's text that takes a value."""

    name: str
    convert: _Convert | None
    default: Any
    """The value of a literal; `None` for a parameter, which each call must give."""
    given: bool
    """Tells that the value comes with each call."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as the driver takes it."""

    text: str
    names: tuple[str, ...] | None
    """What it returns, by name; `None` when only the driver knows."""
    shape: SimpleResultMetaData | None
    """The same, as SQLAlchemy's results take it."""
    converts: tuple[tuple[int, _Convert], ...]
    """Places in a row whose values are not yet what Python is to see."""
    named: Mapping[str, _Convert]
    """The same by name, for text whose columns only the driver knows."""
    picked: Callable[[Parameters], tuple[Any, ...]]
    """Takes the values out of the parameters at once."""
    fixed: Parameters
    """The literals among them, which a call may leave out."""
    converted: tuple[tuple[int, _Convert], ...]
    """Places among them whose values are not yet what the driver takes."""
    lists: Callable[[Parameters], tuple[str, list[Any]]] | None
    """Text and values for given parameters, when the text depends on how many there are (`IN`)."""

    def filled(self, parameters: Parameters) -> tuple[str, Sequence[Any]]:
        """Return the text and its values, in order.

        Raises:
            KeyError: a parameter is missing.
        """
        if self.lists is not None:
            return self.lists(parameters)
        return self.text, self.values(parameters)

    def values(self, parameters: Parameters) -> Sequence[Any]:
        """Return the values in the order of the text's places."""
        found = self.picked({**self.fixed, **parameters} if self.fixed else parameters)
        if not self.converted:
            return found
        values = list(found)
        for place, convert in self.converted:
            values[place] = convert(values[place])
        return values

    def seen(self, rows: Sequence[Any], names: Sequence[str]) -> Sequence[Any]:
        """Return the driver's rows, which hold these names, with their values as Python is to see them."""
        converts = self.converts
        if self.named:
            converts = tuple(
                (place, self.named[name]) for place, name in enumerate(names) if name in self.named
            )
        if not converts:
            return rows
        out = []
        for row in rows:
            values = list(row)
            for place, convert in converts:
                values[place] = convert(values[place])
            out.append(tuple(values))
        return out


class Statements:
    """The compiled statements of one dialect."""

    def __init__(self, dialect: sa.Dialect) -> None:
        """Compile for `dialect`, whose parameters are positional."""
        self.dialect = dialect
        self._known: dict[int, _Kept] = {}

    def prepared(self, statement: sa.Executable, names: Parameters) -> Prepared:
        """Return a statement, compiled for parameters of these names."""
        kept = self._known.get(id(statement)) or self._keep(statement)
        key = tuple(names)
        found = kept.prepared.get(key)
        if found is None:
            found = kept.prepared[key] = _prepare(statement, self.dialect, list(key))
        return found

    def _keep(self, statement: sa.Executable) -> _Kept:
        known, identity = self._known, id(statement)
        # When a statement goes its entry goes, before another one can have its identity.
        kept = known[identity] = _Kept(ref(statement, lambda _: known.pop(identity, None)))
        return kept


@dataclass(slots=True)
class _Kept:
    """What a statement was compiled to, by the names of its parameters, for as long as there is the statement."""

    statement: ref[sa.Executable]
    prepared: dict[tuple[str, ...], Prepared] = field(default_factory=dict)


def _prepare(statement: Any, dialect: sa.Dialect, names: list[str]) -> Prepared:
    compiled = statement.compile(dialect=dialect, column_keys=names or None)
    columns = _columns(statement, compiled)
    lists = None
    expanding = any(bind.expanding for bind in compiled.binds.values())
    if expanding:
        fixed = {name: _bind(compiled, name).convert for name in compiled.binds}

        def lists(parameters: Parameters) -> tuple[str, list[Any]]:
            state = compiled.construct_expanded_state(dict(parameters))
            return state.statement, _in_order(state, fixed)

    returned = None if columns is None else tuple(column.keyname for column in columns)
    binds = () if expanding else tuple(_bind(compiled, name) for name in compiled.positiontup or ())
    return Prepared(
        text=compiled.string,
        names=returned,
        shape=None if returned is None else SimpleResultMetaData(returned),
        converts=tuple(_converts(columns or (), dialect)),
        named=_named(statement, dialect) if columns is None else {},
        picked=_picked([each.name for each in binds]),
        fixed={each.name: each.default for each in binds if not each.given},
        converted=tuple(
            (place, each.convert) for place, each in enumerate(binds) if each.convert is not None
        ),
        lists=lists,
    )


def _columns(statement: Any, compiled: Any) -> Sequence[Any] | None:
    """Return what a statement returns: nothing, unless it was asked to; `None` when it does not say."""
    exported = getattr(statement, "exported_columns", None)
    if exported is None or isinstance(statement, sa.TextualSelect):
        return None
    # The public collections leave out a column that is asked for twice.
    return compiled._result_columns if exported else ()  # noqa: SLF001


def _bind(compiled: Any, name: str) -> Bind:
    bind = compiled.binds[name]
    convert = bind.type.dialect_impl(compiled.dialect).bind_processor(compiled.dialect)
    return Bind(name, convert, bind.effective_value, given=bind.required)


def _picked(names: Sequence[str]) -> Callable[[Parameters], tuple[Any, ...]]:
    match names:
        case []:
            return lambda _: ()
        case [name]:
            return lambda parameters: (parameters[name],)  # `itemgetter` would return the value itself
        case _:
            return itemgetter(*names)


def _in_order(state: Any, fixed: Mapping[str, _Convert | None]) -> list[Any]:
    out = []
    for name in state.positiontup or ():
        value, convert = state.parameters[name], state.processors.get(name) or fixed.get(name)
        out.append(value if convert is None else convert(value))
    return out


def _converts(columns: Any, dialect: sa.Dialect) -> Iterator[tuple[int, _Convert]]:
    for place, column in enumerate(columns):
        if (convert := _convert(column, dialect)) is not None:
            yield place, convert


def _named(statement: Any, dialect: sa.Dialect) -> dict[str, _Convert]:
    found = {column.name: _convert(column, dialect) for column in getattr(statement, "exported_columns", ())}
    return {name: convert for name, convert in found.items() if convert is not None}


def _convert(column: Any, dialect: sa.Dialect) -> _Convert | None:
    convert: _Convert | None = column.type.dialect_impl(dialect).result_processor(dialect, None)
    return convert
