"""Does several things at the same time, for as long as somebody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@asynccontextmanager
async def beside(*doing: Coroutine[Any, Any, T]) -> AsyncIterator[tuple[asyncio.Task[T], ...]]:
    """All of it as tasks, in that order; what has not ended by the end of the block is given up."""
    tasks = tuple(asyncio.create_task(one) for one in doing)
    try:
        yield tasks
    finally:
        await give_up(*tasks)


async def first_of(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> T | U:
    """What comes of whichever ends first; the other is given up."""
    first, second = asyncio.create_task(one), asyncio.create_task(other)
    try:
        await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        return await first if first.done() else await second
    finally:
        await give_up(first, second)


async def give_up(*tasks: asyncio.Future[Any]) -> None:
    """Nobody waits for them any more; returns when they have ended, whatever came of them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
