"""Answers to one person (short, seen by nobody else, never part of the record) and the work behind what they did.

Work is done in tasks of the bot's own, so that nothing keeps Slack waiting and nothing is lost when the bot is asked to
stop.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.adapters.slack.errors import ERRORS, name_of
from bot.adapters.slack.messages.blocks import Message, MessageBuilder
from bot.adapters.slack.messages.markup import prose
from bot.core.text.redact import redact_in_words
from bot.errors import BotError

Messages = Message | tuple[Message, ...] | None
Doing = Callable[[], Coroutine[Any, Any, Messages]]
"""Work to be done; returns what to answer, raises a BotError whose text is the answer."""

_ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+\.slack\.com/archives/[A-Z0-9]+/p[0-9]+(?:\?[A-Za-z0-9_.=&;]*)?$")
"""Of a message, at the end of a line: there the bot puts it, and nobody else's text stands."""
_FIRST_ANSWER_WITHIN = 3.0
"""Seconds that work waits for a first answer to be taken, or, as the bot is stopped, for its only one."""
_ONE_WAY_WITHIN = 1.5
"""Of these, seconds for the address that Slack gave for it, so that the other way has its turn."""
_STOPPED = (
    "The bot was stopped while it was at this. It may or may not have been done: look at the thread once the bot is"
    " back, and do it again if it was not."
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Who wants an answer, and the ways to them; `response_url` lives for half an hour, five answers long."""

    user: str
    channel: str
    response_url: str | None = None
    thread: str | None = None


class Answers:
    """Brings an answer to one person, by the address that Slack gave for it, else into the channel for them alone."""

    def __init__(self, client: AsyncWebClient, session: aiohttp.ClientSession | None) -> None:
        self._client = client
        self._session = session

    async def post(self, asker: Asker, *messages: Message, one_way: float | None = None) -> None:
        """Post them; that one could not be posted is logged, it never fails.

        `one_way`: seconds that their own address has, where there is little time for the other way.
        """
        for message in messages:
            if not (asker.response_url and await self._respond(asker, message, one_way)):
                await self._post_ephemeral(asker, message)

    async def _respond(self, asker: Asker, message: Message, within: float | None) -> bool:
        hook = AsyncWebhookClient(
            asker.response_url or "", session=self._session, proxy=self._client.proxy, retry_handlers=[]
        )
        body: dict[str, Any] = {"text": message.text, "blocks": list(message.blocks), "response_type": "ephemeral"}
        body |= {"thread_ts": asker.thread} if asker.thread else {}
        try:
            async with asyncio.timeout(within):
                # The default would put the answer in the place of the message that was clicked.
                answer = await hook.send_dict({**body, "replace_original": False})
        except ERRORS as error:
            _log.info("an answer did not go through its response_url: %s", name_of(error))
            return False
        return answer.status_code == 200

    async def _post_ephemeral(self, asker: Asker, message: Message) -> None:
        try:
            await self._client.chat_postEphemeral(
                channel=asker.channel,
                user=asker.user,
                thread_ts=asker.thread,
                text=message.text,
                blocks=list(message.blocks),
            )
        except ERRORS as error:
            _log.warning("an answer could not be brought to %s: %s", asker.user, name_of(error))


def note(text: str, sign: str = ":information_source:") -> Message:
    """A short answer; mentions in it call nobody, as nobody else sees it; Slack's own addresses become links."""
    first, *more = (prose(line, people=None, spans=True) for line in text.split("\n"))
    builder = MessageBuilder(first)
    builder.paragraph("\n".join([f"{sign} {_ADDRESS.sub(lambda found: f'<{found[0]}>', first)}", *more]))
    return builder.message()


class Work:
    """The bot's own tasks behind what people did: kept, and waited for at the end."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, asker: Asker, doing: Doing) -> asyncio.Event:
        """Do it in a task of its own, and answer the asker with what came of it; returns at once.

        The event is set when it is done, or has failed, before anybody gets the answer.
        """
        over = asyncio.Event()
        task = asyncio.create_task(self._done(asker, doing, over))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return over

    async def respond(self, asker: Asker, *messages: Message) -> None:
        """Post something to the asker while the work goes on; a Slack that hangs keeps it waiting but a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_ANSWER_WITHIN):
                await self._answers.post(asker, *messages, one_way=_ONE_WAY_WITHIN)

    async def close(self, within: timedelta) -> None:
        """Wait for work that has begun, as long as `within`; who asked for what is not done then gets an answer."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _done(self, asker: Asker, doing: Doing, over: asyncio.Event) -> None:
        try:
            answer = await doing()
        except BotError as error:
            answer = note(redact_in_words(str(error)), ":no_entry:")
        except asyncio.CancelledError:
            # Slack was told that a click was taken, and shows no error: whoever clicked would believe that it counts.
            _cancellation_is_heard()
            await self.respond(asker, note(_STOPPED, ":x:"))
            return
        except Exception:  # noqa: BLE001 - the task's boundary: whoever clicked gets an answer, and the log has the rest
            reference = secrets.token_hex(4)
            _log.exception("error %s behind something that %s did", reference, asker.user)
            answer = note(
                f"The bot failed at this, for a reason of its own (error {reference} in its log). It may or may not"
                " have been done: look at the thread.",
                ":x: Error:",
            )
        finally:
            over.set()
        await self._answered(asker, answer if isinstance(answer, tuple) else (answer,) if answer else ())

    async def _answered(self, asker: Asker, messages: tuple[Message, ...]) -> None:
        """Post them; as the bot is stopped, what is left of them in a moment."""
        left = list(messages)
        try:
            while left:
                await self._answers.post(asker, left[0])
                del left[0]
        except asyncio.CancelledError:
            _cancellation_is_heard()
            await self.respond(asker, *left)


def _cancellation_is_heard() -> None:
    """Or a timeout that comes after it would end as cancelled, too, in Python 3.11.2, which Debian has."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
