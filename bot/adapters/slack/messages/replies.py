"""What the thread says of each fact: pure, from the fact and the state before and after it; no client, no I/O."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_never

from bot.adapters.slack.messages import plans, ringing
from bot.adapters.slack.messages import questions as asking
from bot.adapters.slack.messages.approval import approval
from bot.adapters.slack.messages.blocks import File, Message, MessageBuilder
from bot.adapters.slack.messages.markup import escape, inline, prose, spoken
from bot.adapters.slack.messages.text import (
    clock,
    file_name,
    known,
    moment,
    opens,
    ran,
    stamp,
    title,
    users,
    who,
)
from bot.core.decisions.goback import left_there
from bot.core.plans.plan import PlannedStep, PlannedWait
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, How, Outcome, Ran
from bot.core.runs.run import Run
from bot.core.text.duration import length
from bot.core.text.shown import in_lines, set_in

_HOW = {
    How.FOUND: ":white_check_mark: *Found done already*, nothing was run",
    How.LOOKED_UP: ":white_check_mark: *Done*, found so when looked up",
}
_RAN = {
    "check": ":white_check_mark: *Checked*, it is so",
    "change": ":white_check_mark: *Done*",
    "wait": ":white_check_mark: *Waited*",
    "approval": ":white_check_mark: *Done*",
}
_OUTCOMES = {
    Outcome.DONE: ":white_check_mark: *Done*",
    Outcome.REFUSED: ":no_entry: *Refused*: nothing that serves mail was changed",
    Outcome.WENT_BACK: ":leftwards_arrow_with_hook: *Went back*: what was done is undone",
    Outcome.ABORTED: ":black_square_for_stop: *Aborted*",
    Outcome.TAKEN_OVER: ":raising_hand: *Taken over by hand*",
}
_TYPED = 2_500
"""Characters of a reason that was typed, once they are escaped: all 500 of it."""

_MOVED = timedelta(seconds=5)
"""A wait whose date moves by less goes on as it was posted: the hosts print whole seconds, and take their time."""

_LOOKS = 12
"""Looks that are listed in a message; all of them are in the file."""


def replies(entry: Entry, before: Run | None, after: Run, *, approvers: str) -> tuple[Message, ...]:  # noqa: C901, PLR0912
    """The messages of one fact, in order; `approvers` is how they are mentioned.

    One case per kind, so that mypy names a new one.
    """
    match entry.fact:
        case fact.RunRequested() as request:
            return (plans.requested(entry, request),)
        case fact.StepStarted(word="") | fact.UsersCounted():
            return ()
        case fact.WaitGoesOn(until=until) if before and before.until and abs(until - before.until) < _MOVED:
            return ()
        case fact.StageBegan() as began:
            return (plans.stage_began(entry, began, after),)
        case fact.TurnedBack() as turned:
            return (plans.turned_back(entry, turned),)
        case fact.ApprovalAsked() as asked:
            return (approval(entry, asked, after, approvers),)
        case fact.ApprovalRefused() as attempt:
            return (asking.refused(entry, attempt, after),)
        case fact.ApprovalRepeated() as again:
            return (asking.repeated(entry, again, after, approvers),)
        case fact.SkipProposed() as proposed:
            return (asking.skip_proposed(entry, proposed, after, approvers),)
        case fact.RunEnded() as end:
            return (_run_ended(entry, end, after),)
        case fact.HostsProved() as proved:
            return (ringing.proved(entry, proved),)
        case fact.OthersCounted() as counted:
            return (ringing.others(entry, counted, after, approvers),)
        case fact.TakenOver() as taken:
            return (ringing.taken_over(entry, taken, after),)
        case fact.StepStarted(word=word):
            return (_line(entry, ":loudspeaker:", f"{prose(word, None)}, {clock(entry.at)}"),)
        case fact.RingDeviated() | fact.RingSetBack() | fact.MonitorSaysUp() | fact.BackendRebooted():
            return (_of_the_ring(entry, after),)
        case (
            fact.StepDone()
            | fact.StepFailed()
            | fact.StepUnclear()
            | fact.StepNotDone()
            | fact.UsersCameBack()
            | fact.WaitBegan()
            | fact.WaitGoesOn()
            | fact.RunHeld()
            | fact.ApprovalExpired()
            | fact.Postponed()
        ):
            assert before is not None
            return (_of_step(entry, before, after),)
        case (
            fact.Approved()
            | fact.Denied()
            | fact.ApprovalLapsed()
            | fact.RetryChosen()
            | fact.SkipAgreed()
            | fact.GoBackAsked()
        ):
            assert before is not None
            return (_of_people(entry, before),)
        case _:
            assert_never(entry.fact)


def answered(asked: Entry, before: Run | None, after: Run, ending: Entry, *, approvers: str) -> Message:
    """The message of a fact that asked, without its buttons: the stories are those around the fact that asked."""
    return asking.ended(replies(asked, before, after, approvers=approvers)[0], asked, after, ending)


def _of_the_ring(entry: Entry, run: Run) -> Message:
    """What the watch saw while the backend is out, and what came of setting it back."""
    match entry.fact:
        case fact.RingDeviated() as seen:
            return ringing.deviated(entry, seen, run)
        case fact.MonitorSaysUp() as reported:
            return ringing.monitor(entry, reported)
        case fact.BackendRebooted(ran=commands) as boot:
            builder = ringing.booted(entry, boot)
        case fact.RingSetBack(ran=commands) as came:
            builder = ringing.set_back(entry, came)
        case _:
            raise AssertionError(f"no fact of the ring: {entry.fact}")
    files = _commands(builder, entry, commands)
    return builder.message(name=file_name(entry, "ring"), files=files)


def _of_step(entry: Entry, before: Run, after: Run) -> Message:
    step = before.step
    match entry.fact:
        case fact.StepDone() as done:
            return _step_done(entry, done, before)
        case fact.StepFailed() | fact.RunHeld() | fact.ApprovalExpired() | fact.Postponed():
            return _held(entry, before, after)
        case fact.StepUnclear(reason=reason, ran=commands):
            builder = _sheet(entry, step, before, ":grey_question: *Unclear*, it may have run")
            builder.quote("The command was sent and its end was not seen. It is looked up now.", reason)
            files = _commands(builder, entry, commands)
            return builder.message(name=file_name(entry, "output"), files=files)
        case fact.UsersCameBack(reason=reason, ran=commands):
            builder = _sheet(entry, step, before, ":repeat: *Not yet*, users came back")
            builder.say("They are moved again, before anything stops.")
            builder.quote("*What was seen*", reason)
            files = _commands(builder, entry, commands)
            return builder.message(name=file_name(entry, "output"), files=files)
        case fact.StepNotDone(reason=reason, ran=commands):
            builder = _sheet(entry, step, before, ":mag: *Not done*")
            builder.say("It may be tried again.")
            builder.quote("*What was seen*", reason)
            files = _commands(builder, entry, commands)
            return builder.message(name=file_name(entry, "output"), files=files)
        case fact.WaitBegan(until=until) | fact.WaitGoesOn(until=until):
            builder = _sheet(entry, step, before, f":hourglass_flowing_sand: *Waits* until {clock(until)}")
            watched = " What was reached is watched meanwhile." if isinstance(step, PlannedWait) and step.watch else ""
            builder.say(f"Until {moment(until)}.{watched}")
            if isinstance(entry.fact, fact.WaitGoesOn):
                builder.quote("*Seen*", entry.fact.reason)
            return builder.message(name=file_name(entry, "wait"))
        case _:
            raise AssertionError(f"no fact of a step: {entry.fact}")


def _of_people(entry: Entry, run: Run) -> Message:
    """What a person answered or asked for: one sentence."""
    at, name = clock(entry.at), escape(run.request.target.backend.name)
    match entry.fact:
        case fact.Approved() as yes:
            asked = f"asked by {who(run.request.requester)}"
            digest = inline(yes.digest[:12])
            line = f"*Approved*: {escape(opens(yes.gate, run))}, by {who(yes.by)} ({asked}), {at}; digest {digest}"
            return _line(entry, ":white_check_mark:", line)
        case fact.Denied() as no:
            then = "the run holds" if run.plan.back else "the run goes back"
            line = f"*Denied*: {escape(opens(no.gate, run))}, by {who(no.by)}, {at}; {then}"
            return _line(entry, ":no_entry:", line)
        case fact.ApprovalLapsed(gate=gate, reason=reason):
            why = prose(reason, known(run))
            line = f"*The {gate} approval cannot be used any more*, {at}: {why}. It is asked for again"
            return _line(entry, ":hourglass:", line)
        case fact.RetryChosen(by=by):
            return _line(entry, ":repeat:", f"*Retry*, said {who(by)}, {at}: {_step_line(run)}")
        case fact.SkipAgreed(by=by):
            return _line(entry, ":fast_forward:", f"*Skipped*, {who(by)} agreed, {at}: {_step_line(run)}")
        case fact.GoBackAsked(by=by, reason=reason):
            line = f"*Going back on {name}* at the next safe point, said {who(by)}, {at}: {inline(reason, _TYPED)}"
            return _line(entry, ":leftwards_arrow_with_hook:", line)
        case _:
            raise AssertionError(f"nobody said this: {entry.fact}")


def _line(entry: Entry, sign: str, line: str) -> Message:
    builder = MessageBuilder(f"{spoken(line)}.")
    builder.say(f"{sign} {line}")
    return builder.message(name=file_name(entry, "said"))


def _step_line(run: Run) -> str:
    return title(run.plan, run.step) if run.step else "at its end"


def _sheet(entry: Entry, step: PlannedStep | None, run: Run, text: str) -> MessageBuilder:
    line = title(run.plan, step) if step else "The run"
    builder = MessageBuilder(f"{spoken(text)}: {line}, {clock(entry.at)}.")
    builder.say(f"*{line}*\n{text} · {clock(entry.at)}")
    return builder


def _step_done(entry: Entry, done: fact.StepDone, run: Run) -> Message:
    assert run.step is not None
    builder = _sheet(entry, run.step, run, _HOW.get(done.how) or _RAN[run.step.kind])
    files: tuple[File, ...] = ()
    if attached := in_lines(done.attachment).strip():
        files = (File(name=file_name(entry, done.step), content=f"{attached}\n"),)
        builder.note(f"Attached: {inline(files[0].name)}")
    if done.reason:
        builder.quote("*Seen*", done.reason)
    files = (*files, *_commands(builder, entry, done.ran))
    return builder.message(name=file_name(entry, "output"), files=files)


def _commands(builder: MessageBuilder, entry: Entry, commands: tuple[Ran, ...]) -> tuple[File, ...]:
    """What changed hosts, with its output; the looks in small print, and as a file where they are many."""
    for one in commands:
        if one.changes:
            more = f" · {one.output_bytes} bytes printed" if one.output_bytes > len(one.output.encode()) else ""
            builder.code(f"{ran(one)}{more}", f"$ {one.command}\n{one.output}".rstrip())
    looks = [one for one in commands if not one.changes]
    lines = [f"{inline(one.command, 200)} on {ran(one)}{_unheard(one)}" for one in looks]
    if lines:
        more = f"\n… and {len(lines) - _LOOKS} more, in the file" if len(lines) > _LOOKS else ""
        builder.note("Looked with\n" + "\n".join(lines[:_LOOKS]) + more)
    if len(lines) <= _LOOKS:
        return ()
    whole = "\n\n".join("\n".join([ran(one), set_in(f"$ {one.command}"), set_in(one.output)]) for one in looks)
    return (File(name=file_name(entry, "looks"), content=whole),)


def _unheard(one: Ran) -> str:
    """Why a look gave nothing."""
    return f": {inline(one.output, 300)}" if one.exit_status is None and one.output else ""


def _held(entry: Entry, before: Run, after: Run) -> Message:
    """Something went wrong: what was seen, and, unless the run ends by itself now, what can be done."""
    run, step, needed = after, before.step, after.waits_for_people
    call = f"{who(run.request.requester)} " if needed else ""
    builder = MessageBuilder(
        f"{call}Run {escape(run.id)} {'holds' if needed else 'does not go on'}: {prose(run.reason, known(run))}"
    )
    sign = ":x: *Failed*" if isinstance(entry.fact, fact.StepFailed) else ":warning: *Holds*"
    head = f"*{title(before.plan, step)}*\n" if step else ""
    builder.say(f"{head}{sign} · {clock(entry.at)}{call and f' · {call}'}")
    match entry.fact:
        case fact.StepFailed():
            builder.quote("*What was seen*", run.reason)
        case fact.Postponed(by=by, gate=gate, reason=reason):
            builder.say(f"{who(by)} said *not now* to the {gate} approval.")
            builder.quote("*Reason given*", reason)
        case _:
            builder.say(f"*What was seen* {prose(run.reason, known(run))}")
    commands = entry.fact.ran if isinstance(entry.fact, fact.StepFailed) else ()
    files = _commands(builder, entry, commands)
    buttons = asking.holds(entry, after, builder) if needed else ()
    return builder.message(name=file_name(entry, "output"), files=files, buttons=buttons)


def _run_ended(entry: Entry, end: fact.RunEnded, run: Run) -> Message:
    name = escape(run.request.target.backend.name)
    why = f" {prose(end.reason or run.reason, known(run))}" if end.reason or run.reason else ""
    builder = MessageBuilder(
        f"{who(run.request.requester)} Run {escape(run.id)} on {name} has ended: {end.outcome}.{why}"
    )
    builder.say(
        f"{_OUTCOMES[end.outcome]} · {name} · {clock(entry.at)} · {who(run.request.requester)}{why and ':'}{why}"
    )
    lines = [
        f"*Began* {stamp(run.began)}, *ended* {stamp(entry.at)}, after {length(entry.at - run.began)}",
        f"*Steps* {run.position} of {len(run.plan.steps)} done" + (" on the way back" if run.plan.back else ""),
    ]
    if left := left_there(run):
        builder.say(f":card_file_box: *Left there* {escape(left)}")
    if run.users:
        lines.append(f"*Users, first and last count* {users(run.users_before)} → {users(run.users)}")
    builder.say("\n".join(lines))
    builder.say(f"*Approvals*\n{asking.summary(run.approvals)}")
    builder.note(
        f"Plan digest {inline(run.request.plan.digest[:12])}. The ring {inline(run.request.target.ring.name)} is free."
    )
    return builder.message(name=file_name(entry, "end"))
