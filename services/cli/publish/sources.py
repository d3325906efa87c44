"""Which resources the arguments of `vbpr publish` name, in which order.

A file is NDJSON when its first line is a whole JSON object, or would be but for a mistake in it, else one
resource. Text is passed on as it was read: only the publisher parses it for good, so that decimals keep their
digits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

SUFFIXES = (".json", ".ndjson", ".jsonl")


class SourceError(Exception):
    """A file or folder cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as it stands in its source."""

    source: str
    line: int | None
    """Line number in NDJSON, from 1."""
    text: bytes = field(repr=False)
    kind: str
    """`resourceType`; empty when the text has none."""
    id: str | None
    problem: str | None = None
    """Why this cannot be sent at all."""
    measure: str = ""
    """Of a report: `measure` without its version."""
    lists: tuple[str, ...] = ()
    """Of a report: the ids of the reports in its `evaluatedResource`."""

    @property
    def where(self) -> str:
        """The source, with the line when there are many."""
        return self.source if self.line is None else f"{self.source}:{self.line}"


def files(arguments: Sequence[str]) -> list[str]:
    """Return the files that the arguments name, folders opened and sorted by path; `-` is standard input.

    Raises:
        SourceError: something is not there, or a folder holds nothing to publish.
    """
    found: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if argument == "-" or path.is_file():
            found.append(argument)
        elif path.is_dir():
            inside = sorted(
                str(file) for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file()
            )
            if not inside:
                raise SourceError(f"{argument} holds no file that ends in {', '.join(SUFFIXES)}.")
            found.extend(inside)
        else:
            raise SourceError(f"{argument} is not there: give a file, a folder or - for standard input.")
    return found


def resources(file: str) -> Iterator[Resource]:
    """Yield the resources of one file; NDJSON is read line by line.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        if file == "-":
            yield from _resources("standard input", sys.stdin.buffer)
        else:
            with Path(file).open("rb") as opened:
                yield from _resources(file, opened)
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}.") from None


def _resources(source: str, opened: BinaryIO) -> Iterator[Resource]:
    head = b""
    for first in opened:
        head += first
        if first.strip():
            break
    at = head.count(b"\n")
    following = opened.readline()
    if not _is_object(head) and not _was_meant_as_one(head, following):
        yield _resource(source, None, head + following + opened.read())
        return
    # One object on one line may still be a file of one resource: then it is shown without a line number.
    yield _resource(source, at if following else None, head)
    while following:
        at += 1
        if following.strip():
            yield _resource(source, at, following)
        following = opened.readline()


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except ValueError:
        return False


def _was_meant_as_one(line: bytes, following: bytes) -> bool:
    """Tell a broken first line of NDJSON from the first line of one resource: no resource goes on with `{`."""
    line, following = line.strip(), following.strip()
    return line.startswith(b"{") and line.endswith(b"}") and (not following or following.startswith(b"{"))


def _resource(source: str, line: int | None, text: bytes) -> Resource:
    try:
        value: Any = orjson.loads(text)
    except ValueError as wrong:
        return Resource(source, line, text, "", None, f"not JSON: {wrong}")
    kind = value.get("resourceType") if isinstance(value, dict) else None
    if not isinstance(kind, str) or not kind.isalnum():
        return Resource(source, line, text, "", None, "has no resourceType: it is no FHIR resource")
    logical_id, measure, listed = (value.get(name) for name in ("id", "measure", "evaluatedResource"))
    return Resource(
        source,
        line,
        text,
        kind,
        logical_id if isinstance(logical_id, str) else None,
        measure=measure.partition("|")[0] if isinstance(measure, str) else "",
        lists=tuple(_ids(listed)) if isinstance(listed, list) else (),
    )


def _ids(references: list[Any]) -> Iterator[str]:
    for each in references:
        reference = each.get("reference") if isinstance(each, dict) else None
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
