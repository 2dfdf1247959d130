"""Sends what sets the ring back, to the director that says otherwise than the run left it, and sees what came of it.

It says to which one; what is sent, and whether it may be, the watch says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.core.decisions.guards import is_itself, own_row
from bot.core.hosts.command import Result
from bot.core.hosts.fence import Fence
from bot.core.hosts.inventory import Host
from bot.core.plans.effects import Effect
from bot.core.plans.plan import Action, Expected, PlannedChange
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.watching import RingSeen, another_director, heard_all, nameless, nowhere_to_go, to_be_sent_to
from bot.engine.looks.beside import first_of
from bot.engine.looks.looking import Looking
from bot.engine.looks.observation import Observation, ran_of, ran_without_end, still_running
from bot.engine.looks.sending import BESIDE, Sending
from bot.engine.ports import Ports
from bot.engine.runs.runlog import RunLog
from bot.errors import HostError, NotRun

_PATIENCE = timedelta(seconds=5)


class TooLate(NotRun):
    """The director took so long to say what time it has that what was seen before is old."""


@dataclass(frozen=True, kw_only=True)
class _Moving:
    """A flush that was sent. `until`: how long it may take; `resting`: how long none of its `users` need leave."""

    until: datetime
    resting: datetime
    users: int


class SettingBack:
    """One run's."""

    def __init__(self, ports: Ports, runlog: RunLog, looking: Looking) -> None:
        self._ports = ports
        self._runlog = runlog
        self._looking = looking
        self._sending = Sending(ports.hosts, ports.timings.not_after)
        self._moving: _Moving | None = None

    async def fence(
        self, host: Host, observation: Observation, oldest: timedelta, *, last: bool = False
    ) -> Fence | HostError:
        """One for all commands of a deviation, so that until when they may begin is written before any is sent.

        `oldest`: how old the observation may be by then; raises TooLate where it is older, but the `last` time.
        """
        asked = self._ports.clock.now()
        try:
            answer = await self._sending.asked(host)
            if self._ports.clock.now() - asked < oldest:
                return self._sending.fence(host, observation.connections.get(host.name, ""), "", answer)
        except HostError as error:
            return error
        late = TooLate(f"{host.name} takes {oldest.total_seconds():g} s to say what time it has; nothing was sent.")
        if last:
            return late
        raise late

    async def send(self, step: PlannedChange, host: Host, fence: Fence | HostError, users: int) -> None:
        """To the very director that answers otherwise: the others have nothing to send it. `users`: how many it moves,
        if that is what it does.
        """
        if not step.does & self._runlog.run.enforced:
            return  # since this was judged somebody has taken over: nobody is to fight that
        action, began = step.action, self._ports.clock.now()
        try:
            if not isinstance(fence, Fence):
                raise fence
            # Where another director hangs, a command takes effect at once and returns after half a minute.
            came = await first_of(self._ports.hosts.run(host, action.command, fence=fence), self._seen_beside(action))
            sent = ran_of(came, changes=True) if isinstance(came, Result) else still_running(host, action.command)
            if not sent.exit_status and Effect.FLUSH in step.does:
                until = began + action.patience(users)
                # Where its end was not heard, it may lie in a director that hangs, and move nobody.
                unheard = sent.exit_status is None
                resting = min(until, began + self._ports.timings.watch_every) if unheard else until
                self._moving = _Moving(until=until, resting=resting, users=users)
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

    def still_moves(self, users: int) -> bool:
        """Whether the users who are mapped become fewer by a flush of the watch, which may take as long as any."""
        if (moving := self._moving) is None:
            return False
        now = self._ports.clock.now()
        moves = now < moving.until and (users < moving.users or (users == moving.users and now < moving.resting))
        self._moving = replace(moving, users=users) if moves else None
        return moves

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


def set_back_on(run: Run, ring: RingSeen, observation: Observation) -> tuple[str, str]:
    """The director on which it is set back, and why that cannot be, empty when it can: users must have somewhere to go,
    and nothing is sent to another director than the one that is meant.
    """
    first, *_ = given = to_be_sent_to(ring)
    host = next((one for one in given if is_itself(run, one, observation.seen)), "")
    stranger = next((one for one in given if own_row(one, observation.seen) is not None), "")
    if not ring.usable_others:
        return host or first, nowhere_to_go(run, ring)
    if host:
        return host, ""
    return stranger or first, another_director(stranger) if stranger else nameless(first)


def is_known(run: Run, ring: RingSeen, observation: Observation) -> bool:
    """Whether one of the directors that give users proves to be itself, or none does and each says which one it is."""
    given = to_be_sent_to(ring)
    own = [own_row(host, observation.seen) is not None for host in given]
    return all(own) or any(is_itself(run, host, observation.seen) for host in given)
