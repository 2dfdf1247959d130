"""The law that nothing is lost, judged by the Slack thread and the journal: lines, questions, timers, the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from bot.core.plans.plan import PlannedChange
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.errors import Illegal
from bot.practice.slack.workspace import Message
from tests.chaos.evidence import Broken, Evidence, bare
from tests.chaos.judges import ZERO, in_take_down
from tests.unit.messages import places as of_facts

NEVER_BEGUN = "is refused; nothing was changed anywhere"
"""What whoever asked is told, alone, of a run that was refused while it looked."""

_REPEAT = "Possibly a repeat"
_REPOSTED = 1_000
_SLACK = timedelta(milliseconds=50)
_ANSWERS = (fact.Approved, fact.Postponed, fact.LongerWaitChosen, fact.ApprovalExpired, fact.GoBackAsked, fact.RunHeld)

Place = tuple[int, int]


def lost(seen: Evidence) -> Iterator[Broken]:
    """The run ended as it may, all of it was told, in order, once, and no question or timer began anew."""
    said = [*_run(seen), *_lines(seen), *_questions(seen), *_timers(seen), *seen.remarks]
    yield from (Broken(law="lost", what=what) for what in said)


def _run(seen: Evidence) -> Iterator[str]:
    if seen.outcome not in seen.may_end:
        yield f"the run did not end: {_stands(seen)}" if seen.outcome is None else f"the run ended: {seen.outcome}"
    end = seen.entries[-1].fact
    if seen.outcome and not (isinstance(end, fact.RunEnded) and end.outcome == seen.outcome):
        yield f"the thread says {seen.outcome}, the journal ends with {type(end).__name__}"
    if seen.outcome is not None:
        yield from seen.unusual
    if not seen.ring_disturbed:
        away = [one for one in seen.failed_logins if not in_take_down(seen, one.at)]
        yield from (f"a login failed outside of the take-down: {one.user} on {one.backend or 'none'}" for one in away)


def _stands(seen: Evidence) -> str:
    last = seen.entries[-1]
    reason = getattr(last.fact, "reason", "")
    return f"its last fact is {last.seq}, {type(last.fact).__name__}, {reason}"[:300]


def place_of(message: Message) -> Place | None:
    """The fact and the part that a message tells, by its metadata."""
    told = (message.metadata or {}).get("event_payload")
    return (int(told["seq"]), int(told["part"])) if told else None


def _only_looked(seen: Evidence) -> bool:
    """Whether it ended in a first stage that changes nothing."""
    first = seen.request.plan.stages[0]
    began = {entry.fact.stage for entry in seen.entries if isinstance(entry.fact, fact.StageBegan)}
    return (
        seen.outcome == "refused"
        and began <= {first.name}
        and not any(isinstance(step, PlannedChange) for step in first.steps)
    )


def _lines(seen: Evidence) -> Iterator[str]:
    if _only_looked(seen):
        if seen.thread or seen.roots:
            yield "a run that was refused while it looked is in the channel"
        if not any(NEVER_BEGUN in one for one in seen.alone):
            yield "nobody was told that the run was refused"
        return
    told = [(place, one) for one in seen.thread if (place := place_of(one)) and place[1] < _REPOSTED]
    places = [place for place, _ in told]
    yield from _missing(seen, set(places))
    if places != sorted(places):
        wrong = next(after for before, after in pairwise(places) if after < before)
        yield f"the thread is out of order at fact {wrong[0]}"
    yield from _repeats(told)
    yield from _repeats([((1, 0), root) for root in seen.roots])
    yield from (f"the file {name} was posted {count} times" for name, count in Counter(seen.files).items() if count > 1)
    record = f"change-record-{seen.entries[0].run}.md"
    if seen.outcome and not any(record in name for name in (*seen.files, *(one.text for one in seen.thread))):
        yield "the change record was not posted"


def _missing(seen: Evidence, places: set[Place]) -> Iterator[str]:
    kinds = {entry.seq: type(entry.fact).__name__ for entry in seen.entries}
    try:
        due = of_facts(seen.entries)
    except Illegal as error:
        yield f"the facts make no run: {error}"
        return
    yield from (
        f"part {part} of fact {seq}, {kinds[seq]}, is not in the thread"
        for seq, part in due
        if (seq, part) not in places
    )


def _repeats(told: list[tuple[Place, Message]]) -> Iterator[str]:
    known: set[Place] = set()
    for place, message in told:
        if place in known and not _marked(message):
            yield f"fact {place[0]}, part {place[1]}, is told twice, and the repeat is not marked"
        known.add(place)


def _marked(message: Message) -> bool:
    """Whether it says of itself that it may be a repeat."""
    return _REPEAT in message.text


def _questions(seen: Evidence) -> Iterator[str]:
    """A gate is put to people again only when the question before was answered, had expired or was given up."""
    open_since: dict[str, int] = {}
    for entry in seen.entries:
        if isinstance(entry.fact, fact.ApprovalAsked):
            if entry.fact.gate in open_since:
                first = open_since[entry.fact.gate]
                yield f"the {entry.fact.gate} approval of fact {first} is asked again at {entry.seq}"
            open_since[entry.fact.gate] = entry.seq
        elif isinstance(entry.fact, _ANSWERS):
            open_since.clear()
    asked = Counter[str](entry.fact.gate for entry in seen.entries if isinstance(entry.fact, fact.ApprovalAsked))
    shown = Counter(gate for one in seen.thread if (gate := gate_of(one)) and not _marked(one))
    for gate in shown:
        if shown[gate] > asked[gate]:
            yield f"the {gate} approval stands {shown[gate]} times in the thread, and was asked {asked[gate]} times"


OPENS = {"flush": "take backend-", "restore": "give backend-", "go back": "go back on backend-"}
"""How the question of each gate begins."""


def gate_of(message: Message) -> str | None:
    """The gate that a message asks for, as its text says."""
    gate = next((gate for gate, opens in OPENS.items() if f"Approval needed: {opens}" in message.text), None)
    return gate if gate and (place_of(message) or (0, 0))[1] < _REPOSTED else None


def _timers(seen: Evidence) -> Iterator[str]:
    """A wait ends at its date, not before, and begins once, unless the run was held in it."""
    began: Entry | None = None
    for entry in seen.entries:
        match entry.fact:
            case fact.WaitBegan(step=step):
                if began is not None:
                    yield f"the wait {step} began again at fact {entry.seq}"
                began = entry
            case fact.RunHeld() | fact.GoBackAsked():
                began = None
            case fact.StepDone(step=step) if began and isinstance(began.fact, fact.WaitBegan):
                if step == began.fact.step and entry.at < began.fact.until - _SLACK:
                    yield f"the wait {step} ended before its date"
    yield from _drained(seen)


def _drained(seen: Evidence) -> Iterator[str]:
    """The hosts' own clock: from the first vhost count 0 to the first stop, the drain must fit between."""
    zero = [ran.at for ran in seen.log if ZERO.search(bare(ran.command))]
    stop = [ran.at for ran in seen.log if bare(ran.command) == "systemctl stop dovecot"]
    if stop and (not zero or stop[0] - zero[0] < seen.drain - _SLACK):
        yield "dovecot was stopped before the drain had passed"
