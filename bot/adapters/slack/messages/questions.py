"""What needs a person: a run that holds, a proposed skip; and any question without buttons once it is over.

Pure: from the facts and the state. The message with the buttons is always the first one of its fact. The question that
puts a gate to the approvers is in approval.py.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import assert_never

from bot.adapters.slack.messages.blocks import (
    Json,
    Message,
    MessageBuilder,
    button,
    dialog,
    rewritten,
    without_buttons,
)
from bot.adapters.slack.messages.markup import escape, short, spoken
from bot.adapters.slack.messages.text import answers, asked_for, file_name, moment, now, step_text, title, who
from bot.core.decisions.decide import no_skip
from bot.core.decisions.goback import can_start_first, no_way_back, way_back_now
from bot.core.plans.effects import Effect
from bot.core.plans.plan import PlannedApproval, PlannedChange, PlannedCheck, PlannedStep, PlannedWait
from bot.core.runs import events as fact
from bot.core.runs.changed import at_zero, in_doubt, in_effect
from bot.core.runs.events import ApprovalAsked, Entry, SkipProposed
from bot.core.runs.run import Run
from bot.core.text.amount import plural


def holds(entry: Entry, run: Run, builder: MessageBuilder) -> tuple[Json, ...]:
    """What a held run's message says at its end: what it means and what can be done; returns the buttons."""
    against = no_way_back(run)
    choices = ["*Retry*: ask the approvers again." if _asks_again(run) else "*Retry*: try this step again."]
    if can_start_first(run):
        choices.insert(0, f"*Start dovecot again…*: {_wait(run)}; it is started first, the rest is asked for.")
    if run.step and not no_skip(run.step):
        after = run.plan.steps[run.position + 1 :]
        moves = run.users_wait and any(Effect.FLUSH in step.does for step in after)
        then = " Its users are moved next." if moves else ""
        choices.append(f"*Skip…*: go on without it, for a reason; a second engineer has to agree.{then}")
    choices.append(f"No way back: {escape(against)}" if against else f"*Go back…*: {_way_back(run)}")
    choices.append("*I take over by hand…*: the run changes nothing more, and the watch ends.")
    can_be_done = "*What can be done*\n" + "\n".join(f"• {choice}" for choice in choices)
    builder.ending(f"*What it means* {_meaning(run)}", can_be_done)
    return _choices(run, answers(entry), back=not against)


def _wait(run: Run) -> str:
    return "users wait for it" if run.made_by(Effect.STOP_DOVECOT) else "it may be stopped, and users wait for it then"


def _meaning(run: Run) -> str:
    because = f" This step is there because {escape(run.step.because)}." if run.step else ""
    where = " The run is on its way back." if run.plan.back else ""
    stays = as_it_is(run, " ", ".")
    watched = run.enforced and at_zero(run) and not run.ring.others_low  # where users are safe nowhere else, it is left
    kept = " Meanwhile, what gives it users again is set back." if watched else ""
    return f"The run holds here; no step is begun until somebody decides.{stays}{kept}{where}{because}{_so_far(run)}"


def _so_far(run: Run) -> str:
    """What is changed, as far as it was seen; what the way back has undone is not."""
    changed = "; ".join(step_text(step) for step in in_effect(run))
    undone = ", and not undone" if run.plan.back else ""
    none = "All that was seen to be changed is undone" if run.made else "Nothing was seen to be changed so far"
    so_far = f" Changed so far{undone}: {changed}." if changed else f" {none}."
    if begun := "; ".join(step_text(step) for step in in_doubt(run)):
        so_far += f" Begun, and not known to be done now: {begun}."
    return so_far


def as_it_is(run: Run, before: str = "", after: str = "") -> str:
    """How the backend stays while nobody decides, where it has no new users; empty where that is not known."""
    name = escape(short(run.request.target.backend.name, 80))
    since = run.ring.zero_since
    stays = f"{name} stays at vhost count 0, as since {moment(since)}" if since and at_zero(run) else ""
    return f"{before}{stays}{after}" if stays else ""


