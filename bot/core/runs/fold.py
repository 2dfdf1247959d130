"""State = fold(facts): what a run remembers of each fact, once the table of transitions has let it pass.

Nothing here decides; a fact that cannot be is Illegal, and the state before it stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from bot.core.plans.plan import PlannedCheck
from bot.core.runs import events as fact
from bot.core.runs import remember
from bot.core.runs.events import Entry, RunRequested
from bot.core.runs.run import EVERYWHERE, TRANSITIONS, Run, Status
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
        id=entry.run, seq=1, request=entry.fact, began=entry.at, at=entry.at, since=entry.at, plan=entry.fact.plan
    )
    return replace(run, in_channel=_more_than_looks(run))


def apply(run: Run, entry: Entry) -> Run:
    """The run after one more fact; raises Illegal when the table does not know it here."""
    if entry.run != run.id or entry.seq != run.seq + 1:
        raise Illegal(f"run {run.id}: fact {entry.seq} of {entry.run} cannot follow fact {run.seq}")
    kind = type(entry.fact)
    allowed = TRANSITIONS[run.status]
    if kind not in allowed and (kind not in EVERYWHERE or run.status is Status.ENDED):
        raise Illegal(f"run {run.id}, fact {entry.seq}: {kind.__name__} cannot happen while the run is {run.status}")
    moved = replace(run, seq=entry.seq, at=entry.at, status=allowed.get(kind, run.status))
    if kind in allowed:
        moved = replace(moved, moved=entry.seq)
    return _shown(run, _remember(moved, entry), entry)


def _shown(before: Run, run: Run, entry: Entry) -> Run:
    """What people see of it: since when, whether it has a thread, which buttons count, what closed a question."""
    changed = (run.status, run.position, run.turning) != (before.status, before.position, before.turning)
    held_at = before.held_at if run.status is Status.HELD else None
    if run.status is Status.HELD and run.held == entry.seq:  # also where it held before: the newest hold counts
        held_at = entry if run.waits_for_people else None
    since = entry.at if changed else before.since
    if before.asked and run.asked is None:
        run = replace(run, answers={**run.answers, before.asked.seq: entry})
    return replace(run, since=since, held_at=held_at, in_channel=before.in_channel or _more_than_looks(run))


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
        case _:
            return True


def _remember(run: Run, entry: Entry) -> Run:  # noqa: C901, PLR0912  one case per kind, so that mypy names a new one
    match entry.fact:
        case fact.StageBegan():
            return remember.stage_began(run, entry)
        case fact.StepStarted():
            return remember.step_started(run, entry)
        case fact.StepDone():
            return remember.step_done(run, entry)
        case fact.StepNotDone():
            return remember.step_not_done(run, entry)
        case fact.UsersCameBack():
            return remember.came_back(run, entry)
        case fact.StepFailed():
            return remember.step_failed(run, entry)
        case fact.WaitBegan():
            return remember.wait_began(run, entry)
        case fact.WaitGoesOn():
            return remember.wait_goes_on(run, entry)
        case fact.ApprovalAsked():
            return remember.approval_asked(run, entry)
        case fact.ApprovalRepeated():
            return remember.repeated(run, entry)
        case fact.RingDeviated():
            return remember.deviated(run, entry)
        case fact.RingSetBack():
            return remember.set_back(run, entry)
        case fact.HostsProved():
            return remember.proved(run, entry)
        case fact.BackendRebooted():
            return remember.rebooted(run, entry)
        case fact.OthersCounted():
            return remember.others(run, entry)
        case fact.MonitorSaysUp():
            return remember.monitor(run, entry)
        case fact.TakenOver():
            return remember.taken(run, entry)
        case fact.Approved():
            return remember.approved(run, entry)
        case fact.ApprovalLapsed():
            return remember.lapsed(run, entry)
        case fact.Postponed():
            return remember.postponed(run, entry)
        case fact.LongerWaitChosen():
            return remember.longer_wait(run, entry)
        case fact.Denied():
            return remember.denied(run, entry)
        case fact.ApprovalExpired():
            return remember.expired(run, entry)
        case fact.RunHeld():
            return remember.held(run, entry)
        case fact.RetryChosen():
            return remember.retry(run, entry)
        case fact.SkipProposed():
            return remember.skip_proposed(run, entry)
        case fact.SkipAgreed():
            return remember.skip_agreed(run, entry)
        case fact.GoBackAsked():
            return remember.go_back_asked(run, entry)
        case fact.TurnedBack():
            return remember.turned_back(run, entry)
        case fact.UsersCounted():
            return remember.counted(run, entry)
        case fact.RunEnded():
            return remember.ended(run, entry)
        case fact.RunRequested() | fact.StepUnclear() | fact.ApprovalRefused():
            return run
        case _:
            assert_never(entry.fact)
