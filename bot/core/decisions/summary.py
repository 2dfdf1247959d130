"""What a list shows of a run. Of one that has ended this is kept beside its facts, so that a list need not read them.

It is made from the facts alone, and can be made anew at any time; neither a record nor a decision reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from bot.core.decisions.goback import left_there
from bot.core.runs.events import Entry, Outcome
from bot.core.runs.fold import fold
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.errors import Illegal


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A run in a list. `reason` and `ticket` are what it was asked for with, `ended_because` why it ended so.

    `left` is what it left on its hosts, in words; `not_back` what was seen last of a backend that was not seen to be
    back; `people` are those whom `ended_because` may mention.
    """

    id: str
    began: datetime
    title: str
    backend: str
    requester: str
    channel: str
    reason: str
    ticket: str
    status: Status
    outcome: Outcome | None
    ended_because: str
    left: str
    not_back: str
    people: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunList:
    """The runs of a journal: `ended` of those that have ended, the newest first, `count` of them in all.

    `others` are all that have not, or cannot be read whole, the oldest first.
    """

    ended: tuple[Summary, ...] = ()
    count: int = 0
    others: tuple[str, ...] = ()


def summary_of(run: Run | Summary) -> Summary:
    """What a list shows of it; a summary is one already."""
    if isinstance(run, Summary):
        return run
    asked, over = run.request, run.status is Status.ENDED
    return Summary(
        id=run.id,
        began=run.began,
        title=asked.plan.title,
        backend=asked.target.backend.name,
        requester=asked.requester,
        channel=asked.channel,
        reason=asked.reason,
        ticket=asked.ticket,
        status=run.status,
        outcome=run.outcome,
        ended_because=run.reason if over else "",
        left=left_there(run),
        not_back=run.ring.not_back if over else "",
        people=mentioned(run),
    )


def mentioned(run: Run) -> tuple[str, ...]:
    """The people of a run, whom the bot's own sentences may mention."""
    return (*run.not_by, *(grant.by for grant in run.grants), *filter(None, (run.taken_by, run.ended_by)))


def ended_summary(entries: Iterable[Entry], flaw: str | None = None) -> Summary | None:
    """What a list shows of the run with these facts; None for one that has not ended, or is damaged (`flaw`)."""
    try:
        run = None if flaw else fold(entries)
    except Illegal:
        return None
    return summary_of(run) if run and run.status is Status.ENDED else None


def age(run: Run | Summary) -> tuple[datetime, str]:
    """What runs are sorted by: when they began."""
    return run.began, run.id


_SUMMARY = TypeAdapter(Summary)


def as_text(summary: Summary) -> str:
    """It as JSON."""
    return _SUMMARY.dump_json(summary, ensure_ascii=True).decode()


def from_text(text: str) -> Summary | None:
    """The summary that such text holds; None for text that this version of the bot cannot read."""
    try:
        return _SUMMARY.validate_json(text)
    except ValueError:
        return None
