"""State = fold(facts): what a run remembers of each fact, once the table of transitions has let it pass.

Nothing here decides; a fact that cannot be is Illegal, and the state before it stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from bot.core import events as fact
from bot.core.events import Entry, RunRequested
from bot.core.plan import Kind, PlannedStep
from bot.core.procedure import Gate
from bot.core.run import EVERYWHERE, TRANSITIONS, Grant, Run, Status
from bot.errors import Illegal


def fold(entries: Iterable[Entry]) -> Run | None:
    """The state that the facts make, None when there are none; raises Illegal for facts that cannot be."""
    run: Run | None = None
    for entry in entries:
        run = begin(entry) if run is None else apply(run, entry)
    return run


def begin(entry: Entry) -> Run:
    """The run that its first fact makes."""
    if not isinstance(entry.fact, RunRequested) or entry.seq != 1:
        raise Illegal(f"run {entry.run} does not begin with its request")
    return Run(id=entry.run, seq=1, request=entry.fact, began=entry.at, at=entry.at, plan=entry.fact.plan)


def apply(run: Run, entry: Entry) -> Run:
    """The run after one more fact; raises Illegal when the table does not know it here."""
    if entry.run != run.id or entry.seq != run.seq + 1:
        raise Illegal(f"run {run.id}: fact {entry.seq} of {entry.run} cannot follow fact {run.seq}")
    kind = type(entry.fact)
    allowed = TRANSITIONS[run.status]
    if kind not in allowed and (kind not in EVERYWHERE or run.status is Status.ENDED):
        raise Illegal(f"run {run.id}, fact {entry.seq}: {kind.__name__} cannot happen while the run is {run.status}")
    moved = replace(run, seq=entry.seq, at=entry.at, status=allowed.get(kind, run.status))
    remember = _REMEMBER.get(kind)
    return remember(moved, entry) if remember else moved


def _named_step(run: Run, name: str) -> PlannedStep:
    step = run.step
    if step is None or step.name != name:
        raise Illegal(f"run {run.id}, fact {run.seq}: step {name} is not the step at hand")
    return step


def _next(run: Run) -> Run:
    return replace(
        run, position=run.position + 1, attempt=0, failed=None, held=0, reason="", asked=None, skip=None, until=None
    )


def _touch(run: Run, step: PlannedStep) -> Run:
    """Also what was found done already counts: the run relies on it, so going back has to answer for it."""
    if step.kind is not Kind.CHANGE or run.plan.back or step in run.touched:
        return run
    return replace(run, touched=(*run.touched, step))


def _stage_began(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.StageBegan)
    return replace(run, stage_begun=entry.fact.stage, stage_seq=entry.seq)


def _step_started(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.StepStarted)
    step = _named_step(run, entry.fact.step)
    return replace(_touch(run, step), attempt=entry.fact.attempt)


def _step_done(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.StepDone)
    step = _named_step(run, entry.fact.step)
    if step.kind is Kind.APPROVAL:
        raise Illegal(f"run {run.id}, fact {entry.seq}: an approval is given by somebody, not done")
    run = replace(
        run,
        looks={**run.looks, step.name: entry.fact.reason},
        observed={**run.observed, **(entry.fact.remembered or {})},
        seen_done=run.seen_done | {step.name},
        unconfirmed=None if step.kind is Kind.CHANGE else run.unconfirmed,
    )
    return _next(_touch(run, step))


def _step_failed(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.StepFailed)
    _named_step(run, entry.fact.step)
    return replace(run, failed=entry.fact.step, held=entry.seq, reason=entry.fact.reason)


def _wait_began(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.WaitBegan)
    _named_step(run, entry.fact.step)
    return replace(run, until=entry.fact.until)


def _approval_asked(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.ApprovalAsked)
    _named_step(run, entry.fact.step)
    return replace(run, asked=entry, repeated=0)


def _repeated(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.ApprovalRepeated)
    return replace(run, repeated=entry.fact.times)


def _approved(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.Approved)
    asked = run.asked.fact if run.asked else None
    same = isinstance(asked, fact.ApprovalAsked) and (asked.step, asked.gate, asked.digest) == (
        entry.fact.step,
        entry.fact.gate,
        entry.fact.digest,
    )
    if not isinstance(asked, fact.ApprovalAsked) or not same:
        raise Illegal(f"run {run.id}, fact {entry.seq}: an approval of something that was not asked")
    if entry.fact.by in asked.not_by:
        raise Illegal(f"run {run.id}, fact {entry.seq}: {entry.fact.by} may not approve this run")
    grant = Grant(gate=entry.fact.gate, by=entry.fact.by, digest=entry.fact.digest, expires=asked.expires)
    return _next(replace(run, grants=(*run.grants, grant), unconfirmed=grant))


def _lapsed(run: Run, entry: Entry) -> Run:
    """Back to the gate: it is asked again, and what was looked at since is looked at again."""
    assert isinstance(entry.fact, fact.ApprovalLapsed)
    gate = entry.fact.gate
    if run.unconfirmed is None or run.unconfirmed.gate is not gate:
        raise Illegal(f"run {run.id}, fact {entry.seq}: there is no {gate} approval that could lapse")
    position = next(at for at, step in enumerate(run.plan.steps) if step.gate is gate)
    kept = tuple(grant for grant in run.grants if grant is not run.unconfirmed)
    stage = run.plan.stage_of(run.plan.steps[position])
    return replace(_next(run), position=position, grants=kept, unconfirmed=None, stage_begun=stage.name)


def _denied(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.Denied)
    return replace(run, turning=not run.plan.back, asked=None)


def _expired(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.ApprovalExpired)
    reason = f"nobody answered the {entry.fact.gate} approval in time"
    return replace(run, failed=entry.fact.step, held=entry.seq, reason=reason, asked=None)


def _held(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.RunHeld)
    failed = run.step.name if run.step else None
    held = replace(run, failed=failed, held=entry.seq, reason=entry.fact.reason, deviations_told=run.deviations)
    return replace(held, asked=None, until=None, turning=False)


def _retry(run: Run, _entry: Entry) -> Run:
    again = replace(run, failed=None, held=0, reason="", attempt=0, skip=None, until=None)
    return _calm(again)


def _calm(run: Run) -> Run:
    """People have dealt with what kept changing the ring."""
    return replace(run, deviations=0, deviations_told=0)


def _deviated(run: Run, _entry: Entry) -> Run:
    return replace(run, deviations=run.deviations + 1)


def _skip_proposed(run: Run, entry: Entry) -> Run:
    return replace(run, skip=entry)


def _skip_agreed(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.SkipAgreed)
    step = _named_step(run, entry.fact.step)
    if run.skip is None or not isinstance(run.skip.fact, fact.SkipProposed):
        raise Illegal(f"run {run.id}, fact {entry.seq}: nobody proposed to skip {step.name}")
    said = f"{step.name} was skipped, by <@{run.skip.fact.by}> and <@{entry.fact.by}>: {run.skip.fact.reason}"
    return _next(_calm(replace(run, looks={**run.looks, step.name: said})))


def _go_back_asked(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.GoBackAsked)
    if run.plan.back:
        raise Illegal(f"run {run.id}, fact {entry.seq}: it is going back already")
    return replace(run, turning=True, back_asked_by=entry.fact.by, asked=None, until=None, held=0)


def _turned_back(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.TurnedBack)
    kept = tuple(grant for grant in run.grants if grant.gate is Gate.FLUSH)
    # What was read on the way there is no evidence for the way back.
    turned = replace(_next(run), plan=entry.fact.plan, position=0, turning=False, stage_begun=None)
    return _calm(replace(turned, grants=kept, unconfirmed=None, looks={}))


def _counted(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.UsersCounted)
    return replace(run, users=entry.fact.users)


def _ended(run: Run, entry: Entry) -> Run:
    assert isinstance(entry.fact, fact.RunEnded)
    return replace(run, outcome=entry.fact.outcome, reason=entry.fact.reason or run.reason)


_REMEMBER: Mapping[type[Any], Callable[[Run, Entry], Run]] = MappingProxyType(
    {
        fact.StageBegan: _stage_began,
        fact.StepStarted: _step_started,
        fact.StepDone: _step_done,
        fact.StepFailed: _step_failed,
        fact.WaitBegan: _wait_began,
        fact.ApprovalAsked: _approval_asked,
        fact.ApprovalRepeated: _repeated,
        fact.RingDeviated: _deviated,
        fact.Approved: _approved,
        fact.ApprovalLapsed: _lapsed,
        fact.Denied: _denied,
        fact.ApprovalExpired: _expired,
        fact.RunHeld: _held,
        fact.RetryChosen: _retry,
        fact.SkipProposed: _skip_proposed,
        fact.SkipAgreed: _skip_agreed,
        fact.GoBackAsked: _go_back_asked,
        fact.TurnedBack: _turned_back,
        fact.UsersCounted: _counted,
        fact.RunEnded: _ended,
    }
)
