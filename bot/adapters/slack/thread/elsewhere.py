"""What is posted outside of threads: of a run that calls people whom its own channel does not reach, or is damaged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.errors import ERRORS, DeliveryFailure, delivery_failure, name_of
from bot.adapters.slack.messages.blocks import Message, MessageBuilder, plainer
from bot.adapters.slack.messages.markup import inline, prose
from bot.adapters.slack.messages.questions import is_over
from bot.adapters.slack.messages.replies import replies
from bot.adapters.slack.messages.root import state_of
from bot.adapters.slack.messages.text import callers
from bot.adapters.slack.thread.pace import Pace
from bot.core.decisions.damage import Damaged, claimed_words
from bot.core.runs.events import Entry
from bot.core.runs.fold import follow
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status

Compose = Callable[[], Message | None]
"""What is to be said by now; None once it is no longer so."""

Refresh = Callable[[], Awaitable[None]]
"""Finds out what `Compose` needs to know."""


class Elsewhere(Protocol):
    """Posts in the bot's channels, but for the one that is named, what is to be said by then."""

    def __call__(self, channel: str, compose: Compose, refresh: Refresh | None = None) -> asyncio.Task[bool]: ...


_NAMED = 20
"""Runs that are named with their state; of more, only their ids."""

_log = logging.getLogger(__name__)


def calls(message: Message) -> bool:
    """Whether somebody has to read it now: it begins with those whom it calls."""
    return message.broadcast or message.text.startswith(("<@", "<!"))


def still_calls(run: Run) -> bool:
    """Whether what it called people for is still so."""
    low = run.ring.others_low and run.status is not Status.ENDED
    return run.status in {Status.HELD, Status.ASKING} or low or bool(run.ring.not_back)


def unreached(run: Run, call: Message, *, failing: str) -> Message:
    """The message to the bot's other channels; `call`: what the thread does not take, `failing`: why not."""
    builder = MessageBuilder(call.text)
    builder.paragraph(f":rotating_light: {call.text}")
    builder.paragraph(f"*State* {state_of(run)}")
    builder.paragraph(
        f"*Why here* Slack takes nothing in the thread of run {inline(run.id)}, in <#{run.request.channel}>: {failing}."
        " All of it is posted there then, with its buttons."
    )
    builder.note(f"Here, {inline(f'{run.request.command} status'.strip())} shows how it stands.")
    return builder.message()


def unwatched(
    runs: Sequence[Run], damaged: Sequence[Damaged], mistake: str, *, approvers: str, in_slack: bool = False
) -> Message:
    """The message to a channel about its runs that are under way while the bot cannot start.

    `in_slack`: it is Slack that does not take a token; `check` asks nothing of Slack, and would find nothing wrong.
    """
    called = " ".join(dict.fromkeys(filter(None, (approvers, *(callers(run) for run in runs)))))
    builder = MessageBuilder(f"{called} The bot does not start, and nobody watches the runs that are under way.")
    builder.paragraph(f":rotating_light: {called} *The bot does not start, and nobody watches the runs below*")
    builder.quote("*Why it does not start*", mistake[:600])
    try_it = "Mend what is named, and try it with `dovecot-bot check`: the bot is started again by itself, and"
    if in_slack:
        try_it = "Do what is named above. Started with tokens that Slack takes, the bot"
    builder.paragraph(
        f"*What to do* Look at these backends by hand. {try_it} goes on from where they are. No button counts until"
        " then."
    )
    for run in runs[:_NAMED]:
        reason = f": {prose(run.reason, most=150)}" if run.status is Status.HELD else ""
        builder.paragraph(f"{inline(run.id)} on {inline(run.request.target.backend.name)}, {run.status}{reason}")
    if runs[_NAMED:]:
        builder.paragraph(f"And {', '.join(inline(run.id) for run in runs[_NAMED:])}")
    for one in damaged:
        builder.paragraph(f"{inline(one.run)}, which is damaged and claims {prose(claimed_words(one))}")
    return builder.message()


def unreadable(mistake: str, *, approvers: str) -> Message:
    """The message to a channel where the bot cannot start, and cannot read which runs are under way."""
    builder = MessageBuilder(f"{approvers} The bot does not start, and cannot read its journal.".strip())
    builder.paragraph(f":rotating_light: {approvers} *The bot does not start: nobody watches a run that is under way*")
    builder.quote("*Why it does not start*", mistake[:600])
    builder.paragraph(
        "*What to do* Its journal cannot be read, so it does not say which backends are out: see which threads here"
        " have no end, look at their backends by hand, and at `doveadm director status` for a vhost count of 0. Mend"
        " what is named: the bot is started again by itself. No button counts until then."
    )
    return builder.message()


