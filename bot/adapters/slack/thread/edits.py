"""Edits messages of one run: at once, and later again where Slack fails at it, so that no edit keeps a post waiting.

An edit is not the record: it takes buttons away that count no more, and shows the state. It knows nothing of facts.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.errors import ERRORS, DeliveryFailure, delivery_failure, name_of, passes, people_can_help
from bot.adapters.slack.messages.blocks import Message, plainer
from bot.adapters.slack.thread.pace import Pace
from bot.adapters.slack.waits import limited_for, unwaiting
from bot.engine.posts import Post

_TRIES = 20
"""How often an edit is tried before it is given up: with the pauses in between, for about a quarter of an hour."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Edit:
    """One that Slack has not taken yet; `due` by the loop's clock."""

    post: Post
    message: Message
    failures: int = 0
    due: float = 0.0


class Edits:
    """What is still to be edited of one run; a newer edit of the same message takes the place of an older one."""

    def __init__(self, *, run: str, client: AsyncWebClient, pace: Pace) -> None:
        self._fields = {"run": run}
        # Where Slack limits edits, what is to be posted would wait for as long as that.
        self._client = unwaiting(client)
        self._pace = pace
        self._late: dict[str, _Edit] = {}

    async def make(self, post: Post, message: Message) -> None:
        """Change a message, now or later. One that Slack will not have changed stays as it is, and that is logged."""
        self._late.pop(post.ts or "", None)
        await self._try(_Edit(post=post, message=message))

    async def make_late(self) -> float | None:
        """Try again those that are due; returns in how many seconds another one is, None when none is left."""
        now = asyncio.get_running_loop().time()
        for edit in [edit for edit in self._late.values() if edit.due <= now]:
            del self._late[edit.post.ts or ""]
            await self._try(edit)
        now = asyncio.get_running_loop().time()
        return min((max(0.0, edit.due - now) for edit in self._late.values()), default=None)

    async def _try(self, edit: _Edit) -> None:
        message = edit.message
        while True:
            try:
                await self._client.chat_update(
                    channel=edit.post.channel, ts=edit.post.ts or "", text=message.text, blocks=list(message.blocks)
                )
            except ERRORS as error:
                _log.warning("message %s is not edited: %s", edit.post.ts, name_of(error), extra=self._fields)
                if delivery_failure(error) is DeliveryFailure.CONTENT and message.blocks:
                    message = plainer(message)
                    continue
                if passes(error) or people_can_help(error):
                    self._keep(replace(edit, message=message), limited_for(error))
            return

    def _keep(self, edit: _Edit, least: float) -> None:
        if edit.failures + 1 < _TRIES:
            due = asyncio.get_running_loop().time() + max(least, self._pace.pause(edit.failures))
            self._late[edit.post.ts or ""] = replace(edit, failures=edit.failures + 1, due=due)
