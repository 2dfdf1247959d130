"""Sees one check: what must be so, as long as it takes; then what is hoped for, for a while.

What is hoped for decides nothing: on a quiet ring nobody may log in for hours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from bot.core.plans.plan import PlannedCheck
from bot.core.runs import events as fact
from bot.core.text.duration import length
from bot.engine.looks.looking import Looking
from bot.engine.looks.observation import Observation
from bot.engine.ports import Clock


async def seen(step: PlannedCheck, looking: Looking, clock: Clock, in_vain: Callable[[], bool]) -> Observation:
    """What was seen in the end, judged by what the step expects alone; not waited for once it is asked `in_vain`."""
    hopes = step.hopes
    if hopes is None:
        return await looking.until(lambda now: now.verdict.holds is True or in_vain(), step.expect, step.within)
    held_first: datetime | None = None

    def enough(observation: Observation) -> bool:
        nonlocal held_first
        if in_vain():
            return True
        if not observation.part(step.expect).verdict.holds:
            return False
        held_first = held_first or clock.now()
        return observation.verdict.holds is True or clock.now() - held_first >= hopes.within

    observation = await looking.until(enough, (*step.expect, *hopes.expect), step.within + hopes.within)
    must, hope = observation.part(step.expect).verdict, observation.part(hopes.expect).verdict
    if must.holds and not hope.holds:
        must = replace(must, reason=f"{must.reason}; looked for in vain, for {length(hopes.within)}: {hope.reason}")
    return observation if observation.verdict.holds else replace(observation, verdict=must)


def came_of(step: PlannedCheck, observation: Observation) -> fact.StepDone | fact.StepFailed:
    """The fact of a check, of what was seen in the end."""
    reason, ran, readings = observation.verdict.reason, observation.ran, observation.seen
    if not observation.verdict.holds:
        return fact.StepFailed(step=step.name, reason=reason, ran=ran, seen=readings)
    return fact.StepDone(
        step=step.name,
        how=fact.How.RAN,
        ran=ran,
        seen=readings,
        reason=reason,
        remembered=observation.remembered(step.remember),
        attachment=observation.last_output() if step.attach else "",
    )
