"""Shows runs in Slack, one thread a run: the Announcer port. One task a run reads the journal; none of them decides."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.errors import ERRORS
from bot.adapters.slack.people import Allowed
from bot.adapters.slack.thread.damage import damaged
from bot.adapters.slack.thread.elsewhere import Compose, Refresh, post
from bot.adapters.slack.thread.outbox import Outbox
from bot.adapters.slack.thread.pace import EditBudget, Pace
from bot.adapters.slack.thread.writer import MakeRecord, ThreadWriter
from bot.core.decisions.damage import Damaged
from bot.core.text.redact import redact_in_words
from bot.engine.ports import Journal
from bot.engine.posts import Post, Posts
from bot.errors import JournalError

__all__ = ["Pace", "Post", "Posts", "SlackAnnouncer"]

_ONCE_IN = 600.0
"""Seconds before the same warning is posted again."""

_LINK_WITHIN = 3.0
"""Seconds that an answer waits for an address; it is of use without one."""

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


async def _anywhere(_channel: str) -> bool:
    return True


class SlackAnnouncer:
    """Implements the Announcer port. `approvers` are mentioned where somebody has to approve.

    `home`: the channels of the settings, for messages about a run whose own channel is not known or takes none.
    `may_post_in` says of a channel whether what runs are about may be said there. `now`: the clock that dates facts.
    """

    def __init__(
        self,
        *,
        client: AsyncWebClient,
        journal: Journal,
        posts: Posts,
        approvers: Allowed,
        record: MakeRecord,
        now: Callable[[], datetime],
        home: Sequence[str] = (),
        may_post_in: Callable[[str], Awaitable[bool]] = _anywhere,
        pace: Pace | None = None,
    ) -> None:
        self._home = tuple(home)
        self._may_post_in = may_post_in
        self._record = record
        self._client = client
        self._journal = journal
        self._posts = posts
        self._approvers = approvers
        self._pace = pace or Pace()
        self._now = now
        self._budget = EditBudget(self._pace.together)
        self._writers: dict[str, tuple[ThreadWriter, asyncio.Task[None]]] = {}
        self._closed = False
        self._warned: dict[tuple[str, str], float] = {}
        self._warnings: set[asyncio.Task[Any]] = set()

    async def start(self, open_runs: Sequence[str]) -> None:
        """Go on posting these runs, and those that have ended and were not posted to their end; raises JournalError."""
        for run in dict.fromkeys((*open_runs, *await self._posts.behind())):
            self.wake(run)

    async def close(self) -> None:
        """Stop posting, at once; what is half posted is recognised at the next start."""
        self._closed = True
        tasks: list[asyncio.Task[Any]] = [*(task for _, task in self._writers.values()), *self._warnings]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self, run: str) -> None:
        """There are new facts of this run to show; returns at once."""
        if not self._closed:
            self._writer(run).wake()

    async def until_posted(self, run: str, seq: int) -> None:
        """Returns when people can see the run up to that fact; wait for it with a bound."""
        await self._writer(run).until_posted(seq)

    async def permalink(self, run: str) -> str:
        """The address of the run's root message, empty when it has none yet or Slack does not say in a moment."""
        rows = [row for row in await self._posts.of(run) if (row.seq, row.part) == (1, 0) and row.ts]
        if not rows:
            return ""
        try:
            async with asyncio.timeout(_LINK_WITHIN):
                answer = await self._client.chat_getPermalink(channel=rows[0].channel, message_ts=rows[0].ts or "")
        except ERRORS:
            _log.info("Slack did not give the address of its thread", extra={"run": run})
            return ""
        return str(answer["permalink"])

    def warn(self, run: str, text: str) -> None:
        """Call people for what the journal cannot hold now; once it is posted, not for ten minutes again.

        Where the thread does not take it, it is posted in the bot's channels, until the run goes on.
        """
        now = asyncio.get_running_loop().time()
        if self._closed or now < self._warned.get((run, text), 0.0):
            return
        recent = {key: until for key, until in self._warned.items() if until > now}
        self._warned = recent | {(run, text): math.inf}
        self._beside(self._warn(run, text), f"warning of {run}")

    async def _warn(self, run: str, text: str) -> None:
        until = 0.0
        try:
            if await self._writer(run).warn(redact_in_words(text)):
                until = asyncio.get_running_loop().time() + _ONCE_IN
        finally:
            self._warned[run, text] = until

    def damaged(self, found: Damaged) -> None:
        """Post in the channel that a run is damaged, or was released; returns at once, is tried until it was posted."""
        if not self._closed:
            self._beside(self._post_damaged(found), f"damage of {found.run}")

    def _post_elsewhere(self, channel: str, compose: Compose, refresh: Refresh | None = None) -> asyncio.Task[bool]:
        others = tuple(one for one in self._home if one != channel)
        return self._beside(self._post_in(others, compose, refresh), "message outside of its thread")

    async def _post_in(self, channels: tuple[str, ...], compose: Compose, refresh: Refresh | None = None) -> bool:
        return bool(channels) and await post(self._client, self._pace, channels, compose, self._may_post_in, refresh)

    def _beside(self, posting: Coroutine[Any, Any, _T], name: str) -> asyncio.Task[_T]:
        task = asyncio.create_task(posting, name=name)
        self._warnings.add(task)
        task.add_done_callback(self._warnings.discard)
        return task

    async def _post_damaged(self, found: Damaged) -> None:
        run = found.run
        known = [found.last.request.channel] if found.last else []
        try:
            known += [row.channel for row in await self._posts.of(run)]
            link = await self.permalink(run)
        except JournalError:
            _log.exception("where its thread is, the journal does not say", extra={"run": run})
            link = ""
        message = damaged(found, approvers=self._approvers.mention, link=link)
        await self._post_in(tuple(dict.fromkeys((*known, *self._home))), lambda: message)

    async def repost(self, run: str) -> str:
        """Post the run's buttons again, as new messages; says what was posted. Raises Refused when none count now."""
        return await self._writer(run).repost()

    def failing(self, run: str) -> str:
        """Why Slack did not take what was said last of this run, for people; empty where it did, or was not asked."""
        known = self._writers.get(run)
        return known[0].failing if known else ""

    def _writer(self, run: str) -> ThreadWriter:
        known = self._writers.get(run)
        if known and not known[1].done():
            return known[0]
        outbox = Outbox(run=run, client=self._client, posts=self._posts, pace=self._pace)
        writer = ThreadWriter(
            run=run,
            journal=self._journal,
            posts=self._posts,
            outbox=outbox,
            approvers=self._approvers.mention,
            record=self._record,
            pace=self._pace,
            budget=self._budget,
            elsewhere=self._post_elsewhere,
            now=self._now,
        )
        task = asyncio.create_task(writer.write(), name=f"thread of {run}")
        self._writers[run] = writer, task
        task.add_done_callback(lambda done: self._forget(run, done))
        return writer

    def _forget(self, run: str, task: asyncio.Task[None]) -> None:
        known = self._writers.get(run)
        if known and known[1] is task:
            del self._writers[run]
