"""How times, lengths, people and steps are written in Slack: pure, the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from bot.adapters.slack.messages.markup import SPAN, escape, inline, short
from bot.core.decisions.summary import Summary, mentioned
from bot.core.plans.plan import Plan, PlannedStage, PlannedStep
from bot.core.plans.procedure import Gate
from bot.core.runs.events import Entry, Ran, RunRequested
from bot.core.runs.run import Run
from bot.core.text.dates import clock, stamp
from bot.core.text.duration import length

_SAYS = 300
"""Characters of what a step says: it may name many packages."""

_USER = re.compile(r"[UW][A-Z0-9]{2,20}")


def moment(at: datetime) -> str:
    """Date and time, for what may be old when it is read: UTC, and beside it the reader's own as Slack writes it."""
    return f"{clock(at)} (<!date^{int(at.timestamp())}^{{date_num}} {{time_secs}}|{stamp(at)}>)"


def now(at: datetime) -> str:
    """The time of day of what has just happened, in UTC and as the reader's clock has it: Slack dates the message."""
    return f"{clock(at)} (<!date^{int(at.timestamp())}^{{time_secs}}|{clock(at)}>)"


_TIME_ALONE = re.compile(r"<!date\^([0-9]+)\^\{time_secs\}\|[^<>]*>")
"""What `now` writes for Slack: no text of others holds it, as their < is escaped."""


def dated(markup: str) -> str:
    """The same with the date beside every time, for what Slack dates by when it was posted, long after it came."""

    def with_date(found: re.Match[str]) -> str:
        at = datetime.fromtimestamp(int(found[1]), UTC)
        return f"<!date^{found[1]}^{{date_num}} {{time_secs}}|{stamp(at)}>"

    return _TIME_ALONE.sub(with_date, markup)


def who(user: str) -> str:
    """A mention, which is shown as a name and stays an id; what is no id is no mention."""
    return f"<@{user}>" if _USER.fullmatch(user) else inline(user)


def number(plan: Plan, step: PlannedStep) -> int:
    """The number of a step in its plan, from 1."""
    return [member.name for member in plan.steps].index(step.name) + 1


def place(plan: Plan, step: PlannedStep) -> str:
    """Where a step stands: Step 5 of 27."""
    back = "Way back, step" if plan.back else "Step"
    return f"{back} {number(plan, step)} of {len(plan.steps)}"


def runbook(step: PlannedStep) -> str:
    """Which row of the runbook a step is, behind its number."""
    return f" · runbook {step.runbook}" if step.runbook is not None else ""


def step_text(step: PlannedStep) -> str:
    """What a step says, shortened; the whole plan has all of it."""
    return escape(short(step.says, _SAYS))


def title(plan: Plan, step: PlannedStep) -> str:
    """A step in a line: Step 5 of 27 · runbook 5 · Stop LMTP on backend-3; the whole plan has all that it says."""
    return f"{place(plan, step)}{runbook(step)} · {step_text(step)}"


def stage_place(plan: Plan, stage: PlannedStage) -> str:
    """Where a stage stands: stage 4 of 7."""
    return f"stage {[member.name for member in plan.stages].index(stage.name) + 1} of {len(plan.stages)}"


def ran(one: Ran) -> str:
    """Where a command ran and what came of it."""
    end = "no end was heard" if one.exit_status is None else f"exit {one.exit_status}"
    return f"{escape(one.host)} · {end} · {length(one.took)}"


def opens(gate: Gate, run: Run) -> str:
    """What a gate opens, as people say it: take backend-3 down and restart it."""
    name = short(run.request.target.backend.name, 80)
    match gate:
        case Gate.FLUSH:
            packages = any("→" in one for one in run.plan.brings)
            if run.lapsed and run.may_have_disturbed:
                return f"go on with the {'upgrade' if packages else 'restart'} of {name}"
            return f"take {name} down and {'upgrade' if packages else 'restart'} it"
        case Gate.RESTORE:
            return f"give {name} its users back"
        case Gate.GO_BACK:
            return f"go back on {name}"


def asked_for(run: Run) -> str:
    """Who asked for what is done now: for the run, and on the way back for that."""
    requester = who(run.request.requester)
    back = run.back_asked_by if run.plan.back else None
    return f"going back asked for by {who(back)}, the run by {requester}" if back else f"asked for by {requester}"


def steps_done(run: Run) -> str:
    """How far a run is, with what was skipped."""
    left_out = [step_text(step) for step in run.skipped]
    back = " of the way back" if run.plan.back else ""
    done = f"*Steps* {run.position - len(left_out)} of {len(run.plan.steps)}{back} done"
    return done + (f"; skipped: {'; '.join(left_out)}" if left_out else "")


def users(counted: Mapping[str, int]) -> str:
    """Users by director. No sum: every director knows all users of the ring, so a sum would count them twice."""
    if not counted:
        return "not counted"
    listed = ", ".join(f"{escape(name)}: {number}" for name, number in sorted(counted.items())[:20])
    return f"{max(counted.values())} ({listed})"


def file_name(entry: Entry, what: str) -> str:
    """A file's name, the same for the same fact and for no other."""
    return f"{entry.run}-{entry.seq}-{what}.txt"


def callers(run: Run) -> str:
    """Those whom a run calls: who asked for it, and who asked to go back, as they are at it now."""
    return " ".join(who(user) for user in dict.fromkeys((run.request.requester, run.back_asked_by)) if user)


def known(run: Run) -> tuple[str, ...]:
    """The people of a run: the bot's own sentences may mention them, whatever a host printed may not mention others."""
    return mentioned(run)


def why(request: RunRequested | Summary, most: int = SPAN) -> str:
    """The reason and the ticket as whoever asked typed them, in a line; empty where there is neither."""
    parts = (("Reason", request.reason), ("Ticket", request.ticket))
    return " · ".join(f"*{label}* {inline(text, most)}" for label, text in parts if text)


def steers(run: Run) -> str:
    """What a button of the first message carries, which answers nothing."""
    return f"{run.id}:1"


def answers(entry: Entry) -> str:
    """What a button carries that answers this fact."""
    return f"{entry.run}:{entry.seq}:{entry.mark}"
