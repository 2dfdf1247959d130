"""The forms that buttons open: what they ask for, what they show first, and what comes back of them. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from bot.adapters.slack.inbound.answers import Asker
from bot.adapters.slack.inbound.clicks import Click
from bot.adapters.slack.messages.approval import everything
from bot.adapters.slack.messages.blocks import Json, MessageBuilder, plain, section
from bot.adapters.slack.messages.markup import escape, prose
from bot.adapters.slack.messages.plans import write_left_out, write_step
from bot.adapters.slack.messages.text import file_name, title, users, who
from bot.core.decisions.approval import asked_now
from bot.core.decisions.decide import LONGER_WAITS, no_longer_wait, waited_before
from bot.core.decisions.goback import gives_vhosts_only, going_back, way_back_shown
from bot.core.plans.plan import Plan, PlannedApproval
from bot.core.runs.events import ApprovalAsked, Entry
from bot.core.runs.run import Run
from bot.core.text.amount import plural
from bot.core.text.dates import clock
from bot.core.text.duration import length
from bot.errors import Refused

REASON = "reason"


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form: its name in Slack, and its words; `shows` the way back, before that.

    `{run}` stands for the run's id, `{step}` for the step at hand.

    `otherwise`: what does nearly the same where Slack opens no form.
    """

    name: str
    title: str
    submit: str
    text: str
    label: str
    optional: bool = False
    shows: bool = False
    otherwise: str = ""


_TYPED = "`abort {run}` after the slash command turns the run round without a form."
_NOT_NOW = Form(
    name="not_now_reason",
    title="Not now",
    submit="Not now",
    text="Run {run} holds as it is and nothing is undone; *Retry* asks the approvers again.",
    label="Why not now?",
    otherwise="Left unanswered, the question expires, and the run holds as it is.",
)
_GO_BACK = Form(
    name="go_back_reason",
    title="Go back",
    submit="Go back",
    text="",
    label="Why? The record keeps it.",
    optional=True,
    shows=True,
    otherwise=_TYPED,
)

_WAIT_LONGER = Form(
    name="wait_longer_reason",
    title="Wait longer",
    submit="Wait longer",
    text="",
    label="Why? The record keeps it.",
    optional=True,
    otherwise="While the question is open, users go on leaving by themselves.",
)

FORMS = {
    "skip": Form(
        name="skip_reason",
        title="Skip this step",
        submit="Propose",
        text="Run {run} goes on without this step once a second engineer agrees: {step}",
        label="Why may it be left out?",
    ),
    "take_over": Form(
        name="take_over_reason",
        title="Take over by hand",
        submit="Take over",
        text="Run {run} changes nothing more, and the ring is watched no more. It releases the ring when the backend"
        " was out and is seen in use again, or when somebody says that it stays out, or that the work by hand is done.",
        label="Why do you take over?",
    ),
    "not_now": _NOT_NOW,
    # Of threads that older versions began: what its text announced is now shown first, under another button.
    "deny": _NOT_NOW,
    "wait_longer": _WAIT_LONGER,
    "go_back": _GO_BACK,
    "abort": _GO_BACK,
}
"""By the button that opens them."""


@dataclass(frozen=True, kw_only=True)
class SentForm:
    """A form that came back: the click that opened it, whom to answer, what they typed, the digest of what they saw."""

    click: Click
    asker: Asker
    reason: str
    shown: str


def form(click: Click, asker: Asker, run: Run) -> Json:
    """The form that a button opens."""
    asks = FORMS[click.action]
    try:
        blocks, shown = _about(click, asks, run)
    except Refused as refused:
        return _view(asks, (section(f"This cannot be done now: {prose(str(refused), None)}"),))
    hidden = {
        "action": click.action,
        "value": click.value,
        "message": click.message,
        "channel": asker.channel,
        "thread": asker.thread,
        "shown": shown,
    }
    box = {"type": "plain_text_input", "action_id": REASON, "multiline": True, "max_length": 500}
    asked: Json = {"type": "input", "block_id": REASON, "label": plain(asks.label, 200), "element": box}
    view = _view(asks, (*blocks, asked | ({"optional": True} if asks.optional else {})))
    return view | {"private_metadata": json.dumps(hidden), "submit": plain(asks.submit, 24)}


