"""Makes one change: intent written first, then the command, then the look that proves it. Doubt is told as doubt."""

from __future__ import annotations

from datetime import timedelta

from bot.core import events as fact
from bot.core.command import Result
from bot.core.hide import hide
from bot.core.inventory import Host
from bot.core.plan import GUARD_REFUSED, Action, PlannedStep, is_guarded
from bot.core.procedure import Where
from bot.core.proposal import Proposal
from bot.core.upnext import ATTEMPTS
from bot.engine.ledger import Ledger
from bot.engine.looking import Looking, Sight, hosts_for, ran, unheard
from bot.engine.ports import World
from bot.errors import HostError, NotRun, Refused

EX_TEMPFAIL = 75
"""doveadm's answer to much: not done, or done and not confirmed. Only a look tells."""

_DOUBTFUL = timedelta(seconds=3)
"""How long a director's answer in doubt is waited for: then another is asked, or the same again. Users may be waiting
for it, and all that is asked of directors may be repeated."""

_AWAY = timedelta(seconds=15)
"""How long a host may be away before a change: nobody need be called for one that is just being restarted."""


class Changing:
    """The changes of one run."""

    def __init__(self, world: World, ledger: Ledger, looking: Looking) -> None:
        self._world = world
        self._ledger = ledger
        self._looking = looking

    async def make(self, step: PlannedStep) -> None:
        """Find it done already, or do it; every way it can come out is told as a fact."""
        assert step.action is not None
        seq = self._ledger.run.seq
        before = await self._looking.until_known(step.action.done_when, _AWAY)
        if before.judgement.holds:
            await self._done(step, fact.How.FOUND, before, ())
            return
        if before.judgement.holds is None:
            reason = f"not begun, as it cannot be seen whether it is done: {before.judgement.reason}"
            await self._ledger.tell(fact.StepFailed(step=step.name, reason=reason, ran=before.ran, seen=before.seen))
            return
        host = self._host(step, before)
        attempt = self._ledger.run.attempt + 1
        text = step.action.command.text
        started = fact.StepStarted(step=step.name, attempt=attempt, host=host.name, command=text, looked=before.ran)
        if not await self._ledger.tell(started, only_after=seq):
            return  # somebody said something while this looked: ask again what is next
        await self._send(step, step.action, host)

    def _host(self, step: PlannedStep, seen: Sight) -> Host:
        """The host to do it on: of the directors that just answered if there are any, another one at every attempt."""
        assert step.where is not None
        hosts = hosts_for(self._ledger.run.request.target, step.where)
        answered = {one.host for one in seen.seen if one.reading is not None}
        there = [host for host in hosts if host.name in answered] or list(hosts)
        return there[self._ledger.run.attempt % len(there)]

    async def _send(self, step: PlannedStep, action: Action, host: Host) -> None:
        try:
            result = await self._world.hosts.run(host, action.command, material=await self._material(action))
        except Refused as error:
            await self._ledger.tell(fact.StepFailed(step=step.name, reason=f"not begun: {error}"))
        except NotRun as error:
            await self._never_ran(step, action, host, error)
        except HostError as error:
            told = (unheard(host, action.command, error, changes=True),)
            await self._ledger.tell(fact.StepUnclear(step=step.name, reason=str(error), ran=told))
        else:
            await self._judge(step, action, result)

    async def _material(self, action: Action) -> bytes:
        asked = self._ledger.run.request
        if action.command.sends is None:
            return b""
        assert asked.config is not None
        assert asked.plan.config_digest is not None
        return await self._world.proposals.archive(Proposal(name=asked.config, digest=asked.plan.config_digest))

    async def _never_ran(self, step: PlannedStep, action: Action, host: Host, error: NotRun) -> None:
        told = (unheard(host, action.command, error, changes=True),)
        if self._ledger.run.attempt < ATTEMPTS:
            await self._ledger.tell(fact.StepNotDone(step=step.name, reason=str(error), ran=told))
            await self._world.clock.sleep(self._world.timings.look_again.total_seconds())
        else:
            await self._ledger.tell(fact.StepFailed(step=step.name, reason=str(error), ran=told))

    async def _judge(self, step: PlannedStep, action: Action, result: Result) -> None:
        told = (ran(result, changes=True),)
        # A command that says it failed is not waited for; one that says yes, or 75, may still come true.
        waited = {0: action.within, EX_TEMPFAIL: self._until_repeated(step, action)}
        patience = waited.get(result.exit_status, timedelta(0))
        sight = await self._looking.until_seen(action.done_when, patience)
        if sight.judgement.holds:
            await self._done(step, fact.How.RAN, sight, told)
        elif result.exit_status == EX_TEMPFAIL and sight.judgement.holds is False and self._may_repeat(step):
            reason = f"exit {EX_TEMPFAIL}; looked up: {sight.judgement.reason}"
            again = fact.StepNotDone(step=step.name, reason=reason, ran=(*told, *sight.ran), seen=sight.seen)
            await self._ledger.tell(again)
        else:
            reason = f"{_said(result)}; {sight.judgement.reason}"
            failed = fact.StepFailed(step=step.name, reason=reason, ran=(*told, *sight.ran), seen=sight.seen)
            await self._ledger.tell(failed)

    async def look_up(self, step: PlannedStep) -> None:
        """What came of a change in doubt: done, to be repeated, or for a person to say."""
        assert step.action is not None
        sight = await self._looking.until_seen(step.action.done_when, self._in_doubt(step, step.action))
        if sight.judgement.holds:
            await self._done(step, fact.How.LOOKED_UP, sight, ())
        elif sight.judgement.holds is False and self._may_repeat(step):
            reason = f"looked up: {sight.judgement.reason}"
            await self._ledger.tell(
                fact.StepNotDone(step=step.name, reason=reason, ran=sight.ran, seen=sight.seen),
            )
        else:
            reason = f"it is not known whether it was done: {sight.judgement.reason}"
            await self._ledger.tell(fact.StepFailed(step=step.name, reason=reason, ran=sight.ran, seen=sight.seen))

    def _in_doubt(self, step: PlannedStep, action: Action) -> timedelta:
        """How long it is looked for; a backend's command may still be running there, and is given its time."""
        if is_guarded(action.command.text):
            return action.command.timeout  # nothing may start dovecot while it is still deleting
        return action.within if step.where is Where.BACKEND else self._until_repeated(step, action)

    def _until_repeated(self, step: PlannedStep, action: Action) -> timedelta:
        """Not long where it will be sent again; the last time, as long as it takes."""
        return min(action.within, _DOUBTFUL) if self._may_repeat(step) else action.within

    def _may_repeat(self, step: PlannedStep) -> bool:
        return step.repeatable and self._ledger.run.attempt < ATTEMPTS

    async def _done(self, step: PlannedStep, how: fact.How, sight: Sight, told: tuple[fact.Ran, ...]) -> None:
        await self._ledger.tell(
            fact.StepDone(
                step=step.name,
                how=how,
                ran=(*told, *sight.ran),
                seen=sight.seen,
                reason=sight.judgement.reason,
            )
        )


def _said(result: Result) -> str:
    if result.exit_status == GUARD_REFUSED:
        return "refused on the host, as dovecot is not stopped there; nothing was deleted"
    if result.exit_status == 0:
        return "the command said yes, but it is not to be seen"
    lines = (result.stderr or result.stdout).strip().splitlines()
    return f"exit {result.exit_status}" + (f", {hide(lines[-1])[:300]}" if lines else "")
