"""Command → facts: may somebody do this to a run, and what facts does it make. Commands are in the imperative."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from bot.core.decisions.approval import Person, allow, as_marked, asked_now, may_steer, still_proposes, why_not_by
from bot.core.decisions.goback import can_start_first, gives_vhosts_only, going_back, may_turn, way_back_shown
from bot.core.plans.effects import Effect
from bot.core.plans.plan import PlannedApproval, PlannedChange, PlannedCheck, PlannedStep, PlannedWait
from bot.core.runs import events as fact
from bot.core.runs.events import Fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import TRANSITIONS, Status
from bot.core.text.shown import in_lines
from bot.errors import Refused

LONGER_WAITS = 3
"""How often people may choose to wait longer in one run."""


@dataclass(frozen=True, kw_only=True)
class _Command:
    """Who says it, and the mark of the fact it answers (Entry.mark), as its button has it; older buttons have none."""

    person: Person
    mark: str = ""


@dataclass(frozen=True, kw_only=True)
class Approve(_Command):
    """A click on Approve to the fact `ask`, on the message `message`; `requester`: of the run, as Slack says now."""

    ask: int
    message: str
    requester: Person | None = None


@dataclass(frozen=True, kw_only=True)
class Postpone(_Command):
    """Not now, to the question of the fact `ask`, for a reason: the run holds as it is.

    `shown`: the digest of what was asked, as the person saw it; empty where it is not known.
    """

    ask: int
    reason: str = field(repr=False)
    message: str
    shown: str = ""


@dataclass(frozen=True, kw_only=True)
class WaitLonger(_Command):
    """Wait once more, and ask the question of the fact `ask` anew afterwards; `shown` as for Postpone."""

    ask: int
    reason: str = field(repr=False)
    message: str
    shown: str = ""


@dataclass(frozen=True, kw_only=True)
class Retry(_Command):
    """Try the step again that the run holds at; `held` is the fact that made it hold."""

    held: int


@dataclass(frozen=True, kw_only=True)
class ProposeSkip(_Command):
    """Go on without the step that the run holds at (`held`, as for Retry), for a reason."""

    held: int
    reason: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AgreeToSkip(_Command):
    """A second engineer's yes to a skip; `ask` is the fact that proposed it, `proposer` who did, as Slack says now."""

    ask: int
    proposer: Person | None = None


@dataclass(frozen=True, kw_only=True)
class GoBack(_Command):
    """Turn round at the next safe point and undo what was done; `answers` is the hold or the question it answers.

    `start_first`: start a stopped dovecot at once, for the users who wait for it, and ask for the rest. `shown`: the
    digest of the way back that the person was shown before.
    """

    reason: str = field(repr=False)
    answers: int | None = None
    start_first: bool = False
    shown: str = ""


@dataclass(frozen=True, kw_only=True)
class TakeOver(_Command):
    """Do the rest by hand, for a reason: the run changes nothing more and sets nothing back.

    `answers`: the hold it answers; None for what can be said at any time.
    """

    reason: str = field(repr=False)
    answers: int | None = None


@dataclass(frozen=True, kw_only=True)
class LeaveOut(_Command):
    """Somebody says that what was taken over stays out, or that the work by hand is done: the ring is released."""


Steering = Approve | Postpone | WaitLonger | Retry | ProposeSkip | AgreeToSkip | GoBack | TakeOver | LeaveOut


def decide(run: Run, command: Steering, now: datetime) -> tuple[Fact, ...]:
    """The facts that a command makes; raises Refused, and then nothing happened.

    An approval by somebody who may not is refused with a fact: the attempt belongs on the record.
    """
    if run.status is Status.ENDED:
        raise Refused(f"Run {run.id} is over: {run.outcome}.")
    if run.status is Status.TAKEN and not isinstance(command, LeaveOut):
        raise Refused(f"<@{run.taken_by}> has taken {run.request.target.backend.name} over by hand.")
    match command:
        case Approve() | Postpone() | WaitLonger():
            return _answer(run, command, now)
        case Retry():
            may_steer(run, command.person)
            _held(run, command.held, command.mark)
            return (fact.RetryChosen(by=command.person.id),)
        case ProposeSkip():
            return _propose_skip(run, command)
        case AgreeToSkip():
            return _agree_to_skip(run, command)
        case GoBack():
            return _go_back(run, command)
        case TakeOver():
            return _take_over(run, command)
        case LeaveOut():
            return _leave_out(run, command)
        case _:
            assert_never(command)


def _answer(run: Run, command: Approve | Postpone | WaitLonger, now: datetime) -> tuple[Fact, ...]:
    asked, by, message = asked_now(run, command.ask, command.mark), command.person.id, command.message
    if not isinstance(command, Approve):
        return (_put_off(run, command, asked, now),)
    if against := why_not_by(run, asked, command.person, now, command.requester):
        return (fact.ApprovalRefused(gate=asked.gate, by=by, reason=against),)
    return (fact.Approved(step=asked.step, gate=asked.gate, by=by, digest=asked.digest, message=message),)


def _put_off(run: Run, command: Postpone | WaitLonger, asked: fact.ApprovalAsked, now: datetime) -> Fact:
    """It changes nothing on a host: whoever may steer the run may say it, the requester too."""
    may_steer(run, command.person)
    if now >= asked.expires:
        raise Refused("The question has expired, and the run holds: click Retry there, and it is asked anew.")
    if command.shown not in {"", asked.digest}:
        raise Refused("What is asked has changed since it was shown: look at the question again.")
    by, message = command.person.id, command.message
    if isinstance(command, Postpone):
        reason = _reason(command.reason, "Not now needs a reason.")
        return fact.Postponed(step=asked.step, gate=asked.gate, by=by, reason=reason, message=message)
    if against := no_longer_wait(run):
        raise Refused(against)
    wait, reason = waited_before(run), command.reason.strip()[:500]
    assert wait is not None
    return fact.LongerWaitChosen(
        step=asked.step, gate=asked.gate, by=by, reason=reason, message=message, back_to=wait.name
    )


