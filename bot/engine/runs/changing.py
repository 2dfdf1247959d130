"""Makes one change: judged in the look that precedes it, intent written first, sent in its fence, proved by looking.

Doubt is recorded as doubt. What is decided on a state is written only while the run is still in that state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import assert_never

from bot.core.decisions.conclude import CommandEnd, Conclusion, conclude, may_repeat, on_hosts
from bot.core.hosts.command import Result
from bot.core.hosts.identity import not_proved_to_be
from bot.core.hosts.inventory import Host
from bot.core.plans.effects import GUARD_REFUSED, Effect
from bot.core.plans.plan import Action, PlannedChange
from bot.core.plans.procedure import Where
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.engine.looks.beside import first_of
from bot.engine.looks.looking import OLD, Looking
from bot.engine.looks.observation import Observation, ran_of, ran_without_end, still_running, users_counted
from bot.engine.looks.sending import BESIDE, Sending
from bot.engine.ports import Ports
from bot.engine.runs.judging import Judging, Ready
from bot.engine.runs.lapses import forbidden
from bot.engine.runs.runlog import RunLog
from bot.errors import HostError, NotRun

EX_TEMPFAIL = 75
"""doveadm's answer to much: not done, or done and not confirmed. Only a look shows which."""

_DOUBTFUL = timedelta(seconds=3)
"""How long a director's answer in doubt is waited for: then another is asked, or the same again. Users may be waiting
for it, and all that is asked of directors may be repeated."""


