"""The laws, judged by what hosts did and when: nothing twice, nothing unapproved, never two backends out.

Each judge takes the evidence of one scene and returns what broke its law. threads.py judges what people were told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Where
from bot.core.runs.events import StepDone, UsersCameBack
from bot.practice.values import Ran
from tests.chaos.evidence import Broken, Evidence, Sample, bare, hosts_of, is_look

GUARD_REFUSED = 97
"""What a guarded delete answers when it found dovecot running: it deleted nothing."""

_FLUSH = re.compile(r"doveadm director flush |systemctl (stop|restart|kill) dovecot|doveadm (service )?stop\b")
ZERO = re.compile(r"doveadm director update \S+ 0+$")
_RESTORE = re.compile(r"doveadm director (up \S+|update \S+ 0*[1-9])")
_DELETES = re.compile(r"(^|[^a-z])rm -|-delete\b")


def repeated(seen: Evidence) -> Iterator[Broken]:
    """No change begins again before its effect was looked up; none whose effect was there to be seen.

    Where there is nothing to look at, not before the first one has ended.

    On a director a second one may run beside one that hangs, and overtake it (see the law on what is late); a boot
    undoes what is of the runtime.
    """
    for plan, began, ended in seen.followed:
        for step in plan.changes:
            ran = [one for one in seen.ran(step.action.command.text) if began <= one.at < ended]
            for first, second in pairwise(ran):
                if what := _wrongly_again(seen, step, first, second):
                    text = f"{second.command} on {second.host} at {_clock(second.at)}"
                    yield Broken(law="repeated", what=f"{text}: {what}")


def _wrongly_again(seen: Evidence, step: PlannedChange, first: Ran, second: Ran) -> str:
    heard = _heard(seen, first)
    if step.where is not Where.BACKEND:
        if (second.not_after or 0) < (first.not_after or 0):
            return ""
        heard = first.at if _hung(seen, first.at, second.at) else heard
    if heard > second.at:
        return f"began again while that of {_clock(first.at)} on {first.host} still ran"
    if step.repeatable and not step.action.done_when:
        return _known_done(seen, step, first, second)
    look = _looked(seen, step, heard, second.at)
    if look is None:
        return f"began again without a look at what that of {_clock(first.at)} on {first.host} had done"
    booted = any(first.at <= at <= second.at for at in seen.reboots)
    done = not booted and first.exit_status == 0 and first.finished is not None and first.finished < look
    if done and (step.where is Where.BACKEND or not seen.ring_disturbed):
        return f"began again although that of {_clock(first.at)} on {first.host} had succeeded"
    return ""


def _known_done(seen: Evidence, step: PlannedChange, first: Ran, second: Ran) -> str:
    """Of what cannot be looked at, the bot knows what it has recorded; it is done again where users came back."""
    between = [one.fact for one in seen.entries if first.at <= one.at <= second.at]
    done = any(isinstance(one, StepDone) and one.step == step.name for one in between)
    if done and not any(isinstance(one, UsersCameBack) for one in between):
        return f"began again although that of {_clock(first.at)} on {first.host} was recorded as done"
    return ""


def _hung(seen: Evidence, after: datetime, before: datetime) -> bool:
    """Whether a director was stopped at some time between the two."""
    known = [sample for sample in seen.samples if sample.at <= before]
    return any(
        one.hanging for number, one in enumerate(known) if number + 1 == len(known) or known[number + 1].at > after
    )


def _heard(seen: Evidence, ran: Ran) -> datetime:
    """When the command ended for the bot: at its end, or when the bot was killed or cut off from it before."""
    if any(part in ran.command for part in seen.unheard):
        return ran.at
    cuts = [at for at in seen.interrupted if ran.at <= at and (ran.finished is None or at <= ran.finished)]
    return min([*cuts, *([ran.finished] if ran.finished else [])], default=datetime.max.replace(tzinfo=ran.at.tzinfo))


def _looked(seen: Evidence, step: PlannedChange, after: datetime, before: datetime) -> datetime | None:
    """When the last look at all of the step's done_when between the two began; None when it was not looked at."""
    last = [
        max(
            (one.at for one in seen.log if after <= one.at < before and is_look(one, expected, seen.target)),
            default=None,
        )
        for expected in step.action.done_when
    ]
    return min((at for at in last if at), default=None) if all(last) else None


def unapproved(seen: Evidence) -> Iterator[Broken]:
    """No flush and no stop, no vhosts and no up, before the click that approved it; nothing deleted under dovecot."""
    for ran in seen.log:
        text = bare(ran.command)
        for pattern, gate in ((_FLUSH, "flush"), (_RESTORE, "restore")):
            if pattern.search(text) and not _clicked(seen, gate, ran.at):
                yield Broken(law="unapproved", what=f"{text} on {ran.host} at {_clock(ran.at)} before the {gate} click")
        if _DELETES.search(text) and ran.exit_status != GUARD_REFUSED and _active(seen, ran):
            yield Broken(law="unapproved", what=f"{text} at {_clock(ran.at)} while dovecot was active on {ran.host}")
    yield from _unseen(seen)


