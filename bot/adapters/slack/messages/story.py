"""What is needed to show a run, beyond its state: folded from the same facts. Pure; it decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.core.decisions.goback import may_turn
from bot.core.decisions.upnext import Sleep, next_action
from bot.core.plans.plan import PlannedCheck
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.fold import apply, begin
from bot.core.runs.run import Run, Status
from bot.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Story:
    """A run and what was said of it: since when it is as it is, the fact it holds at, and who approved when.

    `in_channel`: it has done more than look, or is about to, and has a thread from then on.
    """

    run: Run
    since: datetime
    in_channel: bool
    held: Entry | None = None
    taken: Entry | None = None
    approvals: tuple[Entry, ...] = ()
    users_before: Mapping[str, int] = field(default_factory=dict)

    @property
    def open_questions(self) -> tuple[Entry, ...]:
        """The facts whose messages have buttons that count now."""
        run = self.run
        skip = run.skip if run.status is Status.HELD else None
        asked = run.asked if run.status is Status.ASKING else None
        taken = self.taken if run.status is Status.TAKEN else None
        return tuple(entry for entry in (asked, self.held, skip, taken) if entry)


def told(story: Story | None, entry: Entry) -> Story:
    """The story after one more fact; raises Illegal as the fold does."""
    if story is None:
        run = begin(entry)
        return Story(run=run, since=entry.at, in_channel=_more_than_looks(run, entry))
    before, run = story.run, apply(story.run, entry)
    moved = (run.status, run.position, run.turning) != (before.status, before.position, before.turning)
    held = story.held
    if run.status is not Status.HELD:
        held = None
    elif run.held == entry.seq:  # also where it held before: only the buttons of the newest hold count
        held = entry if waits_for_people(run, entry) else None
    counted = isinstance(entry.fact, fact.UsersCounted) and not story.users_before
    approved = isinstance(entry.fact, fact.Approved)
    return replace(
        story,
        run=run,
        since=entry.at if moved else story.since,
        in_channel=story.in_channel or _more_than_looks(run, entry),
        held=held,
        taken=entry if isinstance(entry.fact, fact.TakenOver) else story.taken,
        approvals=(*story.approvals, entry) if approved else story.approvals,
        users_before=run.users if counted else story.users_before,
    )


def story_of(entries: Iterable[Entry]) -> Story | None:
    """The story that all these facts make."""
    story: Story | None = None
    for entry in entries:
        story = told(story, entry)
    return story


def _more_than_looks(run: Run, entry: Entry) -> bool:
    """Whether it is past a first stage of nothing but checks, or wants people there, or has come to a good end."""
    first = run.request.plan.stages[0]
    if not all(isinstance(step, PlannedCheck) for step in first.steps) or run.stage_begun not in {None, first.name}:
        return True
    match run.status:
        case Status.READY:
            return False
        case Status.HELD:
            return waits_for_people(run, entry)
        case Status.ENDED:
            return run.outcome not in {fact.Outcome.REFUSED, fact.Outcome.ABORTED}
        case _:
            return True


def waits_for_people(run: Run, entry: Entry) -> bool:
    """Whether a run that holds does so until somebody decides; one that has only looked is refused by itself."""
    return run.status is Status.HELD and isinstance(next_action(run, entry.at), Sleep)


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