class Changing:
    """The changes of one run.

    `deciding` is held from the moment a change of the ring is decided until that is recorded, by the watch until what
    it sets back is seen, a later flush apart: what was judged before that, or long ago, is judged again.
    """

    def __init__(
        self,
        ports: Ports,
        runlog: RunLog,
        looking: Looking,
        deciding: asyncio.Lock,
        set_ring_back: Callable[[], Awaitable[None]],
    ) -> None:
        self._ports = ports
        self._deciding = deciding
        self._runlog = runlog
        self._looking = looking
        self._sending = Sending(ports.hosts, ports.timings.not_after)
        self._judging = Judging(ports, runlog, looking, self._sending, set_ring_back)

    @property
    def _run(self) -> Run:
        return self._runlog.run

    async def make(self, step: PlannedChange, decided: Run, remark: str = "", against: str = "") -> None:
        """Find it done already, or do it; every way it can come out is recorded as a fact.

        `decided`: the run as it was when this was decided; `remark`: `word` of StepStarted; `against`: see MakeChange.
        """
        deviations = self._run.ring.deviations
        ready = await self._judging.judged(step, decided)
        if against:
            ready = forbidden(step, against, None if isinstance(ready, Ready) else ready)
        judged = self._ports.clock.now()
        async with self._deciding if step.where is not Where.BACKEND else nullcontext():
            # The watch may have kept it waiting: then what it was judged on is old.
            if self._run.ring.deviations != deviations or self._ports.clock.now() - judged >= OLD:
                return
            facts = self._begun(step, ready, remark) if isinstance(ready, Ready) else (ready,)
            # Where a person did something while this looked, it is asked again what is next.
            recorded = await self._runlog.record(*facts, only_after=decided.last_decisive)
        if recorded and isinstance(ready, Ready):
            await self._send(step, step.action, ready)

    def _begun(self, step: PlannedChange, ready: Ready, remark: str) -> tuple[fact.Fact, ...]:
        started = fact.StepStarted(
            step=step.name,
            attempt=self._run.attempt + 1,
            host=ready.host.name,
            command=step.action.command.text,
            looked=ready.before.ran,
            seen=ready.guarded,
            not_after=ready.fence.not_after,
            boot_id=ready.boot_id,
            word=remark,
        )
        # How long a flush may take depends on how many it moves, and many may have come since the last count.
        counted = users_counted(self._run, ready.before.seen) if Effect.FLUSH in step.does else ()
        return (*counted, started)

    async def found(self, step: PlannedChange, decided: Run) -> bool:
        """Whether it is done already; then that is recorded. Not where it gives users: that has guards of its own."""
        if not step.action.done_when or Effect.RESTORE in step.does:
            return False
        observation = await self._looking.until(_known, step.action.done_when, self._ports.timings.patience)
        if observation.verdict.holds and step.action.steady:
            observation = await self._looking.until_seen(step.action.done_when, timedelta(0), step.action.steady)
        if observation.verdict.holds:
            done = await self._judging.done(step, fact.How.FOUND, observation, ())
            await self._runlog.record(done, only_after=decided.last_decisive)
        return observation.verdict.holds is True

    # sending

    async def _send(self, step: PlannedChange, action: Action, ready: Ready) -> None:
        deviations = self._run.ring.deviations
        sent = self._ports.hosts.run(ready.host, action.command, material=ready.material, fence=ready.fence)
        try:
            if step.where is Where.BACKEND:
                result = await sent
            else:
                # Where another director hangs, a command takes effect at once and returns after half a minute.
                answer = await first_of(sent, self._seen_beside(step, action))
                if isinstance(answer, Observation):
                    await self._seen_first(step, action, ready.host, answer)
                    return
                result = answer
        except NotRun as error:
            commands = (ran_without_end(ready.host, action.command, error, changes=True),)
            came = await self._conclude(step, CommandEnd.NEVER_RAN, None, commands, reason=str(error))
            if came is Conclusion.AGAIN:
                await self._ports.clock.sleep(self._ports.timings.look_again.total_seconds())
        except HostError as error:
            commands = (ran_without_end(ready.host, action.command, error, changes=True),)
            await self._conclude(step, CommandEnd.NOT_HEARD, None, commands, reason=str(error))
        else:
            await self._judge(step, action, result, deviations)

    async def _seen_first(self, step: PlannedChange, action: Action, host: Host, observation: Observation) -> None:
        """It was looked whether it is done, while its director did not answer."""
        commands = (still_running(host, action.command),)
        reason = f"{host.name} does not answer; looked beside it: {observation.verdict.reason}"
        await self._conclude(step, CommandEnd.NOT_HEARD, observation, commands, reason=reason)

    async def _seen_beside(self, step: PlannedChange, action: Action) -> Observation:
        await asyncio.sleep(BESIDE.total_seconds())
        patience = max(self._until_repeated(step, action), action.command.timeout * (not self._may_repeat(step)))
        return await self._looking.until_seen(action.done_when, patience, action.steady)

    # proving

    async def _judge(self, step: PlannedChange, action: Action, result: Result, deviations: int) -> None:
        """`deviations`: how many there were when it was sent."""
        commands = (ran_of(result, changes=True),)
        # A command that failed is not waited for; one that exits with 0, or 75, may still come true.
        waited = {0: self._within(action), EX_TEMPFAIL: self._until_repeated(step, action)}
        patience = waited.get(result.exit_status, timedelta(0))
        end = {0: CommandEnd.EXIT_0, EX_TEMPFAIL: CommandEnd.EXIT_75}.get(result.exit_status, CommandEnd.OTHER_EXIT)
        if end is CommandEnd.EXIT_0 and not action.done_when:
            await self._conclude(step, end, None, commands, reason="exit 0, and nothing more can be read of it")
            return

        def forgotten() -> bool:
            return step.where is not Where.BACKEND and self._run.ring.deviations > deviations

        observation = await self._looking.until_seen(action.done_when, patience, action.steady, forgotten)
        found = observation.verdict.reason
        again = f"exit {result.exit_status}; looked up: {found}"
        if end is CommandEnd.EXIT_0 and forgotten():
            end = CommandEnd.FORGOTTEN
            again = f"exit 0, and the directors have forgotten since; looked up: {found}"
        await self._conclude(step, end, observation, commands, reason=f"{_exit_in_words(result)}; {found}", again=again)

    async def look_up(self, step: PlannedChange) -> None:
        """What came of a change in doubt: done, to be repeated, or for a person to say."""
        exited = self._run.exited
        observation, over = await self._until_over(step, step.action)
        found = observation.verdict.reason
        backend = self._run.target.backend.name
        may_run = "" if over else f", and it may still run there: see at the console of {backend}"
        what = (
            "it is not known whether it was done"
            if exited is None
            else f"exit {exited}, and it was not seen to be done"
        )
        unknown = f"{what}{may_run}; looked up: {found}"
        end = CommandEnd.OVER if over else CommandEnd.MAY_RUN
        await self._conclude(step, end, observation, (), reason=unknown, again=f"looked up: {found}")

    async def _conclude(
        self,
        step: PlannedChange,
        end: CommandEnd,
        looked: Observation | None,
        commands: tuple[fact.Ran, ...],
        *,
        reason: str,
        again: str = "",
    ) -> Conclusion:
        """Record what the change comes to. `looked`: at whether it is done, None where that was not looked at.

        `reason`: why it is in doubt, for a person, or done where nothing can be seen; `again`: why it may be sent
        again, where that says it better.
        """
        seen, ran = (looked.seen, (*commands, *looked.ran)) if looked else ((), commands)
        seen_there = on_hosts(looked.verdict.holds if looked else None, visible=bool(step.action.done_when))
        came = conclude(end, seen_there, repeatable=step.repeatable, attempt=self._run.attempt)
        recorded: fact.Fact
        counted = users_counted(self._run, looked.seen) if looked and Effect.FLUSH in step.does else ()
        match came:
            case Conclusion.DONE:
                how = fact.How.LOOKED_UP if end in {CommandEnd.OVER, CommandEnd.MAY_RUN} else fact.How.RAN
                if looked:
                    recorded = await self._judging.done(step, how, looked, commands)
                else:
                    recorded = fact.StepDone(step=step.name, how=how, ran=commands, reason=reason)
            case Conclusion.AGAIN:
                recorded = fact.StepNotDone(step=step.name, reason=again or reason, ran=ran, seen=seen)
            case Conclusion.DOUBT:
                recorded = fact.StepUnclear(step=step.name, reason=reason, ran=commands)
            case Conclusion.FAILED:
                recorded = fact.StepFailed(step=step.name, reason=reason, ran=ran, seen=seen)
            case _:
                assert_never(came)
        await self._runlog.record(*counted, recorded)
        return came

    async def _until_over(self, step: PlannedChange, action: Action) -> tuple[Observation, bool]:
        """A look at what came of it, and whether nothing of it can come any more, waited for as long as it may take.

        On a director the same command may be sent beside one that hangs; on the backend it has to be over.
        """
        timings, clock = self._ports.timings, self._ports.clock
        if step.where is not Where.BACKEND or self._run.exited is not None:
            patience = self._until_repeated(step, action)
            give_up = clock.now() + timings.patience_with(self._run)
            observation = await self._looking.until_seen(action.done_when, patience, action.steady)
            if observation.verdict.holds is None:
                observation = await self._looking.until(_known, action.done_when, give_up - clock.now())
                if observation.verdict.holds is not None:
                    observation = await self._looking.until_seen(action.done_when, patience, action.steady)
            return observation, True
        # It may begin as late as its fence lets it, and then take its time.
        may_take = timings.not_after + max(action.command.timeout, action.within)
        heard = clock.now()
        give_up = heard + may_take
        within = action.command.timeout if action.guarded else action.within
        while True:
            over = await self._over(self._run)
            observation = await self._looking.until_seen(action.done_when, within)
            now = clock.now()
            heard = heard if over is None else now
            silent = self._run.users_wait and now - heard >= timings.silence
            if observation.verdict.holds or over or silent or now >= give_up:
                return observation, over is True
            within = timedelta(seconds=1)

    async def _over(self, run: Run) -> bool | None:
        """Whether the last command that was sent to the backend has ended, and none can begin any more.

        None where the backend does not say.
        """
        backend = run.target.backend
        try:
            identity = await self._ports.hosts.identity(backend)
            if not_proved_to_be(backend, identity):
                return None
            lock = run.proved.lock if run.proved else ""
            return await self._sending.over(backend, run.not_after.get(backend.name, 0), lock)
        except HostError:
            return None

    def _until_repeated(self, step: PlannedChange, action: Action) -> timedelta:
        """Not long where it will be sent again; the last time, as long as it takes."""
        within = self._within(action)
        return min(within, _DOUBTFUL) if self._may_repeat(step) else within

    def _within(self, action: Action) -> timedelta:
        return action.patience(max(self._run.ring.users.values(), default=0))

    def _may_repeat(self, step: PlannedChange) -> bool:
        return may_repeat(repeatable=step.repeatable, attempt=self._run.attempt)


def _known(observation: Observation) -> bool:
    return observation.verdict.holds is not None


def _exit_in_words(result: Result) -> str:
    if result.exit_status == GUARD_REFUSED:
        return "refused on the host, as dovecot is not stopped there; nothing was deleted"
    if result.exit_status == 0:
        return "exit 0, but it was not seen to be done"
    return f"exit {result.exit_status}" + (f", {result.complaint}" if result.complaint else "")
