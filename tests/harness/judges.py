"""The laws, judged by what began on the hosts and how the ring was then; nothing here is what the bot says it did.

The facts count for one thing only: when people approved, and when the run had settled what came before a command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Gate, Where
from bot.core.runs import events as fact
from bot.core.runs.fold import apply, begin
from bot.core.runs.transitions import Status
from tests.chaos.evidence import is_look
from tests.harness.evidence import Begun, Evidence

SETTLED = timedelta(seconds=5)
"""What has been so for longer than this was there to be seen in the look that precedes a command."""

LATE_AFTER = timedelta(seconds=10)
"""A command without a fence that begins so long after it was sent has lain somewhere."""

_ZERO = r"doveadm director update \S+ 0+$"
_DOWN = r"doveadm director down "
_FLUSH = r"doveadm director flush "
_STOP = r"systemctl (stop|restart|kill) dovecot\b|doveadm (service )?stop\b"
_VHOSTS = r"doveadm director update \S+ 0*[1-9]"
_UP = r"doveadm director up "
_START = r"systemctl (start|restart) dovecot\b"
_DELETE = r"(^|[^a-z])rm -|-delete\b"
_OTHER = r"systemctl (un)?mask |doveadm reload|apt-get --yes (?!--download-only)|mv -T|tar --extract"
CHANGES = "|".join((_ZERO, _DOWN, _FLUSH, _STOP, _VHOSTS, _UP, _START, _DELETE, _OTHER))

_TAKES = re.compile("|".join((_ZERO, _DOWN, _FLUSH, _STOP)))
_OPPOSITES = ((_ZERO, _VHOSTS), (_DOWN, _UP), (_FLUSH, f"{_VHOSTS}|{_UP}"), (_STOP, _START), (_DELETE, _START))
_GATES = ((re.compile(f"{_FLUSH}|{_STOP}"), Gate.FLUSH), (re.compile(f"{_VHOSTS}|{_UP}"), Gate.RESTORE))
_SETTLES = (
    fact.StageBegan,
    fact.StepDone,
    fact.StepNotDone,
    fact.StepUnclear,
    fact.StepFailed,
    fact.Approved,
    fact.RetryChosen,
    fact.TurnedBack,
)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A law that a run broke, and how."""

    law: str
    what: str


Judge = Callable[[Evidence], Iterator[Broken]]


def _said(one: Begun) -> str:
    return f"`{one.text}` on {one.ran.host} at {one.ran.at:%H:%M:%S.%f}"


def _changes(seen: Evidence) -> Iterator[Begun]:
    return (one for one in seen.begun if one.ran.not_after is not None or re.search(CHANGES, one.text))


# what is made, and whether it may be


def repeated(seen: Evidence) -> Iterator[Broken]:
    """No change begins again before its effect was looked up; on a backend, not while the earlier one still runs."""
    for plan, began, ended in seen.followed:
        for step in plan.changes:
            ran = [one for one in seen.begun if one.text == step.action.command.text and began <= one.sent < ended]
            for first, second in pairwise(ran):
                if step.where is Where.BACKEND and (first.ran.finished is None or first.ran.finished > second.ran.at):
                    yield Broken(law="repeated", what=f"{_said(second)} while that of {first.ran.at:%H:%M:%S.%f} ran")
                elif not any(_looked(seen, same, first, second) for same in plan.changes if _text(same) == _text(step)):
                    yield Broken(
                        law="repeated", what=f"{_said(second)} without a look since {first.ran.at:%H:%M:%S.%f}"
                    )


def _text(step: PlannedChange) -> str:
    """Two steps may have the same command: users are moved before the stop, and again after it."""
    return step.action.command.text


def _looked(seen: Evidence, step: PlannedChange, first: Begun, second: Begun) -> bool:
    between = [one.ran for one in seen.begun if first.ran.at <= one.ran.at <= second.ran.at]
    return all(any(is_look(ran, expected, seen.target) for ran in between) for expected in step.action.done_when)


def unapproved(seen: Evidence) -> Iterator[Broken]:
    """No flush and no stop before the flush approval, no vhosts and no up before the restore approval."""
    for one in seen.begun:
        for pattern, gate in _GATES:
            if pattern.search(one.text) and not _approved(seen, gate, one.sent):
                yield Broken(law="unapproved", what=f"{_said(one)} before the {gate} approval")
        if re.search(_DELETE, one.text) and one.ran.exit_status == 0 and one.ran.host in one.moment.serving:
            yield Broken(law="unapproved", what=f"{_said(one)} while dovecot served")


def _approved(seen: Evidence, gate: Gate, before: datetime) -> bool:
    given = (entry for entry in seen.entries if isinstance(entry.fact, fact.Approved) and entry.at <= before)
    return any(isinstance(entry.fact, fact.Approved) and entry.fact.gate is gate for entry in given)


