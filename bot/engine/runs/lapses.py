"""What a look right before a change says against it: against what people approved, or the run made, or beside a rule.

Pure: from the run as it was when the change was decided, and the look.
"""

from __future__ import annotations

from bot.core.decisions.as_shown import as_shown, differences, users_there_now
from bot.core.decisions.guards import (
    NOBODY_IS_MAPPED,
    Standing,
    as_verified,
    moved_again_from,
    moved_before,
    shown_now,
)
from bot.core.plans.effects import Effect
from bot.core.plans.plan import PlannedChange
from bot.core.runs.events import ApprovalLapsed, BackendRebooted, Fact, StepDone, StepFailed, UsersCameBack
from bot.core.runs.run import Run
from bot.engine.looks.observation import Observation

_MOVES = 3
"""How often users who came back are moved again before a person is asked."""


def lapse(step: PlannedChange, decided: Run, observation: Observation) -> ApprovalLapsed | None:
    """The lapse of the approval that the change stands behind, where something is not what it was given for."""
    return (
        _not_as_shown(step, decided, observation)
        or users_there_now(decided, step, observation.seen)
        or _not_as_verified(step, decided, observation)
    )


def _not_as_shown(step: PlannedChange, decided: Run, observation: Observation) -> ApprovalLapsed | None:
    """The backend is not as the flush approval showed it."""
    shown = shown_now(decided)
    observation = observation.part(as_shown(shown, decided.plan))
    if not shown or decided.grant is None or observation.verdict.holds is not False:
        return None
    reason = f"what it showed is not so any more: {differences(shown, observation.looks)}"
    return ApprovalLapsed(gate=decided.grant.gate, reason=reason, at=step.name)


def _not_as_verified(step: PlannedChange, decided: Run, observation: Observation) -> ApprovalLapsed | None:
    """Packages or configuration are not those that the restore approval was given for."""
    if Effect.RESTORE not in step.does or decided.grant is None:
        return None
    verified = as_verified(Standing(back=decided.plan.back, disturbed=True, verified=decided.verified))
    verdict = observation.part(verified).verdict
    if verdict.holds is not False:
        return None
    reason = f"what was verified is not so any more: {verdict.reason}"
    return ApprovalLapsed(gate=decided.grant.gate, reason=reason, at=step.name)


def moved_again(step: PlannedChange, decided: Run, observation: Observation) -> UsersCameBack | None:
    """The users who came back before the stop are moved again; not for ever."""
    moved = moved_before(decided.plan, step)
    if moved is None or decided.ring.came_back >= _MOVES:
        return None
    back = observation.part((NOBODY_IS_MAPPED,))
    again = moved_again_from(decided.plan, moved)
    return UsersCameBack(back_to=again.name, reason=back.verdict.reason, ran=back.ran, seen=back.seen)


def forbidden(step: PlannedChange, against: str, found: Fact | None) -> Fact:
    """What comes of a change that a rule is `against`: it is not begun, with all else that is against it.

    `found`: the fact that its look made, None where it could be sent. What is done already is done by whoever did it,
    and a boot is known before anything else is judged.
    """
    if isinstance(found, StepDone | BackendRebooted):
        return found
    reason = f"not begun: {against}"
    if isinstance(found, StepFailed | UsersCameBack | ApprovalLapsed):
        reason += f". Besides, this was seen now: {found.reason.removeprefix('not begun: ')}"
    looked = found if isinstance(found, StepFailed | UsersCameBack) else None
    return StepFailed(
        step=step.name, reason=reason, ran=looked.ran if looked else (), seen=looked.seen if looked else ()
    )
