"""The evidence of a good run, made up: the log, the thread and the clicks that its facts would have left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

from bot.core.hosts.inventory import Target
from bot.core.plans.plan import PlannedChange
from bot.core.readings.probes import PROBES
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.transitions import Status
from bot.engine.ports import Timings
from bot.practice.slack.workspace import Message
from bot.practice.values import Ran
from tests.build import SECOND, Story, plan
from tests.chaos.act import JUDGES
from tests.chaos.evidence import Click, Evidence, Sample, hosts_of
from tests.chaos.threads import OPENS
from tests.unit.messages import places

BLINK = timedelta(milliseconds=100)
EVERYBODY = frozenset({"backend-1", "backend-2", "backend-3"})


@cache
def made_entries() -> tuple[Entry, ...]:
    """A run in which all went well."""
    story = Story().until("drain", on=Status.WAITING)
    assert story.run.until is not None
    story.at = story.run.until
    return tuple(_sent(entry, story.run.request.target) for entry in story.until(None, on=Status.ENDED).entries)


def _sent(entry: Entry, target: Target) -> Entry:
    """With the host and the fence that a change was sent to and in."""
    if not isinstance(entry.fact, fact.StepStarted):
        return entry
    steps = {step.name: step for step in plan().changes}
    where = steps[entry.fact.step].where
    not_after = int((entry.at + Timings().not_after).timestamp())
    return replace(entry, fact=replace(entry.fact, host=min(hosts_of(target, where)), not_after=not_after))


def looks(step: PlannedChange, target: Target, at: datetime) -> Iterator[Ran]:
    """All looks at what proves a step, at the same moment."""
    for expected in step.action.done_when:
        text = PROBES[expected.probe].command(target, expected.asks).text
        for host in sorted(hosts_of(target, expected.where)):
            yield Ran(at=at, host=host, command=text, exit_status=0, finished=at)


def made_log(entries: tuple[Entry, ...]) -> Iterator[Ran]:
    """Each change as the bot makes it: a look, the command, a look."""
    asked = entries[0].fact
    assert isinstance(asked, fact.RunRequested)
    steps = {step.name: step for step in asked.plan.changes}
    for entry in entries:
        if isinstance(entry.fact, fact.StepStarted):
            step = steps[entry.fact.step]
            host = min(hosts_of(asked.target, step.where))
            yield from looks(step, asked.target, entry.at - BLINK)
            began, ended = entry.at + BLINK, entry.at + 2 * BLINK
            # As StepStarted has it, so that it can be known which fact it is of.
            not_after = entry.fact.not_after
            yield Ran(
                at=began, host=host, command=entry.fact.command, exit_status=0, finished=ended, not_after=not_after
            )
            yield from looks(step, asked.target, entry.at + 3 * BLINK)


def made_thread(entries: tuple[Entry, ...]) -> Iterator[Message]:
    """The replies that the facts make."""
    asked = entries[0].fact
    assert isinstance(asked, fact.RunRequested)
    stages = {stage.name: (number, stage.says) for number, stage in enumerate(asked.plan.stages, start=1)}
    facts = {entry.seq: entry for entry in entries}
    for seq, part in places(entries):
        entry = facts[seq]
        text = type(entry.fact).__name__
        match entry.fact:
            case fact.StageBegan(stage=name):
                text = f"Stage {stages[name][0]} of {len(stages)} begins: {stages[name][1]}."
            case fact.ApprovalAsked(gate=gate):
                text = f"Approval needed: {OPENS[gate]}3."
            case fact.RunEnded(outcome=outcome):
                text = f"Run {entry.run} on backend-3 has ended: {outcome}."
        yield message(seq, entry.at, text, part)


def message(seq: int, at: datetime, text: str, part: int = 1) -> Message:
    """A reply, or the root message, as Slack keeps it."""
    told = {"event_payload": {"run": "r2025a", "seq": seq, "part": part}}
    return Message(channel="C0OPS", ts=f"{at.timestamp():.6f}", text=text, user="U0BOT", metadata=told)


def made_clicks(entries: tuple[Entry, ...]) -> Iterator[Click]:
    """The clicks on Approve, a little before their facts."""
    for entry in entries:
        if isinstance(entry.fact, fact.Approved):
            yield Click(
                at=entry.at - BLINK, user=SECOND, action="approve", gate=entry.fact.gate, message=entry.fact.message
            )


def made_evidence() -> Evidence:
    """All that a good run leaves, made new each time: tests change what is in it."""
    entries = made_entries()
    log = tuple(made_log(entries))
    zero = next(ran for ran in log if ran.command == "doveadm director update 192.0.2.13 0")
    stopped = next(ran for ran in log if ran.command == "systemctl stop dovecot")
    assert zero.finished is not None
    assert stopped.finished is not None
    out = frozenset({"backend-3"})
    return Evidence(
        entries=entries,
        log=log,
        thread=tuple(made_thread(entries)),
        roots=(message(1, entries[0].at, "root"),),
        files=("change-record-r2025a.md",),
        clicks=tuple(made_clicks(entries)),
        samples=(
            Sample(at=entries[0].at, out=frozenset(), active=EVERYBODY, usable=EVERYBODY),
            Sample(at=zero.finished + BLINK, out=out, active=EVERYBODY, usable=EVERYBODY - out),
            Sample(at=stopped.finished + BLINK, out=out, active=EVERYBODY - out, usable=EVERYBODY - out),
        ),
        drain=timedelta(minutes=15),
    )


def judged(seen: Evidence) -> list[str]:
    return [f"{one.law}: {one.what}" for judge in JUDGES for one in judge(seen)]


def command(seen: Evidence, part: str) -> Ran:
    return next(ran for ran in seen.log if part in ran.command)


def with_log(seen: Evidence, *more: Ran) -> Evidence:
    return replace(seen, log=tuple(sorted((*seen.log, *more), key=lambda ran: ran.at)))


def again(ran: Ran, after: timedelta) -> Ran:
    at = ran.at + after
    return replace(ran, at=at, finished=at + BLINK)
