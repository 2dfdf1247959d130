"""A small Slack on this machine, for demonstrations and tests: Web API and Socket Mode, for an unchanged app.

Everything is in memory and ends with the block that started it. People are played by the caller: they send
commands, click, and fill in forms; what the app says is there to be looked at. It listens on 127.0.0.1
only, and knows nothing of the bot.
"""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from aiohttp import web

from bot.practice.slack import forms as slack_forms
from bot.practice.slack import payloads as slack_payloads
from bot.practice.slack import posting as slack_posting
from bot.practice.slack.api import Api
from bot.practice.slack.context import ApiContext, Args, Fault, Meter, Rate, SlackError
from bot.practice.slack.payloads import Reply
from bot.practice.slack.socket import Listener, SlackTimeout, SlackUserError, Sockets
from bot.practice.slack.workspace import (
    Call,
    Channel,
    Edit,
    Ephemeral,
    Json,
    Message,
    SharedFile,
    User,
    Usergroup,
    View,
    Workspace,
)
from bot.practice.values import Faults

__all__ = [
    "SCOPES",
    "Call",
    "Channel",
    "Edit",
    "Ephemeral",
    "Fault",
    "LocalSlack",
    "Message",
    "Rate",
    "Reply",
    "SharedFile",
    "SlackTimeout",
    "SlackUserError",
    "User",
    "Usergroup",
    "View",
]

T = TypeVar("T")

SCOPES = frozenset(
    {
        *("commands", "chat:write", "files:write", "users:read", "usergroups:read"),
        *("channels:read", "groups:read", "channels:history", "groups:history"),
    }
)
"""The scopes of the bot token unless others are given."""


