"""What only the requester sees, of a run without a thread: how it ended while it only looked, warnings. Pure."""

from __future__ import annotations

from bot.adapters.slack.messages.blocks import Message, MessageBuilder
from bot.adapters.slack.messages.markup import escape, inline, prose, spoken
from bot.adapters.slack.messages.text import now, title, who
from bot.core.runs.events import Outcome
from bot.core.runs.run import Run


def looks(run: Run) -> str:
    """What is answered when a run has its ring, and has looked at nothing yet."""
    return (
        f"Run {run.id} claims ring {run.request.target.ring.name} and looks at everything on it. Its thread begins in"
        " this channel when all is in order; else you are told here what is not."
    )


def never_begun(run: Run) -> Message:
    """How a run ended that has only looked: what was seen, that nothing was changed, where it is on the record."""
    name = escape(run.request.target.backend.name)
    how = "was aborted" if run.outcome is Outcome.ABORTED else "is refused"
    builder = MessageBuilder(f"Run {escape(run.id)} on {name} {how}; nothing was changed anywhere.")
    builder.paragraph(
        f":no_entry: *Run {inline(run.id)} on {name} {how}*; nothing was changed anywhere · {now(run.at)}"
    )
    if run.outcome is Outcome.ABORTED:
        builder.paragraph(f"By {who(run.back_asked_by or '')}, while it still looked.")
    elif run.step:
        builder.paragraph(title(run.plan, run.step))
        builder.quote("*What was seen*", run.reason)
    listed = inline(f"{run.request.command} list".strip())
    builder.note(
        f"It has no thread; it is on the record, and {listed} shows it. The ring {inline(run.request.target.ring.name)}"
        " is free."
    )
    return builder.message()


def warning(run: str, text: str) -> Message:
    """Something that stands in no journal."""
    warning = f":warning: Run {inline(run)}: {prose(text)} (Not in the journal.)"
    builder = MessageBuilder(spoken(warning))
    builder.paragraph(warning)
    return builder.message()
