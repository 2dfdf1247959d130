"""Runs commands on hosts over their kept connections, and says of each for certain: ended, not run, or may have run.

It must not know what a command is for, and it never logs what one prints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import asyncssh

from bot.adapters.ssh.hearing import Hearing
from bot.adapters.ssh.lines import Lines, Unreached
from bot.core.command import Command, Result
from bot.core.fence import Fence
from bot.core.identity import QUESTION, Identity, read_identity
from bot.core.inventory import Host
from bot.engine.ports import Clock
from bot.errors import HostError, MayHaveRun, NotRun, Unreadable

AT_ONCE = 5
"""Commands that one host gets at the same time. OpenSSH refuses the eleventh session of a connection (MaxSessions), and
sessions that are still closing count."""


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
        self._lines = Lines(config, known_hosts, connect_timeout, keepalive)
        self._clock = clock
        self._room: dict[str, asyncio.Semaphore] = {}

    async def identity(self, host: Host) -> Identity:
        """Who the host said that it is, when the connection that is kept to it was opened; raises NotRun."""
        connection = await self._connection(host)
        try:
            return read_identity(str(id(connection)), await self._run(host, connection, QUESTION, QUESTION.text, b""))
        except Unreadable as error:
            raise NotRun(str(error)) from error

    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        """Run it to its end, through `sudo -n` where the host wants that; raises NotRun or MayHaveRun.

        The result's `command` is the line as it was sent.
        """
        del fence
        line = f"sudo -n -- {command.text}" if host.sudo and command.root else command.text
        async with self._room.setdefault(host.name, asyncio.Semaphore(AT_ONCE)):
            connection = await self._connection(host)
            try:
                return await self._run(host, connection, command, line, material)
            except NotRun:
                if not connection.is_closed():
                    raise
            # The kept connection was dead, and the command had not been sent: once more, over a new one.
            return await self._run(host, await self._connection(host), command, line, material)

    async def close(self) -> None:
        """Close every connection; commands that still run are heard no more."""
        await self._lines.close()

    async def _connection(self, host: Host) -> asyncssh.SSHClientConnection:
        try:
            return await self._lines.to(host.address)
        except Unreached as why:
            raise NotRun(f"{host.name}: no SSH connection, and nothing was run. {why}") from why

    async def _run(
        self, host: Host, connection: asyncssh.SSHClientConnection, command: Command, line: str, material: bytes
    ) -> Result:
        hearing = Hearing(keeps_output=command.keeps_output)
        began, start = self._clock.now(), asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(command.timeout.total_seconds()):
                await asyncio.shield(_opening(connection, hearing, line))
                hearing.feed(material)
                lost = await asyncio.shield(hearing.ended)
        except TimeoutError as error:
            within = f"no end within {command.timeout.total_seconds():g} s"
            raise _unheard(host, sent=hearing.sent, why=within) from error
        except (asyncssh.Error, OSError) as error:
            raise _unheard(host, sent=hearing.sent, why=str(error) or type(error).__name__) from error
        finally:
            hearing.hang_up()
        if lost is not None or hearing.exit_status is None:  # what it printed may be incomplete, too
            raise _unheard(host, sent=True, why=str(lost or "the channel was closed without an exit status"))
        took = timedelta(seconds=asyncio.get_running_loop().time() - start)
        return _result(host, line, hearing, exit_status=hearing.exit_status, began=began, took=took)


def _opening(connection: asyncssh.SSHClientConnection, hearing: Hearing, line: str) -> asyncio.Task[None]:
    """Open a channel and send the command, in a task: whoever gives up meanwhile leaves no channel open behind."""

    async def opened() -> None:
        try:
            await connection.create_session(lambda: hearing, line, encoding=None)
        except asyncssh.ChannelOpenError:
            if not connection.is_closed() and not hearing.ended.done():
                hearing.sent = False  # the host answered that it does not begin it
            raise

    opening = asyncio.ensure_future(opened())
    opening.add_done_callback(lambda task: task.cancelled() or task.exception())
    return opening


def _unheard(host: Host, *, sent: bool, why: str) -> HostError:
    if not sent:
        return NotRun(f"{host.name}: the SSH connection took no command, and nothing was run ({why}).")
    return MayHaveRun(
        f"{host.name}: the command was sent and its end was not heard ({why}). It may have run, and may still be"
        f" running there. What to do: look on the host before anything is repeated."
    )


def _result(host: Host, line: str, hearing: Hearing, *, exit_status: int, began: datetime, took: timedelta) -> Result:
    return Result(
        host=host.name,
        command=line,
        exit_status=exit_status,
        stdout=hearing.stdout.text,
        stderr=hearing.stderr.text,
        stdout_bytes=hearing.stdout.count,
        began=began,
        took=took,
    )
