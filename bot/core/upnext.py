"""The facts and the time → what is next; asked again after every fact and at every alarm.

The answer depends on nothing else, so a bot that was stopped anywhere goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from bot.core import events as fact
from bot.core.events import Fact
from bot.core.laws import gates_needed
from bot.core.plan import Kind, PlannedStep
from bot.core.run import Run, Status

ATTEMPTS = 3
"""How often a change that may be repeated is tried before a person is asked."""

DEVIATIONS = 3
"""How often the ring is set back before a person is asked."""


@dataclass(frozen=True, kw_only=True)
class Tell:
    """Write it down: it follows from the facts and the time alone."""

    fact: Fact


@dataclass(frozen=True, kw_only=True)
class SeeCheck:
    """Look, and judge."""

    step: PlannedStep


@dataclass(frozen=True, kw_only=True)
class MakeChange:
    """Look whether it is done already, else do it."""

    step: PlannedStep


@dataclass(frozen=True, kw_only=True)
class LookUp:
    """Find out what came of a change in doubt."""

    step: PlannedStep


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Turn round: make the plan that goes back, and follow it."""


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Nothing to do before that date, or before somebody says something (None)."""

    until: datetime | None


Next = Tell | SeeCheck | MakeChange | LookUp | Turn | Rest


def next_action(run: Run, now: datetime) -> Next:
    """What is to be done next, given the facts and the time."""
    match run.status:
        case Status.ENDED:
            return Rest(until=None)
        case Status.HELD if run.turning:
            return Turn()
        case Status.HELD if run.only_looked:
            return _end(run, fact.Outcome.REFUSED)
        case Status.HELD:
            # It holds already, for another reason; whoever looks into that has to hear of the ring too.
            return Tell(fact=_deviated(run)) if run.deviations >= DEVIATIONS > run.deviations_told else Rest(until=None)
        case Status.BUSY | Status.DOUBT:
            return LookUp(step=_at_hand(run))
        case Status.WAITING:
            return _while_waiting(run, now)
        case Status.ASKING:
            return _while_asking(run, now)
        case Status.READY:
            return _when_ready(run, now)
        case _:
            assert_never(run.status)


def _at_hand(run: Run) -> PlannedStep:
    assert run.step is not None
    return run.step


def _end(run: Run, outcome: fact.Outcome) -> Tell:
    return Tell(fact=fact.RunEnded(outcome=outcome, reason=run.reason))


def _while_waiting(run: Run, now: datetime) -> Next:
    assert run.until is not None
    if run.deviations >= DEVIATIONS:
        return Tell(fact=_deviated(run))
    if now < run.until:
        return Rest(until=run.until)
    step = _at_hand(run)
    return Tell(fact=fact.StepDone(step=step.name, how=fact.How.RAN, reason=f"{length(step.length)} have passed"))


def _while_asking(run: Run, now: datetime) -> Next:
    assert run.asked is not None
    asked = run.asked.fact
    assert isinstance(asked, fact.ApprovalAsked)
    if run.deviations >= DEVIATIONS:
        return Tell(fact=_deviated(run))
    if now >= asked.expires:
        return Tell(fact=fact.ApprovalExpired(step=asked.step, gate=asked.gate))
    due = sum(1 for at in asked.repeats if now >= at)
    if due > run.repeated:
        last = due == len(asked.repeats)
        return Tell(fact=fact.ApprovalRepeated(step=asked.step, gate=asked.gate, times=due, last=last))
    return Rest(until=min((at for at in (*asked.repeats, asked.expires) if at > now), default=asked.expires))


def _when_ready(run: Run, now: datetime) -> Next:
    if run.turning and run.stands_safely:
        return Turn()
    if run.deviations >= DEVIATIONS and run.stands_safely and not run.turning:
        return Tell(fact=_deviated(run))
    step, stage = run.step, run.stage
    if step is None or stage is None:
        return _end(run, fact.Outcome.WENT_BACK if run.plan.back else fact.Outcome.DONE)
    if run.stage_begun != stage.name:
        return Tell(fact=fact.StageBegan(stage=stage.name))
    match step.kind:
        case Kind.CHECK:
            return SeeCheck(step=step)
        case Kind.CHANGE:
            return _change(run, step)
        case Kind.WAIT:
            return Tell(fact=fact.WaitBegan(step=step.name, until=now + step.length))
        case Kind.APPROVAL:
            return Tell(fact=_question(run, step, now))
        case _:
            assert_never(step.kind)


def _deviated(run: Run) -> fact.RunHeld:
    name = run.request.target.backend.name
    return fact.RunHeld(
        reason=f"the directors were set back {run.deviations} times, and somebody or something keeps changing what they"
        f" say of {name}. Find out who: a colleague, a health monitor, a director that restarts"
    )


def _change(run: Run, step: PlannedStep) -> Next:
    assert step.action is not None
    missing = gates_needed(step.action.command.text) - run.granted
    if missing:
        reason = f"`{step.action.command.text}` needs the {min(missing)} approval, which was not given"
        return Tell(fact=fact.RunHeld(reason=reason))
    return MakeChange(step=step)


def _question(run: Run, step: PlannedStep, now: datetime) -> fact.ApprovalAsked:
    assert step.gate is not None
    return fact.ApprovalAsked(
        step=step.name,
        gate=step.gate,
        digest=run.digest_for(step),
        evidence=run.evidence_for(step),
        not_by=run.not_by,
        expires=now + step.length,
        repeats=tuple(now + after for after in step.repeats if after < step.length),
    )


def length(time: timedelta) -> str:
    """A length of time as people say it: 15 minutes, 90 seconds."""
    seconds = time.total_seconds()
    if seconds >= 120 and seconds % 60 == 0:
        return f"{seconds / 60:.0f} minutes"
    return "1 second" if seconds == 1 else f"{seconds:g} seconds"
