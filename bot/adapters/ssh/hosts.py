"""Runs commands on hosts over their kept connections, and says of each for certain: ended, not run, or may have run.

It must not know what a command is for, and it never logs what one prints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from bot.adapters.ssh.configuration import Unreached
from bot.adapters.ssh.connection import Connection, NotEnded
from bot.adapters.ssh.connections import Connections
from bot.adapters.ssh.session import CommandSession
from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import LATE, LOCKED, Fence, fenced
from bot.core.hosts.identity import QUESTION, Identity, read_identity
from bot.core.hosts.inventory import Host
from bot.engine.ports import Clock
from bot.errors import CameLate, HostError, MayHaveRun, NotRun, StillRuns, Unreadable


@dataclass(frozen=True, kw_only=True)
class _Request:
    host: Host
    command: Command
    material: bytes = field(default=b"", repr=False)
    fence: Fence | None = None

    @property
    def line(self) -> str:
        """The command as people read it."""
        text = self.command.text
        return f"sudo -n -- {text}" if self.host.sudo and self.command.root else text

    @property
    def sent(self) -> str:
        """The command as it goes out."""
        return fenced(self.line, self.fence) if self.fence else self.line

    @property
    def ahead(self) -> bool:
        return self.fence is not None or self.command.ahead


class SshHosts:
    """Hosts as OpenSSH's client configuration knows them (`config` files, the first that says something wins).

    `known_hosts`: trusted besides the files that the configuration names. `connect_timeout`: for the whole way, jump
    hosts included. `keepalive`: a peer that is silent for three times as long is given up.
    """

    def __init__(
        self,
        config: Sequence[Path],
        known_hosts: Path | None,
        connect_timeout: timedelta,
        keepalive: timedelta,
        clock: Clock,
    ) -> None:
        self._connections = Connections(config, known_hosts, connect_timeout, keepalive, clock)
        self._clock = clock

    async def identity(self, host: Host) -> Identity:
        """Who the host answered that it is, over the connection that is kept to it; raises NotRun.

        It is asked when that is first wanted of a connection, so that looks need no answer to it. What is no answer is
        not kept.
        """
        connection = await self._connection(host)
        try:
            return await self._identity(host, connection)
        except NotRun:
            if connection.alive:
                raise
        # The kept connection was dead: once more, over a new one.
        return await self._identity(host, await self._connection(host))

    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        """Run it to its end, through `sudo -n` where the host wants that; raises NotRun or MayHaveRun.

        The result's `command` is the line without its fence.
        """
        request = _Request(host=host, command=command, material=material, fence=fence)
        if fence is not None:
            return _begun(request, fence, await self._run(self._named(host, fence), request))
        connection = await self._connection(host)
        try:
            return await self._run(connection, request)
        except NotRun:
            if connection.alive:
                raise
        # The kept connection was dead, and the command had not been sent: once more, over a new one.
        return await self._run(await self._connection(host), request)

    async def close(self) -> None:
        """Close every connection; commands that still run are heard no more."""
        await self._connections.close()

    async def _connection(self, host: Host) -> Connection:
        try:
            return await self._connections.to(host.address)
        except Unreached as why:
            raise NotRun(f"{host.name}: no SSH connection. {why}") from why

    def _named(self, host: Host, fence: Fence) -> Connection:
        """The connection that the fence names, if it still is the one to this host."""
        connection = self._connections.live(host.address)
        if connection is None or connection.name != fence.connection:
            raise NotRun(
                f"{host.name}: the SSH connection on which it was looked at is gone, and nothing was run."
                " Nothing has to be done: it is looked at anew, over a new one."
            )
        return connection

    async def _identity(self, host: Host, connection: Connection) -> Identity:
        async with connection.asking:
            if connection.identity is None:
                try:
                    result = await self._answered(connection, _Request(host=host, command=QUESTION))
                    connection.identity = read_identity(connection.name, result)
                except NotEnded as why:
                    raise NotRun(f"{host.name} was asked who it is and gave no answer ({why}).") from why
                except Unreadable as error:
                    raise NotRun(str(error)) from error
            return connection.identity

    async def _run(self, connection: Connection, request: _Request) -> Result:
        try:
            return await self._answered(connection, request)
        except NotEnded as why:
            raise _not_ended(request, why) from why

    async def _answered(self, connection: Connection, request: _Request) -> Result:
        async with connection.room(ahead=request.ahead):
            began, start = self._clock.now(), asyncio.get_running_loop().time()
            session = await connection.run(request.command, request.sent, request.material, ahead=request.ahead)
            took = timedelta(seconds=asyncio.get_running_loop().time() - start)
        return _result(request, connection, session, began=began, took=took)


def _begun(request: _Request, fence: Fence, result: Result) -> Result:
    """The result of a command that the host let through its fence; raises CameLate or StillRuns for another."""
    name = request.host.name
    if result.exit_status == LATE:
        raise CameLate(
            f"{name}: the command came after the time that it was decided for; the host refused it, and nothing was"
            " run. Nothing has to be done: it is looked at anew."
        )
    if result.exit_status == LOCKED and fence.lock is not None:
        raise StillRuns(
            f"{name}: an earlier command of this bot still runs there and holds {fence.lock}; the host refused this"
            f" one, and nothing was run. What to do: wait for its end; `fuser -v {fence.lock}` there shows it."
        )
    return result


def _not_ended(request: _Request, why: NotEnded) -> HostError:
    """What is said of a change; a look that got no answer has changed nothing, whether it was run or not."""
    name, change = request.host.name, request.fence is not None
    if not why.sent:
        nothing = ", and nothing was run" if change else ""
        return NotRun(f"{name}: the SSH connection took no command{nothing} ({why}).")
    if not change:
        return MayHaveRun(f"{name}: it was asked, and its answer was not heard ({why}).")
    return MayHaveRun(
        f"{name}: the command was sent and its end was not heard ({why}). It may have run, and may still be running"
        " there. What to do: look on the host before anything is repeated."
    )


def _result(
    request: _Request, connection: Connection, session: CommandSession, *, began: datetime, took: timedelta
) -> Result:
    assert session.exit_status is not None
    return Result(
        host=request.host.name,
        command=request.line,
        exit_status=session.exit_status,
        stdout=session.stdout.text,
        stderr=session.stderr.text,
        stdout_bytes=session.stdout.count,
        began=began,
        took=took,
        connection=connection.name,
        kept=request.command.keeps,
    )
