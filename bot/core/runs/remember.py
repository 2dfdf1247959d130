"""What a run remembers of its steps, its ring and its end; of what people say: remember_people.py.

Nothing here decides; a fact that cannot be is Illegal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bot.core.hosts.since import reached
from bot.core.plans.effects import TAKE_USERS_AWAY, Effect, effects, takes_back
from bot.core.plans.plan import Expected, PlannedApproval, PlannedChange, PlannedCheck, PlannedStep
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.changed import never_began
from bot.core.runs.events import Entry
from bot.core.runs.ring_state import DEVIATIONS
from bot.core.runs.run import Run, replace
from bot.errors import Illegal


def named_step(run: Run, name: str) -> PlannedStep:
    """The step at hand, which the fact has to name; raises Illegal for another."""
    step = run.step
    if step is None or step.name != name:
        raise Illegal(f"run {run.id}, fact {run.seq}: step {name} is not the step at hand")
    return step


def next_step(run: Run) -> Run:
    """The run at the next step of its plan."""
    return replace(
        run, position=run.position + 1, attempt=0, failed=None, held=0, reason="", asked=None, skip=None, until=None
    )


def back_to(run: Run, name: str) -> Run:
    """The step is made again, and all after it: what they made is no longer relied on."""
    names = [step.name for step in run.plan.steps]
    if name not in names[: run.position + 1]:
        raise Illegal(f"run {run.id}, fact {run.seq}: {name} is no step that could be made again")
    position = names.index(name)
    gates = {step.gate for step in run.plan.steps[:position] if isinstance(step, PlannedApproval)}
    # What comes before the gate of an approval that has lapsed needs none of it; it is asked for at that gate.
    lapsed = run.lapsed if run.lapsed and run.lapsed.gate in gates else None
    again = replace(run, position=position, attempt=0, lapsed=lapsed, seen_done=run.seen_done - set(names[position:]))
    return again if position == run.position else replace(again, read_at={})


def calm(run: Run) -> Run:
    """People have dealt with what kept changing the ring."""
    return replace(run, ring=run.ring.calm())


def _touch(run: Run, step: PlannedStep) -> Run:
    """Also what was found done already counts: the run relies on it, so going back has to answer for it."""
    if not isinstance(step, PlannedChange) or run.plan.back or step in run.touched:
        return run
    return replace(run, touched=(*run.touched, step))


def keeps_up(run: Run, step: PlannedChange) -> Run:
    """The watch keeps it so from here on."""
    return run if run.plan.back else replace(run, ring=run.ring.keeps_up(step))


def stage_began(run: Run, new: fact.StageBegan, entry: Entry) -> Run:
    return replace(run, stage_begun=new.stage, stage_seq=entry.seq)


def step_started(run: Run, started: fact.StepStarted, entry: Entry) -> Run:
    step = named_step(run, started.step)
    run = replace(run, before_attempt=replace(run, before_attempt=None))
    run = replace(_touch(run, step), attempt=started.attempt, exited=None, boot_id=started.boot_id or run.boot_id)
    run = replace(run, sent=run.sent | {step.name})
    run = replace(run, ring=run.ring.takes_back(takes_back(started.command)))
    run = replace(run, not_after={**run.not_after, started.host: started.not_after})
    does = effects(started.command)
    if Effect.STOP_DOVECOT in does:
        run = replace(run, metacache=run.metacache.stop_sent(started))
    run = _out(run, step, entry)
    if does & {Effect.INSTALL, Effect.CONFIGURE} and Gate.FLUSH in run.granted:
        run = replace(run, reconfigured=True)
    if does & TAKE_USERS_AWAY:
        run = replace(run, ring=run.ring.sent(started.host, started.not_after))
    return run


def _heard(run: Run, commands: Sequence[fact.Ran]) -> Run:
    """Directors from which the end of a change was heard, or which certainly got none: nothing can still come there."""
    ended = {one.host for one in commands if (one.changes and one.exit_status is not None) or never_began(run, one)}
    ring = run.ring.heard(ended)
    was = run.before_attempt if any(never_began(run, one) for one in commands) else None
    if was is None:
        return replace(run, ring=ring)
    before = replace(run, touched=was.touched, sent=was.sent, reconfigured=was.reconfigured)
    return replace(before, ring=ring.as_before(was.ring))


def step_done(run: Run, done: fact.StepDone, entry: Entry) -> Run:
    step = named_step(run, done.step)
    if isinstance(step, PlannedApproval):
        raise Illegal(f"run {run.id}, fact {entry.seq}: an approval is given by somebody, not done")
    run = replace(
        _heard(run, done.ran),
        looks={**run.looks, step.name: done.reason},
        read_at={**run.read_at, step.name: entry.at},
        # What was there before must not be overwritten by what is there now, when a step is made again.
        observed={**(done.remembered or {}), **run.observed},
        seen_done=run.seen_done | {step.name},
        metacache=run.metacache.done(step, done),
    )
    if isinstance(step, PlannedChange):
        run = replace(run, ring=run.ring.takes_back(takes_back(step.action.command.text)))
        run = keeps_up(run, step) if step.does & TAKE_USERS_AWAY else run
    later = run.plan.steps[run.position + 1 :]
    if Effect.RESTORE in step.does and not any(Effect.RESTORE in one.does for one in later):
        run = replace(run, ring=run.ring.given_users_for_good(entry.at))
    if behind_the_restore(run) and _sees_it_up(step):
        run = replace(run, ring=run.ring.seen_back())
    if Effect.STOP_DOVECOT in step.does and run.must_hold:
        # What a boot had started again, this stop has ended: there is nothing to be stopped anew before it.
        run = replace(run, must_hold=dataclasses.replace(run.must_hold, back_to=""))
    return next_step(_touch(_out(run, step, entry), step))


def behind_the_restore(run: Run) -> bool:
    """Whether the step at hand is a check behind the last change that gives the backend users."""
    return isinstance(run.step, PlannedCheck) and run.position > _restored_at(run)


def seen_back(run: Run) -> bool:
    """Whether a check behind the restore saw that the directors have it up: it is back, whatever is skipped then."""
    checks = run.plan.steps[_restored_at(run) + 1 : run.position]
    return any(step.name in run.seen_done and _sees_it_up(step) for step in checks)


def _restored_at(run: Run) -> int:
    """The place of the last change that gives the backend users; behind all others where there is none."""
    gives = [at for at, step in enumerate(run.plan.steps) if Effect.RESTORE in step.does]
    return gives[-1] if gives else len(run.plan.steps)


def _sees_it_up(step: PlannedStep) -> bool:
    return any(one.asks.get("state") == "up" for one in _asks_directors(step))


def _asks_directors(step: PlannedStep) -> list[Expected]:
    return [one for one in step.expect if one.probe == "director-hosts"] if isinstance(step, PlannedCheck) else []


def _out(run: Run, step: PlannedStep, entry: Entry) -> Run:
    return replace(run, ring=run.ring.taken_out(entry.at)) if Effect.TAKES_VHOSTS in step.does else run


def step_unclear(run: Run, new: fact.StepUnclear) -> Run:
    exits = [one.exit_status for one in new.ran if one.changes]
    return replace(_heard(run, new.ran), exited=exits[-1] if exits else None)


def step_not_done(run: Run, new: fact.StepNotDone | fact.StepFailed) -> Run:
    return replace(_heard(run, new.ran), metacache=run.metacache.not_done(run.step, new))


def _stops(step: PlannedStep) -> bool:
    return Effect.STOP_DOVECOT in step.does


def _stops_a_service(step: PlannedStep) -> bool:
    return Effect.STOP in step.does and Effect.STOP_DOVECOT not in step.does


def step_failed(run: Run, new: fact.StepFailed, entry: Entry) -> Run:
    named_step(run, new.step)
    run = step_not_done(run, new)
    held = replace(run, failed=new.step, held=entry.seq, reason=new.reason)
    return replace(held, skip=None, judged_since=entry.seq)


def wait_began(run: Run, new: fact.WaitBegan) -> Run:
    named_step(run, new.step)
    return replace(run, until=new.until, clocks=new.clocks)


def wait_goes_on(run: Run, new: fact.WaitGoesOn) -> Run:
    named_step(run, new.step)
    return replace(run, until=new.until, clocks=new.clocks or run.clocks)


def held(run: Run, new: fact.RunHeld, entry: Entry) -> Run:
    if new.back_to:
        run = back_to(run, new.back_to)
    failed = run.step.name if run.step else None
    held = replace(run, failed=failed, held=entry.seq, reason=new.reason, ring=run.ring.reported())
    return replace(held, asked=None, until=None, turning=False, skip=None, must_hold=None, judged_since=entry.seq)


def came_back(run: Run, new: fact.UsersCameBack, entry: Entry) -> Run:
    again = back_to(run, new.back_to)
    return replace(again, ring=run.ring.users_came_back(), judged_since=entry.seq)


def deviated(run: Run, new: fact.RingDeviated, entry: Entry) -> Run:
    deviated = replace(run, ring=run.ring.deviated(new))
    if new.helpless:
        return _must_hold(deviated, entry, fact.RunHeld(reason=new.helpless))
    return (
        replace(deviated, last_decisive=entry.seq) if deviated.ring.times == DEVIATIONS > run.ring.times else deviated
    )


def _must_hold(run: Run, entry: Entry, held: fact.RunHeld) -> Run:
    """What is seen before the run can hold takes nothing from what was seen before it."""
    if (before := run.must_hold) is not None:
        names = [step.name for step in run.plan.steps]
        back = min({before.back_to, held.back_to} - {""}, key=names.index, default="")
        again = held.reason in before.reason
        held = fact.RunHeld(reason=before.reason if again else f"{before.reason}. And: {held.reason}", back_to=back)
    return replace(run, must_hold=held, last_decisive=entry.seq)


def set_back(run: Run, new: fact.RingSetBack, entry: Entry) -> Run:
    return replace(run, ring=run.ring.set_back(new, entry.at))


def proved(run: Run, new: fact.HostsProved, entry: Entry) -> Run:
    read_at = {**run.read_at, fact.HostsProved.__name__: entry.at}
    return replace(run, proved=new, boot_id=new.boot_id, read_at=read_at)


def rebooted(run: Run, booted: fact.BackendRebooted, entry: Entry) -> Run:
    run = replace(run, boot_id=booted.boot_id, metacache=run.metacache.booted(), last_decisive=entry.seq)
    if not booted.lost or run.ring.given_back:
        return run
    # A service that was stopped alone runs again with its dovecot.
    runs = any(_stops(step) for step in run.made if step.name == booted.lost)
    services = {step.name for step in run.made if runs and _stops_a_service(step)}
    looks = {name: look for name, look in run.looks.items() if name not in services}
    run = replace(run, seen_done=run.seen_done - services, looks=looks)
    reason = f"{booted.host} was booted, and {booted.reason}"
    return _must_hold(run, entry, fact.RunHeld(reason=reason, back_to=booted.lost))


def others(run: Run, new: fact.OthersCounted) -> Run:
    return replace(run, ring=run.ring.others_counted(new))


def monitor(run: Run) -> Run:
    return replace(run, ring=run.ring.reported_up())


def settings_changed(run: Run, new: fact.SettingsChanged) -> Run:
    return replace(run, settings=new, target=reached(run.request.target, {**new.directors, **new.backends}))


def seen_out(run: Run, entry: Entry) -> Run:
    return replace(run, ring=run.ring.taken_out_by_hand(entry.at))


def users_counted(run: Run, new: fact.UsersCounted, entry: Entry) -> Run:
    return replace(run, ring=run.ring.counted(new.users, entry.at))


def ended(run: Run, new: fact.RunEnded, entry: Entry) -> Run:
    # By nobody: every director was seen to give it users, where this run had not been seen to do so itself before.
    given = run.ring.out_until is not None and not run.ring.not_back
    if new.outcome is fact.Outcome.TAKEN_OVER and not new.by and not given:
        run = replace(run, ring=run.ring.given_users_for_good(entry.at))
    return replace(run, outcome=new.outcome, reason=new.reason or run.reason, ended_by=new.by)