def _about(click: Click, asks: Form, run: Run) -> tuple[Sequence[Json], str]:
    """What a form shows before it asks, and the digest of that; raises Refused where it would be refused anyway."""
    _, seq = click.place
    step = f"*{title(run.plan, run.step)}*" if run.step else "it is at its end"
    text = section(asks.text.format(run=escape(run.id), step=step)) if asks.text else None
    if seq in run.answers or asks in {_NOT_NOW, _WAIT_LONGER}:
        asked = asked_now(run, seq, click.mark)
        if not asks.shows:
            return (text or section(_once_more(run)),), asked.digest
    if asks.shows:
        plan = going_back(run)
        return _way_back(run, plan), way_back_shown(plan)
    return ((text,) if text else ()), ""


def _once_more(run: Run) -> str:
    """What waiting longer means, in a paragraph."""
    if against := no_longer_wait(run):
        raise Refused(against)
    wait = waited_before(run)
    assert wait is not None
    at = run.ring.users_at
    mapped = f" Users mapped there: {users(run.ring.users)}, counted {clock(at)}." if at else ""
    left = LONGER_WAITS - run.longer_waits
    return (
        f"*{escape(wait.says)}*: {length(wait.length)} once more, then what is left is counted, and the approvers are"
        f" asked anew.{mapped} This question is void from then on."
        f" It can be chosen {left} {'time' if left == 1 else 'times'} still."
    )


def loading_commands() -> Json:
    """What is shown at once, as Slack waits three seconds for a view."""
    return _commands((section("Reading the run …"),))


def all_commands(question: Entry, run: Run, closed: str) -> Json:
    """All that an approval is about; `run`: as it was when it was asked for; `closed`: why it is not open any more."""
    assert isinstance(question.fact, ApprovalAsked)
    builder = everything(question, question.fact, run)
    over = (section(f":information_source: {prose(closed, None)}"),) if closed else ()
    return _commands((*over, *builder.message(name=file_name(question, "approval")).blocks))


def no_commands(why: str) -> Json:
    """Why there is nothing to be shown."""
    return _commands((section(escape(why)),))


def _commands(blocks: Sequence[Json]) -> Json:
    shown = {"title": plain("All commands", 24), "close": plain("Close", 24), "blocks": list(blocks)}
    return {"type": "modal", "callback_id": "all_commands", **shown}


def _view(asks: Form, blocks: Sequence[Json]) -> Json:
    return {
        "type": "modal",
        "callback_id": asks.name,
        "title": plain(asks.title, 24),
        "close": plain("Cancel", 24),
        "blocks": list(blocks),
    }


def _way_back(run: Run, plan: Plan | None) -> Sequence[Json]:
    """What going back would do, in numbers and commands, and who has to approve it."""
    name = escape(run.request.target.backend.name)
    builder = MessageBuilder("")
    if plan is None:
        builder.paragraph(f"Nothing was changed on {name} that needs undoing: the run ends.")
        return builder.message().blocks
    gates = [f"*{step.gate}*" for step in plan.steps if isinstance(step, PlannedApproval)]
    opened = " and ".join(gates) or "no"
    builder.paragraph(f"*{plural(len(plan.changes), 'change')}* on the way back, after {opened} approval.")
    requester = who(run.request.requester)
    if gives_vhosts_only(plan):
        builder.paragraph(
            f"Only the vhost count was changed. From an approver, but for {requester}, this *is* the restore approval:"
            f" the command is sent once the ring is seen whole and {name} to work, else the run holds. From anybody"
            " else it is asked for."
        )
    else:
        builder.paragraph(
            f"Whoever sends this cannot approve it; any other approver can, {requester} too if one of them."
        )
    for step in plan.changes:
        write_step(builder, plan, step)
    write_left_out(builder, plan)
    return builder.message().blocks


def sent(view: Json, user: str) -> SentForm:
    """What came back of a form that this bot opened."""
    hidden = json.loads(view.get("private_metadata") or "{}")
    typed = view.get("state", {}).get("values", {}).get(REASON, {}).get(REASON, {}).get("value")
    action = str(hidden.get("action") or "skip")
    return SentForm(
        click=Click(action=action, value=str(hidden.get("value")), user=user, message=str(hidden.get("message"))),
        asker=Asker(user=user, channel=str(hidden.get("channel")), thread=hidden.get("thread")),
        reason=str(typed or "").strip(),
        shown=str(hidden.get("shown") or ""),
    )
