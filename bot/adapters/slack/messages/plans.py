"""Plans and stages in Slack: what will run, literally, before it does. Pure: from plans alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from bot.adapters.slack.messages.blocks import File, Message, MessageBuilder
from bot.adapters.slack.messages.markup import escape, inline, short
from bot.adapters.slack.messages.text import file_name, now, number, place, runbook, stage_place, why
from bot.core.decisions.guards import guards_planned
from bot.core.hosts.inventory import Target
from bot.core.plans.dryrun import DryRun
from bot.core.plans.plan import Plan, PlannedApproval, PlannedChange, PlannedCheck, PlannedStep, PlannedWait
from bot.core.readings.packages import alarm
from bot.core.runs.events import Entry, RunRequested, StageBegan, TurnedBack
from bot.core.runs.run import Run
from bot.core.text.amount import plural
from bot.core.text.duration import length
from bot.core.text.shown import in_line, set_in

_DIGEST = 12
"""Characters of a digest that people compare."""


def _kind(step: PlannedStep) -> str:
    """What kind of step it is and where it happens, in small words."""
    match step:
        case PlannedCheck():
            return "looks only"
        case PlannedChange():
            return f"on {step.where}"
        case PlannedWait():
            return f"waits {length(step.length)}"
        case PlannedApproval():
            return f"asks for the {step.gate} approval, open for {length(step.length)}"
        case _:
            assert_never(step)


def write_step(builder: MessageBuilder, plan: Plan, step: PlannedStep) -> None:
    """One step that is to come: its number, which kind it is, and its command if it has one."""
    line = f"*{number(plan, step)}* · {escape(step.says)}{runbook(step)} · _{_kind(step)}_"
    if isinstance(step, PlannedChange):
        builder.code(line, step.action.command.text)
    else:
        builder.paragraph(line)


def requested(entry: Entry, request: RunRequested) -> Message:
    """The first reply: what was asked, and the whole plan as a file."""
    plan = request.plan
    counted = f"{len(plan.steps)} steps in {len(plan.stages)} stages"
    name = request.target.backend.name
    builder = MessageBuilder(f"A run on {escape(name)} was asked for; the plan has {counted}.")
    builder.paragraph(f":memo: *Asked for* · {now(entry.at)}")
    builder.quote("*Typed*", f"{request.procedure} {request.text}")
    if request.reason or request.ticket:
        builder.paragraph(why(request))
    builder.paragraph(f"*The plan* has {counted}; digest {inline(plan.digest[:_DIGEST])}. All of it is in the file.")
    if plan.config_digest:
        builder.note(f"Digest of the proposed configuration: {inline(plan.config_digest[:_DIGEST])}")
    write_left_out(builder, plan)
    whole = File(name=file_name(entry, "plan"), content=plan_text(plan, request.target))
    return builder.message(name=file_name(entry, "request"), files=(whole,))


def stage_began(entry: Entry, began: StageBegan, run: Run) -> Message | None:
    """A stage that changes something is announced, in a line; its commands are in the plan, and behind approvals."""
    plan = run.plan
    stage = next(stage for stage in plan.stages if stage.name == began.stage)
    ahead = stage.steps[stage.steps.index(run.step) :] if run.step in stage.steps else stage.steps
    count = sum(isinstance(step, PlannedChange) for step in ahead)
    if not count:
        return None
    waits = [f"waits {length(step.length)}" for step in ahead if isinstance(step, PlannedWait)]
    on = ["once it has begun, it waits for nobody"] if stage.uninterrupted else []
    at, says = stage_place(plan, stage).capitalize(), escape(short(stage.says, 300))
    builder = MessageBuilder(f"{at} begins: {says}.")
    parts = [f":arrow_forward: *{at}: {says}*", plural(count, "change"), *waits, *on, now(entry.at)]
    builder.paragraph(" · ".join(parts))
    return builder.message()


def turned_back(entry: Entry, turned: TurnedBack) -> Message:
    """The plan of the way back, what it leaves out and why."""
    plan = turned.plan
    builder = MessageBuilder(f"The run turns round: {escape(plan.title)}, {len(plan.steps)} steps.")
    builder.paragraph(f":leftwards_arrow_with_hook: *{escape(plan.title)}* · {now(entry.at)}")
    builder.paragraph(
        f"{len(plan.steps)} steps; digest {inline(plan.digest[:_DIGEST])}. From here on, the run follows this plan."
    )
    for step in plan.steps:
        write_step(builder, plan, step)
    write_left_out(builder, plan)
    return builder.message(name=file_name(entry, "way-back"))


def write_left_out(builder: MessageBuilder, plan: Plan) -> None:
    """What a plan leaves out, and why."""
    if plan.left_out:
        lines = "\n".join(f"• {escape(left.step)}: {escape(left.because)}" for left in plan.left_out)
        builder.paragraph(f"*Left out*\n{lines}")


def plan_text(plan: Plan, target: Target) -> str:
    """The whole plan as plain text, with what must be so right before each change."""
    lines = [in_line(plan.title), f"digest {plan.digest}"]
    if plan.config_digest:
        lines.append(f"digest of the proposed configuration {plan.config_digest}")
    lines += [f"brings {in_line(line)}" for line in plan.brings]
    for stage in plan.stages:
        lines += [
            "",
            f"Stage {stage.name}: {in_line(stage.says)}" + (" (uninterrupted)" if stage.uninterrupted else ""),
        ]
        for step in stage.steps:
            lines += ["", *_step_text(plan, step, target)]
    lines += ["", *(f"Left out: {left.step}: {in_line(left.because)}" for left in plan.left_out)]
    return "\n".join(lines).rstrip() + "\n"


def _step_text(plan: Plan, step: PlannedStep, target: Target) -> list[str]:
    lines = [f"  {place(plan, step)}: {in_line(step.says)}", f"    {_kind(step)}; because {in_line(step.because)}"]
    if not isinstance(step, PlannedChange):
        return lines
    lines.append(set_in(f"$ {step.action.command.text}"))
    lines += [f"    only if: {in_line(guard.says)}" for guard in guards_planned(plan, step, target)]
    if step.undo:
        lines.append(set_in(f"undo: $ {step.undo.command.text}"))
    if step.no_undo_because:
        lines.append(f"    not undone: {in_line(step.no_undo_because)}")
    return lines


_MET = {True: ":white_check_mark: met", False: ":x: not met", None: ":grey_question: not known now"}


def dry_run(found: DryRun) -> tuple[Message, ...]:
    """What would run, with the checks as they are now; in more than one message where it is long."""
    plan = found.plan
    verdict = _verdict(found)
    builder = MessageBuilder(f"{escape(plan.title)}: {verdict}. Nothing was changed.")
    builder.head(f"Plan: {plan.title}")
    builder.paragraph(f"{verdict.capitalize()}. Nothing was changed; this is only what a run would do.")
    if plan.brings:
        builder.paragraph("*Brings*\n" + "\n".join(f"• {inline(line)}" for line in plan.brings))
    for text, holds, reason in found.checks:
        builder.paragraph(f"*{_MET[holds]}* · {escape(text)}")
        builder.quote(":warning: *Alarm*" if alarm(reason) else "*Seen*", reason)
    for text in found.later:
        builder.paragraph(f"*:fast_forward: seen in the run itself* · {escape(text)}")
    write_left_out(builder, plan)
    builder.note(f"{len(plan.steps)} steps; digest {inline(plan.digest[:_DIGEST])}")
    messages: list[Message] = []
    for at, stage in enumerate(plan.stages):
        if builder.crowded:
            messages.append(builder.message())
            builder = MessageBuilder(f"{escape(plan.title)}, the plan goes on.")
        builder.paragraph(f"*Stage {at + 1} of {len(plan.stages)}: {escape(stage.says)}*")
        for step in stage.steps:
            write_step(builder, plan, step)
            if guards := guards_planned(plan, step, found.target):
                builder.note("Only if, right then: " + "; ".join(escape(guard.says) for guard in guards))
    return (*messages, builder.message())


def _verdict(found: DryRun) -> str:
    """How the checks stand, in a clause: what is not known now is neither for the run nor against it."""
    results = [holds for _, holds, _ in found.checks]
    against, unknown = results.count(False), results.count(None)
    if not against and not unknown:
        return "every check is met now"
    counts = ((against, "is not met now", "are not met now"), (unknown, "is not known now", "are not known now"))
    parts = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
    return f"of {len(results)} checks, {' and '.join(parts)}"


BEGINNING = (
    "backend-3   upgrade it: Dovecot's packages to what apt offers, the configuration to the ring's proposed one",
    "backend-3 packages=NAME=VERSION,… config=NAME   to these versions, and to this configuration",
    "backend-3 packages=keep   leave the packages as they are; config=keep the configuration",
    "backend-3 restart=yes   leave both: only stop and start it, with a clean metacache",
    'backend-3 reason="…" ticket=…   with any of these: why, shown to who approves, and kept',
)
"""How a run is begun, in five lines, each behind the slash command; README.md says the same."""

_OTHERS = (
    "plan backend-3 …     what a run would do, with the checks as they are now",
    "status               the runs that are open, and what is damaged",
    "list                 all runs, the newest first",
    "abort RUN            turn round at the next safe point",
    "repost RUN           post a run's buttons again",
    "release RUN REASON   let a damaged run's ring go, once its backend was looked at",
)


def help_text(commands: Mapping[str, str], only: Sequence[str] = ()) -> Message:
    """How each slash command is used."""
    builder = MessageBuilder("How this bot is asked for runs, and steered.")
    for command, summary in sorted(commands.items()):
        if only and command not in only:
            continue
        builder.paragraph(f"*{inline(command)}* {escape(summary)}.")
        builder.code(
            "",
            "\n".join(f"{command} {typed}" for typed in (*BEGINNING, *_OTHERS)),
        )
    builder.note(
        "Typed alone, it opens a form. Everything else is done with the buttons in the run's thread, which is its"
        " change record."
    )
    return builder.message()
