"""State = fold(facts): what a run remembers of each fact, once the table of transitions has let it pass.

Nothing here decides; a fact that cannot be is Illegal, and the state before it stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from bot.core.plans.plan import PlannedCheck
from bot.core.runs import events as fact
from bot.core.runs import remember
from bot.core.runs import remember_people as people
from bot.core.runs.events import Entry, RunRequested
from bot.core.runs.run import Run, replace
from bot.core.runs.transitions import EVERYWHERE, Status, status_after
from bot.errors import Illegal


def fold(entries: Iterable[Entry]) -> Run | None:
    """The state that the facts make, None when there are none; raises Illegal for facts that cannot be."""
    run: Run | None = None
    for entry in entries:
        run = follow(run, entry)
    return run


def follow(run: Run | None, entry: Entry) -> Run:
    """The run after one more fact, or after its first; raises Illegal for one that cannot be."""
    return begin(entry) if run is None else apply(run, entry)


def begin(entry: Entry) -> Run:
    """The run that its first fact makes."""
    if not isinstance(entry.fact, RunRequested) or entry.seq != 1:
        raise Illegal(f"run {entry.run} does not begin with its request")
    run = Run(
        id=entry.run,
        seq=1,
        request=entry.fact,
        target=entry.fact.target,
        began=entry.at,
        at=entry.at,
        since=entry.at,
        plan=entry.fact.plan,
    )
    return replace(run, in_channel=_more_than_looks(run))


def apply(run: Run, entry: Entry) -> Run:
    """The run after one more fact; raises Illegal when the table does not know it here."""
    if entry.run != run.id or entry.seq != run.seq + 1:
        raise Illegal(f"run {run.id}: fact {entry.seq} of {entry.run} cannot follow fact {run.seq}")
    kind = type(entry.fact)
    status = status_after(run.status, kind)
    if status is None:
        raise Illegal(f"run {run.id}, fact {entry.seq}: {kind.__name__} cannot happen while the run is {run.status}")
    last_decisive = run.last_decisive if kind in EVERYWHERE else entry.seq
    changed = replace(run, seq=entry.seq, at=entry.at, status=status, last_decisive=last_decisive)
    return _shown(run, _remember(changed, entry), entry)


def _shown(before: Run, run: Run, entry: Entry) -> Run:
    """What people see of it: since when, whether it has a thread, which buttons count, what closed a question."""
    changed = (run.status, run.position, run.turning) != (before.status, before.position, before.turning)
    held_at = before.held_at if run.status is Status.HELD else None
    if run.status is Status.HELD and run.held == entry.seq:  # also where it held before: the newest hold counts
        held_at = entry if run.waits_for_people else None
    since = entry.at if changed else before.since
    answers = {**run.answers, before.asked.seq: entry} if before.asked and run.asked is None else run.answers
    in_channel = before.in_channel or _more_than_looks(run)
    return replace(run, since=since, held_at=held_at, answers=answers, in_channel=in_channel)


def _more_than_looks(run: Run) -> bool:
    """Whether it is past a first stage of nothing but checks, or wants people there, or has come to a good end."""
    for first in run.request.plan.stages[:1]:
        if not all(isinstance(step, PlannedCheck) for step in first.steps) or run.stage_begun not in {None, first.name}:
            return True
    match run.status:
        case Status.READY:
            return False
        case Status.HELD:
            return run.waits_for_people
        case Status.ENDED:
            return run.outcome not in {fact.Outcome.REFUSED, fact.Outcome.ABORTED}
        case Status.BUSY | Status.DOUBT | Status.WAITING | Status.ASKING | Status.TAKEN:
            return True
        case _:
            assert_never(run.status)


def _remember(run: Run, entry: Entry) -> Run:  # noqa: C901, PLR0912  one case per kind, so that mypy names a new one
    match entry.fact:
        case fact.StageBegan() as new:
            return remember.stage_began(run, new, entry)
        case fact.StepStarted() as new:
            return remember.step_started(run, new, entry)
        case fact.StepDone() as new:
            return remember.step_done(run, new, entry)
        case fact.StepNotDone() as new:
            return remember.step_not_done(run, new)
        case fact.UsersCameBack() as new:
            return remember.came_back(run, new, entry)
        case fact.StepFailed() as new:
            return remember.step_failed(run, new, entry)
        case fact.WaitBegan() as new:
            return remember.wait_began(run, new)
        case fact.WaitGoesOn() as new:
            return remember.wait_goes_on(run, new)
        case fact.ApprovalAsked() as new:
            return people.approval_asked(run, new, entry)
        case fact.ApprovalRepeated() as new:
            return people.repeated(run, new)
        case fact.RingDeviated() as new:
            return remember.deviated(run, new, entry)
        case fact.RingSetBack() as new:
            return remember.set_back(run, new, entry)
        case fact.HostsProved() as new:
            return remember.proved(run, new, entry)
        case fact.BackendRebooted() as new:
            return remember.rebooted(run, new, entry)
        case fact.OthersCounted() as new:
            return remember.others(run, new)
        case fact.MonitorSaysUp():
            return remember.monitor(run)
        case fact.SettingsChanged() as new:
            return remember.settings_changed(run, new)
        case fact.SeenOut():
            return remember.seen_out(run, entry)
        case fact.TakenOver() as new:
            return people.taken(run, new, entry)
        case fact.Approved() as new:
            return people.approved(run, new, entry)
        case fact.ApprovalLapsed() as new:
            return people.lapsed(run, new, entry)
        case fact.Postponed() as new:
            return people.postponed(run, new, entry)
        case fact.LongerWaitChosen() as new:
            return people.longer_wait(run, new, entry)
        case fact.Denied():
            return people.denied(run)
        case fact.ApprovalExpired() as new:
            return people.expired(run, new, entry)
        case fact.RunHeld() as new:
            return remember.held(run, new, entry)
        case fact.RetryChosen():
            return people.retry(run, entry)
        case fact.SkipProposed():
            return people.skip_proposed(run, entry)
        case fact.SkipAgreed() as new:
            return people.skip_agreed(run, new, entry)
        case fact.GoBackAsked() as new:
            return people.go_back_asked(run, new, entry)
        case fact.TurnedBack() as new:
            return people.turned_back(run, new)
        case fact.UsersCounted() as new:
            return remember.users_counted(run, new, entry)
        case fact.RunEnded() as new:
            return remember.ended(run, new, entry)
        case fact.StepUnclear() as new:
            return remember.step_unclear(run, new)
        case fact.RunRequested() | fact.ApprovalRefused():
            return run
        case _:
            assert_never(entry.fact)
