"""The way back: a plan of its own, made from the changes that the journal says were made, last one first.

What gives a backend users again (the restore law's commands) is kept for the end, behind the checks of the stages that
verify, and behind the restore approval. A change and its opposite with nothing between them are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from bot.core.plans.effects import Effect
from bot.core.plans.observed import with_observed
from bot.core.plans.plan import (
    Action,
    LeftOut,
    Plan,
    PlannedApproval,
    PlannedChange,
    PlannedCheck,
    PlannedStage,
    PlannedStep,
)
from bot.core.plans.procedure import Gate
from bot.core.runs.changed import undone_by
from bot.core.runs.events import Outcome
from bot.core.runs.run import Run, replace
from bot.core.runs.transitions import Status
from bot.errors import Refused

_OPEN = timedelta(hours=1)
"""How long a way back can be approved when its procedure has no approval to go by."""


def may_turn(run: Run) -> None:
    """Raises Refused when there is no way back from here."""
    if run.plan.back:
        raise Refused("This run is going back already.")
    if any(Effect.RESTORE in step.does for step in run.touched):
        raise Refused(
            f"{run.request.target.backend.name} is being put back into the ring; going back would take it from users"
            " who may have come back. Retry the step, or let it finish and start a new run."
        )


def going_back(run: Run) -> Plan | None:
    """The plan that undoes what this run did, None when it changed nothing that needs undoing; raises Refused."""
    may_turn(run)
    # One that was skipped may have been done by hand; what comes after it relies on it, so it is answered for as well.
    relied_on = {step.name for step in run.touched} | (run.looks.keys() - run.seen_done)
    undoable = [step for step in run.plan.changes if step.undo and step.name in relied_on]
    restores = {step.name for step in undoable if step.undo and Effect.RESTORE in step.undo.does}
    before = _undoings([step for step in undoable if step.name not in restores], run)
    restoring = _undoings([step for step in undoable if step.name in restores], run)
    name = run.request.target.backend.name
    first = _started_first(before) if run.start_first else ()
    before = before[len(first) :]
    stages = [
        _stage("start", f"Start dovecot on {name} again, for the users who wait for it", first),
        _stage("undo", f"Undo what was done on {name}", _opened(before, run)),
        _stage("verify", "See that it works before it gets users", _verifying(run) if undoable else ()),
        _stage("restore", "Put it back into the ring", _restoring(restoring, run)),
    ]
    if not any(stage.steps for stage in stages):
        return None
    left = tuple(LeftOut(step=step.name, because=step.no_undo_because) for step in run.touched if step.no_undo_because)
    title = f"Go back: {name} as it was before"
    return Plan(title=title, stages=tuple(stage for stage in stages if stage.steps), left_out=left, back=True)


def can_start_first(run: Run) -> bool:
    """Whether users wait for a stopped dovecot, and the way back could start it before anything is asked."""
    first = replace(run, start_first=True)
    back = way_back_now(first) if run.users_wait else None
    return back is not None and started_first(first, back)


def started_first(run: Run, back: Plan) -> bool:
    """Whether this way back starts dovecot before anything is asked, as somebody wanted it."""
    return run.start_first and back.stages[0].name == _named("start")


def way_back_now(run: Run) -> Plan | None:
    """What going back would be, None where it is nothing, or not possible."""
    try:
        return going_back(run)
    except Refused:
        return None


NOTHING = "nothing"


def way_back_shown(plan: Plan | None) -> str:
    """What a person who was shown this way back has seen, to be compared with what it is when they say yes."""
    return plan.digest if plan else NOTHING


def gives_vhosts_only(plan: Plan) -> bool:
    """Whether a way back is the one command that gives the backend its vhosts: the run changed nothing else."""
    gates = {step.gate for step in plan.steps if isinstance(step, PlannedApproval)}
    return gates == {Gate.RESTORE} and [Effect.RESTORE in step.does for step in plan.changes] == [True]


def left_there(run: Run) -> str:
    """What a run that ended without a way back has left on its hosts, in words; empty when it made nothing."""
    made = [f"{step.says}: {step.no_undo_because}" for step in run.touched if step.no_undo_because]
    over = run.outcome in {Outcome.REFUSED, Outcome.ABORTED} and not run.plan.back
    return f"on {run.request.target.backend.name} stays what this made: {'; '.join(made)}" if over and made else ""


def _started_first(steps: tuple[PlannedChange, ...]) -> tuple[PlannedChange, ...]:
    """The undoing up to the start of dovecot, where nothing else comes before it: nobody is asked while users wait."""
    at = [number for number, step in enumerate(steps, 1) if Effect.START_DOVECOT in step.does]
    first = steps[: at[-1]] if at else ()
    does = [step.does for step in first]
    return first if all(one and one <= {Effect.UNMASK, Effect.START_DOVECOT} for one in does) else ()


def _stage(name: str, text: str, steps: tuple[PlannedStep, ...]) -> PlannedStage:
    return PlannedStage(name=_named(name), says=text, uninterrupted=False, verifies=False, steps=steps)


def _named(stage: str) -> str:
    return f"back-{stage}"


def _undoing(step: PlannedChange, observed: Mapping[str, str]) -> PlannedChange:
    assert step.undo is not None
    return PlannedChange(
        name=undone_by(step),
        says=f"Undo: {step.says}",
        because=f"it was done by this run: {step.because}",
        where=step.where,
        action=with_observed(step.undo, observed),
    )


def _undoings(steps: Sequence[PlannedChange], run: Run) -> tuple[PlannedChange, ...]:
    """The last first. Of two changes that undo each other, both seen done, with nothing between them that has to be
    undone, only the second is: it would be done again at once. What it brings back is looked for in any case.
    """
    kept: list[PlannedChange] = []
    settled: set[str] = set()
    for step in reversed(steps):
        last = next((one for one in reversed(kept) if one.name not in settled), None)
        if last and {step.name, last.name} <= run.seen_done and _opposite(step, last):
            kept.remove(last)
            settled.add(step.name)
        kept.append(step)
    return tuple(_undoing(step, run.observed) for step in kept)


def _opposite(one: PlannedChange, other: PlannedChange) -> bool:
    return _text(one.undo) == _text(other.action) and _text(one.action) == _text(other.undo)


def _text(action: Action | None) -> str | None:
    return action.command.text if action else None


def _opened(steps: tuple[PlannedChange, ...], run: Run) -> tuple[PlannedStep, ...]:
    """The changes on the backend, behind an approval of their own."""
    if not steps:
        return ()
    like = next((step for step in run.request.plan.steps if isinstance(step, PlannedApproval)), None)
    gate = PlannedApproval(
        name="approve-going-back",
        says=f"Undo {len(steps)} changes on {run.request.target.backend.name}",
        because="going back is a change like any other, and a second engineer has seen it first",
        gate=Gate.GO_BACK,
        length=like.length if like else _OPEN,
        repeats=like.repeats if like else (),
    )
    return (gate, *steps)


def _verifying(run: Run) -> tuple[PlannedStep, ...]:
    return tuple(
        step
        for stage in run.request.plan.stages
        if stage.verifies
        for step in stage.steps
        if isinstance(step, PlannedCheck)
    )


def _restoring(steps: tuple[PlannedChange, ...], run: Run) -> tuple[PlannedStep, ...]:
    """The restore approval, what gives the backend users again, and the forward plan's checks around that."""
    if not steps:
        return ()
    forward = run.request.plan.steps
    approval = run.request.plan.approval(Gate.RESTORE)
    assert approval is not None
    at = forward.index(approval)
    changes = [at for at, step in enumerate(forward) if Effect.RESTORE in step.does]
    first, last = min(changes, default=at), max(changes, default=at)
    checks_before = tuple(step for step in forward[at:first] if isinstance(step, PlannedCheck))
    checks_after = tuple(step for step in forward[last + 1 :] if isinstance(step, PlannedCheck))
    return (approval, *checks_before, *steps, *checks_after)


def no_way_back(run: Run) -> str:
    """Why this run cannot be turned round now, empty when it can."""
    if run.status is Status.ENDED:
        return "the run is over"
    if run.status is Status.TAKEN:
        return "somebody has taken over by hand"
    if run.turning:
        return "somebody has asked for that already"
    try:
        may_turn(run)
    except Refused as refused:
        return str(refused)
    return ""
