"""A run's waits: begun with the hosts' clocks, and after a restart of the bot seen again by them.

What this process has seen from its beginning it knows by its own clock, which runs on evenly whatever is set; what it
has not, it asks the hosts for.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import assert_never

from bot.core.decisions.upnext import BeginWait, SeeWaited
from bot.core.hosts.fence import CLOCK, read_clock
from bot.core.hosts.inventory import Host
from bot.core.runs import events as fact
from bot.core.runs.events import Fact
from bot.core.runs.run import Run
from bot.core.runs.waited import waited
from bot.engine.ports import Ports
from bot.engine.runs.runlog import RunLog
from bot.errors import HostError

_ANSWERS_WITHIN = 5.0
"""Seconds that a host has to say what time it has."""


class Waiting:
    """The waits of one run."""

    def __init__(self, ports: Ports, runlog: RunLog) -> None:
        self._ports = ports
        self._runlog = runlog
        self._until: datetime | None = None

    def same_clock(self, run: Run) -> bool:
        """Whether the date of the wait at hand was made by this process, whose clock knows when it has come."""
        return run.until == self._until

    async def go_on(self, action: BeginWait | SeeWaited, run: Run) -> None:
        """Write down that the wait has begun, or what the hosts say of one that began before this process did.

        A host that does not answer at the beginning has no say later.
        """
        came: Fact
        match action:
            case BeginWait(step=step, until=until):
                came = fact.WaitBegan(step=step.name, until=until, clocks=await self._clocks(run))
            case SeeWaited():
                came = waited(run, await self._clocks_compared(run), self._ports.clock.now())
            case _:
                assert_never(action)
        if await self._runlog.record(came, only_after=run.last_decisive):
            self._until = self._runlog.run.until

    async def _clocks_compared(self, run: Run) -> dict[str, int]:
        """The clocks now; those that were read at the beginning are waited for, as a start may be everybody's."""
        timings, clock = self._ports.timings, self._ports.clock
        give_up = clock.now() + timings.patience
        while True:
            clocks = await self._clocks(run)
            enough = run.clocks.keys() & clocks.keys() if run.clocks else clocks
            if enough or clock.now() >= give_up or self._runlog.run.last_decisive != run.last_decisive:
                return clocks
            await clock.sleep(timings.look_again.total_seconds())

    async def _clocks(self, run: Run) -> dict[str, int]:
        """What time it is on every host of the run that says so soon, in seconds since 1970."""
        target = run.target
        asking = {
            asyncio.create_task(self._clock(host)): host.name for host in (*target.ring.directors, target.backend)
        }
        try:
            await asyncio.wait(asking, timeout=_ANSWERS_WITHIN)
        finally:
            for task in asking:
                task.cancel()
            answers = await asyncio.gather(*asking, return_exceptions=True)
        return {host: now for host, now in zip(asking.values(), answers, strict=True) if isinstance(now, int)}

    async def _clock(self, host: Host) -> int | None:
        try:
            return read_clock((await self._ports.hosts.run(host, CLOCK)).stdout)
        except HostError:
            return None
