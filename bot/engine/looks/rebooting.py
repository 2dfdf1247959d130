"""Looks again at what a run believed of its backend, once that was booted while it was out.

A boot may start dovecot, or lose what the run made.
"""

from __future__ import annotations

from bot.core.hosts.identity import not_proved_to_be
from bot.core.plans.effects import Effect
from bot.core.plans.plan import PlannedChange
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.engine.looks.looking import Looking
from bot.engine.ports import Hosts
from bot.errors import HostError


async def after_boot(run: Run, boot_id: str, looking: Looking) -> fact.BackendRebooted:
    """The fact of a boot, with what is left of what this run made there. Changes nothing."""
    nothing = "each step looks again at what it needs" if run.made else "this run had changed nothing there"
    host = run.target.backend.name
    booted = fact.BackendRebooted(host=host, boot_id=boot_id, was=run.boot_id, reason=nothing)
    for step in _relied_on(run):
        observation = await looking.until_seen(step.action.done_when, step.action.within)
        reason = observation.verdict.reason
        booted = fact.BackendRebooted(
            host=booted.host,
            boot_id=boot_id,
            was=run.boot_id,
            reason=f"“{step.says}” is no longer seen to be done: {reason}"
            if not observation.verdict.holds
            else f"all is as it was left: {reason}",
            lost="" if observation.verdict.holds else step.name,
            ran=(*booted.ran, *observation.ran),
            seen=(*booted.seen, *observation.seen),
        )
        if booted.lost:
            return booted
    return booted


async def booted_since(run: Run, hosts: Hosts, looking: Looking) -> fact.BackendRebooted | None:
    """That the backend was booted since the run last knew; None where it was not, or is not heard."""
    try:
        identity = await hosts.identity(run.target.backend)
    except HostError:
        return None
    if not_proved_to_be(run.target.backend, identity):
        return None  # another host answers to its name: its boots are not this backend's
    return await after_boot(run, identity.boot_id, looking) if identity.boot_id != run.boot_id else None


def _relied_on(run: Run) -> list[PlannedChange]:
    """What has to be so still, the first one first: whether dovecot runs, and whether it is masked."""
    if run.plan.back or run.ring.given_back:
        return []
    dovecot = any(Effect.STOP_DOVECOT in step.does for step in (*run.made, *run.skipped))
    if run.made_by(Effect.STOP) and not dovecot and not run.made_by(Effect.START_DOVECOT):
        return [step for step in (run.made_by(Effect.STOP),) if step]  # a service that runs again after a boot
    service = max(
        (step for step in (run.made_by(Effect.STOP_DOVECOT), run.made_by(Effect.START_DOVECOT)) if step),
        key=run.made.index,
        default=None,
    )
    masked, unmasked = run.made_by(Effect.MASK), run.made_by(Effect.UNMASK)
    started = run.made_by(Effect.START_DOVECOT)
    if started or (masked and unmasked and run.made.index(unmasked) > run.made.index(masked)):
        masked = None
    return [step for step in (service, masked) if step]
