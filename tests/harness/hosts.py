"""The `Hosts` port in front of the practice ring's own hosts, without SSH; it says what SshHosts would say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import LATE, LOCKED, Fence, fenced
from bot.core.hosts.identity import QUESTION, Identity, read_identity
from bot.core.hosts.inventory import Host
from bot.errors import CameLate, MayHaveRun, NotRun, StillRuns, Unreadable
from bot.practice.values import Answer, Now
from tests.harness.network import Line, Network


@dataclass(frozen=True, kw_only=True)
class _Request:
    """A command for a host: how it goes out, and what it reads."""

    host: Host
    command: Command
    material: bytes = b""
    fence: Fence | None = None

    @property
    def line(self) -> str:
        """Without its fence, as it is told to people."""
        sudo = self.host.sudo and self.command.root
        return f"sudo -n -- {self.command.text}" if sudo else self.command.text

    @property
    def sent(self) -> str:
        return fenced(self.line, self.fence) if self.fence is not None else self.line

    async def read(self) -> bytes:
        """What the command reads from its standard input."""
        return self.material


class SimHosts:
    """One bot's kept lines to the hosts."""

    def __init__(self, network: Network, now: Now) -> None:
        self._network = network
        self._now = now
        self._kept: dict[str, Line] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    async def identity(self, host: Host) -> Identity:
        """Who the host says that it is, asked once a line."""
        line = await self._line(host)
        async with line.asking:
            if line.identity is None:
                try:
                    result = await self._heard(line, _Request(host=host, command=QUESTION))
                    line.identity = read_identity(line.name, result)
                except (Unreadable, MayHaveRun) as error:
                    raise NotRun(str(error)) from error
            return line.identity

    def has_said(self, host: Host) -> bool:
        """Whether the line to the host is there, and the host has said on it who it is."""
        line = self._kept.get(host.address)
        return line is not None and not line.lost.done() and line.identity is not None

    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        """Run it to its end; raises NotRun, CameLate, StillRuns, MayHaveRun as the port says."""
        request = _Request(host=host, command=command, material=material, fence=fence)
        if fence is not None:
            return await self._fenced(request, fence)
        line = await self._line(host)
        async with line.changes if command.ahead else line.looks:
            return await self._heard(line, request)

    async def _fenced(self, request: _Request, fence: Fence) -> Result:
        name = request.host.name
        line = self._kept.get(request.host.address)
        if line is None or line.lost.done() or line.name != fence.connection:
            raise NotRun(f"{name}: the connection {fence.connection} is gone, and nothing was run.")
        async with line.changes:
            result = await self._heard(line, request)
        if result.exit_status == LATE:
            raise CameLate(f"{name}: the command came too late, and was not run.")
        if result.exit_status == LOCKED and fence.lock is not None:
            raise StillRuns(f"{name}: an earlier command of this bot still runs there, and this one was not run.")
        return result

    async def _line(self, host: Host) -> Line:
        async with self._opening.setdefault(host.address, asyncio.Lock()):
            line = self._kept.get(host.address)
            if line is None or line.lost.done():
                line = self._kept[host.address] = await self._network.open(host.address)
            return line

    async def _heard(self, line: Line, request: _Request) -> Result:
        began = self._now()
        answer = self._network.send(line, request.sent, request, request.host.name)
        waits: set[asyncio.Future[Answer] | asyncio.Future[str]] = {answer, line.lost}
        limit = request.command.timeout.total_seconds()
        done, _ = await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if answer not in done:
            answer.cancel()  # it is not listened to any more; what runs there runs on
            why = line.lost.result() if line.lost in done else f"no end within {limit:g} s"
            raise MayHaveRun(f"{request.host.name}: the command was sent and its end was not heard ({why}).")
        return self._result(line, request, answer.result(), began)

    def _result(self, line: Line, request: _Request, answer: Answer, began: datetime) -> Result:
        command = request.command
        kept = command.keeps if command.keeps_output else 0
        return Result(
            host=request.host.name,
            command=request.line,
            exit_status=answer.exit_status,
            stdout=answer.out[:kept].decode(errors="replace"),
            stderr=answer.err[: command.keeps].decode(errors="replace"),
            stdout_bytes=len(answer.out),
            began=began,
            took=self._now() - began,
            connection=line.name,
            kept=command.keeps,
        )
