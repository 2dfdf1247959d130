"""The `Hosts` port in front of the practice ring's own hosts, without SSH; it says what SshHosts would say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from bot.core.command import Command, Result
from bot.core.fence import LATE, LOCKED, Fence, fenced
from bot.core.identity import QUESTION, Identity, read_identity
from bot.core.inventory import Host
from bot.errors import CameLate, MayHaveRun, NotRun, StillRuns, Unreadable
from bot.practice.values import Answer, Now
from tests.harness.network import Line, Network

AT_ONCE = 5


@dataclass(frozen=True)
class _Material:
    data: bytes

    async def read(self) -> bytes:
        return self.data


class SimHosts:
    """One bot's kept lines to the hosts."""

    def __init__(self, network: Network, now: Now) -> None:
        self._network = network
        self._now = now
        self._kept: dict[str, Line] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._room: dict[str, asyncio.Semaphore] = {}

    async def identity(self, host: Host) -> Identity:
        line = await self._line(host)
        try:
            return read_identity(line.name, await self._over(line, host, QUESTION, QUESTION.text, b""))
        except (Unreadable, MayHaveRun) as error:
            raise NotRun(str(error)) from error

    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        text = f"sudo -n -- {command.text}" if host.sudo and command.root else command.text
        async with self._room.setdefault(host.name, asyncio.Semaphore(AT_ONCE)):
            if fence is None:
                return await self._over(await self._line(host), host, command, text, material)
            line = self._kept.get(host.address)
            if line is None or line.lost.done() or line.name != fence.connection:
                raise NotRun(f"{host.name}: the connection {fence.connection} is gone, and nothing was run.")
            return _passed(host, fence, await self._over(line, host, command, fenced(text, fence), material))

    async def _line(self, host: Host) -> Line:
        async with self._opening.setdefault(host.address, asyncio.Lock()):
            line = self._kept.get(host.address)
            if line is None or line.lost.done():
                line = self._kept[host.address] = await self._network.open(host.address)
            return line

    async def _over(self, line: Line, host: Host, command: Command, text: str, material: bytes) -> Result:
        began = self._now()
        answer = self._network.send(line, text, _Material(material), host.name)
        waits: set[asyncio.Future[Answer] | asyncio.Future[str]] = {answer, line.lost}
        done, _ = await asyncio.wait(
            waits, timeout=command.timeout.total_seconds(), return_when=asyncio.FIRST_COMPLETED
        )
        if answer not in done:
            answer.cancel()  # it is not listened to any more; what runs there runs on
            why = line.lost.result() if line.lost in done else f"no end within {command.timeout}"
            raise MayHaveRun(f"{host.name}: the command was sent and its end was not heard ({why}).")
        return self._result(host, command, text, answer.result(), began)

    def _result(self, host: Host, command: Command, text: str, answer: Answer, began: datetime) -> Result:
        kept = command.keeps if command.keeps_output else 0
        return Result(
            host=host.name,
            command=text,
            exit_status=answer.exit_status,
            stdout=answer.out[:kept].decode(errors="replace"),
            stderr=answer.err[:kept].decode(errors="replace"),
            stdout_bytes=len(answer.out),
            began=began,
            took=self._now() - began,
            connection=line_name(self._kept.get(host.address)),
            kept=command.keeps,
        )


def line_name(line: Line | None) -> str:
    return line.name if line is not None else ""


def _passed(host: Host, fence: Fence, result: Result) -> Result:
    if result.exit_status == LATE:
        raise CameLate(f"{host.name}: the command came too late, and was not run.")
    if result.exit_status == LOCKED and fence.lock is not None:
        raise StillRuns(f"{host.name}: an earlier command of this bot still runs there, and this one was not run.")
    return result