def _way_back(run: Run) -> str:
    back = way_back_now(run)
    count = len(back.changes) if back else 0
    if not count:
        return "end the run; nothing that it changed needs undoing."
    return f"undo what was done ({plural(count, 'change')}), as a plan of its own that is approved first."


def _asks_again(run: Run) -> bool:
    """Whether Retry asks the approvers before all else: at a gate, and at a change whose approval has lapsed."""
    lapsed = isinstance(run.step, PlannedChange) and run.lapsed is not None and not run.users_first
    return lapsed or isinstance(run.step, PlannedApproval)


def _retry(run: Run, step: PlannedStep) -> str:
    """What Retry does; its dialog may be read when an approval has expired."""
    if _asks_again(run):
        return "Ask the approvers again? Nothing is sent before one of them has approved."
    match step:
        case PlannedCheck():
            return f"Look again: {step.says}? Where that is so, the run goes on."
        case PlannedChange():
            unless = ", unless its approval has lapsed by then" if run.grant and not run.users_first else ""
            return f"Try this step again: {step.says}? It looks first, and sends{unless}: {step.action.command.text}"
        case PlannedWait() | PlannedApproval():
            return f"Try this step again: {step.says}?"
        case _:
            assert_never(step)


def _choices(run: Run, answer: str, *, back: bool) -> tuple[Json, ...]:
    name, step = run.request.target.backend.name, run.step
    if step is None:
        return ()
    again = dialog(f"Retry on {name}", _retry(run, step), "Retry")
    buttons = [button("Retry", "retry", answer, style="" if run.users_wait else "primary", confirm=again)]
    if back and can_start_first(run):
        start = dialog(
            f"Start dovecot on {name}", f"Turn run {run.id} round, and start dovecot on {name} first?", "Start"
        )
        buttons.insert(0, button("Start dovecot again…", "start_again", answer, style="primary", confirm=start))
    if not no_skip(step):
        buttons.append(button("Skip…", "skip", answer))  # its dialog is the form that asks for the reason
    if back:
        buttons.append(button("Go back…", "go_back", answer, style="danger"))  # as that of these two
    buttons.append(button("I take over by hand…", "take_over", answer))
    return tuple(buttons)


def skip_proposed(entry: Entry, proposed: SkipProposed, run: Run, approvers: str) -> Message:
    """A skip put to a second engineer."""
    assert run.step is not None
    name = run.request.target.backend.name
    builder = MessageBuilder(
        f"{approvers} {who(proposed.by)} proposes to skip a step on {escape(name)}: {escape(proposed.reason)}"
    )
    builder.paragraph(f":fast_forward: *Skip proposed* by {who(proposed.by)}, {now(entry.at)} · {approvers}")
    builder.paragraph(f"*{title(run.plan, run.step)}*")
    builder.quote("*Reason given*", proposed.reason)
    not_by = " nor ".join(who(user) for user in dict.fromkeys((proposed.by, run.request.requester)))
    stays = as_it_is(run, "; ")
    builder.paragraph(f"A second engineer has to agree, not {not_by}. Until then no step is begun{stays}.")
    text = f"Let run {run.id} go on without this step: {run.step.says}?"
    confirm = dialog(f"Skip on {name}", text, "Agree to skip", style="danger")
    agree = button(f"Agree: skip on {name}", "agree_skip", answers(entry), style="danger", confirm=confirm)
    return builder.message(name=file_name(entry, "skip"), buttons=(agree,))


def ended(question: Message, asked: Entry, run: Run, ending: Entry) -> Message:
    """A question's message once it is over: the same without buttons, and how it ended."""
    how = how_it_ended(run, ending, gate=isinstance(asked.fact, ApprovalAsked))
    return without_buttons(question, how, f"{spoken(how)}. Before:")