def waited_before(run: Run) -> PlannedWait | None:
    """The wait right before the gate at hand, with nothing but checks between them."""
    steps = run.plan.steps[: run.position] if isinstance(run.step, PlannedApproval) else ()
    last = next((step for step in reversed(steps) if not isinstance(step, PlannedCheck)), None)
    return last if isinstance(last, PlannedWait) else None


def no_longer_wait(run: Run) -> str:
    """Why nobody can choose to wait longer now, empty when somebody can."""
    if waited_before(run) is None:
        return "There is no wait right before this question that could be waited again."
    if run.longer_waits >= LONGER_WAITS:
        return f"It was waited longer {LONGER_WAITS} times already, and that is the most."
    return ""


def _go_back(run: Run, command: GoBack) -> tuple[Fact, ...]:
    may_steer(run, command.person)
    if command.answers is not None and (run.status is Status.ASKING or command.answers in run.answers):
        asked_now(run, command.answers, command.mark)
    elif command.answers is not None:
        _held(run, command.answers, command.mark)
    may_turn(run)
    if run.turning:
        raise Refused("Somebody has asked for that already.")
    if command.start_first and not can_start_first(run):
        raise Refused("This dovecot cannot be started first any more; Go back shows what it would do.")
    by, approves = command.person, ""
    if command.shown:
        plan = going_back(run)
        if command.shown != way_back_shown(plan):
            raise Refused("What going back would do has changed since it was shown: look at it again.")
        if plan and gives_vhosts_only(plan) and not by.no_approving and by.id != run.request.requester:
            approves = plan.digest
    turned = fact.GoBackAsked(by=by.id, reason=command.reason, start_first=command.start_first, approves=approves)
    return (turned,)


def _leave_out(run: Run, command: LeaveOut) -> tuple[Fact, ...]:
    may_steer(run, command.person)
    if run.status is not Status.TAKEN:
        raise Refused("Nobody has taken this backend over.")
    by = command.person.id
    out = run.was_out and run.ring.seen_out is None  # as the button was named
    done = "it stays out of the ring" if out else "the work by hand is done"
    reason = f"<@{by}> says that {done}"
    return (fact.RunEnded(outcome=fact.Outcome.TAKEN_OVER, reason=reason, by=by),)


def _take_over(run: Run, command: TakeOver) -> tuple[Fact, ...]:
    may_steer(run, command.person)
    if command.answers is not None:
        _held(run, command.answers, command.mark)
    if fact.TakenOver not in TRANSITIONS[run.status] or not run.stands_safely:
        raise Refused("The bot is working at this moment; take over when it holds, asks or waits.")
    return (fact.TakenOver(by=command.person.id, reason=_reason(command.reason, "Taking over needs a reason.")),)


def _reason(typed: str, without: str) -> str:
    read = in_lines(typed).strip()
    if not read:
        raise Refused(without)
    return read[:500]


def _held(run: Run, held: int, mark: str = "") -> PlannedStep:
    step = run.step
    if run.status is not Status.HELD or step is None:
        raise Refused(f"Run {run.id} does not hold; it is {run.status}.")
    if run.held != held:
        raise Refused("These buttons are of an older question; what counts now is further down in the thread.")
    as_marked(run.held_at, mark)
    return step


def _propose_skip(run: Run, command: ProposeSkip) -> tuple[Fact, ...]:
    may_steer(run, command.person)
    step = _held(run, command.held, command.mark)
    if against := no_skip(step):
        raise Refused(against)
    reason = _reason(command.reason, "A skip needs a reason.")
    return (fact.SkipProposed(by=command.person.id, step=step.name, reason=reason),)


def no_skip(step: PlannedStep) -> str:
    """Why a step can never be left out, empty when it can."""
    match step:
        case PlannedApproval():
            return "An approval cannot be skipped."
        case PlannedCheck() if step.remember:
            return "This step reads what going back needs; without it, there would be no way back. Click Retry."
        case PlannedChange() if Effect.RESTORE in step.does:
            return (
                "This step gives the backend its users back; without it, the backend would be forgotten. Do it by hand"
                " on a director and click Retry at once, before the watch sets it back: it is then found done."
            )
        case PlannedChange() if Effect.TAKES_VHOSTS in step.does:
            return (
                "This step takes the vhosts away; without it, nothing would watch them, and going back would not give"
                " them back. Do it by hand on a director and click Retry: it is then found done."
            )
        case PlannedCheck() | PlannedChange() | PlannedWait():
            return ""
        case _:
            assert_never(step)


def _agree_to_skip(run: Run, command: AgreeToSkip) -> tuple[Fact, ...]:
    step = _held(run, run.held)
    if run.skip is None or run.skip.seq != command.ask:
        raise Refused("There is no such proposal any more.")
    as_marked(run.skip, command.mark)
    assert isinstance(run.skip.fact, fact.SkipProposed)
    person = command.person
    allow(person.no_approving)
    if person.id in {run.skip.fact.by, run.request.requester}:
        raise Refused("Not done: a second engineer has to agree, neither who proposed it nor who asked for the run.")
    if against := still_proposes(run, command.proposer):
        raise Refused(f"Not done: {against}. Somebody else has to propose it.")
    return (fact.SkipAgreed(by=person.id, step=step.name),)
