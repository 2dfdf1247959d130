"""Asks hosts within one look: the same command on the same host once, however many expectations want its answer.

It must not know what is asked, and keeps no answer beyond the look: what one look is told serves no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Host
from bot.engine.looks.beside import give_up

Ask = Callable[[Host, Command], Coroutine[Any, Any, Result]]


@asynccontextmanager
async def asking_once(ask: Ask) -> AsyncIterator[Ask]:
    """A way to ask while one look takes place; what nobody waits for any more when it ends is given up."""
    asked: dict[tuple[str, Command], asyncio.Task[Result]] = {}

    async def once(host: Host, command: Command) -> Result:
        key = (host.name, command)
        if key not in asked:
            asked[key] = asyncio.create_task(ask(host, command))
        # Not the task itself: one expectation may give up a host that another one still waits for.
        await asyncio.wait({asked[key]})
        return asked[key].result()

    try:
        yield once
    finally:
        await give_up(*asked.values())
