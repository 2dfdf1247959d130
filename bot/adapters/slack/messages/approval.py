"""The question that puts a gate to the approvers: what decides, in a few lines; and every command behind it.

Pure: from the fact that asked and the state up to it. The few lines fit a phone whatever the names and numbers are; the
whole is in a file beside the question and in the view that *All commands* opens. Also the question asked again, an
attempt that did not count, and who gave which approval; how its message ends is in questions.py, as that of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from bot.adapters.slack.messages.blocks import File, Json, Message, MessageBuilder, button, dialog, menu
from bot.adapters.slack.messages.markup import escape, inline, prose, short, without_markup
from bot.adapters.slack.messages.plans import write_step
from bot.adapters.slack.messages.text import (
    answers,
    asked_for,
    callers,
    file_name,
    known,
    moment,
    now,
    opens,
    title,
    who,
    why,
)
from bot.core.decisions.brief import begins
from bot.core.decisions.decide import LONGER_WAITS, no_longer_wait, waited_before
from bot.core.decisions.goback import no_way_back
from bot.core.plans.effects import lock_wait
from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.changed import at_zero
from bot.core.runs.events import ApprovalAsked, Entry
from bot.core.runs.run import Run
from bot.core.text.amount import plural
from bot.core.text.dates import clock, stamp
from bot.core.text.duration import length

_ROOM = 890
"""Characters of a question as people read it, a little under 900."""

_ALARMS, _READ = 3, 5
"""Alarms and lines that are shown; the other alarms are counted."""


def approval(entry: Entry, asked: ApprovalAsked, run: Run, approvers: str) -> Message:
    """The question, shown in the channel too."""
    what = escape(opens(asked.gate, run))
    if asked.word_of:
        builder = MessageBuilder(f"Approval given: {what}, by {who(asked.word_of)}, who asked to go back.")
        builder.paragraph(
            f":information_source: *Approval given: {what}*, by {who(asked.word_of)}, who asked to go back"
        )
    else:
        builder = MessageBuilder(
            f"{approvers} Approval needed: {what}. {' '.join(f'Alarm: {escape(one)}.' for one in asked.alarms[:1])}"
            f" {_first_upper(asked_for(run))}, run {escape(run.id)}, open until {stamp(asked.expires)}."
        )
        builder.paragraph(f":raised_hand: *Approval needed: {what}* · {approvers}")
    terms = _terms(asked, run)
    builder.paragraph("\n".join(_read(asked, _ROOM - len(without_markup("\n".join((builder.whole, *terms)))))))
    builder.paragraph("\n".join(terms))
    buttons = () if asked.word_of else _answers(asked, run, answers(entry))
    whole = File(name=file_name(entry, "approval"), content=everything(entry, asked, run).whole)
    return builder.message(broadcast=bool(buttons), buttons=buttons, files=(whole,))


def _read(asked: ApprovalAsked, room: int) -> list[str]:
    alarms = list(asked.alarms[:_ALARMS])
    if more := len(asked.alarms) - len(alarms):
        alarms[-1] = f"{more + 1} more alarms, behind All commands"
    # A question of an older version of the bot has its evidence alone.
    lines = list(asked.brief or asked.evidence)[:_READ]
    most = _fitting([len(one) + len(":warning: ") for one in (*alarms, *lines)], room)
    return [*(f":warning: {escape(short(one, most))}" for one in alarms), *(escape(short(one, most)) for one in lines)]


def _fitting(lengths: Sequence[int], room: int) -> int:
    """The longest line with which all of them fit the room."""
    return next((most for most in range(room, 20, -1) if sum(min(one, most) for one in lengths) <= room), 20)


def _terms(asked: ApprovalAsked, run: Run) -> list[str]:
    given = why(run.request, 60)
    lines = [f"{_first_upper(asked_for(run))}{given and f' · {given}'}"]
    if run.lapsed and run.lapsed.gate is asked.gate:
        lines.append(f"Asked again, for what is left: the approval of {who(run.lapsed.by)} has lapsed")
    if run.longer_waits and waited_before(run):
        lines.append(f"Asked anew: people chose to wait longer, {run.longer_waits} of {LONGER_WAITS} times")
    if not asked.word_of:
        lines.append(f"Open until {moment(asked.expires)}; then the run holds, and {_as_it_is(run)}")
    return lines


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _as_it_is(run: Run) -> str:
    name = escape(short(run.request.target.backend.name, 80))
    return f"{name} stays at vhost count 0" if at_zero(run) else "no step is begun"


def _answers(asked: ApprovalAsked, run: Run, answer: str) -> tuple[Json, ...]:
    what = opens(asked.gate, run)
    style = "primary" if asked.gate is Gate.RESTORE else "danger"
    name = short(run.request.target.backend.name, 40)  # all that begins has to fit beside it
    does = begins(run, run.covered, asked.verified.get("installed", ""))
    begun = f"Begins at once on {name}: {does}."
    yes = dialog(f"Approve: {what}", begun, f"Approve {asked.gate}", style=style)
    # The dialogs of the others are the forms that they open.
    buttons = [button("Approve…", "approve", answer, style=style, confirm=yes), button("Not now…", "not_now", answer)]
    buttons.append(button("All commands", "commands", answer))
    seldom = [("Go back…", "go_back")] if not no_way_back(run) else []
    seldom += [("Wait longer…", "wait_longer")] if not no_longer_wait(run) else []
    if len(seldom) > 1:
        return (*buttons, menu("more", [(label, f"{action}:{answer}") for label, action in seldom]))
    return (*buttons, *(button(label, action, answer) for label, action in seldom))


def everything(entry: Entry, asked: ApprovalAsked, run: Run) -> MessageBuilder:
    """All that the question is about: what it is for, what was seen, every command in its order."""
    covered = run.covered
    builder = MessageBuilder(f"All commands behind the {asked.gate} approval.")
    step = next(step for step in run.plan.steps if step.name == asked.step)
    builder.paragraph(f"*{title(run.plan, step)}*\n{escape(step.because)}")
    builder.paragraph(_identity(entry, asked, run))
    for line in asked.alarms:
        builder.paragraph(f":warning: *Alarm* {escape(line)}")
    if run.skipped:
        builder.paragraph("\n".join(["*Skipped so far*", *(f"• {escape(step.says)}" for step in run.skipped)]))
    for line in asked.evidence:
        builder.paragraph(f"*Evidence* {escape(line)}")
    count = sum(1 for one in covered if isinstance(one, PlannedChange))
    builder.paragraph(f"*What will run*: {plural(count, 'change')}, until the next approval or the end")
    for one in covered:
        write_step(builder, run.plan, one)
    return builder


def _identity(entry: Entry, asked: ApprovalAsked, run: Run) -> str:
    host = run.request.target.backend
    lines = [
        f"*On* {inline(host.name)} ({inline(str(host.ip))}), ring {inline(run.request.target.ring.name)}",
        f"{_first_upper(asked_for(run))}, run {inline(run.id)}, asked {stamp(entry.at)}",
        *([why(run.request)] if run.request.reason or run.request.ticket else []),
        f"*Open until* {stamp(asked.expires)}",
        f"*May not approve* {', '.join(who(user) for user in asked.not_by)}",
        f"*Digest* {inline(asked.digest[:12])} of these commands, the target, the configuration and the evidence",
    ]
    if run.plan.brings:
        lines.insert(0, f"*Brings* {'; '.join(inline(line) for line in run.plan.brings)}")
    if "in_place" in asked.verified:
        shown = sha256(asked.verified["in_place"].encode()).hexdigest()
        until = "it is replaced" if run.plan.config_digest else "users are disturbed"
        then = f"if it changes before {until}, you are asked again"
        lines.append(f"*Configuration in place* digest {inline(shown[:12])}; {then}")
    if "configuration" in asked.verified:
        packages, configuration = asked.verified.get("packages", ""), asked.verified.get("configuration", "")
        lines.append(f"*Verified* packages {escape(packages)}; `/etc/dovecot` with digest {inline(configuration[:12])}")
    if run.plan.config_digest:
        lines.append(f"*Digest of the proposed configuration* {inline(run.plan.config_digest[:12])}")
    waits = (lock_wait(step.action.command.text) for step in run.covered if isinstance(step, PlannedChange))
    if longest := max(filter(None, waits), default=None):
        lines.append(f"*Waits* up to {length(longest)} for dpkg's lock, where another program holds it")
    return "\n".join(lines)


def summary(approvals: Sequence[Entry]) -> str:
    """Who approved what and when."""
    lines = [
        f"• {one.fact.gate}: {who(one.fact.by)}, {moment(one.at)}, digest {inline(one.fact.digest[:12])}"
        for one in approvals
        if isinstance(one.fact, fact.Approved)
    ]
    return "\n".join(lines) or "• none were given"


def repeated(entry: Entry, again: fact.ApprovalRepeated, run: Run, approvers: str, *, closed: bool) -> Message:
    """A question that nobody answered, asked again; the last time in the channel, to those whom the run calls, too.

    Posted once the question is `closed`, it calls nobody: what counts by then is further down.
    """
    what = opens(again.gate, run)
    if closed:
        builder = MessageBuilder(f"A reminder of a question that is closed by now: {escape(what)}, {clock(entry.at)}.")
        builder.paragraph(f":bell: *A reminder of a question that is closed by now*: {escape(what)} · {now(entry.at)}")
        return builder.message(name=file_name(entry, "again"))
    asked = run.asked.fact if run.asked else None
    until = f" It is open until {moment(asked.expires)}." if isinstance(asked, ApprovalAsked) else ""
    everybody = f"{approvers} {callers(run)}" if again.last else approvers
    builder = MessageBuilder(f"{everybody} Still waiting for an approval: {what}.")
    builder.paragraph(f":bell: *Still waiting: {escape(what)}* · {now(entry.at)} · {everybody}")
    builder.paragraph(f"The buttons are above in this thread.{until} After that the run holds, and nothing is done.")
    return builder.message(name=file_name(entry, "again"), broadcast=again.last)


def refused(entry: Entry, attempt: fact.ApprovalRefused, run: Run) -> Message:
    """An attempt that did not count: it belongs on the record."""
    why = prose(attempt.reason, known(run))
    builder = MessageBuilder(f"The click of {who(attempt.by)} on the {attempt.gate} approval did not count: {why}.")
    builder.paragraph(
        f":no_entry: *Did not count*: {who(attempt.by)} on the {attempt.gate} approval, {now(entry.at)}: {why}"
    )
    return builder.message(name=file_name(entry, "refused"))
