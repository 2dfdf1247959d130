"""What the thread says of each fact: pure, from the fact and the state before and after it; no client, no I/O."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from bot.adapters.slack.messages import approval, plans, ring, steps
from bot.adapters.slack.messages import questions as asking
from bot.adapters.slack.messages.blocks import Message, MessageBuilder, remarked_after, rewritten
from bot.adapters.slack.messages.markup import escape, inline, prose, short, spoken
from bot.adapters.slack.messages.text import (
    asked_for,
    callers,
    dated,
    file_name,
    known,
    moment,
    now,
    opens,
    steps_done,
    title,
    users,
    who,
)
from bot.core.decisions.goback import left_there
from bot.core.runs import events as fact
from bot.core.runs.changed import never_began
from bot.core.runs.events import Entry, Outcome
from bot.core.runs.run import Run
from bot.core.text.dates import stamp
from bot.core.text.duration import between

_OUTCOMES = {
    Outcome.DONE: ":white_check_mark: *Done*",
    Outcome.REFUSED: ":no_entry: *Refused*: nothing that serves mail was changed",
    Outcome.WENT_BACK: ":leftwards_arrow_with_hook: *Went back*",
    Outcome.ABORTED: ":black_square_for_stop: *Aborted*",
    Outcome.TAKEN_OVER: ":raising_hand: *Taken over by hand*",
}
_TYPED = 2_500
"""Characters of a reason that was typed, once they are escaped: all 500 of it."""

_LATE = timedelta(minutes=5)
"""What is posted so long after it came is not dated by Slack as it should be."""

_MOVED = timedelta(seconds=5)
"""A wait whose date moves by less goes on as it was: the hosts print whole seconds, and take their time."""


def replies(
    entry: Entry,
    before: Run | None,
    after: Run,
    *,
    approvers: str,
    posted: datetime | None = None,
    by_now: Run | None = None,
) -> tuple[Message, ...]:
    """The messages of one fact, in order; `approvers` is how they are mentioned.

    What it says itself, if anything, and the reply of the checks that end with it; a question comes first. `posted`:
    when that is, where it may be long after it came; `by_now`: the state by then. What is over by then calls nobody.
    """
    over = asking.is_over(entry, after, by_now or after)
    own = _own(entry, before, after, approvers, over=over)
    if own and over:
        own = asking.marked_over(own, approvers, callers(after))
    checks = steps.checked(entry, before, after) if before else None
    both = (checks, own) if isinstance(entry.fact, fact.TurnedBack | fact.RunEnded) else (own, checks)
    late = posted is not None and posted - entry.at > _LATE
    return tuple(_late(message, entry.at) if late else message for message in both if message)


def _late(message: Message, at: datetime) -> Message:
    """As it is posted long after it came: its times have their date, which is not that of the message."""
    return remarked_after(rewritten(message, dated), f"Posted late: it happened at {stamp(at)}.")


def _own(  # noqa: C901, PLR0912
    entry: Entry, before: Run | None, after: Run, approvers: str, *, over: bool
) -> Message | None:
    """One case per kind, so that mypy names a new one."""
    if before is None or isinstance(entry.fact, fact.RunRequested):
        assert isinstance(entry.fact, fact.RunRequested)
        return plans.requested(entry, entry.fact)
    match entry.fact:
        case fact.StepStarted(word="") | fact.UsersCounted() | fact.WaitBegan():
            return None
        case fact.WaitGoesOn(until=until) if before.until and abs(until - before.until) < _MOVED:
            return None
        case fact.StageBegan() as began:
            return plans.stage_began(entry, began, after)
        case fact.TurnedBack() as turned:
            return plans.turned_back(entry, turned)
        case fact.ApprovalAsked() as asked:
            return approval.approval(entry, asked, after, approvers)
        case fact.ApprovalRefused() as attempt:
            return approval.refused(entry, attempt, after)
        case fact.ApprovalRepeated() as again:
            return approval.repeated(entry, again, after, approvers, closed=over)
        case fact.SkipProposed() as proposed:
            return asking.skip_proposed(entry, proposed, after, approvers)
        case fact.RunEnded() as end:
            return _run_ended(entry, end, after, approvers)
        case fact.HostsProved() as proved:
            return None if steps.proof_is_shared(after) else ring.proved(entry, proved)
        case fact.OthersCounted() as counted:
            return ring.others(entry, counted, after, approvers)
        case fact.TakenOver() as taken:
            return ring.taken_over(entry, taken, after)
        case fact.SeenOut() as out:
            return ring.seen_out(entry, out, after)
        case fact.SettingsChanged() as changed:
            return ring.settings_changed(entry, changed, after)
        case fact.StepStarted(word=word):
            return _line(entry, ":loudspeaker:", f"{prose(word, None)}, {now(entry.at)}")
        case fact.RingDeviated() | fact.RingSetBack() | fact.MonitorSaysUp() | fact.BackendRebooted() as seen:
            return _of_the_ring(entry, seen, after, approvers)
        case fact.StepDone():
            return steps.changed(entry, before)
        case fact.StepUnclear() | fact.StepNotDone() | fact.UsersCameBack() | fact.WaitGoesOn() as came:
            return steps.not_done(entry, came, before, after)
        case fact.StepFailed() | fact.RunHeld() | fact.ApprovalExpired() | fact.Postponed() as why:
            return _held(entry, why, before, after)
        case (
            fact.Approved()
            | fact.Denied()
            | fact.ApprovalLapsed()
            | fact.LongerWaitChosen()
            | fact.RetryChosen()
            | fact.SkipAgreed()
            | fact.GoBackAsked()
        ) as said:
            return _of_people(entry, said, before)
        case _:
            assert_never(entry.fact)


def answered(asked: Entry, before: Run | None, after: Run, ending: Entry, *, approvers: str) -> Message:
    """The message of a fact that asked, without its buttons: the stories are those around the fact that asked."""
    return asking.ended(replies(asked, before, after, approvers=approvers)[0], asked, after, ending)


_OfTheRing = fact.RingDeviated | fact.RingSetBack | fact.MonitorSaysUp | fact.BackendRebooted


def _of_the_ring(entry: Entry, came: _OfTheRing, run: Run, approvers: str) -> Message:
    """What the watch saw while the backend is out, and what came of setting it back."""
    match came:
        case fact.RingDeviated() as seen:
            return ring.deviated(entry, seen, run, approvers)
        case fact.MonitorSaysUp() as reported:
            return ring.monitor(entry, reported)
        case fact.BackendRebooted(ran=commands) as boot:
            builder = ring.booted(entry, boot)
        case fact.RingSetBack(ran=commands) as back:
            builder = ring.set_back(entry, back)
            commands = ring.write_not_sent(builder, commands)
        case _:
            assert_never(came)
    files = steps.write_commands(builder, entry, commands)
    return builder.message(name=file_name(entry, "ring"), files=files)


_OfPeople = (
    fact.Approved
    | fact.Denied
    | fact.ApprovalLapsed
    | fact.LongerWaitChosen
    | fact.RetryChosen
    | fact.SkipAgreed
    | fact.GoBackAsked
)


def _of_people(entry: Entry, came: _OfPeople, run: Run) -> Message:
    """What a person answered or asked for: one sentence."""
    at, name = now(entry.at), escape(run.request.target.backend.name)
    match came:
        case fact.Approved() as yes:
            digest = inline(yes.digest[:12])
            line = f"*Approved*: {escape(opens(yes.gate, run))}, by {who(yes.by)} ({asked_for(run)}), {at}"
            line += f"; {yes.gate} approval, digest {digest}"
            return _line(entry, ":white_check_mark:", line)
        case fact.Denied() as no:
            then = "the run holds" if run.plan.back else "the run goes back"
            line = f"*Denied*: {escape(opens(no.gate, run))}, by {who(no.by)}, {at}; {then}"
            return _line(entry, ":no_entry:", line)
        case fact.ApprovalLapsed(gate=gate, reason=reason):
            why = prose(reason, known(run))
            line = f"*The {gate} approval cannot be used any more*, {at}: {why}. It has to be asked for again"
            return _line(entry, ":hourglass:", line)
        case fact.LongerWaitChosen(gate=gate, by=by, reason=reason):
            why = f": {inline(reason, _TYPED)}" if reason else ""
            line = f"*Wait longer*, said {who(by)}, {at}{why}; the {gate} approval is asked for anew afterwards"
            return _line(entry, ":hourglass_flowing_sand:", line)
        case fact.RetryChosen(by=by):
            return _line(entry, ":repeat:", f"*Retry*, said {who(by)}, {at}: {_step_line(run)}")
        case fact.SkipAgreed(by=by):
            return _line(entry, ":fast_forward:", f"*Skipped*, {who(by)} agreed, {at}: {_step_line(run)}")
        case fact.GoBackAsked(by=by, reason=reason):
            line = f"*Going back on {name}* at the next safe point, said {who(by)}, {at}: {inline(reason, _TYPED)}"
            return _line(entry, ":leftwards_arrow_with_hook:", line)
        case _:
            assert_never(came)


def _line(entry: Entry, sign: str, line: str) -> Message:
    builder = MessageBuilder(f"{spoken(line)}.")
    builder.paragraph(f"{sign} {line}")
    return builder.message(name=file_name(entry, "said"))


def _step_line(run: Run) -> str:
    return title(run.plan, run.step) if run.step else "at its end"


_Holds = fact.StepFailed | fact.RunHeld | fact.ApprovalExpired | fact.Postponed


def _held(entry: Entry, came: _Holds, before: Run, after: Run) -> Message:
    """Something went wrong: what was seen, and, unless the run ends by itself now, what can be done."""
    run, step, needed = after, after.step, after.waits_for_people  # what is lost is made again, from its step on
    call = f"{callers(run)} " if needed else ""
    builder = MessageBuilder(
        f"{call}Run {escape(run.id)} on {escape(short(run.request.target.backend.name, 80))}"
        f" {'holds' if needed else 'does not go on'}: {prose(run.reason, known(run))}"
    )
    sign = ":x: *Failed*" if isinstance(came, fact.StepFailed) else ":warning: *Holds*"
    head = f"*{title(run.plan, step)}*\n" if step else ""
    builder.paragraph(f"{head}{sign} · {now(entry.at)}{call and f' · {call}'}")
    # What people need has its room first: what was seen may be of a dozen hosts, and is in the file whole.
    buttons = asking.holds(entry, after, builder) if needed else ()
    match came:
        case fact.StepFailed():
            builder.quote("*What was seen*", run.reason)
        case fact.Postponed(by=by, gate=gate, reason=reason):
            builder.paragraph(f"{who(by)} said *not now* to the {gate} approval.")
            builder.quote("*Reason given*", reason)
        case fact.RunHeld() | fact.ApprovalExpired():
            builder.paragraph(f"*What was seen* {prose(run.reason, known(run))}")
        case _:
            assert_never(came)
    seen = needed and isinstance(came, fact.StepFailed | fact.RunHeld)
    if seen and (differs := ring.not_for_this_run(run)):
        builder.paragraph(differs)
    commands = came.ran if isinstance(came, fact.StepFailed) else ()
    steps.write_unanswered(builder, before, commands)
    files = steps.write_commands(builder, entry, [one for one in commands if not never_began(before, one)])
    return builder.message(name=file_name(entry, "output"), files=files, buttons=buttons)


def _run_ended(entry: Entry, end: fact.RunEnded, run: Run, approvers: str) -> Message:
    name, how, called, not_back = escape(run.request.target.backend.name), _OUTCOMES[end.outcome], callers(run), ""
    why = f" {prose(end.reason or run.reason, known(run))}" if end.reason or run.reason else ""
    if run.ring.not_back:
        called, not_back = f"{called} {approvers}", f" {name} was not seen to be back: {escape(run.ring.not_back)}."
        how = f":warning: {how.partition(' ')[2]}, and {name} *was not seen to be back*"
    builder = MessageBuilder(f"{called} Run {escape(run.id)} on {name} has ended: {end.outcome}.{why}{not_back}")
    builder.paragraph(f"{how} · {name} · {now(entry.at)} · {called}{why and ':'}{why}")
    if run.ring.not_back and run.ring.not_back_at:
        builder.quote(f"*Last seen*, {moment(run.ring.not_back_at)}", run.ring.not_back)
        builder.paragraph(
            "What would show that it is back was skipped, and nobody looks any more. What to do: see what every"
            f" director says of {name}, and whether it serves."
        )
    lines = [
        f"*Began* {moment(run.began)}, *ended* {moment(entry.at)}, after {between(run.began, entry.at)}",
        steps_done(run),
    ]
    if left := left_there(run):
        builder.paragraph(f":card_file_box: *Left there* {escape(left)}")
    if run.ring.users and run.ring.users_at:
        counted = f"{users(run.ring.users_before)} → {users(run.ring.users)}, counted {moment(run.ring.users_at)}"
        lines.append(f"*Users, first and last count* {counted}")
    builder.paragraph("\n".join(lines))
    builder.paragraph(f"*Approvals*\n{approval.summary(run.approvals)}")
    builder.note(
        f"Plan digest {inline(run.request.plan.digest[:12])}. The ring {inline(run.request.target.ring.name)} is free."
    )
    return builder.message(name=file_name(entry, "end"))
