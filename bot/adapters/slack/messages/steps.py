"""What the thread says of steps: a change in one reply, the good checks of a stage in one, what goes wrong by itself.

Pure. A reply of several checks comes with the last of them and is made of the state then, so that it is the same
wherever the bot was killed and started again. What was read is in the record; inline only where something is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import assert_never

from bot.adapters.slack.messages.blocks import File, Message, MessageBuilder
from bot.adapters.slack.messages.markup import escape, inline, short, spoken
from bot.adapters.slack.messages.ring import proof
from bot.adapters.slack.messages.text import file_name, moment, now, number, ran, runbook, stage_place, title
from bot.core.plans.plan import Plan, PlannedChange, PlannedCheck, PlannedStage, PlannedStep, PlannedWait
from bot.core.plans.procedure import Where
from bot.core.runs import events as fact
from bot.core.runs.changed import never_began
from bot.core.runs.events import Entry, How, Ran
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.core.text.dates import clock, stamp
from bot.core.text.shown import in_lines, set_in

_HOW = {
    How.RAN: ":white_check_mark: *Done*",
    How.FOUND: ":white_check_mark: *Found done already*, nothing was run",
    How.LOOKED_UP: ":white_check_mark: *Done*, found so when looked up",
}

_FOUND_AGAIN = ":white_check_mark: *Found done*, nothing more was run"
"""Where this run has sent it before."""

_COMMAND = 300
"""Characters of a command that went well; all of it is in the record."""

_LINE = 160
"""Characters of what a step says where it has a line among others."""

_AT_ONCE = timedelta(seconds=10)
"""What was read within so short a time has one time."""

_LOOKS = 12
"""Looks that are listed where something is wrong; all of them are in the file."""


def changed(entry: Entry, run: Run) -> Message | None:
    """A change that is done: the result first, then the literal command, where and how it ran, and for how long.

    None for a check or a wait, which shares a reply.
    """
    came, step = entry.fact, run.step
    assert isinstance(came, fact.StepDone)
    if not isinstance(step, PlannedChange):
        return None
    how = _FOUND_AGAIN if came.how is How.FOUND and step.name in run.sent else _HOW[came.how]
    line = f"{how} · {title(run.plan, step)}"
    builder = MessageBuilder(f"{spoken(how)}: {title(run.plan, step)}, {clock(entry.at)}.")
    builder.paragraph(f"{line} · {inline(came.reason)}" if came.reason else line)
    ends = [ran(one) for one in came.ran if one.changes]
    for one in came.ran:
        if one.changes:
            builder.code("", f"$ {short(one.command, _COMMAND)}" + (f"\n{one.output}" if one.exit_status != 0 else ""))
    write_unanswered(builder, run, came.ran)
    builder.note(" · ".join([*ends, now(entry.at)]))
    return builder.message(name=file_name(entry, "output"), files=_attached(builder, entry, came))


def write_unanswered(builder: MessageBuilder, run: Run, commands: tuple[Ran, ...]) -> None:
    """The command at hand, where it was sent and this says nothing of it: the bot was killed, or lost its answer."""
    step, sent = run.step, run.status in {Status.BUSY, Status.DOUBT}
    if isinstance(step, PlannedChange) and sent and not any(one.changes for one in commands):
        where = escape(run.request.target.backend.name) if step.where is Where.BACKEND else step.where
        never = any(never_began(run, one) for one in commands)
        how = f"Not sent to {where}" if never else f"It may have been sent to {where}; no end was heard"
        builder.code(how, f"$ {short(step.action.command.text, _COMMAND)}")


def _attached(builder: MessageBuilder, entry: Entry, came: fact.StepDone) -> tuple[File, ...]:
    text = in_lines(came.attachment).strip()
    if not text:
        return ()
    name = file_name(entry, came.step)
    builder.note(f"Attached: {inline(name)}")
    return (File(name=name, content=f"{text}\n"),)


def checked(entry: Entry, before: Run, after: Run) -> Message | None:
    """The reply that good checks and waits share, if this fact passes the last of them, or leaves them early.

    Left early, or with the last one skipped, they may have been read hours before: the times are those of the reading.
    """
    together = _together(before)
    left = isinstance(entry.fact, fact.RunEnded) or not after.read_at
    run = before if left else after
    if not together or not (left or number(before.plan, together[-1]) <= run.position):
        return None
    lines = _lines(run, together)
    if not lines:
        return None
    last = max(at for at, _ in lines)
    stage = stage_place(before.plan, before.plan.stage_of(together[-1]))
    if left or entry.at - last > _AT_ONCE:
        builder = MessageBuilder(f"Checked and good earlier: {stage}, read {stamp(last)}.")
        builder.paragraph(f":white_check_mark: *Checked and good earlier* · {stage} · read {moment(last)}")
    else:
        builder = MessageBuilder(f"Checked and good: {stage}, {clock(last)}.")
        builder.paragraph(f":white_check_mark: *Checked and good* · {stage} · {now(last)}")
    builder.paragraph("\n".join(f"• {line}{_read(at, last)}" for at, line in lines))
    files = _attached(builder, entry, entry.fact) if isinstance(entry.fact, fact.StepDone) else ()
    return builder.message(name=file_name(entry, "checks"), files=files)


def proof_is_shared(run: Run) -> bool:
    """Whether that all hosts are who they should be is a line of the first checks, which are still to come."""
    return run.position == 0 and _begins(run.plan, _together(run))


def _together(run: Run) -> tuple[PlannedStep, ...]:
    """The checks and waits of the stage at hand that share the next reply."""
    groups = _groups(run.stage) if run.stage else ()
    return next((one for one in groups if number(run.plan, one[-1]) > run.position), ())


def _groups(stage: PlannedStage) -> Iterator[tuple[PlannedStep, ...]]:
    """What attaches a file is the last of those that share a reply."""
    group: list[PlannedStep] = []
    for step in stage.steps:
        if isinstance(step, PlannedCheck | PlannedWait):
            group.append(step)
        if isinstance(step, PlannedCheck) and step.attach:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)


def _begins(plan: Plan, together: Sequence[PlannedStep]) -> bool:
    return not plan.back and together == next(_groups(plan.stages[0]), None)


def _lines(run: Run, together: Sequence[PlannedStep]) -> list[tuple[datetime, str]]:
    """What was read and not posted yet, and when: what a run has gone back over was posted as it did."""
    lines = [(run.read_at[step.name], _line(run, step)) for step in together if step.name in run.read_at]
    proved_at = run.read_at.get(fact.HostsProved.__name__)
    if run.proved and proved_at and _begins(run.plan, together):
        lines.insert(0, (proved_at, proof(run.proved)))
    return lines


def _read(at: datetime, last: datetime) -> str:
    """When a line was read, where that is not as good as the time above it."""
    if last - at <= _AT_ONCE:
        return ""
    return f" · read {now(at) if at.date() == last.date() else moment(at)}"


def _line(run: Run, step: PlannedStep) -> str:
    return (
        f"*{number(run.plan, step)}*{runbook(step)} · {escape(short(step.says, _LINE))}: {inline(run.looks[step.name])}"
    )


_NotDone = fact.StepUnclear | fact.StepNotDone | fact.UsersCameBack | fact.WaitGoesOn


def not_done(entry: Entry, came: _NotDone, run: Run, after: Run) -> Message:
    """A step that is neither done nor failed: in doubt, to be tried again, or waiting for longer."""
    match came:
        case fact.StepUnclear(reason=reason, ran=commands):
            sent = "The command was sent" if commands else "The bot was stopped as it sent the command, or before"
            head, then = ":grey_question: *Unclear*, it may have run", f"{sent}, and its end was not seen."
            then += " It is looked up now."
        case fact.StepNotDone(reason=reason, ran=commands):
            head, then = ":mag: *Not done*", "The bot tries it again by itself."
            if after.turns_now:
                then = "The run turns round now."
            elif after.holds_now:
                then = "The run holds now."
        case fact.UsersCameBack(reason=reason, ran=commands):
            head, then = ":repeat: *Not yet*, users came back", "They are moved again, before dovecot stops."
        case fact.WaitGoesOn(reason=reason, until=until):
            head, then, commands = ":hourglass_flowing_sand: *Waits*", f"Until {moment(until)}.", ()
        case _:
            assert_never(came)
    line = title(run.plan, run.step) if run.step else "The run"
    builder = MessageBuilder(f"{spoken(head)}: {line}, {clock(entry.at)}.")
    builder.paragraph(f"{head} · {line} · {now(entry.at)}\n{then}")
    builder.quote("*What was seen*", reason)
    write_unanswered(builder, run, commands)
    files = write_commands(builder, entry, [one for one in commands if not never_began(run, one)])
    return builder.message(name=file_name(entry, "output"), files=files)


def write_commands(builder: MessageBuilder, entry: Entry, commands: Sequence[Ran]) -> tuple[File, ...]:
    """Where something is wrong: what changed hosts, with its output; the looks in small print, many also as a file."""
    for one in commands:
        if one.changes:
            more = f" · {one.output_bytes} bytes printed" if one.output_bytes > len(one.output.encode()) else ""
            builder.code(f"{ran(one)}{more}", f"$ {one.command}\n{one.output}".rstrip())
    looks = [one for one in commands if not one.changes]
    lines = [f"{inline(one.command, 200)} on {ran(one)}{_not_ended(one)}" for one in looks]
    if lines:
        more = f"\n… and {len(lines) - _LOOKS} more, in the file" if len(lines) > _LOOKS else ""
        builder.note("Looked with\n" + "\n".join(lines[:_LOOKS]) + more)
    if len(lines) <= _LOOKS:
        return ()
    whole = "\n\n".join("\n".join([ran(one), set_in(f"$ {one.command}"), set_in(one.output)]) for one in looks)
    return (File(name=file_name(entry, "looks"), content=whole),)


def _not_ended(one: Ran) -> str:
    """Why a look gave nothing."""
    return f": {inline(one.output, 300)}" if one.exit_status is None and one.output else ""
