"""The ring while a backend is out: who changes it is seen, and it is set back, in the safe direction only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from bot.adapters.clock import SystemClock
from bot.adapters.ssh import SshHosts
from bot.core import events as fact
from bot.core.approval import Person
from bot.core.command import Command
from bot.core.decide import Approve, Retry
from bot.core.inventory import Inventory, Ring
from bot.core.run import Run, Status
from bot.engine.planning import Book, Request
from bot.engine.ports import Timings, World
from bot.engine.service import Service
from bot.practice.ring import PracticeRing
from bot.practice.scene import practice_site
from tests.build import REQUESTER, SECOND, library
from tests.fakes import FakeAlarms, FakeAnnouncer, FakeJournal, FakePeople, FakeProposals

RUN = "r2025w"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A bot's engine on the practice ring, with a drain that does not end by itself in a test."""

    ring: PracticeRing
    service: Service
    journal: FakeJournal
    hosts: SshHosts
    inventory: Ring

    async def run(self) -> Run:
        (run,) = await self.service.runs()
        return run

    async def facts(self, kind: type) -> list[fact.Fact]:
        return [entry.fact for entry in await self.service.entries(RUN) if isinstance(entry.fact, kind)]

    async def until(self, holds: Callable[[Run], bool]) -> Run:
        async with asyncio.timeout(20):
            while True:
                run = await self.run()
                if holds(run):
                    return run
                await asyncio.sleep(0.02)

    async def say(self, director: str, command: str) -> None:
        host = next(one for one in self.inventory.directors if one.name == director)
        result = await self.hosts.run(host, Command(argv=tuple(command.split())))
        assert result.exit_status == 0

    def vhosts(self) -> list[int]:
        ip = self.ring.backends["backend-3"].ip
        return [view.backends[ip].vhosts for view in self.ring.state.directors.values()]

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


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with PracticeRing(user_expire=timedelta(seconds=1)) as ring:
        clock, journal = SystemClock(), FakeJournal()
        hosts = SshHosts([ring.ssh_config], ring.known_hosts, timedelta(seconds=5), timedelta(seconds=5), clock)
        known = {user: Person(id=user, may_ask=True, may_approve=True) for user in (REQUESTER, SECOND)}
        world = World(
            journal=journal,
            hosts=hosts,
            announcer=FakeAnnouncer(),
            alarms=FakeAlarms(clock),
            clock=clock,
            people=FakePeople(known),
            proposals=FakeProposals(),
            timings=Timings(
                drain=timedelta(seconds=0.5),
                count_every=timedelta(seconds=0.1),
                watch_every=timedelta(seconds=0.1),
            ),
        )
        made, read = inventory(ring), library()
        book = Book(inventory=Inventory(rings=(made,)), procedures=read.procedures, rules=read.rules)
        service = Service(world, book, lambda: RUN)
        await service.request(
            Request(command="/dovecot-upgrade", text="backend-3", requester=REQUESTER, team="T0", channel="C0")
        )
        yield Place(ring=ring, service=service, journal=journal, hosts=hosts, inventory=made)
        await service.close(timedelta(0))
        await hosts.close()


async def test_a_restarted_director_that_says_100_again_is_set_back(place: Place) -> None:
    await place.until(lambda run: run.status is Status.ASKING)
    place.ring.restart_director("director-2")
    run = await place.until(lambda run: run.deviations > 0)
    assert run.status is Status.ASKING
    (seen,) = await place.facts(fact.RingDeviated)
    assert isinstance(seen, fact.RingDeviated)
    assert seen.host == "director-2"
    async with asyncio.timeout(10):
        while not await place.facts(fact.RingSetBack) or place.vhosts() != [0, 0]:
            await asyncio.sleep(0.02)


async def test_an_emptied_ring_is_set_back_with_its_flush_while_the_backend_is_stopped(place: Place) -> None:
    """All directors restarted: users would be sent to a stopped backend until somebody says so again."""
    await place.approve()
    await place.until(
        lambda run: run.status is Status.ASKING and run.step is not None and run.step.name == "approve-restore"
    )
    place.ring.restart_all_directors()
    async with asyncio.timeout(20):
        while {getattr(one, "step", "") for one in await place.facts(fact.RingSetBack)} < {"director-down"}:
            await asyncio.sleep(0.02)
    await place.until(lambda run: run.deviations > 0)
    async with asyncio.timeout(10):
        while place.vhosts() != [0, 0] or place.ring.users_on("backend-3"):
            await asyncio.sleep(0.02)


async def test_the_third_time_the_run_holds_and_a_retry_goes_on(place: Place) -> None:
    await place.until(lambda run: run.status is Status.ASKING)
    ip = place.ring.backends["backend-3"].ip
    for times in (1, 2, 3):
        await place.say("director-1", f"doveadm director update {ip} 100")
        await place.until(lambda run, times=times: run.deviations >= times)  # type: ignore[misc]
        async with asyncio.timeout(10):
            while len(await place.facts(fact.RingSetBack)) < times:
                await asyncio.sleep(0.02)
    assert place.vhosts() == [0, 0]
    run = await place.until(lambda run: run.status is Status.HELD)
    assert "set back 3 times" in run.reason
    assert not place.ring.ran("systemctl stop")
    person = Person(id=REQUESTER, may_ask=True, may_approve=True)
    await place.service.steer(RUN, Retry(person=person, held=run.held))
    await place.approve()
    await place.until(lambda run: run.step is not None and run.step.name == "approve-restore")


async def test_nothing_is_set_back_once_the_backend_is_given_users_again(place: Place) -> None:
    """The run's own restore must not be taken for somebody else's hand."""
    await place.approve()
    await place.until(lambda run: run.step is not None and run.step.name == "approve-restore")
    await place.approve()
    await place.until(lambda run: run.status is Status.ENDED)
    assert await place.facts(fact.RingDeviated) == []
    assert place.vhosts() == [100, 100]
