"""Clicks on buttons, done: who, on which run, answering which fact; returns what to answer. Knows nothing of Bolt.

A button's value is RUN:SEQ, and both are looked up: a button of an older question counts for nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from bot.adapters.slack.answers import Asker
from bot.adapters.slack.blocks import Json, escape, plain, section
from bot.adapters.slack.typed import RUN_ID, People, Service
from bot.core.decide import AgreeToSkip, Approve, Deny, GoBack, LeaveOut, ProposeSkip, Retry, Steering, TakeOver
from bot.errors import Refused

REASON = "reason"


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form that asks for a reason: its name in Slack, and its words. `{run}` stands for the run's id."""

    name: str
    title: str
    submit: str
    says: str
    label: str


FORMS = {
    "skip": Form(
        name="skip_reason",
        title="Skip this step",
        submit="Propose",
        says="Run {run} goes on without the step once a second engineer agrees.",
        label="Why may it be left out?",
    ),
    "take_over": Form(
        name="take_over_reason",
        title="Take over by hand",
        submit="Take over",
        says="Run {run} changes nothing more, and the ring is watched no more. It lets go of the ring when the backend"
        " is seen in use again, or when somebody says that it stays out.",
        label="Why do you take over?",
    ),
}
"""By the button that opens them."""

_VALUE = re.compile(rf"({RUN_ID.pattern}):([1-9][0-9]{{0,8}})")


@dataclass(frozen=True, kw_only=True)
class Click:
    """A click as it came: which button, its value, and the message (its ts) that had it."""

    action: str
    value: str
    user: str
    message: str

    @property
    def place(self) -> tuple[str, int]:
        """The run, and the fact that the button is of; raises Refused for anything that this bot did not write."""
        found = _VALUE.fullmatch(self.value)
        if not found:
            raise Refused("This button carries nothing that the bot knows.")
        return found[1], int(found[2])


class Clicks:
    """Does what was clicked; raises a BotError whose text is the answer."""

    def __init__(self, *, service: Service, people: People) -> None:
        self._service = service
        self._people = people

    async def do(self, click: Click) -> None:
        """Turn a click into a command of the core and give it to the service."""
        run, seq = click.place
        person = await self._people.person(click.user)
        command: Steering
        match click.action:
            case "approve":
                command = Approve(person=person, ask=seq, message=click.message)
            case "deny":
                command = Deny(person=person, ask=seq, message=click.message)
            case "agree_skip":
                command = AgreeToSkip(person=person, ask=seq)
            case "retry":
                command = Retry(person=person, held=seq)
            case "go_back":
                command = GoBack(person=person, reason="Go back was clicked while the run held", held=seq)
            case "start_again":
                reason = "Start dovecot again was clicked, as users wait for it"
                command = GoBack(person=person, reason=reason, held=seq, start_first=True)
            case "stays_out":
                command = LeaveOut(person=person)
            case "abort":
                command = GoBack(person=person, reason="Abort was clicked")
            case _:
                raise Refused("This bot has no such button.")
        await self._service.steer(run, command)

    async def reasoned(self, click: Click, reason: str) -> None:
        """The form that asked for the reason was sent."""
        run, seq = click.place
        person = await self._people.person(click.user)
        if click.action == "take_over":
            await self._service.steer(run, TakeOver(person=person, reason=reason))
        else:
            await self._service.steer(run, ProposeSkip(person=person, held=seq, reason=reason))


def reason_form(click: Click, asker: Asker) -> Json:
    """The form that a button opens, to ask for a reason."""
    form = FORMS[click.action]
    hidden = {
        "action": click.action,
        "value": click.value,
        "message": click.message,
        "channel": asker.channel,
        "thread": asker.thread,
    }
    box = {"type": "plain_text_input", "action_id": REASON, "multiline": True, "max_length": 500}
    return {
        "type": "modal",
        "callback_id": form.name,
        "private_metadata": json.dumps(hidden),
        "title": plain(form.title, 24),
        "submit": plain(form.submit, 24),
        "close": plain("Cancel", 24),
        "blocks": [
            section(form.says.format(run=escape(click.place[0]))),
            {"type": "input", "block_id": REASON, "label": plain(form.label, 200), "element": box},
        ],
    }


def sent_form(view: Json, user: str) -> tuple[Click, Asker, str]:
    """What came back of the form: the click that opened it, the way to whoever filled it in, and the reason."""
    hidden = json.loads(view.get("private_metadata") or "{}")
    typed = view.get("state", {}).get("values", {}).get(REASON, {}).get(REASON, {}).get("value")
    action = str(hidden.get("action") or "skip")
    click = Click(action=action, value=str(hidden.get("value")), user=user, message=str(hidden.get("message")))
    asker = Asker(user=user, channel=str(hidden.get("channel")), thread=hidden.get("thread"))
    return click, asker, str(typed or "").strip()