def _clicked(seen: Evidence, gate: str, before: datetime) -> bool:
    return any(one.action == "approve" and one.gate == gate and one.at < before for one in seen.clicks)


def _active(seen: Evidence, ran: Ran) -> bool:
    """Whether dovecot ran when the command began: by the last sample, unless a stop has ended since."""
    before = [sample for sample in seen.samples if sample.at <= ran.at]
    if not before or ran.host not in before[-1].active:
        return False
    stops = [one for one in seen.ran("systemctl stop dovecot") if one.host == ran.host and one.finished]
    return not any(before[-1].at <= one.finished <= ran.at for one in stops if one.finished)


def _unseen(seen: Evidence) -> Iterator[Broken]:
    """A stage's first change runs only when its announcement stands in Slack: people must be able to see it."""
    for plan, began, ended in seen.followed:
        for number, stage in enumerate(plan.stages, start=1):
            first = next((step for step in stage.steps if isinstance(step, PlannedChange)), None)
            every = seen.ran(first.action.command.text) if first else []
            ran = [one for one in every if began <= one.at < ended]  # the way back has some commands of the plan, too
            announced = f"Stage {number} of {len(plan.stages)} begins: {stage.says}"
            told = [float(one.ts) for one in seen.thread if announced in one.text]
            if ran and not plan.back and (not told or min(told) > ran[0].at.timestamp()):
                yield Broken(law="unapproved", what=f"{ran[0].command} ran before anybody could see stage {stage.name}")


def two_out(seen: Evidence) -> Iterator[Broken]:
    """Never two backends of the ring at vhosts 0 or down, on any director that knows the ring.

    Where the case itself takes the others away, only what the bot sends tells: see the harness's law of this name.
    """
    for sample in seen.samples if not seen.others_gone else ():
        if len(sample.out) > 1:
            yield Broken(law="two_out", what=f"{', '.join(sorted(sample.out))} at {_clock(sample.at)}")
            return
    strangers = hosts_of(seen.target, Where.ONE_DIRECTOR) | {seen.target.backend.name}
    if other := next((ran for step in seen.changes for ran in _of(seen, step) if ran.host not in strangers), None):
        yield Broken(law="two_out", what=f"{other.command} ran on {other.host}, which is no host of this run")


def _of(seen: Evidence, step: PlannedChange) -> list[Ran]:
    return seen.ran(step.action.command.text)


WATCHED = timedelta(seconds=6)
"""How long a director may give users to a backend that is out, in a scene whose ring is looked at every second."""


def unwatched(seen: Evidence) -> Iterator[Broken]:
    """While the backend is out, a director that gives it users again is set back soon: it was lost from sight else.

    Not while no other backend can be used: then it is left to its users. Nor can a bot that is dead watch anything.
    """
    zero = next((ran.finished for ran in seen.log if ZERO.search(bare(ran.command)) and ran.finished), None)
    if zero is None:
        return
    back = [ran.at for ran in seen.log if _RESTORE.search(bare(ran.command)) and ran.at > zero]
    end = min([*back, seen.entries[-1].at])
    last = Sample(at=end, out=frozenset(), active=frozenset())
    since: datetime | None = None
    for sample in (*(one for one in seen.samples if one.at < end), last):
        if since is not None and sample.at - max(since, zero, _there_since(seen, sample.at)) > WATCHED:
            yield Broken(law="lost", what=f"from {_clock(since)} on a director gave users to the backend that is out")
            return
        name = seen.target.backend.name
        usable = name in sample.usable and bool(sample.usable - {name})
        since = (since or sample.at) if usable else None


def _there_since(seen: Evidence, at: datetime) -> datetime:
    """When the bot that lived at that moment had come up."""
    return max((one for one in seen.started if one <= at), default=seen.entries[0].at)


def in_take_down(seen: Evidence, at: datetime) -> bool:
    """Whether a moment lies between the first stop and a little after the last flush: users may notice that.

    Where they had all been forgotten before it, the flush is found done, and never sent. Not where they are moved
    before anything stops.
    """
    if seen.target.ring.moves_first:
        return False
    stops = [ran.at for ran in seen.log if "systemctl stop dovecot" in ran.command]
    flushes = [ran.finished or ran.at for ran in seen.log if "doveadm director flush" in ran.command]
    found = [one.at for one in seen.entries if isinstance(one.fact, StepDone) and one.fact.step == "flush-users"]
    return bool(stops) and stops[0] <= at <= max([*(flushes or found), stops[0]]) + timedelta(seconds=4)


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S.%f}"[:-3]
