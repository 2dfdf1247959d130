"""Asks hosts within one look: the same command on the same host once, however many expectations want its answer.

It must not know what is asked, and keeps no answer beyond the look: an answer to one look serves no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Host
from bot.engine.looks.beside import give_up
from bot.engine.ports import Clock
from bot.errors import NotRun

AskHost = Callable[[Host, Command], Coroutine[Any, Any, Result]]


_Key = tuple[str, Command]


class TimedAnswers:
    """The answers of one look, each with the time at which it came.

    What takes long is asked again together with all else, each so much later that all answers come at the same time:
    else those of two slow questions would never be young together.
    """

    def __init__(self, ask: AskHost, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._asked: dict[_Key, asyncio.Task[Result]] = {}
        self._came: dict[_Key, datetime] = {}
        self._took: dict[_Key, timedelta] = {}
        self._longest = timedelta(0)
        self._heard = clock.now()

    async def ask(self, host: Host, command: Command) -> Result:
        """Ask it, or wait for whoever has asked it already."""
        key = (host.name, command)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._timed(key, host))
        # Not the task itself: one expectation may give up a host that another one still waits for.
        try:
            await asyncio.wait({self._asked[key]})
        except asyncio.CancelledError:
            self._heard = self._clock.now()  # given up
            raise
        return self._asked[key].result()

    async def _timed(self, key: _Key, host: Host) -> Result:
        later = self._longest - self._took.get(key, self._longest)
        if later > timedelta(0):
            await self._clock.sleep(later.total_seconds())
        began = self._clock.now()
        try:
            result = await self._ask(host, key[1])
        finally:
            self._heard = self._clock.now()
        self._came[key] = self._heard
        self._took[key] = self._heard - began
        return result

    def forget(self, old: timedelta) -> bool:
        """Forget what came so long ago, to be asked again; whether there was any.

        To be called once nothing is waited for any more: what failed or was given up makes the others old, too.
        """
        found = self._older(old)
        if any(self._took[key] >= old for key in found):
            found = list(self._came)
        self._longest = max((self._took[key] for key in found), default=timedelta(0))
        for key in found:
            del self._came[key], self._asked[key]
        return bool(found)

    def refuse(self, old: timedelta) -> bool:
        """Let what came so long ago count as not read; whether there was any. To be called as `forget` is."""
        found = self._older(old)
        for key in found:
            del self._came[key]
            self._asked[key] = asyncio.create_task(_refused(key[0]))
        return bool(found)

    def _older(self, old: timedelta) -> list[_Key]:
        """By when they came: reading them takes its time, and would make them old together, however often asked."""
        return [key for key, came in self._came.items() if self._heard - came >= old]

    async def close(self) -> None:
        """What nobody waits for any more is given up."""
        await give_up(*self._asked.values())


async def _refused(host: str) -> Result:
    raise NotRun(f"{host}: it answered long before others did, again and again; what it said may not be so any more")


@asynccontextmanager
async def asking_once(ask: AskHost, clock: Clock) -> AsyncIterator[TimedAnswers]:
    """A way to ask while one look takes place."""
    answers = TimedAnswers(ask, clock)
    try:
        yield answers
    finally:
        await answers.close()
