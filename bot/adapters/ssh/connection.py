"""One kept connection: the commands that go over it, how many at a time, and who its host answered that it is.

It must not know which host that is in the settings, nor what a command is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncssh

from bot.adapters.ssh.session import CommandSession
from bot.core.hosts.command import Command
from bot.core.hosts.identity import Identity
from bot.engine.ports import Clock

AT_ONCE = 5
"""Looks that one connection takes at the same time."""

HANGING = 2
"""Looks that were given up and that the host has not ended, beside which it gets new ones. OpenSSH refuses the eleventh
session of a connection (MaxSessions), and counts one until its command has ended: five, two and three make ten."""

CHANGES_AT_ONCE = 3
"""Changes, and the questions asked for them: room of their own, which no look takes, however long it hangs."""

_CLOSING = timedelta(seconds=2)
"""How long a host is given to end what was given up, which is a way there and back when it is well."""


_ENGLISH: Mapping[bytes | str, bytes | str] = {"LC_ALL": "C"}
"""Answers are read, and some programs give them in the host's language. Where sshd does not accept it (AcceptEnv), an
answer in another language is none that is understood."""


class NotEnded(Exception):
    """A command whose end was not heard; the text says why. `sent`: it may have run."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


@dataclass(kw_only=True, eq=False)
class Connection:
    """`name` is this connection's, and no other one's ever; `identity` is asked for over it, by one at a time.

    `through`: the jump host's.
    """

    name: str
    ssh: asyncssh.SSHClientConnection
    clock: Clock
    through: Connection | None = None
    identity: Identity | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _changes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CHANGES_AT_ONCE))
    _hanging: set[asyncio.Future[Any]] = field(default_factory=set)
    _inside: int = 0
    _used: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.use()

    @property
    def alive(self) -> bool:
        """Whether it can carry a command, as far as is known here."""
        return not self.ssh.is_closed()

    def use(self) -> None:
        """It is used now, and idle from now on at the earliest."""
        self._used = self.clock.now()

    def idle(self, since: timedelta) -> bool:
        """Whether no command has run over it, nor waited to, for so long; what hangs there still runs."""
        return not self._inside and not self._hanging and self.clock.now() - self._used >= since

    @asynccontextmanager
    async def room(self, *, ahead: bool) -> AsyncIterator[None]:
        """A command's place in it, waited for; raises NotEnded where the host does not end what was given up."""
        self._inside += 1
        try:
            async with self._changes if ahead else self._looks:
                if not ahead:
                    await self._until_few_hang()
                yield
        finally:
            self._inside -= 1
            self.use()

    async def _until_few_hang(self) -> None:
        try:
            async with asyncio.timeout(_CLOSING.total_seconds()):
                while len(self._hanging) > HANGING:
                    await asyncio.wait(self._hanging, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            raise NotEnded(
                f"{len(self._hanging)} earlier commands were given up and still run there. What to do: see on the host"
                " what they wait for, and end them; then it is asked again by itself",
                sent=False,
            ) from error

    async def run(self, command: Command, line: str, material: bytes, *, ahead: bool) -> CommandSession:
        """Send the line, which is the command as it goes out, and listen to its end; raises NotEnded."""
        session = CommandSession(stdout=command.keeps if command.keeps_output else 0, stderr=command.keeps)
        limit = asyncio.timeout(command.timeout.total_seconds())
        try:
            async with limit:
                await asyncio.shield(_opening(self.ssh, session, line))
                session.feed(material)
                lost = await asyncio.shield(session.ended)
        except (asyncssh.Error, OSError) as error:  # a TimeoutError may be the network's, too
            late = f"no end within {command.timeout.total_seconds():g} s" if limit.expired() else ""
            raise NotEnded(late or str(error) or type(error).__name__, sent=session.sent) from error
        finally:
            session.hang_up()
            if not ahead:
                self._mind(session.ended)
        if lost is not None or session.exit_status is None:  # what it printed may be incomplete, too
            raise NotEnded(str(lost or "the channel was closed without an exit status"), sent=True)
        return session

    def _mind(self, ended: asyncio.Future[Any]) -> None:
        """It hangs until the host closes its channel, which OpenSSH does when the command has ended."""
        if not ended.done():
            self._hanging.add(ended)
            ended.add_done_callback(self._hanging.discard)


def _opening(ssh: asyncssh.SSHClientConnection, session: CommandSession, line: str) -> asyncio.Task[None]:
    """Open a channel and send the command, in a task: whoever gives up meanwhile leaves no channel open behind."""

    async def opened() -> None:
        try:
            await ssh.create_session(lambda: session, line, env=_ENGLISH, encoding=None)
        except asyncssh.ChannelOpenError as error:
            if not ssh.is_closed() and not session.ended.done():
                session.sent = False  # the host answered that it does not begin it
            session.connection_lost(error)  # a channel that never opened does not say so itself
            raise

    opening = asyncio.ensure_future(opened())
    opening.add_done_callback(lambda task: task.cancelled() or task.exception())
    return opening
