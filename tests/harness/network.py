"""What lies between a bot and the hosts of a practice ring: lines that break, silence, hosts that are away.

What was sent into silence comes out of it when it ends, whether or not its sender is still there: only the host can
refuse it then.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.core.hosts.identity import Identity
from bot.errors import NotRun
from bot.practice.machine.host import Host as Simulated
from bot.practice.ring.ring import PracticeRing
from bot.practice.values import Answer, Now, Stdin

ONE_WAY = timedelta(milliseconds=2)
CONNECT_WITHIN = timedelta(seconds=5)
GIVEN_UP_AFTER = timedelta(seconds=7)
"""A peer that is silent for so long is given up."""

AT_ONCE = 5
"""Commands of a kind that one connection takes at the same time."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What the bot sent, to whom it meant to send it, and when."""

    at: datetime
    meant: str


SENT: ContextVar[Sent | None] = ContextVar("SENT", default=None)
"""Of the command that is being run, so that whoever writes down its beginning knows when it was sent."""


@dataclass(eq=False)
class Line:
    """One connection; `lost` is done when it broke. Changes have room of their own, which no look takes."""

    machine: Simulated
    name: str = ""
    identity: Identity | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    changes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    lost: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def drop(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)


class Network:
    """`reaches`: where an SSH name leads, when not to the host of that name."""

    def __init__(self, ring: PracticeRing, now: Now) -> None:
        self.machines: dict[str, Simulated] = {**ring.directors, **ring.backends}
        self.reaches: dict[str, str] = {}
        self._now = now
        self._silent: dict[str, datetime] = {}
        self._away: dict[str, datetime] = {}
        self._lines: list[Line] = []
        self._opened = 0

    # what an attack does

    def silence(self, host: str, length: timedelta) -> None:
        """The host says nothing and hears nothing for a while, as behind a blackhole route; then it hears it all."""
        self._silent[host] = max(self._now() + length, self._silent.get(host, self._now()))
        if length >= GIVEN_UP_AFTER:
            asyncio.get_running_loop().call_later(
                GIVEN_UP_AFTER.total_seconds(), self.drop, host, "keepalives are not answered"
            )

    def away(self, host: str, length: timedelta) -> None:
        """The host's sshd is gone for a while: what stands breaks, nothing new is let in; what runs runs on."""
        self._away[host] = self._now() + length
        self.drop(host, "the host closed it")

    def drop(self, host: str, why: str = "the connection broke") -> None:
        """Break every line to the host."""
        gone = [line for line in self._lines if line.machine.name == host]
        self._lines = [line for line in self._lines if line.machine.name != host]
        for line in gone:
            line.drop(why)

    # what hosts do

    def _silence_left(self, host: str) -> timedelta:
        return max(self._silent.get(host, self._now()) - self._now(), timedelta(0))

    async def open(self, name: str) -> Line:
        """A new line to the host that this SSH name leads to; raises NotRun."""
        machine = self.machines[self.reaches.get(name, name)]
        await asyncio.sleep(ONE_WAY.total_seconds() * 4)
        left = self._silence_left(machine.name)
        await asyncio.sleep(min(left, CONNECT_WITHIN).total_seconds())
        if left > CONNECT_WITHIN or self._away.get(machine.name, self._now()) > self._now():
            raise NotRun(f"{name}: no SSH connection.")
        self._opened += 1
        line = Line(machine, name=f"{machine.name}#{self._opened}")
        self._lines.append(line)
        return line

    def send(self, line: Line, text: str, stdin: Stdin, meant: str) -> asyncio.Task[Answer]:
        """Send a command on its way: it runs on the host whoever waits. The task ends when its answer is back."""
        mark = SENT.set(Sent(at=self._now(), meant=meant))
        try:
            on_its_way = self._silence_left(line.machine.name) + ONE_WAY
            running = line.machine.begin(text, stdin, after=on_its_way)
        finally:
            SENT.reset(mark)
        return asyncio.ensure_future(self._answer(line, running))

    async def _answer(self, line: Line, running: asyncio.Task[Answer]) -> Answer:
        await asyncio.wait({running})
        if running.cancelled():
            await line.lost  # the host has rebooted
        while left := self._silence_left(line.machine.name):
            await asyncio.sleep(left.total_seconds())
        await asyncio.sleep(ONE_WAY.total_seconds())
        return running.result()