def asks(entry: Entry, run: Run) -> bool:
    """Whether a fact asks people, or calls them for as long as something is so; `run`: the state after it."""
    came = entry.fact
    if isinstance(came, fact.Report):
        return False
    match came:
        case ApprovalAsked(word_of=word_of):
            return not word_of
        case fact.StepFailed() | fact.RunHeld() | fact.ApprovalExpired() | fact.Postponed():
            return run.waits_for_people
        case fact.OthersCounted():
            return run.ring.others_low
        case SkipProposed() | fact.TakenOver() | fact.ApprovalRepeated():
            return True
        case (
            fact.Approved()
            | fact.Denied()
            | fact.LongerWaitChosen()
            | fact.RetryChosen()
            | fact.SkipAgreed()
            | fact.GoBackAsked()
            | fact.RunEnded()
        ):
            return False
        case _:
            assert_never(came)


def is_over(entry: Entry, run: Run, by_now: Run) -> bool:
    """Whether what a fact asks, or calls people for, is over; `run`: the state after it."""
    if not asks(entry, run):
        return False
    if isinstance(entry.fact, fact.OthersCounted):
        return not by_now.ring.others_low
    question = run.asked if isinstance(entry.fact, fact.ApprovalRepeated) else entry
    return question not in by_now.open_questions


def marked_over(message: Message, *called: str) -> Message:
    """The message of what is over before it is posted: without its buttons, and calling nobody of those it `called`."""
    names = "|".join(re.escape(one) for one in called if one)
    text = re.sub(rf"^(?:(?:{names}) )+", "", message.text)
    if text == message.text and not any(block["type"] == "actions" for block in message.blocks):
        return message
    quiet = rewritten(message, lambda markup: re.sub(rf" · (?:(?:{names}) ?)+", "", markup))
    over = without_buttons(
        replace(quiet, text=text), ":information_source: *Over by now*: what counts is further down", "Over by now:"
    )
    return replace(over, files=message.files)


_NoAnswer = fact.Report | fact.StepFailed | ApprovalAsked | fact.ApprovalRepeated | fact.OthersCounted


def how_it_ended(  # noqa: C901  one case per kind, so that mypy names a new one
    run: Run, ending: Entry, *, gate: bool
) -> str:
    """What ended a question, who and when; it stands in a message that may be days older."""
    at, came = moment(ending.at), ending.fact
    if isinstance(came, _NoAnswer):
        return f":arrow_forward: *The run went on*, {at}"
    match came:
        case fact.Approved() | fact.Postponed() | fact.Denied() | fact.ApprovalExpired() as answer:
            return f"{_answer(answer)} ({asked_for(run)}), {at}"
        case fact.LongerWaitChosen(by=by):
            return f":hourglass_flowing_sand: *Wait longer*, said {who(by)}; it is asked anew afterwards, {at}"
        case fact.RetryChosen(by=by):
            return f":repeat: *Retry*, said {who(by)}, {at}"
        case fact.SkipAgreed(by=by):
            return f":fast_forward: *Skipped*, {who(by)} agreed, {at}"
        case fact.SkipProposed(by=by):
            return f":fast_forward: *Replaced* by another proposal of {who(by)}, {at}"
        case fact.GoBackAsked(by=by):
            closed = "The question is closed" if gate else "Going back"
            return f":leftwards_arrow_with_hook: *{closed}*: {who(by)} asked to go back, {at}"
        case fact.TakenOver(by=by):
            return f":raising_hand: *Taken over by hand* by {who(by)}, {at}"
        case fact.RunEnded(outcome=outcome):
            return f":checkered_flag: *The run ended*: {outcome}, {at}"
        case fact.RunHeld():
            what = "*Holds*: this question is closed" if gate else "*Holds anew*"
            return f":warning: {what}; what counts now is further down, {at}"
        case _:
            assert_never(came)


def _answer(answer: fact.Approved | fact.Postponed | fact.Denied | fact.ApprovalExpired) -> str:
    match answer:
        case fact.Approved(by=by):
            return f":white_check_mark: *Approved* by {who(by)}"
        case fact.Postponed(by=by):
            return f":double_vertical_bar: *Not now*, said {who(by)}; the reason is below"
        case fact.Denied(by=by):
            return f":no_entry: *Denied* by {who(by)}"
        case fact.ApprovalExpired():
            return ":hourglass: *Expired*: nobody answered"
        case _:
            assert_never(answer)
