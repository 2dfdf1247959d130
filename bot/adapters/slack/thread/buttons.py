"""The buttons in one run's thread: taken away once they count no more, and posted again for whoever wants them.

It remembers of each open question the state that it was asked in, to write its message once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from bot.adapters.slack.messages.blocks import Message, MessageBuilder, marked, without_buttons
from bot.adapters.slack.messages.markup import escape, inline
from bot.adapters.slack.messages.questions import ended
from bot.adapters.slack.messages.replies import replies
from bot.adapters.slack.messages.root import steering
from bot.adapters.slack.thread.outbox import Anew, Outbox, posted_at
from bot.core.runs.events import Entry
from bot.core.runs.run import Run
from bot.errors import Refused

_REPOSTED = 1_000
"""Parts from here on are buttons that were posted again."""

_AGAIN = "Posted again, because somebody asked for the buttons; the older ones count too."
_GONE = "Posted again, because the thread that it stood in was deleted."
_OVER = "The run can no longer be steered here."

_DEEDS = {"abort": "aborted", "take_over": "taken over by hand"}


class Buttons:
    """Of one run; for the task that writes its thread, and for whoever holds its lock.

    `by_now` reads on, and returns the run as it is; the thread may be far behind it.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        approvers: str,
        now: Callable[[], datetime],
        by_now: Callable[[], Awaitable[Run | None]],
    ) -> None:
        self._outbox = outbox
        self._by_now = by_now
        self._approvers = approvers
        self._now = now
        self._asked: dict[int, tuple[Run | None, Run]] = {}

    def remember(self, entry: Entry, before: Run | None, after: Run) -> None:
        """A fact is posted next: it may be a question."""
        if entry in after.open_questions:
            self._asked[entry.seq] = (before, after)

    async def take(self, before: Run, after: Run, ending: Entry) -> None:
        """Edit the messages of the questions that this fact ended, and those that steered the run."""
        for asked in before.open_questions:
            if asked in after.open_questions:
                continue
            _, then = self._asked[asked.seq]
            for post in self._outbox.of(asked.seq):
                if post.part == 1 or post.part >= _REPOSTED:
                    message = self._question(asked, posted_at(post))
                    await self._outbox.edit(post, ended(message, asked, then, ending))
        if steering(after) != steering(before):
            left = _steers(after) if steering(after) else without_buttons(_steers(before), _OVER, "Over:")
            for post in self._outbox.of(1):
                if post.part >= _REPOSTED:
                    await self._outbox.edit(post, left)

    async def post_again(self, run: Run) -> str:
        """Post those that count now, as new messages; says what was posted. Raises Refused for none, and RootGone."""
        again = [(asked.seq, self._question(asked)) for asked in run.open_questions]
        again += [(1, _steers(run))] if steering(run) else []
        if not again:
            raise Refused(f"Run {run.id} has no buttons that count now.")
        for seq, message in again:
            await self._post_again(seq, message, _AGAIN)
        return f"Posted again at the end of the thread: {len(again)} messages with buttons."

    async def ask_again(self, run: Run) -> None:
        """Post the open questions again whose messages were deleted with their thread. Raises RootGone.

        Seen from the rows, as the bot may end, or fail, at any moment after it has posted another first message.
        """
        for asked in run.open_questions:
            if not self._is_gone(asked):
                continue
            by_now = await self._by_now()
            if by_now and asked in by_now.open_questions:
                await self._post_again(asked.seq, self._question(asked), _GONE, partial(self._question_by_now, asked))

    def _is_gone(self, asked: Entry) -> bool:
        """Whether it was posted, and only in a thread that is no more: no reply is older than its first message."""
        posts = [post for post in self._outbox.of(asked.seq) if post.part == 1 or post.part >= _REPOSTED]
        root = self._outbox.root
        return bool(posts) and (root is None or max(map(posted_at, posts)) < posted_at(root))

    async def _question_by_now(self, asked: Entry) -> Message:
        return marked(replace(self._question(asked, by_now=await self._by_now()), broadcast=False), _GONE)

    async def _post_again(self, seq: int, message: Message, remark: str, anew: Anew | None = None) -> None:
        part = max((_REPOSTED, *(post.part + 1 for post in self._outbox.of(seq))))
        await self._outbox.reply((seq, part), marked(replace(message, broadcast=False), remark), anew)

    def _question(self, asked: Entry, posted: datetime | None = None, by_now: Run | None = None) -> Message:
        """As it is posted now, or was then."""
        before, after = self._asked[asked.seq]
        posted = posted or self._now()
        return replies(asked, before, after, approvers=self._approvers, posted=posted, by_now=by_now)[0]


def _steers(run: Run) -> Message:
    """The buttons of the first message."""
    deeds = " or ".join(_DEEDS[button["action_id"]] for button in steering(run))
    builder = MessageBuilder(f"Run {escape(run.id)} can be {deeds} here.")
    builder.paragraph(f"Run {inline(run.id)} on {inline(run.request.target.backend.name)} can be {deeds} here.")
    return builder.message(buttons=steering(run))
