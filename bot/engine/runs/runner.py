"""One run's loop: asks the core what is next, does it through the ports, and records what came of it.

It knows no Slack, SSH or database. A change is recorded before its host hears of it, and counts as done only when that
was seen.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from bot.core.decisions import upnext
from bot.core.decisions.goback import going_back, started_first
from bot.core.plans.laws import Rules, check_rules
from bot.core.plans.observed import expected_of
from bot.core.plans.plan import PlannedChange, PlannedCheck, PlannedWait
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.looks.beside import beside, give_up
from bot.engine.looks.checking import came_of, seen
from bot.engine.looks.looking import Looking
from bot.engine.looks.observation import Observation, users_counted
from bot.engine.looks.proving import prove
from bot.engine.ports import Ports
from bot.engine.runs.approving import Approvals
from bot.engine.runs.changing import Changing
from bot.engine.runs.runlog import RunLog, fields
from bot.engine.runs.waiting import Waiting
from bot.engine.runs.watch import Watch
from bot.errors import Illegal, JournalError, Misconfigured, Refused, RingClaimed

log = logging.getLogger(__name__)

_AGAIN = timedelta(seconds=30)
_LOOK_AT_LEAST_EVERY = timedelta(seconds=60)

_BY_HAND = (
    "What to do: take over, and undo by hand what was done, as the rule allows it. Where the rule is what is wrong,"
    " correct it, start the bot anew, and go back again"
)


class Runner:
    """Brings one run forward, as far as it can go, at every wake."""

    def __init__(self, ports: Ports, runlog: RunLog, rules: Rules) -> None:
        self._ports = ports
        self._runlog = runlog
        self._rules = rules
        self._look = Looking(ports.hosts, ports.clock, ports.timings, runlog.run.target)
        self._look.expect(runlog.run.proved.directors if runlog.run.proved else {})
        deciding = asyncio.Lock()
        self._watch = Watch(ports, runlog, self._look, deciding, self.wake)
        self._changing = Changing(ports, runlog, self._look, deciding, self._watch.check_ring)
        self._approvals = Approvals(ports, runlog, self._look)
        self._waiting = Waiting(ports, runlog)
        self._woken = asyncio.Event()
        self._leaving = False
        self._asked: Entry | None = None

    def wake(self) -> None:
        """Something happened, or it is time: look at the run again."""
        self._woken.set()

    def leave(self) -> None:
        """Finish what is under way, then stop; the run goes on when the bot is started again."""
        self._leaving = True
        self.wake()

    async def drive(self) -> None:
        """Until the run has ended, or the bot leaves."""
        await self._watch.look_first()
        watching = asyncio.create_task(self._watch.keep(), name=f"watch {self._runlog.run.id}")
        try:
            while not self._over():
                self._woken.clear()
                await self._go_on_if_written()
                if not self._over():
                    await self._rest()
        finally:
            await give_up(watching)
            self._ports.alarms.clear(self._runlog.run.id)

    async def _go_on_if_written(self) -> None:
        try:
            await self._go_on()
        except (JournalError, Illegal) as error:  # Illegal: also where an older copy was written over the journal
            log.exception("cannot go on: its journal cannot be written", extra=fields(self._runlog.run))
            self._ports.announcer.warn(self._runlog.run.id, f"This run cannot go on, and will try again: {error}")
            await self._try_again()
        except Exception:
            # The task's boundary: a run that died unseen would keep its ring for ever.
            run = self._runlog.run
            log.exception("cannot go on: an error of the bot's own", extra=fields(run))
            text = "This run cannot go on, and will try again: an error of the bot's own, which is in its log."
            self._ports.announcer.warn(run.id, text)
            await self._try_again()

    async def _try_again(self) -> None:
        """Soon in the middle of the take-down, where users wait; else when the alarm fires."""
        if self._runlog.run.stands_safely:
            self._alarm_in(_AGAIN)
        else:
            await self._ports.clock.sleep(self._ports.timings.look_again.total_seconds())
            self.wake()

    async def _rest(self) -> None:
        """Until a wake; and now and then without one, as an alarm may fire late when a clock is set back."""
        async with beside(self._woken.wait(), self._passes(self._runlog.run)) as either:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)

    async def _passes(self, run: Run) -> None:
        bound = _LOOK_AT_LEAST_EVERY
        if run.status is Status.WAITING:
            await self._count_users(run)
            bound = self._ports.timings.count_every
        await self._ports.clock.sleep(bound.total_seconds())

    def _over(self) -> bool:
        return self._may_leave() or self._runlog.run.status is Status.ENDED

    def _may_leave(self) -> bool:
        """Not in the middle of the take-down: users of a stopped backend wait for its end."""
        return self._leaving and self._runlog.run.stands_safely

    async def _go_on(self) -> None:
        while not self._may_leave():
            run = self._runlog.run
            now, same_clock = self._ports.clock.now(), self._waiting.same_clock(run)
            # They stand until the bot is started anew: an open question is checked against them once.
            asked = run.asked if run.status is Status.ASKING else None
            rules = () if asked and asked is self._asked else self._rules.rules
            action = upnext.next_action(run, now, self._rules.harmless, rules=rules, same_clock=same_clock)
            went_on = await self._do(action, run)
            self._asked = asked  # not before: where the journal failed, it is checked against them again
            if not went_on:
                return

    async def _do(self, action: upnext.Next, run: Run) -> bool:
        """Do it; False when there is nothing to do now."""
        match action:
            case upnext.Record():
                await self._runlog.record(action.fact, only_after=run.last_decisive)
            case upnext.Prove():
                await self._prove(run)
            case upnext.RunCheck():
                await self._check(action.step)
            case upnext.BeginWait() | upnext.SeeWaited():
                await self._waiting.go_on(action, run)
            case upnext.Ask():
                return await self._ask(action.gate, run)
            case upnext.MakeChange():
                return await self._change(action, run)
            case upnext.LookUp():
                await self._changing.look_up(action.step)
            case upnext.Turn():
                await self._turn(run)
            case upnext.Sleep():
                self._alarm_at(action.until)
                return False
            case _:
                assert_never(action)
        return True

    def _alarm_in(self, delay: timedelta) -> None:
        self._alarm_at(self._ports.clock.now() + delay)

    def _alarm_at(self, date: datetime | None) -> None:
        if date is not None:
            self._ports.alarms.set(self._runlog.run.id, date)

    # checks

    async def _prove(self, run: Run) -> None:
        assert run.step is not None
        proof = await prove(run.target, self._ports.hosts, self._look)
        reason = f"it is not seen that every host is the one that the settings mean: {proof.reason}"
        try:
            if proof.proved:
                await self._runlog.record(proof.proved, only_after=run.last_decisive)
                self._look.expect(proof.proved.directors)
                return
        except RingClaimed as error:
            reason = f"{error}; one backend at a time"
        failed = fact.StepFailed(
            step=run.step.name, reason=reason, ran=proof.observation.ran, seen=proof.observation.seen
        )
        await self._runlog.record(failed, only_after=run.last_decisive)

    async def _check(self, step: PlannedCheck) -> None:
        decided = self._runlog.run
        async with beside(self._seen(step, decided)) as (looking,):
            # What the ring forgot is set back before it is judged; nobody need be called for it.
            await self._watch.check_ring()
            if self._runlog.run.seq == decided.seq:
                await self._judge(step, decided, await looking)
                return
        # In the take-down it goes on all the same: users wait, and what does not let itself be set back would stop it.
        decided = self._runlog.run
        if not decided.stands_safely:
            await self._judge(step, decided, await self._seen(step, decided))

    async def _seen(self, step: PlannedCheck, run: Run) -> Observation:
        filled = replace(step, expect=expected_of(step, run.observed))
        return await seen(
            filled, self._look, self._ports.clock, lambda: self._runlog.run.last_decisive != run.last_decisive
        )

    async def _judge(self, step: PlannedCheck, decided: Run, observation: Observation) -> None:
        came = came_of(step, observation)
        counted = users_counted(self._runlog.run, observation.seen) if isinstance(came, fact.StepDone) else ()
        await self._runlog.record(came, *counted, only_after=decided.last_decisive)

    # changes

    async def _ask(self, gate: Gate, run: Run) -> bool:
        """Put a gate to people; where a change is at hand that is done already, nobody need be asked for it."""
        step = run.step
        if isinstance(step, PlannedChange) and await self._changing.found(step, run):
            return True
        await self._approvals.ask(gate, run)
        return True

    async def _change(self, action: upnext.MakeChange, run: Run) -> bool:
        step = action.step
        if action.against:
            await self._changing.make(step, run, against=action.against)
            return True
        if not await self._people_can_see(run, step):
            return False
        match await self._approvals.judged(run):
            case fact.ApprovalLapsed() as lapsed:
                if not await self._changing.found(step, run):
                    await self._runlog.record(lapsed, only_after=run.last_decisive)
                return True
            case timedelta() as pause:
                self._alarm_in(pause)
                return False
            case str() as remark:
                await self._changing.make(step, run, remark)
                return True

    async def _people_can_see(self, run: Run, step: PlannedChange) -> bool:
        """A stage begins only when its announcement was taken; one that is uninterrupted waits for nobody later."""
        if run.committed or run.users_first:
            return True
        bound = self._ports.timings.shown_within
        try:
            await asyncio.wait_for(self._ports.announcer.until_posted(run.id, run.stage_seq), bound.total_seconds())
        except TimeoutError:
            log.warning(
                "Slack has not taken the announcement of stage %s", run.plan.stage_of(step).name, extra=fields(run)
            )
            self._approvals.judge_again()  # Slack may be away for days, and an approval expires
            self._alarm_in(bound)
            return False
        return True

    # waiting, turning round

    async def _count_users(self, run: Run) -> None:
        """While the run waits, count now and then; it is a glance, nothing is decided by it, and none ends the run."""
        if isinstance(run.step, PlannedWait) and run.step.watch:
            try:
                observation = await self._look.look([run.step.watch])
                await self._runlog.record(
                    *users_counted(self._runlog.run, observation.seen), only_after=run.last_decisive
                )
            except JournalError:
                return
            except Exception:
                # The task's boundary, as above: a run that died unseen would keep its ring for ever.
                log.exception("its users could not be counted; that is tried again", extra=fields(run))

    async def _turn(self, run: Run) -> None:
        await self._runlog.record(self._turned(run), only_after=run.last_decisive)

    def _turned(self, run: Run) -> fact.Fact:
        try:
            plan = going_back(run)
            if plan is None:
                return fact.RunEnded(outcome=fact.Outcome.ABORTED, reason="nothing that needs undoing had been changed")
            # Users who wait are not kept waiting for what comes later: that holds before it is sent.
            first = replace(plan, stages=plan.stages[:1]) if started_first(run, plan) else plan
            check_rules(first, self._rules, str(run.target.backend.ip))
        except Refused as error:
            return fact.RunHeld(reason=f"No way back could be planned: {error}")
        except Misconfigured as broken:
            return fact.RunHeld(
                reason=f"No way back could be planned, as rules.yaml forbids a part of it: {broken}. {_BY_HAND}"
            )
        return fact.TurnedBack(plan=plan)
