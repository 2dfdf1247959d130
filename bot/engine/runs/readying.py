"""Readies one change for being sent: who its host is, that nothing of before may still come, its fence, what it brings.

Whether it may be made is judged elsewhere (judging.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from bot.core.decisions.guards import is_itself, standing_configuration
from bot.core.hosts.command import Result
from bot.core.hosts.fence import Fence
from bot.core.hosts.identity import Identity
from bot.core.hosts.inventory import Backend, Host
from bot.core.plans.effects import Effect
from bot.core.plans.plan import Action, PlannedChange
from bot.core.plans.procedure import Where
from bot.core.plans.proposal import Proposal
from bot.core.runs.run import Run
from bot.core.text.dates import stamp
from bot.engine.looks.looking import Looking
from bot.engine.looks.observation import Observation, hosts_for
from bot.engine.looks.sending import Early, Sending
from bot.engine.ports import Ports
from bot.engine.runs.runlog import RunLog
from bot.errors import HostError, NotRun, StillRuns


class Readying:
    """Readies the changes of one run."""

    def __init__(self, ports: Ports, runlog: RunLog, looking: Looking, sending: Sending) -> None:
        self._ports = ports
        self._runlog = runlog
        self._looking = looking
        self._sending = sending

    @property
    def _run(self) -> Run:
        return self._runlog.run

    async def identity(self, backend: Backend, give_up: datetime) -> Identity:
        """Who the backend answered that it is; one that is away is waited for until then. Raises NotRun."""
        while True:
            try:
                return await self._ports.hosts.identity(backend)
            except NotRun:
                if self._ports.clock.now() >= give_up:
                    raise
                await self._ports.clock.sleep(self._ports.timings.look_again.total_seconds())

    def host(self, step: PlannedChange, observation: Observation) -> Host | None:
        """The host to do it on: one of the directors that just answered who they are."""
        hosts = hosts_for(self._run.target, step.where)
        if step.where is not Where.BACKEND:
            hosts = tuple(host for host in hosts if is_itself(self._run, host.name, observation.seen))
        return self._at_this_attempt(self._looking.there(hosts)) if hosts else None

    def meant(self, step: PlannedChange) -> Host:
        """The host that it will be done on if all that are not known to be away prove who they are."""
        return self._at_this_attempt(self._looking.there(hosts_for(self._run.target, step.where)))

    def _at_this_attempt(self, hosts: Sequence[Host]) -> Host:
        """Another one at every attempt."""
        return hosts[self._run.attempt % len(hosts)]

    async def fence(self, host: Host, connection: str, action: Action, early: Early) -> Fence | None:
        """The fence; None where something of before has just ended there. Raises StillRuns where it has not, NotRun."""
        lock = self._run.proved.lock if self._run.proved else ""
        give_up = self._ports.clock.now() + action.command.timeout
        waited = False
        asks: Callable[[Host], Awaitable[Result]] = partial(early.answer, connection=connection)
        while True:
            try:
                fence = self._sending.fence(host, connection, lock, await asks(host))
            except StillRuns:
                asks = self._sending.asked
                if self._ports.clock.now() >= give_up:
                    raise
                waited = True
                await self._ports.clock.sleep(self._ports.timings.look_again.total_seconds())
            else:
                return None if waited else fence

    def asks_early(self, host: Host) -> Early:
        """Ask now what its fence will be made of."""
        return Early(self._sending, self._ports.clock, host)

    def unsettled(self, action: Action) -> bool:
        """Whether it gives users back while commands that take them away may still come."""
        return Effect.RESTORE in action.does and bool(self._run.ring.unheard)

    async def settled(self) -> None:
        """Wait until nothing that takes users away may still come; raises NotRun when it may."""
        timings, clock = self._ports.timings, self._ports.clock
        last: dict[str, int] = {}
        for name, not_after in self._run.ring.unheard:
            last[name] = max(not_after, last.get(name, 0))
        for name, not_after in last.items():
            host = self._run.target.host(name)
            give_up = clock.now() + 2 * timings.not_after + timings.patience
            while why := await self._may_still_come(host, not_after):
                if clock.now() >= give_up:
                    raise NotRun(why)
                await clock.sleep(timings.look_again.total_seconds())

    async def _may_still_come(self, host: Host, not_after: int) -> str:
        """Why, and what to do; empty where the director has answered a look that began long enough after that."""
        by_hand = "put it back by hand on another director and click Retry at once; or take over"
        silent = (
            f"{host.name} may still carry out what was sent to it before, whose end was not heard. What to do: see"
            f" that its director answers, then click Retry; or {by_hand}"
        )
        try:
            now, until = await self._sending.clock(host), self._sending.carried_out_until(not_after)
        except HostError:
            return silent
        if now < until:  # where that lasts, no clock that runs on says so
            return (
                f"{host.name} may still carry out what was sent to it before, whose end was not heard, until its clock"
                f" says {_date(until)}; it says {_date(now)}, so it was set back. What to do: if it is wrong now, set"
                f" it right and click Retry; if not, {by_hand}"
            )
        return "" if await self._looking.answers(host) else silent

    async def material(self, action: Action) -> bytes:
        """What its command reads: the configuration that it brings, or nothing; raises NotRun."""
        asked = self._run.request
        if action.command.sends is None:
            return b""
        assert asked.config is not None
        assert asked.plan.config_digest is not None
        proposal = Proposal(name=asked.config, digest=asked.plan.config_digest)
        return await self._ports.proposals.archive(proposal, await self._like(action))

    async def _like(self, action: Action) -> str | None:
        """The configuration in place, for a command that gives what it brings the same owners; raises NotRun."""
        if not action.sets_owners:
            return None
        observation = await self._looking.until_seen(standing_configuration(), self._ports.timings.patience)
        if not observation.verdict.holds:
            raise NotRun(f"it cannot be seen whose the configuration in place is: {observation.verdict.reason}")
        return observation.remembered({"in_place": "listing"})["in_place"]


def _date(seconds: int) -> str:
    try:
        return stamp(datetime.fromtimestamp(seconds, UTC))
    except ValueError:  # behind the year 9999
        return f"{seconds} s after 1970"
