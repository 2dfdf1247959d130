"""The ports of one life of the bot, with every call counted, so that something can be put in at any of them.

A life that has ended does nothing any more: whatever it calls never comes back, as for a process that was killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar, cast

from bot.core.decisions.approval import Person
from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import Fence
from bot.core.hosts.identity import Identity
from bot.core.hosts.inventory import Host
from bot.core.plans.proposal import Proposal
from bot.core.runs.events import Entry, Fact
from bot.engine import ports
from bot.engine.ports import Ports, Timings
from tests.fakes import FakeAnnouncer
from tests.harness.virtual import MORNING

T = TypeVar("T")


class Life:
    """One life of the bot, from its start to its crash; `buried` when the play is over, and its tasks are to end."""

    def __init__(self) -> None:
        self.over = False
        self.buried = False
        self._waits: list[asyncio.Future[None]] = []

    def bury(self) -> None:
        """Its tasks end, also those that wait for nothing, as a write that has begun is waited for."""
        self.over = self.buried = True
        for waits in self._waits:
            waits.cancel()

    async def goes_on(self) -> None:
        if self.buried:
            raise asyncio.CancelledError
        if self.over:
            await self.never()

    async def never(self) -> NoReturn:
        """What a dead bot waits for."""
        waits = asyncio.get_running_loop().create_future()
        self._waits.append(waits)  # or the task that waits for it would be collected as garbage, which ends it
        await waits
        raise AssertionError


@dataclass(frozen=True, kw_only=True)
class Here:
    """The call at which something is put in: `name`, the host of it if there is one, and what the call does."""

    name: str
    host: str
    life: Life
    act: Callable[[], Awaitable[Any]]


Strike = Callable[[Here], Awaitable[Any]]


@dataclass
class Points:
    """Every call of a port, in order. `put_in` is asked at each, by its number from 0, what is done in place of it."""

    put_in: Callable[[int], Strike | None] = lambda _number: None
    calls: list[str] = field(default_factory=list)
    noted: Callable[[], str] = lambda: ""
    """What is written down beside each call, such as where the run stands."""
    notes: list[str] = field(default_factory=list)

    async def call(self, life: Life, name: str, act: Callable[[], Awaitable[T]], host: str = "") -> T:
        await life.goes_on()
        number = len(self.calls)
        self.calls.append(name)
        self.notes.append(self.noted())
        done: T
        try:
            strike = self.put_in(number)
            done = await (act() if strike is None else strike(Here(name=name, host=host, life=life, act=act)))
        except Exception:
            await life.goes_on()
            raise
        await life.goes_on()
        return done


@dataclass(frozen=True)
class Clock:
    """`ahead`: by how much the bot's machine was ahead when this life began, which is when a bot reads its clock."""

    life: Life
    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return MORNING + self.ahead + timedelta(seconds=asyncio.get_running_loop().time())

    async def sleep(self, seconds: float) -> None:
        await self.life.goes_on()
        await asyncio.sleep(seconds)
        await self.life.goes_on()


class Alarms:
    """Timers of the loop."""

    def __init__(self, life: Life, clock: Clock) -> None:
        self._life = life
        self._clock = clock
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._call: Callable[[str], Awaitable[None]] | None = None
        self._answering: set[asyncio.Future[None]] = set()

    def set(self, run: str, at: datetime) -> None:
        self.clear(run)
        delay = max((at - self._clock.now()).total_seconds(), 0)
        self._timers[run] = asyncio.get_running_loop().call_later(delay, self._fire, run)

    def clear(self, run: str) -> None:
        if timer := self._timers.pop(run, None):
            timer.cancel()

    def on_due(self, call: Callable[[str], Awaitable[None]]) -> None:
        self._call = call

    def _fire(self, run: str) -> None:
        if self._call is not None and not self._life.over:
            answering = asyncio.ensure_future(self._call(run))
            self._answering.add(answering)
            answering.add_done_callback(self._answering.discard)


class _Counted:
    """A port in front of another; what it has besides is the other's own."""

    def __init__(self, behind: Any, life: Life, points: Points) -> None:
        self._behind = behind
        self._life = life
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)


class Journal(_Counted):
    async def append(self, run: str, after: int, at: datetime, facts: Sequence[Fact]) -> tuple[Entry, ...]:
        about = [f"{type(one).__name__}:{getattr(one, 'step', getattr(one, 'stage', ''))}".rstrip(":") for one in facts]
        return await self._points.call(
            self._life, f"journal.append {' '.join(about)}", lambda: self._behind.append(run, after, at, facts)
        )


class Hosts(_Counted):
    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        return await self._points.call(
            self._life,
            f"hosts.run {host.name} {command.text}",
            lambda: self._behind.run(host, command, material=material, fence=fence),
            host.name,
        )

    async def identity(self, host: Host) -> Identity:
        if self._behind.has_said(host):  # the host is not asked, so nothing lies between this and the next call
            await self._life.goes_on()
            return cast(Identity, await self._behind.identity(host))
        name = f"hosts.identity {host.name}"
        return await self._points.call(self._life, name, lambda: self._behind.identity(host), host.name)


class Announcer(_Counted):
    def wake(self, run: str) -> None:
        if not self._life.over:
            self._behind.wake(run)

    async def until_posted(self, run: str, seq: int) -> None:
        await self._points.call(self._life, "announcer.until_posted", lambda: self._behind.until_posted(run, seq))


class People(_Counted):
    async def person(self, user: str) -> Person:
        return await self._points.call(self._life, f"people.person {user}", lambda: self._behind.person(user))


class Proposals(_Counted):
    async def archive(self, proposal: Proposal, like: str | None = None) -> bytes:
        return await self._points.call(self._life, "proposals.archive", lambda: self._behind.archive(proposal, like))


class Slack(FakeAnnouncer):
    """Slack for the announcer and for who people are; `on_wake` is called at every wake."""

    def __init__(self, known: dict[str, Person]) -> None:
        super().__init__()
        self.on_wake: Callable[[], None] = lambda: None
        self._known = known

    @property
    def there(self) -> bool:
        return self._there.is_set()

    def wake(self, run: str) -> None:
        super().wake(run)
        self.on_wake()

    async def person(self, user: str) -> Person:
        if not self.there:
            why = "Slack does not answer"
            return Person(id=user, may_ask=False, may_approve=False, barred=why, unsure=True)
        return self._known[user]


def a_world(
    life: Life,
    points: Points,
    *,
    journal: ports.Journal,
    hosts: ports.Hosts,
    slack: Slack,
    proposals: ports.Proposals,
    timings: Timings,
    ahead: timedelta = timedelta(0),
) -> Ports:
    """Every port of one life."""
    clock = Clock(life, ahead)
    return Ports(
        journal=Journal(journal, life, points),
        hosts=Hosts(hosts, life, points),
        announcer=Announcer(slack, life, points),
        alarms=Alarms(life, clock),
        clock=clock,
        people=People(slack, life, points),
        proposals=Proposals(proposals, life, points),
        timings=timings,
    )
