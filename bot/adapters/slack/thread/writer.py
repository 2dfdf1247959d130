"""Writes one run into its thread: reads the journal from its own cursor on and posts fact after fact, in order.

The thread begins when the run does more than look; of one that ends before, whoever asked gets a message alone. It
decides nothing, and a failure here never changes a run: what cannot be posted now is posted later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from bot.adapters.slack.messages.blocks import File, Message, marked
from bot.adapters.slack.messages.questions import asks
from bot.adapters.slack.messages.replies import replies
from bot.adapters.slack.messages.root import never_begun, root
from bot.adapters.slack.thread.buttons import Buttons
from bot.adapters.slack.thread.elsewhere import Calls, Elsewhere, Untaken
from bot.adapters.slack.thread.outbox import Outbox
from bot.adapters.slack.thread.pace import Drawing, EditBudget, Pace
from bot.adapters.slack.thread.search import RootGone
from bot.adapters.slack.thread.unwritten import Unwritten
from bot.core.runs.events import Entry, RunEnded
from bot.core.runs.fold import follow
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.ports import Journal
from bot.engine.posts import Posts
from bot.errors import Illegal, Refused

_PARTS = 10
"""Places that one message of a fact takes: itself and its files."""

_TURN_WITHIN = 3.0
"""Seconds that whoever wants the buttons again waits for what is being posted at that moment."""

_REPOSTED_WITHIN = 5.0
"""Seconds that they wait for the buttons then; the thread waits meanwhile."""

_T = TypeVar("_T")

MakeRecord = Callable[[Sequence[Entry]], str]
"""What makes the whole record of a run from its facts, for the file at the thread's end."""

_GONE = "The first message of this thread was deleted; the record goes on here."

_DAMAGED = "What follows cannot be posted, as the facts of this run are damaged: {error}. Look at its hosts by hand."

_log = logging.getLogger(__name__)


