"""The scripted people of a scene: one asks, a second engineer approves each question once, one decides what holds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.practice.scene import REQUESTER, SECOND, Scene, buttons
from bot.practice.slack.socket import SlackTimeout
from bot.practice.slack.workspace import Message
from tests.chaos.evidence import Click
from tests.chaos.threads import gate_of

_READS_FOR = 1.5
"""Seconds that somebody takes to read why a run holds: longer than the watch takes to set the ring back."""
_OF_A_SECOND = frozenset({"approve", "agree_skip"})
_FORMS = frozenset({"skip", "go_back"})
_NOT_FLUSHED = "the metacache was not seen to be flushed"
"""A hold that says so is no better after a Retry."""
_AGAIN_AFTER = 3.0
"""Seconds after which somebody clicks again whose click had no effect: Slack told them so, or the bot came anew."""


@dataclass(kw_only=True)
class People:
    """Answers what the thread asks. `calm` says whether the trouble is over: nobody clicks Retry before.

    `bot_started` counts the bot's starts; a click that was acknowledged is repeated only when the bot died over it.
    """

    scene: Scene
    calm: Callable[[], bool]
    bot_started: Callable[[], int]
    slow: float = 0.0
    turns_at: str = ""
    retries: int = 2
    then: str = ""
    clicks: list[Click] = field(default_factory=list)
    _done: dict[str, tuple[float, int]] = field(default_factory=dict)
    _seen: dict[str, float] = field(default_factory=dict)
    _retries: Counter[str] = field(default_factory=Counter)

    async def ask(self, text: str, *, began: Callable[[], bool], user: str = REQUESTER) -> None:
        """Type the slash command; again when Slack says that it came to nothing, unless a run has begun."""
        for _ in range(5):
            with suppress(SlackTimeout):
                await self.scene.ask(text, user=user)
                return
            if began():
                return

    async def answer(self) -> None:
        """Answer questions and holds, until cancelled."""
        while True:
            with suppress(TimeoutError):
                message, action = await self.scene.slack.until(self._due, timeout=5)
                await self._click(message, action)

    def _due(self) -> tuple[Message, str] | None:
        now = asyncio.get_running_loop().time()
        for message in self.scene.thread:
            there, age = buttons(message), now - self._seen.setdefault(message.ts, now)
            if "approve" in there and age >= self.slow:
                action = self._answer(message)
            elif "agree_skip" in there:
                action = "agree_skip"
            elif "retry" in there and age >= _READS_FOR and self.calm():
                action = self._choice(message, there)
            else:
                continue
            if action and self._may_click(message, now):
                return message, action
        return None

    def _choice(self, message: Message, there: set[str]) -> str:
        """What they choose where a run holds; on its way back, where it cannot turn again, they go on to retry."""
        if self._retries["retry"] < self.retries and _NOT_FLUSHED not in str(message.blocks):
            return "retry"
        if self.then in there:
            return self.then
        return "retry" if self.then and self._retries["retry"] < 2 * self.retries else ""

    def _answer(self, message: Message) -> str:
        """At the first question of that gate they turn round, however often it takes; all else is approved."""
        gate = gate_of(message)
        first = next((one.message for one in self.clicks if one.gate == gate), message.ts)
        return "go_back" if gate == self.turns_at and first == message.ts else "approve"

    def _may_click(self, message: Message, now: float) -> bool:
        if message.ts not in self._done:
            return True
        at, starts = self._done[message.ts]
        return now - at > _AGAIN_AFTER and starts != self.bot_started()

    async def _click(self, message: Message, action: str) -> None:
        now, user = asyncio.get_running_loop().time(), SECOND if action in _OF_A_SECOND else REQUESTER
        known = self._done.get(message.ts)
        self._done[message.ts] = now, self.bot_started()
        self._retries[action] += known is None
        self.clicks.append(
            Click(at=datetime.now(UTC), user=user, action=action, gate=gate_of(message) or "", message=message.ts)
        )
        try:
            await self.scene.slack.click(user, message, action)
            if action in _FORMS:
                await self._give_a_reason(user)
        except LookupError:  # the button went away meanwhile: somebody was told, or it was answered
            return
        except SlackTimeout:  # they were shown an error, and will try again
            self._done[message.ts] = now, -1

    async def _give_a_reason(self, user: str) -> None:
        """In the form that the button opens."""
        slack = self.scene.slack
        with suppress(TimeoutError):
            shown = await slack.until(lambda: [view for view in slack.views if view.shown], timeout=5)
            try:
                await slack.submit(user, shown[-1], {"reason": {"reason": "it is better so"}})
            finally:
                shown[-1].shown = False  # what is refused in the form is read, and the form closed
