"""The facts and the time → what is next; asked again after every fact and at every alarm.

The answer depends on nothing else, so a bot that was stopped anywhere goes on where it was. Time that
passed while the bot was down is measured by the hosts' clocks: see core/runs/waited.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from bot.core.plans.effects import Effect
from bot.core.plans.laws import Harmless, Rule, broken_by, gates_needed, needs_flush_approval
from bot.core.plans.plan import PlannedApproval, PlannedChange, PlannedCheck, PlannedStep, PlannedWait
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.core.text.duration import length


@dataclass(frozen=True, kw_only=True)
class Record:
    """Write it down: it follows from the facts and the time alone."""

    fact: Fact


@dataclass(frozen=True, kw_only=True)
class RunCheck:
    """Look, and judge."""

    step: PlannedCheck


@dataclass(frozen=True, kw_only=True)
class BeginWait:
    """Read the hosts' clocks, and begin to wait."""

    step: PlannedWait
    until: datetime


@dataclass(frozen=True, kw_only=True)
class SeeWaited:
    """Find out how much of the wait has passed while nobody saw it: by the hosts' clocks."""

    step: PlannedWait


@dataclass(frozen=True, kw_only=True)
class MakeChange:
    """Look whether it is done already, else do it; where something is `against` sending it, hold instead."""

    step: PlannedChange
    against: str = ""


@dataclass(frozen=True, kw_only=True)
class LookUp:
    """Find out what came of a change in doubt."""

    step: PlannedChange