class LocalSlack:
    """A Slack that lives as long as its `async with` block.

    What is to be seen, in order: `messages`, `ephemerals` (each seen by one person alone), `files` that were shared,
    `views` (modals that were opened), `calls` (every request of the app, uploads and `response_url`s too).

    `port=0` takes a free port; `rate` limits posting, which is unlimited otherwise; `ack_within` and
    `ping_every` are seconds; `clock` gives seconds since 1970, and moving it makes what Slack hands out
    expire.
    """

    def __init__(
        self,
        *,
        bot_token: str = "xoxb-practice",  # noqa: S107 - opens nothing but this
        app_token: str = "xapp-practice",  # noqa: S107
        port: int = 0,
        scopes: Iterable[str] = SCOPES,
        rate: Rate | None = None,
        ack_within: float = 3.0,
        ping_every: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; nothing listens before the block is entered."""
        self.workspace = Workspace(clock=clock)
        self.messages = self.workspace.messages
        self.ephemerals = self.workspace.ephemerals
        self.files = self.workspace.files
        self.views = self.workspace.views
        self.calls = self.workspace.calls
        self.send_envelopes_twice = False
        self.lose_envelopes = False
        self.lose_acknowledgements = False
        self._context = ApiContext(workspace=self.workspace, scopes=frozenset(scopes))
        self._faults = Faults[Fault]()
        meter = Meter(rate=rate, clock=clock)
        self._sockets = Sockets(context=self._context, ack_within=ack_within, ping_every=ping_every)
        self._api = Api(
            context=self._context, bot_token=bot_token, app_token=app_token, faults=self._faults, meter=meter
        )
        routes = [*self._api.routes(), web.get("/link/", self._sockets.connect)]
        self._listener = Listener(routes=routes, port=port)
        self.add_user(self.workspace.bot_user, name=self.workspace.bot_name, is_bot=True)

    async def __aenter__(self) -> Self:
        """Listen."""
        await self._listener.start()
        self._context.address = f"127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every connection and stop listening."""
        self._api.release()
        await self._listener.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listener.port

    @property
    def api_url(self) -> str:
        """The `base_url` of a web client."""
        return f"http://127.0.0.1:{self.port}/api/"

    # Who and what there is

    def add_user(self, user_id: str, *, name: str, **more: Any) -> User:
        """Add a user, or take another's place; `more` are the fields of User."""
        self.workspace.users[user_id] = User(id=user_id, name=name, **more)
        self.workspace.changed()
        return self.workspace.users[user_id]

    def add_channel(
        self,
        channel_id: str,
        *,
        name: str,
        members: Iterable[str] | None = None,
        bot: bool = True,
        **more: bool,
    ) -> Channel:
        """Add a channel with these members, by default everybody; with the bot, unless `bot=False`.

        `more` are the fields of Channel.
        """
        if members is None and not bot:
            members = self.workspace.users.keys() - {self.workspace.bot_user}
        inside = None if members is None else frozenset(members) | ({self.workspace.bot_user} if bot else set())
        self.workspace.channels[channel_id] = Channel(id=channel_id, name=name, members=inside, **more)
        self.workspace.changed()
        return self.workspace.channels[channel_id]

    def add_usergroup(self, group_id: str, *, handle: str, users: Iterable[str]) -> Usergroup:
        """Add a group of users, or take another's place."""
        group = Usergroup(id=group_id, handle=handle, users=tuple(users))
        self.workspace.usergroups[group_id] = group
        self.workspace.changed()
        return group

    def say(self, user: str, channel: str, text: str, *, thread_ts: str | None = None) -> Message:
        """Post a message as a person."""
        message = Message(channel=channel, ts=self.workspace.next_ts(), thread_ts=thread_ts, user=user, text=text)
        self.workspace.messages.append(message)
        self.workspace.changed()
        return message

    # What people do

    async def command(self, user: str, channel: str, name: str, text: str = "") -> Reply:
        """Send a slash command and return what the app acknowledged it with; `text` goes as it is.

        Raises SlackTimeout when it did not, and SlackUserError when its answer cannot be shown.
        """
        payload = slack_payloads.command(self._context, self.workspace.users[user], channel, name, text)
        reply = await self._deliver("slash_commands", payload, answerable=True)
        if reply.text or reply.blocks:
            self._show(reply, user, channel)
        return reply

    def _show(self, reply: Reply, user: str, channel: str) -> None:
        try:
            said = slack_posting.content(self.workspace, Args(values=reply.payload))
        except SlackError as error:
            raise SlackUserError(f"invalid_command_response: {error.name} {error.more}") from error
        slack_posting.whisper(self.workspace, user, channel, said, via="ack")
        self.workspace.changed()

    async def click(
        self,
        user: str,
        message: Message | Ephemeral,
        action_id: str,
        value: str | None = None,
        *,
        stale: bool = False,
    ) -> Reply:
        """Click a button in a message, and return the acknowledgement.

        `value` tells buttons with the same action id apart. `stale` clicks what an edit has taken away.
        Raises LookupError when there is no such button, and SlackTimeout when the app did not acknowledge.
        """
        block, element = slack_payloads.to_click(message, action_id, value, stale=stale)
        who = self.workspace.users[user]
        payload = slack_payloads.click(self._context, who, message, block=block, element=element)
        return await self._deliver("interactive", payload, answerable=False)

    async def submit(self, user: str, view: View, values: dict[str, dict[str, Any]] | None = None) -> Reply:
        """Fill in a modal, by block id and action id, send it, and return the acknowledgement.

        The modal closes unless the answer names errors. Raises LookupError for a value without a place,
        ValueError for a place that must not be left empty, and SlackTimeout.
        """
        if not view.shown or view.user != user:
            raise LookupError(f"{user} does not see the modal {view.id}")
        filled = slack_forms.filled(view, values or {})
        payload = slack_payloads.submission(self._context, self.workspace.users[user], view, filled)
        reply = await self._deliver("interactive", payload, answerable=True)
        view.shown = reply.payload.get("response_action") == "errors"
        self.workspace.changed()
        return reply

    async def choose(self, user: str, view: View, block_id: str, value: str) -> Reply:
        """Choose an option where a modal says so at once (`dispatch_action`), and return the acknowledgement."""
        if not view.shown or view.user != user:
            raise LookupError(f"{user} does not see the modal {view.id}")
        block = next(one for one in view.body["blocks"] if one.get("block_id") == block_id and one["dispatch_action"])
        element = {"block_id": block_id, "action_id": block["element"]["action_id"]}
        state = slack_forms.chosen(view, block_id, value)
        payload = slack_payloads.choice(self._context, self.workspace.users[user], view, element, state)
        return await self._deliver("interactive", payload, answerable=False)

    async def fill_in(self, user: str, message: Message, action_id: str, reason: str, *, stale: bool = False) -> Reply:
        """Click a button that opens a modal with a place for a reason, and send it; raises as `click` and `submit`."""
        seen = len(self.views)
        await self.click(user, message, action_id, stale=stale)
        opened = await self.until(lambda: self.views[seen:])
        return await self.submit(user, opened[-1], {"reason": {"reason": reason}})

    async def _deliver(self, kind: str, payload: Json, *, answerable: bool) -> Reply:
        if self.lose_envelopes:
            # Nobody would acknowledge it, and there is no need to sit out the time.
            raise SlackTimeout(f"operation_timeout: {kind} was lost")
        answer = await self._sockets.send(kind, payload, answerable=answerable, twice=self.send_envelopes_twice)
        if self.lose_acknowledgements:
            raise SlackTimeout(f"operation_timeout: the acknowledgement of {kind} was lost")
        return Reply(payload=answer, response_url=payload.get("response_url"))

    # What is to be seen

    @property
    def sockets(self) -> int:
        """How many sockets are connected now."""
        return len(self._sockets)

    def thread(self, channel: str, ts: str) -> list[Message]:
        """Return a message and its replies, in order."""
        return self.workspace.thread(channel, ts)

    async def until(
        self,
        condition: Callable[[], T | Literal[False] | None],
        *,
        timeout: float = 120.0,  # noqa: ASYNC109
    ) -> T:
        """Return the condition's first true value; see Workspace.until."""
        return await self.workspace.until(condition, timeout=timeout)

    # What goes wrong

    def fault(self, fault: Fault) -> None:
        """Have this go wrong from now on."""
        self._faults.add(fault)

    def clear_faults(self) -> None:
        """Have nothing go wrong any more, and drop the calls that hang."""
        self._faults.clear()
        self._api.release()

    def away(self, gone: bool = True) -> None:
        """Drop every connection, and each new one as soon as it is made; `away(False)` is back at once."""
        if gone:
            self._api.release()
        self._listener.away(gone)

    async def close_sockets(self, reason: str = "refresh_requested") -> None:
        """Send every socket a `disconnect` frame with this reason, then close it."""
        await self._sockets.close(reason)
