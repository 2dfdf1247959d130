"""What Slack sends, taken: each listener hands the work to a task of the bot's own, acknowledges, and returns.

Slack waits 3 seconds for that. A click is acknowledged once it is on the record: should the bot be killed before, Slack
says so to whoever clicked. What nobody listens to gets an answer too.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.errors import ERRORS, name_of
from bot.adapters.slack.inbound import request_form as asking
from bot.adapters.slack.inbound.answers import Asker, Doing, Messages, Work, note
from bot.adapters.slack.inbound.clicks import Click, Clicks
from bot.adapters.slack.inbound.forms import FORMS, REASON, all_commands, form, loading_commands, no_commands, sent
from bot.adapters.slack.inbound.slash import Commands
from bot.adapters.slack.messages.blocks import Message
from bot.adapters.slack.messages.markup import unescaped
from bot.adapters.slack.waits import impatient
from bot.core.text.redact import redact_in_words
from bot.engine.planning import Request
from bot.errors import BotError, Refused, SlackAway

_BUTTONS = ("approve", "agree_skip", "retry", "start_again", "stays_out")
_ANY = re.compile("")
_ACKNOWLEDGED_BY = 1.5
"""Seconds. What takes longer, a slow answer of Slack itself, is acknowledged before it is on the record."""
_log = logging.getLogger(__name__)


class Listeners:
    """All that the bot listens to."""

    def __init__(self, *, client: AsyncWebClient, commands: Commands, clicks: Clicks, work: Work) -> None:
        self._client = impatient(client)
        self._commands = commands
        self._clicks = clicks
        self._work = work
        self._chosen: dict[str, Request] = {}
        """By form to ask with: what was chosen in it last, until what a run would bring is shown."""

    def listen(self, app: AsyncApp, commands: Mapping[str, str]) -> None:
        """Register everything; the catch-alls come last, as the first match counts."""
        app.error(_failed)
        for command in commands:
            app.command(command)(self._on_command)
        app.command(_ANY)(self._on_unknown_command)
        for action in _BUTTONS:
            app.action(action)(self._on_click)
        for action in (*FORMS, "more"):
            app.action(action)(self._on_form_wanted)
        app.action("commands")(self._on_commands_wanted)
        for action in (asking.RING, asking.BACKEND):
            app.action(action)(self._on_chosen)
        app.action(_ANY)(self._on_unknown_click)
        for name in {asks.name for asks in FORMS.values()}:
            app.view(name)(self._on_form)
        app.view(asking.NAME)(self._on_request)
        app.view(_ANY)(_acknowledged)
        app.view_closed(_ANY)(_acknowledged)
        app.shortcut(_ANY)(self._on_unknown_shortcut)
        app.options(_ANY)(_acknowledged)
        app.event(_ANY)(_acknowledged)

    async def _on_command(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        request = Request(
            command=str(body["command"]),
            text=unescaped(str(body.get("text") or "")).strip(),
            requester=str(body["user_id"]),
            team=str(body.get("team_id") or ""),
            channel=str(body["channel_id"]),
        )
        asker = _of_command(body)
        if not request.text:
            self._work.begin(asker, lambda: self._open_request(request, str(body.get("trigger_id") or "")))
            return
        self._work.begin(asker, lambda: self._commands.do(request, partial(self._work.respond, asker)))

    async def _open_request(self, request: Request, trigger: str) -> Messages:
        """The form to ask with; where there can be none, how it is typed."""
        usage = await self._commands.do(request, _not_at_once)
        if await self._commands.against(request):
            return usage
        shown: Mapping[str, Any] = {}
        try:
            shown = (await self._client.views_open(trigger_id=trigger, view=asking.loading(request)))["view"]
            view = asking.request_form(request, await self._commands.offer(request))
            await self._client.views_update(view_id=shown["id"], hash=shown["hash"], view=view)
        except ERRORS as error:
            _log.info("the form to ask with was not shown: %s", name_of(error))
            with suppress(*ERRORS):  # else it would say for ever that it looks at the rings
                if shown:  # by the hash, so that a form that Slack has taken, and whose answer was lost, stays
                    view = asking.no_form(request)
                    await self._client.views_update(view_id=shown["id"], hash=shown["hash"], view=view)
            return usage
        return None

    async def _on_chosen(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        request = asking.request_of(body.get("view") or {}, str(body["user"]["id"]))
        ring = asking.ring_chosen(body["actions"][0])
        self._chosen[body["view"]["id"]] = request
        self._work.begin(asking.asker_of(request), lambda: self._show_chosen(body["view"]["id"], request, ring))

    async def _show_chosen(self, shown: str, request: Request, ring: str) -> None:
        """What a run would bring, beside the form, which is good without; or the backends of the ring."""
        found = () if ring else await self._brought(request)
        view = asking.request_form(request, await self._commands.offer(request), found, ring)
        if self._chosen.get(shown) is not request:
            return  # another one was chosen meanwhile
        del self._chosen[shown]
        try:
            # Without a hash: that of the click is old where another answer came after it, and Slack would take none.
            await self._client.views_update(view_id=shown, view=view)
        except ERRORS as error:
            if ring:
                raise SlackAway(f"Slack did not show the backends of ring {ring} ({name_of(error)}).") from error

    async def _brought(self, request: Request) -> tuple[str, ...]:
        backend = replace(request, text=request.text.split()[0])
        try:
            return asking.chosen(backend.text, await self._commands.brings(backend))
        except Refused as refused:
            return (redact_in_words(str(refused)),)

    async def _on_request(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        request = asking.request_of(view, str(body["user"]["id"]))
        asker = asking.asker_of(request)
        doing = _Refusable(lambda: self._commands.do(request, partial(self._work.respond, asker)), self._clicks.named)
        await _acknowledge(ack, self._work.begin(asker, doing.do), doing, asking.backend_block(view))

    async def _on_unknown_command(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        self._answer(_of_command(body), f"This bot does not know {body.get('command')}; nothing was done.")

    async def _on_click(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await _on_record(self._work.begin(_of_click(body), lambda: self._clicks.do(_click(body))))
        await ack()

    async def _on_form_wanted(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        self._work.begin(_of_click(body), lambda: self._open_form(body))

    async def _open_form(self, body: dict[str, Any]) -> None:
        click = _click(body)
        if click.action not in FORMS:
            raise Refused("This menu has nothing that the bot knows; nothing was done.")
        view = form(click, _of_click(body), await self._clicks.run_of(click))
        try:
            await self._client.views_open(trigger_id=str(body["trigger_id"]), view=view)
        except ERRORS as error:
            otherwise = FORMS[click.action].otherwise.format(run=click.place[0])
            why = f"Slack did not open the form ({name_of(error)}); nothing was done"
            raise SlackAway(f"{why}. Choose it again. {otherwise}") from error

    async def _on_commands_wanted(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        self._work.begin(_of_click(body), lambda: self._show_commands(body))

    async def _show_commands(self, body: dict[str, Any]) -> None:
        click = _click(body)
        try:
            shown = (await self._client.views_open(trigger_id=str(body["trigger_id"]), view=loading_commands()))["view"]
            view = await self._commands_of(click)
            await self._client.views_update(view_id=shown["id"], hash=shown["hash"], view=view)
        except ERRORS as error:
            raise SlackAway(
                f"Slack did not show the commands ({name_of(error)}). The same is in the file below the question in its"
                " thread."
            ) from error

    async def _commands_of(self, click: Click) -> dict[str, Any]:
        try:
            question, run, closed = await self._clicks.question_of(click)
        except Refused as refused:
            return no_commands(str(refused))
        return all_commands(question, run, closed)

    async def _on_form(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        came = sent(view, str(body["user"]["id"]))
        asks = FORMS.get(came.click.action)
        if not came.reason and not (asks and asks.optional):
            await ack(response_action="errors", errors={REASON: "This needs a reason."})
            return
        doing = _Refusable(lambda: self._clicks.sent(came.click, came.reason, came.shown), self._clicks.named)
        await _acknowledge(ack, self._work.begin(came.asker, doing.do), doing, REASON)

    async def _on_unknown_click(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        self._answer(_of_click(body), "This button does nothing any more; nothing was done.")

    async def _on_unknown_shortcut(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        if (body.get("channel") or {}).get("id"):
            self._answer(_of_click(body), "This bot has no such shortcut; nothing was done.")

    def _answer(self, asker: Asker, text: str) -> None:
        async def answer() -> Message:
            return note(text, ":no_entry:")

        self._work.begin(asker, answer)


class _Refusable:
    """Work behind a form: refused in time, the form says why and stays open; later, a message to the person does."""

    def __init__(self, doing: Doing, named: Callable[[str], Awaitable[str]]) -> None:
        self._doing = doing
        self._named = named
        self._against = ""
        self._late = False

    async def do(self) -> Messages:
        try:
            return await self._doing()
        except BotError as error:
            against = await self._named(redact_in_words(str(error)))
            if self._late:
                raise
            self._against = against
            return None

    def acknowledged(self) -> str:
        """Why it was refused, empty when it was not; from here on the form is gone."""
        self._late = True
        return self._against


async def _on_record(done: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_ACKNOWLEDGED_BY):
            await done.wait()


async def _acknowledge(ack: AsyncAck, done: asyncio.Event, doing: _Refusable, block: str) -> None:
    """Acknowledge a form: with what was refused in time, at that block of it."""
    await _on_record(done)
    if against := doing.acknowledged():
        await ack(response_action="errors", errors={block: against})
    else:
        await ack()


async def _not_at_once(_message: Message) -> None:
    """A first answer that nobody waits for."""


async def _acknowledged(ack: AsyncAck) -> None:
    await ack()


async def _failed(error: Exception) -> BoltResponse:
    """Bolt's last resort: without an answer of 200 nothing would be acknowledged at all."""
    _log.error("a listener failed", exc_info=error)
    return BoltResponse(status=200, body="")


def _of_command(body: dict[str, Any]) -> Asker:
    return Asker(
        user=str(body["user_id"]), channel=str(body["channel_id"]), response_url=body.get("response_url") or None
    )


def _of_click(body: dict[str, Any]) -> Asker:
    container = body.get("container") or {}
    return Asker(
        user=str(body["user"]["id"]),
        channel=str((body.get("channel") or {}).get("id") or container.get("channel_id") or ""),
        response_url=body.get("response_url") or None,
        thread=container.get("thread_ts"),
    )


def _click(body: dict[str, Any]) -> Click:
    action = body["actions"][0]
    name, value = str(action["action_id"]), str(action.get("value") or "")
    if chosen := action.get("selected_option"):
        name, _, value = str(chosen.get("value") or "").partition(":")
    return Click(
        action=name,
        value=value,
        user=str(body["user"]["id"]),
        message=str((body.get("container") or {}).get("message_ts") or ""),
    )
