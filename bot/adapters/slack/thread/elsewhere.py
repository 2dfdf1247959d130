"""What is posted outside of threads: of a run that calls people whom its own channel does not reach, or is damaged."""

from __future__ import annotations

import logging

from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.errors import ERRORS, DeliveryFailure, delivery_failure, name_of
from bot.adapters.slack.messages.blocks import Message, MessageBuilder, plainer
from bot.adapters.slack.messages.markup import inline
from bot.adapters.slack.messages.root import state_of
from bot.adapters.slack.thread.pace import Pace
from bot.core.runs.run import Run

_log = logging.getLogger(__name__)


def calls(message: Message) -> bool:
    """Whether somebody has to read it now: it begins with those whom it calls."""
    return message.broadcast or message.text.startswith(("<@", "<!"))


def unreached(run: Run, call: Message, *, failing: str) -> Message:
    """The message to the bot's other channels; `call`: what the thread does not take, `failing`: why not."""
    builder = MessageBuilder(call.text)
    builder.paragraph(f":rotating_light: {call.text}")
    builder.paragraph(f"*State* {state_of(run)}")
    builder.paragraph(
        f"*Why here* Slack takes nothing in the thread of run {inline(run.id)}, in <#{run.request.channel}>: {failing}."
        " All of it is posted there then, with its buttons."
    )
    listed, abort = (inline(f"{run.request.command} {word}".strip()) for word in ("status", f"abort {run.id}"))
    builder.note(f"Here, {listed} shows how it stands now, and {abort} turns it round.")
    return builder.message()


async def post(client: AsyncWebClient, pace: Pace, channels: tuple[str, ...], message: Message) -> None:
    """Post it in the first of the channels that takes it; tried until one does. A repeat is better than silence."""
    failures, turn = 0, 0
    while True:
        try:
            await client.chat_postMessage(
                channel=channels[turn % len(channels)],
                text=message.text,
                blocks=list(message.blocks) or None,
                unfurl_links=False,
                unfurl_media=False,
            )
        except ERRORS as error:
            _log.warning("a message outside of the threads is not posted: %s", name_of(error))
            failure = delivery_failure(error)
            if failure is DeliveryFailure.CONTENT:
                message = plainer(message)
            turn += failure is DeliveryFailure.REFUSED
            await pace.rest(failures)
            failures += 1
        else:
            return