@dataclass(frozen=True, kw_only=True)
class Prove:
    """See that every host is the one that the settings mean, before anything is changed."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Look at what the approvers are to be shown, and put the gate to them: at its own step, or again at a change."""

    gate: Gate


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Turn round: make the plan that goes back, and follow it."""


@dataclass(frozen=True, kw_only=True)
class Sleep:
    """Nothing to do before that date, or before somebody says something (None)."""

    until: datetime | None


Next = Record | Prove | RunCheck | BeginWait | SeeWaited | MakeChange | LookUp | Ask | Turn | Sleep


def next_action(
    run: Run,
    now: datetime,
    harmless: Iterable[Harmless] = (),
    *,
    rules: Collection[Rule] = (),
    same_clock: bool = True,
) -> Next:
    """What is to be done next, given the facts, the time, and what may be done before the flush approval.

    `rules`: those of now, which may have come since the plan was made.
    `same_clock`: whether the date of the wait at hand is by the clock that `now` is from, which has run evenly since.
    """
    match run.status:
        case Status.ENDED | Status.TAKEN:
            return Sleep(until=None)
        case Status.HELD if run.turning:
            return Turn()
        case Status.HELD if run.only_looked:
            return _end(run, fact.Outcome.REFUSED)
        case Status.HELD:
            # It holds already, for another reason; whoever looks into that has to hear of the ring too.
            return Record(fact=_hold(run)) if run.holds_anew else Sleep(until=None)
        case Status.BUSY | Status.DOUBT:
            step = _at_hand(run)
            assert isinstance(step, PlannedChange)
            return LookUp(step=step)
        case Status.WAITING:
            return _while_waiting(run, now, same_clock=same_clock)
        case Status.ASKING:
            return _while_asking(run, now, rules)
        case Status.READY:
            return _when_ready(run, now, harmless, rules)
        case _:
            assert_never(run.status)


def _at_hand(run: Run) -> PlannedStep:
    assert run.step is not None
    return run.step


def _end(run: Run, outcome: fact.Outcome) -> Record:
    return Record(fact=fact.RunEnded(outcome=outcome, reason=run.reason))


def _while_waiting(run: Run, now: datetime, *, same_clock: bool) -> Next:
    assert run.until is not None
    step = _at_hand(run)
    assert isinstance(step, PlannedWait)
    if run.has_to_hold:
        return Record(fact=_hold(run))
    if not same_clock:
        return SeeWaited(step=step)
    if now < run.until:
        return Sleep(until=run.until)
    return Record(fact=fact.StepDone(step=step.name, how=fact.How.RAN, reason=f"{length(step.length)} have passed"))


def _while_asking(run: Run, now: datetime, rules: Collection[Rule]) -> Next:
    assert run.asked is not None
    asked = run.asked.fact
    assert isinstance(asked, fact.ApprovalAsked)
    if run.has_to_hold:
        return Record(fact=_hold(run))
    if against := _against_rules(run, rules):
        return Record(fact=fact.RunHeld(reason=against))
    if now >= asked.expires:
        return Record(fact=fact.ApprovalExpired(step=asked.step, gate=asked.gate))
    due = sum(1 for at in asked.repeats if now >= at)
    if due > run.repeated:
        last = due == len(asked.repeats)
        return Record(fact=fact.ApprovalRepeated(step=asked.step, gate=asked.gate, times=due, last=last))
    return Sleep(until=min((at for at in (*asked.repeats, asked.expires) if at > now), default=asked.expires))


def _when_ready(run: Run, now: datetime, harmless: Iterable[Harmless], rules: Collection[Rule]) -> Next:
    if run.turns_now:
        return Turn()
    if run.holds_now:
        return Record(fact=_hold(run))
    step, stage = run.step, run.stage
    if step is None or stage is None:
        return _end(run, fact.Outcome.WENT_BACK if run.plan.back else fact.Outcome.DONE)
    if run.stage_begun != stage.name:
        return Record(fact=fact.StageBegan(stage=stage.name))
    if run.only_looked and run.proved is None:
        return Prove()
    match step:
        case PlannedCheck():
            return RunCheck(step=step)
        case PlannedChange():
            return _change(run, step, harmless, rules)
        case PlannedWait():
            return BeginWait(step=step, until=now + step.length)
        case PlannedApproval():
            against = _against_rules(run, rules)
            return Record(fact=fact.RunHeld(reason=against)) if against else Ask(gate=step.gate)
        case _:
            assert_never(step)


def _against_rules(run: Run, rules: Collection[Rule]) -> str:
    """What the rules of now have against what is left of the plan, which may be older; empty where it is nothing.

    Until users were disturbed, that is all of it, as of a new plan. From then on it is the command at hand: what helps
    users who wait is not kept back for what comes later, and only the step at hand can be skipped. Before dovecot is
    stopped it is all until its users are moved: they would wait for what the rule forbids.
    """
    disturbed = run.plan.back or run.disturbed or run.may_have_disturbed
    for step in _until_moved(run) if disturbed else run.plan.steps[run.position :]:
        for action in step.actions[: 1 if disturbed else None]:
            if broken := broken_by(action, rules):
                what = f"{'' if action == step.actions[0] else 'what undoes '}{step.name}"
                to_do = _by_hand(step) if disturbed and step == run.step else _ANEW if run.only_looked else _BACK
                return f"this plan is older than a rule of rules.yaml, which forbids {what}: {broken}. {to_do}"
    return ""


def _until_moved(run: Run) -> tuple[PlannedStep, ...]:
    """The step at hand; where users begin to wait with it, all up to the one that moves them."""
    left = run.plan.steps[run.position :]
    begins = not (run.plan.back or run.users_wait) and Effect.STOP_DOVECOT in left[0].does
    moves = next((at for at, step in enumerate(left) if Effect.FLUSH in step.does), 0) if begins else 0
    return left[: moves + 1]


def _by_hand(step: PlannedStep) -> str:
    """What to do at the step at hand; what gives users is set back by the watch, as long as the run holds."""
    return _GIVEN_BY_HAND if Effect.RESTORE in step.does else _BY_HAND


_CORRECTED = "Where the rule is what is wrong, correct it, start the bot anew, then"
_ANEW = f"What to do: see that the procedure keeps the rule, and ask for a new run. {_CORRECTED} ask for one"
_BACK = f"What to do: go back, and ask for a new run once the procedure keeps the rule. {_CORRECTED} click Retry"
_BY_HAND = (
    "What to do: do by hand what this step is for, as the rule allows it, then click Retry: it is found done."
    f" {_CORRECTED} click Retry"
)
_GIVEN_BY_HAND = (
    "What to do: take over, and do by hand what this step is for, as the rule allows it. Or do it on a director, and"
    " click Retry at once: it is found done then; while this run holds, its next look at the ring sets that back."
    f" {_CORRECTED} click Retry"
)


def _hold(run: Run) -> fact.RunHeld:
    held = run.must_hold or fact.RunHeld(reason="")
    often = (
        f"directors gave {run.request.target.backend.name} users again {run.ring.times} times: somebody or"
        " something keeps changing what they say of it. Find out who: a colleague, a health monitor, a director that"
        " restarts"
    )
    reason = "; ".join(filter(None, (held.reason, often if run.ring.deviates_too_often else "")))
    step = next((step for step in run.plan.steps if step.name == held.back_to), None)
    again = f". Retry goes on from “{step.says}” again" if step else ""
    return replace(held, reason=f"{reason}{again}")


def _change(run: Run, step: PlannedChange, harmless: Iterable[Harmless], rules: Collection[Rule]) -> Next:
    if against := _against_rules(run, rules):
        return MakeChange(step=step, against=against)  # somebody may have done it by hand
    if run.lapsed is not None and not run.users_first:
        return Ask(gate=run.lapsed.gate)
    missing = missing_gates(run, step) | _unopened(run, step.action.command.text, harmless)
    if missing:
        reason = f"`{step.action.command.text}` needs the {min(missing)} approval, which was not given"
        return Record(fact=fact.RunHeld(reason=reason))
    return MakeChange(step=step)


def missing_gates(run: Run, step: PlannedChange) -> frozenset[Gate]:
    """The approvals that its command needs by law and that were not given.

    On the way back its own approval is what a stop needs; the flush approval counts there only for what was made on it
    and is made again, as the ring forgot it. One that lapsed is still somebody's word for that, and where users wait.
    """
    given, again = set(run.granted), step in (*run.made, *run.ring.kept_up)
    if run.plan.back and not again:
        given = (given - {Gate.FLUSH}) | ({Gate.FLUSH} if Gate.GO_BACK in given else set())
    if again:
        given |= {one.fact.gate for one in run.approvals if isinstance(one.fact, fact.Approved)}
    elif run.lapsed is not None and run.users_first:
        given.add(run.lapsed.gate)
    return gates_needed(step.action.command.text) - given


def _unopened(run: Run, command: str, harmless: Iterable[Harmless]) -> frozenset[Gate]:
    """The flush approval, where it is needed because the command is on no list, and nobody's word stands for it.

    On the way back that is the word of its own approvals, and of whoever asked that dovecot be started first.
    """
    opening = {Gate.GO_BACK, Gate.RESTORE} if run.plan.back else {Gate.FLUSH}
    lapsed = {run.lapsed.gate} if run.lapsed is not None and run.users_first else set()
    if opening & (run.granted | lapsed) or (run.plan.back and run.start_first):
        return frozenset()
    return frozenset({Gate.FLUSH}) if needs_flush_approval(command, harmless) else frozenset()
