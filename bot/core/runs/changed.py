"""What a run has changed and has left out, as far as that was seen. On its way back, what was undone counts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bot.core.plans.effects import Effect, effects
from bot.core.plans.plan import Plan, PlannedChange, PlannedStep
from bot.core.runs.events import Ran
from bot.core.runs.run import Run


def never_began(run: Run, ran: Ran) -> bool:
    """Whether this is the change at hand, and certainly never began: it has changed nothing then, and has no end."""
    text = run.step.action.command.text if isinstance(run.step, PlannedChange) else None
    return ran.command == text and not ran.changes and ran.exit_status is None


def never_set_back(ran: Ran) -> bool:
    """Whether this was to set the ring back, and certainly never began; no look has effects."""
    return bool(effects(ran.command)) and not ran.changes


def undone_by(step: PlannedChange) -> str:
    """The name of the step on the way back that undoes this one."""
    return f"undo-{step.name}"


def in_effect(run: Run) -> tuple[PlannedChange, ...]:
    """The changes of the forward plan that were seen done, and not seen to be undone since, in order."""
    return tuple(step for step in run.made if undone_by(step) not in run.seen_done)


def in_doubt(run: Run) -> tuple[PlannedChange, ...]:
    """Those that were begun, and seen neither to be done nor to be undone."""
    return tuple(step for step in run.touched if not run.seen_done & {step.name, undone_by(step)})


def last_in_effect(run: Run, *effects: Effect) -> PlannedChange | None:
    """The last change in effect that had one of these effects."""
    return next((step for step in reversed(in_effect(run)) if step.does & set(effects)), None)


def at_zero(run: Run) -> bool:
    """Whether the backend has vhost count 0, as far as it was seen last: this run took them, and none were given."""
    taken = any(Effect.TAKES_VHOSTS in step.does for step in run.made)
    return taken and not (run.ring.given_users or Effect.TAKES_VHOSTS in run.ring.given_back)


def stops_it(plan: Plan) -> PlannedStep | None:
    """The step from which its users are served no more: a stop of dovecot; without one, whatever else they notice."""
    first = next((step for step in plan.steps if Effect.STOP_DOVECOT in step.does), None)
    # Without a stop of dovecot, packages are installed while it runs, and start it anew.
    return first or next((step for step in plan.steps if step.disturbs or Effect.INSTALL in step.does), None)


def users_wait_until(plan: Plan, stop: PlannedStep) -> str:
    """What ends the wait of users who are mapped to the backend when this stops it, in words."""
    after = (one.does & {Effect.FLUSH, Effect.START_DOVECOT} for one in plan.steps[plan.steps.index(stop) :])
    first = next(filter(None, after), frozenset[Effect]())
    return "they are moved" if Effect.FLUSH in first else "dovecot is started again"


_BRINGS = re.compile(r"(\S+) (\S+) → (\S+)")


def versions(run: Run, installed: str) -> Iterator[tuple[str, str, str]]:
    """Each package that the run changes, from which version to which: the one in `installed`, else that of the plan."""
    now = by_name(installed)
    for found in filter(None, map(_BRINGS.fullmatch, run.request.plan.brings)):
        name, before, after = found.groups()
        yield name, now.get(name, before), after


def by_name(installed: str) -> dict[str, str]:
    """A list NAME=VERSION NAME=VERSION …, as a table."""
    return dict(one.split("=", 1) for one in installed.split() if "=" in one)
