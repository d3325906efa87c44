"""Ways of changing one place of a resource, to see what is said of it then.

A path walks JSON: names, places in lists, extensions by the end of their URL, with slashes between.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Change = Callable[[Json], Any]


def find(node: Any, path: str) -> Any:
    """Return what stands at a path."""
    for step in path.split("/") if path else ():
        if isinstance(node, list):
            node = node[int(step)] if step.isdigit() else next(one for one in node if _is(one["url"], step))
        else:
            node = node[step]
    return node


def _is(url: str, name: str) -> bool:
    return url == name or url.rpartition("/")[2] in {name, f"extension-{name}"}


def drop(path: str) -> Change:
    """Take away what stands at the path, and the list with it when it was all there was."""

    def change(resource: Json) -> None:
        above, _, last = path.rpartition("/")
        holder = find(resource, above)
        if isinstance(holder, dict):
            del holder[last]
            return
        holder.remove(find(holder, last))
        if not holder:
            parent, _, name = above.rpartition("/")
            del find(resource, parent)[name]

    return change


def put(path: str, value: Any) -> Change:
    """Put a value at the path."""

    def change(resource: Json) -> None:
        above, _, last = path.rpartition("/")
        holder = find(resource, above)
        holder[int(last) if isinstance(holder, list) else last] = copy.deepcopy(value)

    return change


def twice(path: str) -> Change:
    """Repeat an item of a list, at the list's end."""

    def change(resource: Json) -> None:
        holder = find(resource, path.rpartition("/")[0])
        holder.append(copy.deepcopy(find(resource, path)))

    return change


def valued(path: str, **value: Any) -> Change:
    """Give the extension at the path another value."""

    def change(resource: Json) -> None:
        extension = find(resource, path)
        url = extension["url"]
        extension.clear()
        extension.update(url=url, **copy.deepcopy(value))

    return change


def both(*changes: Change) -> Change:
    """Make several changes."""
    return lambda resource: [change(resource) for change in changes]
