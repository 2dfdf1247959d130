"""Stand-ins for the ports: small, honest, in memory. The contract tests hold them to what the real ones do.

They know nothing of how the engine uses them; a test reaches in and moves what it wants to move.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bot.core.decisions.approval import Person
from bot.core.decisions.damage import Damaged, Release, examined
from bot.core.decisions.summary import RunList, ended_summary
from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import Fence
from bot.core.hosts.identity import Identity
from bot.core.hosts.inventory import Backend, Host
from bot.core.plans.plan import digest
from bot.core.plans.proposal import Proposal, config_name
from bot.core.runs.events import Entry, Fact, RunEnded, RunRequested
from bot.core.runs.events.claims import claim_in_words, claims
from bot.engine import ports
from bot.errors import Conflict, Illegal, Refused, RingClaimed

MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday, when nothing has happened yet."""


@dataclass
class FakeJournal:
    """The facts in a list a run. `fails` is raised by the next append instead of writing, once."""

    facts: dict[str, list[Entry]] = field(default_factory=dict)
    rings: dict[str, str] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    releases: dict[str, Release] = field(default_factory=dict)
    fails: Exception | None = None

    async def append(self, run: str, after: int, at: datetime, facts: Sequence[Fact]) -> tuple[Entry, ...]:
        if self.fails:
            failure, self.fails = self.fails, None
            raise failure
        last = len(self.facts.get(run, []))
        if last > after:
            raise Conflict(f"run {run}: fact {after + 1} is there already")
        self._check(run, after, last, facts)
        for fact in facts:
            if isinstance(fact, RunRequested):
                self.rings[fact.target.ring.name] = run
            self.claims |= dict.fromkeys(claims(fact), run)
            if isinstance(fact, RunEnded):
                self.rings = {ring: owner for ring, owner in self.rings.items() if owner != run}
                self.claims = {key: owner for key, owner in self.claims.items() if owner != run}
        entries = tuple(Entry(run=run, seq=seq, at=at, fact=fact) for seq, fact in enumerate(facts, after + 1))
        self.facts.setdefault(run, []).extend(entries)
        return entries

    def _check(self, run: str, after: int, last: int, facts: Sequence[Fact]) -> None:
        if last < after:
            raise Illegal(f"run {run}: fact {after} is not there to be followed")
        for seq, fact in enumerate(facts, after + 1):
            if isinstance(fact, RunRequested) is not (seq == 1):
                raise Illegal(f"run {run}: its request is its first fact, and only that")
            if isinstance(fact, RunRequested) and fact.target.ring.name in self.rings:
                raise RingClaimed(fact.target.ring.name, self.rings[fact.target.ring.name])
            for key in claims(fact):
                if self.claims.get(key, run) != run:
                    raise RingClaimed("", self.claims[key], what=claim_in_words(key))

    async def entries(self, run: str, after: int = 0) -> tuple[Entry, ...]:
        return tuple(self.facts.get(run, ()))[after:]

    async def open_runs(self) -> tuple[str, ...]:
        gone = sorted(run for run in self.rings.values() if not self.facts.get(run))
        return (*gone, *(run for run in await self.all_runs() if run in self.rings.values()))

    async def all_runs(self) -> tuple[str, ...]:
        return tuple(sorted((run for run, facts in self.facts.items() if facts), key=self._age))

    async def listed(self, most: int | None = None) -> RunList:
        runs = await self.all_runs()
        ended = [one for run in reversed(runs) if (one := ended_summary(self.facts[run]))]
        left = [run for run in runs if run not in {one.id for one in ended}]
        gone = [run for run in await self.open_runs() if run not in runs]
        return RunList(ended=tuple(ended)[:most], count=len(ended), others=(*gone, *left))

    async def examine(self, run: str) -> Damaged | None:
        rings, keys = self._claimed(run)
        return examined(run, self.facts.get(run, []), "", rings=rings, keys=keys, release=self.releases.get(run))

    async def release(self, release: Release) -> None:
        run = release.run
        if run in self.releases or not any(self._claimed(run)):
            raise Conflict(f"run {run} claims nothing any more")
        self.releases[run] = release
        self.rings = {ring: owner for ring, owner in self.rings.items() if owner != run}
        self.claims = {key: owner for key, owner in self.claims.items() if owner != run}

    def _claimed(self, run: str) -> tuple[list[str], list[str]]:
        return (
            sorted(ring for ring, owner in self.rings.items() if owner == run),
            sorted(key for key, owner in self.claims.items() if owner == run),
        )

    def _age(self, run: str) -> tuple[datetime, str]:
        return self.facts[run][0].at, run


class FakeClock:
    """Time that moves only when a test moves it."""

    def __init__(self, start: datetime = MORNING) -> None:
        self._now = start
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        woken = asyncio.get_running_loop().create_future()
        sleeper = (self._now + timedelta(seconds=seconds), woken)
        self._sleepers.append(sleeper)
        try:
            await woken
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, by: timedelta) -> None:
        """Let time pass; whoever has slept long enough wakes when the loop next turns."""
        self._now += by
        for until, woken in self._sleepers:
            if until <= self._now and not woken.done():
                woken.set_result(None)

    @property
    def next_waking(self) -> datetime | None:
        """When the first sleeper wants to be woken; None when nobody sleeps."""
        return min((until for until, woken in self._sleepers if not woken.done()), default=None)


