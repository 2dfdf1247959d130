"""A small Slack on this machine, for demonstrations and tests: Web API and Socket Mode, for an unchanged app.

Everything is in memory and ends with the block that started it. People are played by the caller: they send
commands, click, and fill in forms; what the app says is there to be looked at. It listens on 127.0.0.1
only, and knows nothing of the bot.
"""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from bot.practice.slack import forms, payloads, posting
from bot.practice.slack.api import Api
from bot.practice.slack.context import ApiContext, Args, Fault, SlackError
from bot.practice.slack.payloads import Reply
from bot.practice.slack.socket import Listener, SlackTimeout, SlackUserError, Sockets
from bot.practice.slack.workspace import Channel, Ephemeral, Json, Message, User, View
from bot.practice.values import Faults

SCOPES = frozenset(
    {
        *("commands", "chat:write", "files:write", "users:read", "usergroups:read"),
        *("channels:read", "groups:read", "channels:history", "groups:history"),
    }
)
"""The scopes of the bot token unless others are given."""


class LocalSlack(ApiContext):
    """A Slack that lives as long as its `async with` block.

    `ack_within` and `ping_every` are seconds; `clock` gives seconds since 1970, and moving it makes what Slack hands
    out expire.
    """

    def __init__(
        self,
        *,
        scopes: Iterable[str] = SCOPES,
        ack_within: float = 3.0,
        ping_every: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; nothing listens before the block is entered."""
        super().__init__(clock=clock, scopes=frozenset(scopes))
        self.send_envelopes_twice = False
        self.lose_envelopes = False
        self.lose_acknowledgements = False
        self._faults = Faults[Fault]()
        self._sockets = Sockets(context=self, ack_within=ack_within, ping_every=ping_every)
        self._api = Api(context=self, faults=self._faults)
        routes = [*self._api.routes(), web.get("/link/", self._sockets.connect)]
        self._listener = Listener(routes)
        self.add_user(self.bot_user, name=self.bot_name, is_bot=True)

    async def __aenter__(self) -> Self:
        """Listen."""
        await self._listener.start()
        self.address = f"127.0.0.1:{self.port}"
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
        self.users[user_id] = User(id=user_id, name=name, **more)
        return self.users[user_id]

    def add_channel(
        self,
        channel_id: str,
        *,
        name: str,
        **more: bool,
    ) -> Channel:
        """Add a channel; `more` are the fields of Channel."""
        self.channels[channel_id] = Channel(id=channel_id, name=name, **more)
        return self.channels[channel_id]

    def add_usergroup(self, group_id: str, users: Iterable[str]) -> None:
        """Add a group of users, or take another's place."""
        self.usergroups[group_id] = list(users)

    # What people do

    async def command(self, user: str, channel: str, name: str, text: str = "") -> Reply:
        """Send a slash command and return what the app acknowledged it with; `text` goes as it is.

        Raises SlackTimeout when it did not, and SlackUserError when its answer cannot be shown.
        """
        payload = payloads.command(self, self.users[user], channel, name, text)
        reply = await self._deliver("slash_commands", payload, answerable=True)
        if reply.text or reply.blocks:
            self._show(reply, user, channel)
        return reply

    def _show(self, reply: Reply, user: str, channel: str) -> None:
        try:
            content = posting.read_content(self, Args(values=reply.payload))
        except SlackError as error:
            raise SlackUserError(f"invalid_command_response: {error.name} {error.more}") from error
        posting.post_ephemeral(self, user, channel, content, via="ack")

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
        block, element = payloads.to_click(message, action_id, value, stale=stale)
        who = self.users[user]
        payload = payloads.click(self, who, message, block=block, element=element)
        return await self._deliver("interactive", payload, answerable=False)

    async def submit(self, user: str, view: View, values: dict[str, dict[str, Any]] | None = None) -> Reply:
        """Fill in a modal, by block id and action id, send it, and return the acknowledgement.

        The modal closes unless the answer names errors. Raises LookupError for a value without a place,
        ValueError for a place that must not be left empty, and SlackTimeout.
        """
        if not view.shown or view.user != user:
            raise LookupError(f"{user} does not see the modal {view.id}")
        filled = forms.filled(view, values or {})
        payload = payloads.submission(self, self.users[user], view, filled)
        reply = await self._deliver("interactive", payload, answerable=True)
        view.shown = reply.payload.get("response_action") == "errors"
        return reply

    async def choose(self, user: str, view: View, block_id: str, value: str) -> Reply:
        """Choose an option where a modal says so at once (`dispatch_action`), and return the acknowledgement."""
        if not view.shown or view.user != user:
            raise LookupError(f"{user} does not see the modal {view.id}")
        block = next(one for one in view.body["blocks"] if one.get("block_id") == block_id and one["dispatch_action"])
        element = {"block_id": block_id, "action_id": block["element"]["action_id"]}
        state = forms.filled(view, {block_id: {element["action_id"]: value}}, whole=False)
        payload = payloads.choice(self, self.users[user], view, element, state)
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
