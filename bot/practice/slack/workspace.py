"""The workspace of the local Slack: people, channels, messages and files, all of it in memory.

It knows nothing of HTTP, of sockets, or of the bot.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

Json = dict[str, Any]
"""A JSON object, as it travels: its fields are Slack's, so they are looked at where they are used."""

T = TypeVar("T")

_LOOK_AGAIN = 0.05
"""Seconds between two looks at a condition that may also hang on something outside of Slack."""


@dataclass(frozen=True, kw_only=True)
class User:
    """A member of the workspace, or a stranger seen in it."""

    id: str
    name: str
    is_bot: bool = False
    deleted: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_stranger: bool = False
    is_app_user: bool = False


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A channel; all users are in it, and the bot unless `bot` is false."""

    id: str
    name: str
    is_private: bool = False
    is_ext_shared: bool = False
    is_archived: bool = False
    bot: bool = True


@dataclass(frozen=True, kw_only=True)
class SharedFile:
    """A file that was uploaded and shared in a channel or a thread."""

    id: str
    name: str
    title: str
    content: bytes
    channel: str | None
    thread_ts: str | None

    @property
    def text(self) -> str:
        """The content as UTF-8 text."""
        return self.content.decode()


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What a message was before it was edited."""

    at: datetime
    text: str
    blocks: list[Json]


@dataclass(kw_only=True, eq=False)
class Message:
    """A message in a channel; edits change it in place, and what it was goes to `edits`, oldest first."""

    channel: str
    ts: str
    text: str
    user: str
    bot_id: str | None = None
    thread_ts: str | None = None
    blocks: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    reply_broadcast: bool = False
    files: tuple[SharedFile, ...] = ()
    edits: list[Edit] = field(default_factory=list)


@dataclass(kw_only=True, eq=False)
class Ephemeral:
    """A message that one user alone sees; it came by `via`: `ack`, `response_url` or `chat.postEphemeral`."""

    channel: str
    user: str
    ts: str
    text: str
    via: str
    blocks: list[Json] = field(default_factory=list)
    thread_ts: str | None = None


@dataclass(kw_only=True, eq=False)
class View:
    """A modal that was opened for a user; `shown` is false once it was submitted."""

    id: str
    user: str
    body: Json
    hash: str
    shown: bool = True

    @property
    def callback_id(self) -> str:
        """What the app called it."""
        return str(self.body.get("callback_id", ""))


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the Web API; `status` is `ok`, the error it was answered with, or the fault that struck it."""

    at: datetime
    method: str
    arguments: Mapping[str, Any]
    status: str


@dataclass(kw_only=True, eq=False)
class Workspace:
    """Everything the workspace holds; `clock` gives seconds since 1970.

    What is to be seen, in order: `messages`, `ephemerals` (each seen by one person alone), `files` that were shared,
    `views` (modals that were opened), `calls` (every request of the app, uploads and `response_url`s too).
    """

    clock: Callable[[], float] = time.time
    team_id: str = "T0PRACTICE"
    team_domain: str = "practice"
    app_id: str = "A0PRACTICE"
    bot_user: str = "U0BOT"
    bot_id: str = "B0BOT"
    bot_name: str = "practice-bot"
    users: dict[str, User] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    usergroups: dict[str, list[str]] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    ephemerals: list[Ephemeral] = field(default_factory=list)
    files: list[SharedFile] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    _last: int = 0
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the app has called, or a socket came or went, for whoever waits."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def next_ts(self) -> str:
        """Return a message's timestamp: SECONDS.MICROS, greater than every one before."""
        self._last = max(int(self.clock() * 1_000_000), self._last + 1)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"

    def next_id(self, prefix: str) -> str:
        """Return an id that nothing else has."""
        return f"{prefix}{next(self._numbers):08d}"

    def message(self, channel: str, ts: str) -> Message | None:
        """Return the message with this timestamp, or None."""
        return next((m for m in self.messages if (m.channel, m.ts) == (channel, ts)), None)

    def thread(self, channel: str, ts: str) -> list[Message]:
        """Return a root message and its replies, in order."""
        return [m for m in self.messages if m.channel == channel and ts in (m.ts, m.thread_ts)]

    async def until(
        self,
        condition: Callable[[], T | Literal[False] | None],
        *,
        timeout: float = 120.0,  # noqa: ASYNC109 - it is the words' bound
    ) -> T:
        """Return the condition's first true value, looking at each change.

        A LookupError in the condition counts as not yet. Raises TimeoutError, which says what Slack holds,
        when `timeout` seconds have passed.
        """
        last: LookupError | None = None
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            self.changed.clear()
            try:
                value = condition()
            except LookupError as error:
                last = error
            else:
                last = None
                if value:
                    return value
            if loop.time() >= end:
                raise TimeoutError(f"not so after {timeout:g} s\n{self.summary()}") from last
            with suppress(TimeoutError):  # wait_for of Python 3.11 loses a cancellation that comes with a change
                async with asyncio.timeout(min(_LOOK_AGAIN, end - loop.time())):
                    await self.changed.wait()

    def summary(self, *, most: int = 12) -> str:
        """Return the last messages, ephemeral messages and calls as lines, to see what happened."""
        lines = [f"{len(self.messages)} messages, the last of them:"]
        lines += [f"  {m.ts} {m.channel} in {m.thread_ts or '-'}: {m.text[:100]!r}" for m in self.messages[-most:]]
        lines += [f"{len(self.ephemerals)} ephemeral messages, the last of them:"]
        lines += [f"  to {e.user}: {e.text[:100]!r}" for e in self.ephemerals[-most:]]
        lines += [f"{len(self.calls)} calls, the last of them:"]
        lines += [f"  {c.at:%H:%M:%S.%f} {c.method}: {c.status}" for c in self.calls[-most:]]
        return "\n".join(lines)


def message_body(workspace: Workspace, message: Message, *, metadata: bool = False) -> Json:
    """Return a message as Slack writes it; its metadata only where asked for, as Slack does."""
    body: Json = {"type": "message", "user": message.user, "ts": message.ts, "text": message.text}
    if message.bot_id:
        body |= {"bot_id": message.bot_id, "app_id": workspace.app_id}
    if message.blocks:
        body["blocks"] = message.blocks
    if message.files:
        body["files"] = [{"id": f.id, "name": f.name, "title": f.title} for f in message.files]
    if message.edits and not message.blocks:
        # Slack marks as edited only what has no blocks.
        body["edited"] = {"user": message.user, "ts": message.ts}
    if metadata and message.metadata:
        body["metadata"] = message.metadata
    return body | _threading(workspace, message)


def _threading(workspace: Workspace, message: Message) -> Json:
    if message.thread_ts:
        root = workspace.message(message.channel, message.thread_ts)
        body: Json = {"thread_ts": message.thread_ts, "parent_user_id": root.user if root else message.user}
        return body | ({"subtype": "thread_broadcast"} if message.reply_broadcast else {})
    replies = workspace.thread(message.channel, message.ts)[1:]
    if not replies:
        return {}
    return {"thread_ts": message.ts, "reply_count": len(replies), "latest_reply": replies[-1].ts}
