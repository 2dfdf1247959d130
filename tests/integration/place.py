"""A bot's engine on the practice ring, in this process: for tests that act in the middle of a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from bot.adapters.alarms import ApsAlarms
from bot.adapters.clock import SystemClock
from bot.adapters.ssh import SshHosts
from bot.core.decisions.approval import Person
from bot.core.decisions.decide import Approve
from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import Fence
from bot.core.hosts.identity import Identity
from bot.core.hosts.inventory import Host, Inventory, Ring
from bot.core.plans.procedure import Check, Procedure, Step
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue, Request
from bot.engine.ports import Ports, Timings
from bot.engine.service import Service
from bot.practice.ring.ring import PracticeRing
from bot.practice.site import practice_site
from tests.build import REQUESTER, SECOND, library
from tests.fakes import FakeAnnouncer, FakeJournal, FakePeople, FakeProposals
from tests.patience import SECONDS
from tests.reader import Reader

RUN = "r2025w"
A_MOMENT = timedelta(seconds=1)

QUICK = Timings(
    drain=timedelta(seconds=0.5),
    count_every=timedelta(seconds=0.1),
    watch_every=timedelta(seconds=0.1),
    shown_within=timedelta(seconds=0.3),
    look_again=timedelta(seconds=0.1),
    not_after=timedelta(seconds=2),
    patience=timedelta(seconds=2),
    silence=timedelta(seconds=4),
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A bot's engine on the practice ring, with a drain that does not end by itself in a test."""

    ring: PracticeRing
    service: Service
    journal: FakeJournal
    announcer: FakeAnnouncer
    people: FakePeople
    hosts: SshHosts
    inventory: Ring
    world: Ports
    reader: Reader

    async def facts(self, kind: type) -> list[fact.Fact]:
        return [entry.fact for entry in await self.service.entries(RUN) if isinstance(entry.fact, kind)]

    async def until(self, holds: Callable[[Run], bool]) -> Run:
        """The first state from now on of which that is true, however soon another one came after it."""
        try:
            async with asyncio.timeout(SECONDS):
                reader = Reader(self.journal, RUN)  # its own: others may wait for something else meanwhile
                run = reader.run
                while not (run and holds(run)):
                    await asyncio.sleep(0.02)
                    run = next((state for state in reader.on() if holds(state)), None)
                return run
        except TimeoutError:
            run = self.reader.run
            raise AssertionError(run and f"{run.status} at {run.step and run.step.name}: {run.reason}") from None

    async def say(self, director: str, command: str) -> None:
        host = next(one for one in self.inventory.directors if one.name == director)
        result = await self.hosts.run(host, Command(argv=tuple(command.split())))
        assert result.exit_status == 0

    def vhosts(self) -> list[int]:
        ip = self.ring.backends["backend-3"].ip
        return [view.backends[ip].vhosts for view in self.ring.state.directors.values()]

    async def at(self, step: str) -> Run:
        """Wait until that step is at hand."""
        return await self.until(lambda run: run.step is not None and run.step.name == step)

    async def approve(self) -> None:
        run = await self.until(lambda run: run.status is Status.ASKING)
        assert run.asked is not None
        person = Person(id=SECOND, may_ask=True, may_approve=True)
        await self.service.steer(RUN, Approve(person=person, ask=run.asked.seq, message="1.1"))


def inventory(ring: PracticeRing) -> Ring:
    site = practice_site(ring)
    return Ring.model_validate(
        {
            "name": "practice",
            "test_user": site.test_user,
            "metacache": {},
            "directors": [{"name": name} for name in site.directors],
            "backends": [{"name": name, "ip": ip} for name, ip in site.backends.items()],
        }
    )


Twist = Callable[[str, str, Result], Result]
"""From a host, a command and its true result to the result that the bot gets, or an error."""


@dataclass(frozen=True)
class Twisted:
    """Hosts whose answers are changed on the way."""

    hosts: SshHosts
    twist: Twist

    async def identity(self, host: Host) -> Identity:
        return await self.hosts.identity(host)

    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        return self.twist(host.name, command.text, await self.hosts.run(host, command, material=material, fence=fence))


def hurried(procedure: Procedure) -> Procedure:
    """The procedure, with checks that wait a moment only for a host that is away."""

    def sooner(step: Step) -> Step:
        waits = isinstance(step, Check) and A_MOMENT < step.within <= timedelta(seconds=15)
        return step.model_copy(update={"within": A_MOMENT}) if waits else step

    stages = [stage.model_copy(update={"steps": tuple(map(sooner, stage.steps))}) for stage in procedure.stages]
    return procedure.model_copy(update={"stages": tuple(stages)})


@asynccontextmanager
async def a_place(timings: Timings = QUICK, twist: Twist | None = None) -> AsyncIterator[Place]:
    """A run on backend-3 has just been asked for."""
    async with PracticeRing(user_expire=timedelta(seconds=1)) as ring:
        clock, journal, announcer = SystemClock(), FakeJournal(), FakeAnnouncer()
        hosts = SshHosts([ring.ssh_config], ring.known_hosts, timedelta(seconds=5), timedelta(seconds=5), clock)
        people = FakePeople({user: Person(id=user, may_ask=True, may_approve=True) for user in (REQUESTER, SECOND)})
        alarms = ApsAlarms(clock)
        alarms.start()
        world = Ports(
            journal=journal,
            hosts=Twisted(hosts, twist) if twist else hosts,
            announcer=announcer,
            alarms=alarms,
            clock=clock,
            people=people,
            proposals=FakeProposals(),
            timings=timings,
        )
        made, read = inventory(ring), library()
        procedures = tuple(map(hurried, read.procedures))
        catalogue = Catalogue(inventory=Inventory(rings=(made,)), procedures=procedures, rules=read.rules)
        service = Service(world, catalogue, lambda: RUN)
        await service.request(
            Request(
                command="/dovecot-upgrade", text="backend-3 restart=yes", requester=REQUESTER, team="T0", channel="C0"
            )
        )
        try:
            yield Place(
                ring=ring,
                service=service,
                journal=journal,
                announcer=announcer,
                people=people,
                hosts=hosts,
                inventory=made,
                world=world,
                reader=Reader(journal, RUN),
            )
        finally:
            await service.close(timedelta(0))
            await alarms.stop()
            await hosts.close()