@dataclass
class FakeAlarms:
    """Dates in a dictionary; they fire when a test says so."""

    clock: ports.Clock
    dates: dict[str, datetime] = field(default_factory=dict)
    call: Callable[[str], Awaitable[None]] | None = None

    def set(self, run: str, at: datetime) -> None:
        self.dates[run] = at

    def clear(self, run: str) -> None:
        self.dates.pop(run, None)

    def on_due(self, call: Callable[[str], Awaitable[None]]) -> None:
        self.call = call

    async def fire_due(self) -> tuple[str, ...]:
        """Fire for every run whose date has come, the earliest first; returns which."""
        due = sorted((at, run) for run, at in self.dates.items() if at <= self.clock.now())
        for _, run in due:
            self.dates.pop(run, None)
            if self.call:
                await self.call(run)
        return tuple(run for _, run in due)


BOOT = "00000000-0000-4000-8000-000000000000"


def answered(host: Host, command: Command, stdout: str = "", *, stderr: str = "", status: int = 0) -> Result:
    """What a host says that took no time over it."""
    return Result(
        host=host.name,
        command=command.text,
        exit_status=status,
        stdout=stdout if command.keeps_output else "",
        stderr=stderr,
        stdout_bytes=len(stdout.encode()),
        began=MORNING,
        took=timedelta(0),
    )


Answer = Result | Exception | str | None


class FakeHosts:
    """Hosts that answer as the script says: a Result, an error to raise, a text (exit 0), None (nothing, exit 0)."""

    def __init__(self, script: Callable[[Host, Command], Answer | Awaitable[Answer]]) -> None:
        self.script = script
        self.log: list[tuple[str, str]] = []
        self.materials: list[bytes] = []
        self.fences: list[Fence | None] = []

    async def identity(self, host: Host) -> Identity:
        """Each host is the one that the settings mean, always over the same connection."""
        address = str(host.ip) if isinstance(host, Backend) else ""
        return Identity(connection=host.name, reached=address, addresses=frozenset(), machine_id="0" * 32, boot_id=BOOT)

    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        self.fences.append(fence)
        self.log.append((host.name, command.text))
        self.materials.append(material)
        given = self.script(host, command)
        answer = await given if isinstance(given, Awaitable) else given
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Result) else answered(host, command, answer or "")


class FakeAnnouncer:
    """People who see everything at once; after `go_away` they see nothing until `come_back`."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.warned: list[tuple[str, str]] = []
        self.told_damaged: list[Damaged] = []
        self.waited_for: list[tuple[str, int]] = []
        self._there = asyncio.Event()
        self._there.set()

    def wake(self, run: str) -> None:
        self.woken.append(run)

    async def until_posted(self, run: str, seq: int) -> None:
        self.waited_for.append((run, seq))
        await self._there.wait()

    async def permalink(self, run: str) -> str:
        return f"https://slack.test/{run}"

    def warn(self, run: str, text: str) -> None:
        self.warned.append((run, text))

    def damaged(self, found: Damaged) -> None:
        self.told_damaged.append(found)

    def go_away(self) -> None:
        self._there.clear()

    def come_back(self) -> None:
        self._there.set()


@dataclass
class FakePeople:
    """The people of a dictionary; everybody else is barred."""

    known: dict[str, Person] = field(default_factory=dict)

    async def person(self, user: str) -> Person:
        stranger = Person(id=user, may_ask=False, may_approve=False, barred="nobody knows them")
        return self.known.get(user, stranger)


@dataclass
class FakeProposals:
    """Configurations that are nothing but their archive."""

    archives: Mapping[str, bytes] = field(default_factory=dict)

    async def proposal(self, name: str) -> Proposal:
        if config_name(name) not in self.archives:
            raise Refused(f"There is no configuration {name!r}. There are: {', '.join(self.archives) or 'none'}.")
        return Proposal(name=name, digest=digest(self.archives[name].hex()))

    async def names(self) -> list[str]:
        return sorted(self.archives)

    async def archive(self, proposal: Proposal, like: str | None = None) -> bytes:
        del like
        if await self.proposal(proposal.name) != proposal:
            raise Refused(f"The configuration {proposal.name} is not the same any more.")
        return self.archives[proposal.name]


def all_stand_in() -> tuple[
    ports.Journal, ports.Hosts, ports.Announcer, ports.Alarms, ports.Clock, ports.People, ports.Proposals
]:
    """One of each, as the ports they stand in for: what the type checker is to see."""
    clock = FakeClock()
    alarms = FakeAlarms(clock)
    hosts = FakeHosts(lambda _host, _command: None)
    return FakeJournal(), hosts, FakeAnnouncer(), alarms, clock, FakePeople(), FakeProposals()


def fake_ports(journal: FakeJournal, hosts: FakeHosts | None = None) -> ports.Ports:
    """Every port of an engine; hosts that are not given answer nothing."""
    clock = FakeClock()
    return ports.Ports(
        journal=journal,
        hosts=hosts or FakeHosts(lambda _host, _command: None),
        announcer=FakeAnnouncer(),
        alarms=FakeAlarms(clock),
        clock=clock,
        people=FakePeople(),
        proposals=FakeProposals(),
        timings=ports.Timings(),
    )
