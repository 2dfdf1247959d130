"""Sends what sets the ring back, to the director that says otherwise than the run left it, and sees what came of it.

It decides nothing: what is sent, and whether it may be, the watch says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from bot.core.hosts.command import Result
from bot.core.hosts.fence import Fence
from bot.core.hosts.inventory import Host
from bot.core.plans.effects import Effect
from bot.core.plans.plan import Action, Expected, PlannedChange
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.watching import heard_all
from bot.engine.looks.beside import first_of
from bot.engine.looks.looking import Looking
from bot.engine.looks.observation import Observation, ran_of, ran_without_end, still_running
from bot.engine.looks.sending import BESIDE, Sending
from bot.engine.ports import Ports
from bot.engine.runs.runlog import RunLog
from bot.errors import HostError

_PATIENCE = timedelta(seconds=5)


class SettingBack:
    """One run's."""

    def __init__(self, ports: Ports, runlog: RunLog, looking: Looking) -> None:
        self._ports = ports
        self._runlog = runlog
        self._looking = looking
        self._sending = Sending(ports.hosts, ports.timings.not_after)

    async def fence(self, host: Host, observation: Observation) -> Fence | HostError:
        """One for all commands of a deviation, so that until when they may begin is written before any is sent."""
        try:
            answer = await self._sending.asked(host)
            return self._sending.fence(host, observation.connections.get(host.name, ""), "", answer)
        except HostError as error:
            return error

    async def send(self, step: PlannedChange, host: Host, fence: Fence | HostError) -> bool:
        """To the very director that answers otherwise: the others have nothing to send it. Whether it has begun there,
        as far as is known.
        """
        if not step.does & self._runlog.run.enforced:
            return False  # since this was judged somebody has taken over: nobody is to fight that
        action, begun = step.action, False
        try:
            if not isinstance(fence, Fence):
                raise fence
            # Where another director hangs, a command takes effect at once and returns after half a minute.
            came = await first_of(self._ports.hosts.run(host, action.command, fence=fence), self._seen_beside(action))
            sent = ran_of(came, changes=True) if isinstance(came, Result) else still_running(host, action.command)
            begun = not sent.exit_status
            after = came if isinstance(came, Observation) else await self._seen_as_asked(action, _PATIENCE)
        except HostError as error:
            sent = ran_without_end(host, action.command, error, changes=True)
            after = await self._seen_as_asked(action, timedelta(0))
        set_back = fact.RingSetBack(
            step=step.name,
            holds=after.verdict.holds is True and heard_all(self._runlog.run, after.seen),
            reason=after.verdict.reason,
            not_after=fence.not_after if isinstance(fence, Fence) else 0,
            ran=(sent, *after.ran),
            seen=after.seen,
        )
        await self._runlog.record(set_back)
        return begun

    async def _seen_beside(self, action: Action) -> Observation:
        await asyncio.sleep(BESIDE.total_seconds())
        return await self._seen_as_asked(action, _PATIENCE)

    async def _seen_as_asked(self, action: Action, patience: timedelta) -> Observation:
        """Not long: the run's own changes wait meanwhile."""
        asked = _still_asked(self._runlog.run, action.done_when)
        return await self._looking.until_seen(asked, min(action.within, patience))


def _still_asked(run: Run, done_when: Sequence[Expected]) -> list[Expected]:
    """What shows that it is set back: not the vhosts, once this run has begun to give them."""
    if Effect.TAKES_VHOSTS not in run.ring.given_back:
        return list(done_when)
    return [replace(one, asks={name: at for name, at in one.asks.items() if name != "vhosts"}) for one in done_when]