@dataclass(frozen=True, kw_only=True)
class Untaken:
    """What a thread has not taken: `entries`, which lead from `before` to `run`, and why it does not."""

    run: Run | None
    before: Run | None
    entries: Sequence[Entry]
    failing: str


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A message that calls people, and the fact that it is of, with the state after it."""

    entry: Entry
    after: Run
    message: Message


class Calls:
    """The calls of one run while its thread takes nothing: each is posted once, by `post`, and the last one only.

    The last one whose reason is still there. It remembers up to which state it has looked for calls, and those that
    still hold: it is asked at each try of the thread.
    """

    def __init__(
        self, *, approvers: str, post: Callable[[str, Compose], asyncio.Task[bool]], untaken: Callable[[], Untaken]
    ) -> None:
        self._approvers = approvers
        self._post = post
        self._untaken = untaken
        self._called = 0
        self._seen: Run | None = None
        self._open: list[_Call] = []
        self._calling: asyncio.Task[bool] | None = None

    def make(self) -> None:
        """Call people, where they have to be; returns at once."""
        run = self._untaken().run
        if run is None or self._unheard() is None or (self._calling and not self._calling.done()):
            return
        last = 0

        def compose() -> Message | None:
            nonlocal last
            last, message = self._unheard() or (last, None)
            return message

        def posted(calling: asyncio.Task[bool]) -> None:
            if not calling.cancelled() and calling.exception() is None and calling.result():
                self._called = last

        self._calling = self._post(run.request.channel, compose)
        self._calling.add_done_callback(posted)

    def _unheard(self) -> tuple[int, Message] | None:
        """The last call that nobody has heard, with its fact; None where it is no longer so."""
        untaken = self._untaken()
        if untaken.run is None or not still_calls(untaken.run):
            return None
        taken = untaken.before.seq if untaken.before else 0
        self._look_on(untaken, taken)
        self._open = [call for call in self._open if not is_over(call.entry, call.after, untaken.run)]
        if not self._open or self._open[-1].entry.seq <= max(taken, self._called):
            return None
        last = self._open[-1]
        return last.entry.seq, unreached(untaken.run, last.message, failing=untaken.failing)

    def _look_on(self, untaken: Untaken, taken: int) -> None:
        if self._seen is None or self._seen.seq < taken:
            self._seen = untaken.before
        looked = self._seen.seq if self._seen else 0
        for entry in untaken.entries[looked - taken :]:
            before, self._seen = self._seen, follow(self._seen, entry)
            for message in replies(entry, before, self._seen, approvers=self._approvers):
                if calls(message):
                    self._open.append(_Call(entry=entry, after=self._seen, message=message))


async def post(  # noqa: PLR0917 - one call, through the announcer
    client: AsyncWebClient,
    pace: Pace,
    channels: tuple[str, ...],
    compose: Compose,
    may_post_in: Callable[[str], Awaitable[bool]],
    refresh: Refresh | None = None,
) -> bool:
    """Post it in the first of the channels that takes it; tried until one does. A repeat is better than silence.

    `refresh` is awaited before each try. False where it was no longer so by then.
    """
    failures, turn, plain = 0, 0, False
    while (message := await _by_now(compose, refresh)) is not None:
        channel = channels[turn % len(channels)]
        if not await may_post_in(channel):
            turn += 1
        else:
            try:
                await _post(client, channel, plainer(message) if plain else message)
            except ERRORS as error:
                _log.warning("a message outside of the threads is not posted: %s", name_of(error))
                failure = delivery_failure(error)
                plain = plain or failure is DeliveryFailure.CONTENT
                turn += failure is DeliveryFailure.REFUSED
            else:
                return True
        await pace.rest(failures)
        failures += 1
    return False


async def _by_now(compose: Compose, refresh: Refresh | None) -> Message | None:
    if refresh:
        await refresh()
    return compose()


async def _post(client: AsyncWebClient, channel: str, message: Message) -> None:
    await client.chat_postMessage(
        channel=channel,
        text=message.text,
        blocks=list(message.blocks) or None,
        unfurl_links=False,
        unfurl_media=False,
    )