class ThreadWriter:
    """Writes one run until it has ended and all of it was posted."""

    def __init__(
        self,
        *,
        run: str,
        journal: Journal,
        posts: Posts,
        outbox: Outbox,
        approvers: str,
        record: MakeRecord,
        pace: Pace,
        budget: EditBudget,
        elsewhere: Elsewhere,
        now: Callable[[], datetime],
    ) -> None:
        """`now`: the time, by the clock that dates the facts."""
        self._run = run
        self._record = record
        self._journal = journal
        self._posts = posts
        self._outbox = outbox
        self._outbox.on_refused = self._call_elsewhere
        self._outbox.mark_of = lambda seq: self._entries[seq - 1].mark
        self._calls = Calls(approvers=approvers, post=elsewhere, untaken=self._untaken)
        self._unwritten = Unwritten(
            run=run,
            journal=journal,
            outbox=outbox,
            approvers=approvers,
            elsewhere=elsewhere,
            read=lambda: (self._read, len(self._entries)),
        )
        self._buttons = Buttons(outbox=outbox, approvers=approvers, now=now, by_now=self._by_now)
        self._approvers = approvers
        self._pace = pace
        self._now = now
        self._drawing = Drawing(pace=pace, budget=budget, edit=outbox.edit)
        self._news = asyncio.Event()
        self._moved = asyncio.Condition()
        self._posting = asyncio.Lock()
        self._cursor: int | None = None
        self._entries: list[Entry] = []
        self._read: Run | None = None
        self._written: Run | None = None
        self._found_ended = False

    def wake(self) -> None:
        """There is more to write."""
        self._news.set()

    async def until_posted(self, seq: int) -> None:
        """Returns when everything up to this fact was posted."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._cursor is not None and self._cursor >= seq)

    async def write(self) -> None:
        """Write all there is and all that comes, until the run's end."""
        failures = 0
        while True:
            try:
                pause = await self._catch_up()
                failures = 0
                if pause is None and self._over:
                    return
                await self._wait(pause)
            except Illegal as error:
                _log.exception("cannot be posted: its journal is damaged", extra={"run": self._run})
                await self._unwritten.say(_DAMAGED.format(error=error))
                return
            except Exception:  # noqa: BLE001 - the task's boundary: a thread that ends silently would hold its run for ever
                _log.exception("posting failed, it is tried again", extra={"run": self._run})
                await self._pace.rest(failures)
                failures += 1

    @property
    def _over(self) -> bool:
        return self._written is not None and self._written.status is Status.ENDED

    async def _wait(self, pause: float | None) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), pause)
        except TimeoutError:
            return

    async def _catch_up(self) -> float | None:
        """Write what is new; returns in how many seconds the root is due for an edit, None when it is up to date."""
        self._news.clear()
        async with self._posting:
            await self._read_on()
            if self._cursor is None:
                await self._outbox.load()
                self._found_ended = self._read is not None and self._read.status is Status.ENDED
                if self._entries:
                    await self._posts.advance(self._run, 0)  # for a bot that is started after its end
                await self._reached(await self._posts.cursor(self._run))
            if self._written is None and not await self._begins():
                return None
            for entry in self._entries[self._written.seq if self._written else 0 :]:
                await self._write(entry)
            if written := self._written:
                await self._in_thread(written, lambda: self._buttons.ask_again(written))
            pause = await self._draw(self._written) if self._written and not self._written_before else None
            late = await self._outbox.edit_late()
            return pause if late is None else min(late, late if pause is None else pause)

    async def _by_now(self) -> Run | None:
        await self._read_on()
        return self._read

    async def _read_on(self) -> None:
        for entry in await self._journal.entries(self._run, after=len(self._entries)):
            self._read = follow(self._read, entry)
            self._entries.append(entry)

    async def _begins(self) -> bool:
        """Whether there is a thread now; of a run that is over without one, whoever asked gets a message here."""
        run = self._read
        if run is None or run.in_channel or self._outbox.begun:
            return run is not None
        if run.status is Status.ENDED:
            await self._answer_alone(run)
        return False

    async def _answer_alone(self, run: Run) -> None:
        """Where Slack does not want to (they may have left the channel), it is tried again at the next start."""
        asked = run.request
        if self._cursor != run.seq and await self._outbox.post_ephemeral(
            asked.channel, asked.requester, never_begun(run)
        ):
            await self._posts.advance(self._run, run.seq)
            await self._reached(run.seq)
        self._written = run

    async def _write(self, entry: Entry) -> None:
        before, after = self._written, follow(self._written, entry)
        self._buttons.remember(entry, before, after)
        if entry.seq > (self._cursor or 0):
            await self._post(entry, before, after)
        self._written = after

    @property
    def _written_before(self) -> bool:
        """Whether the run was over and shown when this began; its root was drawn before its last fact was passed."""
        return self._over and not self._drawing.begun

    async def _reached(self, seq: int) -> None:
        async with self._moved:
            self._cursor = seq
            self._moved.notify_all()

    async def _post(self, entry: Entry, before: Run | None, after: Run) -> None:
        if entry.seq == 1:
            drawn = root(after)
            await self._outbox.post_root(after.request.channel, drawn, after.began)
            self._drawing.posted(drawn)
        await self._in_thread(after, lambda: self._post_replies(entry, before, after))
        if after.status is Status.ENDED:
            await self._drawing.draw_at_last(self._outbox.root, root(after))
        await self._posts.advance(self._run, entry.seq)
        await self._reached(entry.seq)

    async def _in_thread(self, run: Run, posting: Callable[[], Awaitable[_T]]) -> _T:
        """What is posted into the thread; where its first message was deleted, below another one."""
        try:
            return await posting()
        except RootGone:
            _log.warning("its first message is gone, another one is posted", extra={"run": self._run})
            await self._outbox.post_root(run.request.channel, marked(root(run), _GONE), run.began, again=True)
            return await posting()

    async def _post_replies(self, entry: Entry, before: Run | None, after: Run) -> None:
        await self._buttons.ask_again(after)
        if before:
            await self._buttons.take(before, after, entry)
        for number, message in enumerate(await self._messages(entry, before, after)):
            first = 1 + number * _PARTS

            async def anew(number: int = number) -> Message:
                return (await self._messages(entry, before, after))[number]

            await self._outbox.reply((entry.seq, first), message, anew)
            for which, file in enumerate(message.files[: _PARTS - 1]):
                await self._outbox.share((entry.seq, first + 1 + which), file)
        if isinstance(entry.fact, RunEnded):
            whole = self._record(self._entries[: entry.seq])
            await self._outbox.share((entry.seq, _PARTS - 1), File(name=f"change-record-{self._run}.md", content=whole))
        if before and entry.seq % 5 == 0:
            await self._draw(after)  # a long way to catch up: the root moves along

    async def _messages(self, entry: Entry, before: Run | None, after: Run) -> tuple[Message, ...]:
        """What is said of a fact by now: Slack may not have taken it for days."""
        by_now = await self._by_now() if asks(entry, after) else after
        return replies(entry, before, after, approvers=self._approvers, posted=self._now(), by_now=by_now)

    async def _draw(self, run: Run) -> float | None:
        return await self._drawing.draw(self._outbox.root, root(run))

    async def _call_elsewhere(self) -> None:
        """Whoever is called in a thread that takes nothing would not hear; of an end, in the life that saw it."""
        await self._read_on()
        if not self._found_ended:
            self._calls.make()

    def _untaken(self) -> Untaken:
        entries = self._entries[self._written.seq if self._written else 0 :]
        return Untaken(run=self._read, before=self._written, entries=entries, failing=self.failing)

    async def warn(self, text: str) -> bool:
        """Call people for something that stands in no journal; False when it could not be posted."""
        return await self._unwritten.call(text)

    @property
    def failing(self) -> str:
        """Why Slack did not take the last message, for people; empty when it did."""
        return self._outbox.failing

    async def repost(self) -> str:
        """Post the buttons again that count now; says what was posted. Raises Refused when there are none, or why."""
        try:
            async with asyncio.timeout(_TURN_WITHIN):
                await self.until_posted(0)
                await self._posting.acquire()
        except TimeoutError:
            raise Refused(self._not_taken(f"Slack has not yet taken what was said of run {self._run} before")) from None
        try:
            async with asyncio.timeout(_REPOSTED_WITHIN):
                return await self._repost()
        except TimeoutError:
            self.wake()  # it may have posted another first message, and not yet the buttons
            raise Refused(self._not_taken(f"Slack did not take the buttons of run {self._run}")) from None
        finally:
            self._posting.release()

    def _not_taken(self, what: str) -> str:
        return f"{what}: {self.failing}." if self.failing else f"{what}; try again."

    async def _repost(self) -> str:
        run = self._written
        if run is None:
            looks = (
                f"Run {self._run} only looks so far: it has no thread and no buttons yet. `abort` with its id ends it."
            )
            raise Refused(looks if self._entries else f"There is no run {self._run}.")
        return await self._in_thread(run, lambda: self._buttons.post_again(run))
