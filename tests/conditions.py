"""How do tests wait for what takes real time? On the condition itself, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from services.clock import SystemClock

T = TypeVar("T")
_GLANCE = 0.01


@overload
async def eventually(condition: Callable[[], Awaitable[T]], *, within: float = ..., what: str = ...) -> T: ...
@overload
async def eventually(condition: Callable[[], T], *, within: float = ..., what: str = ...) -> T: ...
async def eventually(
    condition: Callable[[], Any], *, within: float = 10.0, what: str = "the condition"
) -> Any:
    """Return what the condition returns once that is true; an `AssertionError` in it means "not yet".

    Raises:
        AssertionError: it was not true within that many seconds; names `what`, and what was found last.
    """
    clock = SystemClock()
    end = clock.monotonic() + within
    while True:
        failure: AssertionError | None = None
        found: object = None
        try:
            answer = condition()
            found = value = await answer if inspect.isawaitable(answer) else answer
            if value:
                return value
        except AssertionError as error:
            failure = error
        if clock.monotonic() >= end:
            last = failure if failure is not None else repr(found)
            raise AssertionError(f"{what} did not hold within {within:g} s; last: {last}") from failure
        await asyncio.sleep(_GLANCE)  # noqa: TID251  # the one real wait of the tests: between two looks
