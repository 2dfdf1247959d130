"""The root message of a run (the only one that is edited in place), what is said of one without a thread, lists.

Pure: from the state alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import assert_never

from bot.adapters.slack.messages.blocks import Json, Message, MessageBuilder, button
from bot.adapters.slack.messages.markup import escape, inline, prose, short, spoken
from bot.adapters.slack.messages.text import known, moment, place, steers, steps_done, title, users, who, why
from bot.core.decisions.goback import no_way_back
from bot.core.decisions.summary import Summary, summary_of
from bot.core.plans.plan import PlannedStep
from bot.core.runs.changed import at_zero
from bot.core.runs.events import ApprovalAsked, Outcome, SkipProposed
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.core.text.dates import stamp
from bot.core.text.duration import between

_SHOWN = 20
"""Runs in a list, at most: it shows as many as a message has room for."""

_NAMED = 40
"""Ids of those that it does not show."""

_REASON = 400
"""Characters of why a run holds or has ended; all of them are in the thread."""

_WHY = 80
"""Characters of the reason for a run in a list."""

_SAYS = 150
"""Characters of what a stage says."""

_AT_HAND = {
    Status.HELD: ":warning:",
    Status.TAKEN: ":raising_hand:",
    Status.ENDED: ":black_square_for_stop:",
}
"""The signs of the stage at hand, where it does not go on by itself."""

_ENDS = {
    Outcome.DONE: ":white_check_mark: Done",
    Outcome.REFUSED: ":no_entry: Refused, nothing that serves mail was changed",
    Outcome.WENT_BACK: ":leftwards_arrow_with_hook: Went back",
    Outcome.ABORTED: ":black_square_for_stop: Aborted",
    Outcome.TAKEN_OVER: ":raising_hand: Taken over by hand",
}


def root(run: Run) -> Message:
    """What stands at the top of the thread; nothing in it depends on the time of drawing."""
    target = run.request.target
    name, state = target.backend.name, state_of(run)
    builder = MessageBuilder(f"{escape(run.request.plan.title)}, run {escape(run.id)}: {spoken(state)}.")
    builder.head(run.request.plan.title)
    builder.paragraph(f"*Backend* {inline(name)} ({inline(str(target.backend.ip))}), ring {inline(target.ring.name)}")
    if run.request.reason or run.request.ticket:
        builder.paragraph(why(run.request))
    if run.request.plan.brings:
        builder.paragraph(f"*Brings* {'; '.join(inline(line) for line in run.request.plan.brings)}")
    builder.paragraph(f"*State* {state}")
    builder.paragraph("\n".join(_checklist(run)))
    builder.paragraph("\n".join(_standing(run)))
    builder.note(f"Run {inline(run.id)} · asked for by {who(run.request.requester)} · began {moment(run.began)}")
    builder.note("The thread below is the change record: every step is a reply in it.")
    return builder.message(buttons=steering(run))


def steering(run: Run) -> tuple[Json, ...]:
    """What can be asked of a run at any time: turn round, or take it over."""
    abort = () if no_way_back(run) or run.plan.back else (abort_button(run),)
    over = run.status in {Status.TAKEN, Status.ENDED}
    return abort if over else (*abort, button("I take over by hand…", "take_over", steers(run)))


def abort_button(run: Run) -> Json:
    """Turn round at the next safe point."""
    return button("Abort…", "abort", steers(run), style="danger")  # its dialog is the form that shows the way back


def _checklist(run: Run) -> Iterator[str]:
    """The stages of the plan that is followed: done, at hand, to come."""
    at_hand = run.plan.stages.index(run.stage) if run.stage else len(run.plan.stages)
    sign = _AT_HAND.get(run.status, ":arrow_forward:")
    for number, stage in enumerate(run.plan.stages):
        if number < at_hand:
            whole = not any(step in stage.steps for step in run.skipped)
            yield f"{':white_check_mark:' if whole else ':fast_forward:'} {escape(stage.name)}"
        elif number == at_hand:
            yield f"{sign} *{escape(stage.name)}*: {escape(short(stage.says, _SAYS))}"
        else:
            yield f":white_small_square: {escape(stage.name)}"


def _standing(run: Run) -> list[str]:
    return [_progress(run), *_out(run), *_users(run)]


def _out(run: Run) -> Iterator[str]:
    since, until, zero_since = run.ring.out_since, run.ring.out_until, run.ring.zero_since
    if run.ring.not_back:
        return  # since when it is back, nobody has seen
    if since and until:
        yield f"*Out* for {between(since, until)}, from {moment(since)} to {moment(until)}"
    elif zero_since and at_zero(run) and not run.taken:  # by hand it is given users unseen, also after the run's end
        yield f"*Out*, without new users, since {moment(zero_since)}"


def _users(run: Run) -> Iterator[str]:
    """As numbers, and when they are counted for the approval."""
    ring = run.ring
    if ring.users and ring.users_at:
        again = run.until if run.status is Status.WAITING else None
        due = f"; counted again for the approval at {moment(again)}" if again else ""
        counted, first = f"{users(ring.users)}, counted {moment(ring.users_at)}", max(ring.users_before.values())
        yield f"*Users mapped* {counted}, at the beginning {first}{due}"


def _progress(run: Run) -> str:
    done = steps_done(run)
    if run.status is Status.ENDED:
        return f"{done} · ended {moment(run.at)}, after {between(run.began, run.at)}"
    return f"{done} · like this since {moment(run.since)}"


def state_of(run: Run) -> str:
    """The state in words: what is done now, or what is waited for and until when."""
    match run.status:
        case Status.ENDED:
            return _ended(summary_of(run))
        case Status.READY:
            return _ready(run)
        case Status.BUSY:
            again = f", attempt {run.attempt}" if run.attempt > 1 else ""
            return f":gear: Working{again}: {_at(run)}"
        case Status.DOUBT:
            return f":grey_question: In doubt, looking it up: {_at(run)}"
        case Status.WAITING:
            until = f" until {moment(run.until)}" if run.until else ""
            return f":hourglass_flowing_sand: Waiting{until}: {_at(run)}"
        case Status.ASKING:
            return _asking(run)
        case Status.HELD:
            return f":warning: Holds{_decides(run)}: {_at(run)}. {_why(run)}"
        case Status.TAKEN:
            return f":raising_hand: Taken over by hand by {who(run.taken_by or '')}: {inline(run.reason)}{_until(run)}"
        case _:
            assert_never(run.status)


def _until(run: Run) -> str:
    """What the ring is released on, where the run had not taken the backend out."""
    if out := run.ring.seen_out:
        return f". It was seen out, {moment(out)}; the ring is released when it is seen in use again"
    return "" if run.was_out else ". The ring is claimed until somebody says that the work by hand is done"


def _ended(run: Summary) -> str:
    assert run.outcome is not None
    end = _ENDS[run.outcome]
    if run.not_back:
        back = f"{inline(run.backend, 80)} *was not seen to be back*; last seen: {inline(run.not_back, 300)}"
        end = f":warning: {end.partition(' ')[2]}, and {back}"
    end += f"; {inline(run.left, 300)}" if run.left else ""
    return end + (f": {prose(run.ended_because, run.people, most=_REASON)}" if run.ended_because else "")


def _decides(run: Run) -> str:
    """Who it waits for; the buttons of the hold count also while a skip is proposed."""
    skip = run.skip.fact if run.skip else None
    if not isinstance(skip, SkipProposed):
        return ", a person has to decide"
    return f"; {who(skip.by)} proposes to skip this step, a second engineer has to agree"


def _why(run: Run) -> str:
    return prose(run.reason, known(run), most=_REASON)


def _ready(run: Run) -> str:
    if run.turning:
        return ":leftwards_arrow_with_hook: Turning round at the next safe point"
    return f":gear: Working: {_at(run)}" if run.step else ":gear: Ending"


def _asking(run: Run) -> str:
    assert run.asked is not None
    asked = run.asked.fact
    assert isinstance(asked, ApprovalAsked)
    return f":raised_hand: Waits for the {asked.gate} approval until {moment(asked.expires)}: {_at(run)}"


def _at(run: Run) -> str:
    step: PlannedStep | None = run.step
    return f"{place(run.plan, step)}, {escape(step.says)}" if step else "at its end"


def run_list(
    runs: Sequence[Run | Summary],
    links: Mapping[str, str],
    *,
    title: str,
    count: int | None = None,
    mine: Collection[str] = (),
) -> Message:
    """Runs in this order, of `count` in all: each as its root message has it; `mine` wait for whoever reads this.

    `links` are the addresses of their root messages, where known.
    """
    if not runs:
        builder = MessageBuilder(f"{title}: there are none.")
        builder.paragraph(f"*{title}*: there are none.")
        return builder.message()
    count = len(runs) if count is None else count
    lines = [_in_list(run, links, mine) for run in runs[:_SHOWN]]
    for room in range(len(lines), 0, -1):
        builder = MessageBuilder(f"{title}: {count}.")
        shown = f", {room} of them are shown" if room < count else ""
        builder.paragraph(f"*{title}*: {count}{shown}{'; what waits for you stands first' if mine else ''}")
        for text in lines[:room]:
            builder.paragraph(text)
        if room < count:
            builder.note(_not_shown([run.id for run in runs[room:]], count - room))
        if builder.fits:
            break
    return builder.message()


def _in_list(run: Run | Summary, links: Mapping[str, str], mine: Collection[str]) -> str:
    """A run in a paragraph."""
    one = summary_of(run)
    state = _ended(run) if isinstance(run, Summary) else "\n".join([state_of(run), *_standing(run)])
    state = f"*Waits for you* · {state}" if one.id in mine else state
    link = f" · <{links[one.id]}|thread>" if one.id in links else f" · <#{one.channel}>"
    reason = why(one, _WHY)
    return (
        f"{inline(one.id)} · {escape(one.title)} · asked for by {who(one.requester)}"
        f" · {stamp(one.began)}{link}{f' · {reason}' if reason else ''}\n{state}"
    )


def _not_shown(ids: Sequence[str], count: int) -> str:
    """The runs that have no room, of which `ids` are known here."""
    named, more = ids[:_NAMED], count - len(ids[:_NAMED])
    parts = [*map(inline, named), *([f"and {more} more: `dovecot-bot runs` names them all"] if more else [])]
    return f"*Not shown* {', '.join(parts)}"


def looks(run: Run) -> str:
    """What is answered when a run has its ring, and has looked at nothing yet."""
    return (
        f"Run {run.id} claims ring {run.request.target.ring.name} and looks at everything on it. Its thread begins in"
        " this channel when all is in order; else a message to you says what is not."
    )


def never_begun(run: Run) -> Message:
    """How a run ended that has only looked: what was seen, that nothing was changed, where it is on the record."""
    name = escape(run.request.target.backend.name)
    how = "was aborted" if run.outcome is Outcome.ABORTED else "is refused"
    builder = MessageBuilder(f"Run {escape(run.id)} on {name} {how}; nothing was changed anywhere.")
    builder.paragraph(
        f":no_entry: *Run {inline(run.id)} on {name} {how}*; nothing was changed anywhere · {moment(run.at)}"
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
