"""What stands in no journal, such as that none can be written: said in the run's thread, else in the bot's channels."""

from __future__ import annotations

from collections.abc import Callable

from bot.adapters.slack.messages.blocks import Message, MessageBuilder
from bot.adapters.slack.messages.markup import inline, prose, spoken
from bot.adapters.slack.messages.root import state_of
from bot.adapters.slack.messages.text import callers
from bot.adapters.slack.thread.elsewhere import Elsewhere
from bot.adapters.slack.thread.outbox import Outbox
from bot.core.runs.fold import follow
from bot.core.runs.run import Run
from bot.engine.ports import Journal
from bot.errors import BotError


def warning(run: str, text: str, called: str = "", *, state: str = "", broadcast: bool = False) -> Message:
    """Something that stands in no journal."""
    said = f"{called} :warning: Run {inline(run)}: {prose(text)} (Not in the journal.)".strip()
    builder = MessageBuilder(spoken(said))
    builder.paragraph(said)
    if state:
        builder.paragraph(f"*State* {state}")
    return builder.message(broadcast=broadcast)


def call_for(run: Run | None, name: str, text: str, *, approvers: str) -> Message:
    """The same to whom the run calls; to everybody where users may wait, or it is not known how the run stands."""
    if run and run.stands_safely:
        return warning(name, text, callers(run))
    called = " ".join(filter(None, (callers(run) if run else "", approvers)))
    return warning(name, text, called, state=state_of(run) if run else "", broadcast=True)


class Unwritten:
    """Of one run; `read`: the run as its thread has read it, and after how many facts."""

    def __init__(
        self,
        *,
        run: str,
        journal: Journal,
        outbox: Outbox,
        approvers: str,
        elsewhere: Elsewhere,
        read: Callable[[], tuple[Run | None, int]],
    ) -> None:
        self._run = run
        self._journal = journal
        self._outbox = outbox
        self._approvers = approvers
        self._elsewhere = elsewhere
        self._read = read

    async def call(self, text: str) -> bool:
        """Call people; where Slack takes nothing in the thread, in whatever takes it first, until the run goes on.

        That is the thread, or one of the bot's channels. False where nothing was posted.
        """
        run, seq = await self._now()
        message = call_for(run, self._run, text, approvers=self._approvers)
        if await self._say(message, run):
            return True
        if run and not run.in_channel:
            return False
        tried = goes_on = said = False

        async def look() -> None:
            nonlocal tried, goes_on, said
            if tried and (await self._now())[1] == seq:
                said = await self._say(message, run)
            goes_on = (await self._now())[1] > seq  # the try may have taken Slack half a minute
            tried = True

        return await self._elsewhere("", lambda: None if goes_on or said else message, look) or said

    async def say(self, text: str) -> None:
        """Say it, to nobody by name."""
        await self._say(warning(self._run, text), self._read()[0])

    async def _say(self, message: Message, run: Run | None) -> bool:
        """In the thread, once; of a run that only looks, to whoever asked."""
        if root := self._outbox.root:
            return await self._outbox.warn(root, message)
        if run is None or run.in_channel:
            return False
        return await self._outbox.post_ephemeral(run.request.channel, run.request.requester, message, once=True)

    async def _now(self) -> tuple[Run | None, int]:
        """The run as the journal has it, else as its thread read it: one that Slack keeps waiting reads nothing."""
        run, seq = read = self._read()
        try:
            for entry in await self._journal.entries(self._run, after=seq):
                run, seq = follow(run, entry), entry.seq
        except BotError:
            return read
        return run, seq
