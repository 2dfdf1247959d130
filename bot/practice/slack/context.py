"""What every method of the local Slack works with: the workspace, a call's arguments, refusals, faults.

It knows nothing of HTTP, of single methods, or of the bot.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from bot.practice.slack.workspace import Channel, Ephemeral, Message, User, Workspace

TRIGGER_LIVES = 3.0
"""Seconds in which a `trigger_id` opens a view."""


class SlackError(Exception):
    """An answer of `ok: false`."""

    def __init__(self, name: str, **more: Any) -> None:
        """Take Slack's name of the error, and what else the answer says."""
        super().__init__(name)
        self.name = name
        self.more = more


def refuse(name: str, *messages: str) -> NoReturn:
    """Answer with this error, and sentences as Slack's `response_metadata` holds them."""
    if not messages:
        raise SlackError(name)
    raise SlackError(name, errors=list(messages), response_metadata={"messages": [f"[ERROR] {m}" for m in messages]})


@dataclass(frozen=True, kw_only=True)
class Args:
    """The arguments of one call, whichever way they were sent: forms have strings only, JSON has values."""

    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return an argument that has to be there, or refuse the call."""
        value = self.maybe(name)
        if value is None:
            refuse("invalid_arguments", f"missing required field: {name}")
        return value

    def maybe(self, name: str) -> str | None:
        """Return an argument that may be missing or empty."""
        value = self.values.get(name)
        return None if value in (None, "") else str(value)

    def flag(self, name: str) -> bool:
        """Return a boolean: forms say `1` or `true`."""
        return str(self.values.get(name, "")).lower() in ("1", "true")

    def number(self, name: str, otherwise: int) -> int:
        """Return a whole number, or refuse the call."""
        value = self.maybe(name)
        if value is None:
            return otherwise
        if not value.isdigit():
            refuse("invalid_arguments", f"must be an integer [json-pointer:/{name}]")
        return int(value)

    def structure(self, name: str, error: str) -> Any:
        """Return a list or an object, which forms hold as JSON; refuse with `error` what is no JSON."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value else None
        except ValueError:
            refuse(error)


@dataclass(kw_only=True, eq=False)
class Trigger:
    """Leave to open one view: for whom, since when, and whether it was used."""

    user: str
    at: float
    used: bool = False


@dataclass(kw_only=True, eq=False)
class Hook:
    """A `response_url`: what it answers to, since when, and how often it was used."""

    user: str
    channel: str
    at: float
    message: Message | Ephemeral | None = None
    used: int = 0


@dataclass(kw_only=True, eq=False)
class Upload:
    """A file on its way: announced, then sent, then shared."""

    id: str
    name: str
    length: int
    content: bytes | None = None


@dataclass(kw_only=True, eq=False)
class ApiContext(Workspace):
    """The workspace, with what Slack has handed out and will take back; `address` is `127.0.0.1:PORT`."""

    scopes: frozenset[str]
    address: str = ""
    tickets: set[str] = field(default_factory=set)
    triggers: dict[str, Trigger] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def new_trigger(self, user: str) -> str:
        """Hand out a `trigger_id`."""
        name = f"{self.next_id('')}.{self.next_id('')}.practice"
        self.triggers[name] = Trigger(user=user, at=self.clock())
        return name

    def use_trigger(self, name: str) -> str:
        """Take a `trigger_id` back and return its user, or refuse."""
        trigger = self.triggers.get(name)
        if trigger is None:
            refuse("invalid_trigger_id")
        if trigger.used:
            refuse("exchanged_trigger_id")
        if self.clock() - trigger.at > TRIGGER_LIVES:
            refuse("expired_trigger_id")
        trigger.used = True
        return trigger.user

    def new_hook(self, user: str, channel: str, message: Message | Ephemeral | None = None) -> str:
        """Hand out a `response_url`."""
        name = self.next_id("H")
        self.hooks[name] = Hook(user=user, channel=channel, at=self.clock(), message=message)
        return f"http://{self.address}/actions/{self.team_id}/{name}"

    def needs(self, *scopes: str) -> None:
        """Refuse unless the token has one of these scopes."""
        if not self.scopes & set(scopes):
            raise SlackError("missing_scope", needed=scopes[0], provided=",".join(sorted(self.scopes)))

    def user(self, user: str) -> User:
        """Return a user, or refuse."""
        return self.users.get(user) or refuse("user_not_found")

    def channel(self, channel: str) -> Channel:
        """Return a channel the bot may know of, or refuse: a private one hides from who is not in it."""
        found = self.channels.get(channel)
        if found is None or (found.is_private and not found.bot):
            refuse("channel_not_found")
        return found

    def readable(self, channel: str, kind: str) -> Channel:
        """Return a channel whose `kind` (`read`, `history`) the token's scopes cover, or refuse."""
        self.needs(f"channels:{kind}", f"groups:{kind}")
        found = self.channel(channel)
        self.needs(f"{'groups' if found.is_private else 'channels'}:{kind}")
        return found

    def writable(self, channel: str) -> Channel:
        """Return a channel the bot can post in, or refuse."""
        found = self.channel(channel)
        if found.is_archived:
            refuse("is_archived")
        if not found.bot:
            refuse("not_in_channel")
        return found


What = Literal["drop_after_accept", "status_500", "rate_limited", "hang", "refuse", "error"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong with the next calls of a method.

    `method` is a Web API method, `upload`, `response_url`, or `*` for any of them. `drop_after_accept` does
    what was asked and then drops the connection; `refuse` drops it before; `hang` answers nothing, until
    the fault is cleared or Slack closes; `error` answers with `error`. `retry_after` is in seconds,
    `times=None` means until cleared.
    """

    method: str
    what: What
    retry_after: int = 1
    times: int | None = 1
    error: str = "internal_error"

    def hits(self, method: str) -> bool:
        """Whether it is meant for a call of this method."""
        return self.method in (method, "*")