def two_out(seen: Evidence) -> Iterator[Broken]:
    """The bot takes one backend of the ring out, and no other."""
    for one in seen.begun:
        words = one.text.split()
        if re.search(f"{_ZERO}|{_DOWN}|{_FLUSH}", one.text) and seen.target_ip not in words:
            yield Broken(law="two_out", what=f"{_said(one)}, which is another backend")


# where and when it is made


def last_taken(seen: Evidence) -> Iterator[Broken]:
    """Nothing takes users from the backend while no other one is usable; a stop does not where nobody is mapped."""
    for one in seen.begun:
        if not _TAKES.search(one.text) or _others(seen, one) or not one.moment.known:
            continue
        if re.search(_STOP, one.text) and seen.target_ip not in one.moment.given | one.moment.mapped:
            continue
        since = _alone_since(seen, one)
        if one.sent - since > SETTLED or since <= _settled(seen, one):
            yield Broken(law="last_taken", what=f"{_said(one)}, no other backend usable since {since:%H:%M:%S.%f}")


def _others(seen: Evidence, one: Begun) -> frozenset[str]:
    return one.moment.usable - {seen.target_ip}


def _alone_since(seen: Evidence, one: Begun) -> datetime:
    since = one.moment.at
    for moment in reversed([moment for moment in seen.moments if moment.at <= one.moment.at]):
        if moment.usable - {seen.target_ip}:
            break
        since = moment.at
    return since


def _settled(seen: Evidence, one: Begun) -> datetime:
    """When what came before this command was settled: the look that decides on it came after that."""
    started = [
        entry.seq
        for entry in seen.entries
        if isinstance(entry.fact, fact.StepStarted) and entry.fact.command == one.text and entry.at <= one.sent
    ]
    before = [
        entry.at for entry in seen.entries if isinstance(entry.fact, _SETTLES) and entry.seq < (started or [0])[-1]
    ]
    return before[-1] if before else datetime.min.replace(tzinfo=one.sent.tzinfo)


def wrong_host(seen: Evidence) -> Iterator[Broken]:
    """No change on any host but the backend of the run and the directors of its ring, and each on the one meant."""
    directors = {host.name for host in seen.target.ring.directors}
    for one in _changes(seen):
        if one.ran.host != one.meant or one.ran.host not in {seen.target.backend.name, *directors}:
            yield Broken(law="wrong_host", what=f"{_said(one)}, meant for {one.meant}")


def deleted_unflushed(seen: Evidence) -> Iterator[Broken]:
    """Nothing of a metacache is deleted that is not in the object storage."""
    if seen.losses:
        first = seen.losses[0]
        yield Broken(law="deleted_unflushed", what=f"{len(seen.losses)} files on {first.host}, first {first.path}")


def late(seen: Evidence) -> Iterator[Broken]:
    """No change begins when its time is over, or takes effect after one that was sent later and goes the other way."""
    for one in _changes(seen):
        if one.ran.not_after is not None and one.ran.at.timestamp() >= one.ran.not_after + 1:
            yield Broken(law="late", what=f"{_said(one)}, after its not-after")
        elif one.ran.not_after is None and one.ran.at - one.sent > LATE_AFTER:
            yield Broken(law="late", what=f"{_said(one)}, sent at {one.sent:%H:%M:%S.%f}, without a fence")
        elif over := _overtaken(seen, one):
            yield Broken(law="late", what=f"{_said(one)}, sent at {one.sent:%H:%M:%S.%f}, after {_said(over)}")


def past_abort(seen: Evidence) -> Iterator[Broken]:
    """Once a wish to go back is on the record, no further change of the plan begins, where the run may turn."""
    run, asked = None, 0
    for entry in seen.entries:
        if isinstance(entry.fact, fact.TurnedBack):
            return
        if asked and isinstance(entry.fact, fact.StepStarted):
            yield Broken(law="past_abort", what=f"{entry.fact.step} (fact {entry.seq}) began after fact {asked}")
        run = begin(entry) if run is None else apply(run, entry)
        if isinstance(entry.fact, fact.GoBackAsked) and run.stands_safely and run.status is not Status.BUSY:
            asked = entry.seq


def _overtaken(seen: Evidence, one: Begun) -> Begun | None:
    for here, there in (*_OPPOSITES, *((there, here) for here, there in _OPPOSITES)):
        if re.search(here, one.text):
            for other in seen.begun:
                if re.search(there, other.text) and one.sent < other.sent and other.works < one.works:
                    return other
    return None


LAWS: dict[str, Judge] = {
    "repeated": repeated,
    "unapproved": unapproved,
    "two_out": two_out,
    "last_taken": last_taken,
    "wrong_host": wrong_host,
    "deleted_unflushed": deleted_unflushed,
    "late": late,
    "past_abort": past_abort,
}


def judged(seen: Evidence) -> list[Broken]:
    """What of the laws was broken."""
    return [broken for judge in LAWS.values() for broken in judge(seen)]
