"""What is posted outside of threads: of a run that calls people whom its own channel does not reach, or is damaged."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.errors import ERRORS, DeliveryFailure, delivery_failure, name_of
from bot.adapters.slack.messages.blocks import Message, MessageBuilder, plainer
from bot.adapters.slack.messages.markup import inline, prose
from bot.adapters.slack.messages.root import state_of
from bot.adapters.slack.thread.pace import Pace
from bot.core.decisions.damage import Damaged, claimed_words
from bot.core.decisions.summary import Summary, summary_of
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


def unwatched(runs: Sequence[Run | Summary], damaged: Sequence[Damaged], mistake: str, *, approvers: str) -> Message:
    """The message to the bot's channels: of runs that are under way while the bot cannot start."""
    builder = MessageBuilder(f"{approvers} The bot does not start, and nobody watches the runs that are under way.")
    builder.paragraph(f":rotating_light: {approvers} *The bot does not start, and nobody watches these runs:*")
    for run in runs:
        about = f"{inline(run.id)} on {inline(summary_of(run).backend)}, in <#{summary_of(run).channel}>"
        builder.paragraph(f"{about}: {state_of(run)}" if isinstance(run, Run) else about)
    for one in damaged:
        builder.paragraph(f"{inline(one.run)}, which is damaged and claims {prose(claimed_words(one))}")
    builder.quote("*Why it does not start*", mistake)
    builder.paragraph(
        "*What to do* Look at these backends by hand. Mend what is named, try it with `dovecot-bot check`, and restart"
        " the bot: it goes on from where they are. No button counts until then."
    )
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
