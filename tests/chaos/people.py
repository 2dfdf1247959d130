"""The scripted people of a scene: one asks, a second engineer approves each question once, one retries what holds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.practice.scene import REQUESTER, SECOND, Scene, buttons
from bot.practice.slack import Message, SlackTimeout
from tests.chaos.evidence import Click
from tests.chaos.threads import gate_of

_RETRIES = 2
_READS_FOR = 1.5
"""Seconds that somebody takes to read why a run holds: longer than the watch takes to set the ring back."""
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
    denies: str = ""
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
            elif "retry" in there and age >= _READS_FOR and self.calm() and self._retries["retry"] < _RETRIES:
                action = "retry"
            else:
                continue
            if self._may_click(message, now):
                return message, action
        return None

    def _answer(self, message: Message) -> str:
        """The first question of the gate that is to be denied is denied, however often it takes; all else approved."""
        gate = gate_of(message)
        first = next((one.message for one in self.clicks if one.gate == gate), message.ts)
        return "deny" if gate == self.denies and first == message.ts else "approve"

    def _may_click(self, message: Message, now: float) -> bool:
        if message.ts not in self._done:
            return True
        at, starts = self._done[message.ts]
        return now - at > _AGAIN_AFTER and starts != self.bot_started()

    async def _click(self, message: Message, action: str) -> None:
        now, user = asyncio.get_running_loop().time(), REQUESTER if action == "retry" else SECOND
        known = self._done.get(message.ts)
        self._done[message.ts] = now, self.bot_started()
        self._retries[action] += known is None
        self.clicks.append(
            Click(at=datetime.now(UTC), user=user, action=action, gate=gate_of(message) or "", message=message.ts)
        )
        try:
            await self.scene.slack.click(user, message, action)
        except LookupError:  # the button went away meanwhile: somebody was told, or it was answered
            return
        except SlackTimeout:  # they were shown an error, and will try again
            self._done[message.ts] = now, -1
