"""Clicks on buttons, done: who, on which run, answering which fact; returns what to answer. Knows nothing of Bolt.

A button's value is RUN:SEQ:MARK, and all are looked up: a button of an older question counts for nothing, nor does one
of a fact that the journal has lost. In threads that older versions began it is RUN:SEQ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.adapters.slack.people import SlackPeople
from bot.core.decisions.approval import as_marked, asked_now
from bot.core.decisions.decide import (
    AgreeToSkip,
    Approve,
    GoBack,
    LeaveOut,
    Postpone,
    ProposeSkip,
    Retry,
    Steering,
    TakeOver,
    WaitLonger,
)
from bot.core.runs.events import RUN_ID, ApprovalAsked, Entry
from bot.core.runs.fold import fold
from bot.core.runs.run import Run
from bot.core.text.shown import in_lines
from bot.engine.service import Service
from bot.errors import Refused

_FIRST = 1
"""The fact that the buttons of the first message are of, which answer nothing."""

_MENTION = re.compile(r"<@([UW][A-Z0-9]{2,20})>")
_VALUE = re.compile(rf"({RUN_ID.pattern}):([1-9][0-9]{{0,8}})(?::([0-9a-f]{{8}}))?")


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
        found = self._found
        return found[1], int(found[2])

    @property
    def mark(self) -> str:
        """That of the fact (Entry.mark); empty where the button has none. Raises Refused as `place` does."""
        return self._found[3] or ""

    @property
    def _found(self) -> re.Match[str]:
        found = _VALUE.fullmatch(self.value)
        if not found:
            raise Refused("This button carries nothing that the bot knows.")
        return found


class Clicks:
    """Does what was clicked; raises a BotError whose text is the answer."""

    def __init__(self, *, service: Service, people: SlackPeople) -> None:
        self._service = service
        self._people = people

    async def do(self, click: Click) -> None:
        """Turn a click into a command of the core and give it to the service."""
        (run, seq), mark = click.place, click.mark
        person = await self._people.person(click.user)
        command: Steering
        match click.action:
            case "approve":
                command = Approve(person=person, ask=seq, message=click.message, mark=mark)
            case "agree_skip":
                command = AgreeToSkip(person=person, ask=seq, mark=mark)
            case "retry":
                command = Retry(person=person, held=seq, mark=mark)
            case "start_again":
                reason = "Start dovecot again was clicked"
                command = GoBack(person=person, reason=reason, answers=seq, start_first=True, mark=mark)
            case "stays_out":
                command = LeaveOut(person=person)
            case _:
                raise Refused("This bot has no such button.")
        await self._service.steer(run, command)

    async def named(self, text: str) -> str:
        """The text with names in the place of mentions, for where Slack shows none."""
        for user in dict.fromkeys(_MENTION.findall(text)):
            text = text.replace(f"<@{user}>", f"@{await self._people.name(user)}")
        return text

    async def run_of(self, click: Click) -> Run:
        """The run that the button is of, as it is now; raises Refused when there is none."""
        run = fold(await self._service.entries(click.place[0]))
        assert run is not None
        return run

    async def question_of(self, click: Click) -> tuple[Entry, Run, str]:
        """The question that the button is of, the run as it was then, and why it is not open any more, if so."""
        run, seq = click.place
        entries = await self._service.entries(run)
        if seq > len(entries) or not isinstance(entries[seq - 1].fact, ApprovalAsked):
            raise Refused("This button is of no question that the bot knows.")
        as_marked(entries[seq - 1], click.mark)
        then, now = fold(entries[:seq]), fold(entries)
        assert then is not None
        assert now is not None
        try:
            asked_now(now, seq)
        except Refused as closed:
            return entries[seq - 1], then, str(closed)
        return entries[seq - 1], then, ""

    async def sent(self, click: Click, reason: str, shown: str) -> None:
        """The form that a button opened was sent; `shown` is the digest of what it was about."""
        (run, seq), mark = click.place, click.mark
        person = await self._people.person(click.user)
        reason = in_lines(reason).strip()  # what nobody sees is no reason
        command: Steering
        match click.action:
            case "take_over":
                command = TakeOver(person=person, reason=reason, answers=seq if seq > _FIRST else None, mark=mark)
            case "skip":
                command = ProposeSkip(person=person, held=seq, reason=reason, mark=mark)
            case "not_now" | "deny":
                command = Postpone(person=person, ask=seq, reason=reason, message=click.message, shown=shown, mark=mark)
            case "wait_longer":
                command = WaitLonger(
                    person=person, ask=seq, reason=reason, message=click.message, shown=shown, mark=mark
                )
            case "go_back":
                reason = reason or "Go back was clicked"
                command = GoBack(person=person, reason=reason, answers=seq, shown=shown, mark=mark)
            case "abort":
                command = GoBack(person=person, reason=reason or "Abort was clicked", shown=shown)
            case _:
                raise Refused("This bot has no such form.")
        await self._service.steer(run, command)
